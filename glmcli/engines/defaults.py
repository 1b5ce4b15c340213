"""What a checkpoint says about sampling and endings, read from its JSON files.

The names are those of transformers' GenerationConfig. Knows nothing of nets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from glmcli.engines.checkpoint import Checkpoint
from glmcli.engines.local.prompt.chatglm.template import load_template
from glmcli.engines.model_files import read_json
from glmcli.errors import ModelError

CHATGLM: Mapping[str, Any] = {"do_sample": True, "top_p": 0.8, "temperature": 0.8}
"""The defaults of the original `chat`, for checkpoints without a generation_config.json."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """How a model wants to be sampled; None where it does not say."""

    do_sample: bool | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None


def read_defaults(checkpoint: Checkpoint) -> tuple[Defaults, frozenset[int]]:
    """The defaults of a checkpoint, and the ids that end a reply. Raises ModelError."""
    path = checkpoint.folder / "generation_config.json"
    stated: Mapping[str, Any]
    if path.exists():
        stated = read_json(path)
    elif checkpoint.family == "chatglm":
        stated = {**CHATGLM, "eos_token_id": chatglm_stop_ids(checkpoint)}
    else:
        stated = checkpoint.config
    known: dict[str, Any] = {item.name: stated.get(item.name) for item in fields(Defaults)}
    found: set[int] = set()
    for ids in (stated.get("eos_token_id"), checkpoint.config.get("eos_token_id")):
        found.update([ids] if isinstance(ids, int) else ids or [])
    return Defaults(**known), frozenset(found)


def chatglm_stop_ids(checkpoint: Checkpoint) -> list[int]:
    """The ids that end a reply: those of the config if it has several, else the template's."""
    stated = checkpoint.config.get("eos_token_id", 2)
    if isinstance(stated, list):
        return stated
    try:
        template = load_template(checkpoint.config, checkpoint.folder, name=checkpoint.name)
    except ModelError:  # weights without a tokenizer
        return [stated]
    return sorted(template.stop_ids)
