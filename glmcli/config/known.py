"""Whether a name means a model that is on this machine already: the built-in one, or a hub id.

Decided by looking for a few files, without the hub's client. A name that could mean a path in the
working folder is not one: that folder may be anybody's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from glmcli.paths import is_folder, with_home

BUILT_IN_MODEL = "smollm2"
_WEIGHTS = (".safetensors", ".bin")

_WORD = r"[A-Za-z0-9_][\w.-]*"
_ID = rf"(?P<repo>{_WORD}/{_WORD})(?:@(?P<revision>{_WORD}(?:/{_WORD})*))?"


def is_known_model(name: str, folder: Path, environ: Mapping[str, str]) -> bool:
    """Whether a name means a model of this machine, in whatever folder it is said."""
    if name == BUILT_IN_MODEL:
        return True
    cached = cached_snapshot(name, folder, environ)
    if cached is None:
        return False
    try:
        files = {file.name for file in cached.iterdir()}
    except OSError:
        return False
    return "config.json" in files and any(file.endswith(_WEIGHTS) for file in files)


def cached_snapshot(
    name: str, folder: Path, environ: Mapping[str, str] | None = None
) -> Path | None:
    """Where the hub's client keeps the model of an id, there or not; None for another name."""
    environ = os.environ if environ is None else environ
    found = re.fullmatch(_ID, name, re.ASCII)
    if not found or "--" in found["repo"] or ".." in name or os.path.lexists(folder / name):
        return None
    cache = hub_cache(environ)
    if not cache.is_absolute():
        return None
    cached = cache / f"models--{found['repo'].replace('/', '--')}"
    revision = found["revision"] or "main"
    try:
        commit = (cached / "refs" / revision).read_text(encoding="ascii")
    except (OSError, ValueError):
        commit = revision
    if re.fullmatch(r"[0-9A-Za-z]+", commit) is None:
        return None
    return cached / "snapshots" / commit


def cached_ids(folder: Path, environ: Mapping[str, str]) -> Iterator[str]:
    """The models of the hub's cache that are whole, by their ids, in whatever folder they are said.

    A revision other than the main one is left to whoever knows of it.
    """
    try:
        names = sorted(file.name for file in hub_cache(environ).glob("models--*--*"))
    except OSError:
        return
    for name in names:
        repo = "/".join(name.split("--")[1:])
        if is_known_model(repo, folder, environ):
            yield repo


def hub_cache(environ: Mapping[str, str]) -> Path:
    """The folder in which the hub's client keeps models."""
    home = environ.get("XDG_CACHE_HOME", "~/.cache")
    home = environ.get("HF_HOME", f"{home}/huggingface")
    cache = environ.get("HUGGINGFACE_HUB_CACHE", f"{home}/hub")
    cache = environ.get("HF_HUB_CACHE", cache)
    return Path(os.path.expandvars(os.path.expanduser(cache)))  # noqa: PTH111 (raises nothing)


OLLAMA = ("~/.ollama/models", "/usr/share/ollama/.ollama/models")
"""Where Ollama keeps its models: for this user, and where it runs for the whole machine."""
LM_STUDIO = ("~/.lmstudio/models", "~/.cache/lm-studio/models")
"""Where LM Studio keeps its models, in new and in old versions."""


def ollama_folders(environ: Mapping[str, str] | None = None) -> list[Path]:
    """Those of Ollama that are there."""
    environ = os.environ if environ is None else environ
    own = environ.get("OLLAMA_MODELS")
    return existing(*((own,) if own else OLLAMA))


def lm_studio_folders() -> list[Path]:
    """Those of LM Studio that are there."""
    return existing(*LM_STUDIO)


def existing(*folders: str) -> list[Path]:
    """Those of the folders that are there, each once."""
    paths = map(with_home, folders)
    return list(dict.fromkeys(path for path in paths if path.is_absolute() and is_folder(path)))
