"""What is known of one model without loading it: sizes, what is missing, why it would fail.

Knows nothing of torch or transformers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from glmcli.config.models import IN_FULL, ModelOptions
from glmcli.errors import ModelError
from glmcli.language import tr
from glmcli.models.bits import is_packed, needed_bytes
from glmcli.models.checkpoint import needs_remote_code, open_folder
from glmcli.models.choice import Choice, memory_here, to_try, ways_to_load, weights_of
from glmcli.models.files.folder import has_tokenizer
from glmcli.models.files.headers import missing_weights
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
    config, tensors, packing = weights_of(folder, config)
    cache = cache_bytes(config)
    parameters, memory, ways = None, {}, list[Choice]()
    if tensors:
        ways = ways_to_load(tensors, config, options, memory_here(options), packing)
    if tensors and not is_packed(config):
        parameters = sum(tensor.numbers for tensor in tensors.values() if tensor.is_float)
        memory = {
            name: needed_bytes(tensors, config, "float16", bits) + (cache or 0)
            for name, bits in (("fp16", IN_FULL), ("int8", "int8"), ("int4", "int4"))
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
        free_bytes=ways[0].free_bytes if ways else None,
        fits=tuple(way.shown for way in ways if way.fits),
        auto=to_try(ways)[0].shown if ways else "",
    )


def line_about(name: str, options: ModelOptions) -> str:
    """What a person is told of a folder that could be another model, see `folder_line`; "" else."""
    return "" if means_gguf(name) else folder_line(name, options)


def here(place: Place, hint: str = "") -> Path:
    """The folder of a model that must be on this machine. Raises ModelError, with a `hint`."""
    check_libraries()
    if place.folder is None:
        name = place.hub_id or place.name
        raise ModelError(
            tr("{name} is not on this machine", name=name),
            hint or tr("fetch it: glm models pull {name}", name=name),
        )
    return place.folder


def missing_files(folder: Path) -> Iterator[str]:
    """Names of files without which the model cannot be used; none of a folder that is locked."""
    with suppress(PermissionError):
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
