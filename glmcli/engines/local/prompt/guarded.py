"""Tokenizers that cannot be trusted with a long text are asked apart, the others here.

A tokenizer.json is a program too: its patterns may take for ever or panic, its replacements may
grow a text without end. Those parts that are known to take time and room in proportion to the text
make a plain tokenizer; one with any other part works all the same, in a process of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from glmcli.engines.local.prompt import apart
from glmcli.errors import ModelError, first_line
from glmcli.language import later, tr
from glmcli.models.files.folder import TOKENIZER_JSON, TOKENIZERS
from glmcli.models.files.small import bad_download
from glmcli.models.libraries import errors_of
from glmcli.paths import absolute

WHAT = later("the model's tokenizer")
HINT = later("choose another model, or download this one again")
PARTS = 32
"""The most steps a plain tokenizer has; real ones have up to five."""
LOAD_S = 2.0
LOAD_BYTES_A_SECOND = 10_000_000
READERS = (
    (re.compile(r"^tokenizer(\..*)?\.json$"), "load"),
    (re.compile(r"\.(model|spm)$"), "load_pieces"),
    (re.compile(r"\.tiktoken$"), "load_ranks"),
    (re.compile(r"vocab.*\.json$"), "load_words"),
    (re.compile(r"tekken.*\.json$"), "load_tekken"),
    (re.compile(r"\.(bpe|codes|tokenizer|vocab)$|(dict|merges|vocab).*\.txt$"), "load_lines"),
)
"""What a tokenizer may be made of: names of files, and the job that reads one; the first counts."""

PATTERNS = frozenset(
    {
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,2}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
        r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
        r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        r"\p{N}{1,3}",
        r"\p{N}",
        r"\d",
        r"[0-9]",
        r"[0-9][0-9][0-9]",
        r"[\r\n]",
        r"\s+",
        "[一-龥぀-ゟ゠-ヿ]+",
    }
)
"""Where GPT-2, Llama 3, GLM-4, Qwen, gpt-oss, Mistral, DeepSeek and their kin split a text."""

PLAIN_NORMALIZERS = frozenset(
    {
        *("NFC", "NFD", "NFKC", "NFKD", "Nmt", "Lowercase", "StripAccents", "Strip"),
        *("BertNormalizer", "ByteLevel"),
    }
)
PLAIN_SPLITTERS = frozenset(
    {
        *("ByteLevel", "Metaspace", "Whitespace", "WhitespaceSplit", "BertPreTokenizer", "Digits"),
        *("Punctuation", "UnicodeScripts", "CharDelimiterSplit"),
    }
)
PLAIN_DECODERS = frozenset(
    {
        *("ByteLevel", "Metaspace", "ByteFallback", "Fuse", "WordPiece", "BPEDecoder", "CTC"),
        "Strip",
    }
)

MULTIPLIES = "ByteLevel"
"""A letter becomes up to four, and each of these up to two the next time."""


def guard(backend: Any) -> Any:
    """A `tokenizers.Tokenizer` as it is if it is plain, else the same, asked apart.

    What is asked elsewhere already stays so. Raises ModelError.
    """
    if hasattr(backend, "as_plain_text"):
        return backend
    with errors_of(tr(WHAT), tr(HINT)):
        backend.no_padding()  # a length to fill up to may be any number
        backend.no_truncation()
        return backend if is_plain(backend) else ApartBackend(backend)


def is_plain(backend: Any) -> bool:
    """Whether all parts of a tokenizer take time and room in proportion to the text."""
    return (
        is_plain_model(backend.model)
        and all_plain(backend.normalizer, "normalizers", PLAIN_NORMALIZERS)
        and all_plain(backend.pre_tokenizer, "pretokenizers", PLAIN_SPLITTERS)
        and all_plain(backend.decoder, "decoders", PLAIN_DECODERS)
    )


def is_plain_model(model: Any) -> bool:
    """Whether it finds its tokens quickly in any text."""
    kind = type(model).__name__
    if kind == "WordPiece":
        return bool(model.max_input_chars_per_word <= 200)  # it tries all parts of a word
    return kind in ("BPE", "WordLevel")


def all_plain(component: Any, parts: str, names: frozenset[str]) -> bool:
    """Whether a component and all its parts are known, few, and do not multiply."""
    if component is None:
        return True
    try:
        found = list(flat(json.loads(component.__getstate__()), parts))
    except Exception:  # one that is written in Python has no such state
        return False
    return (
        len(found) <= PARTS
        and sum(part["type"] == MULTIPLIES for part in found) <= 1
        and all(is_plain_part(part, names) for part in found)
    )


def flat(part: dict[str, Any], parts: str) -> Iterator[dict[str, Any]]:
    """A component's parts, those of its sequences in place of the sequences."""
    if part["type"] == "Sequence":
        for inner in part[parts]:
            yield from flat(inner, parts)
    else:
        yield part


