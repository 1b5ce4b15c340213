"""Slash commands: one function each, and its docstring is its help line."""

from glmcli.chat.commands import basics, history, model, settings, talk
from glmcli.chat.commands.table import COMMANDS, Chat, run_command
from glmcli.conversation.lines import first_untyped, is_command, literal

__all__ = [
    "COMMANDS",
    "Chat",
    "basics",
    "first_untyped",
    "history",
    "is_command",
    "literal",
    "model",
    "run_command",
    "settings",
    "talk",
]
