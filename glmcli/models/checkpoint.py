"""From a model's name to a checkpoint: find the folder, fetch what it lacks, check its files.

Knows nothing of nets, prompts or sampling. Names are in names.py, what weight files say in
files/headers.py.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glmcli.config import BUILT_IN_MODEL
from glmcli.config.models import ModelOptions
from glmcli.errors import ModelError
from glmcli.language import tr
from glmcli.models.adapter import ADAPTER_CONFIG, Adapter, alone, find_adapter
from glmcli.models.chatglm import check_chatglm
from glmcli.models.files.agreement import check_places, check_sizes
from glmcli.models.files.folder import check_folder, has_tokenizer, read_config
from glmcli.models.files.headers import Tensor, read_weights
from glmcli.models.files.packed import Packing, as_read
from glmcli.models.files.small import bad_download, read_checkpoint_json
from glmcli.models.hub import no_tokenizer
from glmcli.models.meaning import stated_window, text_part
from glmcli.models.names import fetch_missing, place_to_load
from glmcli.types import Report

IGNORABLE = re.compile(r"\.(inv_freq|masked_bias)$")
"""Buffers that old checkpoints hold and today's classes compute."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder that was checked and can be loaded."""

    name: str
    """What people call the model, short: "smollm2", "chatglm3-6b"."""
    folder: Path
    config: dict[str, Any]
    """config.json as it is, but for the packing of weights that we unpack; of a decoder alone."""
    weights: tuple[Path, ...]
    """The files that hold the weights: all .safetensors, or all .bin."""
    size_bytes: int
    """Size of the weights on disk."""
    tensors: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    """What is in the files, unpacked; empty for .bin."""
    packing: Packing | None = None
    """How the weights are packed that we unpack; `tensors` and `config` know nothing of it."""
    stored: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Tensor -> name in the files, of the decoder in a model that also sees pictures."""
    index: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Tensor -> file name; empty if there is no index."""
    adapter: Adapter | None = None
    """What changes the weights while they are loaded."""
    window: int | None = None
    """Prompt and reply together, in tokens: what the user has set, else what config.json states."""
    remote_code: bool = False
    """Whether Python that comes with it may run: for `trust_remote_code` everywhere."""

    @property
    def family(self) -> str:
        """The architecture, as `model_type` names it."""
        return str(self.config.get("model_type") or "")


def find_checkpoint(
    name: str, options: ModelOptions, report: Report, *, refresh: bool = False
) -> Checkpoint:
    """Find a folder, a hub id or a built-in model, fetch the missing files, and check all.

    What is here and whole is used as it is, without asking the network, unless `refresh`.
    Raises ModelError.
    """
    place = place_to_load(name, options)
    folder = place.folder
    if place.hub_id or name == BUILT_IN_MODEL:
        here = folder is not None and (options.offline or is_complete(folder, options))
        if refresh or not here:
            folder = fetch_missing(place, options, report)
        elif folder is not None and place.hub_id and not has_tokenizer(folder):
            raise no_tokenizer(place.hub_id)
    assert folder is not None, "only the hub and the built-in model can be absent"
    return open_folder(folder, name=place.name, options=options)


def is_complete(folder: Path, options: ModelOptions) -> bool:
    """Whether nothing needs to be fetched."""
    try:
        read_weights(folder)
        remote = runs_remote_code(read_checkpoint_json(folder / "config.json"), options)
    except (ModelError, OSError):
        return False
    return has_tokenizer(folder) and (not remote or any(folder.glob("*.py")))


def open_folder(folder: Path, *, name: str, options: ModelOptions) -> Checkpoint:
    """Check a model's folder as far as can be without loading it. Raises ModelError."""
    try:
        if (folder / ADAPTER_CONFIG).exists() and not (folder / "config.json").exists():
            raise alone(folder)
        check_folder(folder)
        config = read_config(folder)
        if not (config.get("model_type") or "auto_map" in config):
            raise bad_download(tr("{path} names no model_type", path=folder / "config.json"))
        if config.get("model_type") == "chatglm":
            check_chatglm(config, name=name)
        if needs_remote_code(config) and not options.trust_remote_code:
            raise needs_trust(name, folder, config.get("model_type") or "")
        remote = runs_remote_code(config, options)
        if remote and not any(folder.glob("*.py")):
            raise bad_download(
                tr("{folder} does not have the Python files that it needs", folder=folder)
            )
        weights = read_weights(folder)
        adapter = find_adapter(options.adapter, folder, config)
        config, tensors, packing, stored = as_read(config, weights.tensors)
        check_sizes(config, tensors)
        if options.window:
            check_places(options.window, text_part(config), tensors)
    except OSError as exc:
        raise ModelError(
            tr("{value} cannot be read: {why}", value=exc.filename or folder, why=exc.strerror),
            tr("check its permissions"),
        ) from exc
    return Checkpoint(
        name=name,
        folder=folder,
        config=config,
        weights=weights.files,
        size_bytes=weights.size_bytes,
        tensors=tensors,
        packing=packing,
        stored=stored,
        index=weights.index,
        adapter=adapter,
        window=options.window or stated_window(text_part(config)),
        remote_code=remote,
    )


def needs_trust(name: str, folder: Path, family: str) -> ModelError:
    """The error for a model whose Python is not trusted; `family` is "" if none is named."""
    line = tr("{name} needs Python code that comes with it", name=name)
    if family:
        line = tr(
            "{name} needs Python code that comes with it: transformers has no {family!r}",
            name=name,
            family=family,
        )
    return ModelError(
        line, tr("read the .py files in {folder}, then add --trust-remote-code", folder=folder)
    )


def runs_remote_code(config: Mapping[str, Any], options: ModelOptions) -> bool:
    """Whether Python that comes with a model is needed, and trusted."""
    return options.trust_remote_code and needs_remote_code(config)


def needs_remote_code(config: Mapping[str, Any]) -> bool:
    """Whether a config brings classes of its own for a family that neither transformers knows."""
    family = config.get("model_type")
    if "auto_map" not in config or family == "chatglm":
        return False
    if not family:
        return True
    package = importlib.util.find_spec("transformers")
    assert package is not None and package.origin is not None
    # Read, not imported: that would take seconds.
    tables = (Path(package.origin).parent / "models" / "auto").glob("*auto*.py")
    names = (path for path in tables if path.stem in ("configuration_auto", "auto_mappings"))
    return not any(f'"{family}"' in path.read_text(encoding="utf-8") for path in names)
