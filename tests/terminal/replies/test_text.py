from __future__ import annotations

import json
from dataclasses import replace

import pytest

from glmcli.terminal.output import Output
from glmcli.terminal.phrases import (
    TimeLeft,
    clipped,
    end_note,
    progress_forms,
    progress_line,
    stats_line,
    status_row,
)
from glmcli.terminal.replies.json import JsonLinesView, RecordsView
from glmcli.terminal.replies.text import CodeView, StatusLine, TextView
from glmcli.types import Chunk, Message, Progress, Usage

REPLY = Message("assistant", "ab", finish_reason="stop", usage=Usage(10, 4, 3, 0.5, 1.5))


@pytest.fixture
def out(tmp_path):
    with (tmp_path / "out.txt").open("w") as file:
        output = Output(file)
        output.path = tmp_path / "out.txt"
        yield output


def test_text_holds_line_ends_back_until_something_follows(out):
    view = TextView(out)
    for text in ("a\n", "\n", "b", "\n\n"):
        view.show(Chunk(text))
    view.finish(REPLY)
    assert out.path.read_text() == "a\n\nb\n"


@pytest.mark.parametrize(("reason", "printed"), [("stop", "rm x\n"), ("cancelled", "")])
def test_code_of_a_reply_that_was_stopped_is_not_printed(out, reason, printed):
    view, text = CodeView(TextView(out), "last"), "words\n```sh\nrm x"
    view.show(Chunk(text))
    view.finish(Message("assistant", text, finish_reason=reason))
    assert out.path.read_text() == printed


def test_what_was_thinking_stays_in_a_pipe_and_the_answer_comes_apart(out):
    view = TextView(out)
    for chunk in (Chunk("hm\n"), Chunk("", "m", was_thinking=True), Chunk("Four.")):
        view.show(chunk)
    view.finish(REPLY)
    assert out.path.read_text() == "hm\n\nFour.\n"


def test_machines_are_told_what_was_thinking(out):
    chunks = Chunk("hm"), Chunk("Fo", "m", was_thinking=True), Chunk("ur.")
    view = JsonLinesView(out, dict)
    for chunk in chunks:
        view.show(chunk)
    lines = [json.loads(line) for line in out.path.read_text().splitlines()]
    assert [line["type"] for line in lines] == ["text", "was_thinking", "thinking", "text", "text"]


def test_records_of_what_was_thinking_begin_again(out):
    view = RecordsView(out)
    for chunk in (Chunk("hm"), Chunk("Fo", "m", was_thinking=True), Chunk("ur.")):
        view.show(chunk)
    view.finish(REPLY)
    texts = [json.loads(line)["text"] for line in out.path.read_text().splitlines()]
    assert texts == ["hm", "Fo", "Four."]


def test_text_in_a_pipe_is_left_raw(out):
    view = TextView(out)
    view.show(Chunk("\x1b[31m\u202e"))
    assert out.path.read_text() == "\x1b[31m\u202e"


def test_an_empty_reply_is_no_line(out):
    TextView(out).finish(Message("assistant", ""))
    assert out.path.read_text() == ""


def test_a_reply_that_was_stopped_before_its_first_word_writes_nothing(out):
    TextView(out).finish(Message("assistant", "", finish_reason="cancelled"))
    assert out.path.read_text() == ""


def test_a_reply_that_breaks_off_before_its_first_word_leaves_no_status_row(out, monkeypatch):
    monkeypatch.setattr(Output, "is_live", True)
    view = TextView(out, status=StatusLine(out))
    view.show(Chunk(progress=Progress("reading")))
    view.abandon()
    said = out.path.read_text()
    assert "reading the prompt" in said
    assert said.endswith("\x1b[K")


def test_thinking_goes_elsewhere(out, tmp_path):
    with (tmp_path / "err.txt").open("w") as file:
        view = TextView(out, Output(file), thinking="show")
        view.show(Chunk(thinking="hm"))
        view.show(Chunk("yes"))
        view.finish(REPLY)
    assert out.path.read_text() == "yes\n"
    assert (tmp_path / "err.txt").read_text() == "hm\n"


