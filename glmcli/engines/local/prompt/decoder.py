"""Ids to text as it arrives: characters, stop strings, reasoning; and the chat template's protocol.

Knows nothing of torch, nets or conversations' storage. What is uncertain is held back: half a
character, half a stop string, half a <think> tag. What has been shown is never taken back.
"""

from __future__ import annotations

import codecs
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Protocol

from glmcli.engines.local.prompt.ends import TokenStops
from glmcli.engines.reply import Parted, StopStrings, followed
from glmcli.errors import EngineError, ModelError
from glmcli.language import tr
from glmcli.models.libraries import errors_of
from glmcli.types import Chunk, FinishReason, Message, Usage

UNREADABLE = "\ufffd"
"""What stands for bytes that are not UTF-8."""
LONGEST_TEXT = 10_000
"""Letters of one token; the longest there are have about 128."""
ANSWER_MARKS = ("<answer>", "</answer>", "<|begin_of_box|>", "<|end_of_box|>")
"""Tokens around answers of GLM's models that see pictures, which show nothing, as special ones."""
_REPLY_CHARS = 2_000_000
"""As of a server's reply. With reasonable tokens the window ends a reply long before."""


@dataclass(frozen=True, slots=True)
class PromptIds:
    """A conversation as ids, ready for the assistant's reply."""

    ids: list[int]
    thinking: bool = False
    """The prompt ends with an opened reasoning mark: the reply starts inside the reasoning."""
    goes_on: bool = False
    """The last message is the assistant's, and the reply goes on with it."""
    folded: bool = False
    """The system prompt stands before the first question: the template takes none."""
    raw: bool = False
    """It is a plain text: what follows it has no parts."""


class Decoder(Protocol):
    """The ids of one reply to text."""

    def push(self, token: int) -> str:
        """The text that is certain now; "" while half a character is held back."""
        ...

    def flush(self) -> str:
        """What was held back, incomplete as it is. More ids may follow."""
        ...

    def drop_half(self) -> None:
        """Forget half a character that is held back: the ids that complete it will not come."""
        ...

    def unseen(self, token: int) -> str:
        """The name of a token that shows nothing, as special ones; "" for others."""
        ...

    def spelled(self, token: int) -> bytes:
        """What a token is called inside a text, whether or not it shows."""
        ...


class ReplyParts(Protocol):
    """What of a reply is thinking and what is text."""

    @property
    def is_thinking(self) -> bool:
        """Whether what comes now is no text of the answer."""
        ...

    def awaits(self, token: int) -> bool:
        """Whether an id would end a part now."""
        ...

    def switch(self, token: int, text: str, name: str = "") -> Parted:
        """Like `push`; then the awaited id has come, which shows `name` where it ends nothing."""
        ...

    def push(self, text: str) -> Parted:
        """The thinking and the text that are certain now."""
        ...

    def flush(self) -> Parted:
        """What was held back."""
        ...


class PromptTemplate(Protocol):
    """How one family of models is written to and read."""

    stop_ids: frozenset[int]
    """Ids that end a reply: end of text, end of turn, and the next role where that ends a turn."""
    turn_ends: frozenset[int]
    """Ids that the template writes behind replies. They end one where no file names any of them."""
    is_base: bool
    """It writes no roles: the model goes on with the text it is given."""

    @property
    def controls(self) -> Mapping[str, int]:
        """What stands for a control token in a prompt as text -> its id."""
        ...

    def encode(self, messages: Sequence[Message], *, think: bool | None = None) -> PromptIds:
        """The whole prompt. Text of messages never becomes control ids. Raises UsageError."""
        ...

    def decoder(self, prompt: PromptIds) -> Decoder:
        """A decoder for the reply to `prompt` (which matters if the reply goes on with text)."""
        ...

    def parts(self, prompt: PromptIds) -> ReplyParts:
        """What will tell the thinking in the reply to `prompt` from its text."""
        ...


class Vocabulary(Protocol):
    """What is needed of a tokenizer; `tokenizers.Tokenizer` has it."""

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """The text of ids."""
        ...

    def id_to_token(self, id: int) -> str | None:
        """The name of a token: "Ġhello", "▁hello", "<0xE4>"."""
        ...

    def token_to_id(self, token: str) -> int | None:
        """The id of a token's name."""
        ...

    def get_vocab_size(self, with_added_tokens: bool = True) -> int:
        """One more than the highest id."""
        ...


