"""How ChatGLM2, ChatGLM3 and GLM-4 are written to, and what they write."""
