"""OpenAI's interface over a holder: requests in, replies out. Knows nothing of sockets."""
