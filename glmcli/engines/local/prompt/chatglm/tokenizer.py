"""ChatGLM's two kinds of tokenizer.model: text to ids, and ids to text as they arrive.

Knows nothing of roles or prompts. Text never becomes a control id: those come from `control`
alone. Nothing but tokenizer.model is read, since later tokenizer_config.json files break that.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

from glmcli.engines.local.prompt.decoder import (
    BytesDecoder,
    Decoder,
    TokenBytes,
    byte_alphabet,
    encoding_of,
)
from glmcli.errors import ModelError
from glmcli.language import tr
from glmcli.models.files.headers import LFS_POINTER, lfs_pointer
from glmcli.models.files.small import bad_download, read_checkpoint_bytes

CHATGLM_CONTROL = (
    *("[MASK]", "[gMASK]", "[sMASK]", "sop", "eop"),
    *("<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"),
)
_LONGEST_TOKEN = 1_000
"""Bytes; GLM-4's longest has 128."""
MOST_TOKENS = 500_000
MOST_COPIED = 100_000_000
"""Bytes, when each token is cut at each of its bytes."""
MOST_MERGES = 1_000_000
"""Ways to make a token of two others. All these are several times what GLM-4 has."""
GLM4_CONTROL = (
    *("<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>"),
    *("<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"),
    *("<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>"),
)
GLM4_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Where GLM-4 splits text before merging (its tokenization_chatglm.py)."""


class Tokenizer(Protocol):
    """A vocabulary and its control ids."""

    control: dict[str, int]
    """The text of a control token -> its id."""

    def encode(self, text: str) -> list[int]:
        """The ids of plain text. Lone surrogates become U+FFFD."""
        ...

    def decoder(self, *, starts: bool) -> Decoder:
        """A decoder; `starts` unless the ids follow others of the same text."""
        ...


def load_tokenizer(folder: Path, *, name: str) -> Tokenizer:
    """Read tokenizer.model: the same file name holds two formats. Raises ModelError."""
    path = folder / "tokenizer.model"
    try:
        data = read_checkpoint_bytes(path)
    except ModelError as exc:
        if not isinstance(exc.__cause__, FileNotFoundError):
            raise
        raise bad_download(tr("{name} has no tokenizer.model", name=name)) from exc
    if data.startswith(LFS_POINTER):
        raise lfs_pointer(path)
    if not data:  # SentencePiece would take it, and complain at every word
        raise neither_format(name)
    try:
        return GLM4Tokenizer(data) if is_tiktoken(data) else ChatGLMTokenizer(data)
    except Exception as exc:  # the libraries raise nothing more special
        raise neither_format(name) from exc


def neither_format(name: str) -> ModelError:
    """The error for a tokenizer.model that cannot be read."""
    return bad_download(
        tr(
            "{name}: tokenizer.model is neither a SentencePiece model nor a tiktoken vocabulary",
            name=name,
        )
    )


def is_tiktoken(data: bytes) -> bool:
    """Whether a tokenizer.model is lines of a base64 token and its rank, not a protobuf."""
    first = data.split(b"\n", 1)[0].split()
    return len(first) == 2 and first[1].isdigit() and first[0].isascii()


def well_formed(text: str) -> str:
    """`text` with lone surrogates, which no tokenizer takes, as U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class ChatGLMTokenizer:
    """ChatGLM2 and ChatGLM3: SentencePiece; the control ids follow its pieces."""

    def __init__(self, data: bytes) -> None:
        from sentencepiece import SentencePieceProcessor

        self._pieces = SentencePieceProcessor(model_proto=data)
        self._size: int = self._pieces.vocab_size()
        self.control = {text: self._size + i for i, text in enumerate(CHATGLM_CONTROL)}
        self._token_bytes = TokenBytes(self)

    def encode(self, text: str) -> list[int]:
        """The ids of plain text, a blank put before it; none for ""."""
        ids: list[int] = self._pieces.encode(well_formed(text))
        return ids

    def decoder(self, *, starts: bool) -> BytesDecoder:
        """A decoder that drops the blank before a text, unless it goes on."""
        return BytesDecoder(self._token_bytes, at_start=starts)

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """The text of ids; control tokens are never skipped, as in the original."""
        del skip_special_tokens
        text: str = self._pieces.decode_pieces([self.id_to_token(token) for token in ids])
        return text

    def id_to_token(self, id: int) -> str:
        """A piece or a control token; "" for <unk>, <s>, </s> and ids that are none."""
        if id >= self._size:
            index = id - self._size
            return CHATGLM_CONTROL[index] if index < len(CHATGLM_CONTROL) else ""
        if self._pieces.is_control(id) or self._pieces.is_unknown(id):
            return ""
        piece: str = self._pieces.id_to_piece(id)
        return piece

    def token_to_id(self, token: str) -> int | None:
        """The id of a piece."""
        id: int = self._pieces.piece_to_id(token)
        return None if self._pieces.is_unknown(id) else id

    def get_vocab_size(self, with_added_tokens: bool = True) -> int:
        """How many ids there are, with or without the control ids."""
        return self._size + with_added_tokens * len(self.control)


class GLM4Tokenizer:
    """The old layout of glm-4-9b-chat: byte pairs with ranks, as tiktoken writes them."""

    def __init__(self, data: bytes) -> None:
        from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

        ranks = dict(islice(read_ranks(data), MOST_TOKENS + 1))
        if len(ranks) > MOST_TOKENS:
            raise ValueError("there are too many tokens")
        first = max(ranks.values()) + 1
        self.control = {text: first + i for i, text in enumerate(GLM4_CONTROL)}
        letters = {byte: letter for letter, byte in byte_alphabet().items()}
        spelled = {token: "".join(letters[byte] for byte in token) for token in ranks}
        vocabulary = {spelled[token]: rank for token, rank in ranks.items()}
        merges = [(spelled[left], spelled[right]) for left, right in merges_of(ranks)]
        self._pairs = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=True))
        self._pairs.decoder = decoders.ByteLevel()
        self._pairs.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(GLM4_WORDS), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        self._token_bytes = TokenBytes(self._pairs)

    def encode(self, text: str) -> list[int]:
        """The ids of plain text."""
        ids: list[int] = encoding_of(self._pairs, well_formed(text)).ids
        return ids

    def decoder(self, *, starts: bool) -> BytesDecoder:
        """A decoder. Control ids other than the ends of a turn have no text."""
        return BytesDecoder(self._token_bytes, at_start=starts)


def read_ranks(data: bytes) -> Iterator[tuple[bytes, int]]:
    """(token, rank) of each line. Raises ValueError."""
    for line in data.splitlines():
        if line.strip():
            word, rank = line.split()
            token = base64.b64decode(word, validate=True)
            if len(token) > _LONGEST_TOKEN:  # every way to cut it would be tried
                raise ValueError("a token is too long")
            yield token, int(rank)


def merges_of(ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """The pairs that merge, best first: every way to make a token of two others, by its rank.

    Raises ValueError for tokens with which that is without end.
    """
    if sum(len(token) ** 2 for token in ranks) > MOST_COPIED:
        raise ValueError("the tokens are too long")
    found = (
        (rank, ranks[token[:cut]], ranks[token[cut:]], token[:cut], token[cut:])
        for token, rank in ranks.items()
        for cut in range(1, len(token))
        if token[:cut] in ranks and token[cut:] in ranks
    )
    merges = list(islice(found, MOST_MERGES + 1))
    if len(merges) > MOST_MERGES:
        raise ValueError("the tokens can be made in too many ways")
    return [(left, right) for _, _, _, left, right in sorted(merges)]
