"""llama.cpp's tokenizer in the form that chat templates here are written for.

Ids are made by llama.cpp, so that they are the very ids that it computes with; which of them are
control tokens the file says. The template is rendered by the program, apart and under limits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from glmcli.engines.local.prompt.decoder import UNREADABLE, PromptIds, is_byte_token
from glmcli.engines.local.prompt.template import ChatTemplate
from glmcli.engines.remote.http import Server
from glmcli.errors import ModelError
from glmcli.language import tr
from glmcli.models.files.small import bad_download
from glmcli.models.gguf.header import Header

_CONTROL, _OF_USER = 3, 4
"""Types of tokens that are never text, and of others that are looked for in a text first."""
_SPECIAL = {
    "bos_token": "bos",
    "eos_token": "eos",
    "unk_token": "unknown",
    "pad_token": "padding",
    "sep_token": "seperator",  # so it is spelled in the files
}
"""What templates call these tokens -> what the file does."""
_LONGEST_TOKEN = 1_000
_ASK_S = 600.0


class LlamaVocabulary:
    """What is used of a tokenizer. Raises ModelError for one that cannot be."""

    def __init__(self, header: Header, ask: Callable[[], Server], *, split: str = "") -> None:
        self._header, self._ask = header, ask
        self._split = re.compile(split) if split else None
        """Where a text is cut so that nothing in it becomes a control token; None: it may."""
        words = header.fields.get("tokenizer.ggml.tokens")
        kinds = header.fields.get("tokenizer.ggml.token_type") or []
        if not isinstance(words, list) or len(kinds) not in (0, len(words)):
            raise bad_download(tr("{name} has no vocabulary", name=header.path.name))
        self._words: list[str] = words
        self._added = {
            id: SimpleNamespace(content=words[id], special=kind == _CONTROL, normalized=False)
            for id, kind in enumerate(kinds)
            if kind in (_CONTROL, _OF_USER) and len(words[id]) <= _LONGEST_TOKEN
        }

    @property
    def is_sentencepiece(self) -> bool:
        """Whether a text begins with a blank that is not there."""
        is_one = self._header.text("tokenizer.ggml.model") == "llama"
        return is_one and bool(self._header.fields.get("tokenizer.ggml.add_space_prefix", True))

    def word(self, name: str) -> str:
        """The text of the token that a field names; "" if there is none."""
        id = self.id_of(name)
        return "" if id is None else self._words[id]

    def id_of(self, name: str) -> int | None:
        """The id of the token that a field names."""
        id = self._header.fields.get(f"tokenizer.ggml.{name}_token_id")
        return id if isinstance(id, int) and 0 <= id < len(self._words) else None

    def encode(self, text: str, *, add_special_tokens: bool = True) -> Any:
        """The encoding of a text: `ids` and `offsets`, which are right for control tokens."""
        if self._split is not None:
            pieces = self._split.split(text)
            ids = [id for piece in pieces if piece for id in self._tokenized(piece)]
            return SimpleNamespace(ids=ids, offsets=[(0, 0)] * len(ids))
        ids = self._tokenized(text, special=add_special_tokens)
        return SimpleNamespace(ids=ids, offsets=self._offsets(text, ids))

    def encode_batch(self, texts: Sequence[str], *, add_special_tokens: bool = True) -> list[Any]:
        """The encodings of texts."""
        return [self.encode(text, add_special_tokens=add_special_tokens) for text in texts]

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """The text of ids."""
        if len(ids) == 1 and is_byte_token(self.id_to_token(ids[0]) or ""):
            return UNREADABLE
        if skip_special_tokens:
            ids = [id for id in ids if id not in self._added or not self._added[id].special]
        answer = self._ask().ask("POST", "/detokenize", {"tokens": list(ids)}, spend=False)
        return str(answer.get("content", ""))

    def as_plain_text(self, controls: Sequence[str], anchors: Sequence[str]) -> LlamaVocabulary:
        """The same tokenizer, to which `controls` are text, and `anchors` nothing at all."""
        # Tokens that are looked for in every text are met by none that is cut behind their first
        # letter. A blank would be put before each piece where it is put before each text.
        cuts = (
            []
            if self.is_sentencepiece
            else [
                f"(?<={re.escape(each[0])})(?={re.escape(each[1:])})"
                for each in controls
                if each[1:]
            ]
        )
        split = "|".join([*map(re.escape, anchors), *cuts])
        return LlamaVocabulary(self._header, self._ask, split=split)

    def get_added_tokens_decoder(self) -> dict[int, Any]:
        """Id -> token, of all that are not part of the text around them."""
        return self._added

    def id_to_token(self, id: int) -> str | None:
        """The name of a token."""
        return self._words[id] if 0 <= id < len(self._words) else None

    def token_to_id(self, token: str) -> int | None:
        """The id of a token's name."""
        return self._words.index(token) if token in self._words else None

    def get_vocab_size(self, with_added_tokens: bool = True) -> int:
        """One more than the highest id."""
        del with_added_tokens
        return len(self._words)

    def _tokenized(self, text: str, *, special: bool = False) -> list[int]:
        asked = {"content": text, "add_special": special, "parse_special": self._split is None}
        answer = self._ask().ask("POST", "/tokenize", asked, limit_s=_ASK_S, spend=False)
        ids = answer.get("tokens")
        if not isinstance(ids, list) or not all(isinstance(id, int) for id in ids):
            raise ModelError(tr("llama.cpp gives no ids for a text"), tr("choose another model"))
        return ids

    def _offsets(self, text: str, ids: Sequence[int]) -> list[tuple[int, int]]:
        at, found = 0, []
        for id in ids:
            token = self._added.get(id)
            start = text.find(token.content, at) if token else -1
            span = (start, start + len(token.content)) if token and start >= 0 else (at, at)
            at = span[1]
            found.append(span)
        return found


