"""Language models: where they are, what they cost, and one request to one of them."""
