"""Commands of the history: other conversations, and the branches of this one."""

from __future__ import annotations

import time
from contextlib import suppress

from glmcli.commands.table import Chat, command
from glmcli.commands.talk import whole_number
from glmcli.errors import UsageError
from glmcli.window import left_out

SHOWN_TURNS = 2
"""How much of a resumed conversation is shown."""


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
        f"  {item.turns:>3} turns  {item.title}"
        for item in store.list(20)
    ]
    return "\n".join(rows) or "the history is empty"


@command("[ID]")
def resume(chat: Chat, rest: str) -> str:
    """Go on with another conversation; without ID, with the one before this."""
    session = chat.session
    if not rest:
        others = [item.id for item in session.store.list(2) if item.id != session.conversation.id]
        if not others:
            raise UsageError("there is no other conversation", "/history lists them all")
        rest = others[0]
    session.conversation = session.store.load(rest)
    session.params = session.conversation.params
    return show_end(chat)


def show_end(chat: Chat) -> str:
    """Show the end of a conversation that is resumed; returns what to say of it."""
    conversation = chat.session.conversation
    with suppress(UsageError):  # a pipe carries what is new, and nothing else
        for message in conversation.messages[-2 * SHOWN_TURNS :]:
            chat.show(message)
    turns = sum(message.role == "user" for message in conversation.messages)
    said = f"resumed {conversation.id}: {turns} turns, with its settings"
    if conversation.model and conversation.model != chat.session.model:
        said += f"; it was with {conversation.model}, /model goes back to it"
    if conversation.omitted is not None:
        said += "; its beginning is sent as a summary, /summary shows it"
    return said


@command("[off]")
def summary(chat: Chat, rest: str) -> str:
    """Show what is sent in place of the oldest turns; `/summary off` sends them again."""
    session, conversation = chat.session, chat.session.conversation
    omitted = conversation.omitted
    if omitted is None:
        return "the whole conversation is sent"
    if rest == "off":
        conversation.omitted = None
        session.store.summarise(conversation)
        return "the whole conversation is sent from now on, as long as it fits"
    if rest:
        raise UsageError(f"/summary does not know {rest}", "/summary, or /summary off")
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
    before = session.conversation.id
    session.conversation = session.store.fork(session.conversation)
    return f"a copy of {before}: {session.conversation.id}"


@command()
def tree(chat: Chat, rest: str) -> str:
    """Show the questions of this conversation on all its branches."""
    nodes = list(chat.session.store.tree(chat.session.conversation))
    parents = {node.id: node.parent_id for node in nodes}
    asked = [node for node in nodes if node.role == "user"]
    rows = []
    for number, node in enumerate(asked, 1):
        depth, above = 0, node.parent_id
        while above is not None:
            depth, above = depth + 1, parents.get(above)
        mark = "*" if node.current else " "
        rows.append(f"{number:>3} {mark} {'  ' * (depth // 2)}{' '.join(node.text.split())[:60]}")
    return "\n".join(rows) or "the conversation is empty"


@command("N")
def goto(chat: Chat, rest: str) -> str:
    """Move to the branch that ends with question N of /tree."""
    session = chat.session
    asked = [node for node in session.store.tree(session.conversation) if node.role == "user"]
    if not asked:
        raise UsageError("the conversation is empty", "ask something first")
    session.store.goto(session.conversation, asked[whole_number(rest, len(asked)) - 1].id)
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
    if totals.seconds and totals.completion_tokens:
        lines.append(f"tokens/s       {totals.completion_tokens / totals.seconds:>9,.1f}")
    return "\n".join(lines)
