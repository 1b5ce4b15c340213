"""What a GGUF file is, as the list of models and a look at one show it.

Knows nothing of other models.
"""

from __future__ import annotations

from pathlib import Path

from glmcli.config.models import ModelOptions
from glmcli.errors import ModelError
from glmcli.language import tr
from glmcli.machine import free_bytes
from glmcli.models.builtin import built_in_gguf
from glmcli.models.choice import ROOM
from glmcli.models.gguf.finding import GgufFile
from glmcli.models.gguf.header import read_gguf
from glmcli.models.libraries import LLAMA_CPP, NOT_INSTALLED, installed_version
from glmcli.models.library.described import Details, Model


def describe_file(file: GgufFile) -> Model:
    """The line of a GGUF file; without what its header does not say, or cannot be asked for."""
    try:
        found = read_gguf(file.path)
    except ModelError:
        return Model(file.name, str(file.path), "", None, None, "", file.source)
    family, size, window = found.family, found.size_bytes, found.window
    return Model(file.name, str(file.path), family, size, window, found.bits, file.source)


def describe_gguf(file: GgufFile) -> Details:
    """What a GGUF file's header says. Raises ModelError for one that is damaged."""
    header = read_gguf(file.path)
    cache = None
    if header.token_bytes and header.window:
        cache = header.token_bytes * header.window
    free = free_bytes()
    does_fit = free is not None and header.size_bytes * ROOM <= free
    return Details(
        model=describe_file(file),
        layers=header.layers,
        parameters=header.parameters,
        cache_bytes=cache,
        memory_bytes={header.bits: header.size_bytes + (cache or 0)},
        problem=missing_llama(),
        free_bytes=free,
        fits=(header.bits,) if does_fit else (),
    )


def missing_llama() -> str:
    """What to say where llama.cpp, which runs GGUF files, is not installed; "" where it is."""
    return "" if installed_version(LLAMA_CPP) else tr(NOT_INSTALLED)


def removable_file(file: GgufFile, options: ModelOptions) -> Path:
    """The file of the built-in model. Raises ModelError for any other, which others look after."""
    if file.path != built_in_gguf(options.cache):
        raise ModelError(
            tr("{path} is not a file of this program", path=file.path), tr("delete it yourself")
        )
    return file.path
