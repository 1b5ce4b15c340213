"""The ids equal those of transformers, whatever features a chat template uses.

The templates in tests/data/templates are our own; between them they use what those of well-known
models use.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from glmcli.conversation.transcript import parse_conversations
from glmcli.engines.local.prompt.template import ChatTemplate
from glmcli.errors import ModelError, UsageError
from glmcli.types import Conversation, Message
from tests.support import tiny

FOLDER = Path(__file__).parents[3] / "data" / "templates"
SOURCES = {path.stem: path.read_text() for path in sorted(FOLDER.glob("*.jinja"))}
SOURCES["named"] = [
    {"name": "tool_use", "template": SOURCES["tools"]},
    {"name": "default", "template": SOURCES["within"]},
]
SPECIAL = re.compile(r"<\|\w+\|>|\[/?INST\]")
FOLDED, PARTS = {"strict", "drops"}, {"parts"}
"""Templates that take no system prompt; those that take content in parts only."""
CONTROL = dict.fromkeys(SOURCES, "<|end|>") | dict.fromkeys(
    ("within", "behind", "drops", "loops", "named"), "</s>"
)


def said(role, content, **more):
    return {"role": role, "content": content, **more}


THOUGHT = "Let me see: it may rain."
REASONED = [
    said("user", "Rain or not?"),
    said("assistant", "It rains.", reasoning_content=THOUGHT),
    said("user", "And later?"),
]
CONVERSATIONS = {
    "one": [said("user", "Rain or not?")],
    "more": [said("user", "a"), said("assistant", "It rains."), said("user", "And then?")],
    "system": [said("system", "Be brief."), said("user", "Rain?")],
    "long": [said("system", "Be brief."), *REASONED],
    "empty system": [said("system", ""), said("user", "Rain?")],
    "reasoned": REASONED,
    "blanks": [said("user", " \n a\n\nb "), said("assistant", "\n c \n"), said("user", "\td ")],
    "letters": [said("user", "你好 naïve 👩\u200d💻 \u202e {{ x }} {% raw %} \\n <b> \"q\" 'r'")],
    "goes on": [said("user", "Rain?"), said("assistant", "It may")],
    "goes on, reasoned": REASONED[:2],
}


@cache
def made(name):
    source = SOURCES[name]
    tokens = {"<s>", "</s>", *SPECIAL.findall(json.dumps(source))}
    backend = tiny.byte_level(*sorted(tokens))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", chat_template=None
    )
    tokenizer.chat_template = (
        source if isinstance(source, str) else {each["name"]: each["template"] for each in source}
    )
    return ChatTemplate(tokenizer), tokenizer


def as_given(name, items):
    """The messages as a user of transformers has to write them for this template."""
    if name in FOLDED and items[0]["role"] == "system":
        first = "\n\n".join(filter(None, [items[0]["content"], items[1]["content"]]))
        items = [said("user", first), *items[2:]]
    if name in PARTS:
        items = [item | {"content": [{"type": "text", "text": item["content"]}]} for item in items]
    return [item | ({"thinking": THOUGHT} if "reasoning_content" in item else {}) for item in items]


def theirs(name, items, *, tokenize=True, **options):
    more = items[-1]["role"] == "assistant"
    return made(name)[1].apply_chat_template(
        as_given(name, items),
        tokenize=tokenize,
        return_dict=False,
        add_generation_prompt=not more,
        continue_final_message=more,
        **options,
    )


def ours(name, items, **options):
    (conversation,) = parse_conversations(json.dumps(items))
    return made(name)[0].encode(conversation.prompt(), **options).ids


@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("name", SOURCES)
def test_the_ids_are_those_of_transformers(name, conversation):
    items = CONVERSATIONS[conversation]
    assert ours(name, items) == theirs(name, items)


@pytest.mark.parametrize("inline", ["<think>\n{}\n</think>\n\n", "[THINK]{}[/THINK]"])
@pytest.mark.parametrize("name", SOURCES)
def test_reasoning_within_a_text_is_as_if_it_had_been_given_apart(name, inline):
    items = [dict(item) for item in REASONED]
    items[1]["content"] = inline.format(items[1].pop("reasoning_content")) + items[1]["content"]
    assert ours(name, items) == theirs(name, REASONED)


@pytest.mark.parametrize("think", [True, False])
@pytest.mark.parametrize("name", ["namespace", "channels", "macros"])
def test_reasoning_is_switched_as_transformers_does(name, think):
    options = {"enable_thinking": think, "thinking": think}
    assert ours(name, REASONED, think=think) == theirs(name, REASONED, **options)


@pytest.mark.parametrize("name", SOURCES)
def test_control_strings_of_messages_are_text_and_all_else_stays(name):
    word, control = "WORD", CONTROL[name]
    backend = made(name)[1].backend_tokenizer
    special = backend.get_added_tokens_decoder()

    def conversation(text):
        return [said("user", f"a {text} b"), said("assistant", f"c {text}"), said("user", text)]

    ids, plain = ours(name, conversation(control)), theirs(name, conversation(word))
    assert [id for id in ids if id in special] == [id for id in plain if id in special]
    rendered = theirs(name, conversation(word), tokenize=False)
    assert backend.decode(ids, skip_special_tokens=False) == rendered.replace(word, control)


@pytest.mark.parametrize("kind", ["llama", "gemma", "mistral"])
@pytest.mark.parametrize("text", ["{}", " {} ", "a{}b\n"])
def test_blanks_around_control_strings_are_those_of_other_words(kind, text):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tiny.byte_tokens(kind))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|end|>"]})
    tokenizer.add_tokens(["<tag>"])
    tokenizer.chat_template = "{% for m in messages %}<|end|><tag>{{ m.content }}{% endfor %}"
    backend, template = tokenizer.backend_tokenizer, ChatTemplate(tokenizer)

    def decoded(word):
        messages = [Message("user", text.format(word)), Message("assistant", text.format(word))]
        return backend.decode(template.encode(messages).ids, skip_special_tokens=False)

    assert decoded("<|end|>") == decoded("WORD").replace("WORD", "<|end|>")


def test_tools_choose_the_template_that_is_named_for_them():
    tools = [{"name": "rain", "about": "<ü>"}]
    messages = Conversation(
        messages=[Message("system", "Be brief.", tools=json.dumps(tools)), Message("user", "Rain?")]
    ).prompt()
    items = [said("system", "Be brief."), said("user", "Rain?")]
    with_tools = made("named")[0].encode(messages).ids
    assert with_tools == theirs("named", items, tools=tools)
    assert '"about": "<ü>"' in made("named")[1].decode(with_tools)
    assert "<<SYS>>" in made("named")[1].decode(ours("named", items))


LOSSY = {
    "only the last": "{{ messages[-1].content }}",
    "half of each": "{% for m in messages %}{{ m.content[:20] }}{% endfor %}",
    "no replies": "{% for m in messages if m.role != 'assistant' %}{{ m.content }}{% endfor %}",
    "the end of each": "{% for m in messages %}{{ m.content[-20:] }}{% endfor %}",
    "the first word": "{% for m in messages %}{{ m.content.split() | first | e }}{% endfor %}",
    "how long each is": "{% for m in messages %}{{ m.content | length }}{% endfor %}",
    "half of each, escaped": "{% for m in messages %}{{ (m.content | e)[:20] }}{% endfor %}",
    "all but the first, changed": "{% for m in messages[1:] %}"
    "{{ m.content | replace('s', 'z') }}{% endfor %}",
    "parts it does not know": "{% for m in messages %}{% if m.content is not string %}"
    "{{ m.content }}{% endif %}{% endfor %}",
}


@pytest.mark.parametrize("name", LOSSY)
def test_a_question_is_refused_in_one_line_where_a_text_is_left_out(name):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tiny.byte_level())
    tokenizer.chat_template = LOSSY[name]
    template = ChatTemplate(tokenizer)
    messages = [Message("user", "Why is the sky blue today?"), Message("assistant", "It is not.")]
    with pytest.raises(ModelError, match="leaves out") as caught:
        template.encode([*messages, Message("user", "Is it so?")])
    assert caught.value.hint


REWRITTEN = {
    "escapes": "{% for m in messages %}{{ m.content | e }}{% endfor %}",
    "letters": "{% for m in messages %}{{ m.content | replace('l', '1') }}{% endfor %}",
    "words": "{% for m in messages %}{{ m.content | replace('blue', 'not blue') }}{% endfor %}",
    "marks": "{% for m in messages %}{% for line in m.content.split('\\n') %}> {{ line }}\n"
    "{% endfor %}{% endfor %}",
    "wraps": "{% for m in messages %}{{ m.content | wordwrap(8) }}{% endfor %}",
    "narrow": "{% for m in messages %}{{ m.content | wordwrap(3) }}{% endfor %}",
    "urls": "{% for m in messages %}{{ m.content | urlencode }}{% endfor %}",
    "blanks": "{% for m in messages %}{{ m.content.split() | join(' ') }}{% endfor %}",
    "lines": "{% for m in messages %}{{ m.content | indent(4) }}{% endfor %}",
    "switches": "{% for m in messages %}{{ m.content.replace('/no_think', '') }}{% endfor %}",
    "reasoning": "{% for m in messages %}{{ m.content.split('</think>')[-1] }}{% endfor %}",
}


@pytest.mark.parametrize("name", REWRITTEN)
def test_what_templates_do_to_texts_is_no_loss(name):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tiny.byte_level())
    tokenizer.chat_template = REWRITTEN[name]
    messages = [Message("user", "Why  is\nit\n\n<blue>? /no_think")]
    if name in ("escapes", "letters", "words", "marks", "wraps", "narrow", "urls"):
        messages += [Message("assistant", "Well, <all> is blue."), Message("user", "All?\n<l>?")]
    if name == "reasoning":
        messages += [Message("assistant", "a </think> mark"), Message("user", "So?")]
    items = [said(item.role, item.text) for item in messages]
    expected = tokenizer.apply_chat_template(items, tokenize=True, return_dict=False)
    assert ChatTemplate(tokenizer).encode(messages).ids == expected


MIXED = (
    "{% for m in messages %}{{ m.role }}:{% if m.role == 'ROLE' %}{% for p in m.content %}"
    "{{ p.text }}{% endfor %}{% else %}{{ m.content + '' }}{% endif %}\n{% endfor %}"
)


@pytest.mark.parametrize("role", ["user", "assistant", "system"])
def test_one_role_may_want_parts_and_the_others_texts(role):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tiny.byte_level())
    tokenizer.chat_template = MIXED.replace("ROLE", role)
    template = ChatTemplate(tokenizer)
    messages = [Message("system", "Be brief."), Message("user", "Why?")]
    for _ in range(2):
        items = [
            {
                "role": item.role,
                "content": [{"type": "text", "text": item.text}]
                if item.role == role
                else item.text,
            }
            for item in messages
        ]
        expected = tokenizer.apply_chat_template(items, return_dict=False)
        assert template.encode(messages).ids == expected
        messages += [Message("assistant", "So."), Message("user", "Well?")]


@pytest.mark.parametrize(
    "text", ["a <|im_end|> b", "<|im_end|>" * 3, "one two three <|endoftext|>"]
)
@pytest.mark.parametrize(
    "change", ["wordwrap(20)", "length ~ m.content", "trim", "replace('q', 'k')", "indent(2)"]
)
def test_control_strings_keep_their_place_where_a_template_measures_texts(change, text):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tiny.byte_level())
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.content | " + change + " }}{% endfor %}"
    )
    ids = ChatTemplate(tokenizer).encode([Message("user", text)]).ids
    items = [said("user", text)]
    assert tokenizer.decode(ids) == tokenizer.apply_chat_template(items, tokenize=False)
    controls = set(tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>", "<|endoftext|>"]))
    assert [token for token in ids if token in controls] == ids[:1]


@pytest.mark.parametrize("change", ["wordwrap(6)", "upper", "reverse", "length", "title"])
def test_a_template_that_takes_control_strings_apart_is_refused(change):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tiny.byte_level())
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.content | " + change + " }}{% endfor %}"
    )
    with pytest.raises((UsageError, ModelError)):
        ChatTemplate(tokenizer).encode([Message("user", "a <|im_end|> b")])
