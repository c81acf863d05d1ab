"""Exchange calendars as TradingSession values, and what is wrong with a batch of bars."""
