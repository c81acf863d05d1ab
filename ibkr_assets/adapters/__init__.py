"""The outside world behind the ports; adapters never know each other."""
