"""A controller can name the places where clusters live, and no others."""

from __future__ import annotations

import socket
from contextlib import closing

import httpx
import pytest

from glmcli.engines.remote.fastchat.workers import can_be_worker, can_have_worker
from glmcli.engines.remote.http import Server
from glmcli.errors import EngineError
from tests.support.loopback import Loopback
from tests.support.reading import answering, read


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost:21002",
        "http://127.0.0.1:21002",
        "http://[::1]:21002",
        "http://10.0.0.7:31000",
        "http://192.168.1.5",
        "https://172.16.0.9/worker",
        "http://[fd12:3456::7]:21002",
        "http://203.0.113.5:8080",
        "http://gpu-7.lab:21002",
        "http://metadata-store.lab:21002",
    ],
)
def test_a_worker_lives_on_this_machine_in_the_lab_or_anywhere(address):
    assert can_be_worker(httpx.URL(address))


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254",
        "http://169.254.0.1:21002",
        "http://[fe80::1]:21002",
        "http://[::ffff:169.254.169.254]",
        "http://[2002:a9fe:a9fe::]",
        "http://2852039166",
        "http://0xA9FEA9FE",
        "http://169.254.43518",
        "http://[fd00:ec2::254]",
        "http://100.100.100.200",
        "http://224.0.0.1",
        "http://255.255.255.255",
        "http://metadata.google.internal",
        "http://METADATA.google.internal.",
        "http://127.0.0.1:22",
        "http://192.168.1.5:25",
    ],
)
def test_a_worker_does_not_live_where_only_secrets_do(address):
    assert not can_be_worker(httpx.URL(address))


def test_a_name_that_stands_for_such_a_place_is_left_before_anything_is_sent():
    with (
        Loopback(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) as loopback,
        closing(Server(loopback.url, allowed=lambda host: host != "127.0.0.1")) as server,
        pytest.raises(EngineError, match=r"names a worker at 127\.0\.0\.1, where none can be"),
    ):
        read(server)
    assert not loopback.asked.is_set()


def test_the_number_of_a_connection_may_name_its_interface():
    assert not can_have_worker("fe80::1%eth0")
    assert can_have_worker(socket.gethostname())
