"""FastChat's conversation templates: from messages to the prompt that a worker's model expects.

A worker says which template it uses, but leaves the rendering to the client. Knows nothing of
HTTP. Text of messages cannot pretend to be a turn: role tags inside it are broken up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from glmcli.engines.remote.faults import one_line
from glmcli.engines.remote.stream import HALF_PAIR
from glmcli.errors import ConfigError, ModelError
from glmcli.language import tr
from glmcli.types import Message, said_text

SHOWN = 80
"""How much of what a worker sends is shown."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a family of templates is written. Fields may hold {sep}, {sep2}, {system} and {round}."""

    head: str
    joint: str
    """Between a role and its text."""
    opened: str
    """After the role whose text is yet to come."""
    ends: tuple[str, str] = ("{sep}", "{sep}")
    """After the text of the user, of the assistant."""
    before: tuple[str, str] = ("", "")
    """Before the role of the user, of the assistant."""
    headless: str | None = None
    """In place of the head if the system prompt is empty; None: the head stays."""
    headless_by: str = "message"
    """What must be empty for that: the system `message`, or the whole `prompt` made of it."""
    bare_start: bool = False
    """The first message is written without its role."""
    strip: bool = False
    """Texts lose the blanks around them."""


CHATML = Style(
    "{system}{sep}\n", "\n", "\n", ("{sep}\n", "{sep}\n"), headless="", headless_by="prompt"
)
STYLES = {
    "ADD_COLON_SINGLE": Style("{system}{sep}", ": ", ":"),
    "ADD_COLON_TWO": Style("{system}{sep}", ": ", ":", ("{sep}", "{sep2}")),
    "ADD_COLON_SPACE_SINGLE": Style("{system}{sep}", ": ", ": "),
    "NO_COLON_SINGLE": Style("{system}", "", ""),
    "NO_COLON_TWO": Style("{system}", "", "", ("{sep}", "{sep2}")),
    "ADD_NEW_LINE_SINGLE": Style("{system}{sep}", "\n", "\n", headless="", headless_by="prompt"),
    "LLAMA2": Style("{system}", " ", "", ("{sep}", "{sep2}"), headless="[INST] ", bare_start=True),
    "LLAMA3": Style(
        "<|begin_of_text|>{system}",
        "<|end_header_id|>\n\n",
        "<|end_header_id|>\n\n",
        ("<|eot_id|>", "<|eot_id|>"),
        ("<|start_header_id|>", "<|start_header_id|>"),
        headless="<|begin_of_text|>",
        strip=True,
    ),
    "CHATGLM": Style(
        "{system}{sep}",
        "：",
        "：",
        before=("[Round {round}]{sep}", ""),
        headless="",
        headless_by="prompt",
    ),
    "CHATGLM3": Style("{system}", "\n", "", ("", ""), headless=""),
    "CHATML": CHATML,
    "CHATML_BARE": replace(CHATML, headless_by="message"),
    "CHATINTERN": Style("{system}", ":", ":", ("{sep}\n", "{sep2}\n"), ("<s>", "")),
    "FALCON_CHAT": Style("{system}{sep}", ": ", ":", headless=""),
    "DEEPSEEK_CHAT": Style("{system}", ": ", ":", ("{sep}", "{sep2}")),
}
"""What can be rendered, under FastChat's names; CHATML_BARE is ours, with no empty system prompt.

That is 68 of the 78 templates that workers of FastChat 0.2.36 name. Not DOLLY, METAMATH, PHOENIX,
ROBIN, RWKV, YUAN2: ten templates of models of 2023 that few people chat with today.
"""
NUMBERS = [
    *("ADD_COLON_SINGLE", "ADD_COLON_TWO", "ADD_COLON_SPACE_SINGLE", "NO_COLON_SINGLE"),
    *("NO_COLON_TWO", "ADD_NEW_LINE_SINGLE", "LLAMA2", "CHATGLM", "CHATML", "CHATINTERN"),
    *("DOLLY", "RWKV", "PHOENIX", "ROBIN", "FALCON_CHAT", "CHATGLM3", "DEEPSEEK_CHAT"),
    *("METAMATH", "YUAN2"),
]
"""Styles by number, from 1, in FastChat 0.2.36 as released."""
NUMBERS_2024 = [*NUMBERS[:7], "LLAMA3", *NUMBERS[7:], "GEMMA", "CLLM", "DEFAULT"]
"""Styles by number in FastChat since 2024-04, which still calls itself 0.2.36."""
KEYS_2024 = ("system_message_vision", "max_image_size_mb")
"""Fields that only the later FastChat sends."""
_NAMES = {
    "LLAMA3": "llama-3",
    "CHATGLM": "chatglm chatglm2",
    "CHATGLM3": "chatglm3",
    "CHATML": "mpt-7b-chat mpt-30b-chat lemur-70b-chat starchat mistral-7b-openorca "
    "dolphin-2.2.1-mistral-7b OpenHermes-2.5-Mistral-7B Nous-Hermes-2-Mixtral-8x7B-DPO "
    "qwen-7b-chat Yi-34b-chat zephyr catppt TinyLlama orca-2",
    "CHATINTERN": "internlm-chat",
    "FALCON_CHAT": "openchat_3.5 tenyxchat falcon-chat",
    "DEEPSEEK_CHAT": "deepseek-chat",
}
"""Style -> the templates that have it, where the number alone may mean another one."""
STYLE_OF = {name: style for style, names in _NAMES.items() for name in names.split()}


