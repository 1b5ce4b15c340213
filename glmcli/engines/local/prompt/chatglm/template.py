"""How ChatGLM2, ChatGLM3 and the old GLM-4 layout are written to and read.

Knows nothing of nets. Prompts are built from ids, never from one rendered string, so that no text
can become a control token. Which template a folder needs is for chatglm_config to say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from glmcli.engines.local.prompt.chatglm.reply import ReplyText, split_reply
from glmcli.engines.local.prompt.chatglm.tokenizer import GLM4Tokenizer, Tokenizer, load_tokenizer
from glmcli.engines.local.prompt.decoder import Decoder, PromptIds, ReplyParts
from glmcli.engines.local.prompt.items import Unparted, check_characters, prompt_alone, raw_prompt
from glmcli.engines.local.prompt.standins import any_of
from glmcli.engines.local.prompt.template import offered_tools
from glmcli.engines.reply import Marks, Reasoning
from glmcli.errors import UsageError
from glmcli.language import tr
from glmcli.models.chatglm import Config, is_chatglm2
from glmcli.types import Message, without_open_reply

END_OF_TEXT = 2
"""ChatGLM's `</s>`."""
GLM4_TOOLS = (
    "你是一个名为 ChatGLM 的人工智能助手。你是基于智谱AI训练的语言模型 GLM-4 模型开发的，"
    "你的任务是针对用户的问题和要求提供适当的答复和支持。\n\n# 可用工具"
)
GLM4_TOOL = "\n\n## {name}\n\n{schema}\n在调用上述函数时，请使用 Json 格式表示调用的参数。"
"""What glm-4-9b-chat was trained to find its tools in (its chat template)."""


class Turn(NamedTuple):
    """A role's control token, the rest of its line, and what follows that line."""

    role: str
    metadata: str
    text: str


class ChatGLM3Template:
    """`[gMASK] sop`, then for each turn a role token, its metadata and a newline, and the text.

    A tool's result is the role "observation". Source: THUDM/chatglm3-6b, tokenization_chatglm.py.
    """

    turn_ends: frozenset[int] = frozenset()
    is_base = False
    start: tuple[str, ...] = ("[gMASK]", "sop")

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.controls = tokenizer.control
        self.stop_ids = self._find_stop_ids()

    def encode(self, messages: Sequence[Message], *, think: bool | None = None) -> PromptIds:
        """The whole prompt. Raises UsageError for tools that are not a JSON list."""
        del think  # these models do not reason
        messages = sendable(messages)
        if alone := prompt_alone(messages):
            return raw_with_names(self.tokenizer, self.start, alone, lines=True)
        control, encode = self.tokenizer.control, self.tokenizer.encode
        ids = [control[token] for token in self.start]
        tools = tool_names(messages)
        for message in messages:
            for turn in self._turns(message, tools):
                ids += [control[f"<|{turn.role}|>"], *encode(f"{turn.metadata}\n")]
                ids += encode(turn.text)
        goes_on = bool(messages) and messages[-1].role == "assistant"
        if not goes_on:
            ids.append(control["<|assistant|>"])
        return PromptIds(ids, goes_on=goes_on)

    def written(self, messages: Sequence[Message], options: Mapping[str, Any]) -> str:
        """The prompt as other programs write it. It is read as `rendered`, never the other way."""
        del options
        tools = tool_names(messages)
        turns = [turn for message in messages for turn in self._turns(message, tools)]
        text = "".join(f"<|{turn.role}|>{turn.metadata}\n{turn.text}" for turn in turns)
        goes_on = bool(messages) and messages[-1].role == "assistant"
        return text if goes_on else f"{text}<|assistant|>"

    def decoder(self, prompt: PromptIds) -> Decoder:
        """A decoder for the reply to `prompt`: its text as a person reads it."""
        has_parts = not (prompt.raw and prompt.goes_on)
        return ReplyDecoder(self.tokenizer, goes_on=prompt.goes_on, parts=has_parts)

    def parts(self, prompt: PromptIds) -> ReplyParts:
        """Reasoning in the usual marks, if there is any."""
        return Unparted() if prompt.raw else Reasoning(Marks(), thinking=prompt.thinking)

    def _find_stop_ids(self) -> frozenset[int]:
        control = self.tokenizer.control
        return frozenset({END_OF_TEXT, control["<|user|>"], control["<|observation|>"]})

    def _turns(self, message: Message, tools: frozenset[str]) -> Iterator[Turn]:
        if message.role == "assistant" and not message.name:
            for name, text in split_reply(message.text, tools):
                yield Turn("assistant", name, text)
        elif message.role == "tool":
            yield Turn("observation", message.name, message.text)
        elif message.tools:
            yield from self._with_tools(message)
        else:
            yield Turn(message.role, message.name, message.text)

    def _with_tools(self, message: Message) -> Iterator[Turn]:
        schema = json.dumps(offered_tools([message]), indent=4, ensure_ascii=False)
        yield Turn(message.role, message.name, f"{message.text}\n{schema}")


class GLM4Template(ChatGLM3Template):
    """The same turns with GLM-4's tokens; tools have a system turn of their own.

    Source: THUDM/glm-4-9b-chat, tokenization_chatglm.py and chat template.
    """

    start = ("[gMASK]", "<sop>")

    def _find_stop_ids(self) -> frozenset[int]:
        ends = ("<|endoftext|>", "<|user|>", "<|observation|>")
        return frozenset(self.tokenizer.control[token] for token in ends)

    def _with_tools(self, message: Message) -> Iterator[Turn]:
        text = GLM4_TOOLS
        for tool in offered_tools([message]) or []:
            schema = json.dumps(function_of(tool), indent=4, ensure_ascii=False)
            text += GLM4_TOOL.format(name=tool_name(tool), schema=schema)
        yield Turn("system", "", text)
        if message.text:
            yield Turn(message.role, message.name, message.text)


