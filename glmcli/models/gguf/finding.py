"""GGUF files on this machine: paths, the hub's cache, and what Ollama and LM Studio have fetched.

Looks at names, and at the small files in which Ollama says which of its blobs is which. Knows
nothing of what is in a GGUF file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from shlex import quote
from typing import Any

from glmcli import files
from glmcli.config import BUILT_IN_MODEL
from glmcli.config.known import cached_snapshot, hub_cache, lm_studio_folders, ollama_folders
from glmcli.config.models import ModelOptions
from glmcli.errors import ModelError
from glmcli.language import later, tr
from glmcli.models.builtin import built_in_gguf, make_built_in_gguf
from glmcli.models.gguf import (
    HUB_TAG,
    LIBRARY,
    PATH_STARTS,
    REGISTRY,
    SUFFIX,
    holds_gguf,
    is_gguf,
    ollama_manifest,
)
from glmcli.models.names import expand, is_untyped
from glmcli.paths import is_file, is_folder, is_something, with_home, without_links
from glmcli.types import Report

_PREFIX = "gguf:"
_MOST_FILES = 10_000
"""Entries of a folder tree that are looked at; nobody has so many models."""
_DEEP = 4
_TAG = re.compile(
    r"(?:^|[-._])((?:UD-)?(?:I?Q[1-8]\w*|TQ[12]\w*|BF16|F16|F32|MXFP4\w*))$", re.IGNORECASE
)
_PART = re.compile(r"-(\d{5})-of-\d{5}$")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_WEIGHTS = "application/vnd.ollama.image.model"
_USUAL = ("Q4_K_M", "Q4_K_S", "Q4_0", "Q8_0")
"""Which of a repository's files is taken where none is named."""
_LISTED = later("glm models list shows the GGUF files on this machine")


@dataclass(frozen=True, slots=True)
class GgufFile:
    """One model in a file, or in several that belong together."""

    name: str
    """What `--model` takes."""
    path: Path
    """The first of its files."""
    source: str
    """Who has put it there: "hub", "Ollama"; "" for a file of the user's own."""


def means_gguf(name: str) -> bool:
    """Whether a model's name, with the engine's before it or without, means a GGUF file."""
    return name.startswith(_PREFIX) or is_gguf(name)


def find_gguf(name: str, options: ModelOptions, report: Report | None = None) -> GgufFile:
    """The file that a name means; the built-in model's is fetched for a `report`.

    Raises ModelError.
    """
    name = name.removeprefix(_PREFIX)
    if not name.strip():
        raise ModelError(
            tr("no GGUF file is named"), tr("give a file or a folder: --model gguf:PATH")
        )
    if name == BUILT_IN_MODEL:
        return _built_in(options, report)
    path = expand(name)
    if is_something(path):
        check_untyped(name, options)
        return GgufFile(name, _in_folder(path) if is_folder(path) else path, "")
    found = _in_hub(name) or _of_ollama(name) or _of_lm_studio(name)
    if found is None:
        raise not_found(name)
    return found


def check_untyped(name: str, options: ModelOptions) -> None:
    """Raise ModelError for a file of the working folder that nobody typed, see `check_meant`."""
    is_here = name in (".", "..") or name.startswith(("./", "../"))
    if name.startswith(("/", "~")) or not is_untyped(name, options):
        return
    if options.is_resumed or not is_here:
        raise ModelError(
            tr("{name} was not typed, and there is such a file or folder here", name=name),
            tr("use --model {name} for it", name=quote(name if is_here else f"./{name}")),
        )


def not_found(name: str) -> ModelError:
    """The error for a name that no file on this machine has."""
    if tagged := HUB_TAG.fullmatch(name):
        repo, tag = tagged["repo"], tagged["tag"]
        return ModelError(
            tr("{name} is not on this machine", name=name),
            tr('fetch it: hf download {repo} --include "*{tag}*.gguf"', repo=repo, tag=tag),
        )
    if name.lower().endswith(SUFFIX) or name.startswith(PATH_STARTS):
        return ModelError(tr("there is no file {name}", name=name), tr(_LISTED))
    return ModelError(tr("there is no GGUF model called {name!r}", name=name), tr(_LISTED))


def all_ggufs(options: ModelOptions) -> Iterator[GgufFile]:
    """Every model in GGUF files that is found without being named, each file once."""
    seen: set[Path] = set()
    for found in (*_own(options), *_all_of_hub(), *_all_of_ollama(), *_all_of_lm_studio()):
        real = without_links(found.path)
        if real not in seen:
            seen.add(real)
            yield found


def _built_in(options: ModelOptions, report: Report | None) -> GgufFile:
    path = built_in_gguf(options.cache)
    if report is not None:
        path = make_built_in_gguf(options, report)
    elif not is_file(path):
        name = _PREFIX + BUILT_IN_MODEL
        raise ModelError(
            tr("{name} is not on this machine", name=name),
            tr("fetch it: glm models pull {name}", name=name),
        )
    return GgufFile(_PREFIX + BUILT_IN_MODEL, path, "")


def _own(options: ModelOptions) -> Iterator[GgufFile]:
    if is_file(built_in_gguf(options.cache)):
        yield _built_in(options, None)


