"""One module a page: what it reads, and what may be done from it."""
