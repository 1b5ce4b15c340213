"""`glm ask --each` in a pipe: what is written, said and left out, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.shell import clean_env, command

ECHO = ("ask", "-m", "echo:")


def answers(done) -> list[dict]:
    return [json.loads(line) for line in done.out.splitlines()]


@pytest.fixture
def each(glm, tmp_path):
    """`each("one\ntwo", "--unordered")`: the command on a file of these lines."""

    def run(lines: str | bytes, *options: str, model: str = "echo:", name: str = "in", **env):
        data = lines.encode() if isinstance(lines, str) else lines
        (tmp_path / name).write_bytes(data)
        return glm("ask", "-m", model, "--each", name, *options, **env)

    return run


def test_each_line_is_answered_by_one_line_of_json(each):
    done = each("one\n\ntwo words\n")
    assert [(it["id"], it["text"], it["finish_reason"]) for it in answers(done)] == [
        (1, "one", "stop"),
        (3, "two words", "stop"),
    ]
    assert answers(done)[1]["usage"]["completion_tokens"] == 2
    assert list(answers(done)[0]) == ["id", "text", "usage", "finish_reason", "asked"]
    assert (done.err, done.code) == ("1 empty line skipped\n", 0)


def test_stdin_is_answered_line_by_line_as_it_comes(tmp_path):
    with subprocess.Popen(
        command(*ECHO, "--each", "-"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=clean_env(GLM_HOME=str(tmp_path)),
    ) as process:
        for word in (b"one", b"two"):
            process.stdin.write(word + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["text"] == word.decode()
        process.stdin.close()
        assert process.wait() == 0


def test_stdin_is_not_read_where_a_file_is_named(glm, tmp_path):
    (tmp_path / "in").write_text("one\n")
    done = glm(*ECHO, "--each", "in", stdin="two")
    assert [it["text"] for it in answers(done)] == ["one"]


def test_objects_have_ids_and_bad_lines_are_errors_in_their_place(each):
    lines = ['{"id": "a", "prompt": "one"}', "{broken", '{"id": "c", "prompt": "three four"}']
    done = each("\n".join(lines), "--max-tokens", "1")
    first, second, third = answers(done)
    assert (first["id"], first["text"], first["finish_reason"]) == ("a", "one", "stop")
    assert (second["id"], second["line"], second["error"]["code"]) == (None, 2, 2)
    assert set(second["error"]) == {"message", "hint", "code"}
    assert (third["text"], third["finish_reason"]) == ("three ", "length")
    assert done.code == 1
    assert done.err_lines[-2] == "glm: 1 of 3 lines has an error in place of an answer"


def test_the_name_of_a_file_says_that_its_lines_are_objects(each):
    assert each("words\n", name="in.jsonl").code == 2
    assert each("words\n", name="in.txt").code == 0


def test_a_line_that_is_too_long_for_the_window_is_an_error_and_the_next_is_answered(each):
    done = each("a b c d\ne\n", "--window", "3")
    long, short = answers(done)
    assert long["error"]["message"] == "the prompt needs 4 tokens, but --window is 3"
    assert long["error"]["code"] == 4
    assert "text" not in long
    assert short["text"] == "e"
    assert done.code == 1
    assert done.err_lines[-1] == "hint: each says what is wrong with its line: correct that"


def test_a_line_of_100_mb_is_an_error_and_takes_no_memory(glm):
    lines = b"one\n" + b"x" * 100_000_000 + b"\ntwo\n"
    done = glm(*ECHO, "--each", "-", stdin=lines)
    assert [it.get("text") for it in answers(done)] == ["one", None, "two"]
    assert answers(done)[1]["error"]["message"].startswith("line 2 is too large")


def test_bytes_that_are_no_text_are_an_error(each):
    done = each(b"a\xffb\na\0b\nok\n")
    assert [it.get("text") for it in answers(done)] == [None, None, "ok"]


def test_a_prompt_is_filled_and_its_fields_are_checked(each):
    done = each('{"id": 1, "de": "Hallo"}\n{"id": 2}\n', "--prompt", "Say {de}!")
    assert [it.get("text") for it in answers(done)] == ["Say Hallo!", None]
    assert "'de'" in answers(done)[1]["error"]["message"]


@pytest.mark.parametrize("lines", ["one\ntwo\n", '{"text": "one"}\n', "# two\n{}\n{}\n", "[{}]"])
def test_what_would_be_wrong_of_all_lines_is_told_once_before_the_model(each, lines):
    done = each(lines, "--prompt", "x {nope}", model="./nosuch")
    assert (done.out, done.code) == ("", 2)
    assert done.err_lines[1].startswith("hint: ")


@pytest.mark.parametrize("lines", ['{"id": 1, "q": "Hi"}\n' * 60, '"one"\n"two"\n'])
def test_lines_of_json_without_a_prompt_are_refused_before_the_model(each, lines):
    done = each(lines, "--skip-done", "out", model="./nosuch", name="in.jsonl")
    assert (done.out, done.code, len(done.err_lines)) == ("", 2, 2)
    assert done.err_lines[0].startswith("glm: no line ")


def test_what_belongs_to_all_lines_is_sent_with_each(each, glm, tmp_path):
    (tmp_path / "note.txt").write_text("a note")
    done = each("one\ntwo\n", "-a", "note.txt", "-s", "system words")
    for word, it in zip(("one", "two"), answers(done), strict=True):
        assert it["text"].startswith(word)
        assert "a note" in it["text"]
        assert it["usage"]["prompt_tokens"] == it["usage"]["completion_tokens"] + 2


def test_nothing_of_it_is_in_the_history(each, glm):
    each("one\n")
    assert json.loads(glm("history", "list", "--all", "--json").out) == []


def test_ids_that_several_lines_have_and_fields_that_nothing_reads_are_said(each):
    lines = '{"id": 1, "prompt": "a", "x": 1}\n{"id": "1", "prompt": "b"}\n{"id": 1, "prompt": "c"}'
    done = each(lines)
    assert [it["text"] for it in answers(done)] == ["a", "b", "c"]
    assert done.err_lines == [
        "1 id stands on several lines: 1",
        "1 field is not read: x; --prompt can send it",
    ]
    assert each(lines, "-q").err == ""


@pytest.mark.parametrize("data", ["", "\n \n"])
def test_a_file_without_lines_is_no_error_and_opens_no_model(each, data):
    done = each(data, model="./nosuch")
    assert (done.out, done.code) == ("", 0)
    assert "in has no lines" in done.err


def test_a_model_that_cannot_be_opened_is_the_error_of_all_lines(each):
    done = each("one\n", model="./nosuch")
    assert (done.out, done.code) == ("", 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-c",), "-c and --each do not go together"),
        (("--resume=",), "--resume and --each do not go together"),
        (("-x",), "-x and --each do not go together"),
        (("--code", "1"), "--code and --each do not go together"),
        (("--long", "map"), "--long and --each do not go together"),
        (("-f", "records"), "-f records and --each do not go together"),
        (("-f", "text"), "-f text and --each do not go together"),
        (("--context", "summarise"), "--context summarise and --each do not go together"),
        (("words",), "with --each the lines are the prompts"),
        (("--prompt", "same"), "--prompt names no field, so that every line would ask the same"),
        (("--each", "in"), "--each takes one file, not 2"),
        (("--skip-done", "a", "--skip-done", "b"), "--skip-done takes one file, not 2"),
        (("--skip-done", "in"), "in is the file with the prompts"),
        (("--skip-done", "."), ". cannot be written: Is a directory"),
    ],
)
def test_what_says_nothing_of_many_lines_is_refused_with_a_hint(each, options, message):
    done = each("one\n", *options)
    assert (done.out, done.code, done.err_lines[0]) == ("", 2, f"glm: {message}")
    assert done.err_lines[1].startswith("hint: ")


@pytest.mark.parametrize(
    "typed", [(*ECHO, "--each", "in"), (*ECHO, "--each", "-"), ("chat", "-m", "echo:")]
)
def test_answers_are_not_added_to_the_file_with_the_prompts(tmp_path, typed):
    path = tmp_path / "in"
    path.write_text("one\n")
    with path.open("rb") as prompts, path.open("ab") as answers:
        done = subprocess.run(
            command(*typed),
            stdin=prompts,
            stdout=answers,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env=clean_env(GLM_HOME=str(tmp_path)),
            timeout=20,
        )
    assert done.stderr.startswith(b"glm: stdout is the file with the prompts\nhint: ")
    assert (path.read_text(), done.returncode) == ("one\n", 2)


@pytest.mark.skipif(sys.platform != "linux", reason="has no /proc")
def test_a_file_that_nothing_can_be_added_to_is_told(each):
    done = each("one\n", "--skip-done", "/proc/self/comm")
    assert (done.out, done.code) == ("", 2)
    assert "/proc/self/comm cannot be written: Invalid argument" in done.err


@pytest.mark.parametrize("options", [("-a", "-"), ("--messages", "-"), ("--no-stdin",)])
def test_stdin_is_one_thing(glm, options):
    done = glm(*ECHO, "--each", "-", *options, stdin="one")
    assert (done.out, done.code) == ("", 2)
    assert "and --each - do not go together" in done.err


@pytest.mark.parametrize(
    "options", [("--prompt", "{text}"), ("--unordered",), ("--parallel", "2"), ("--skip-done", "x")]
)
def test_its_options_are_nothing_without_it(glm, options):
    done = glm(*ECHO, "hello", *options)
    assert (done.out, done.code) == ("", 2)
    assert done.err_lines[0] == f"glm: {options[0]} goes with --each"


def test_many_lines_at_once_are_for_servers(each):
    done = each("one\n", "--parallel", "2", model="smollm2")
    assert (done.code, done.out) == (2, "")
    assert "--parallel is for servers" in done.err


def test_answers_are_in_order_unless_that_does_not_matter(each):
    lines = "one two three four five six\nseven\neight\n"
    slow = {"model": "echo:delay=0.05"}
    assert [it["id"] for it in answers(each(lines, "--parallel", "3", **slow))] == [1, 2, 3]
    done = each(lines, "--parallel", "3", "--unordered", **slow)
    assert [it["id"] for it in answers(done)][-1] == 1


def test_lines_that_are_asked_at_once_take_the_time_of_one(each):
    started = time.monotonic()
    done = each("one\n" * 20, "--parallel", "20", model="echo:delay=0.4")
    assert len(answers(done)) == 20
    assert time.monotonic() - started < 20 * 0.4 / 2


def test_a_second_run_asks_what_the_first_has_not_answered(each, tmp_path):
    lines = '{"id": "a", "prompt": "one"}\n{"id": "b", "prompt": 2}\n{"id": "c", "prompt": "three"}'
    done = each(lines, "--skip-done", "out")
    assert (done.out, done.code) == ("", 1)
    assert done.err_lines[0] == "2 answers added to out"
    mended = lines.replace("2}", '"two"}')
    done = each(mended, "--skip-done", "out")
    assert (done.out, done.code) == ("", 0)
    assert done.err_lines == ["1 answer added to out", "2 lines skipped: out answers them"]
    written = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [(it["id"], it.get("text")) for it in written] == [
        ("a", "one"),
        ("b", None),
        ("c", "three"),
        ("b", "two"),
    ]


OLD = '{"id": 1, "text": "one"}\n{"id": 2, "text": "two"}\n'
"""Answers that do not say what was asked."""


def test_no_model_is_opened_where_nothing_is_left(each, tmp_path):
    (tmp_path / "out").write_text(OLD)
    assert each("one\ntwo\n", "--skip-done", "out", model="./nosuch").code == 0


@pytest.mark.parametrize(
    ("options", "more"),
    [
        (("--prompt", "2: {text}"), {}),
        (("-s", "other words"), {}),
        (("--temperature", "0.5"), {}),
        ((), {"model": "echo:delay=0"}),
    ],
)
def test_what_is_asked_in_another_way_is_not_done(each, tmp_path, options, more):
    each("one\ntwo\n", "--skip-done", "out", "--prompt", "1: {text}")
    options = options if "--prompt" in options else ("--prompt", "1: {text}", *options)
    done = each("one\ntwo\nthree\n", "--skip-done", "out", *options, **more)
    assert done.err_lines[0].startswith("out answers other questions under the same ids: ")
    assert done.err_lines[1:] == ["3 answers added to out"]
    again = each("one\ntwo\nthree\n", "--skip-done", "out", *options, **more)
    assert again.err_lines == ["3 lines skipped: out answers them"]
    first = each("one\n", "--skip-done", "out", "--prompt", "1: {text}")
    assert first.err_lines == ["1 line skipped: out answers it"]


def test_lines_without_ids_that_have_moved_are_not_taken_for_those_that_were_there(each, tmp_path):
    each("one\ntwo\n", "--skip-done", "out")
    done = each("zero\none\ntwo\n", "--skip-done", "out")
    assert done.err_lines[0].startswith("out answers other questions under the same ids: ")
    assert done.err_lines[1:] == ["3 answers added to out"]
    written = map(json.loads, (tmp_path / "out").read_text().splitlines())
    last = {it["id"]: it["text"] for it in written}
    assert last == {1: "zero", 2: "one", 3: "two"}


def test_lines_that_are_found_later_to_be_other_ones_are_told_at_the_end(each, tmp_path):
    each("one\ntwo\n", "--skip-done", "out")
    lines = '{"id": 7, "prompt": "new"}\n{"id": 2, "prompt": "other"}\n'
    assert each(lines, "--skip-done", "out").err_lines == [
        "2 answers added to out",
        "1 line asked again: out has an answer to another question under its id",
    ]


def test_an_answer_that_does_not_say_what_was_asked_counts_by_its_id_and_that_is_said(
    each, tmp_path
):
    (tmp_path / "out").write_text(OLD)
    done = each("other\nwords\nthree\n", "--skip-done", "out")
    assert done.err_lines == [
        "1 answer added to out",
        "2 lines skipped: out answers them",
        "2 of them by the id alone: out does not say what was asked",
    ]


def test_one_answer_is_for_one_line_where_several_are_the_same(each):
    each('{"id": 1, "prompt": "a"}\n{"id": 1, "prompt": "b"}', "--skip-done", "out")
    lines = '{"id": 1, "prompt": "b"}\n{"id": 1, "prompt": "b"}\n{"id": 1, "prompt": "a"}'
    done = each(lines, "--skip-done", "out", "-q")
    assert (done.err, done.code) == ("", 0)
    assert "3 lines skipped" in each(lines, "--skip-done", "out").err


ONE = b'{"id": 1, "text": "one"}\n'


@pytest.mark.parametrize(
    "torn", [b"{", b'{"id": 2, "text": "\xe4', b'{"id": 2, "text": ["', b"\0" * 9, b'{"id": 2,\0\0']
)
def test_an_answer_that_a_killed_run_left_torn_is_taken_out_and_told(each, tmp_path, torn):
    (tmp_path / "out").write_bytes(ONE + torn)
    done = each("one\ntwo\n", "--skip-done", "out")
    assert done.err_lines[0] == "the last answer in out broke off: it is taken out"
    assert "no answer" not in done.err
    lines = (tmp_path / "out").read_text().splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["one", "two"]


WORDS, TWO = b"words of a person", b'{"id": 2, "text": "two"}'
DEEP = b'{"id": 2, "text": ' + b"[" * 99 + b"]" * 99 + b"}"


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (WORDS, "is no answer"),
        (TWO, "2 lines skipped"),
        (TWO + b" " + TWO, "is no answer"),
        (TWO + b" " + TWO[:-1], "is no answer"),
        (TWO + b",", "is no answer"),
        (b'{"id": 2 "text": "two"', "is no answer"),
        (b'{"id": 2, "\0\0": "two"', "is no answer"),
        (DEEP, "is no answer"),
    ],
)
def test_a_last_line_that_is_no_torn_answer_is_ended(each, tmp_path, last, said):
    (tmp_path / "out").write_bytes(ONE + last)
    done = each("one\ntwo\nthree", "--skip-done", "out")
    assert said in done.err
    assert "broke off" not in done.err
    lines = (tmp_path / "out").read_bytes().splitlines(keepends=True)
    assert lines[:2] == [ONE, last + b"\n"]
    assert json.loads(lines[-1])["text"] == "three"


def test_zeros_behind_a_whole_answer_are_taken_out_and_it_counts(each, tmp_path):
    (tmp_path / "out").write_bytes(ONE + TWO + b"\0" * 9)
    done = each("one\ntwo\nthree", "--skip-done", "out")
    assert done.err_lines[:2] == ["1 answer added to out", "2 lines skipped: out answers them"]
    assert (tmp_path / "out").read_bytes().startswith(ONE + TWO + b"\n{")


def test_two_runs_do_not_write_one_file(each, tmp_path):
    (tmp_path / "slow").write_text("one\n")
    arguments = ("ask", "-m", "echo:load=30", "--each", "slow", "--skip-done", "out")
    with subprocess.Popen(
        command(*arguments),
        cwd=tmp_path,
        env=clean_env(GLM_HOME=str(tmp_path)),
        stdin=subprocess.DEVNULL,
    ) as process:
        while not (tmp_path / "out").exists():
            time.sleep(0.01)
        time.sleep(0.1)
        done = each("one\n", "--skip-done", "out")
        process.kill()
    assert (done.code, done.err_lines[0]) == (2, "glm: another run is writing to out")


@pytest.mark.parametrize("signum", [0, signal.SIGINT])
@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_file_that_goes_meanwhile_is_told(tmp_path, signum, is_replaced):
    path = tmp_path / "out"
    with subprocess.Popen(
        command("ask", "-m", "echo:delay=0.1", "--each", "-", "--skip-done", "out"),
        cwd=tmp_path,
        env=clean_env(GLM_HOME=str(tmp_path)),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdin.write(b"one\n")
        process.stdin.flush()
        while not path.exists() or not path.read_bytes():
            time.sleep(0.05)
        path.unlink()
        if is_replaced:
            path.write_bytes(b"")
        if signum:
            process.send_signal(signum)
        _, told = process.communicate(timeout=60)
    assert told.startswith(b"glm: out was removed or replaced: it does not hold the answers\n")
    assert process.returncode == 1


def test_a_full_disk_and_a_closed_pipe_end_it_as_everywhere(tmp_path):
    (tmp_path / "in").write_text("one\n" * 500)
    env = clean_env(GLM_HOME=str(tmp_path))
    line = command(*ECHO, "--each", "in")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            line, cwd=tmp_path, env=env, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == 1
    assert done.stderr.startswith("glm: the output cannot be written: No space left on device")
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        line, cwd=tmp_path, env=env, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, "")


@pytest.mark.parametrize("options", [(), ("--parallel", "3")])
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_what_was_answered_and_writes_no_half_line(tmp_path, options, signum):
    (tmp_path / "in").write_text("one two three\n" * 200)
    line = command("ask", "-m", "echo:delay=0.03", "--each", "in", *options)
    with subprocess.Popen(
        line,
        cwd=tmp_path,
        env=clean_env(GLM_HOME=str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        first = process.stdout.readline()
        process.send_signal(signum)
        rest = process.stdout.read()
        told = process.stderr.read()
        assert process.wait() == -signum
    lines = (first + rest).splitlines()
    assert told.startswith(f"stopped: {len(lines)} answer")
    assert told.endswith(
        "; --skip-done OUT adds answers to OUT, and asks only what it does not answer\n"
    )
    assert 1 <= len(lines) < 200
    for item in map(json.loads, lines):
        assert (item["text"], item["finish_reason"]) == ("one two three", "stop")


def test_stats_tell_what_all_lines_cost(each):
    done = each("one\ntwo words\n", "--stats")
    assert "2 answers in" in done.err
    assert "read 3 tokens, 0 of them cached, wrote 3" in done.err


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_the_form_can_be_said(each, form):
    assert [it["text"] for it in answers(each("one\n", "-f", form))] == ["one"]
