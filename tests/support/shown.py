"""A view that remembers what it was shown."""

from __future__ import annotations

from glmcli.terminal.replies.text import BaseView


class Shown(BaseView):
    def __init__(self):
        self.chunks = []
        self.ended = []

    def show(self, chunk):
        self.chunks.append(chunk)

    def finish(self, reply):
        self.ended.append(reply.finish_reason)

    def abandon(self):
        self.ended.append("abandoned")
