"""What is known of one model without loading it: sizes, what is missing, why it would fail.

Knows nothing of torch or transformers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from glmcli.config.models import ModelOptions
from glmcli.errors import ModelError
from glmcli.language import tr
from glmcli.models.bits import PER_PARAMETER, is_packed, stated_format
from glmcli.models.checkpoint import needs_remote_code, open_folder
from glmcli.models.files.folder import has_tokenizer
from glmcli.models.files.headers import missing_weights, read_weights
from glmcli.models.gguf.about import describe_gguf
from glmcli.models.gguf.finding import find_gguf, means_gguf
from glmcli.models.libraries import check_libraries
from glmcli.models.library.described import Details
from glmcli.models.library.listing import describe_folder
from glmcli.models.meaning import cache_bytes, config_of, layers_of
from glmcli.models.names import Place, folder_line, place_of


def describe(name: str, options: ModelOptions) -> Details:
    """What is known of one model on this machine. Raises ModelError if it is not there."""
    if means_gguf(name):
        return describe_gguf(find_gguf(name, options))
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


def line_about(name: str, options: ModelOptions) -> str:
    """What a person is told of a folder that could be another model, see `folder_line`; "" else."""
    return "" if means_gguf(name) else folder_line(name, options)


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
