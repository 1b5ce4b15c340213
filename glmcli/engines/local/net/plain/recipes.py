"""How each family's checkpoints become nets, as large as their weights.

Knows nothing of how they are loaded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from glmcli.engines.local.building import library_config
from glmcli.engines.local.net.plain.empty import empty_net
from glmcli.engines.local.net.plain.uncompiled import uncompiled
from glmcli.engines.local.net.recipe import Recipe
from glmcli.errors import ModelError
from glmcli.language import later, tr
from glmcli.models.checkpoint import Checkpoint
from glmcli.models.files.decoder import SEEING

if TYPE_CHECKING:
    import transformers

PLAIN_ATTENTION = (None, "eager", "sdpa")
"""What a checkpoint may ask for; for any other transformers may fetch native code from the hub."""
UNSTEADY = {"reformer": later("they draw lots, so that no reply can be checked")}
"""Families whose `generate` cannot be followed, and why."""
WHOLE = ("glm4v_moe", "qwen3_vl_moe", "aya_vision", "lfm2_vl")
"""Families that see pictures, whose decoder is no family of its own: read whole."""
CAUSAL = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")


@uncompiled()
def recipe_for(checkpoint: Checkpoint) -> Recipe:
    """The recipe of this checkpoint's family, for a net as large as the weights.

    Raises ModelError.
    """
    found = recipe_of(checkpoint)
    if checkpoint.remote_code:
        return found
    return replace(found, empty=empty_net(found.net_class, found.config, checkpoint))


def recipe_of(checkpoint: Checkpoint) -> Recipe:
    """The recipe of this checkpoint's family, before any net is built. Raises ModelError."""
    if checkpoint.family == "chatglm":
        from glmcli.engines.local.net import chatglm

        return chatglm.recipe(checkpoint)
    return recipe_of_transformers(checkpoint)


def recipe_of_transformers(checkpoint: Checkpoint) -> Recipe:
    """The recipe of a family that transformers knows, or whose code was trusted.

    Raises ModelError.
    """
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CLASSES

    name, family, remote = checkpoint.name, checkpoint.family, checkpoint.remote_code
    if not remote and family not in transformers.CONFIG_MAPPING:
        raise ModelError(
            tr(
                "{name}: transformers {version} does not know {family!r} models",
                name=name,
                version=transformers.__version__,
                family=family,
            ),
            tr("a newer transformers may: pip install --upgrade transformers"),
        )
    if family in UNSTEADY:
        raise ModelError(
            tr(
                "{name}: {family} models cannot be used: {why}",
                name=name,
                family=family,
                why=tr(UNSTEADY[family]),
            ),
            tr("choose a chat model"),
        )
    kinds = checkpoint.config.get("architectures") or ["ForCausalLM"]
    causal = (*CAUSAL, CLASSES.get(family, CAUSAL[0]))
    is_known = family in CLASSES or sees_pictures(family)
    if not remote and not (is_known and any(kind.endswith(causal) for kind in kinds)):
        raise ModelError(
            tr("{name} is a {kind}, not a model that continues text", name=name, kind=kinds[0]),
            tr("choose a chat model"),
        )
    config = library_config(checkpoint, transformers)
    if remote:
        own: Any = transformers.AutoModelForCausalLM
    else:
        config, own = net_class_of(config)
    drop_attention(config)
    return Recipe(config, own)


def net_class_of(
    config: transformers.PreTrainedConfig,
) -> tuple[transformers.PreTrainedConfig, Any]:
    """The class that continues text for a config, and the part of the config that is for it.

    By what AutoConfig made of config.json, which may be another family than that is named there.
    Not AutoModel, which would prefer remote code to its own where that is trusted. Raises KeyError.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    if sees_pictures(config.model_type):
        return config, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(config)]
    own = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    if own.__dict__.get("config_class") is config.sub_configs.get("text_config", ()):
        config = config.get_text_config()  # as AutoModel does: the text part of a larger net
    return config, own


def sees_pictures(family: str) -> bool:
    """Whether a family is read whole; of one whose decoder is read alone this is not the name."""
    return family in WHOLE or family in SEEING


def drop_attention(config: transformers.PreTrainedConfig) -> None:
    """Let no config, nor a part of it, ask for attention that only --attn may ask for."""
    for part in [config, *(getattr(config, name, None) for name in config.sub_configs)]:
        if getattr(part, "_attn_implementation", None) not in PLAIN_ATTENTION:
            part._attn_implementation = None
