"""Versions of transformers, and the limits under which a library works."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from glmcli.errors import ModelError, OutOfMemory
from glmcli.models.libraries import (
    TookTooLongError,
    check_transformers,
    errors_of,
    limited,
    says_no_memory,
)


def pretend(version: str, folder: Path) -> str:
    """A folder for the import path in which transformers has this version, and cannot be used."""
    info = folder / f"transformers-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: transformers\nVersion: {version}\n"
    )
    (folder / "transformers.py").write_text("raise ImportError('nothing of it is imported')\n")
    return str(folder)


def test_the_installed_version_is_accepted() -> None:
    check_transformers()


@pytest.mark.parametrize("version", ["5.0.0", "5.99.1.dev0"])
def test_versions_in_the_range_are_accepted(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(pretend(version, tmp_path))
    check_transformers()


@pytest.mark.parametrize("version", ["4.40.2", "4.57.6", "6.0.0", "6.0.0rc1", "main"])
def test_others_are_one_sentence_that_says_what_to_install(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(pretend(version, tmp_path))
    with pytest.raises(ModelError, match=version) as caught:
        check_transformers()
    assert 'pip install "transformers>=5.0,<6"' in caught.value.hint


def test_an_old_version_is_told_before_it_is_imported(tmp_path: Path) -> None:
    paths = os.pathsep.join(filter(None, [pretend("4.40.2", tmp_path), os.getenv("PYTHONPATH")]))
    asked = subprocess.run(
        [sys.executable, "-m", "glmcli", "ask", "-m", str(tmp_path), "hi"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "GLM_HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
    )
    assert asked.returncode == 3
    assert asked.stdout == ""
    assert "transformers 4.40.2 cannot be used" in asked.stderr
    assert "Traceback" not in asked.stderr


def test_the_first_prompt_does_not_wait_for_what_only_opening_a_model_needs() -> None:
    code = (
        "import sys; before = set(sys.modules); import glmcli.machine, "
        "glmcli.engines.thread; print(sorted({'ctypes', 'email', 'importlib.metadata'} & "
        "(set(sys.modules) - before)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


GB = 1 << 30


def stubborn() -> None:
    """Go on once when told to end."""
    for _ in range(2):
        try:
            while True:
                pass
        except TookTooLongError:
            pass


def endless() -> None:
    while True:
        pass


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (endless, "the work takes too long: it was stopped"),
        (stubborn, "the work takes too long: it was stopped"),
        (lambda: [0] * 10**9, "the work needs too much memory: it was stopped"),
    ],
)
def test_what_takes_too_much_is_stopped_and_the_limits_are_put_back(job, said) -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with (
        pytest.raises(ModelError, match=said),
        limited("the work", "help", cpu_s=0.1, memory_bytes=GB),
    ):
        job()
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_what_a_library_raises_within_limits_is_raised() -> None:
    with pytest.raises(ZeroDivisionError), limited("x", "y", cpu_s=1, memory_bytes=GB):
        1 // 0  # noqa: B018


@pytest.mark.timeout(20)
def test_a_profile_may_be_taken_of_limited_work_and_what_follows() -> None:
    sys.setprofile(lambda *_: None)
    try:
        for _ in range(3):
            with limited("x", "y", cpu_s=1, memory_bytes=GB):
                sum(map(abs, range(1000)))
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory", True),
        ("unable to mmap 5 bytes from file <a>: Cannot allocate memory (12)", True),
        ("CUDA out of memory. Tried to allocate 2 GiB", True),
        ("shape '[2]' is invalid", False),
    ],
)
def test_a_library_says_in_many_ways_that_there_is_no_memory(said, found) -> None:
    assert says_no_memory(RuntimeError(said)) is found
    with pytest.raises(OutOfMemory if found else ModelError), errors_of("it", "help"):
        raise RuntimeError(said)


def test_nothing_is_raised_once_the_work_is_done() -> None:
    for number in range(100):
        begin = time.thread_time()
        try:
            with limited("x", "y", cpu_s=0.0501, memory_bytes=GB):
                while time.thread_time() < begin + 0.0499 + number % 5 / 10_000:
                    pass
        except ModelError:
            continue
