"""Cleaning and judging texts that somebody else wrote, one module for each way in which they deceive."""
