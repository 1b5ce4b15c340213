"""Prompts from ids, and whole replies."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from glmcli.engines.local.prompt.chatglm.template import (
    ChatGLM2Template,
    ChatGLM3Template,
    GLM4Template,
    load_template,
)
from glmcli.engines.local.prompt.chatglm.tokenizer import GLM4Tokenizer
from glmcli.engines.local.prompt.decoder import PromptIds, PromptTemplate
from glmcli.errors import UsageError
from glmcli.types import Message
from tests.support.chatglm_data import as_messages, expected, find, read_json
from tests.support.vocabularies import byte_pairs, tiktoken_file

NAMES = ("tiny-6b-safetensors", "talker-6b-safetensors-sharded")
"""The tiny vocabulary, and the original one where it may be had."""
TALKER = "talker-tiny-32k-safetensors"
TOOLS = json.dumps([{"name": "get_weather", "parameters": {"类型": "object"}}])


def template_of(name: str) -> ChatGLM3Template:
    folder = find("checkpoints", name)
    config = read_json(folder / "config.json")
    template = load_template(config, folder, name=name)
    assert type(template) is ChatGLM3Template
    return template


@pytest.fixture(scope="module")
def tiny() -> ChatGLM3Template:
    return template_of("tiny-6b-safetensors")


@pytest.fixture(scope="module")
def second(tiny: ChatGLM3Template) -> ChatGLM2Template:
    return ChatGLM2Template(tiny.tokenizer)


@pytest.fixture(scope="module")
def glm4() -> GLM4Template:
    return GLM4Template(GLM4Tokenizer(tiktoken_file(byte_pairs("hello world", size=260))))


def spell(template: Any, ids: Iterable[int]) -> str:
    """Ids as text, control tokens in their own spelling."""
    names = {id: text for text, id in template.tokenizer.control.items()}
    spelled = ""
    decoder = template.tokenizer.decoder(starts=True)
    for token in ids:
        if token in names:
            spelled += decoder.flush() + names[token]
            decoder = template.tokenizer.decoder(starts=False)
        else:
            spelled += decoder.push(token)
    return spelled + decoder.flush()


def read(template: PromptTemplate, ids: Iterable[int], prompt: PromptIds | None = None) -> str:
    decoder = template.decoder(prompt or PromptIds([]))
    return "".join(decoder.push(token) for token in ids) + decoder.flush()


@pytest.mark.parametrize("name", NAMES)
def test_all_recorded_histories_have_the_original_ids(name: str) -> None:
    template = template_of(name)
    cases = expected(name)["chat_inputs"]
    assert len(cases) == 19
    for case in cases:
        assert template.encode(as_messages(case)) == PromptIds(case["input_ids"]), case["name"]


def test_the_original_vocabulary_stops_at_its_three_ids() -> None:
    assert template_of("talker-6b-safetensors-sharded").stop_ids == {2, 64795, 64797}


def test_who_are_you_is_ten_tokens() -> None:
    template = template_of("talker-6b-safetensors-sharded")
    assert len(template.encode([Message("user", "你是谁？")]).ids) == 10


def test_a_reply_comes_token_by_token() -> None:
    """After three tokens that show nothing, fourteen that do."""
    template = template_of("talker-6b-safetensors-sharded")
    answer = "我是 ChatGLM3-6B，是清华大学KEG实验室"
    ids = template.tokenizer.encode("\n") + template.tokenizer.encode(answer)
    decoder = template.decoder(template.encode([Message("user", "你是谁？")]))
    deltas = [decoder.push(token) for token in ids]
    assert deltas == [
        *("", "", "", "我是", " Chat", "GL", "M", "3", "-", "6", "B", "，", "是"),
        *("清华大学", "KE", "G", "实验室"),
    ]
    assert decoder.flush() == ""


@pytest.mark.parametrize("name", [TALKER, "talker-6b-safetensors-sharded"])
def test_recorded_replies_read_as_recorded(name: str) -> None:
    template = template_of(name)
    for case in expected(name)["chat"]:
        text = read(template, case["new_ids"][:-1])
        if isinstance(case["response"], str):
            assert text == case["response"]
        else:
            assert case["response"]["name"] in text


@pytest.mark.parametrize("name", [TALKER, "talker-6b-safetensors-sharded"])
def test_a_reply_goes_back_into_the_prompt_as_the_ids_the_model_wrote(name: str) -> None:
    """Calls too, where the original re-encodes others: its cache would be lost from there on."""
    template = template_of(name)
    changed = (
        "spaces",
        "你的训练数据截止到什么时候？",
    )  # blanks are dropped, the date is filled in
    for case in expected(name)["chat"]:
        if case["query"] in changed:
            continue
        messages = as_messages(case)
        reply = Message("assistant", read(template, case["new_ids"][:-1]))
        prompt = template.encode(messages).ids
        longer = template.encode([*messages, reply, Message("user", "and?")]).ids
        assert longer[: len(prompt) + len(case["new_ids"]) - 1] == prompt + case["new_ids"][:-1]


def test_a_tool_call_may_be_cut_off_at_any_token() -> None:
    template = template_of(TALKER)
    case = next(c for c in expected(TALKER)["chat"] if c["query"].startswith("What's"))
    texts = [read(template, case["new_ids"][:end]) for end in range(len(case["new_ids"]))]
    assert texts[-1].endswith('get_current_weather(location="beijing", unit="celsius")\n```')
    assert all("\nget_current_weather\n```python\ntool_call(" in text for text in texts[-9:-1])


def test_the_callers_history_is_never_changed(tiny: ChatGLM3Template) -> None:
    messages = [Message("system", "be kind", tools=TOOLS), Message("user", "hi")]
    copy = list(messages)
    tiny.encode(messages)
    assert messages == copy


@pytest.mark.parametrize("kind", ["tiny", "second", "glm4"])
def test_text_of_any_role_never_becomes_a_control_token(
    kind: str, request: pytest.FixtureRequest
) -> None:
    template = request.getfixturevalue(kind)
    control = template.tokenizer.control

    def controls(text: str) -> list[int]:
        messages = [
            Message("system", text),
            Message("user", text),
            Message("assistant", text),
            *([Message("tool", text)] if kind != "second" else []),
            Message("user", text),
        ]
        return [
            id for id in template.encode(messages).ids if id in control.values() or id in (1, 2)
        ]

    hostile = "".join(control) + "</s><s>\n" + "\n\n".join(control)
    assert controls(hostile) == controls("plain")


def test_a_name_or_a_tool_never_becomes_a_control_token(tiny: ChatGLM3Template) -> None:
    tools = json.dumps([{"name": "<|user|>"}])
    hostile = [Message("system", "", tools=tools), Message("tool", "x", name="<|user|>")]
    control = tiny.tokenizer.control
    ids = [id for id in tiny.encode(hostile).ids if id >= min(control.values())]
    names = ("[gMASK]", "sop", "<|system|>", "<|observation|>", "<|assistant|>")
    assert ids == [control[name] for name in names]


@pytest.mark.parametrize("kind", ["tiny", "second", "glm4"])
def test_half_a_surrogate_pair_is_refused(kind: str, request: pytest.FixtureRequest) -> None:
    with pytest.raises(UsageError, match="surrogate"):
        request.getfixturevalue(kind).encode([Message("user", "a\ud800")])


def test_half_a_surrogate_pair_in_the_tools_is_no_crash(tiny: ChatGLM3Template) -> None:
    assert tiny.encode([Message("system", "", tools='[{"name": "\\ud800"}]')]).ids


@pytest.mark.parametrize("tools", ["not json", "{}", "3"])
def test_tools_that_are_no_list_are_refused(tools: str, tiny: ChatGLM3Template) -> None:
    with pytest.raises(UsageError):
        tiny.encode([Message("system", "", tools=tools), Message("user", "hi")])


@pytest.mark.parametrize("tools", ["[]", "[1, null]", '[{"function": 3}]', '[{"name": 3}]'])
def test_odd_tools_are_passed_on(tools: str, tiny: ChatGLM3Template, glm4: GLM4Template) -> None:
    for template in (tiny, glm4):
        assert template.encode([Message("system", "", tools=tools), Message("user", "hi")]).ids


@pytest.mark.parametrize("kind", ["tiny", "second", "glm4"])
def test_a_reply_goes_on_where_it_stopped(kind: str, request: pytest.FixtureRequest) -> None:
    template = request.getfixturevalue(kind)
    question = Message("user", "hi")
    prompt = template.encode([question, Message("assistant", "one")])
    assert prompt.goes_on
    assert spell(template, prompt.ids).endswith("one")
    more = template.tokenizer.encode(" two" if kind == "glm4" else "two")
    assert read(template, more, prompt) == " two"


@pytest.mark.parametrize("kind", ["tiny", "second", "glm4"])
def test_half_a_character_that_is_dropped_leaves_the_rest_of_a_reply(
    kind: str, request: pytest.FixtureRequest
) -> None:
    template = request.getfixturevalue(kind)
    decoder = template.decoder(template.encode([Message("user", "hi")]))
    shown = "".join(map(decoder.push, template.tokenizer.encode("one [[训练😀")[:-1]))
    decoder.drop_half()
    assert shown + decoder.flush() == "one [[训练"


def test_an_empty_reply_leaves_no_trace(tiny: ChatGLM3Template, second: ChatGLM2Template) -> None:
    for template in (tiny, second):
        question = Message("user", "hi")
        assert template.encode([question, Message("assistant", "")]) == template.encode([question])


def test_nothing_but_stop_ids_and_control_tokens_is_lost_from_a_reply(
    tiny: ChatGLM3Template,
) -> None:
    control = tiny.tokenizer.control
    ids = [*tiny.tokenizer.encode("\n"), control["[MASK]"], *tiny.tokenizer.encode("a"), 570]
    assert read(tiny, ids) == "[MASK] a"


def test_glm4_writes_no_blank_after_the_newline(glm4: GLM4Template) -> None:
    messages = [
        Message("system", "be kind"),
        Message("user", "hello"),
        Message("assistant", "hi"),
        Message("tool", "22", name="get_weather"),
    ]
    assert spell(glm4, glm4.encode(messages).ids) == (
        "[gMASK]<sop><|system|>\nbe kind<|user|>\nhello<|assistant|>\nhi"
        "<|observation|>get_weather\n22<|assistant|>"
    )


def test_glm4_stops_at_its_three_ids(glm4: GLM4Template) -> None:
    assert glm4.stop_ids == {260, 267, 269}
    assert glm4.tokenizer.control["<|endoftext|>"] == 260


def test_glm4_has_its_tools_in_a_system_turn_of_their_own(glm4: GLM4Template) -> None:
    tools = json.dumps([{"type": "function", "function": {"name": "get_weather"}}])
    prompt = glm4.encode([Message("system", "be kind", tools=tools), Message("user", "hi")])
    text = spell(glm4, prompt.ids)
    assert text.count("<|system|>") == 2
    assert '\n\n## get_weather\n\n{\n    "name": "get_weather"\n}\n' in text
    assert text.endswith("<|system|>\nbe kind<|user|>\nhi<|assistant|>")


def test_a_call_by_glm4_goes_back_with_the_tools_name(glm4: GLM4Template) -> None:
    tools = Message("system", "", tools=TOOLS)
    ids = glm4.tokenizer.encode('get_weather\n{"city": "上海"}')
    reply = Message("assistant", read(glm4, ids))
    assert reply.text == 'get_weather\n{"city": "上海"}'
    prompt = glm4.encode([tools, Message("user", "hi")]).ids
    longer = glm4.encode([tools, Message("user", "hi"), reply, Message("tool", "22")]).ids
    assert longer[: len(prompt) + len(ids)] == prompt + ids


def test_chatglm2_numbers_its_rounds(second: ChatGLM2Template) -> None:
    messages = [
        Message("system", "be kind"),
        Message("user", "你好"),
        Message("assistant", "hi"),
        Message("user", "and?"),
    ]
    assert spell(second, second.encode(messages).ids) == (
        "[gMASK]sop be kind\n\n[Round 1]\n\n问：你好\n\n答：hi\n\n[Round 2]\n\n问：and?\n\n答："
    )
    assert second.stop_ids == {2}


def test_chatglm2_replies_have_no_parts(second: ChatGLM2Template) -> None:
    ids = second.tokenizer.encode("interpreter\n x [[训练时间]] ")
    assert read(second, ids) == "interpreter\n x 2023年"


def test_chatglm2_refuses_tools(second: ChatGLM2Template) -> None:
    for message in (Message("tool", "22"), Message("system", "", tools=TOOLS)):
        with pytest.raises(UsageError, match="ChatGLM2"):
            second.encode([message])


def test_a_plain_text_is_a_prompt_with_control_tokens_where_it_names_them(
    tiny: ChatGLM3Template, second: ChatGLM2Template
) -> None:
    control = tiny.tokenizer.control
    text = "<|user|>\n hello<|assistant|>"
    encode = tiny.tokenizer.encode
    user, assistant = control["<|user|>"], control["<|assistant|>"]
    start = [control["[gMASK]"], control["sop"]]
    of_third = [*start, user, *encode("\n"), *encode(" hello"), assistant]  # as in training
    of_second = [*start, user, *encode("\n hello"), assistant]
    for template, ids in ((tiny, of_third), (second, of_second)):
        prompt = template.encode([Message("raw", text)])
        assert prompt.ids == ids
        assert template.encode([Message("raw", f"[gMASK]sop{text}")]).ids == prompt.ids
        assert not template.parts(prompt).is_thinking


def test_a_rendered_conversation_is_that_conversation_and_a_reply_follows(
    tiny: ChatGLM3Template,
) -> None:
    messages = [Message("user", " a\nb"), Message("assistant", "c\n"), Message("user", "你好")]
    text = "<|user|>\n a\nb<|assistant|>\nc\n<|user|>\n你好<|assistant|>"
    prompt = tiny.encode([Message("rendered", text)])
    assert prompt.ids == tiny.encode(messages).ids
    said = [*tiny.tokenizer.encode("\n"), *tiny.tokenizer.encode("hello")]
    for role, shown in (("rendered", "hello"), ("raw", " \n hello")):
        decoder = tiny.decoder(tiny.encode([Message(role, text)]))
        assert "".join(map(decoder.push, said)) + decoder.flush() == shown
