"""What helps where a server does not answer as servers do. Knows nothing of what it said."""

from __future__ import annotations

from glmcli.language import tr


def wait_longer() -> str:
    """What helps against silence."""
    return tr("the server may be overloaded or frozen; --timeout waits longer")


def look_at_log() -> str:
    """What helps where only the server knows more."""
    return tr("the server's own log may say why")


def wrong_kind(address_from: str) -> str:
    """What helps where the answer is not one of the protocol."""
    return tr("is it the right kind of server? check --model and {name}", name=address_from)
