"""From a checked folder to a net: the weights, loaded by transformers.

Knows nothing of prompts, tokenizers or sampling, nor of which net is chosen: see open.py.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glmcli.config.models import ModelOptions
from glmcli.engines.local.net.adapter import with_adapter
from glmcli.engines.local.net.placement import Placement, place_weights
from glmcli.engines.local.net.plain.bins import bin_shapes, bin_tensors
from glmcli.engines.local.net.plain.files import whole_state
from glmcli.engines.local.net.plain.recipes import recipe_for
from glmcli.engines.local.net.recipe import Recipe
from glmcli.errors import ConfigError, ModelError, OutOfMemory, first_line
from glmcli.language import tr
from glmcli.machine import PAGE_BYTES, MappedFiles
from glmcli.models.checkpoint import IGNORABLE, Checkpoint
from glmcli.models.files.headers import Tensor
from glmcli.models.files.small import bad_download
from glmcli.models.libraries import quiet, says_no_memory, watch
from glmcli.types import Progress, Report

if TYPE_CHECKING:
    import torch
    import transformers
    from torch import nn

TOO_LARGE = "dispatched on the CPU or the disk"
"""What transformers says of quantised weights that do not fit."""
ATTENTION = {"flash": "flash_attention_2"}
TEXT_PART = "language_model"
"""What begins the names of the tensors for text where there are others beside them."""
NOWHERE = "adapter_config.json/none"
"""Where transformers may look for an adapter: it would apply one without a look at what it says."""


def load_net(
    checkpoint: Checkpoint, options: ModelOptions, report: Report
) -> transformers.PreTrainedModel:
    """Load the weights onto the device, in eval mode, and check that none was made up.

    Raises ModelError, ConfigError, OutOfMemory.
    """
    report(Progress("loading", unit="bytes", note=checkpoint.name))
    with quiet():
        recipe = recipe_for(checkpoint)
        tensors = checkpoint.tensors or bin_tensors(checkpoint)
        placement = place_weights(tensors, checkpoint.config, options)
        return load_placed(checkpoint, recipe, placement, options.attn, report)


def load_placed(
    checkpoint: Checkpoint,
    recipe: Recipe,
    placement: Placement,
    attn: str,
    report: Report,
    *,
    quantization: Any = None,
) -> transformers.PreTrainedModel:
    """Load the weights to their place, quantised on the way if transformers is told how.

    Raises ConfigError, ModelError, OutOfMemory.
    """
    check_attention(attn, placement.device)
    check_method(checkpoint)
    if checkpoint.adapter is not None and checkpoint.adapter.weights.suffix == ".bin":
        bin_shapes([checkpoint.adapter.weights])
    loading = Loading(checkpoint.weights, placement, report)
    with load_errors(checkpoint, placement):
        net, info = watch(
            lambda: from_pretrained(checkpoint, recipe, placement, attn, quantization),
            loading.tick,
            every_s=Loading.EVERY_S,
        )
    if checkpoint.stored:
        info["unexpected_keys"] = [
            key for key in info["unexpected_keys"] if key in checkpoint.stored
        ]
    elif is_text_part(checkpoint, recipe):
        info["unexpected_keys"] = of_text_part(info["unexpected_keys"])
    check_loaded(checkpoint, info, [name for name, _ in net.named_buffers()])
    check_float16(checkpoint, net, placement)
    recipe.settle(net)
    if checkpoint.adapter is not None:
        net = with_adapter(net, checkpoint.adapter, is_inner=bool(checkpoint.stored))
    loading.page_in(net)
    return net.eval()


def from_pretrained(
    checkpoint: Checkpoint, recipe: Recipe, placement: Placement, attn: str, quantization: Any
) -> tuple[transformers.PreTrainedModel, dict[str, Any]]:
    """The net and transformers' account of which weights went where."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    chosen: dict[str, Any] = {}
    if attn != "auto":
        chosen["attn_implementation"] = ATTENTION.get(attn, attn)
    if quantization is not None:
        chosen["quantization_config"] = quantization
    is_packed = checkpoint.packing is not None
    state = whole_state(checkpoint, placement.dtype) if is_packed else None
    if is_packed:
        chosen["state_dict"] = state
    elif checkpoint.stored:
        chosen["key_mapping"] = prefixes_of(checkpoint.stored)
    net, info = recipe.net_class.from_pretrained(
        None if is_packed else checkpoint.folder,
        config=recipe.config,
        # The dtype goes in here: cast afterwards, RoPE's buffers would be rounded too.
        dtype=placement.sums,
        device_map=placement.device_map,
        use_safetensors=checkpoint.weights[0].suffix == ".safetensors",
        ignore_mismatched_sizes=True,  # so that they are listed; check_loaded refuses them
        output_loading_info=True,
        local_files_only=True,
        trust_remote_code=checkpoint.remote_code,
        adapter_kwargs={"subfolder": NOWHERE},
        **chosen,
    )
    if state is not None:  # what packs may give every layer a bias
        info["unexpected_keys"] = [
            key for key in info["unexpected_keys"] if not is_no_bias(key, state[key])
        ]
    return net, info


