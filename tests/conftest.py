"""What all tests share: a home of their own, and the program as a shell command."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings

from glmcli.config.values import READ_SECRETS
from tests.support.shell import run_glm

# The same examples in every run: a test fails because of a change, not because of the day.
settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.load_profile("repeatable")


# Tiny nets are slower with more threads, and ten times as slow where others want the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What nohup or a shell's `&` has these tests ignore, the programs they start would ignore as well;
# what is handled, here by nothing, is theirs to decide.
for signum in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
    if signal.getsignal(signum) is signal.SIG_IGN:
        signal.signal(signum, lambda signum, frame: None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The whole corpora of hostile material take minutes: they run where -m names them."""
    if "hostile" not in config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker("hostile")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the history of the person who runs it, or has another's keys."""
    READ_SECRETS.clear()
    for name in [name for name in os.environ if name.startswith("GLM_") and name != "GLM_CACHE"]:
        if name != "GLM_TEST_DATA":
            monkeypatch.delenv(name)
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("OLLAMA", "LM_STUDIO"):  # nor finds what other programs have there
        monkeypatch.setattr(f"glmcli.config.known.{name}", ())
    monkeypatch.delenv("OLLAMA_MODELS", raising=False)
    home = tmp_path / "home"
    monkeypatch.setenv("GLM_HOME", str(home))
    return home


@pytest.fixture(autouse=True)
def own_runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """No test finds a model that another one, or the person who runs it, keeps in memory.

    The path of a socket must be short: it does not fit below `tmp_path`.
    """
    folder = Path(tempfile.mkdtemp(prefix="glm-"))
    other = Path(tempfile.mkdtemp(prefix="glm-"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("TMPDIR", str(other))
    monkeypatch.setattr("tempfile.tempdir", str(other))
    yield folder
    for each in (folder, other):
        shutil.rmtree(each, ignore_errors=True)


@pytest.fixture
def glm(tmp_path: Path):
    """`glm("ask", "-m", "echo:", "hi")`: runs in an empty folder with a home of its own."""
    return partial(run_glm, cwd=tmp_path)
