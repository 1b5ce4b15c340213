"""A hostile checkpoint: a healthy one with one thing wrong in it, and the ways to spoil it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hostile import healthy

GONE = object()
"""In place of a value: the field is not there."""
Spoil = Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Case:
    """One hostile checkpoint."""

    name: str
    base: Callable[[Path], Path]
    """Makes the healthy one."""
    spoil: Spoil
    said: str = ""
    """What its refusal has to name."""
    is_harmless: bool = False
    """Whether the right answer is as good as a refusal."""
    needs_library: bool = False
    """Whether it takes the library that would build the net to see what is wrong."""
    is_heavy: bool = False
    """Whether it takes long to make, or to look at."""

    def write(self, folder: Path, copies: Path) -> Path:
        """Make the checkpoint in `folder`; healthy ones are made once, in `copies`."""
        original = copies / self.base.__name__
        if not original.exists():
            self.base(original)
        shutil.copytree(original, folder)
        self.spoil(folder)
        return folder


def with_field(file: str, field: str, value: Any) -> Spoil:
    """Writes another value into a JSON file."""

    def spoil(folder: Path) -> None:
        values = json.loads((folder / file).read_text(encoding="utf-8"))
        values[field] = value
        if isinstance(value, dict):
            values[field] = {key: each for key, each in value.items() if each is not GONE}
        if value is GONE:
            del values[field]
        healthy.write_json(folder / file, values)

    return spoil


def replaced(file: str, make: Callable[[Path], object]) -> Spoil:
    """Puts something else in the place of a file."""

    def spoil(folder: Path) -> None:
        (folder / file).unlink(missing_ok=True)
        make(folder / file)

    return spoil


def with_content(file: str, data: bytes | Callable[[bytes], bytes]) -> Spoil:
    """Writes other bytes into a file, or what is made of its own."""

    def spoil(folder: Path) -> None:
        path = folder / file
        if isinstance(data, bytes):
            path.write_bytes(data)
        else:
            path.write_bytes(data(path.read_bytes() if path.exists() else b"{"))

    return spoil


def only(files: Mapping[str, bytes]) -> Spoil:
    """Empties a folder, then writes these files."""

    def spoil(folder: Path) -> None:
        for path in folder.iterdir():
            path.unlink()
        for name, data in files.items():
            (folder / name).write_bytes(data)

    return spoil


def without(file: str) -> Spoil:
    """Takes a file away."""
    return lambda folder: (folder / file).unlink()


def chained(*spoils: Spoil) -> Spoil:
    """Does one after the other."""

    def spoil(folder: Path) -> None:
        for each in spoils:
            each(folder)

    return spoil
