"""An adapter becomes part of the weights: peft applies it to a loaded net and merges it.

Merged and not merged must say the same: that is proven each time, on a few ids.
"""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from glmcli.errors import GlmError, ModelError
from glmcli.language import tr
from glmcli.models.adapter import Adapter
from glmcli.models.files.decoder import name_alone

if TYPE_CHECKING:
    import transformers

PREFIX = "base_model.model."
NAME = "default"
BOUND = 0.08
"""How far the scores of both may be apart, relative to their spread: merging rounds."""


def with_adapter(
    net: Any, adapter: Adapter, *, is_inner: bool = False
) -> transformers.PreTrainedModel:
    """The net with the adapter in its weights. Raises ModelError.

    `is_inner`: the net is the decoder of a larger one, and the adapter may have been made of that.
    """
    try:
        return merge_by_peft(net, adapter, is_inner)
    except GlmError:
        raise
    except Exception as exc:  # each kind of adapter checks in its own way, on several lines
        why, where = shorten(str(exc), 200), adapter.folder
        raise no_fit(
            tr("the adapter in {folder} is not applied: {why}", folder=where, why=why)
        ) from exc


def merge_by_peft(net: Any, adapter: Adapter, is_inner: bool) -> transformers.PreTrainedModel:
    """The same, but what peft raises is not translated."""
    import peft
    import torch
    from peft.utils.save_and_load import load_peft_weights, set_peft_model_state_dict

    state = load_peft_weights(str(adapter.folder), device="cpu")
    if is_inner:
        state = {
            PREFIX + name_alone(name.removeprefix(PREFIX)): tensor for name, tensor in state.items()
        }
    config = peft.PeftConfig.from_pretrained(str(adapter.folder))
    config.inference_mode = True
    # The layers by their names: what the file has instead may be a pattern that takes long.
    kept = tuple(getattr(config, "modules_to_save", None) or ())
    single = tuple(getattr(config, "target_parameters", None) or ())
    config.target_modules = sorted(changed_layers(net, state, kept, single))
    for name in ("exclude_modules", "layers_to_transform", "layers_pattern"):
        if hasattr(config, name):
            setattr(config, name, None)
    embedding, head = net.get_input_embeddings(), net.get_output_embeddings()
    whole = peft.PeftModel(net, config, NAME).eval()  # its dropout is for training
    for name, parameter in whole.named_parameters():
        if name in state:  # it is written to, and what is mapped from a file is read again
            parameter.data = parameter.data.clone()
    check_all(set_peft_model_state_dict(whole, state, NAME), adapter, whole)
    with torch.inference_mode(False), torch.no_grad():
        before = scores_of(whole)
        if {embedding, head} & {getattr(layer, "base_layer", None) for layer in whole.modules()}:
            untie(net, embedding, head)
        plain = whole.merge_and_unload(safe_merge=True)
        after = scores_of(plain)
    apart = float((after - before).norm() / (before - before.mean(-1, keepdim=True)).norm())
    if not apart <= BOUND:
        raise ModelError(
            tr(
                "the adapter in {folder} differs once it is merged",
                folder=adapter.folder,
            ),
            tr("choose another adapter, or leave it out: --adapter ''"),
        )
    merged: transformers.PreTrainedModel = plain.eval()
    return merged


def untie(net: Any, embedding: Any, head: Any) -> None:
    """Give the output layer weights of its own if it has those of the embedding.

    An adapter changes one of the two, or both in ways of their own.
    """
    import torch

    if head is None or head.weight is not embedding.weight:
        return
    head.weight = torch.nn.Parameter(head.weight.detach().clone(), requires_grad=False)
    for config in (net.config, net.config.get_text_config(decoder=True)):
        config.tie_word_embeddings = False


def changed_layers(
    net: Any, names: Iterable[str], kept: tuple[str, ...], single: tuple[str, ...] = ()
) -> set[str]:
    """The layers of a net that the tensors of an adapter are for, but for those it replaces.

    Nor those of which it has only a bias, rows of tokens, or the `single` parameters of some.
    """
    known = {name for name, layer in net.named_modules() if not any(layer.children())}
    found = set()
    for name in names:
        parts = name.removeprefix(PREFIX).split(".")
        sizes = range(len(parts) - 1, 0, -1)
        size = next((size for size in sizes if ".".join(parts[:size]) in known), 0)
        layer = ".".join(parts[:size])
        is_whole = parts[size] in ("bias", "weight", "token_adapter")
        is_single = any(f".{layer}".endswith(f".{one.rpartition('.')[0]}") for one in single)
        if layer and not (is_whole or is_single or layer.endswith(kept or ("\0",))):
            found.add(layer)
    return found


def check_all(result: Any, adapter: Adapter, whole: Any) -> None:
    """Raise ModelError unless every tensor of an adapter found its place, and every place one."""
    for name in sorted(result.unexpected_keys)[:1]:
        raise no_fit(tr("the model has no place for {name} of the adapter", name=name))
    for name in missing_places(whole, set(result.missing_keys))[:1]:
        raise no_fit(tr("the adapter in {folder} lacks {name}", folder=adapter.folder, name=name))


def missing_places(whole: Any, missing: set[str]) -> list[str]:
    """Those of the `missing` that peft would write to a file: each kind computes some of its own.

    What is under several names is there if one of them is.
    """
    from peft import get_peft_model_state_dict

    written = get_peft_model_state_dict(whole, adapter_name=NAME, save_embedding_layers=False)
    # "lora_magnitude_vector" is in a file what is a layer with a weight.
    in_files = {*written, *(f"{name}.weight" for name in written)}
    named = list(whole.named_parameters(remove_duplicate=False))
    named += whole.named_buffers(remove_duplicate=False)
    found = {id(tensor) for name, tensor in named if name not in missing}
    return sorted(
        name
        for name, tensor in named
        if id(tensor) not in found
        and f".{NAME}" in name
        and name.replace(f".{NAME}", "") in in_files
    )


def no_fit(message: str) -> ModelError:
    """The error for an adapter and a model that do not belong together."""
    return ModelError(
        message, tr("its adapter_config.json names its base; --adapter '' leaves it out")
    )


def scores_of(net: Any) -> Any:
    """The scores of a net after each of a few ids: (ids, vocabulary), float32."""
    import torch

    rows = net.get_input_embeddings().weight.shape[0]
    ids = torch.tensor([[(37 * at * at + 11 * at) % min(199, rows) for at in range(32)]])
    device = net.get_input_embeddings().weight.device
    return net(input_ids=ids.to(device), use_cache=False).logits[0].float().cpu()
