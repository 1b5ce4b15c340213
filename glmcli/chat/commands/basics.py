"""Commands of the chat itself: help, leaving, starting anew, files, sizes."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from glmcli.chat.commands.history import params_of
from glmcli.chat.commands.table import COMMANDS, Chat, Command, command
from glmcli.engines.thread import EngineThread
from glmcli.errors import UsageError
from glmcli.messages import keys_help, overwrite_question
from glmcli.paths import is_file, path_of
from glmcli.session import Session
from glmcli.terminal.phrases import plural
from glmcli.types import GenerationParams, Message


def all_commands() -> list[tuple[str, Command]]:
    """The commands by name."""
    return sorted(COMMANDS.items())


@command("[COMMAND]", words=lambda chat, typed: [(name, it.help) for name, it in all_commands()])
def help(chat: Chat, rest: str) -> str:
    """Show the commands, or one of them."""
    wanted = rest.lstrip("/")
    if wanted and wanted not in COMMANDS:
        raise UsageError(f"there is no command /{wanted}", "/help lists the commands")
    shown = [item for name, item in all_commands() if wanted in ("", name)]
    heads = [f"/{item.name} {item.usage}".rstrip() for item in shown]
    width = max(len(head) for head in heads)
    lines = [f"{head:<{width}}  {item.help}" for head, item in zip(heads, shown, strict=True)]
    if not wanted:
        lines.append("")
        lines.append(keys_help())
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
    chat.attached.clear()
    return "a new conversation"


@command("[FILE]")
def save(chat: Chat, rest: str) -> str:
    """Write the conversation to a Markdown file, or to JSON if FILE ends in .json.

    A symbolic link is refused, not followed.
    """
    from glmcli.conversation.transcript import save as write

    conversation = chat.session.conversation
    if not conversation.messages:
        raise UsageError("there is nothing to save yet", "ask something first")
    path = (path_of(rest) if rest else dated_file()).absolute()
    agreed = (
        chat.confirm(overwrite_question(path)) if is_file(path) and not path.is_symlink() else None
    )
    if agreed is False:
        return f"{path} is as it was"
    return f"saved to {write(conversation, path, overwrite=bool(agreed))}"


@command("FILE")
def export(chat: Chat, rest: str) -> str:
    """Write the conversation to FILE as its ending says: .md, .json or .jsonl."""
    if not rest:
        raise UsageError("/export needs a file", "/export talk.md, talk.json or talk.jsonl")
    return save(chat, rest)


def dated_file() -> Path:
    """A Markdown file in the working folder that does not exist yet."""
    stem = datetime.now().strftime("glm-%Y-%m-%d-%H%M%S")
    names = (f"{stem}{'' if n == 1 else f'-{n}'}.md" for n in range(1, 1000))
    return next(path for path in map(Path, names) if not path.exists())


@command("FILE")
def load(chat: Chat, rest: str) -> str:
    """Go on with a conversation from a JSON file that /save wrote."""
    from glmcli.conversation.transcript import load as read

    if not rest:
        raise UsageError("/load needs a file", "/load FILE.json")
    path = path_of(rest)
    conversation = read(path)
    conversation.id = ""
    chat.session.conversation = conversation
    turns = plural(sum(message.role == "user" for message in conversation.messages), "turn")
    said = f"loaded {turns} from {path.absolute()}"
    if conversation.params != GenerationParams():
        chat.session.params = params_of(conversation, chat.settings)
        said += ", with its settings"
    return said


@command("[FILE|off]", words=lambda chat, typed: [("off", "")] if chat.attached else [])
def attach(chat: Chat, rest: str) -> str:
    """Send a text file with the next message, as `@FILE` in it does; `/attach off` sends none."""
    from glmcli.conversation import attachments

    if rest == "off":
        chat.attached.clear()
    elif rest:
        text = attachments.attach(path_of(rest))
        if text not in chat.attached:
            chat.attached.append(text)
        return f"{chat.weighed(text)}: goes with the next message"
    waiting = "\n".join(map(attachments.heading, chat.attached))
    return waiting or "no file goes with the next message"


@command()
def tokens(chat: Chat, rest: str) -> str:
    """Show the prompt's exact size by role, the window, and the totals of the session."""
    session = chat.session
    prompt = session.conversation.prompt()
    total = session.count(prompt) if prompt else 0
    lines = []
    if total is None:
        is_loading = isinstance(session.engine, EngineThread) and not session.engine.is_open
        when = "until the model is loaded" if is_loading else "here: the server does not count it"
        lines.append(f"the prompt's size is not known {when}")
    else:
        for role, count in by_role(session, prompt, total):
            lines.append(f"{role:<10}{count:>9,}")
        lines.append(f"{'prompt':<10}{total:>9,}")
    window = session.engine.context_tokens
    if window:
        lines.append(f"{'window':<10}{window:>9,}")
        if total is not None:
            lines.append(f"{'left':<10}{window - total:>9,}")
            lines.append(f"{bar(total / window)} {total / window:.0%} of the window")
    used = session.totals
    lines.append(
        f"session: {plural(used.turns, 'turn')}, {used.prompt_tokens:,} prompt tokens "
        f"({used.cached_tokens:,} cached), {used.completion_tokens:,} reply tokens"
    )
    return "\n".join(lines)


def bar(share: float, *, columns: int = 20) -> str:
    """A bar of `columns` cells, filled to `share`."""
    filled = min(columns, math.ceil(share * columns))
    return "#" * filled + "-" * (columns - filled)


def by_role(session: Session, prompt: tuple[Message, ...], total: int) -> list[tuple[str, int]]:
    """Tokens of each role's text, and of the template around them. They add up to `total`."""
    counts = []
    for role in dict.fromkeys(message.role for message in prompt):
        blanked = [replace(item, text="") if item.role == role else item for item in prompt]
        without = session.count(blanked)
        if without is None:
            return []
        counts.append((str(role), total - without))
    return [*counts, ("template", total - sum(count for _, count in counts))]
