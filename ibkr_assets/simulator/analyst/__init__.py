"""A stand-in for a language model's endpoint: OpenAI's chat completions, answered by a fixed rule in disguise."""
