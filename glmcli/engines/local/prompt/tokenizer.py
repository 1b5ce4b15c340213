"""A tokenizer and its chat template without transformers, whose import takes longer than a reply.

Only for checkpoints where both were found to be the very same as transformers' own, the first time
they were used: equal vocabulary and rules, equal special tokens, equal renderings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from glmcli.config.models import Cache
from glmcli.engines.local.prompt.guarded import is_plain, try_apart
from glmcli.engines.local.prompt.rendering import TemplateFails, render
from glmcli.engines.local.proofs import read_verdict, write_verdict
from glmcli.errors import ModelError, UsageError
from glmcli.language import tr
from glmcli.models.files.small import (
    read_checkpoint_json,
    read_checkpoint_text,
    tokenizer_files,
)
from glmcli.models.libraries import errors_of

UNLIMITED = int(1e30)
_REVISION = 5
_MANY_BEYOND = 50_000
"""Words without a place in a vocabulary; with the right tokenizer there are a handful."""
PROBES: Sequence[tuple[list[dict[str, str]], bool]] = (
    ([{"role": "user", "content": " a <b>\n"}], False),
    (
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "你好"},
            {"role": "assistant", "content": "Yes.\n\nNo. "},
            {"role": "user", "content": "x"},
        ],
        False,
    ),
    ([{"role": "user", "content": "x"}, {"role": "assistant", "content": " go on  "}], True),
)
"""Conversations, and whether the last message goes on."""


class ChatTokenizer:
    """What ChatTemplate needs of a tokenizer; the names are those of transformers' tokenizers.

    Raises ModelError, OSError, ValueError, or whatever `tokenizers` raises for files it cannot
    read.
    """

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        config = read_checkpoint_json(folder / "tokenizer_config.json")
        self.backend_tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.backend_tokenizer.no_truncation()
        self.backend_tokenizer.no_padding()
        self.model_max_length = int(config.get("model_max_length") or UNLIMITED)
        self.special_tokens = {
            name: value["content"] if isinstance(value, dict) else value
            for name, value in config.items()
            if name.endswith("_token") and isinstance(value, str | dict)
        }
        path = folder / "chat_template.jinja"
        source = read_checkpoint_text(path) if path.exists() else config.get("chat_template")
        if source is not None and not isinstance(source, str):
            raise ValueError("several chat templates")
        self.chat_template: str | None = source

    @property
    def eos_token_id(self) -> int | None:
        """The id that ends a text."""
        return self._id_of("eos_token")

    @property
    def bos_token_id(self) -> int | None:
        """The id that starts a text."""
        return self._id_of("bos_token")

    @property
    def special_tokens_map(self) -> dict[str, Any]:
        """The names of special tokens, and their texts."""
        return self.special_tokens

    def get_chat_template(self, name: str | None = None, tools: Any = None) -> str:
        """The source of the template: there is one, for all conversations."""
        del name, tools
        return self.chat_template or ""

    def _id_of(self, name: str) -> int | None:
        token = self.special_tokens.get(name)
        found: int | None = self.backend_tokenizer.token_to_id(token) if token else None
        return found


def take_template_beside(tokenizer: Any, folder: Path) -> None:
    """Give a tokenizer without a template that of a model that also sees pictures, if it is such.

    Older ones have it in a file of its own, which tokenizers do not read. Raises ModelError.
    """
    path = folder / "chat_template.json"
    if not tokenizer.chat_template and path.exists():
        tokenizer.chat_template = read_checkpoint_json(path).get("chat_template")


def find_proven(folder: Path, cache: Cache, *, again: bool) -> ChatTokenizer | None:
    """The tokenizer of a folder if it was found to be the same as transformers'; else None."""
    verdict = {} if again else read_verdict(verdict_path(folder, cache))
    return open_own(folder) if verdict.get("same") else None