def test_jsonl_keeps_thinking_and_text_apart(out):
    view = JsonLinesView(out, lambda: {"model": "m"})
    view.show(Chunk("a", thinking="b"))
    view.show(Chunk())
    assert [json.loads(line) for line in out.path.read_text().splitlines()] == [
        {"type": "thinking", "delta": "b"},
        {"type": "text", "delta": "a"},
    ]


def records(out):
    return [json.loads(line) for line in out.path.read_text().splitlines()]


def test_records_count_tokens_that_show_nothing_yet(out):
    view = RecordsView(out)
    view.show(Chunk(progress=Progress("reading", 10, 10)))
    for text in ("", "", "a"):
        view.show(Chunk(text, tokens=1))
    view.show(Chunk("b", finish_reason="stop"))
    view.finish(REPLY)
    assert [record["text"] for record in records(out)] == ["", "", "ab"]
    assert [record["usage"]["total_tokens"] for record in records(out)] == [11, 12, 13]
    assert [record["finish_reason"] for record in records(out)] == [None, None, "stop"]


def test_records_of_a_reply_without_a_token_is_one(out):
    view = RecordsView(out)
    view.show(Chunk(finish_reason="stop"))
    view.finish(Message("assistant", "", finish_reason="stop", usage=Usage(10, 0, 0)))
    assert len(records(out)) == 1


def test_the_stats_line_says_what_is_known():
    line = stats_line(REPLY.usage, 8192)
    assert line == "3 tokens · first 0.50 s · 2.0 tok/s · cached 4 of 10 · window 13 of 8,192"
    assert stats_line(Usage(), None) == ""
    assert stats_line(Usage(completion_tokens=1), None) == "1 token"


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (None, "waiting for the model, 2 s"),
        (Progress("reading", 128, 512), "reading the prompt, 128 of 512 tokens, 2 s"),
        (Progress("loading", 1_000_000, 2_000_000, "bytes"), "loading the model, 1 MB of 2 MB"),
        (Progress("waiting", 2, unit="s"), "waiting, 2 s; the server may be busy"),
        (
            Progress("waiting", unit="s", note="lab:8000"),
            "waiting, 2 s; the server may be busy (lab:8000)",
        ),
        (
            Progress("waiting", note="another glm is fetching the model"),
            "waiting (another glm is fetching the model), 2 s",
        ),
        (Progress("stuck", 75, unit="s"), "the model has made no step for 75 s"),
    ],
)
def test_progress_is_said_in_words(progress, words):
    assert words in progress_line(progress, 2)


def test_a_narrow_row_has_the_part_and_the_time_that_is_left():
    forms = progress_forms(Progress("parts", 1, 9, note="part 2 of 7, 17 tokens"), 3.0, 126.0)
    assert forms == [
        "part 2 of 7, 17 tokens, about 126 s left",
        "part 2 of 7, about 126 s left",
    ]


def test_what_ended_a_reply_is_said_unless_it_ended_by_itself():
    assert end_note(REPLY) == ""
    assert "kept" in end_note(Message("assistant", "a", finish_reason="cancelled"))
    broken = Message("assistant", "a", finish_reason="interrupted")
    assert end_note(broken) == "interrupted; what arrived is kept"
    assert end_note(broken, commands=True).endswith("; /continue goes on")
    thought = replace(broken, text="", thinking="b")
    assert end_note(thought) == "interrupted while it was thinking"
    assert end_note(replace(broken, text="")) == "interrupted before the first word"
    cut = Message("assistant", "a", finish_reason="length", usage=Usage(10, 0, 6))
    assert end_note(cut, 17, commands=True) == "cut at the token limit; /continue goes on"
    assert end_note(cut, 17) == "cut at the token limit"
    assert "the window is full" in end_note(cut, 16)
    assert "the window is full" in end_note(cut, 16, 32)
    note = end_note(cut, 16, 16, commands=True)
    assert note == "cut: --window is 16; /reset starts a new conversation"
    assert end_note(Message("assistant", "", finish_reason="stop"))


