"""The small files of a checkpoint, opened only if they are what they should be.

Those that a library opens by itself are looked at first, by the same rule: it would wait for a pipe
and read a device without end. Knows how large each may be, not what may be in it: see fields.py.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from glmcli import files
from glmcli.errors import ModelError
from glmcli.language import later, tr
from glmcli.models.files.fields import MOST_TEMPLATES

DOWNLOAD_AGAIN = later("download the model again")
SMALL, LARGE = 10 * files.MB, 100 * files.MB
_LIMITS = {
    "config.json": SMALL,
    "generation_config.json": SMALL,
    "adapter_config.json": SMALL,
    "chat_template.jinja": SMALL,
    "chat_template.json": SMALL,
    "special_tokens_map.json": SMALL,
    "tokenizer_config.json": 3 * SMALL,
    "model.safetensors.index.json": 3 * SMALL,
    "pytorch_model.bin.index.json": 3 * SMALL,
    "added_tokens.json": SMALL,
}
"""Bytes; each is several times what the largest model known has. All others may have LARGE."""
_OF_ANY_SIZE = re.compile(r"\.(bin|safetensors)$")
"""Weights, which headers.py measures."""
OPENED = re.compile(
    r"\.(bin|bpe|codes|jinja|json|model|py|safetensors|spm|tiktoken|tokenizer|txt|vocab)$"
)
"""What a library may open by itself."""
MORE_TEMPLATES = "additional_chat_templates"
_NOT_OF_TOKENIZERS = re.compile(
    r"\.(bin|py|safetensors)$|\.index\.json$|^(generation|adapter)_config\.json$"
)


def bad_download(message: str) -> ModelError:
    """The error for files that are not what they should be."""
    return ModelError(message, tr(DOWNLOAD_AGAIN))


def check_files(folder: Path) -> None:
    """Raise ModelError for what a library would wait for or read without end. Raises OSError."""
    for path in opened_files(folder):
        check_file(path)
    check_templates(folder)


def check_templates(folder: Path) -> None:
    """Raise ModelError for more templates than a library should read. Raises OSError."""
    found = [path for path in opened_files(folder) if path.parent != folder]
    if len(found) > MOST_TEMPLATES:
        raise bad_download(
            tr(
                "{folder} holds {count:,} templates; {limit:,} is the limit",
                folder=MORE_TEMPLATES,
                count=len(found),
                limit=MOST_TEMPLATES,
            )
        )
    if (size := sum(path.stat().st_size for path in found)) > SMALL:
        raise bad_download(
            tr(
                "the templates in {folder} have {size:,} bytes; {limit:,} is the limit",
                folder=MORE_TEMPLATES,
                size=size,
                limit=SMALL,
            )
        )


def opened_files(folder: Path) -> Iterator[Path]:
    """The files of a folder that a library may open by itself. Raises OSError."""
    more = folder / MORE_TEMPLATES
    for place in (folder, more) if more.is_dir() else (folder,):
        for path in sorted(place.iterdir()):
            if OPENED.search(path.name):
                yield path


def tokenizer_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The files that may decide what a tokenizer does: names, and what is in them.

    Raises ModelError, OSError.
    """
    for path in opened_files(folder):
        if path.is_file() and not _NOT_OF_TOKENIZERS.search(path.name):
            yield path.relative_to(folder).as_posix(), read_checkpoint_bytes(path)


def check_file(path: Path) -> None:
    """Raise ModelError for a file that is there and is not what its name says."""
    try:
        with _told(path):
            files.check_regular(path, limit=_limit_of(path), error=ModelError)
    except ModelError as exc:
        if not isinstance(exc.__cause__, FileNotFoundError):
            raise


def read_checkpoint_bytes(path: Path) -> bytes:
    """A file. Raises ModelError, with a FileNotFoundError as its cause if there is none."""
    with _told(path):
        return files.read_bytes(path, limit=_limit_of(path), error=ModelError)


def read_checkpoint_text(path: Path) -> str:
    """A file of text. Raises ModelError, see `read_checkpoint_bytes`."""
    with _told(path):
        return files.read_text(path, limit=_limit_of(path), error=ModelError)


def read_checkpoint_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises ModelError, see `read_checkpoint_bytes`."""
    with _told(path):
        value = files.parse_json(read_checkpoint_text(path), str(path), error=ModelError)
    if not isinstance(value, dict):
        raise bad_download(tr("{path} is not a JSON object", path=path))
    return value


def _limit_of(path: Path) -> int:
    return sys.maxsize if _OF_ANY_SIZE.search(path.name) else _LIMITS.get(path.name, LARGE)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Give an error of the reader the hint that helps with a checkpoint. Raises ModelError."""
    try:
        yield
    except ModelError as exc:
        message, hint, cause = exc.message, tr(DOWNLOAD_AGAIN), exc.__cause__
        if isinstance(cause, FileNotFoundError):
            message = tr("{folder} has no {name}", folder=path.parent, name=path.name)
        elif isinstance(cause, OSError):
            hint = tr("check its permissions")
        raise ModelError(message, hint) from cause
