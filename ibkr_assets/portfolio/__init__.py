"""From signals to targets, and from targets to order intents."""
