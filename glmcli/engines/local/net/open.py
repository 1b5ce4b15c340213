"""Which net reads a checkpoint: the fused decoder, bitsandbytes, or any as transformers has it.

The only place that chooses. Knows nothing of prompts or replies.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from glmcli.config.models import IN_FULL, ModelOptions
from glmcli.engines.local.net.placement import pick_device
from glmcli.engines.local.net.plain.uncompiled import leave_unmarked, uncompiled
from glmcli.errors import ConfigError, ModelError
from glmcli.language import tr
from glmcli.machine import read_ahead
from glmcli.models.checkpoint import Checkpoint
from glmcli.models.choice import few_bits_on
from glmcli.types import Progress, Report

if TYPE_CHECKING:
    from glmcli.engines.local.net.reader import LoadedNet


def begin_loading(checkpoint: Checkpoint, report: Report) -> None:
    """Say so, and have the files read into memory while torch is imported."""
    report(Progress("loading", unit="bytes", note=checkpoint.name))
    read_ahead(checkpoint.weights)


@contextmanager
def naming_fields(checkpoint: Checkpoint) -> Iterator[None]:
    """Let a refusal by a library name the field of a file that it comes from, if that is found."""
    try:
        yield
    except ModelError as exc:
        if exc.__cause__ is None:  # said by us, of what we looked at
            raise
        from glmcli.engines.local.net.blame import blamed

        raise blamed(checkpoint, exc) from exc.__cause__


def open_model(checkpoint: Checkpoint, options: ModelOptions, report: Report) -> LoadedNet:
    """The fused decoder where it is proven, else any net as transformers has it.

    Raises ModelError, ConfigError, OutOfMemory.
    """
    import torch

    from glmcli.engines.local.net.fused.open import open_fused
    from glmcli.engines.local.net.fused.plan import NotCovered
    from glmcli.engines.local.net.sampling.sampler import check_steps

    check_quantize(options)
    check_steps(checkpoint)
    # cuDNN's attention plans again for each length, which takes longer than the attention.
    torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        return open_fused(checkpoint, options, report)
    except NotCovered as exc:
        if options.quantize != IN_FULL and pick_device(options.device) == "cpu":
            raise ConfigError(
                tr(
                    "{name} cannot be quantised on the processor: {why}",
                    name=checkpoint.name,
                    why=exc,
                ),
                tr("leave --quantize out, or choose a smaller model"),
            ) from exc
        runner = tr("transformers' forward ({why})", why=exc)
    with uncompiled():
        from glmcli.engines.local.net.plain.open import open_plain

    leave_unmarked()
    return open_plain(checkpoint, options, runner, report)


def check_quantize(options: ModelOptions) -> None:
    """Raise ConfigError for fewer bits than there is code for on this device."""
    device = pick_device(options.device)
    if options.quantize in (IN_FULL, *few_bits_on(device)):
        return
    if device == "cpu":
        raise ConfigError(
            tr("--quantize int4 needs a CUDA GPU"),
            tr("on the processor: --quantize int8, or a GGUF file in 4 bits: -m gguf:NAME"),
        )
    if not device.startswith("cuda"):
        raise ConfigError(
            tr(
                "--quantize {quantize} is not available on {device}",
                quantize=options.quantize,
                device=device,
            ),
            tr("leave it out"),
        )


def silence_libraries() -> None:
    """Keep what libraries say while a net runs off the terminal, which belongs to the chat."""
    if "transformers" in sys.modules:
        from transformers.utils import logging

        logging.set_verbosity_error()
    for library in ("torch", "transformers", "accelerate"):
        warnings.filterwarnings("ignore", module=rf"{library}(\.|$)")
