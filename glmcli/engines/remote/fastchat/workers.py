"""Where the worker of a FastChat cluster can live, and where none can.

A controller says where its workers are, and this program goes there: it must not be sent to a
place that answers only because the request comes from this machine. A home network and this
machine itself are where clusters live. Knows nothing of what is asked there.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

METADATA = ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")
"""Where clouds tell their machines secrets, beside the link-local addresses."""
_NAMES = ("metadata", "metadata.google.internal", "instance-data")
WEB_PORTS = (80, 443)
"""The ports below 1024 where a worker may be; mail and the like understand parts of HTTP."""


def can_be_worker(address: httpx.URL) -> bool:
    """Whether a controller may name an address; what its host's name stands for is seen later."""
    port = address.port
    if port is not None and port < 1024 and port not in WEB_PORTS:
        return False
    host = address.host.rstrip(".").lower()
    return host not in _NAMES and can_have_worker(host)


def can_have_worker(host: str) -> bool:
    """Whether a host, as a number in any spelling or as a name, may have a worker."""
    number = host_number(host)
    if number is None:
        return True
    if number.is_link_local or number.is_multicast or str(number) in METADATA:
        return False
    return not number.is_reserved or number.is_loopback


def host_number(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host's number stands for, None for a name: "0xa9fea9fe" is one too."""
    try:
        number = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, ValueError):
            return None
    if isinstance(number, ipaddress.IPv6Address):
        return number.ipv4_mapped or number.sixtofour or number
    return number
