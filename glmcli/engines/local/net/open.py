"""Which net reads a checkpoint: the fused decoder, bitsandbytes, or any as transformers has it.

The only place that chooses. Knows nothing of prompts or replies.
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

from glmcli.config import Settings
from glmcli.engines.local.net.load import load_net
from glmcli.engines.local.net.placement import pick_device
from glmcli.errors import ConfigError
from glmcli.machine import drop_pages
from glmcli.models.checkpoint import Checkpoint
from glmcli.types import Progress, Report

if TYPE_CHECKING:
    from glmcli.engines.local.net.reader import Model

DROP_BYTES = 16 << 20


def open_model(checkpoint: Checkpoint, settings: Settings, report: Report) -> Model:
    """The fused decoder where it is proven, else any net as transformers has it.

    Raises ModelError, ConfigError, OutOfMemory.
    """
    import torch

    from glmcli.engines.local.net.fused.plan import NotCovered
    from glmcli.engines.local.net.fused.proof import open_fused

    check_quantize(settings)
    # cuDNN's attention plans anew for each length, which takes longer than the attention itself.
    torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        return open_fused(checkpoint, settings, report)
    except NotCovered as exc:
        if settings.quantize != "none" and pick_device(settings.device) == "cpu":
            raise ConfigError(
                f"{checkpoint.name} cannot be quantised on the processor: {exc}",
                "leave --quantize out, or choose a smaller model",
            ) from exc
        path = f"transformers' forward ({exc})"
    from glmcli.engines.local.net.plain import model_of

    net = load_in_any_bits(checkpoint, settings, report)
    arrange(net, checkpoint, report)
    return model_of(net, path)


def load_in_any_bits(checkpoint: Checkpoint, settings: Settings, report: Report) -> Any:
    """The net as transformers has it, in the bits that are asked for.

    Raises ModelError, ConfigError, OutOfMemory.
    """
    if settings.quantize != "none":
        from glmcli.engines.local.net.bitsandbytes import load_in_fewer_bits

        return load_in_fewer_bits(checkpoint, settings, report)
    return load_net(checkpoint, settings, report)


def check_quantize(settings: Settings) -> None:
    """Raise ConfigError for fewer bits than there is code for on this device."""
    if settings.quantize == "none":
        return
    device = pick_device(settings.device)
    if device == "cpu" and settings.quantize == "int4":
        raise ConfigError("--quantize int4 needs a CUDA GPU", "on the processor: --quantize int8")
    if not device.startswith(("cpu", "cuda")):
        raise ConfigError(
            f"--quantize {settings.quantize} is not available on {device}", "leave it out"
        )


def arrange(net: Any, checkpoint: Checkpoint, report: Report) -> None:
    """Put the weights into the order this processor is fastest with, where there is one.

    What was copied counts no longer as memory: the pages of the files are given back on the way.
    """
    from glmcli.engines.local.net.packed import find_linears, pack

    places = find_linears(net)
    total = sum(place.size_bytes for place in places)
    done, undropped = 0, total  # loading has read all pages
    for place in places:
        if undropped > DROP_BYTES:
            drop_pages(checkpoint.weights)
            undropped = 0
        pack(place)
        done += place.size_bytes
        undropped += place.size_bytes
        report(Progress("loading", done, total, "bytes", note="arranging"))
    if places:
        drop_pages(checkpoint.weights)


def silence_libraries() -> None:
    """Keep what libraries say while a net runs off the terminal, which belongs to the chat."""
    if "transformers" in sys.modules:
        from transformers.utils import logging

        logging.set_verbosity_error()
    for library in ("torch", "transformers", "accelerate"):
        warnings.filterwarnings("ignore", module=rf"{library}(\.|$)")