def prefixes_of(stored: Mapping[str, str]) -> dict[str, str]:
    """What the names in the files begin with, as patterns -> what those of the net begin with."""
    found = {}
    for name, place in stored.items():
        names, places = name.split("."), place.split(".")
        while names and places and names[-1] == places[-1]:
            del names[-1], places[-1]
        instead, before = ("".join(f"{part}." for part in parts) for parts in (names, places))
        if before:
            found[f"^{re.escape(before)}"] = instead
    return found


def is_no_bias(name: str, tensor: torch.Tensor) -> bool:
    """Whether it is a bias of zeros, which changes nothing."""
    return name.endswith(".bias") and not tensor.any()


def check_attention(attn: str, device: str) -> None:
    """Raise ConfigError for a kernel that is not here."""
    here = device.startswith("cuda") and importlib.util.find_spec("flash_attn") is not None
    if attn == "flash" and not here:
        raise ConfigError(
            tr("--attn flash needs a CUDA GPU and the package flash-attn"),
            tr("--attn auto takes the fastest kernel that is here"),
        )


class Loading:
    """What is watched while weights load: progress, and the pages of the files.

    Otherwise a checkpoint that is converted would be in memory twice.
    """

    EVERY_S = 0.01

    def __init__(self, files: Sequence[Path], placement: Placement, report: Report) -> None:
        self._pages = MappedFiles(files)
        self._placement = placement
        self._report = report
        self._before = placement.arrived_bytes()
        self._done = 0

    def tick(self) -> None:
        """Look at the memory, and say how far it is."""
        self._show(self._placement.arrived_bytes() - self._before)
        self._pages.tidy()

    def page_in(self, net: transformers.PreTrainedModel) -> None:
        """Read the weights that are only mapped: the system has all in memory when loading ends."""
        import torch

        self._pages.drop()
        done = 0
        for parameter in net.parameters():
            if parameter.device.type == "cpu":
                parameter.detach().flatten().view(torch.uint8)[::PAGE_BYTES].sum()
            self._pages.tidy()
            done += parameter.nbytes
            self._show(done)

    def _show(self, done: int) -> None:
        total = self._placement.needed_bytes
        self._done = max(self._done, min(done, total))
        self._report(Progress("loading", self._done, total, "bytes", note=tr("weights")))


