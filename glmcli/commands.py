"""Slash commands: one function each, and its docstring is its help line.

A command gets the chat and the rest of its line, and returns what to show. It prints nothing.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path

from glmcli.config import Settings, parse, show
from glmcli.errors import ConfigError, UsageError
from glmcli.session import Session
from glmcli.types import GenerationParams, Message

CLEAR = ("", "off", "default", "none")
"""Words that give a setting back to the model."""


class Chat:
    """What commands act on: a session, the settings, and a way to ask."""

    def __init__(self, session: Session, settings: Settings) -> None:
        self.session = session
        self.settings = settings
        self.leaving = False

    def ask(self, text: str) -> None:
        """Send a text and show the reply, as if it had been typed. Raises GlmError."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Command:
    """One entry of the table."""

    name: str
    usage: str
    run: Callable[[Chat, str], str]

    @property
    def help(self) -> str:
        """Its help line."""
        return (self.run.__doc__ or "").strip().split("\n")[0]


COMMANDS: dict[str, Command] = {}


def command(usage: str = "") -> Callable[[Callable[[Chat, str], str]], Callable[[Chat, str], str]]:
    """Put a function into the table under its own name."""

    def register(function: Callable[[Chat, str], str]) -> Callable[[Chat, str], str]:
        name = function.__name__.rstrip("_")
        COMMANDS[name] = Command(name, usage, function)
        return function

    return register


def is_command(line: str) -> bool:
    """Whether a typed line is a command: `/word`, not `//word` and not `/path/like/this`."""
    word = line.strip().split(maxsplit=1)[0] if line.strip() else ""
    return word.startswith("/") and not word.startswith("//") and "/" not in word[1:]


def literal(line: str) -> str:
    """A typed line as it is sent: `//word` sends a literal slash."""
    return line[1:] if line.startswith("//") else line


def run_command(chat: Chat, line: str) -> str:
    """Run a `/word` line; returns what to show. Raises UsageError, and what the command raises."""
    word, _, rest = line.strip()[1:].partition(" ")
    if word not in COMMANDS:
        near = difflib.get_close_matches(word, COMMANDS, n=1, cutoff=0.4)
        hint = f"did you mean /{near[0]}?" if near else "/help lists the commands"
        raise UsageError(f"there is no command /{word}", f"{hint} //{word} sends it as text")
    return COMMANDS[word].run(chat, rest.strip())


@command("[COMMAND]")
def help(chat: Chat, rest: str) -> str:
    """Show the commands, or one of them."""
    wanted = rest.lstrip("/")
    if wanted and wanted not in COMMANDS:
        raise UsageError(f"there is no command /{wanted}", "/help lists the commands")
    shown = [COMMANDS[wanted]] if wanted else list(COMMANDS.values())
    heads = [f"/{item.name} {item.usage}".rstrip() for item in shown]
    width = max(len(head) for head in heads)
    lines = [f"{head:<{width}}  {item.help}" for head, item in zip(heads, shown, strict=True)]
    if not wanted:
        lines.append("")
        lines.append("Enter sends; Alt-Enter or Ctrl-J makes a new line; Ctrl-C stops a reply.")
    return "\n".join(lines)


@command()
def exit(chat: Chat, rest: str) -> str:
    """Leave. The conversation stays in the history."""
    chat.leaving = True
    return ""


@command()
def reset(chat: Chat, rest: str) -> str:
    """Start a new conversation; the old one stays in the history."""
    chat.session.reset()
    return "a new conversation"


@command("[FILE]")
def save(chat: Chat, rest: str) -> str:
    """Write the conversation to a Markdown file, or to JSON if FILE ends in .json."""
    from glmcli.transcript import save as write

    conversation = chat.session.conversation
    if not conversation.messages:
        raise UsageError("there is nothing to save yet", "ask something first")
    path = Path(rest).expanduser() if rest else dated_file()
    write(conversation, path.absolute())
    return f"saved to {path.absolute()}"


def dated_file() -> Path:
    """A Markdown file in the working folder that does not exist yet."""
    stem = datetime.now().strftime("glm-%Y-%m-%d-%H%M%S")
    names = (f"{stem}{'' if n == 1 else f'-{n}'}.md" for n in range(1, 1000))
    return next(path for path in map(Path, names) if not path.exists())


