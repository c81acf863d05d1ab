"""A gateway that speaks IBKR Web API v1 and replays market data; shares no code with the client."""
