"""From a model's name to a net: find the folder, check its files, load the weights.

Knows nothing of prompts, tokenizers or sampling. Names are in names.py, what weight files say in
weights.py, devices and memory in placement.py.
"""

from __future__ import annotations

import importlib.util
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glmcli.config import BUILT_IN_MODEL, Settings
from glmcli.engines.agreement import check_sizes
from glmcli.engines.chatglm_config import check_config
from glmcli.engines.folder import check_folder, read_config
from glmcli.engines.model_files import DOWNLOAD_AGAIN, read_json
from glmcli.engines.names import fetched, place_of
from glmcli.engines.placement import Placement, place_weights
from glmcli.engines.watch import quiet, watched
from glmcli.engines.weights import Tensor, check_index, read_weights
from glmcli.errors import GlmError, ModelError, OutOfMemory, first_line
from glmcli.machine import PAGE_BYTES, drop_pages, resident_bytes
from glmcli.types import Progress, Report

if TYPE_CHECKING:
    import transformers

IGNORABLE = re.compile(r"\.(inv_freq|masked_bias)$")
"""Buffers that old checkpoints hold and today's classes compute."""
TOO_LARGE = re.compile(r"not enough memory|dispatched on the CPU or the disk")
"""What torch and transformers say of weights that do not fit; the second if quantised."""
ATTENTION = {"flash": "flash_attention_2"}
SHORT = {"torch.float32": "F32", "torch.float16": "F16", "torch.bfloat16": "BF16"}
"""torch's names of dtypes as safetensors writes them."""
CAUSAL = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder that was checked and can be loaded."""

    name: str
    """What people call the model, short: "smollm2", "chatglm3-6b"."""
    folder: Path
    config: dict[str, Any]
    """config.json as it is."""
    weights: tuple[Path, ...]
    """The files that hold the weights: all .safetensors, or all .bin."""
    size_bytes: int
    """Size of the weights on disk."""
    tensors: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    """What is in the files; empty for .bin."""
    index: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Tensor -> file name; empty if there is no index."""
    remote_code: bool = False
    """Whether Python that comes with it may run: for `trust_remote_code` everywhere."""

    @property
    def family(self) -> str:
        """The architecture, as `model_type` names it."""
        return str(self.config.get("model_type") or "")

    @property
    def is_built_in(self) -> bool:
        """Whether this is the small model for demonstrations."""
        return self.name == BUILT_IN_MODEL


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a checkpoint becomes a net: what `from_pretrained` is given, and what comes after."""

    config: transformers.PreTrainedConfig
    net_class: Any
    """A class with `from_pretrained`."""
    settle: Callable[[transformers.PreTrainedModel], None] = lambda net: None
    """Called once with the loaded net."""


def find_checkpoint(
    name: str, settings: Settings, report: Report, *, refresh: bool = False
) -> Checkpoint:
    """Find a folder, a hub id or a built-in model, fetch what is missing, and check the files.

    What is here and whole is used as it is, without asking the network, unless `refresh`.
    Raises ModelError.
    """
    place = place_of(name, settings)
    folder = place.folder
    if place.hub_id or name == BUILT_IN_MODEL:
        here = folder is not None and (settings.offline or is_complete(folder, settings))
        if refresh or not here:
            folder = fetched(place, settings, report)
    assert folder is not None, "only the hub and the built-in model can be absent"
    return open_folder(folder, name=place.name, settings=settings)


def is_complete(folder: Path, settings: Settings) -> bool:
    """Whether nothing needs to be fetched."""
    try:
        read_weights(folder)
        remote = runs_remote_code(read_json(folder / "config.json"), settings)
    except (ModelError, OSError):
        return False
    return not remote or any(folder.glob("*.py"))


def open_folder(folder: Path, *, name: str, settings: Settings) -> Checkpoint:
    """Check a model's folder as far as can be without loading it. Raises ModelError."""
    try:
        check_folder(folder)
        config = read_config(folder)
        if config.get("model_type") == "chatglm":
            check_config(config, name=name)
        if needs_remote_code(config) and not settings.trust_remote_code:
            raise ModelError(
                f"{name} needs Python code that comes with it: transformers has no "
                f"{config.get('model_type')!r}",
                f"read the .py files in {folder}, then add --trust-remote-code",
            )
        remote = runs_remote_code(config, settings)
        if remote and not any(folder.glob("*.py")):
            raise ModelError(f"{folder} lacks the Python files that it needs", DOWNLOAD_AGAIN)
        weights = read_weights(folder)
        check_sizes(config, weights.tensors)
    except OSError as exc:
        raise ModelError(
            f"{exc.filename or folder} cannot be read: {exc.strerror}", "check its permissions"
        ) from exc
    return Checkpoint(
        name=name,
        folder=folder,
        config=config,
        weights=weights.files,
        size_bytes=weights.size_bytes,
        tensors=weights.tensors,
        index=weights.index,
        remote_code=remote,
    )