def is_plain_part(part: dict[str, Any], names: frozenset[str]) -> bool:
    """Whether one step of a tokenizer is known to be harmless."""
    kind, pattern = part["type"], part.get("pattern") or {}
    if kind == "Prepend":
        return len(part["prepend"]) <= 16
    if kind == "Replace":
        text = pattern.get("String", "")
        return bool(text) and len(part["content"]) <= len(text)
    if kind == "Split":
        return pattern.get("Regex") in PATTERNS or bool(pattern.get("String"))
    return kind in names


class ApartBackend:
    """What is used of a `tokenizers.Tokenizer`; texts and ids go to a process of its own.

    What only looks things up is asked here. Raises ModelError for what fails or takes too much.
    """

    def __init__(
        self, backend: Any, *, plain_text: tuple[list[str], Sequence[str]] | None = None
    ) -> None:
        self._backend = backend
        self._plain_text = plain_text
        self._process = apart.Apart(WHAT, HINT, prepare=self._first_jobs)

    def encode_batch(self, texts: Sequence[str], *, add_special_tokens: bool = True) -> list[Any]:
        """The encodings of texts: `ids` and `offsets`."""
        return [self.encode(text, add_special_tokens=add_special_tokens) for text in texts]

    def encode(self, text: str, *, add_special_tokens: bool = True) -> Any:
        """The encoding of a text: `ids` and `offsets`."""
        ids, offsets = self._ask(
            "encode",
            cpu_s=apart.seconds_for(len(text)),
            text=text,
            plain=self._plain_text is not None,
            special=add_special_tokens,
        )
        return SimpleNamespace(ids=ids, offsets=offsets)

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """The text of ids."""
        text: str = self._ask("decode", ids=list(ids), skip_special_tokens=skip_special_tokens)
        return text

    def as_plain_text(self, controls: Sequence[str], anchors: Sequence[str]) -> ApartBackend:
        """The same tokenizer, to which `controls` are text and `anchors` are tokens."""
        return ApartBackend(self._backend, plain_text=(list(controls), anchors))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    @cached_property
    def _text(self) -> str:
        text: str = self._backend.to_str()
        return text

    def _first_jobs(self) -> list[dict[str, Any]]:
        cpu_s = LOAD_S + len(self._text) / LOAD_BYTES_A_SECOND
        jobs: list[dict[str, Any]] = [{"do": "load", "text": self._text, "cpu_s": cpu_s}]
        if self._plain_text is not None:
            controls, anchors = self._plain_text
            jobs += [{"do": "spell_out", "controls": controls, "anchors": anchors, "cpu_s": cpu_s}]
        return jobs

    def _ask(self, do: str, **job: Any) -> Any:
        try:
            return self._process.ask(do, **job)
        except apart.ProgramFailed as exc:
            raise ModelError(
                tr("{what} fails: {why}", what=tr(WHAT), why=first_line(exc)), tr(HINT)
            ) from exc


def try_apart(folder: Path) -> None:
    """Read the tokenizer of a folder where it can do no harm. Raises ModelError if it does."""
    process = apart.Apart(WHAT, HINT)
    try:
        for path in sorted(folder.iterdir()):
            do = next((do for name, do in READERS if name.search(path.name)), "")
            if do and path.is_file():
                try_file(process, do, path)
    finally:
        process.close()


def try_file(process: apart.Apart, do: str, path: Path) -> None:
    """Read one file apart. Raises ModelError if it does harm."""
    cpu_s = LOAD_S + path.stat().st_size / LOAD_BYTES_A_SECOND
    try:
        process.ask(do, cpu_s=cpu_s, path=str(absolute(path)))
    except apart.ProgramFailed as exc:
        if "PanicException" in exc.kinds:
            raise ModelError(
                tr("{what} fails: {why}", what=tr(WHAT), why=first_line(exc)), tr(HINT)
            ) from exc
        if "NoTokenizer" in exc.kinds and path.name == TOKENIZER_JSON and is_alone(path):
            raise bad_download(
                tr("{path} is no tokenizer: {why}", path=path, why=first_line(exc))
            ) from None  # nothing else is to blame for it
        # What is merely not understood here may be understood by transformers.


def is_alone(path: Path) -> bool:
    """Whether a folder has no other file of which a tokenizer could be made."""
    others = (path.with_name(name) for name in TOKENIZERS if name != path.name)
    return not any(other.exists() for other in others) and not any(path.parent.glob("*.tiktoken"))
