"""Weights in few bits, kept on disk: rounded once, read straight from then on.

One file for each linear layer, in a folder that appears whole or not at all. Knows nothing of what
the layers are for.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from glmcli.engines.local.net.fused.bits.rounding import LAYOUTS, Kept


class Shelf:
    """The quantised layers of one checkpoint, in `folder`. With `keep` False nothing is written.

    A disk that cannot be written is not a fault: the layers are quantised again the next time.
    """

    def __init__(self, folder: Path, keep: bool) -> None:
        self._folder = folder
        self._keep = keep
        self.is_full = folder.is_dir()
        self._work: Path | None = None
        if keep and not self.is_full:
            with suppress(OSError):
                folder.parent.mkdir(parents=True, exist_ok=True)
                self._work = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))

    def get(self, place: str) -> dict[str, Tensor] | None:
        """A layer as it was put; None if it is not there, or damaged."""
        if not self.is_full:
            return None
        try:
            found = load_file(self._folder / f"{place}.safetensors")
        except (OSError, SafetensorError):
            return None
        return found if found.keys() in LAYOUTS else None

    def put(self, place: str, kept: Kept) -> None:
        """Keep a layer for the next time; one that was damaged is replaced."""
        folder = self._folder if self.is_full and self._keep else self._work
        if folder is None:
            return
        path = folder / f".{place}"
        try:
            save_file(dict(kept), path)
            path.replace(folder / f"{place}.safetensors")
        except OSError:
            path.unlink(missing_ok=True)
            self.close(is_whole=False)

    def close(self, *, is_whole: bool) -> None:
        """Let the layers be found if all of them were put; leave nothing half-made behind."""
        if self._work is None:
            return
        if is_whole:
            with suppress(OSError):  # another process was faster
                self._work.rename(self._folder)
        shutil.rmtree(self._work, ignore_errors=True)
        self._work = None