def prove(folder: Path, cache: Cache, theirs: Any) -> None:
    """Write down whether the tokenizer of a folder is the same as `theirs`, transformers' own."""
    path = verdict_path(folder, cache)
    if not read_verdict(path):
        ours = open_own(folder)
        write_verdict(path, {"same": ours is not None and same(ours, theirs)}, keep=True)


def note_harmless(folder: Path, cache: Cache) -> None:
    """Write down that the tokenizer of a folder, which is not transformers', did no harm."""
    path = verdict_path(folder, cache)
    if cache.may_write and not read_verdict(path):
        write_verdict(path, {"same": False}, keep=True)


def try_out(folder: Path, cache: Cache) -> None:
    """Read a tokenizer apart before anything here does, unless it was read here before.

    Raises ModelError if it breaks down or takes too much.
    """
    if not read_verdict(verdict_path(folder, cache)):
        try_apart(folder)


def open_own(folder: Path) -> ChatTokenizer | None:
    """The tokenizer of a folder; None if its files are of another kind."""
    with suppress(ModelError), errors_of(tr("the model's tokenizer"), ""):
        return ChatTokenizer(folder)
    return None


def same(ours: ChatTokenizer, theirs: Any) -> bool:
    """Whether both give the same ids and the same prompts. Raises ModelError."""
    backend = getattr(theirs, "backend_tokenizer", None)
    if backend is None or not is_plain(backend) or not is_plain(ours.backend_tokenizer):
        return False
    if rules(backend) != rules(ours.backend_tokenizer):
        return False
    for name in ("eos_token_id", "bos_token_id", "model_max_length", "chat_template"):
        if getattr(ours, name) != getattr(theirs, name):
            return False
    return not ours.chat_template or all(
        outcome(ours, messages, goes_on=goes_on) == outcome(theirs, messages, goes_on=goes_on)
        for messages, goes_on in PROBES
    )


def rules(backend: Any) -> tuple[dict[str, Any], list[int]]:
    """All that makes ids of a text, and the ids before every text.

    Cutting and filling up are never asked for; the ids before a text may be stated in many ways.
    """
    backend.no_padding()
    found: dict[str, Any] = json.loads(backend.to_str())
    for name in ("padding", "truncation", "post_processor"):
        found.pop(name, None)
    return found, backend.encode("").ids


def outcome(tokenizer: Any, messages: list[dict[str, str]], *, goes_on: bool) -> str | None:
    """A rendering; None if the template does not take the messages. Raises ModelError."""
    with suppress(UsageError, TemplateFails):
        return render(tokenizer, messages, goes_on=goes_on)
    return None


def ids_beyond(backend: Any, rows: int | None) -> list[int]:
    """An id that some word becomes and that a vocabulary of `rows` has no place for, if any.

    Special tokens, as one for padding, often lie beyond; what a user writes becomes none of them.
    """
    if backend is None or not rows:
        return []
    words, added = [], backend.get_added_tokens_decoder()
    if backend.get_vocab_size(with_added_tokens=False) > rows:
        known = sorted(backend.get_vocab(with_added_tokens=False).values())
        known = [id for id in known if id >= rows and id not in added]
        if len(known) > _MANY_BEYOND:  # of another model, and trying each would take long
            return known[:1]
        words = [backend.decode([id]) for id in known]
    words += [added[id].content for id in sorted(added) if id >= rows and not added[id].special]
    for word in words:
        found = [one for one in backend.encode(word, add_special_tokens=False).ids if one >= rows]
        if found:
            return found
    return []


def verdict_path(folder: Path, cache: Cache) -> Path:
    """Where the verdict over these very files is kept.

    They are all that transformers may look at: config.json too, whose model_type chooses the class.
    """
    digest = hashlib.sha256(f"{_REVISION} {version('transformers')}".encode())
    for name, content in tokenizer_files(folder):
        digest.update(b"%s %d " % (name.encode(errors="surrogateescape"), len(content)))
        digest.update(content)
    return cache.proof(f"tokenizer-{digest.hexdigest()[:32]}")
