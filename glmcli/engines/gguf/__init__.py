"""Models in GGUF files, computed by llama.cpp in a process of its own.

That process is ours: it is started when a model is opened and ends with this one. The files are
anybody's and llama.cpp ends itself where one surprises it, and while it loads it lets nothing else
run beside it; neither may happen to a conversation.
"""
