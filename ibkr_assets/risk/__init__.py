"""Limits, one function per rule, and the engine that turns an intent into Approved or Denied."""
