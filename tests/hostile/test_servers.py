"""Whatever a server does, asking it ends with an answer or with one line and a hint."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

import pytest

from glmcli.config import Settings
from glmcli.engines import open_engine
from glmcli.engines.remote.faults import causes
from glmcli.errors import GlmError
from glmcli.types import GenerationParams, Message
from tests.hostile.asking import Ended, ask
from tests.hostile.servers import KEY, MODES, Mode
from tests.support.loopback import Loopback

TIMEOUT_S = 2
MOST_MEMORY = 200_000_000
MOST_S = 5 * TIMEOUT_S + 30
"""Signs of life are believed for four times as long; the rest is for a machine with much to do."""
QUICK = {name: mode for name, mode in MODES.items() if not mode.waits}


def answer(mode: Mode, url: str) -> tuple[str, str, int]:
    """(text, error, exit code) of one question, asked in this process."""
    settings = Settings(model=mode.model, base_url=url, api_key=KEY, timeout=20.0)
    text = ""
    try:
        with closing(open_engine(settings, lambda progress: None)) as engine:
            messages = [Message("user", "hi")]
            for chunk in engine.stream(messages, GenerationParams(), threading.Event()):
                text += chunk.text
                assert KEY not in chunk.thinking
    except GlmError as exc:
        said = " ".join(f"{cause} {cause.args}" for cause in causes(exc))
        assert exc.advice()
        return text, f"glm: {exc.message}\n{exc.advice()} {said}", exc.exit_code
    return text, "", 0


@pytest.mark.parametrize("name", QUICK)
def test_a_hostile_server_gets_one_line_or_its_answer_is_read(name):
    mode = QUICK[name]
    with Loopback(mode.script) as server:
        text, error, code = answer(mode, server.url)
    assert code == mode.code
    assert mode.said in (error or text)
    assert KEY not in text + error
    assert KEY.replace("/", "%2F") not in error


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> int:
    """The memory that asking a good server takes."""
    with Loopback(MODES["a good server"].script) as server:
        folder = tmp_path_factory.mktemp("idle")
        return ask(server.url, "openai:x", KEY, folder, timeout_s=TIMEOUT_S).memory


@pytest.mark.hostile
@pytest.mark.parametrize("name", MODES)
def test_asking_a_hostile_server_ends_right(name, idle, tmp_path):
    with Loopback(MODES[name].script) as server:
        ended = ask(server.url, MODES[name].model, KEY, tmp_path, timeout_s=TIMEOUT_S)
    assert not wrong(MODES[name], ended, idle, tmp_path / "home")


def wrong(mode: Mode, ended: Ended, idle: int, home: Path) -> list[str]:
    """What is not right about how asking a server ended."""
    found = []
    if ended.code != mode.code:
        found.append(f"exit code {ended.code}, not {mode.code}: {ended.err[-300:]}")
    if mode.said not in ended.out + ended.err:
        found.append(f"{mode.said!r} is not said: {ended.err[-300:]}")
    if ended.code and not (ended.err.count("glm: ") == ended.err.count("hint: ") == 1):
        found.append(f"not one line and one hint: {ended.err[-300:]}")
    stored = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    if KEY in ended.out + ended.err or KEY.encode() in stored:
        found.append("the key is shown or stored")
    for bug in ("Traceback", "internal error", "the engine failed"):
        if bug in ended.err:
            found.append(f"{bug}: {ended.err[-300:]}")
    if ended.memory > idle + MOST_MEMORY:
        found.append(f"{(ended.memory - idle) / 1e6:.0f} MB of memory")
    if ended.seconds > MOST_S:
        found.append(f"{ended.seconds:.0f} s")
    return found
