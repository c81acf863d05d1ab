"""The web page: what the platform holds, decides and does, and a few guarded actions."""