def runs_remote_code(config: Mapping[str, Any], settings: Settings) -> bool:
    """Whether Python that comes with a model is needed, and trusted."""
    return settings.trust_remote_code and needs_remote_code(config)


def needs_remote_code(config: Mapping[str, Any]) -> bool:
    """Whether a config brings classes of its own for a family that neither transformers knows."""
    family = config.get("model_type")
    if "auto_map" not in config or family == "chatglm":
        return False
    package = importlib.util.find_spec("transformers")
    assert package is not None and package.origin is not None
    # Read, not imported: that would take seconds.
    tables = (Path(package.origin).parent / "models" / "auto").glob("*auto*.py")
    names = (path for path in tables if path.stem in ("configuration_auto", "auto_mappings"))
    return not any(f'"{family}"' in path.read_text(encoding="utf-8") for path in names)


def load_net(
    checkpoint: Checkpoint, settings: Settings, report: Report
) -> transformers.PreTrainedModel:
    """Load the weights onto the device, in eval mode, and check that none was made up.

    Raises ModelError, ConfigError, OutOfMemory.
    """
    if settings.quantize != "none":
        from glmcli.engines.fewer_bits import load_in_fewer_bits

        return load_in_fewer_bits(checkpoint, settings, report)
    report(Progress("loading", unit="bytes", note=checkpoint.name))
    with quiet():
        recipe = recipe_for(checkpoint)
        tensors = checkpoint.tensors or bin_tensors(checkpoint)
        placement = place_weights(tensors, checkpoint.config, settings)
        return load_placed(checkpoint, recipe, placement, settings.attn, report)


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

    Raises ModelError, OutOfMemory.
    """
    loading = Loading(checkpoint.weights, placement, report)
    with load_errors(checkpoint, placement):
        net, info = watched(
            lambda: from_pretrained(checkpoint, recipe, placement, attn, quantization),
            loading.tick,
            every_s=Loading.EVERY_S,
        )
    check_loaded(checkpoint, info)
    recipe.settle(net)
    loading.page_in(net)
    return net.eval()


def recipe_for(checkpoint: Checkpoint) -> Recipe:
    """The recipe of this checkpoint's family. Raises ModelError."""
    if checkpoint.family == "chatglm":
        from glmcli.engines import chatglm

        return chatglm.recipe(checkpoint)
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CLASSES

    name, family, remote = checkpoint.name, checkpoint.family, checkpoint.remote_code
    if not remote and family not in transformers.CONFIG_MAPPING:
        raise ModelError(
            f"{name}: transformers {transformers.__version__} does not know {family!r} models",
            "a newer transformers may: pip install --upgrade transformers",
        )
    kinds = checkpoint.config.get("architectures") or ["ForCausalLM"]
    if not remote and (family not in CLASSES or not any(kind.endswith(CAUSAL) for kind in kinds)):
        raise ModelError(
            f"{name} is a {kinds[0]}, not a model that continues text", "choose a chat model"
        )
    try:
        config = transformers.AutoConfig.from_pretrained(
            checkpoint.folder, trust_remote_code=remote, local_files_only=True
        )
    except Exception as exc:  # each family's config class checks in its own way
        raise ModelError(f"{name}: bad config.json: {first_line(exc)}", DOWNLOAD_AGAIN) from exc
    # The class itself: AutoModel would prefer remote code to its own where it is trusted.
    own = transformers.AutoModelForCausalLM if remote else getattr(transformers, CLASSES[family])
    return Recipe(config, own)