def encoding_of(tokenizer: Any, text: str) -> Any:
    """The Encoding that a `tokenizers.Tokenizer` makes of a text, without tokens around it.

    Other threads go on meanwhile: its `encode` would hold the interpreter for as long as it takes,
    its `encode_batch` does not. Raises ModelError.
    """
    with errors_of(tr("the model's tokenizer"), tr("choose another model, or ask in other words")):
        return tokenizer.encode_batch([text], add_special_tokens=False)[0]


class TokenBytes:
    """What every id adds to a text, in bytes, found by asking the tokenizer once for each id.

    Asking, instead of reading the tokenizer's decoder settings, serves byte-level BPE, byte tokens
    and WordPiece alike, as long as what a token adds does not depend on the tokens before it, the
    start of the text aside. Raises ModelError for a vocabulary without text.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        is_glm = vocabulary.token_to_id("[gMASK]") is not None
        self._marks = {vocabulary.token_to_id(mark) for mark in ANSWER_MARKS if is_glm}
        with errors_of(tr("the model's tokenizer"), tr("choose another model")):
            self._anchor = find_anchor(vocabulary)
        self._anchor_text = self._decoded(self._anchor)
        self._known: dict[int, bytes] = {}
        byte_token = vocabulary.token_to_id("<0x80>")
        self.has_byte_tokens = byte_token is not None and self.at_start(byte_token) == b"\x80"

    def at_start(self, token: int) -> bytes:
        """What `token` adds as the first of a text, where some tokenizers drop a blank."""
        return self._to_bytes(token, self._decoded(token))

    def inside(self, token: int) -> bytes:
        """What `token` adds after other tokens; nothing for a special token."""
        if token not in self._known:
            text = self._decoded(self._anchor, token)
            self._known[token] = self._to_bytes(token, text[len(self._anchor_text) :])
        return self._known[token]

    def unseen(self, token: int) -> str:
        """The name of a token that adds nothing, as special ones; "" for others."""
        return "" if self.inside(token) else self._vocabulary.id_to_token(token) or ""

    def _decoded(self, *ids: int) -> str:
        with errors_of(tr("the model's tokenizer"), tr("choose another model")):
            text = self._vocabulary.decode([each for each in ids if each not in self._marks])
        if len(text) > LONGEST_TEXT:
            raise ModelError(
                tr("the text of a token has more than {most:,} letters", most=LONGEST_TEXT),
                tr("choose another model"),
            )
        return text

    def _to_bytes(self, token: int, text: str) -> bytes:
        if UNREADABLE not in text:
            return text.encode()
        name = self._vocabulary.id_to_token(token) or ""
        if is_byte_token(name):
            return bytes([int(name[3:5], 16)])
        spelled = [byte_alphabet().get(letter) for letter in name]
        raw = bytes(byte for byte in spelled if byte is not None)
        is_byte_level = None not in spelled and raw.decode("utf-8", "replace") == text
        return raw if is_byte_level else text.encode()


def find_anchor(vocabulary: Vocabulary) -> int:
    """An id with visible text, to put before others so that they are not the first."""
    for token in range(vocabulary.get_vocab_size()):
        text = vocabulary.decode([token])
        if (
            text.strip()
            and UNREADABLE not in text
            and not is_byte_token(vocabulary.id_to_token(token) or "")
        ):
            return token
    raise ModelError(
        tr("the tokenizer has no text in its vocabulary"), tr("download the model again")
    )


def is_byte_token(name: str) -> bool:
    """Whether a token stands for one byte, as "<0xE4>" does."""
    return len(name) == 6 and name.startswith("<0x") and name.endswith(">")


@cache
def byte_alphabet() -> dict[str, int]:
    """Letter -> byte of byte-level BPE: printable Latin-1 is itself, the rest follows from U+0100.

    Source: GPT-2 (Radford et al., 2019).
    """
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    other = [byte for byte in range(256) if byte not in plain]
    letters = {chr(byte): byte for byte in plain}
    return letters | {chr(0x100 + index): byte for index, byte in enumerate(other)}


class BytesDecoder:
    """A Decoder over TokenBytes.

    Bytes that are not UTF-8 become U+FFFD: one for each broken character, or one for each byte
    where the vocabulary has byte tokens (as SentencePiece does).
    """

    def __init__(self, token_bytes: TokenBytes, *, at_start: bool = True) -> None:
        self._token_bytes = token_bytes
        self._at_start = at_start
        errors = "surrogateescape" if token_bytes.has_byte_tokens else "replace"
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors)

    def push(self, token: int) -> str:
        """The text that is certain now."""
        data = self._token_bytes.inside(token)
        if self._at_start and data:
            self._at_start = False
            data = self._token_bytes.at_start(token)
        return without_escapes(self._utf8.decode(data))

    def flush(self) -> str:
        """Half a character becomes U+FFFD."""
        return without_escapes(self._utf8.decode(b"", final=True))

    def drop_half(self) -> None:
        """Forget half a character."""
        self._utf8.reset()

    def unseen(self, token: int) -> str:
        """The name of a token that shows nothing."""
        return self._token_bytes.unseen(token)

    def spelled(self, token: int) -> bytes:
        """What a token is called inside a text."""
        return self._token_bytes.inside(token) or self.unseen(token).encode()


ESCAPES = dict.fromkeys(range(0xDC80, 0xDD00), UNREADABLE)


def without_escapes(text: str) -> str:
    """`text` with U+FFFD for every byte that "surrogateescape" has escaped."""
    return text if text.isascii() else text.translate(ESCAPES)


class DecodedReply:
    """One reply: sampled ids in, chunks out.

    `stop` are stop strings that a user typed, for the answer; `stated` those of the checkpoint, for
    all that follows the ids `before`.
    """

    def __init__(
        self,
        decoder: Decoder,
        parts: ReplyParts,
        *,
        stop: Sequence[str] = (),
        stated: Sequence[str] = (),
        before: Sequence[int] = (),
    ) -> None:
        self._decoder = decoder
        self._parts = parts
        self._stops = StopStrings(stop)
        self._stated = TokenStops(stated, decoder.spelled, before)
        self.tokens = 0
        """Ids so far."""
        self._letters = 0

    @property
    def stopped(self) -> bool:
        """Whether a stop string has come: no more ids are wanted."""
        return self._stops.hit or self._stated.hit

    def push(self, token: int) -> Chunk:
        """The chunk of one id, which may show nothing yet.

        Raises EngineError for a reply that is longer than any can be.
        """
        self.tokens += 1
        ready, cut = self._stated.push(token)
        chunk = self._show_all(ready[:-1] if cut else ready)
        if cut:
            chunk = followed(chunk, self._show_start(ready[-1], cut))
        if self._stated.hit:
            self._decoder.drop_half()  # it belongs to what is not shown
        return replace(chunk, tokens=1)

    def end(self, reason: FinishReason, usage: Usage) -> Chunk:
        """The last chunk, with what was held back.

        Half a character at the end of a reply that was cut is left out, so that the model can go
        on with the whole one; at the end of a reply that ended by itself it becomes U+FFFD.
        """
        rest = self._show_all(self._stated.flush())
        if reason != "stop":
            self._decoder.drop_half()
        for last in (self._parts.push(self._decoder.flush()), self._parts.flush()):
            rest = followed(rest, self._stops.take(last))
        rest = followed(rest, Chunk(self._stops.flush()))
        return replace(rest, finish_reason=reason, usage=usage)

    def _show_all(self, tokens: Sequence[int]) -> Chunk:
        chunk = Chunk()
        for token in tokens:
            chunk = followed(chunk, self._show(token))
        return chunk

    def _show(self, token: int) -> Chunk:
        """The chunk of one id that is certain."""
        unseen = self._decoder.unseen(token)
        is_met = bool(unseen) and not self._parts.is_thinking
        shown = Chunk(self._stops.push("", unseen=unseen) if is_met else "")
        if self._parts.awaits(token):
            name = "" if unseen else self._decoder.spelled(token).decode(errors="replace")
            parted = self._parts.switch(token, self._decoder.flush(), name)
        else:
            parted = self._parts.push(self._counted(self._decoder.push(token)))
        return followed(shown, self._stops.take(parted))

    def _show_start(self, token: int, cut: int) -> Chunk:
        """What an id shows before the last `cut` bytes of its name."""
        hidden = self._decoder.spelled(token)[-cut:].decode(errors="ignore")
        shown = self._decoder.push(token)
        return self._stops.take(self._parts.push(shown[: max(0, len(shown) - len(hidden))]))

    def _counted(self, text: str) -> str:
        self._letters += len(text)
        if self._letters > _REPLY_CHARS:
            raise EngineError(
                tr("the reply has more than {most:,} characters", most=_REPLY_CHARS),
                tr("--max-tokens sets a limit"),
                again=True,
            )
        return text


def as_chunks(
    ids: Generator[int, None, FinishReason], reply: DecodedReply, until: float
) -> Generator[Chunk, None, FinishReason]:
    """A chunk for each id, until they end, a stop string comes, or it is `until` (monotonic).

    Returns why it ended.
    """
    try:
        while not reply.stopped:
            yield reply.push(next(ids))
            if time.monotonic() > until and not reply.stopped:
                return "time"
    except StopIteration as end:
        ending: FinishReason = end.value
        return ending
    return "stop"
