"""The list of all models on this machine.

Reads configs and headers only, so that it is quick. Knows nothing of torch or transformers.
"""

from __future__ import annotations

from pathlib import Path

from glmcli.config import BUILT_IN_MODEL
from glmcli.config.models import ModelOptions
from glmcli.files import folder_bytes
from glmcli.language import tr
from glmcli.models import hub
from glmcli.models.bits import stated_format
from glmcli.models.builtin import built_in_folder
from glmcli.models.files.packed import packing_of
from glmcli.models.gguf.about import describe_file
from glmcli.models.gguf.finding import all_ggufs
from glmcli.models.libraries import lacking_libraries
from glmcli.models.library.described import Model
from glmcli.models.meaning import config_of, stated_window
from glmcli.paths import is_folder


def describe_all(options: ModelOptions) -> list[Model]:
    """Every model on this machine: built-in, in the cache folder, in the hub's cache, GGUF."""
    built_in = built_in_folder(options.cache)
    if not is_folder(built_in):
        found = [Model(BUILT_IN_MODEL, "", "llama", None, 8192)]
    else:
        found = [describe_folder(BUILT_IN_MODEL, built_in)]
    for folder in sorted(built_in.parent.glob("[!.]*")):
        if is_folder(folder) and folder != built_in:
            found.append(describe_folder(folder.name, folder))
    of_hub = [describe_folder(item.name, item.folder, "hub") for item in hub.cached_models()]
    return [*found, *of_hub, *map(describe_file, all_ggufs(options))]


def lacking_line() -> str:
    """What to say where none of them could be used; "" where they can."""
    lacking = lacking_libraries()
    return tr("; ").join([lacking.message, lacking.hint]) if lacking else ""


def describe_folder(name: str, folder: Path, source: str = "") -> Model:
    """One model's line."""
    config = config_of(folder)
    packing = packing_of(config)
    stated = f"int{packing.bits}" if packing else stated_format(config)
    family, bits = (str(each or "") for each in (config.get("model_type"), stated))
    size = folder_bytes(folder)
    return Model(name, str(folder), family, size, stated_window(config), bits, source)
