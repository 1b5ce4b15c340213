"""Whom a worker answers: the addresses of its controller, and those that the user allows.

A worker has no keys. Knows nothing of connections but the number at their other end.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv6Address, ip_network

from glmcli.config.proxies import AddressBlock, as_block, as_number
from glmcli.errors import UsageError
from glmcli.harmless import quoted
from glmcli.language import tr


class Guests:
    """The controller at `host`, looked up whenever it is met, and blocks of addresses."""

    def __init__(self, host: str, allowed: Sequence[AddressBlock] = ()) -> None:
        self._host = host
        self._allowed = tuple(allowed)
        self._found: tuple[AddressBlock, ...] = ()

    @property
    def blocks(self) -> tuple[AddressBlock, ...]:
        """All that are answered, the controller's first."""
        return tuple(dict.fromkeys((*self._found, *self._allowed)))

    def look_up(self) -> None:
        """Find the controller's addresses; those that were known stay if it has no name now."""
        with suppress(OSError, UnicodeError):
            found = socket.getaddrinfo(self._host, None, type=socket.SOCK_STREAM)
            numbers = dict.fromkeys(str(item[4][0]).partition("%")[0] for item in found)
            self._found = tuple(ip_network(number) for number in numbers)

    def is_guest(self, address: str) -> bool:
        """Whether a number is one of theirs; one of IPv4 may be written as IPv6 has it."""
        number = as_number(address)
        if isinstance(number, IPv6Address):
            number = number.ipv4_mapped or number
        return number is not None and any(number in block for block in self.blocks)


def allowed_blocks(texts: Sequence[str]) -> list[AddressBlock]:
    """What --allow was given. Raises UsageError."""
    blocks = []
    for text in texts:
        block = as_block(text.strip())
        if block is None:
            raise UsageError(
                tr("--allow takes an address, not {text}", text=quoted(text[:60])),
                tr("10.0.0.7, fd00::7, or a block of them: 10.0.0.0/24"),
            )
        blocks.append(block)
    return blocks


def told_blocks(blocks: Sequence[AddressBlock]) -> str:
    """Addresses as they are said: a single one without its mask."""
    single = (block.num_addresses == 1 for block in blocks)
    each = zip(blocks, single, strict=True)
    return tr(", ").join(str(block[0]) if is_one else str(block) for block, is_one in each)


def own_address(host: str, port: int) -> str:
    """The number that this machine has for another one; "" if there is no way to it.

    Nothing is sent: a socket without a connection tells from where it would be.
    """
    with suppress(OSError, UnicodeError):
        for family, kind, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM):
            with suppress(OSError), socket.socket(family, kind) as probe:
                probe.connect(address)
                return str(probe.getsockname()[0])
    return ""