class ChatGLM2Template:
    """Numbered rounds of 问 and 答 in one text. A system prompt goes before the first.

    Source: THUDM/chatglm2-6b, tokenization_chatglm.py (build_prompt).
    """

    start = ("[gMASK]", "sop")
    turn_ends: frozenset[int] = frozenset()
    is_base = False

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.controls = tokenizer.control
        self.stop_ids = frozenset({END_OF_TEXT})

    def encode(self, messages: Sequence[Message], *, think: bool | None = None) -> PromptIds:
        """The whole prompt. Raises UsageError for a tool's result, which ChatGLM2 cannot read."""
        del think
        messages = sendable(messages)
        if alone := prompt_alone(messages):
            return raw_with_names(self.tokenizer, self.start, alone)
        goes_on = bool(messages) and messages[-1].role == "assistant"
        text = "".join(self._pieces(messages))
        if goes_on:
            text = text.removesuffix("\n\n")
        ids = [*(self.tokenizer.control[name] for name in self.start), *self.tokenizer.encode(text)]
        return PromptIds(ids, goes_on=goes_on)

    def parts(self, prompt: PromptIds) -> ReplyParts:
        """Reasoning in the usual marks, if there is any."""
        return Unparted() if prompt.raw else Reasoning(Marks(), thinking=prompt.thinking)

    def decoder(self, prompt: PromptIds) -> Decoder:
        """A decoder for the reply to `prompt`."""
        return ReplyDecoder(self.tokenizer, goes_on=prompt.goes_on, parts=False)

    def _pieces(self, messages: Sequence[Message]) -> Iterator[str]:
        number = 0
        for message in messages:
            if message.role == "tool" or message.tools:
                raise UsageError(tr("ChatGLM2 cannot use tools"), tr("use ChatGLM3 or GLM-4"))
            if message.role == "user":
                number += 1
                yield f"[Round {number}]\n\n问：{message.text}\n\n答："
            elif message.text:
                yield f"{message.text}\n\n"


class ReplyDecoder:
    """The ids of one reply to the text that is shown."""

    def __init__(self, tokenizer: Tokenizer, *, goes_on: bool, parts: bool = True) -> None:
        self._decoder = tokenizer.decoder(starts=not goes_on)
        self._text = ReplyText(goes_on=goes_on, parts=parts)
        self._next_part = tokenizer.control["<|assistant|>"] if parts else None
        self._names = {token: name for name, token in tokenizer.control.items()}

    def push(self, token: int) -> str:
        """The text that is certain now."""
        if token == self._next_part:
            return self._text.push(self._decoder.flush()) + self._text.next_part()
        return self._text.push(self._decoder.push(token))

    def flush(self) -> str:
        """What was held back, incomplete as it is. Blanks at the end stay unseen."""
        return self._text.push(self._decoder.flush()) + self._text.flush()

    def drop_half(self) -> None:
        """Forget half a character."""
        self._decoder.drop_half()

    def unseen(self, token: int) -> str:
        """The name of a control token that shows nothing."""
        is_seen = self._decoder.spelled(token) and token != self._next_part
        return "" if is_seen else self._names.get(token, "")

    def spelled(self, token: int) -> bytes:
        """What a token is called inside a text."""
        return self._names.get(token, "").encode() or self._decoder.spelled(token)


def raw_with_names(
    tokenizer: Tokenizer, start: Sequence[str], message: Message, *, lines: bool = False
) -> PromptIds:
    """The prompt that a message is, with control tokens where their names stand.

    With `lines`, what follows a role up to the end of its line is read apart from the rest, as
    `ChatGLM3Template.encode` has it: a text begins there, which counts for these tokenizers.
    """
    control, encode, text = tokenizer.control, tokenizer.encode, message.text
    names = any_of(control)
    ids: list[int] = []
    at, line = 0, False
    ends = [(found.start(), found.end()) for found in names.finditer(text)] if names else []
    for begin, end in [*ends, (len(text), len(text))]:
        between = text[at:begin]
        first = between.find("\n") + 1 if line else 0
        ids += [*(encode(between[:first]) if first else ()), *encode(between[first:])]
        ids += [control[name] for name in (text[begin:end],) if name]
        at, line = end, lines and text[begin:end].startswith("<|")
    return raw_prompt(message, [control[name] for name in start], ids)


def sendable(messages: Sequence[Message]) -> list[Message]:
    """`messages` without an empty reply at the end. Raises UsageError for broken text."""
    check_characters(messages)
    return list(without_open_reply(messages))


def tool_names(messages: Sequence[Message]) -> frozenset[str]:
    """The names of the tools on offer. Raises UsageError if they are not a JSON list."""
    return frozenset(tool_name(tool) for tool in offered_tools(messages) or [] if tool_name(tool))


def function_of(tool: Any) -> Any:
    """A tool's own schema, which some wrap as {"type": "function", "function": ...}."""
    return tool.get("function", tool) if isinstance(tool, dict) else tool


def tool_name(tool: Any) -> str:
    """A tool's name; "" if it has none."""
    function = function_of(tool)
    return str(function.get("name", "")) if isinstance(function, dict) else ""


def load_template(
    config: Config, folder: Path, *, name: str
) -> ChatGLM2Template | ChatGLM3Template | GLM4Template:
    """The template of a checkpoint. Raises ModelError if there is no tokenizer that fits it."""
    tokenizer = load_tokenizer(folder, name=name)
    if isinstance(tokenizer, GLM4Tokenizer):
        return GLM4Template(tokenizer)
    if is_chatglm2(config, folder, name=name):
        return ChatGLM2Template(tokenizer)
    return ChatGLM3Template(tokenizer)