@contextmanager
def letting_go(net: nn.Module, files: Sequence[Path]) -> Iterator[None]:
    """Let go of the pages of a checkpoint's files as a net goes through them, layer by layer.

    They stay in the system's memory where there is room, and come back when they are read again.
    """
    pages = MappedFiles(files)
    hooks = [
        module.register_forward_hook(lambda *_: pages.tidy())
        for module in net.modules()
        if next(module.parameters(recurse=False), None) is not None
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        pages.drop()


def is_text_part(checkpoint: Checkpoint, recipe: Recipe) -> bool:
    """Whether the files hold a larger net, of which only the part for text is a net here."""
    is_part = "text_config" in checkpoint.config and recipe.config.model_type != checkpoint.family
    return is_part and bool(of_text_part(checkpoint.tensors or bin_tensors(checkpoint)))


def of_text_part(names: Collection[str]) -> list[str]:
    """The names of a larger net's tensors that are for text: the others are for pictures."""
    return [name for name in names if TEXT_PART in name.split(".")]


def check_loaded(checkpoint: Checkpoint, info: Mapping[str, Any], buffers: Sequence[str]) -> None:
    """Refuse a net of which any weight was made up or left over. Raises ModelError.

    `buffers` are the names of what the net computes itself.
    """
    name = checkpoint.name
    if missing := sorted(info["missing_keys"]):
        raise bad_download(tr("{name} lacks weights: {names}", name=name, names=list_few(missing)))
    if mismatched := sorted(str(item[0]) for item in info["mismatched_keys"]):
        raise bad_download(
            tr(
                "{name}: config.json and weights differ in shape: {names}",
                name=name,
                names=list_few(mismatched),
            )
        )
    tensors = info["unexpected_keys"] and (checkpoint.tensors or bin_tensors(checkpoint))
    if left := sorted(
        key
        for key in info["unexpected_keys"]
        if not (
            IGNORABLE.search(key)
            or any(f".{buffer}".endswith(f".{key}") for buffer in buffers)
            or (key in tensors and is_mask(key, tensors[key]))
        )
    ):
        raise ModelError(
            tr(
                "{name} holds weights that its architecture has no place for: {names}",
                name=name,
                names=list_few(left),
            ),
            tr("config.json belongs to another model, or needs a newer transformers"),
        )


def check_float16(
    checkpoint: Checkpoint, net: transformers.PreTrainedModel, placement: Placement
) -> None:
    """Raise ConfigError for weights that became infinite as float16."""
    import torch

    kinds = {tensor.dtype for tensor in checkpoint.tensors.values() if tensor.is_float}
    if placement.dtype is not torch.float16 or kinds == {"F16"}:
        return
    for parameter in net.parameters():
        if parameter.dtype is torch.float16 and parameter.numel():
            low, high = parameter.detach().aminmax()
            if torch.isinf(low) or torch.isinf(high):
                raise beyond_float16(checkpoint)


def beyond_float16(checkpoint: Checkpoint) -> ConfigError:
    """The error for a net with larger numbers than float16 has."""
    return ConfigError(
        tr(
            "{name} has numbers beyond 65,504, which --dtype float16 cannot hold",
            name=checkpoint.name,
        ),
        tr("--dtype auto, or --dtype float32"),
    )


def is_mask(name: str, tensor: Tensor) -> bool:
    """Whether old code kept in it which tokens may see which: today's classes compute that."""
    return (
        name.endswith((".bias", ".causal_mask"))
        and len(tensor.shape) == 4
        and tensor.shape[:2] == (1, 1)
        and tensor.shape[2] == tensor.shape[3]
    )


def list_few(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    few = ", ".join(names[:3])
    if len(names) <= 3:
        return few
    return tr("{names} and {count} more", names=few, count=len(names) - 3)


def check_method(checkpoint: Checkpoint) -> None:
    """Raise ModelError for weights quantised by a method that transformers would ignore."""
    import transformers
    from transformers.quantizers.auto import AutoHfQuantizer

    stated = checkpoint.config.get("quantization_config")
    if not isinstance(stated, dict) or not stated.get("quant_method"):
        return
    if not AutoHfQuantizer.supports_quant_method(stated):
        raise ModelError(
            tr(
                "{name}: transformers {version} knows no way to quantise weights named {how!r}",
                name=checkpoint.name,
                version=transformers.__version__,
                how=stated["quant_method"],
            ),
            tr("use the model that is not quantised, or a newer transformers"),
        )


@contextmanager
def load_errors(checkpoint: Checkpoint, placement: Placement) -> Iterator[None]:
    """Translate what `from_pretrained` raises. Raises ModelError, OutOfMemory."""
    name = checkpoint.name
    try:
        yield
    except ModelError:  # said by us, of packed weights
        raise
    except Exception as exc:
        if says_no_memory(exc) or TOO_LARGE in str(exc):
            raise OutOfMemory(placement.needed_bytes, placement.free_bytes) from exc
        quantized = checkpoint.config.get("quantization_config")
        if isinstance(quantized, dict):
            raise ModelError(
                tr(
                    "{name} is quantised ({how}): {why}",
                    name=name,
                    how=quantized.get("quant_method"),
                    why=first_line(exc),
                ),
                tr("use the model that is not quantised, or install the library it needs"),
            ) from exc
        message = tr("{name} cannot be loaded: {why}", name=name, why=first_line(exc))
        if isinstance(exc, ImportError):
            raise ModelError(message, tr("install what is named there")) from exc
        raise bad_download(message) from exc
