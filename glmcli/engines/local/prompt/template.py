"""A Hugging Face tokenizer and its chat template: messages to ids, ids to text.

Knows nothing of nets. A control string in a message ("<|im_end|>") stays text: the template is
rendered with stand-ins for such strings, and they are put back after the control tokens are found.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from glmcli.conversation.reasoning import PAIRS
from glmcli.engines.local.prompt.apart import seconds_for
from glmcli.engines.local.prompt.channels import Channels, channel_ids, opened_part
from glmcli.engines.local.prompt.decoder import (
    BytesDecoder,
    Decoder,
    PromptIds,
    ReplyParts,
    TokenBytes,
    encoding_of,
)
from glmcli.engines.local.prompt.foreign import spelled_out
from glmcli.engines.local.prompt.guarded import guard
from glmcli.engines.local.prompt.items import (
    WAYS,
    Unparted,
    Way,
    check_characters,
    check_texts,
    items_of,
    join_texts,
    own_system,
    prompt_alone,
    raw_prompt,
)
from glmcli.engines.local.prompt.rendering import (
    CHOOSE,
    TemplateFails,
    chosen_source,
    render,
    sharing,
)
from glmcli.engines.local.prompt.standins import (
    ALPHABETS,
    any_of,
    cannot_spell,
    check_carried,
    covered_by,
    make_words,
    swap_texts,
)
from glmcli.engines.reply import Marks, Reasoning
from glmcli.errors import GlmError, ModelError, UsageError
from glmcli.language import tr
from glmcli.types import Message, Role, call_of, fold_system, without_open_reply

MOST_CONTROLS = 20_000
"""Gemma 3 has 6,400."""


class ChatTemplate:
    """A PromptTemplate over a `transformers` tokenizer that is backed by `tokenizers`.

    Without a chat template (a base model) the texts are joined as they are and the model goes on.
    """

    def __init__(self, tokenizer: Any) -> None:
        if getattr(tokenizer, "backend_tokenizer", None) is None:
            raise ModelError(
                tr("the tokenizer {kind} is not supported", kind=type(tokenizer).__name__),
                tr("choose a model that comes with a tokenizer.json"),
            )
        self._tokenizer = tokenizer
        self._backend = guard(tokenizer.backend_tokenizer)
        self._source = chosen_source(tokenizer)
        self.is_base = not self._source
        """Whether there is no chat template: the model goes on with the text it is given."""
        self._ways: Sequence[Way] = WAYS
        """How messages are given to the template; what works for most is tried first."""
        self.controls = control_tokens(self._backend, self._source)
        """What stands for a control token in a prompt as text -> its id."""
        self._control_text = any_of(self.controls)
        self._token_bytes = TokenBytes(self._backend)
        self.marks = self._find_marks()
        self._channels = channel_ids(self.controls, self._source)
        eos = self._tokenizer.eos_token_id
        self.stop_ids = frozenset() if eos is None else frozenset({eos})
        self._ways = self._find_ways()
        self.turn_ends = self._find_turn_ends()

    def encode(self, messages: Sequence[Message], *, think: bool | None = None) -> PromptIds:
        """The whole prompt.

        Raises UsageError if the template refuses the conversation, ModelError if it takes none,
        leaves out a text, or it or the tokenizer fails or has to be stopped.
        """
        messages = [with_plain_call(item) for item in without_open_reply(messages)]
        check_characters(messages)
        if alone := prompt_alone(messages):
            return raw_prompt(alone, self._start_ids, encoding_of(self._backend, alone.text).ids)
        options = template_options(messages, think)
        controls = self._controls_in(messages)
        try:
            with sharing(2 * seconds_for(sum(len(item.text) for item in messages))):
                if controls:
                    rendered, way, words = self._render_around(messages, options, controls)
                else:
                    rendered, way = self._try_ways(messages, options)
        except UsageError as exc:
            raise self._blamed(exc) from exc
        if controls:
            ids = self._encode_around(rendered, {word: text for text, word in words.items()})
        else:
            ids = encoding_of(self._backend, rendered).ids
        if self.is_base:
            ids = self._start_ids + ids
        more = goes_on(messages)
        thinking = not more and rendered.rstrip().endswith(self.marks.open) and not self.is_base
        folded = way.folded and any(item.role == "system" and item.text for item in messages)
        return PromptIds(ids, thinking=thinking, goes_on=more, folded=folded)

    def decoder(self, prompt: PromptIds) -> Decoder:
        """A decoder for the reply to `prompt`."""
        return BytesDecoder(self._token_bytes, at_start=not prompt.goes_on)

    def parts(self, prompt: PromptIds) -> ReplyParts:
        """What will tell the thinking in the reply to `prompt` from its text."""
        if prompt.raw:
            return Unparted()
        if self._channels is None:
            return Reasoning(self.marks, thinking=prompt.thinking)
        return Channels(
            self._channels, opened_part(self._channels, prompt.ids, self._backend.decode)
        )

    def own_system(self) -> str:
        """The system prompt that it adds where a conversation has none; "" if it adds none."""
        return own_system(lambda messages: self.written(messages, {}))

    def written(self, messages: Sequence[Message], options: dict[str, Any]) -> str:
        """The prompt as one string, control strings and the texts of all messages included."""
        return self._try_ways(messages, options)[0]

    def _try_ways(self, messages: Sequence[Message], options: dict[str, Any]) -> tuple[str, Way]:
        """The first rendering that has all texts, and how the messages were given for it."""
        failed: ModelError | UsageError | None = None
        for way in self._ways:
            if way.folded and fold_system(messages) is None:
                continue
            written = partial(self._render_in, way, options=options)
            try:
                rendered = written(messages)
                if not self.is_base:
                    check_texts(messages, rendered, way, written)
            except (UsageError, TemplateFails) as exc:
                failed = failed or exc  # the first failure says more
            else:
                return rendered, way
        assert failed is not None
        raise failed

    def _blamed(self, refused: UsageError) -> GlmError:
        """The error for a conversation that is refused: the model's, if its template takes none."""
        try:
            self.written([Message("user", "hello")], {})
        except (UsageError, TemplateFails):
            return TemplateFails(refused.message, tr(CHOOSE))
        return refused

    def _render_in(self, way: Way, messages: Sequence[Message], options: dict[str, Any]) -> str:
        """The prompt as one string, whatever of the texts is in it."""
        if self.is_base:
            return join_texts(messages)
        more = goes_on(messages) and "add_generation_prompt" not in options
        items = items_of(messages, way, self._source)
        return render(self._tokenizer, items, goes_on=more, **options)

    def _controls_in(self, messages: Sequence[Message]) -> set[str]:
        """The control strings in what the messages say."""
        if self._control_text is None:
            return set()
        texts = [text for item in messages for text in (item.text, item.thinking, item.name)]
        return {control for text in texts for control in self._control_text.findall(text)}

    def _render_around(
        self, messages: Sequence[Message], options: dict[str, Any], controls: set[str]
    ) -> tuple[str, Way, dict[str, str]]:
        """A rendering with words in place of control strings, and the words. Raises UsageError."""
        said = [f"{item.text}\n{item.thinking}\n{item.name}\n{item.tools}" for item in messages]
        taken = "\n".join([self._source, *said])
        failed: UsageError | None = None
        for letters in ALPHABETS:
            words = make_words(controls, taken, letters=letters)
            beside = "\n".join([taken, *words.values()])
            others = make_words(controls, beside, letters=letters, spare=1)
            rendered, way = self._try_ways(swap_texts(messages, words), options)
            again = self._render_in(way, swap_texts(messages, others), options)
            try:
                check_carried(rendered, again, words, others)
            except UsageError as exc:
                failed = exc
            else:
                return rendered, way, words
        assert failed is not None
        raise failed

    def _encode_around(self, rendered: str, texts: dict[str, str]) -> list[int]:
        """Ids of `rendered`, where each key of `texts` stands for a text without control tokens.

        Raises UsageError if that cannot be.
        """
        words = any_of(texts)
        assert words is not None
        encoding = encoding_of(self._backend, rendered)
        spans = zip(encoding.ids, encoding.offsets, strict=True)
        carried = [match.span() for match in words.finditer(rendered)]
        is_within = covered_by(carried)
        cuts = [
            (index, begin, end)
            for index, (token, (begin, end)) in enumerate(spans)
            # A tokenizer may know no letter of a word: that is no control token of the template.
            if token in self._control_ids and not is_within(begin, end)
        ]
        ids: list[int] = []
        token_at, text_at, left = 0, 0, len(carried)
        before: int | None = None
        for index, begin, end in [*cuts, (len(encoding.ids), len(rendered), len(rendered))]:
            section = rendered[text_at:begin]
            section, count = words.subn(lambda match: texts[match[0]], section)
            left -= count
            if count:
                ids += self._literal(section, before)
            else:
                ids += encoding.ids[token_at:index]
            ids += encoding.ids[index : index + 1]
            token_at, text_at = index + 1, end
            before = ids[-1] if ids else None
        if left:
            raise cannot_spell()
        return ids

    def _literal(self, text: str, before: int | None) -> list[int]:
        """Ids of `text` after a control token, without any. Raises UsageError if that cannot be."""
        backend, anchors = self._without_controls
        anchor = ""
        if before is not None:
            anchor = anchors[before in self._found_late]
        ids: list[int] = encoding_of(backend, anchor + text).ids
        ids = ids[len(encoding_of(backend, anchor).ids) :]
        if not self._control_ids.isdisjoint(ids):
            raise cannot_spell()
        return ids

    @cached_property
    def _start_ids(self) -> list[int]:
        """What the tokenizer itself puts before a text; a chat template writes its own."""
        word = encoding_of(self._backend, "x").ids
        around: list[int] = self._backend.encode("x").ids
        starts = range(len(around) - len(word) + 1)
        found = (start for start in starts if around[start : start + len(word)] == word)
        return around[: next(found, 0)]

    @cached_property
    def _control_ids(self) -> frozenset[int]:
        return frozenset(self.controls.values())

    @cached_property
    def _found_late(self) -> frozenset[int]:
        """The control tokens that are looked for when a text has been normalized."""
        return frozenset(id for id, item in added_tokens(self._backend).items() if item.normalized)

    @cached_property
    def _without_controls(self) -> tuple[Any, tuple[str, str]]:
        """The tokenizer without control tokens, and tokens to put before a text inside others.

        Some tokenizers add a blank at the start of a text, and only there: behind a token that
        was found before the text was normalized, or behind none, but not behind the second kind.
        """
        anchors = f"x{secrets.token_hex(12)}x", f"x{secrets.token_hex(12)}x"
        if hasattr(self._backend, "as_plain_text"):
            return self._backend.as_plain_text(list(self.controls), anchors), anchors
        return spelled_out(self._backend, self.controls, anchors), anchors

    def _find_marks(self) -> Marks:
        pair = next((pair for pair in PAIRS if pair[0] in self._source), PAIRS[0])
        known = {token.content: id for id, token in added_tokens(self._backend).items()}
        return Marks(pair[0], pair[1], known.get(pair[0]), known.get(pair[1]))

    def _find_ways(self) -> Sequence[Way]:
        """All ways, the one first that this template needs for a conversation with everything."""
        roles: Sequence[Role] = ("system", "user", "assistant", "user")
        words = [Message(role, f"x{secrets.token_hex(12)}x") for role in roles]
        try:
            needed = self._try_ways(words, {})[1]
        except (UsageError, TemplateFails):
            return WAYS
        return sorted(WAYS, key=lambda way: way != needed)

    def _find_turn_ends(self) -> frozenset[int]:
        """What the template writes first behind a reply in the past, and behind the last.

        In a model with channels the first of them ends a part of a live reply only.
        """
        said, asked = (f"x{secrets.token_hex(12)}x" for _ in range(2))
        past = [Message("user", "x"), Message("assistant", said)]
        ends = [
            self._control_behind(said, past, {"add_generation_prompt": False}),
            self._control_behind(said, [*past, Message("user", asked)], {}),
        ]
        known = [end for end in ends if end is not None]
        return frozenset(known[:1] if self._channels else known)

    def _control_behind(
        self, word: str, messages: Sequence[Message], options: dict[str, Any]
    ) -> int | None:
        """The first control token between a word and the text of the next message."""
        try:
            rendered = self.written(messages, options)
        except (UsageError, TemplateFails):
            return None
        between = rendered.partition(word)[2]
        if messages[-1].role == "user":
            between = between.partition(messages[-1].text)[0]
        match = self._control_text.search(between) if self._control_text else None
        return self.controls[match[0]] if match else None


