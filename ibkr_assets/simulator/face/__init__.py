"""The HTTP face of the simulated gateway: IBKR's paths and payloads, and the admin port."""