class LlamaTokenizer:
    """The tokenizer of a file as `ChatTemplate` expects it; names as transformers has them."""

    def __init__(self, header: Header, ask: Callable[[], Server]) -> None:
        self.backend_tokenizer = LlamaVocabulary(header, ask)
        self.chat_template = header.text("tokenizer.chat_template") or None
        self.eos_token_id = self.backend_tokenizer.id_of("eos")
        self.bos_token_id = self.backend_tokenizer.id_of("bos")
        words = {name: self.backend_tokenizer.word(of) for name, of in _SPECIAL.items()}
        self.special_tokens_map = {name: word for name, word in words.items() if word}

    def get_chat_template(self, name: str | None = None, tools: Any = None) -> str:
        """The source of the template: there is one, for all conversations."""
        del name, tools
        return self.chat_template or ""


class LlamaDecoder:
    """The text of a reply, which llama.cpp sends beside each id, or beside the last of some."""

    def __init__(self, vocabulary: LlamaVocabulary, *, at_start: bool) -> None:
        self._vocabulary = vocabulary
        self._drops_blank = at_start and vocabulary.is_sentencepiece
        self.text = ""
        """What the id adds that comes next."""

    def push(self, token: int) -> str:
        """The text that is certain now."""
        text, self.text = self.text, ""
        if self._drops_blank and text:
            self._drops_blank = False
            text = text.removeprefix(" ")
        return text

    def flush(self) -> str:
        """Nothing: half a character stays with llama.cpp."""
        self.text = ""
        return ""

    def drop_half(self) -> None:
        """Nothing is held back."""

    def unseen(self, token: int) -> str:
        """The name of a control token."""
        known = self._vocabulary.get_added_tokens_decoder().get(token)
        return known.content if known and known.special else ""

    def spelled(self, token: int) -> bytes:
        """What a token is called inside a text."""
        return (self.text or self._vocabulary.id_to_token(token) or "").encode()


class GgufTemplate(ChatTemplate):
    """The chat template of a file, over llama.cpp's tokenizer."""

    def __init__(self, header: Header, ask: Callable[[], Server]) -> None:
        tokenizer = LlamaTokenizer(header, ask)
        self._vocabulary = tokenizer.backend_tokenizer
        super().__init__(tokenizer)

    def decoder(self, prompt: PromptIds) -> LlamaDecoder:
        """A decoder for the reply to `prompt`."""
        return LlamaDecoder(self._vocabulary, at_start=not prompt.goes_on)
