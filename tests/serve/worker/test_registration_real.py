"""A worker of ours under the real controller of FastChat, asked by our own client through it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from glmcli.config import Settings
from glmcli.engines import Engine, open_engine
from glmcli.engines.local.engine import LocalEngine
from glmcli.engines.local.net.plain.reader import model_of
from glmcli.serve.worker.registration import Registration
from glmcli.types import GenerationParams, Message, Report
from tests.support.chatglm_data import folder_of
from tests.support.fastchat_cluster import RealCluster, wait_for
from tests.support.serving import Served, soon
from tests.support.tiny_chat import NET, TEMPLATE
from tests.support.transcripts import joined
from tests.support.working import working

GREEDY = GenerationParams(temperature=0.0, max_tokens=16)
NEVER = threading.Event()
TURNS = ("hello world", "你好，世界", "  x\n\n    y")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    pytest.importorskip("fastchat", reason="the real FastChat is not installed")
    with RealCluster(tmp_path_factory.mktemp("fastchat")) as running:
        yield running


@contextmanager
def joined_to(cluster: RealCluster, open_it, name: str) -> Iterator[Served]:
    """A worker of ours that the controller knows."""
    with working(open_it, name=name) as worker:
        status = {"model_names": [name], "speed": 1, "queue_length": 0}
        told: list[str] = []
        Registration(cluster.url, worker.url, lambda: status, tell=told.append, beat_s=0.2).start(
            worker.holder.stopping
        )
        try:
            wait_for(f"{cluster.url}/list_models", name)
            yield worker
        finally:
            worker.holder.stop()


def tiny(report) -> Engine:
    return LocalEngine("tiny", model_of(NET), TEMPLATE, context_tokens=1024)


def talker(cache: Path) -> Callable[[Report], Engine]:
    """Opens ChatGLM3 in its own layout; what it keeps goes to a folder."""
    folder = str(folder_of("talker-tiny-32k-safetensors"))
    settings = Settings(model=folder, dtype="float32", device="cpu", cache=cache)
    return lambda report: open_engine(settings, report)


def client(cluster: RealCluster, name: str) -> Engine:
    settings = Settings(model=f"fastchat:{name}", base_url=cluster.url, timeout=60.0)
    return open_engine(settings, lambda progress: None)


@pytest.mark.parametrize("name", ["chatml", "chatglm3"])
def test_a_conversation_through_the_controller_is_the_engine_s_own(cluster, tmp_path, name):
    open_it = talker(tmp_path) if name == "chatglm3" else tiny
    with (
        closing(open_it(lambda progress: None)) as own,
        joined_to(cluster, open_it, name),
        closing(client(cluster, name)) as engine,
    ):
        assert engine.context_tokens == own.context_tokens
        for first in ([], [Message("system", "You are brief.\n简短。")]):
            messages = list(first)
            for text in TURNS:
                messages.append(Message("user", text))
                reply, _, last = joined(engine.stream(messages, GREEDY, NEVER))
                wanted, _, end = joined(own.stream(messages, GREEDY, NEVER))
                assert reply == wanted
                assert last.finish_reason == end.finish_reason
                assert last.usage.prompt_tokens == end.usage.prompt_tokens
                assert engine.count(messages) == own.count(messages)
                messages.append(Message("assistant", reply or "ok"))


def test_ctrl_c_stops_the_worker_and_it_answers_again(cluster: RealCluster):
    with joined_to(cluster, tiny, "stops") as worker, closing(client(cluster, "stops")) as engine:
        question = [Message("user", TURNS[0])]
        cancel = threading.Event()
        stream = engine.stream(question, GenerationParams(max_tokens=900, temperature=0.0), cancel)
        next(chunk for chunk in stream if chunk.text)
        assert worker.holder.busy == 1
        cancel.set()
        assert joined(stream)[2].finish_reason == "cancelled"
        assert soon(lambda: worker.holder.busy == 0, 3.0)
        assert joined(engine.stream(question, GREEDY, NEVER))[0]


def test_it_is_found_again_after_the_controller_asked_everybody(cluster: RealCluster):
    with joined_to(cluster, tiny, "asked"):
        wait_for(f"{cluster.url}/refresh_all_workers", "null")
        wait_for(f"{cluster.url}/list_models", "asked", 5.0)