def from_pretrained(
    checkpoint: Checkpoint, recipe: Recipe, placement: Placement, attn: str, quantization: Any
) -> tuple[transformers.PreTrainedModel, dict[str, Any]]:
    """The net and transformers' account of which weights went where."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    chosen = {} if attn == "auto" else {"attn_implementation": ATTENTION.get(attn, attn)}
    if quantization is not None:
        chosen["quantization_config"] = quantization
    net, info = recipe.net_class.from_pretrained(
        checkpoint.folder,
        config=recipe.config,
        # The dtype goes in here: cast afterwards, RoPE's buffers would be rounded too.
        dtype=placement.dtype,
        device_map=placement.device_map,
        use_safetensors=checkpoint.weights[0].suffix == ".safetensors",
        ignore_mismatched_sizes=True,  # so that they are listed; check_loaded refuses them
        output_loading_info=True,
        local_files_only=True,
        trust_remote_code=checkpoint.remote_code,
        **chosen,
    )
    return net, info


class Loading:
    """What is watched while weights load: progress, and the pages of the files.

    A mapped file counts as memory once it was read, so what was copied or converted out of it is
    given back at once. Otherwise a converted checkpoint would be in memory twice.
    """

    EVERY_S = 0.01
    DROP_BYTES = 16 << 20

    def __init__(self, files: Sequence[Path], placement: Placement, report: Report) -> None:
        self._files = files
        self._placement = placement
        self._report = report
        self._before = placement.arrived_bytes()
        self._mapped_before = resident_bytes()[1]
        self._done = 0

    def tick(self) -> None:
        """Look at what has arrived."""
        self._show(self._placement.arrived_bytes() - self._before)
        if resident_bytes()[1] - self._mapped_before > self.DROP_BYTES:
            drop_pages(self._files)

    def page_in(self, net: transformers.PreTrainedModel) -> None:
        """Read what is still only mapped, so that loading ends when the weights are in memory."""
        import torch

        drop_pages(self._files)
        done = 0
        for parameter in net.parameters():
            if parameter.device.type == "cpu":
                parameter.detach().flatten().view(torch.uint8)[::PAGE_BYTES].sum()
            done += parameter.nbytes
            self._show(done)

    def _show(self, done: int) -> None:
        total = self._placement.needed_bytes
        self._done = max(self._done, min(done, total))
        self._report(Progress("loading", self._done, total, "bytes", note="weights"))


def check_loaded(checkpoint: Checkpoint, info: Mapping[str, Any]) -> None:
    """Refuse a net of which any weight was made up or left over. Raises ModelError."""
    name = checkpoint.name
    if missing := sorted(info["missing_keys"]):
        raise ModelError(f"{name} lacks weights: {listed(missing)}", DOWNLOAD_AGAIN)
    if mismatched := sorted(str(item[0]) for item in info["mismatched_keys"]):
        raise ModelError(
            f"{name}: config.json and weights differ in shape: {listed(mismatched)}", DOWNLOAD_AGAIN
        )
    if left := sorted(key for key in info["unexpected_keys"] if not IGNORABLE.search(key)):
        raise ModelError(
            f"{name} holds weights that its architecture has no place for: {listed(left)}",
            "config.json belongs to another model, or needs a newer transformers",
        )


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def bin_tensors(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """What .bin files hold, without reading the numbers or running what they say."""
    import torch

    found: dict[str, dict[str, Tensor]] = {}
    for path in checkpoint.weights:
        try:
            state = torch.load(
                path, map_location="meta", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
            found[path.name] = {
                name: Tensor(
                    SHORT.get(str(value.dtype), str(value.dtype)), tuple(value.shape), value.nbytes
                )
                for name, value in state.items()
            }
        except Exception as exc:  # pickles fail in as many ways as there are
            raise ModelError(
                f"{path.name} is damaged, or holds more than weights",
                "use the model's safetensors files: a .bin file is never run as Python here",
            ) from exc
    check_index(checkpoint.index, found)
    tensors = {name: tensor for names in found.values() for name, tensor in names.items()}
    check_sizes(checkpoint.config, tensors)
    return tensors


@contextmanager
def opening(checkpoint: Checkpoint) -> Iterator[None]:
    """Translate what a library raises at files that it did not expect. Raises GlmError."""
    try:
        yield
    except GlmError:
        raise
    except Exception as exc:  # foreign files, foreign code: it may be anything
        raise ModelError(
            f"{checkpoint.name} cannot be opened: {type(exc).__name__}: {first_line(exc)}",
            "download it again; GLM_DEBUG=1 shows where it happened",
        ) from exc


@contextmanager
def load_errors(checkpoint: Checkpoint, placement: Placement) -> Iterator[None]:
    """Translate what `from_pretrained` raises. Raises ModelError, OutOfMemory."""
    import torch

    name = checkpoint.name
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as exc:
        raise OutOfMemory(placement.needed_bytes, placement.free_bytes) from exc
    except Exception as exc:
        if isinstance(exc, RuntimeError | ValueError) and TOO_LARGE.search(str(exc)):
            raise OutOfMemory(placement.needed_bytes, placement.free_bytes) from exc
        quantized = checkpoint.config.get("quantization_config")
        if isinstance(quantized, dict):
            raise ModelError(
                f"{name} is quantised ({quantized.get('quant_method')}): {first_line(exc)}",
                "use the model that was not quantised, or install what is named",
            ) from exc
        raise ModelError(f"{name} cannot be loaded: {first_line(exc)}", DOWNLOAD_AGAIN) from exc
