"""Conversations as files: what is saved can be read back, by us and by others."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmcli.conversation.transcript import (
    load_all,
    load_conversation,
    parse_conversations,
    save_conversation,
    to_json,
    to_jsonl,
    to_markdown,
)
from glmcli.errors import StoreError, UsageError
from glmcli.types import Conversation, GenerationParams, Message, Omission, Usage

# Undecodable bytes become low surrogates; a high one before them would make a character in JSON.
TEXT = st.text(st.characters(exclude_categories=()) | st.sampled_from("\udcff\u2028\0\n")).filter(
    lambda text: not any("\ud800" <= character <= "\udbff" for character in text)
)
COUNT = st.none() | st.integers(0, 10**6)
SECONDS = st.floats(0, 1e6)
USAGE = st.builds(Usage, COUNT, COUNT, COUNT, st.none() | SECONDS, SECONDS)
MESSAGE = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant", "tool"]),
    text=TEXT,
    thinking=TEXT,
    finish_reason=st.sampled_from([None, "stop", "length", "cancelled", "interrupted"]),
    usage=st.none() | USAGE,
    name=TEXT,
    tools=TEXT,
)
PARAMS = st.builds(
    GenerationParams,
    max_tokens=st.none() | st.integers(1, 10**6),
    temperature=st.none() | st.floats(0, 2),
    top_p=st.none() | st.floats(0, 1, exclude_min=True),
    top_k=COUNT,
    repetition_penalty=st.none() | st.floats(0.1, 2),
    stop=st.lists(TEXT).map(tuple),
    seed=COUNT,
    think=st.none() | st.booleans(),
)


def summarised(conversation, messages, summary):
    """The same conversation, with a summary of its first messages if it has so many."""
    if summary and messages <= len(conversation.messages):
        conversation.omitted = Omission(messages, summary)
    return conversation


WHOLE = st.builds(
    Conversation,
    id=TEXT,
    system=st.none() | TEXT,
    messages=st.lists(MESSAGE, max_size=4),
    title=TEXT,
    model=TEXT,
    params=PARAMS,
    ids=st.just([]),
)
CONVERSATION = st.builds(summarised, WHOLE, st.integers(1, 3), TEXT)
CHAT = Conversation(
    id="abcd0000",
    system="be brief",
    title="A title",
    model="echo:",
    messages=[
        Message("user", "why?"),
        Message("assistant", "becau", "let me think", "cancelled"),
    ],
)


@given(CONVERSATION)
def test_json_brings_everything_back(conversation):
    written = to_json(conversation).encode("utf-8", "backslashreplace").decode("utf-8")
    assert parse_conversations(written) == [conversation]


@given(st.lists(CONVERSATION, min_size=1, max_size=3))
def test_many_conversations_come_back_from_json_and_json_lines(conversations):
    assert parse_conversations(to_json(*conversations)) == conversations
    assert parse_conversations(to_jsonl(*conversations)) == conversations


@pytest.mark.parametrize("omitted", [[], {"messages": 3, "summary": "x"}, {"messages": 1}])
def test_a_summary_of_missing_messages_is_refused(omitted):
    record = json.loads(to_json(CHAT)) | {"omitted": omitted}
    with pytest.raises(UsageError, match="summary"):
        parse_conversations(json.dumps(record))


def test_json_can_be_read_as_openai_messages():
    messages = json.loads(to_json(CHAT))["messages"]
    assert [(item["role"], item["content"]) for item in messages] == [
        ("user", "why?"),
        ("assistant", "becau"),
    ]


def test_the_headings_of_markdown_are_harmless_and_its_texts_as_they_were():
    answer = Message("assistant", "raw \x1b[31m")
    talk = Conversation(title="t\x1b]0;x\x07\nz", model="m\x1b[1m", messages=(answer,))
    text = to_markdown(talk)
    assert text.startswith("# t␛]0;x␇␊z\n\nModel: m␛[1m\n") and "raw \x1b[31m" in text


def test_markdown_shows_all_there_is_to_read():
    assert to_markdown(CHAT) == (
        "# A title\n\nModel: echo:\n\n## System\n\nbe brief\n\n## User\n\nwhy?\n\n## Assistant\n\n"
        "<details><summary>Thinking</summary>\n\nlet me think\n\n</details>\n\n"
        "becau\n\n*(cancelled)*\n"
    )


# Files.


@pytest.mark.parametrize("name", ["chat.json", "chat.JSON", "chat.jsonl"])
def test_what_is_saved_is_loaded(tmp_path, name):
    path = save_conversation(CHAT, tmp_path / name)
    assert load_conversation(path) == CHAT
    assert [item.name for item in tmp_path.iterdir()] == [name]


def test_the_path_that_is_returned_is_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = save_conversation(CHAT, (tmp_path / "x").relative_to(tmp_path))
    assert path == tmp_path / "x"
    assert path.read_text() == to_markdown(CHAT)


def test_a_file_is_overwritten_only_when_told(tmp_path):
    path = tmp_path / "chat.md"
    path.write_text("mine")
    with pytest.raises(UsageError) as caught:
        save_conversation(CHAT, path)
    assert caught.value.hint
    assert path.read_text() == "mine"
    save_conversation(CHAT, path, overwrite=True)
    assert path.read_text() == to_markdown(CHAT)


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("overwrite", [True, False])
def test_a_symbolic_link_is_refused_and_nothing_is_written_where_it_leads(
    tmp_path, there, overwrite
):
    outside, link = tmp_path / "outside.md", tmp_path / "talk.md"
    if there:
        outside.write_text("before")
    link.symlink_to(outside)
    with pytest.raises(UsageError, match=r"talk\.md is a symbolic link to .*outside\.md") as caught:
        save_conversation(CHAT, link, overwrite=overwrite)
    assert caught.value.hint == "name that file itself, or another"
    assert link.is_symlink()
    assert (outside.read_text() if there else outside.exists()) == ("before" if there else False)


def test_a_folder_may_be_a_link_and_the_path_told_is_where_the_file_is(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "folder").symlink_to("real")
    assert save_conversation(CHAT, tmp_path / "folder" / "talk.md") == tmp_path / "real" / "talk.md"


def test_a_file_that_is_written_over_keeps_its_mode(tmp_path):
    path = tmp_path / "talk.md"
    path.write_text("before")
    path.chmod(0o640)
    save_conversation(CHAT, path, overwrite=True)
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_full_disk_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "chat.md"
    path.write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
    try:
        with pytest.raises(StoreError) as caught:
            save_conversation(CHAT, path, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.hint
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["chat.md"]


@pytest.mark.parametrize("name", ["none/chat.md", "chat.md/x.md", "folder"])
def test_a_place_that_cannot_be_written_is_reported(tmp_path, name):
    (tmp_path / "chat.md").write_text("a file")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError) as caught:
        save_conversation(CHAT, tmp_path / name, overwrite=True)
    assert str(tmp_path / name) in caught.value.message


def test_text_that_is_not_unicode_is_saved_readably(tmp_path):
    chat = Conversation(messages=[Message("user", "bad \udcff")])
    assert load_conversation(save_conversation(chat, tmp_path / "x.json")) == chat
    assert "bad \\udcff" in save_conversation(chat, tmp_path / "x.md").read_text(encoding="utf-8")


# Other programs' files.


def test_openai_messages_are_read():
    (chat,) = parse_conversations(
        json.dumps(
            [
                {"role": "developer", "content": "be brief"},
                {"role": "user", "content": [{"type": "text", "text": "hi"}]},
                {"role": "assistant", "content": "yo", "reasoning_content": "hm"},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"function": {"name": "get", "arguments": '{"x": 1}'}}],
                },
                {"role": "tool", "content": "2", "tool_call_id": "1"},
            ]
        )
    )
    assert chat.system == "be brief"
    assert chat.messages == [
        Message("user", "hi"),
        Message("assistant", "yo", "hm"),
        Message("assistant", '{"x": 1}', name="get"),
        Message("tool", "2"),
    ]


@pytest.mark.parametrize(
    ("said", "text", "thinking"),
    [
        ({"content": [{"type": "thinking", "thinking": "hm"}]}, "", "hm"),
        (
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "h"}]},
                    {"type": "thinking", "thinking": [{"type": "text", "text": "m"}]},
                    {"type": "text", "text": "yo"},
                ]
            },
            "yo",
            "hm",
        ),
        ({"content": "", "refusal": "no"}, "no", ""),
        ({"content": None, "refusal": "no"}, "no", ""),
        ({"content": [{"type": "refusal", "refusal": "no"}]}, "no", ""),
        ({"content": [{"type": "output_text", "text": "yo"}], "refusal": None}, "yo", ""),
        ({"content": None, "reasoning": "hm"}, "", "hm"),
        ({"content": "<think>hm</think>"}, "", "hm"),
    ],
)
def test_thinking_and_refusals_of_replies_are_read_wherever_they_stand(said, text, thinking):
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", **said}]
    (chat,) = parse_conversations(json.dumps(messages))
    assert chat.messages == [Message("user", "hi"), Message("assistant", text, thinking)]
    assert chat.prompt(Message("user", "next")) == (*chat.messages, Message("user", "next"))


def test_a_question_whose_reply_was_broken_off_is_not_sent_again():
    reasons = ("cancelled", "interrupted", "length", "stop", None)
    for reason in reasons:
        reply = Message("assistant", "", "hm", finish_reason=reason)
        chat = Conversation(messages=[Message("user", "a"), reply])
        assert bool(chat.prompt()) == (reason not in reasons[:2])


def test_an_openai_request_and_fine_tuning_lines_are_read():
    request = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    line = json.dumps(request)
    assert parse_conversations(line) == [Conversation(model="m", messages=[Message("user", "hi")])]
    assert len(parse_conversations(f"{line}\n\n{line}\n")) == 2


def test_a_transformers_chat_is_read():
    saved = {
        "settings": {"base_url": "x", "model_id": "zai-org/glm-4-9b-chat-hf", "config": {}},
        "chat_history": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "u"},
        ],
    }
    assert parse_conversations(json.dumps(saved, indent=4)) == [
        Conversation(system="s", model="zai-org/glm-4-9b-chat-hf", messages=[Message("user", "u")])
    ]


@pytest.mark.parametrize("system", ["system", "system_message"])
def test_a_fastchat_conversation_is_read(system):
    saved = {
        "template_name": "chatglm3",
        system: "s",
        "roles": ["<|user|>", "<|assistant|>"],
        "messages": [["<|user|>", "你好"], ["<|assistant|>", "好"], ["<|assistant|>", None]],
        "offset": 0,
    }
    chat = Conversation(system="s", messages=[Message("user", "你好"), Message("assistant", "好")])
    assert parse_conversations(json.dumps(saved)) == [chat]
    assert parse_conversations(json.dumps([saved, saved])) == [chat, chat]


def test_a_chatglm3_history_is_read():
    saved = [
        {"role": "system", "content": "s", "tools": [{"name": "get"}]},
        {"role": "user", "content": "u"},
        {"role": "assistant", "metadata": "get", "content": "call"},
        {"role": "observation", "content": "1"},
    ]
    (chat,) = parse_conversations(json.dumps(saved))
    assert chat.messages == [
        Message("system", "s", tools='[{"name": "get"}]'),
        Message("user", "u"),
        Message("assistant", "call", name="get"),
        Message("tool", "1"),
    ]


INLINE = "<think>\nhm\n</think>\n\nyo"


@pytest.mark.parametrize(
    "saved",
    [
        [{"role": "user", "content": "hi"}, {"role": "assistant", "content": INLINE}],
        {"system": None, "messages": [{"role": "assistant", "content": INLINE}]},
        {"messages": [{"role": "assistant", "content": [{"type": "text", "text": INLINE}]}]},
        {"messages": [{"role": "assistant", "content": "yo", "reasoning": "hm"}]},
        {"chat_history": [{"role": "assistant", "content": INLINE}]},
        {"roles": ["u", "a"], "messages": [["u", "hi"], ["a", INLINE]]},
    ],
)
def test_reasoning_within_a_text_is_split_off_in_every_format(saved):
    (chat,) = parse_conversations(json.dumps(saved))
    assert chat.messages[-1] == Message("assistant", "yo", "hm")


@pytest.mark.parametrize(
    ("saved", "system"),
    [
        ([{"role": "system", "content": ""}, {"role": "user", "content": "hi"}], ""),
        ([{"role": "user", "content": "hi"}], None),
        ({"system": "", "messages": []}, ""),
        ({"system": None, "messages": []}, None),
        ({"roles": [], "system_message": "", "messages": []}, None),
    ],
)
def test_an_empty_system_prompt_is_another_thing_than_none(saved, system):
    (chat,) = parse_conversations(json.dumps(saved))
    assert chat.system == system
    assert (Message("system", "") in chat.prompt()) == (system == "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        ("# A title\n\nMarkdown", "not JSON"),
        ('{"messages": [', "not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "no conversation"),
        ("{}", "no conversation"),
        ('"text"', "no conversation"),
        ("[1]", "object, not a number"),
        ("[[]]", "not a list"),
        ('{"messages": 5}', "not a number"),
        ('{"messages": [5]}', "message 1 has no role"),
        ('[{"role": "user"}, {}]', "message 2 has no role"),
        ('[{"role": "wizard", "content": ""}]', "'wizard'"),
        ('[{"role": ["user"], "content": ""}]', "message 1 has the role"),
        ('[{"role": "user", "content": 5}]', "message 1"),
        ('[{"role": "user", "content": [{"type": "image_url"}]}]', "image_url"),
        ('[{"role": "user", "content": ["x"]}]', "message 1"),
        ('[{"role": "assistant", "content": "x", "tool_calls": [{}, {}]}]', "several tools"),
        ('[{"role": "user", "content": "x", "thinking": 5}]', "'thinking'"),
        ('[{"role": "assistant", "content": [{"type": "thinking", "thinking": [5]}]}]', "a list"),
        ('[{"role": "assistant", "content": "", "usage": [1]}]', "not a list"),
        ('[{"role": "assistant", "content": "", "usage": {"total_s": "1"}}]', "'total_s'"),
        ('{"messages": [], "title": 5}', "'title'"),
        ('{"messages": [], "params": {"stop": "x"}}', "'stop'"),
        ('{"roles": ["U", "A"], "messages": [["X", "hi"]]}', "message 1"),
        ('{"roles": 5, "messages": []}', "not a number"),
        ('{"chat_history": {}}', "not an object"),
    ],
)
def test_a_file_without_a_conversation_is_refused_in_one_line(text, said):
    with pytest.raises(UsageError) as caught:
        parse_conversations(text)
    assert said in caught.value.message
    assert caught.value.hint
    assert "\n" not in caught.value.message


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_no_json_is_a_crash(value):
    for text in (json.dumps(value), json.dumps({"messages": value}), json.dumps({"roles": value})):
        try:
            parse_conversations(text)
        except UsageError as exc:
            assert exc.hint


def test_a_file_that_cannot_be_read_is_reported(tmp_path):
    (tmp_path / "latin").write_bytes("é".encode("latin-1"))
    for name, said in (("none.json", "cannot be read: No such"), (".", "is a folder, not a file")):
        with pytest.raises(UsageError, match=said):
            load_conversation(tmp_path / name)
    with pytest.raises(UsageError, match=r"latin is not valid UTF-8 \(byte 0\)") as caught:
        load_conversation(tmp_path / "latin")
    assert "iconv" in caught.value.hint


def test_one_is_asked_for_and_the_file_holds_two(tmp_path):
    path = tmp_path / "two.jsonl"
    path.write_text(to_jsonl(CHAT, CHAT))
    with pytest.raises(UsageError, match="holds 2 conversations"):
        load_conversation(path)
    assert load_all(path) == [CHAT, CHAT]
    path.write_text("oops")
    with pytest.raises(UsageError, match=r"two\.jsonl: it is not JSON"):
        load_conversation(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", -3), ("temperature", float("nan")), ("max_tokens", 1.5), ("top_p", 2)],
)
def test_settings_that_could_not_be_typed_are_refused(tmp_path, name, value):
    path = tmp_path / "talk.json"
    path.write_text(json.dumps({"messages": [], "params": {name: value}}))
    with pytest.raises(UsageError, match=name):
        load_conversation(path)


def test_values_without_end_are_refused_before_they_are_made():
    with pytest.raises(UsageError, match="too many values"):
        parse_conversations(f'[{{"role": "user", "content": "hi", "z": [{"1.5," * 10_000_001}0]}}]')


@pytest.mark.parametrize("field", ["content", "thinking", "name", "tools"])
def test_a_message_has_the_limit_of_a_file_that_goes_with_one(field):
    def read(size):
        message = {"role": "user", "content": "", field: "\U0001f600" * (size // 4)}
        return parse_conversations(json.dumps([{"role": "user"}, message], ensure_ascii=False))

    assert read(32_000_000)
    with pytest.raises(UsageError, match="message 2 is too large: 32,000,000 bytes"):
        read(32_000_004)


def test_a_system_prompt_has_a_limit_too():
    with pytest.raises(UsageError, match="the system prompt is too large"):
        parse_conversations(json.dumps({"system": "a" * 32_000_001, "messages": []}))
    with pytest.raises(UsageError, match="the system prompt is too large"):
        parse_conversations(json.dumps([{"role": "system", "content": "a" * 32_000_001}]))


def test_a_file_of_conversations_has_a_limit(tmp_path):
    path = tmp_path / "talk.json"
    with path.open("wb") as file:
        file.truncate(256_000_001)
    with pytest.raises(UsageError, match="256,000,000 is the limit"):
        load_conversation(path)


def test_a_folder_that_is_a_link_out_of_the_working_folder_is_not_followed(tmp_path, monkeypatch):
    (tmp_path / "clone" / "inside").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "clone" / "notes").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "clone" / "near").symlink_to("inside")
    monkeypatch.chdir(tmp_path / "clone")
    with pytest.raises(
        UsageError, match=r"notes/talk\.md lies behind a link that leads to .*elsewhere"
    ):
        save_conversation(Conversation(), Path("notes/talk.md"))
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (
        save_conversation(Conversation(), Path("near/talk.md"))
        == tmp_path / "clone" / "inside" / "talk.md"
    )
    assert save_conversation(Conversation(), tmp_path / "clone" / "notes" / "talk.md").exists()


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 5000])
def test_what_is_nested_too_deeply_is_said_so(text):
    with pytest.raises(UsageError, match="it is nested too deeply to be a conversation"):
        parse_conversations(text)


def test_counts_that_are_no_count_together_are_unknown():
    assert Usage(2**53, 0, 2**53).total_tokens is None
    assert Usage(2**52, 0, 2**52).total_tokens == 2**53


@pytest.mark.parametrize("wrong", ["1" + "0" * 40, "-1", "1.5", "NaN", "Infinity", "true"])
def test_counts_that_cannot_be_are_unknown(wrong):
    counts = f'"prompt_tokens": {wrong}, "cached_tokens": {wrong}, "completion_tokens": {wrong}'
    record = f'[{{"role": "assistant", "content": "hi", "usage": {{{counts}}}}}]'
    (found,) = parse_conversations(record)
    assert found.messages[0].usage == Usage()


@pytest.mark.parametrize("wrong", ["1" + "0" * 40, "-1", "NaN", "Infinity", "true"])
def test_times_that_cannot_be_are_unknown(wrong):
    times = f'{{"first_token_s": {wrong}, "total_s": {wrong}}}'
    (found,) = parse_conversations(f'[{{"role": "assistant", "content": "", "usage": {times}}}]')
    assert found.messages[0].usage == Usage()
    assert "NaN" not in to_json(found) + to_jsonl(found)
