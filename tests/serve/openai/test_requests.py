import pytest

from glmcli.files import parse_json
from glmcli.serve.openai.requests import asked_chat, asked_size, asked_text
from glmcli.serve.refusal import Refusal
from glmcli.types import GenerationParams, Message

HELLO = [{"role": "user", "content": "hello"}]


def chat(**fields):
    return asked_chat({"messages": HELLO, **fields})


def refused(read, body) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(body)
    assert caught.value.status == 400
    return caught.value


def test_every_setting_is_passed_on() -> None:
    params = chat(
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        repetition_penalty=1.1,
        max_tokens=7,
        stop=["a", "b"],
        seed=3,
        chat_template_kwargs={"enable_thinking": False},
    ).params
    assert params == GenerationParams(7, 0.5, 0.9, 40, 1.1, ("a", "b"), 3, False)


def test_what_is_not_set_or_null_is_the_models_own() -> None:
    names = ("temperature", "top_p", "top_k", "max_tokens", "stop", "seed", "n", "stream", "user")
    asked = chat(**dict.fromkeys(names))
    assert asked.params == GenerationParams()
    assert (asked.streams, asked.ignored) == (False, ())


@pytest.mark.parametrize(
    ("sent", "name", "value"),
    [
        ({"max_completion_tokens": 5, "max_tokens": 9}, "max_tokens", 5),
        ({"repeat_penalty": 1.2}, "repetition_penalty", 1.2),
        ({"stop": "x"}, "stop", ("x",)),
        ({"stop": ["", "x"]}, "stop", ("x",)),
        ({"seed": -1}, "seed", None),
        ({"top_k": -1}, "top_k", 0),
        ({"top_p": 0, "temperature": 1}, "temperature", 0.0),
        ({"top_p": 0}, "top_p", None),
        ({"max_tokens": 5.0}, "max_tokens", 5),
        ({"seed": 1.0, "n": 1.0}, "seed", 1),
        ({"chat_template_kwargs": {"thinking": True}}, "think", True),
        ({"enable_thinking": False}, "think", False),
        ({"enable_thinking": True, "chat_template_kwargs": {"thinking": False}}, "think", False),
    ],
)
def test_other_spellings_mean_the_same(sent, name, value) -> None:
    assert getattr(chat(**sent).params, name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", "0.5"),
        ("temperature", -0.1),
        ("temperature", True),
        ("temperature", 1e999),
        ("top_p", 1.5),
        ("top_k", -2),
        ("top_k", 1.5),
        ("repetition_penalty", 0),
        ("max_tokens", 0),
        ("max_tokens", [1]),
        ("seed", 2**63),
        ("stop", 5),
        ("stop", ["a", 1]),
        ("stop", ["x"] * 65),
        ("stream", "yes"),
        ("stream_options", []),
        ("chat_template_kwargs", "x"),
        ("n", 2),
        ("n", "1"),
        ("logprobs", True),
        ("tools", [{"type": "function"}]),
        ("functions", [{}]),
        ("response_format", {"type": "json_object"}),
        ("logit_bias", {"1": 2}),
        ("modalities", ["audio"]),
        ("max_completion_tokens", 1.5),
        ("repeat_penalty", 0),
        ("temperature", 10**400),
        ("stop", 0),
        ("stop", False),
        ("stop", {}),
        ("tools", 0),
        ("functions", ""),
        ("logprobs", 0),
        ("guided_json", {}),
        ("guided_choice", ["a"]),
        ("guided_regex", "a"),
        ("min_tokens", 3),
        ("stop_token_ids", [1]),
        ("ignore_eos", True),
        ("skip_special_tokens", False),
        ("chat_template", "x"),
        ("frequency_penalty", 0.5),
        ("presence_penalty", -1),
        ("min_p", "0"),
        ("dry_multiplier", 0.8),
        ("tool_choice", "required"),
        ("tool_choice", {"type": "function", "function": {"name": "f"}}),
        ("enable_thinking", "no"),
        ("thinking", {"type": "disabled"}),
    ],
)
def test_a_value_that_cannot_be_followed_is_refused_by_its_name(name, value) -> None:
    assert refused(asked_chat, {"messages": HELLO, name: value}).param == name


def test_each_name_of_a_limit_is_checked() -> None:
    body = {"messages": HELLO, "max_completion_tokens": 5, "max_tokens": "x"}
    assert refused(asked_chat, body).param == "max_tokens"


def test_a_number_that_is_too_large_is_told_the_range() -> None:
    for name, reach in [("top_p", "from 0 to 1"), ("max_tokens", f"from 1 to {2**63 - 1}")]:
        message = refused(asked_chat, {"messages": HELLO, name: 10**400}).message
        assert reach in message
        assert len(message) < 100
    for text, told in [("9" * 6000, "a number that large"), ("NaN", "NaN"), ("true", "true")]:
        body = {"messages": HELLO, "max_tokens": parse_json(text, "x")}
        assert refused(asked_chat, body).message.endswith(f", not {told}")


def test_a_whole_number_of_any_size_is_passed_on_as_torch_takes_it() -> None:
    for name in ("temperature", "repetition_penalty"):
        value = getattr(chat(**{name: 10**30}).params, name)
        assert (value, type(value)) == (1e30, float)
    assert chat(seed=2**63 - 1).params.seed == 2**63 - 1


def test_fields_inside_objects_are_named_with_these() -> None:
    body = {"messages": HELLO, "chat_template_kwargs": {"enable_thinking": "no"}}
    assert refused(asked_chat, body).param == "chat_template_kwargs.enable_thinking"
    body = {"messages": HELLO, "stream_options": {"include_usage": 1}}
    assert refused(asked_chat, body).param == "stream_options.include_usage"


