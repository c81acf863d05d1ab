"""IBKR Web API v1 over httpx."""
