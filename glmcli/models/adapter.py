"""An adapter (LoRA and its kin): a folder with changes to a model's weights, as peft writes it.

Knows what its files may say, not how it is applied.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glmcli.errors import ModelError
from glmcli.language import later, tr
from glmcli.models.files import fields
from glmcli.models.files.anywhere import check_code
from glmcli.models.files.headers import Tensor, read_header
from glmcli.models.files.kinds import FieldKind, FieldTable, is_finite, list_of, number, whole
from glmcli.models.files.small import check_files, read_checkpoint_json
from glmcli.models.names import expand
from glmcli.paths import is_file, is_something

ADAPTER_CONFIG = "adapter_config.json"
_INSTALL = "pip install 'glm-chat[adapter]'"
_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
OF_PROMPTS = {
    "ADAPTION_PROMPT": later("an adaption prompt"),
    "CARTRIDGE": later("a cartridge"),
    "CPT": later("a context-aware prompt"),
    "MULTITASK_PROMPT_TUNING": later("a tuned prompt"),
    "P_TUNING": later("a tuned prompt"),
    "PREFIX_TUNING": later("a tuned prefix"),
    "PROMPT_TUNING": later("a tuned prompt"),
}
"""Kinds that put something before the text and change no weight."""
CHANGING = ("alora_invocation_tokens", "arrow_config", "megatron_config", "layer_replication")
"""Fields that make it depend on the text, on other adapters, or on code elsewhere."""
_SWITCHES = list_of(lambda value: isinstance(value, bool), 1_000_000)
_PATTERNS = FieldKind(
    lambda: tr("an object of numbers by names of layers"),
    lambda value: (
        isinstance(value, dict)
        # AdaLoRA says of each rank whether it is left.
        and all(is_finite(each) or _SWITCHES(each) for each in value.values())
        # They are searched for as patterns: nothing in them may take long.
        and all(len(key) <= 200 and re.fullmatch(r"[\w.\\^$-]*", key) for key in value)
    ),
)
TABLE: FieldTable = {
    "peft_type": fields.NAME_FIELD,
    "base_model_name_or_path": fields.NAME_FIELD,
    "r": whole(0, 1_000_000),
    "lora_alpha": number(),
    **dict.fromkeys(("rank_pattern", "alpha_pattern"), _PATTERNS),
    "modules_to_save": fields.NAMES_FIELD,
    "target_parameters": fields.NAMES_FIELD,
}


@dataclass(frozen=True, slots=True)
class Adapter:
    """A folder that was checked and can be applied."""

    folder: Path
    kind: str
    """As peft calls it: "LORA"."""
    weights: Path
    tensors: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    """What is in the weights; empty for .bin."""


def find_adapter(asked: str, folder: Path, config: Mapping[str, Any]) -> Adapter | None:
    """The adapter that is asked for, or the one beside a model's weights; None if there is none.

    `config` is the model's. Raises ModelError.
    """
    if asked:
        place = expand(asked)
        if not is_file(place / ADAPTER_CONFIG):
            raise ModelError(
                tr("{folder} holds no adapter (no {file})", folder=asked, file=ADAPTER_CONFIG),
                tr("give the folder that peft has written"),
            )
    elif is_something(folder / ADAPTER_CONFIG):
        place = folder
    else:
        return None
    adapter = read_adapter(place)
    if importlib.util.find_spec("peft") is None:
        raise ModelError(tr("{folder} holds an adapter, which needs peft", folder=place), _INSTALL)
    if config.get("quantization_config"):
        raise ModelError(
            tr("{folder} holds an adapter, and the model's weights are quantised", folder=place),
            tr("use the model that is not quantised, or merge the adapter first"),
        )
    return adapter


def read_adapter(folder: Path) -> Adapter:
    """The adapter in a folder. Raises ModelError."""
    check_files(folder)
    config = checked_config(folder)
    kind = str(config.get("peft_type") or "")
    for name in CHANGING:
        if config.get(name):
            raise not_merged(folder, tr("one with {field}", field=name))
    if kind in OF_PROMPTS:
        raise not_merged(folder, tr(OF_PROMPTS[kind]))
    weights = next((folder / name for name in _WEIGHTS if is_something(folder / name)), None)
    if weights is None:
        raise ModelError(
            tr(
                "{folder} has {config}, but not {file}",
                folder=folder,
                config=ADAPTER_CONFIG,
                file=_WEIGHTS[0],
            ),
            tr("download the adapter again, or move that file away to use the model without it"),
        )
    return Adapter(folder, kind, weights, read_header(weights))


def not_merged(folder: Path, what: str) -> ModelError:
    """The error for an adapter that does not change weights once and for all."""
    return ModelError(
        tr("the adapter in {folder} is {what}, which cannot be merged", folder=folder, what=what),
        tr("adapters of weights, such as LoRA, can"),
    )


def checked_config(folder: Path) -> dict[str, Any]:
    """adapter_config.json, after a look at what it says. Raises ModelError."""
    config = read_checkpoint_json(folder / ADAPTER_CONFIG)
    fields.check(config, TABLE, ADAPTER_CONFIG)
    check_code(config, ADAPTER_CONFIG)
    return config


def alone(folder: Path) -> ModelError:
    """The error for an adapter without a model: it names the model that it belongs to."""
    base = checked_config(folder).get("base_model_name_or_path") or ""
    return ModelError(
        tr("{folder} holds an adapter of {base}, not a model", folder=folder, base=base or "?"),
        f"glm chat -m {shlex.quote(base) if base else 'MODEL'} "
        f"--adapter {shlex.quote(str(folder))}",
    )
