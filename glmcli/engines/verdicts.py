"""What was found out about a checkpoint once, kept in small files, one for each finding."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from glmcli.errors import GlmError
from glmcli.files import MB, read_json


def read_verdict(path: Path) -> dict[str, Any]:
    """A verdict that was kept; empty if there is none."""
    try:
        found = read_json(path, limit=MB)
    except GlmError:
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("same"), bool) else {}


def write_verdict(path: Path, verdict: Mapping[str, Any]) -> None:
    """Keep a verdict, whole or not at all; if it cannot be written, it is found again next time."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as folder:
            file = Path(folder) / path.name
            file.write_text(json.dumps(verdict), encoding="utf-8")
            file.replace(path)
