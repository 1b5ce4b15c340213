"""The real FastChat: its controller, and its own worker classes around a scripted model."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from glmcli.config import Settings
from glmcli.engines.remote.fastchat.engine import list_models, open_engine
from glmcli.errors import ConnectionLost, ContextFull, EngineError
from glmcli.types import GenerationParams, Message
from tests.support.fake_fastchat import NEVER, PLAIN, ignore, reply, unreachable
from tests.support.fastchat_cluster import RealCluster, wait_for


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    pytest.importorskip("fastchat", reason="the real FastChat is not installed")
    with RealCluster(tmp_path_factory.mktemp("fastchat")) as running:
        running.start("one")
        running.start("two")
        yield running


def open_real(
    real: RealCluster, model: str, transport: httpx.BaseTransport | None = None, **settings
):
    settings = {"base_url": real.url, "timeout": 30.0, **settings}
    return open_engine(model, Settings(**settings), ignore, transport=transport)


def ask(engine, text: str, params: GenerationParams = PLAIN):
    return reply(engine, params, (Message("user", text),))


def test_a_real_cluster_answers_for_each_of_its_models(real: RealCluster):
    assert list_models(Settings(base_url=real.url)) == [("one", None), ("two", None)]
    for model in ("one", "two"):
        with closing(open_real(real, model)) as engine:
            assert engine.context_tokens == 512
            text, _, last = ask(engine, "to be or not to be")
            assert text == "to be or not to be "
            assert last.finish_reason == "stop"
            assert ask(engine, "a b c d", GenerationParams(max_tokens=2))[0] == "a b "


def test_a_real_worker_counts_and_what_does_not_fit_is_not_sent(real: RealCluster):
    with closing(open_real(real, "one")) as engine:
        messages = (Message("user", "word " * 600),)
        size = engine.count(messages)
        assert size is not None
        assert size > 600
        with pytest.raises(ContextFull) as caught:
            reply(engine, messages=messages)
        assert caught.value.limit == 512


def test_a_cancelled_reply_frees_the_real_workers_slot_within_a_second(real: RealCluster):
    with closing(open_real(real, "one")) as engine:
        cancel = threading.Event()
        stream = engine.stream((Message("user", "pause " * 200),), PLAIN, cancel)
        kept = next(chunk for chunk in stream if chunk.text).text
        assert kept.startswith("pause")
        cancel.set()
        started = time.monotonic()
        assert list(stream)[-1].finish_reason == "cancelled"
        assert time.monotonic() - started < 0.5
        status = f"{real.addresses['one']}/worker_get_status"
        wait_for(status, '"queue_length":0', patience_s=1.5)
        assert ask(engine, "next turn")[0] == "next turn "


def test_an_error_of_the_real_worker_is_raised_and_the_slot_is_free(real: RealCluster):
    with closing(open_real(real, "one")) as engine:
        for _ in range(3):  # more often than the worker has slots
            with pytest.raises(EngineError, match="CUDA out of memory"):
                ask(engine, "one fault")
        assert ask(engine, "fine again")[0] == "fine again "


def test_a_real_worker_that_dies_is_an_interruption_and_then_gone(real: RealCluster):
    real.start("mortal")
    with closing(open_real(real, "mortal")) as engine:
        chunks = []
        with pytest.raises(ConnectionLost):
            for chunk in engine.stream((Message("user", "a b die c"),), PLAIN, NEVER):
                chunks.append(chunk)
        assert "".join(chunk.text for chunk in chunks).startswith("a b die")
        real.workers["mortal"].wait(10)
        with pytest.raises(EngineError, match="no worker"):
            ask(engine, "hello")


def test_a_real_controller_passes_requests_on(real: RealCluster):
    hidden = {real.addresses["one"].removeprefix("http://")}
    with (
        httpx.HTTPTransport() as network,
        closing(open_real(real, "one", unreachable(network, hidden), template="chatml")) as engine,
    ):
        assert ask(engine, "by the way")[0] == "by the way "
        with pytest.raises(EngineError, match="CUDA out of memory"):
            ask(engine, "one fault")


def test_a_real_worker_alone_answers_too(real: RealCluster):
    with closing(open_real(real, "two", base_url=real.addresses["two"])) as engine:
        assert ask(engine, "directly")[0] == "directly "