def test_folded_thinking_is_shown_where_there_are_no_rows_to_fold_it_into(out, tmp_path):
    for thinking, wanted in (("fold", "hm\n"), ("hide", ""), ("show", "hm\n")):
        with (tmp_path / "err.txt").open("w") as file:
            view = TextView(out, Output(file), thinking=thinking)
            view.show(Chunk(thinking="hm"))
            view.finish(Message("assistant", "", thinking="hm", finish_reason="length"))
        assert (tmp_path / "err.txt").read_text() == wanted


@pytest.mark.parametrize(
    ("text", "thinking", "reason", "said"),
    [
        ("", "hm", "stop", "only thought"),
        ("", "hm", "length", "while it was thinking; /retry"),
        ("", "hm", "cancelled", "while it was thinking; /retry"),
        ("", "", "length", "before the first word"),
        ("a", "hm", "length", "/continue goes on"),
        ("a", "hm", "stop", ""),
    ],
)
def test_a_reply_without_text_is_explained(text, thinking, reason, said):
    note = end_note(
        Message("assistant", text, thinking=thinking, finish_reason=reason), commands=True
    )
    assert said in note
    assert bool(note) == bool(said)


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        (80, "reading the prompt, 128 of 512 tokens, 2 s · Ctrl-C stops"),
        (40, "reading the prompt, 2 s · Ctrl-C stops"),
        (25, "reading t… · Ctrl-C stops"),
    ],
)
def test_how_to_stop_is_said_in_a_narrow_window_too(columns, row):
    assert status_row(progress_forms(Progress("reading", 128, 512), 2), columns) == row


@pytest.mark.parametrize(
    ("line", "columns", "start", "end"),
    [
        ("some words", 10, "some words", "some words"),
        ("some words", 6, "some…", "…words"),
        ("天气怎么样", 6, "天气…", "…么样"),
        ("a\tb", 5, "a…", "…b"),
        ("some words", 0, "", ""),
    ],
)
def test_a_line_is_clipped_by_cells(line, columns, start, end):
    assert clipped(line, columns) == start
    assert clipped(line, columns, keep_end=True) == end


def test_a_reply_that_had_no_more_time_is_said_to_be_that_and_is_length_for_programs(out):
    cut = Message("assistant", "a", finish_reason="time")
    said = "cut at the time limit of the model (max_time)"
    assert end_note(cut, commands=True) == f"{said}; /continue goes on"
    assert end_note(replace(cut, text="", thinking="b")) == f"{said} while it was thinking"
    assert end_note(replace(cut, text="")) == f"{said} before the first word"
    JsonLinesView(out, dict).finish(cut)
    assert json.loads(out.path.read_text())["finish_reason"] == "length"


def test_the_rest_of_a_long_prompt_is_estimated_from_the_speed_so_far():
    time_left = TimeLeft()
    assert time_left.at(Progress("reading", 1000, 9000), 0.0) is None
    assert time_left.at(Progress("reading", 1100, 9000), 0.5) is None
    assert time_left.at(Progress("reading", 2000, 9000), 2.0) == 14.0
    assert time_left.at(Progress("reading", 2000, 9000), 3.0) == 13.0
    assert time_left.at(Progress("reading", 2000, 9000), 99.0) == 0.0
    assert time_left.at(Progress("loading", 10, 20), 100.0) is None
    assert time_left.at(Progress("waiting"), 100.0) is None


def test_an_estimate_stands_in_place_of_the_seconds_that_passed():
    forms = progress_forms(Progress("reading", 2000, 9000), 5, 14.2)
    assert forms == [
        "reading the prompt, 2,000 of 9,000 tokens, about 14 s left",
        "reading the prompt, about 14 s left",
    ]
    assert "5 s" in progress_forms(Progress("reading", 8900, 9000), 5, 0.4)[0]
