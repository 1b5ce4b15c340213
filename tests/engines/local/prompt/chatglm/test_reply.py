"""What ChatGLM writes, as a person reads it, and back again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmcli.engines.local.prompt.chatglm.reply import ReplyText, literal_call, split_reply
from tests.support.chatglm_data import expected

CALL = '```python\ntool_call(location="beijing", unit="celsius")\n```'
SHOWN_CALL = '```python\nget_weather(location="beijing", unit="celsius")\n```'
PART = "<|assistant|>"


def show(output: str, *, size: int = 1000, **kind: bool) -> str:
    """The shown text of a whole output that arrives `size` characters at a time."""
    reply = ReplyText(**kind)
    shown = ""
    for index, part in enumerate(output.split(PART)):
        shown += reply.next_part() if index else ""
        shown += "".join(reply.push(part[i : i + size]) for i in range(0, len(part), size))
    return shown + reply.flush()


RECORDED: list[dict[str, Any]] = [
    case for case in expected("tiny-6b-safetensors")["process_response"] if "exception" not in case
]
"""What the original code makes of outputs, where it does not raise."""


def parts_of(case: dict[str, Any]) -> list[dict[str, str]]:
    parts: list[dict[str, str]] = case["new_history"][len(case["history"]) :]
    return parts


def tools_of(case: dict[str, Any]) -> set[str]:
    return {tool["name"] for item in case["history"] for tool in item.get("tools", [])}


def cases(wanted: Callable[[dict[str, Any]], bool]) -> Any:
    chosen = [case for case in RECORDED if wanted(case)]
    assert chosen
    return pytest.mark.parametrize("case", chosen, ids=lambda case: repr(case["output"])[:40])


@cases(lambda case: isinstance(case["content"], str))
def test_a_text_reply_is_what_the_original_returns(case: dict[str, Any]) -> None:
    """Which is the last part only."""
    shown = show(case["output"])
    assert case["content"] == (shown.split("\n\n")[-1] if PART in case["output"] else shown)


@cases(lambda case: not case["output"].startswith(("line", "meta")) and "训" not in case["output"])
def test_the_history_has_the_parts_that_the_original_keeps(case: dict[str, Any]) -> None:
    """But for its faults: any first line is a tool's name, and the date's mark stays."""
    wanted = [(part["metadata"].strip(), part["content"].strip()) for part in parts_of(case)]
    if all(not name for name, _ in wanted):
        wanted = [("", "\n\n".join(text for _, text in wanted if text))]
    assert split_reply(show(case["output"]), tools_of(case)) == wanted


@cases(lambda case: isinstance(case["content"], dict) and "parameters" in case["content"])
def test_the_arguments_of_a_call_are_those_the_original_evaluates(case: dict[str, Any]) -> None:
    [*_, (name, text)] = split_reply(show(case["output"]), tools_of(case))
    assert name == case["content"]["name"]
    assert json.loads(json.dumps(literal_call(text))) == case["content"]["parameters"]


@pytest.mark.parametrize(
    "output",
    [
        "\n Hello, [[训练时间]] and\n\n  more  \n",
        "no newline at all",
        "你好！",
        f"\n Let me look.{PART} get_weather\n {CALL}",
        "interpreter\n ```python\nprint(1)\n```",
        "get_weather\n ```python\nother(1)\n```",
        "line one\nline two",
        "",
    ],
)
def test_chunks_of_any_size_join_to_the_same_text(output: str) -> None:
    assert {show(output, size=size) for size in (1, 2, 3, 7, 64)} == {show(output)}


@given(st.text(alphabet="ab \n[训练时间]`(\u3000", max_size=40), st.integers(1, 9))
def test_nothing_but_blanks_and_the_date_is_changed_in_plain_text(text: str, size: int) -> None:
    wanted = text.strip().replace("[[训练时间]]", "2023年")
    assert show("\n" + text, size=size) == wanted
    assert show(text, size=size, parts=False) == wanted


def test_the_newline_and_blank_that_a_reply_begins_with_are_never_shown() -> None:
    reply = ReplyText()
    assert [reply.push(text) for text in ("\n", " ", "我是", " Chat", "GLM", " ")] == [
        *("", "", "我是", " Chat", "GLM", ""),
    ]
    assert reply.flush() == ""


def test_blanks_inside_are_shown_when_more_follows() -> None:
    reply = ReplyText()
    assert reply.push("\n a  ") == "a"
    assert reply.push("\n\n  ") == ""
    assert reply.flush() == ""
    assert reply.push("d") == "  \n\n  d"


def test_the_date_of_training_is_held_back_until_it_is_whole() -> None:
    reply = ReplyText()
    deltas = [reply.push(text) for text in ("\n到", "[[", "训练", "时间", "]]", "。[[训", "x")]
    assert deltas == ["到", "", "", "", "2023年", "。", "[[训x"]


def test_half_a_date_at_the_end_is_shown() -> None:
    assert show("\n to [[训练") == "to [[训练"


def test_a_tool_call_is_shown_as_a_call_of_the_tool() -> None:
    shown = show(f"\n Let me look.{PART} get_weather\n {CALL}")
    assert shown == f"Let me look.\n\n{SHOWN_CALL}"
    assert split_reply(shown, {"get_weather"}) == [("", "Let me look."), ("get_weather", CALL)]


def test_code_that_calls_something_else_is_shown_as_text() -> None:
    output = "get_weather\n ```python\nother(a=1)\n```"
    assert show(output) == "get_weather\n```python\nother(a=1)\n```"


def test_a_tool_may_be_called_python() -> None:
    shown = show("python\n ```python\ntool_call(code='1')\n```")
    assert shown == "```python\npython(code='1')\n```"
    assert split_reply(shown, {"python"}) == [("python", "```python\ntool_call(code='1')\n```")]


def test_a_call_of_a_tool_that_was_not_offered_stays_text() -> None:
    assert split_reply(SHOWN_CALL, {"other"}) == [("", SHOWN_CALL)]


def test_a_call_is_found_after_other_code() -> None:
    text = f"First:\n\n```python\nx = 1\n\ny = 2\n```\n\n{SHOWN_CALL}"
    parts = split_reply(text, {"get_weather"})
    assert parts == [("", text.removesuffix(f"\n\n{SHOWN_CALL}")), ("get_weather", CALL)]


@pytest.mark.parametrize("length", range(len(CALL)))
def test_a_half_streamed_call_is_shown_as_text(length: int) -> None:
    shown = show(f"get_weather\n {CALL[:length]}", size=1)
    assert shown == f"get_weather\n{CALL[:length]}".strip()
    assert split_reply(shown, {"get_weather"}) in (
        [("get_weather", CALL[:length].strip())],
        [("", "get_weather")],
    )


@pytest.mark.parametrize(
    "code",
    [
        "tool_call(a=1",
        'tool_call("positional")',
        "tool_call(a=open('x'))",
        "tool_call(a=__import__('os').system('true'))",
        "tool_call(**{'a': 1})",
        "tool_call(a=1) or tool_call(b=2)",
        "tool_call(a=f'{1}')",
        "tool_call(a=1)\ntool_call(b=2)",
        "x = tool_call(a=1)",
        "tool_call(a=" + "(" * 500 + ")" * 500 + ")",
        "tool_call(a=\0)",
        "tool_call(a=1+)",
    ],
)
def test_a_call_that_is_not_literal_is_shown_as_text(code: str) -> None:
    block = f"```python\n{code}\n```"
    assert literal_call(block) is None
    assert show(f"get_weather\n {block}") == f"get_weather\n{block}"


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        ("tool_call()", {}),
        ("tool_call(a=-1, b='x', c=[1, 2], d={'k': None}, e=True)", None),
        ("tool_call(a=')')", {"a": ")"}),
        ("tool_call(pattern='\\d+')", {"pattern": "\\d+"}),
    ],
)
def test_a_literal_call_has_its_arguments(code: str, arguments: dict[str, Any] | None) -> None:
    wanted = {"a": -1, "b": "x", "c": [1, 2], "d": {"k": None}, "e": True}
    assert literal_call(f"```python\n{code}\n```") == (wanted if arguments is None else arguments)


def test_no_argument_is_ever_evaluated(tmp_path: Any) -> None:
    trace = tmp_path / "ran"
    for code in (f"open({str(trace)!r}, 'w')", f"[open({str(trace)!r}, 'w')][0]"):
        show(f"get_weather\n ```python\ntool_call(a={code})\n```")
    assert not trace.exists()


def test_an_interpreter_call_is_shown_as_it_comes_and_goes_back_as_one() -> None:
    reply = ReplyText()
    deltas = [reply.push(text) for text in ("inter", "preter", "\n", " ```", "python", "\n", "x")]
    assert deltas == ["", "", "", "", "", "", "interpreter\n```python\nx"]
    assert split_reply("interpreter\n```python\nx\n```", ()) == [
        ("interpreter", "```python\nx\n```")
    ]


def test_a_first_line_that_is_no_name_is_shown_at_once() -> None:
    reply = ReplyText()
    assert [reply.push(text) for text in ("Hello", ",", " I")] == ["", "Hello,", " I"]
    assert ReplyText().push("你好") == "你好"


def test_text_after_a_first_word_is_left_as_it_is() -> None:
    assert show("Steps\n  1. one\n  2. two\n") == "Steps\n  1. one\n  2. two"


def test_a_name_alone_is_text() -> None:
    assert show("get_weather") == "get_weather"
    assert split_reply("get_weather", {"get_weather"}) == [("", "get_weather")]


def test_a_reply_that_goes_on_keeps_the_blanks_it_starts_with() -> None:
    assert show(" two\nthree ", goes_on=True) == " two\nthree"


def test_parts_of_text_are_parted_by_a_blank_line() -> None:
    assert show(f"\n first{PART}\n second{PART}\n {PART}\n last") == "first\n\nsecond\n\nlast"


@given(
    st.lists(
        st.sampled_from(
            ["", "\n", " ", "a", "interpreter", "`", "```python\ntool_call(", ")", "\n```"]
        ),
        max_size=12,
    )
)
def test_shown_text_never_depends_on_where_it_was_cut(pieces: list[str]) -> None:
    whole = ReplyText()
    reply = ReplyText()
    joined = "".join(reply.push(piece) for piece in pieces) + reply.flush()
    assert joined == whole.push("".join(pieces)) + whole.flush()


def test_splitting_does_not_backtrack() -> None:
    """A pattern that does would take minutes."""
    text = "a\n\n" * 50_000 + "interpreter" * 1000
    assert split_reply(text, {f"tool_{number}" for number in range(20)}) == [("", text)]
