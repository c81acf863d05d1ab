"""Pure functions of a bar frame: the named feature set, its version digest, and charts of it."""
