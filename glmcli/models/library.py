"""The models on this machine: which there are, what they need, removing them.

Reads configs and headers only, so that a list is quick. Knows nothing of torch or transformers.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glmcli.config import BUILT_IN_MODEL
from glmcli.config.models import ModelOptions
from glmcli.errors import ModelError
from glmcli.files import folder_bytes
from glmcli.language import tr
from glmcli.models import hub
from glmcli.models.bits import PER_PARAMETER, is_packed, stated_format
from glmcli.models.builtin import built_in_folder
from glmcli.models.checkpoint import needs_remote_code, open_folder
from glmcli.models.files.folder import has_tokenizer
from glmcli.models.files.headers import missing_weights, read_weights
from glmcli.models.libraries import check_libraries
from glmcli.models.meaning import cache_bytes, config_of, layers_of, stated_window
from glmcli.models.names import Place, place_of
from glmcli.paths import without_links


@dataclass(frozen=True, slots=True)
class Model:
    """One line of the list."""

    name: str
    """What `--model` takes."""
    path: str
    """"" if it was not fetched yet."""
    family: str
    """`model_type` of its config."""
    size_bytes: int | None
    """All its files on disk."""
    window: int | None
    """Prompt and reply together, in tokens."""


@dataclass(frozen=True, slots=True)
class Details:
    """What is known of a model without loading it."""

    model: Model
    layers: int | None
    parameters: int | None
    cache_bytes: int | None
    """The KV cache of a full window, in 16 bits."""
    memory_bytes: Mapping[str, int] = field(default_factory=dict)
    """Weights and a full cache together: of "fp16", "int8", "int4"."""
    remote_code: bool = False
    """Whether Python that comes with it would have to run."""
    missing: tuple[str, ...] = ()
    """Files that should be there and are not."""
    problem: str = ""
    """Why it cannot be loaded, if that can be seen."""


def describe_all(options: ModelOptions) -> list[Model]:
    """Every model on this machine: built-in, in the cache folder, in the hub's cache."""
    built_in = built_in_folder(options.cache)
    if not built_in.is_dir():
        found = [Model(BUILT_IN_MODEL, "", "llama", None, 8192)]
    else:
        found = [describe_folder(BUILT_IN_MODEL, built_in)]
    for folder in sorted(built_in.parent.glob("[!.]*")):
        if folder.is_dir() and folder != built_in:
            found.append(describe_folder(folder.name, folder))
    return found + [describe_folder(item.name, item.folder) for item in hub.cached_models()]


def describe_folder(name: str, folder: Path) -> Model:
    """One model's line."""
    config = config_of(folder)
    family = str(config.get("model_type") or "")
    return Model(name, str(folder), family, folder_bytes(folder), stated_window(config))


def describe(name: str, options: ModelOptions) -> Details:
    """What is known of one model on this machine. Raises ModelError if it is not there."""
    place = place_of(name, options)
    folder = here(place)
    config = config_of(folder)
    parameters = count_parameters(folder, config)
    cache = cache_bytes(config)
    memory = {}
    if parameters is not None:
        memory = {
            name: int(parameters * size) + (cache or 0) for name, size in PER_PARAMETER.items()
        }
    return Details(
        model=describe_folder(place.hub_id or place.name, folder),
        layers=layers_of(config),
        parameters=parameters,
        cache_bytes=cache,
        memory_bytes=memory,
        remote_code=needs_remote_code(config),
        missing=tuple(missing_files(folder)),
        problem=problem_of(place.name, folder, options),
    )


def removable(name: str, options: ModelOptions) -> Path:
    """The folder of a model in this machine's caches. Raises ModelError for any other."""
    place = place_of(name, options)
    folder = here(place)
    if not place.hub_id and without_links(folder.parent) != without_links(options.cache.models):
        raise ModelError(
            tr("{folder} is a folder of your own", folder=folder), tr("delete it yourself")
        )
    return folder


def remove_model(name: str, options: ModelOptions) -> int:
    """Delete a model from this machine's caches; returns the bytes freed. Raises ModelError."""
    folder = removable(name, options)
    if place_of(name, options).hub_id:
        return sum(
            hub.remove_revision(item)
            for item in hub.cached_models()
            if item.folder.samefile(folder)
        )
    size = describe_folder(name, folder).size_bytes or 0
    # Out of sight first: half a model must never be found under its name.
    hidden = folder.with_name(f".{folder.name}-removed")
    shutil.rmtree(hidden, ignore_errors=True)
    try:
        folder.rename(hidden)
    except OSError as exc:
        raise ModelError(
            tr("{folder} cannot be removed: {why}", folder=folder, why=exc.strerror),
            tr("check its permissions"),
        ) from exc
    shutil.rmtree(hidden, ignore_errors=True)
    return size


def here(place: Place) -> Path:
    """The folder of a model that must be on this machine. Raises ModelError."""
    check_libraries()
    if place.folder is None:
        name = place.hub_id or place.name
        raise ModelError(
            tr("{name} is not on this machine", name=name),
            tr("fetch it: glm models pull {name}", name=name),
        )
    return place.folder


def count_parameters(folder: Path, config: Mapping[str, Any]) -> int | None:
    """Numbers in the weights; None for packed or unreadable ones."""
    if is_packed(config):
        return None
    try:
        weights = read_weights(folder)
    except (ModelError, OSError):
        return None
    if weights.tensors:
        return sum(tensor.numbers for tensor in weights.tensors.values() if tensor.is_float)
    # A .bin does not say without being loaded; its size does, but for a few names.
    return weights.size_bytes // (4 if stated_format(config) in (None, "float32") else 2)


def missing_files(folder: Path) -> Iterator[str]:
    """Names of files without which the model cannot be used."""
    if not (folder / "config.json").exists():
        yield "config.json"
    yield from missing_weights(folder)
    if not has_tokenizer(folder):
        yield "tokenizer.json"


def problem_of(name: str, folder: Path, options: ModelOptions) -> str:
    """The first line of what loading would refuse, as far as can be seen from here."""
    try:
        open_folder(folder, name=name, options=options)
    except ModelError as exc:
        return exc.message
    return ""
