"""Slash commands: one function each, and its docstring is its help line."""

from glmcli.chat.commands import basics, history, model, roles, saving, settings, talk
from glmcli.chat.commands.lines import command_for, line_for, run_command
from glmcli.chat.commands.table import COMMANDS, Chat

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
    "saving",
    "settings",
    "talk",
]
