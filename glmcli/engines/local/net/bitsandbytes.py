"""Any net of transformers with its weights in fewer bits: bitsandbytes quantises them.

Once: the result is kept, and loaded as it is from then on. int8 is LLM.int8() (Dettmers
et al., arXiv:2208.07339), int4 is NF4 in blocks of 64 (Dettmers et al., arXiv:2305.14314).
Embeddings, the head and stacked experts stay as they are. Knows nothing of devices.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import transformers

from glmcli.config.models import ModelOptions
from glmcli.engines.local.net.load import load_placed
from glmcli.engines.local.net.placement import Placement, place_weights
from glmcli.engines.local.net.plain.bins import bin_tensors
from glmcli.engines.local.net.plain.recipes import recipe_for
from glmcli.engines.local.proofs import fingerprint
from glmcli.errors import ConfigError, ModelError, first_line
from glmcli.language import tr
from glmcli.models.checkpoint import Checkpoint, open_folder
from glmcli.models.libraries import quiet
from glmcli.types import Progress, Report

_INSTALL = "pip install 'glm-chat[quantize]'"


def load_in_fewer_bits(checkpoint: Checkpoint, options: ModelOptions, report: Report) -> Any:
    """The net as `options.quantize` wants it. Raises ConfigError, ModelError, OutOfMemory."""
    if known := checkpoint.config.get("quantization_config"):
        how = known.get("quant_method") if isinstance(known, dict) else known
        raise ConfigError(
            tr("{name} is already quantised ({how})", name=checkpoint.name, how=how),
            tr("leave --quantize out"),
        )
    if checkpoint.adapter is not None:
        raise ConfigError(
            tr("--quantize with an adapter works on the processor only"),
            tr("leave --quantize out, or merge the adapter into the model first"),
        )
    report(Progress("loading", unit="bytes", note=checkpoint.name))
    with quiet():
        tensors = checkpoint.tensors or bin_tensors(checkpoint)
        placement = place_weights(tensors, checkpoint.config, options)
        library = check_library(options.quantize, placement.device)
        made_of = fingerprint(checkpoint, device=placement.device, dtype=str(placement.dtype))
        key = f"{made_of}-bitsandbytes-{library}-{options.quantize}"
        folder = options.cache.quantized(key)
        net = load_kept(folder, checkpoint, placement, options, report)
        if net is None:
            net = load_placed(
                checkpoint,
                recipe_for(checkpoint),
                placement,
                options.attn,
                report,
                quantization=make_quantization(options.quantize, placement.dtype),
            )
            if options.cache.may_write and not checkpoint.remote_code:
                keep(net, folder)
    return net


def check_library(bits: str, device: str) -> str:
    """The version of bitsandbytes, which is here and can quantise on `device`. Raises ConfigError.

    It has kernels for some devices and drivers only; whether it has them here, a first use shows.
    """
    try:
        import bitsandbytes
        from bitsandbytes import functional
    except ImportError as exc:
        raise ConfigError(
            tr("--quantize {bits} needs bitsandbytes on {device}", bits=bits, device=device),
            _INSTALL,
        ) from exc
    # It warns whenever a layer casts its input.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        row = torch.ones(1, 64, dtype=torch.float16, device=device)
        quantise = functional.quantize_nf4 if bits == "int4" else functional.int8_vectorwise_quant
        quantise(row)[0].cpu()
    except Exception as exc:  # missing libraries, devices and kernels fail in ways of their own
        raise ConfigError(
            tr(
                "bitsandbytes {version} does not run on {device}: {why}",
                version=bitsandbytes.__version__,
                device=device,
                why=first_line(exc),
            ),
            tr("another version may: pip install --upgrade bitsandbytes; or leave --quantize out"),
        ) from exc
    return str(bitsandbytes.__version__)


def make_quantization(bits: str, dtype: torch.dtype) -> transformers.BitsAndBytesConfig:
    """What `from_pretrained` is told; products are computed in `dtype`."""
    if bits == "int8":
        return transformers.BitsAndBytesConfig(load_in_8bit=True)
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
    )


def load_kept(
    folder: Path,
    checkpoint: Checkpoint,
    placement: Placement,
    options: ModelOptions,
    report: Report,
) -> Any | None:
    """The net that was kept in `folder`; None if there is none, or a damaged one, which goes."""
    if not folder.is_dir():
        return None
    try:
        kept = open_folder(folder, name=checkpoint.name, options=options)
        return load_placed(kept, recipe_for(kept), placement, options.attn, report)
    except ModelError:
        shutil.rmtree(folder, ignore_errors=True)
        return None


def keep(net: Any, folder: Path) -> None:
    """Keep a net that has read nothing yet, whole or not at all.

    After its first product bitsandbytes may have its weights in another order.
    """
    # A full disk, or a family that does not save: it is quantised again the next time.
    with suppress(Exception):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=".", dir=folder.parent, ignore_cleanup_errors=True
        ) as work:
            whole = Path(work) / "net"
            net.save_pretrained(whole)
            whole.rename(folder)
