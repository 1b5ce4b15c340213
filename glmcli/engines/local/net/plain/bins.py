"""Files of weights that are pickles: what is in them, before and when it is loaded.

torch runs nothing that they say, but does what else they say for as long as it takes, so the first
look at them is limited.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glmcli.errors import ModelError
from glmcli.language import later, tr
from glmcli.models.bits import FORMATS
from glmcli.models.checkpoint import Checkpoint
from glmcli.models.files.agreement import check_sizes
from glmcli.models.files.headers import Tensor, check_index
from glmcli.models.files.pickles import check_pickles
from glmcli.models.files.zips import FIRST
from glmcli.models.libraries import limited, says_no_memory

if TYPE_CHECKING:
    import torch

SHORT = {f"torch.{name}": short for short, name in FORMATS.items()}
"""torch's names of dtypes -> those of safetensors."""
LOOK_S = 3.0
"""Of the processor, for all files of a checkpoint; twenty thousand tensors take two."""
LOOK_BYTES = 1 << 30
"""Of memory, beside one file that is mapped."""
_HINT = later("use the model's safetensors files: a .bin file is never run as Python here")


def bin_tensors(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """What .bin files hold. Raises ModelError, also for what takes too much to be looked at."""
    found = bin_shapes(checkpoint.weights)
    check_index(checkpoint.index, found)
    tensors = {name: tensor for names in found.values() for name, tensor in names.items()}
    check_sizes(checkpoint.config, tensors)
    return tensors


def bin_shapes(files: Sequence[Path]) -> dict[str, dict[str, Tensor]]:
    """What each of these .bin files holds, by its name, without its numbers. Raises ModelError."""
    import torch

    found: dict[str, dict[str, Tensor]] = {}
    with look_limits(files):
        for path in files:
            no_numbers = nullcontext() if is_zip(path) else torch.serialization.skip_data()
            try:
                check_pickles(path)
                with no_numbers:
                    state = read_bin(path, map_location="meta")
                found[path.name] = {
                    name: Tensor(
                        SHORT.get(str(value.dtype), str(value.dtype)),
                        tuple(value.shape),
                        value.nbytes,
                    )
                    for name, value in state.items()
                }
            except Exception as exc:  # pickles fail in as many ways as there are
                if says_no_memory(exc):
                    raise
                raise ModelError(
                    tr("{name} is damaged, or holds more than weights", name=path.name),
                    tr(_HINT),
                ) from exc
    return found


def look_limits(files: Sequence[Path]) -> AbstractContextManager[None]:
    """The limits under which torch may look at files one by one. Raises ModelError."""
    return limited(
        tr("reading {name}", name=files[0].name),
        tr(_HINT),
        cpu_s=LOOK_S,
        memory_bytes=LOOK_BYTES + max(path.stat().st_size for path in files),
    )


def read_bin(path: Path, **options: Any) -> Mapping[str, torch.Tensor]:
    """The tensors of a .bin file that `bin_shapes` has seen, without running what it says."""
    import torch

    state: Mapping[str, torch.Tensor] = torch.load(
        path, weights_only=True, mmap=is_zip(path), **options
    )
    return state


def is_zip(path: Path) -> bool:
    """Whether torch will take a file for a zip; old ones are plain pickles."""
    with path.open("rb") as file:
        return file.read(len(FIRST)) == FIRST