def test_what_asks_for_nothing_special_is_taken() -> None:
    asked = chat(
        n=1, tools=[], logprobs=False, response_format={"type": "text"}, modalities=["text"]
    )
    penalties = ("frequency_penalty", "presence_penalty", "min_p")
    assert chat(tool_choice="auto", **dict.fromkeys(penalties, 0)).ignored == ()
    assert chat(**dict.fromkeys((*penalties, "tool_choice", "enable_thinking"))).ignored == ()
    assert asked.messages == (Message("user", "hello"),)
    assert chat(tools=[{"type": "function"}], tool_choice="none").messages


def test_fields_that_change_nothing_are_told() -> None:
    asked = chat(user="me", foo=1, chat_template_kwargs={"bar": 1}, store=True)
    expected = {"user", "foo", "store", "chat_template_kwargs.bar"}
    assert expected <= {*asked.ignored}


def test_messages_of_every_role_and_form_are_read() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    body = {
        "messages": [
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "a"}], "name": "me"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "4", "tool_call_id": "1"},
            {"role": "assistant", "content": "<think>hm</think>b", "name": "you"},
            {"role": "user", "content": "c"},
        ]
    }
    assert [(each.role, each.text, each.name) for each in asked_chat(body).messages] == [
        ("system", "be brief", ""),
        ("user", "a", ""),
        ("assistant", "{}", "f"),
        ("tool", "4", ""),
        ("assistant", "b", ""),
        ("user", "c", ""),
    ]


@pytest.mark.parametrize("messages", [None, [], {}, "hello"])
def test_there_must_be_messages(messages) -> None:
    assert refused(asked_chat, {"messages": messages}).param == "messages"


@pytest.mark.parametrize(
    "message",
    [
        "hello",
        {"content": "x"},
        {"role": "nobody", "content": "x"},
        {"role": "raw", "content": "x"},
        {"role": 1, "content": "x"},
        {"role": "user", "content": 5},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
        {"role": "user", "content": [{"type": "text", "text": 5}]},
        {"role": "user", "content": ["x"]},
    ],
)
def test_a_message_that_cannot_be_read_is_named(message) -> None:
    refusal = refused(asked_chat, {"messages": [*HELLO, message]})
    assert (refusal.param or "").startswith("messages[1]")
    assert "glm reads" not in refusal.message


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"content": "x"}, ".role"),
        ({"role": "user", "content": 5}, ".content"),
        ({"role": "user", "content": [{"type": "text"}]}, ".content[0].text"),
        ({"role": "user", "content": [{"type": []}]}, ".content[0].type"),
        ({"role": "assistant", "tool_calls": "x"}, ".tool_calls"),
        ({"role": "assistant", "reasoning_content": 5}, ".reasoning_content"),
        *(({"role": role}, ".content") for role in ("system", "user", "assistant", "tool")),
        ({"role": "user", "content": None, "refusal": "no"}, ".content"),
        *(({"role": role, "content": "x", "name": 5}, ".name") for role in ("tool", "user")),
    ],
)
def test_of_a_message_the_field_is_named_that_is_wrong(message, field) -> None:
    assert refused(asked_chat, {"messages": [message]}).param == f"messages[0]{field}"


ASSISTANT = [*HELLO, {"role": "assistant", "content": "the"}]


@pytest.mark.parametrize("name", ["continue_final_message", "add_generation_prompt"])
def test_how_the_reply_begins_cannot_be_asked_otherwise_than_it_does(name) -> None:
    continues = name == "continue_final_message"
    for messages, done in ((ASSISTANT, continues), (HELLO, not continues)):
        assert asked_chat({"messages": messages, name: done}).ignored == ()
        for wrong in (not done, "yes", 1):
            assert refused(asked_chat, {"messages": messages, name: wrong}).param == name


@pytest.mark.parametrize("prompt", ["Once upon", ["Once upon"]])
def test_a_text_is_a_prompt_by_itself(prompt) -> None:
    asked = asked_text({"prompt": prompt})
    assert asked.messages == (Message("raw", "Once upon"),)
    assert asked.params.max_tokens == 16
    assert asked_text({"prompt": prompt, "max_tokens": 3}).params.max_tokens == 3


@pytest.mark.parametrize("prompt", [None, "", [], ["a", "b"], [1, 2], [[1]], {}])
def test_prompts_that_are_no_text_are_refused(prompt) -> None:
    assert refused(asked_text, {"prompt": prompt}).param == "prompt"


@pytest.mark.parametrize(
    ("value", "lack"), [(None, "missing"), ("", "empty"), ([], "empty"), ([""], "empty")]
)
def test_what_is_missing_or_empty_is_said_to_be(value, lack) -> None:
    for read in (asked_text, asked_size):
        assert refused(read, {"prompt": value}).message == f"prompt is {lack}"
    if value != [""]:
        assert refused(asked_chat, {"messages": value}).message == f"messages is {lack}"


def test_a_text_of_one_character_is_said_so() -> None:
    refusal = refused(asked_chat, {"messages": HELLO, "max_tokens": "4"})
    assert refusal.message.endswith("not a text of 1 character")


@pytest.mark.parametrize(("name", "value"), [("echo", True), ("suffix", "x"), ("best_of", 2)])
def test_of_a_text_too_nothing_is_left_out_silently(name, value) -> None:
    assert refused(asked_text, {"prompt": "x", name: value}).param == name


def test_messages_and_texts_can_be_counted() -> None:
    assert asked_size({"messages": HELLO}).messages == (Message("user", "hello"),)
    assert asked_size({"prompt": "hello"}).messages == (Message("raw", "hello"),)
    assert asked_size({"messages": HELLO, "enable_thinking": False}).params.think is False
    assert refused(asked_size, {}).param == "prompt"
