"""The small GGUF model, opened by llama.cpp."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from glmcli.config import load_settings
from glmcli.engines.gguf.engine import GgufEngine
from glmcli.engines.gguf.open import open_engine
from tests.support.gguf_files import write_chat


@cache
def tiny_file() -> Path:
    """The model, written once."""
    return write_chat(Path(mkdtemp(prefix="glm-", dir="/tmp")) / "tiny.gguf")


def opened(path: Path | None = None, **options: Any) -> GgufEngine:
    """Its engine, with one thread; who calls it closes it."""
    pytest.importorskip("xllamacpp")
    path = path or tiny_file()
    settings = load_settings({"model": str(path), "threads": 1, **options}, environ={}, folder=path)
    return open_engine(str(path), settings, lambda progress: None)