@command("FILE")
def load(chat: Chat, rest: str) -> str:
    """Go on with a conversation from a JSON file that /save wrote."""
    from glmcli.transcript import load as read

    if not rest:
        raise UsageError("/load needs a file", "/load FILE.json")
    conversation = read(Path(rest).expanduser())
    conversation.id = ""
    chat.session.conversation = conversation
    turns = sum(message.role == "user" for message in conversation.messages)
    return f"loaded {turns} turns from {Path(rest).expanduser().absolute()}"


@command()
def tokens(chat: Chat, rest: str) -> str:
    """Show the prompt's exact size by role, the window, and the totals of the session."""
    session = chat.session
    prompt = session.conversation.prompt()
    total = session.engine.count(prompt) if prompt else 0
    lines = []
    if total is None:
        lines.append("the prompt's size is not known until the model is loaded")
    else:
        for role, count in by_role(session, prompt, total):
            lines.append(f"{role:<10}{count:>9,}")
        lines.append(f"{'prompt':<10}{total:>9,}")
    window = session.engine.context_tokens
    if window:
        lines.append(f"{'window':<10}{window:>9,}")
        if total is not None:
            lines.append(f"{'left':<10}{window - total:>9,}")
    used = session.totals
    lines.append(
        f"session: {used.turns} turns, {used.prompt_tokens:,} prompt tokens "
        f"({used.cached_tokens:,} cached), {used.completion_tokens:,} reply tokens"
    )
    return "\n".join(lines)


def by_role(session: Session, prompt: tuple[Message, ...], total: int) -> list[tuple[str, int]]:
    """Tokens of each role's text, and of the template around them. They add up to `total`."""
    counts = []
    for role in dict.fromkeys(message.role for message in prompt):
        blanked = [replace(item, text="") if item.role == role else item for item in prompt]
        without = session.engine.count(blanked)
        if without is None:
            return []
        counts.append((str(role), total - without))
    return [*counts, ("template", total - sum(count for _, count in counts))]


@command("[NAME=VALUE …]")
def retry(chat: Chat, rest: str) -> str:
    """Ask the last question again, with other settings if given: /retry temperature=0.2."""
    changes = dict(pair(word) for word in shlex.split(rest))
    params = chat.session.params
    for name, value in changes.items():
        params = params.merged({param_name(name): param_value(name, value)})
    text = chat.session.take_back()
    before, chat.session.params = chat.session.params, params
    try:
        chat.ask(text)
    finally:
        chat.session.params = before
    return ""


@command()
def undo(chat: Chat, rest: str) -> str:
    """Take back the last question and its reply."""
    text = chat.session.take_back()
    return f"took back: {' '.join(text.split())[:60]}"


@command("[TEXT]")
def system(chat: Chat, rest: str) -> str:
    """Show the system prompt, or set it; `/system off` removes it."""
    conversation = chat.session.conversation
    if rest:
        conversation.system = "" if rest == "off" else rest
    return f"system: {conversation.system or '(none)'}"


@command("[NAME VALUE]")
def set(chat: Chat, rest: str) -> str:
    """Show the sampling settings, or change one; `default` gives it back to the model."""
    if not rest:
        rows = [(item.name, getattr(chat.session.params, item.name)) for item in PARAMS]
        return "\n".join(f"{name:<20}{show(value) or 'default'}" for name, value in rows)
    name, value = pair(rest)
    name = param_name(name)
    chat.session.params = chat.session.params.merged({name: param_value(name, value)})
    return f"{name} is {show(getattr(chat.session.params, name)) or 'default'}"


PARAMS = fields(GenerationParams)


def pair(text: str) -> tuple[str, str]:
    """NAME=VALUE or NAME VALUE. Raises UsageError."""
    name, separator, value = text.partition("=" if "=" in text.split()[0] else " ")
    if not separator:
        raise UsageError(f"{text} has no value", f"/set {text} VALUE, or /set {text} default")
    return name.strip(), value.strip()


def param_name(name: str) -> str:
    """A sampling setting's name. Raises UsageError with the nearest one."""
    known = [item.name for item in PARAMS]
    name = name.lstrip("-").replace("-", "_")
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"one of: {', '.join(known)}"
        raise UsageError(f"there is no setting {name}", hint)
    return name


def param_value(name: str, value: str) -> object:
    """A sampling setting's value. Raises UsageError."""
    if value.lower() in CLEAR:
        return () if name == "stop" else False if name == "think" and value == "off" else None
    try:
        return parse(param_name(name), value, "option")
    except ConfigError as exc:
        raise UsageError(exc.message.removeprefix("--"), exc.hint) from exc
