"""A FastChat cluster that answers as a real one was recorded to."""

from __future__ import annotations

import threading

import httpx

from glmcli.config import Settings
from glmcli.engines.remote.fastchat.engine import open_engine
from glmcli.types import GenerationParams, Message
from tests.support.transcripts import FakeServer, joined

HELLO = (Message("user", "What is the capital of France?"),)
NEVER = threading.Event()
PLAIN = GenerationParams()
WORKER = "127.0.0.1:21002"


def ignore(progress) -> None:
    pass


def cluster(stream="fs_stream_short", **changed) -> FakeServer:
    """A controller and its worker at WORKER; both answer every path, as nobody mixes them up."""
    return FakeServer(
        **{
            "list_models": "fs_controller_list_models",
            "get_worker_address": "fs_controller_get_worker_address_known",
            "refresh_all_workers": "fs_controller_refresh_all_workers",
            "worker_get_conv_template": "fs_worker_get_conv_template",
            "model_details": "fs_worker_model_details",
            "count_token": "fs_worker_count_token",
            "worker_generate_stream": stream,
            **changed,
        }
    )


def answer(**fields) -> httpx.Response:
    return httpx.Response(200, json=fields)


def opened(answers: httpx.MockTransport, name: str = "smollm2", **settings):
    settings = {"base_url": "http://controller.test:21001", **settings}
    return open_engine(name, Settings(**settings), ignore, transport=answers)


def reply(engine, params: GenerationParams = PLAIN, messages=HELLO):
    return joined(engine.stream(messages, params, NEVER))


REFUSED = httpx.ConnectError("connection refused")


def unreachable(
    answers: httpx.BaseTransport, hosts: set[str], fault: Exception = REFUSED
) -> httpx.MockTransport:
    """The same servers, of which some do not answer."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.netloc.decode() in hosts:
            raise fault
        return answers.handle_request(request)

    return httpx.MockTransport(handle)