def _in_folder(folder: Path) -> Path:
    """The one model of a folder. Raises ModelError for none, and for several."""
    found = list(ggufs_in(folder, deep=1))
    if len(found) == 1:
        return found[0]
    if not found:
        raise ModelError(tr("{folder} holds no GGUF file", folder=folder), tr("check the path"))
    names = ", ".join(path.name for path in found[:5])
    raise ModelError(
        tr("{folder} holds several GGUF files: {names}", folder=folder, names=names),
        tr("give the file: --model {path}", path=quote(str(found[0]))),
    )


def ggufs_in(folder: Path, *, deep: int = _DEEP) -> Iterator[Path]:
    """The models below a folder: of one in several files the first, and none for images alone."""
    for path in _tree(folder, deep):
        part = _PART.search(path.stem)
        is_first = part is None or int(part[1]) == 1
        if path.suffix.lower() == SUFFIX and is_first and not path.name.startswith("mmproj"):
            yield path


def _tree(folder: Path, deep: int) -> Iterator[Path]:
    """Files below a folder, by name, links to files too; not without end."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in sorted(islice(entries, _MOST_FILES), key=lambda entry: entry.name):
            if entry.is_file():
                yield Path(entry)
            elif deep > 1 and entry.is_dir(follow_symlinks=False):
                yield from _tree(Path(entry), deep - 1)


def tag_of(path: Path) -> str:
    """The bits in a file's name, "Q4_K_M"; "" if it names none."""
    found = _TAG.search(_PART.sub("", path.stem))
    return found[1].upper() if found else ""


def _in_hub(name: str) -> GgufFile | None:
    """A file of the hub's cache: of a repository the one with a tag, or the usual one."""
    tagged = HUB_TAG.fullmatch(name)
    repo, tag = (tagged["repo"], tagged["tag"].upper()) if tagged else (name, "")
    folder = cached_snapshot(repo, Path())
    if folder is None:
        return None
    by_tag: dict[str, Path] = {}
    for path in ggufs_in(folder):
        by_tag.setdefault(tag_of(path), path)
    if not tag:
        tag = next((each for each in _USUAL if each in by_tag), next(iter(by_tag), ""))
    found = by_tag.get(tag)
    return GgufFile(f"{repo}:{tag}" if tag else str(found), found, "hub") if found else None


def _all_of_hub() -> Iterator[GgufFile]:
    with suppress(OSError):
        for folder in sorted(hub_cache(os.environ).glob("models--*--*")):
            repo = "/".join(folder.name.split("--")[1:])
            snapshot = cached_snapshot(repo, Path("/"))
            for path in ggufs_in(snapshot) if snapshot else ():
                tag = tag_of(path)
                yield GgufFile(f"{repo}:{tag}" if tag else str(path), path, "hub")


def _of_ollama(name: str) -> GgufFile | None:
    manifest = ollama_manifest(name if ":" in name else f"{name}:latest")
    path = _blob_of(manifest) if manifest else None
    return GgufFile(name, path, "Ollama") if path else None


def _blob_of(manifest: Path) -> Path | None:
    """The weights that a manifest names; None for one that cannot be read, or names none."""
    try:
        found: Any = files.read_json(manifest, limit=files.MB, error=ModelError)
        layers = found["layers"]
        digests = [each["digest"] for each in layers if each["mediaType"] == _WEIGHTS]
        digest = digests[0] if _DIGEST.fullmatch(digests[0]) else ""
    except (ModelError, KeyError, TypeError, IndexError):
        return None
    path = manifest.parents[4] / "blobs" / digest.replace(":", "-")
    return path if digest and is_file(path) else None


def _all_of_ollama() -> Iterator[GgufFile]:
    for root in ollama_folders():
        for manifest in _tree(root / "manifests", _DEEP):
            parts = manifest.relative_to(root / "manifests").parts
            path = _blob_of(manifest) if len(parts) == _DEEP else None
            if path is not None:
                host, owner, model, tag = parts
                names = [host, owner] if host != REGISTRY else [owner] if owner != LIBRARY else []
                yield GgufFile("/".join([*names, f"{model}:{tag}"]), path, "Ollama")


def _of_lm_studio(name: str) -> GgufFile | None:
    if not name.lower().endswith(SUFFIX) or ".." in name.split("/") or name.startswith(PATH_STARTS):
        return None
    paths = (root / name for root in lm_studio_folders())
    found = next((path for path in paths if is_file(path)), None)
    return GgufFile(name, found, "LM Studio") if found else None


def _all_of_lm_studio() -> Iterator[GgufFile]:
    for root in lm_studio_folders():
        for path in ggufs_in(root):
            yield GgufFile(str(path.relative_to(root)), path, "LM Studio")


def lasting_gguf(name: str) -> str:
    """The same model by a name that means it in every folder."""
    path = with_home(name)
    if not is_something(path):
        return _PREFIX + name if not is_gguf(name) else name
    whole = str(without_links(path.parent) / path.name)  # a link's own name says what it is
    is_known = whole.lower().endswith(SUFFIX) or holds_gguf(whole)
    return whole if is_known else _PREFIX + whole


def spoken_name(name: str) -> str:
    """What people call the model: of a path the file's name alone."""
    last = name.rstrip("/").rpartition("/")[2] if name.lower().endswith(".gguf") else name
    return last.removesuffix(".gguf").removesuffix(".GGUF") or name