def added_tokens(backend: Any) -> dict[int, Any]:
    """Id -> AddedToken of a `tokenizers.Tokenizer`."""
    found: dict[int, Any] = backend.get_added_tokens_decoder()
    return found


def control_tokens(backend: Any, template: str) -> dict[str, int]:
    """Control string -> id: special tokens, and tags that the template writes ("<tool_call>").

    A switch that users may type, such as GLM-4.5's "/nothink", is none. Raises ModelError.
    """
    found = {
        token.content: id
        for id, token in added_tokens(backend).items()
        if token.content.strip()
        and (token.special or (token.content[0] in "<[" and token.content in template))
    }
    if len(found) > MOST_CONTROLS:  # each is looked for in every message
        raise ModelError(
            tr(
                "the tokenizer has {count:,} control tokens; {limit:,} is the limit",
                count=len(found),
                limit=MOST_CONTROLS,
            ),
            tr("choose another model"),
        )
    return found


def with_plain_call(message: Message) -> Message:
    """`message` with the arguments of a tool that it calls as JSON without needless escapes.

    So a control string in them can be seen.
    """
    call = call_of(message)
    if call is None or isinstance(call["arguments"], str) or "\\" not in message.text:
        return message
    return replace(message, text=json.dumps(call["arguments"], ensure_ascii=False))


def goes_on(messages: Sequence[Message]) -> bool:
    """Whether the reply goes on with the last message."""
    return bool(messages) and messages[-1].role == "assistant"


def template_options(messages: Sequence[Message], think: bool | None) -> dict[str, Any]:
    """What a template is told beside the messages. Raises UsageError."""
    options: dict[str, Any] = {"tools": offered_tools(messages)}
    if think is not None:  # the names that model families have given to this switch
        options |= {"enable_thinking": think, "thinking": think}
    return options


def offered_tools(messages: Sequence[Message]) -> list[Any] | None:
    """The tools of the conversation. Raises UsageError if they are not a JSON list."""
    for message in messages:
        if message.tools:
            try:
                tools = json.loads(message.tools)
            except ValueError as exc:
                raise UsageError(
                    tr("the tools are not JSON: {why}", why=exc), tr("give a JSON list")
                ) from exc
            if not isinstance(tools, list):
                raise UsageError(tr("the tools are not a list"), tr("give a JSON list"))
            return tools
    return None
