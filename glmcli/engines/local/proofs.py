"""What was found out about a checkpoint once, kept in small files, one for each finding.

Where nothing may be written it is kept in memory, for as long as the program runs.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from glmcli import files
from glmcli.errors import GlmError, ModelError
from glmcli.models.checkpoint import Checkpoint
from glmcli.models.files.small import read_checkpoint_text

_REVISION = 1
"""Of all that is kept by fingerprint, weights in fewer bits too: each proof has one of its own."""
_IN_MEMORY: dict[Path, dict[str, Any]] = {}
_PLACES, _PLACE_BYTES = 256, 256
"""Where a file of weights is looked at: the time of two files may be the same."""


def read_verdict(path: Path) -> dict[str, Any]:
    """A verdict that was kept; empty if there is none."""
    if path in _IN_MEMORY:
        return _IN_MEMORY[path]
    try:
        found = files.read_json(path, limit=files.MB)
    except GlmError:
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("same"), bool) else {}


def write_verdict(path: Path, verdict: Mapping[str, Any], *, keep: bool) -> None:
    """Keep a verdict in its file, whole or not at all; in memory if that may not or cannot be."""
    _IN_MEMORY[path] = dict(verdict)
    if not keep:
        return
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as folder:
            file = Path(folder) / path.name
            file.write_text(json.dumps(verdict), encoding="utf-8")
            file.replace(path)
            del _IN_MEMORY[path]


def fingerprint(checkpoint: Checkpoint, *, device: str, dtype: str) -> str:
    """What tells one checkpoint on one kind of machine from another, without reading all of it.

    Raises ModelError.
    """
    facts: list[object] = [_REVISION, checkpoint.config, device.partition(":")[0]]
    facts += [dtype, version("torch"), version("transformers")]
    facts += [str(checkpoint.packing)] if checkpoint.packing else []
    facts += [[name, item.dtype, item.shape] for name, item in sorted(checkpoint.tensors.items())]
    adapter = checkpoint.adapter
    if adapter is not None:
        facts.append([adapter.kind, read_checkpoint_text(adapter.folder / "adapter_config.json")])
    for path in (*checkpoint.weights, *([adapter.weights] if adapter else [])):
        seen = path.stat()
        facts.append([path.name, seen.st_size, seen.st_mtime_ns, looked_at(path, seen.st_size)])
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:32]


def looked_at(path: Path, size: int) -> str:
    """A digest of a few bytes at many places of a file. Raises ModelError."""
    digest = hashlib.sha256()
    with (
        files.open_regular(path, limit=sys.maxsize, error=ModelError) as file,
        files.reading(path, ModelError),
    ):
        for place in range(_PLACES):
            file.seek(size * place // _PLACES)
            digest.update(file.read(_PLACE_BYTES))
    return digest.hexdigest()
