"""A model's folder before anything of it is loaded: its files, and whether they make a model.

Knows nothing of weights, which are in headers.py, or of families.
"""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Any

from glmcli.errors import ModelError
from glmcli.language import tr
from glmcli.models.files import fields
from glmcli.models.files.anywhere import check_code, check_lengths
from glmcli.models.files.small import bad_download, check_files, read_checkpoint_json
from glmcli.models.names import GGUF_HINT

ADDED_TOKENS = "added_tokens.json"
TOKENIZER_JSON = "tokenizer.json"
TOKENIZERS = (TOKENIZER_JSON, "tokenizer.model", "vocab.json", "spiece.model", "vocab.txt")


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder has a file of which some tokenizer is made."""
    names = (folder / name for name in TOKENIZERS)
    return any(path.exists() for path in names) or any(folder.glob("*.tiktoken"))


def check_folder(folder: Path) -> None:
    """Raise ModelError for a folder that holds no model, or one of another kind."""
    names = {path.name for path in folder.iterdir()}
    if not names:
        raise bad_download(tr("{folder} is empty", folder=folder))
    if "config.json" in names:
        return
    if any(name.endswith(".gguf") for name in names):
        raise ModelError(
            tr("{folder} holds GGUF files, which are loaded in another way", folder=folder),
            tr(GGUF_HINT, path=quote(str(folder))),
        )
    raise ModelError(
        tr("{folder} has no config.json", folder=folder),
        tr("a model's folder holds config.json, weights, a tokenizer"),
    )


def read_config(folder: Path) -> dict[str, Any]:
    """config.json, after a look at what this and the other small files say. Raises ModelError."""
    check_files(folder)
    config = read_checkpoint_json(folder / "config.json")
    fields.check_config(config)
    check_code(config, "config.json")
    check_lengths(config, "config.json")
    if not (folder / "generation_config.json").exists():  # then this file stands for it
        fields.check(config, fields.GENERATION, "config.json")
    for name, table in (
        ("generation_config.json", fields.GENERATION),
        ("tokenizer_config.json", fields.TOKENIZER),
        ("special_tokens_map.json", fields.TOKENIZER),
        ("chat_template.json", fields.TOKENIZER),
    ):
        if (folder / name).exists():
            values = read_checkpoint_json(folder / name)
            fields.check(values, table, name)
            check_code(values, name)
    if (folder / ADDED_TOKENS).exists():
        added = read_checkpoint_json(folder / ADDED_TOKENS)
        fields.check({"added_tokens": added}, fields.ADDED, ADDED_TOKENS)
    return config
