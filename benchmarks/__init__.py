"""Speed, always as a ratio: both sides run in turn in one process, and the medians are compared."""
