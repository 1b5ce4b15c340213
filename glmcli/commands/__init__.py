"""Slash commands: one function each, and its docstring is its help line."""

from glmcli.commands import archive, basics, model, settings, talk
from glmcli.commands.table import COMMANDS, Chat, is_command, literal, run_command, untyped

__all__ = [
    "COMMANDS",
    "Chat",
    "archive",
    "basics",
    "is_command",
    "literal",
    "model",
    "run_command",
    "settings",
    "talk",
    "untyped",
]
