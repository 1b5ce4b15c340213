"""Versions of transformers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from glmcli.errors import ModelError
from glmcli.models.libraries import check_transformers


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
