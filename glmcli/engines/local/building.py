"""What libraries make of a checkpoint's config.json, under limits of time and memory.

Knows nothing of weights.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from glmcli.errors import ModelError, first_line
from glmcli.language import tr
from glmcli.models.checkpoint import Checkpoint
from glmcli.models.files.decoder import as_alone
from glmcli.models.files.small import bad_download
from glmcli.models.libraries import limited

BUILD_S = 3.0
"""Of the processor; nets of a hundred layers with hundreds of experts take a tenth of a second."""
BUILD_BYTES = 1 << 30
"""Of memory, for a net without weights."""


def library_config(checkpoint: Checkpoint, library: Any) -> Any:
    """config.json as transformers, the `library`, reads it, defaults included. Raises ModelError.

    What is imported for a family that it knows is no work of the checkpoint's: a new installation
    compiles it first, which takes longer than the limits allow.
    """
    if checkpoint.family in library.CONFIG_MAPPING:
        library.CONFIG_MAPPING[checkpoint.family]
    try:
        with build_limits():
            found = library.AutoConfig.from_pretrained(
                checkpoint.folder,
                trust_remote_code=checkpoint.remote_code,
                local_files_only=True,
            )
            if checkpoint.stored:
                return inner_library_config(checkpoint, found, library)
        if checkpoint.packing is not None:  # the library gets the weights unpacked
            del found.quantization_config
        return found
    except ModelError:
        raise
    except Exception as exc:  # each family's config class checks in its own way
        message = tr("{name}: bad config.json: {why}", name=checkpoint.name, why=first_line(exc))
        raise bad_download(message) from exc


def inner_library_config(checkpoint: Checkpoint, whole: Any, library: Any) -> Any:
    """The config of the decoder alone in a `whole` that also sees pictures.

    With the defaults of the whole, which are others than those of the same decoder alone.
    """
    text = whole.get_text_config(decoder=True).to_dict()
    fields = as_alone(text, checkpoint.family, checkpoint.tensors)
    rope = fields.get("rope_parameters")
    if isinstance(rope, dict) and checkpoint.family == "glm4":
        rope.setdefault("partial_rotary_factor", 1.0)
    fields["tie_word_embeddings"] = whole.tie_word_embeddings
    fields = {name: value for name, value in fields.items() if name not in ("model_type", "dtype")}
    return library.CONFIG_MAPPING[checkpoint.family](**fields)


def build_limits(cpu_s: float | None = None) -> AbstractContextManager[None]:
    """The limits under which a library may do what config.json says. Raises ModelError."""
    return limited(
        tr("building the model that config.json describes"),
        tr("config.json belongs to another model, or the weights are not whole"),
        cpu_s=BUILD_S if cpu_s is None else cpu_s,
        memory_bytes=BUILD_BYTES,
    )
