"""Slash commands: one function each, and its docstring is its help line."""

from glmcli.commands import archive, basics, model, settings, talk
from glmcli.commands.table import COMMANDS, Chat, Command, is_command, literal, run_command

__all__ = [
    "COMMANDS",
    "Chat",
    "Command",
    "archive",
    "basics",
    "is_command",
    "literal",
    "model",
    "run_command",
    "settings",
    "talk",
]
