"""Conversations: as files, with attachments, cut to a model's window."""
