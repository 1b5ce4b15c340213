"""Commands of the history: other conversations, and the branches of this one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from glmcli.chat.commands.table import EVERYTHING, Chat, columns, command
from glmcli.chat.commands.talk import parse_number
from glmcli.chat.listing import HistoryList
from glmcli.config import Settings
from glmcli.conversation.roles import framing_role
from glmcli.conversation.transcript import params_record
from glmcli.conversation.window import turns_left_out
from glmcli.errors import GlmError, UsageError
from glmcli.language import ntr, tr
from glmcli.session import Session
from glmcli.store import Node
from glmcli.terminal.input.picking.columns import list_rows
from glmcli.terminal.phrases import TITLE_CELLS, clipped, end_note, summary_line, was_with
from glmcli.terminal.visible import visible_line
from glmcli.types import Conversation, GenerationParams

SHOWN_TURNS = 2
"""How much of a resumed conversation is shown."""
TABLE_ROWS = 20
"""How many conversations are listed where none can be picked."""
TEXT_COLUMNS = 32
"""How much of a question or a reply is shown in the tree."""


@command("[WORDS]")
def history(chat: Chat, rest: str) -> str:
    """Pick another chat from a list; or list the conversations that hold WORDS."""
    store = chat.session.store
    if rest:
        hits = store.search(rest)
        for hit in hits:
            chat.mark(hit.conversation.id, hit.pieces())
        verb, _, sought = rest.partition(" ")
        if not hits and (rest.isdecimal() or rest in EVERYTHING):
            raise UsageError(tr("nothing found"), tr("did you mean {near}?", near="/history"))
        if sought and not hits and verb in ("search", "find", "grep"):
            raise UsageError(
                tr("nothing found"), tr("did you mean {near}?", near=f"/history {sought}")
            )
        return "" if hits else tr("nothing found")
    stored = HistoryList(store, "chat", but=chat.session.conversation.id)
    if not stored.entries:
        return tr("there is no other conversation")
    if not chat.can_pick:
        return others_table(chat, stored)
    picked = chat.pick(stored)
    said = [stored.farewell]
    try:
        said.append(resume(chat, picked.id) if picked else "")
    except GlmError as exc:  # what was deleted in the list is told in any case
        exc.message = tr("; ").join(filter(None, [exc.message, stored.farewell]))
        raise
    return "\n".join(filter(None, said))


def others_table(chat: Chat, stored: HistoryList) -> str:
    """The newest chats of a list, or asks if there is no chat, and how to open one."""
    of_kind = [item for item in stored.entries if item.kind != "ask"]
    found = (of_kind or stored.entries)[:TABLE_ROWS]
    words = {item.id: stored.first_words(item.id) for item in found}
    rows = list_rows(found, words, with_kinds=False, room=chat.columns)
    return "\n".join([*rows, tr("/resume ID opens one")])


def others(chat: Chat, typed: str) -> list[tuple[str, str]]:
    """The last other conversations, for completion."""
    return [
        (
            item.id,
            summary_line(
                clipped(visible_line(item.title), TITLE_CELLS), item.updated_at, item.kind
            ),
        )
        for item in chat.session.store.list(20)
        if item.id != chat.session.conversation.id
    ]


@command("[ID]", words=others)
def resume(chat: Chat, rest: str) -> str:
    """Go on with another conversation; without ID, with the one before this."""
    session = chat.session
    if not rest:
        newest = session.store.list(2, "chat")
        found = [item.id for item in newest if item.id != session.conversation.id]
        if not found:
            raise UsageError(tr("there is no other conversation"), tr("/history lists them all"))
        rest = found[0]
    conversation = session.store.load(rest)
    chat.check_kept()
    session.resume(conversation, stored_params(conversation, chat.settings))
    return show_end(chat)


def params_of(conversation: Conversation, settings: Settings) -> GenerationParams:
    """How a conversation goes on: with its own sampling settings, where no others were given."""
    return conversation.params.merged(params_record(settings.params))


def stored_params(conversation: Conversation, settings: Settings) -> GenerationParams:
    """The same for one of the history: a history that the `.env` of a folder chose brings none."""
    return params_of(conversation, settings) if settings.is_home_own else settings.params


def show_end(chat: Chat) -> str:
    """Show the end of a conversation that is resumed; returns the notes below it."""
    shown = chat.session.conversation.messages[-2 * SHOWN_TURNS :]
    with suppress(UsageError):  # a pipe carries new replies, and nothing else
        for message in shown:
            chat.show(message, with_end=message is not shown[-1])
    return "\n".join(resumed(chat.session, chat.settings, in_role=chat.role is not None))


def resumed(session: Session, settings: Settings, *, in_role: bool) -> list[str]:
    """The notes on a conversation that is resumed, `in_role` where one is in force: how its last
    reply ended, if not as usual, and what becomes of it.
    """
    last = session.conversation.messages[-1:]
    replies = [item for item in last if item.role == "assistant"]
    ended = filter(None, [end_note(item, commands=session.commands) for item in replies])
    notes = [tr("the last reply: {note}", note=note) for note in ended]
    return [*notes, resumed_line(session, settings, in_role=in_role)]


def resumed_line(session: Session, settings: Settings, *, in_role: bool) -> str:
    """What becomes of a conversation that is resumed."""
    conversation = session.conversation
    turns = sum(message.role == "user" for message in conversation.messages)
    if settings.is_home_own:
        first = ntr(
            "resumed {id}: {n} turn, with its settings",
            "resumed {id}: {n} turns, with its settings",
            turns,
            id=conversation.id,
        )
    else:
        first = ntr(
            "resumed {id}: {n} turn, without its settings, since a .env chose its folder",
            "resumed {id}: {n} turns, without its settings, since a .env chose its folder",
            turns,
            id=conversation.id,
        )
    parts = [first]
    if conversation.model and conversation.model not in (session.model, settings.model):
        parts.append(was_with(conversation.model, typed=session.commands))
    asked = [message.text for message in conversation.messages if message.role == "user"]
    if asked and not in_role and (role := framing_role(asked[-1])):
        how = "/role" if session.commands else "--role"
        parts.append(
            tr("it was in the role {role}: {how} {role} goes on in it", role=role, how=how)
        )
    if not session.store.occupy(conversation):
        is_open = tr("it is open in another terminal too: what both say becomes two branches")
        forks = tr("/fork goes on in a copy") if session.commands else ""
        parts += filter(None, [is_open, forks])
    if conversation.omitted is not None:
        is_summary = tr("its beginning is sent as a summary")
        shows = tr("/summary shows it") if session.commands else ""
        parts += filter(None, [is_summary, shows])
    return tr("; ").join(parts)


@command("[off]")
def summary(chat: Chat, rest: str) -> str:
    """Show the summary sent in place of the oldest turns; `/summary off` sends them again."""
    session, conversation = chat.session, chat.session.conversation
    omitted = conversation.omitted
    if rest not in ("", "off"):
        raise UsageError(
            tr("/summary does not know {word}", word=rest), tr("/summary, or /summary off")
        )
    if omitted is None:
        return tr("the whole conversation is sent")
    if rest:
        session.send_all()
        return tr("the whole conversation is sent from now on, as long as it fits")
    return omission(
        turns_left_out(conversation), omitted.summary, session.tokens_of(omitted.summary)
    )


def omission(turns: int, summary: str, size: int | None) -> str:
    """The answer to /summary; `size` is that of the summary, in tokens."""
    if not summary:
        return ntr(
            "nothing is sent instead of the oldest turn",
            "nothing is sent instead of the oldest {n} turns",
            turns,
        )
    if size is None:
        head = ntr("instead of the oldest turn:", "instead of the oldest {n} turns:", turns)
    else:
        head = ntr(
            "instead of the oldest turn ({size:,} tokens):",
            "instead of the oldest {n} turns ({size:,} tokens):",
            turns,
            size=size,
        )
    return f"{head} {summary}"


@command("[TEXT]")
def title(chat: Chat, rest: str) -> str:
    """Show the conversation's title, or change it."""
    if rest:
        chat.session.rename(rest)
    return chat.session.conversation.title or tr("(no title yet)")


