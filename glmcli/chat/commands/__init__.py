"""Slash commands: one function each, and its docstring is its help line."""

from glmcli.chat.commands import basics, history, model, roles, settings, talk
from glmcli.chat.commands.table import COMMANDS, Chat, command_for, line_for, run_command

__all__ = [
    "COMMANDS",
    "Chat",
    "basics",
    "command_for",
    "history",
    "line_for",
    "model",
    "roles",
    "run_command",
    "settings",
    "talk",
]
