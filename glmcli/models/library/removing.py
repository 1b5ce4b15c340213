"""Having a model here: fetching it, a look at its files, and removing one that was fetched.

Knows nothing of what is in its files.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from glmcli.config.models import ModelOptions
from glmcli.errors import ModelError
from glmcli.language import tr
from glmcli.models import hub
from glmcli.models.checkpoint import find_checkpoint
from glmcli.models.gguf.about import removable_file
from glmcli.models.gguf.finding import find_gguf, means_gguf
from glmcli.models.gguf.header import read_gguf
from glmcli.models.library.listing import describe_folder
from glmcli.models.library.showing import here
from glmcli.models.names import OLLAMA_TAG, fetch_missing, place_of, place_to_load
from glmcli.paths import without_links
from glmcli.types import Report


def pulled(name: str, options: ModelOptions, report: Report) -> Path:
    """Where a model is that was fetched anew, or as far as it lacked. Raises ModelError."""
    if means_gguf(name):
        return find_gguf(name, options, report).path
    return find_checkpoint(name, options, report, refresh=True).folder


def check_model(name: str, options: ModelOptions, report: Report) -> None:
    """Raise ModelError for what can be seen to be wrong with a model's files, fetched first."""
    if means_gguf(name):
        read_gguf(find_gguf(name, options, report).path)
    else:
        find_checkpoint(name, options, report)


def fetched_place(name: str, options: ModelOptions, report: Report) -> Path:
    """Where a model is that was not here yet. Raises ModelError."""
    if means_gguf(name):
        return find_gguf(name, options, report).path
    return fetch_missing(place_to_load(name, options), options, report)


def removable(name: str, options: ModelOptions) -> Path:
    """The folder of a model in this machine's caches. Raises ModelError for any other."""
    if means_gguf(name):
        return removable_file(find_gguf(name, options), options)
    listed = tr("glm models list shows what is on this machine")
    try:
        place = place_of(name, options)
    except ModelError as exc:
        if not OLLAMA_TAG.fullmatch(name.partition(":")[2]):
            raise
        raise ModelError(tr("{name} is not on this machine", name=name), listed) from exc
    folder = here(place, listed)
    if not place.hub_id and without_links(folder.parent) != without_links(options.cache.models):
        raise ModelError(
            tr("{folder} is a folder of your own", folder=folder), tr("delete it yourself")
        )
    return folder


def remove_model(name: str, options: ModelOptions) -> int:
    """Delete a model from this machine's caches; returns the bytes freed. Raises ModelError."""
    folder = removable(name, options)
    if folder.is_file():
        size = folder.stat().st_size
        folder.unlink()
        return size
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