@command()
def fork(chat: Chat, rest: str) -> str:
    """Go on in a copy; the conversation so far stays as it is."""
    session = chat.session
    if not session.conversation.messages:
        raise UsageError(tr("there is nothing to fork yet"), tr("ask something first"))
    check_saved(session)
    before = session.conversation.id
    session.resume(session.store.fork(session.conversation))
    if not before:
        return tr("a copy of the loaded conversation: {id}", id=session.conversation.id)
    return tr("a copy of {before}: {id}", before=before, id=session.conversation.id)


def check_saved(session: Session) -> None:
    """Raise UsageError if a conversation is kept nowhere but in memory, on one branch."""
    if not session.store.enabled and session.conversation.messages:
        raise UsageError(
            tr("this conversation is not saved, so it has no branches"), tr("see GLM_HISTORY")
        )


@command()
def tree(chat: Chat, rest: str) -> str:
    """Show the questions and replies of this conversation on all its branches."""
    check_saved(chat.session)
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
        turn = " → ".join(clipped(text, TEXT_COLUMNS) for text in (asked, texts[node.id]) if text)
        rows.append(f"{number:>3} {'*' if node.current else ' '} {'  ' * depth}{turn}")
        below = after.get(node.id, [])
        waiting += [(depth + (len(below) > 1), *each) for each in reversed(below)]
    return "\n".join(rows) or tr("the conversation is empty")


def turn_ends(nodes: Sequence[Node]) -> list[Node]:
    """The ends of turns: the replies, and the questions that have none. Oldest first."""
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
        raise UsageError(tr("/goto needs a number"), tr("/tree shows the turns and their numbers"))
    check_saved(session)
    ends = turn_ends(list(session.store.tree(session.conversation)))
    if not ends:
        raise UsageError(tr("the conversation is empty"), tr("ask something first"))
    has = ntr(
        "the conversation has {n} turn: /tree shows it",
        "the conversation has {n} turns: /tree shows them and their numbers",
        len(ends),
    )
    session.store.goto(session.conversation, ends[parse_number(rest, len(ends), has) - 1].id)
    return tree(chat, "")


@command()
def stats(chat: Chat, rest: str) -> str:
    """Show the usage and the speed of this session."""
    totals = chat.session.totals
    rows = [
        (tr("turns"), f"{totals.turns:>9,}"),
        (tr("prompt tokens"), f"{totals.prompt_tokens:>9,}"),
        (tr("  from cache"), f"{totals.cached_tokens:>9,}"),
        (tr("reply tokens"), f"{totals.completion_tokens:>9,}"),
        (tr("seconds"), f"{totals.seconds:>9,.1f}"),
    ]
    if totals.decode_s:
        rows.append((tr("tokens/s"), f"{totals.decode_tokens / totals.decode_s:>9,.1f}"))
    return columns(rows)
