"""Commands of the history: other conversations, and the branches of this one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from glmcli.chat.commands.table import Chat, command
from glmcli.chat.commands.talk import whole_number
from glmcli.config import Settings
from glmcli.conversation.transcript import params_record
from glmcli.conversation.window import left_out
from glmcli.errors import UsageError
from glmcli.session import Session
from glmcli.store import Node
from glmcli.terminal.phrases import clipped, end_note, plural
from glmcli.terminal.visible import visible_line
from glmcli.types import Conversation, GenerationParams

SHOWN_TURNS = 2
"""How much of a resumed conversation is shown."""
TEXT_COLUMNS = 32
"""How much of a question or a reply is shown in the tree."""


@command("[WORDS]")
def history(chat: Chat, rest: str) -> str:
    """List the last conversations, or those that hold WORDS."""
    store = chat.session.store
    if rest:
        hits = store.search(rest)
        for hit in hits:
            chat.mark(hit.conversation.id, hit.pieces())
        return "" if hits else "nothing found"
    rows = [
        f"{item.id}  {time.strftime('%Y-%m-%d %H:%M', time.localtime(item.updated_at))}"
        f"  {plural(item.turns, 'turn'):>9}  {visible_line(item.title)}"
        for item in store.list(20)
    ]
    return "\n".join(rows) or "the history is empty"


def others(chat: Chat, typed: str) -> list[tuple[str, str]]:
    """The last conversations, for completion."""
    return [(item.id, visible_line(item.title)) for item in chat.session.store.list(20)]


@command("[ID]", words=others)
def resume(chat: Chat, rest: str) -> str:
    """Go on with another conversation; without ID, with the one before this."""
    session = chat.session
    if not rest:
        found = [item.id for item in session.store.list(2) if item.id != session.conversation.id]
        if not found:
            raise UsageError("there is no other conversation", "/history lists them all")
        rest = found[0]
    session.conversation = session.store.load(rest)
    session.params = params_of(session.conversation, chat.settings)
    return show_end(chat)


def params_of(conversation: Conversation, settings: Settings) -> GenerationParams:
    """How a conversation goes on: with its own sampling settings, where no others were given."""
    return conversation.params.merged(params_record(settings.params))


def show_end(chat: Chat) -> str:
    """Show the end of a conversation that is resumed; returns what to say of it."""
    with suppress(UsageError):  # a pipe carries what is new, and nothing else
        for message in chat.session.conversation.messages[-2 * SHOWN_TURNS :]:
            chat.show(message)
    last = chat.session.conversation.messages[-1:]
    ended = [note for item in last if item.role == "assistant" and (note := end_note(item))]
    return "\n".join([*ended, resumed(chat.session)])


def resumed(session: Session) -> str:
    """What to say of a conversation that is resumed."""
    conversation = session.conversation
    turns = sum(message.role == "user" for message in conversation.messages)
    said = f"resumed {conversation.id}: {plural(turns, 'turn')}, with its settings"
    if conversation.model and conversation.model != session.model:
        said += f"; it was with {conversation.model}, /model goes back to it"
    if conversation.omitted is not None:
        said += "; its beginning is sent as a summary, /summary shows it"
    return said


@command("[off]")
def summary(chat: Chat, rest: str) -> str:
    """Show what is sent in place of the oldest turns; `/summary off` sends them again."""
    session, conversation = chat.session, chat.session.conversation
    omitted = conversation.omitted
    if rest not in ("", "off"):
        raise UsageError(f"/summary does not know {rest}", "/summary, or /summary off")
    if omitted is None:
        return "the whole conversation is sent"
    if rest:
        conversation.omitted = None
        session.store.summarise(conversation)
        return "the whole conversation is sent from now on, as long as it fits"
    size = session.tokens_of(omitted.summary)
    head = f"instead of {left_out(conversation)}" + (f" ({size:,} tokens)" if size else "")
    return f"{head}: {omitted.summary}" if omitted.summary else f"nothing is sent {head}"


@command("[TEXT]")
def title(chat: Chat, rest: str) -> str:
    """Show the conversation's title, or change it."""
    conversation = chat.session.conversation
    if rest:
        if conversation.id:
            chat.session.store.rename(conversation.id, rest)
        conversation.title = rest
    return conversation.title or "(no title yet)"


