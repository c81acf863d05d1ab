"""Features as of t in, signals out; and the registry of the kinds there are."""