@dataclass(frozen=True, slots=True)
class WorkerTemplate:
    """One conversation template."""

    name: str
    style: str
    roles: tuple[str, str]
    sep: str
    sep2: str = ""
    system_template: str = "{system_message}"
    system: str = ""
    """The system prompt if the user has none."""
    examples: tuple[tuple[str, str], ...] = ()
    """(role, text) of turns that stand before the conversation."""
    stop: tuple[str, ...] = ()
    stop_ids: tuple[int, ...] = ()
    """Ids in the vocabulary of the model that the template was made for."""

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt: all messages, and the assistant's role left open for the reply.

        If the last message is the assistant's, it is left open itself. Empty messages are left out:
        they would read as an open turn. An empty system prompt takes the place of the template's.
        """
        style = STYLES[self.style]
        systems = [item.text for item in messages if item.role == "system"]
        system = "\n\n".join(filter(None, systems))
        turns = [(is_reply(item), said_text(item)) for item in messages if item.role != "system"]
        turns = [(reply, self.harmless(text)) for reply, text in turns if text]
        system = self.harmless(system)
        if system and "{system_message}" not in self.system_template and turns:
            turns[0] = (turns[0][0], f"{system}\n\n{turns[0][1]}")
        opened = turns.pop()[1] if turns and turns[-1][0] else ""
        turns = [(role == self.roles[1], text) for role, text in self.examples] + turns
        written = [self._head(style, system if systems else self.system)]
        written += [self._turn(style, index, *turn) for index, turn in enumerate(turns)]
        role = self._fill(style.before[1]) + self.roles[1]
        written.append(role + (self._fill(style.joint) + opened if opened else style.opened))
        return "".join(written)

    def harmless(self, text: str) -> str:
        """`text` with a blank in everything that this template or a tokenizer takes for a tag."""
        return re.sub(self._tags(), lambda found: broken(found[0]), text)

    def _tags(self) -> str:
        strings = (self.sep, self.sep2, self.system_template, *self.stop, *self.roles)
        tags = {tag for item in strings for tag in re.findall(r"</?[^<>\s{}]{1,40}>", item)}
        patterns = [TAG, *map(re.escape, sorted(tags))]
        joint = STYLES[self.style].joint
        for role in filter(None, (role.strip() for role in self.roles)):
            start = r"(?<!\w)" if role[0].isalnum() else ""
            if joint[:1] in (":", "："):
                patterns.append(start + re.escape(role + joint[0]))
            elif joint[:1] == "\n":
                patterns.append(start + re.escape(role) + r"(?=\s*\n)")
            elif not joint:
                patterns.append(start + re.escape(role))
        return "|".join(patterns)

    def _head(self, style: Style, system: str) -> str:
        prompt = self.system_template.replace("{system_message}", system)
        empty = not (prompt if style.headless_by == "prompt" else system)
        if empty and style.headless is not None:
            return style.headless
        return self._fill(style.head).replace("{system}", prompt)

    def _turn(self, style: Style, index: int, reply: bool, text: str) -> str:
        number = index // 2 + (self.name == "chatglm2")
        before = self._fill(style.before[reply]).replace("{round}", str(number))
        before += self.roles[reply] + style.joint
        if style.bare_start and index == 0:
            before = ""
        return before + (text.strip() if style.strip else text) + self._fill(style.ends[reply])

    def _fill(self, pattern: str) -> str:
        return pattern.replace("{sep}", self.sep).replace("{sep2}", self.sep2)


TAG = r"<[|｜][^<>|｜\n]{1,64}[|｜]>|</?s>|\[/?INST\]|<</?SYS>>"
"""What the tokenizers of common models take for one of their control tokens."""

CHATML_TAGS = ("<|im_start|>user", "<|im_start|>assistant")
GLM_TAGS = ("<|user|>", "<|assistant|>")
NAMED = {
    item.name: item
    for item in (
        WorkerTemplate(
            "chatml",
            "CHATML_BARE",
            CHATML_TAGS,
            "<|im_end|>",
            system_template="<|im_start|>system\n{system_message}",
            stop=("<|im_end|>",),
        ),
        WorkerTemplate("chatglm", "CHATGLM", ("问", "答"), "\n"),
        WorkerTemplate("chatglm2", "CHATGLM", ("问", "答"), "\n\n"),
        WorkerTemplate(
            "chatglm3",
            "CHATGLM3",
            GLM_TAGS,
            "",
            system_template="<|system|>\n{system_message}",
            stop_ids=(64795, 64797, 2),
        ),
        WorkerTemplate(
            "glm-4",
            "CHATGLM3",
            GLM_TAGS,
            "",
            system_template="<|system|>\n{system_message}",
            stop=GLM_TAGS[:1],
            stop_ids=(151329, 151336, 151338),
        ),
        WorkerTemplate(
            "llama-2",
            "LLAMA2",
            ("[INST]", "[/INST]"),
            " ",
            " </s><s>",
            system_template="[INST] <<SYS>>\n{system_message}\n<</SYS>>\n\n",
        ),
        WorkerTemplate(
            "llama-3",
            "LLAMA3",
            ("user", "assistant"),
            "",
            system_template=(
                "<|start_header_id|>system<|end_header_id|>\n\n{system_message}<|eot_id|>"
            ),
            stop=("<|eot_id|>",),
            stop_ids=(128001, 128009),
        ),
        WorkerTemplate("vicuna_v1.1", "ADD_COLON_TWO", ("USER", "ASSISTANT"), " ", "</s>"),
    )
}
"""What `--template` can name in place of the worker's own template."""