@command()
def fork(chat: Chat, rest: str) -> str:
    """Go on in a copy; the conversation so far stays as it is."""
    session = chat.session
    if not session.conversation.messages:
        raise UsageError("there is nothing to fork yet", "ask something first")
    with_history(session)
    before = session.conversation.id or "what was loaded"
    session.conversation = session.store.fork(session.conversation)
    return f"a copy of {before}: {session.conversation.id}"


def with_history(session: Session) -> None:
    """Raise UsageError if a conversation is kept nowhere but in memory, on one branch."""
    if not session.store.enabled and session.conversation.messages:
        raise UsageError("this conversation is not saved, so it has no branches", "see GLM_HISTORY")


@command()
def tree(chat: Chat, rest: str) -> str:
    """Show the questions and replies of this conversation on all its branches."""
    with_history(chat.session)
    nodes = list(chat.session.store.tree(chat.session.conversation))
    texts = {node.id: " ".join(node.text.split()) for node in nodes}
    ends = turn_ends(nodes)
    after: dict[int | None, list[tuple[int, Node]]] = {}
    for number, node in enumerate(ends, 1):
        after.setdefault(turn_before(node, nodes, ends), []).append((number, node))
    rows = []
    waiting = [(0, *each) for each in reversed(after.get(None, []))]
    while waiting:
        depth, number, node = waiting.pop()
        asked = texts.get(node.parent_id or 0, "") if node.role == "assistant" else ""
        said = " → ".join(clipped(text, TEXT_COLUMNS) for text in (asked, texts[node.id]) if text)
        rows.append(f"{number:>3} {'*' if node.current else ' '} {'  ' * depth}{said}")
        below = after.get(node.id, [])
        waiting += [(depth + (len(below) > 1), *each) for each in reversed(below)]
    return "\n".join(rows) or "the conversation is empty"


def turn_ends(nodes: Sequence[Node]) -> list[Node]:
    """What ends a turn: the replies, and the questions that have none. Oldest first."""
    answered = {node.parent_id for node in nodes}
    return [node for node in nodes if node.role == "assistant" or node.id not in answered]


def turn_before(node: Node, nodes: Sequence[Node], ends: Sequence[Node]) -> int | None:
    """The end of the turn before the one that `node` ends, or None."""
    parents = {each.id: each.parent_id for each in nodes}
    known = {each.id for each in ends}
    above = node.parent_id
    while above is not None and above not in known:
        above = parents.get(above)
    return above


@command("N")
def goto(chat: Chat, rest: str) -> str:
    """Move to the branch that ends with turn N of /tree."""
    session = chat.session
    if not rest:
        raise UsageError("/goto needs a number", "/tree shows the turns and their numbers")
    with_history(session)
    ends = turn_ends(list(session.store.tree(session.conversation)))
    if not ends:
        raise UsageError("the conversation is empty", "ask something first")
    session.store.goto(session.conversation, ends[whole_number(rest, len(ends)) - 1].id)
    return tree(chat, "")


@command()
def stats(chat: Chat, rest: str) -> str:
    """Show what this session used, and how fast it was."""
    totals = chat.session.totals
    lines = [
        f"turns          {totals.turns:>9,}",
        f"prompt tokens  {totals.prompt_tokens:>9,}",
        f"  from cache   {totals.cached_tokens:>9,}",
        f"reply tokens   {totals.completion_tokens:>9,}",
        f"seconds        {totals.seconds:>9,.1f}",
    ]
    if totals.decode_s:
        lines.append(f"tokens/s       {totals.decode_tokens / totals.decode_s:>9,.1f}")
    return "\n".join(lines)
