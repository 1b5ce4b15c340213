"""Models in GGUF files: which names mean one.

Told by the form of a name, or by a look at the disk where a path or another program's tag may be
meant. Imported before every first prompt, so it imports next to nothing.
"""

from __future__ import annotations

import re
from pathlib import Path

from glmcli.config.known import ollama_folders
from glmcli.paths import is_file, with_home

SUFFIX = ".gguf"
HUB_TAG = re.compile(
    r"(?:(?:https?://)?(?:huggingface\.co|hf\.co)/)?"
    r"(?P<repo>[\w.-]+/[\w.-]+):(?P<tag>[A-Za-z_][\w.-]*)",
    re.ASCII,
)
"""A repository of a hub and, behind the colon, which of its files: "org/name:Q4_K_M"."""
PATH_STARTS = ("/", "./", "../", "~")
"""How a name begins that can only be a path."""
_TAGGED = re.compile(r"(?:[\w.-]+/){0,2}[\w.-]+:[\w.-]+", re.ASCII)
REGISTRY, LIBRARY = "registry.ollama.ai", "library"
"""Where Ollama has models from if their names do not say."""


def is_gguf(model: str) -> bool:
    """Whether a model without the name of an engine before it is in a GGUF file."""
    if model.lower().endswith(SUFFIX) or HUB_TAG.fullmatch(model):
        return True
    if model in (".", "..") or model.startswith(PATH_STARTS) or model.count("/") > 1:
        return holds_gguf(model)
    return ollama_manifest(model) is not None


def holds_gguf(folder: str) -> bool:
    """Whether a path is a folder with GGUF files, and of no other model."""
    try:
        names = [path.name for path in with_home(folder).iterdir()]
    except (OSError, ValueError):
        return False
    return "config.json" not in names and any(name.lower().endswith(SUFFIX) for name in names)


def ollama_manifest(name: str) -> Path | None:
    """The file in which Ollama says what a name of its own means; None if it has none such."""
    if not _TAGGED.fullmatch(name):
        return None
    rest, _, tag = name.rpartition(":")
    parts = [*(REGISTRY, LIBRARY)[: max(0, 3 - len(rest.split("/")))], *rest.split("/"), tag]
    if any(part in (".", "..") for part in parts):
        return None
    paths = (folder.joinpath("manifests", *parts) for folder in ollama_folders())
    return next((path for path in paths if is_file(path)), None)