def named_template(name: str) -> WorkerTemplate:
    """The template that the user asks for. Raises ConfigError."""
    if name not in NAMED:
        raise ConfigError(
            tr("there is no template {name!r}", name=name),
            tr("one of: {names}", names=", ".join(NAMED)),
        )
    return NAMED[name]


def read_template(conv: Mapping[str, Any]) -> WorkerTemplate:
    """The template that a worker describes. Raises ModelError if it cannot be rendered."""
    for field, fits in FIELDS.items():
        value = conv.get(field)
        if value is not None and not fits(value):
            shown = one_line(repr(value)[:SHOWN], SHOWN)
            line = tr("the worker's template has an odd {field}: {value}", field=field, value=shown)
            raise ModelError(line, other_template())
    name, style = conv.get("name") or "", style_of(conv)
    roles: Sequence[str] = conv.get("roles") or ()
    if style not in STYLES or len(roles) < 2:
        line = tr(
            "the worker's template {name!r} ({style}) is not supported",
            name=one_line(name, SHOWN),
            style=style or tr("unknown style"),
        )
        raise ModelError(line, other_template())
    stop = conv.get("stop_str") or ()
    return WorkerTemplate(
        name=name,
        style=style,
        roles=(roles[0], roles[1]),
        sep=conv.get("sep") or "",
        sep2=conv.get("sep2") or "",
        system_template=conv.get("system_template", "{system_message}") or "",
        system=conv.get("system_message") or "",
        examples=tuple((role, text) for role, text in conv.get("messages") or () if role and text),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        stop_ids=tuple(conv.get("stop_token_ids") or ()),
    )


def other_template() -> str:
    """What helps where a worker's template cannot be rendered."""
    return tr("name another with --template, or use its OpenAI server: --model openai:NAME")


def is_text(value: object) -> bool:
    """Whether a value is a text that can be sent: JSON can hold half of a surrogate pair."""
    return isinstance(value, str) and HALF_PAIR.search(value) is None


def is_number(value: object) -> bool:
    """Whether a value is a whole number."""
    return type(value) is int


def is_list(value: object, fits: Callable[[object], bool]) -> bool:
    """Whether a value is a list of what fits."""
    return isinstance(value, list | tuple) and all(map(fits, value))


def is_turn(value: object) -> bool:
    """Whether a value is a role and its text, which may be missing."""
    parts = value if isinstance(value, list | tuple) else ()
    return len(parts) == 2 and all(part is None or is_text(part) for part in parts)


FIELDS: dict[str, Callable[[object], bool]] = {
    **dict.fromkeys(("name", "system_template", "system_message", "sep", "sep2"), is_text),
    "sep_style": is_number,
    "roles": lambda value: is_list(value, is_text),
    "messages": lambda value: is_list(value, is_turn),
    "stop_str": lambda value: is_text(value) or is_list(value, is_text),
    "stop_token_ids": lambda value: is_list(value, is_number),
}
"""What the fields of a template are that a worker sends; any may be missing."""


def style_of(conv: Mapping[str, Any]) -> str:
    """The name of a template's style; "" if it is unknown.

    Numbers from 8 on mean one style in FastChat 0.2.36 as released and another one since 2024-04.
    """
    number = conv.get("sep_style") or 0
    later = any(key in conv for key in KEYS_2024)
    if not later and conv.get("name") in STYLE_OF:
        return STYLE_OF[conv["name"]]
    numbers = NUMBERS_2024 if later else NUMBERS
    return numbers[number - 1] if number in range(1, len(numbers) + 1) else ""


def broken(tag: str) -> str:
    """A tag with a blank inside, which is a tag no more."""
    at = 1 if tag[-1].isalnum() else len(tag) - 1
    return f"{tag[:at]} {tag[at:]}"


def is_reply(message: Message) -> bool:
    """Whether a message is the assistant's; a tool's answer stands on the user's side."""
    return message.role == "assistant"
