"""`--long map` and the offer of it: what is asked, printed, said and kept; pipes and terminals."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time

import pytest

from tests.support.fake_openai import delta
from tests.support.loopback import Loopback
from tests.support.serving import soon
from tests.support.shell import clean_env, command, run_glm
from tests.support.term import Term

SMALL = ("-m", "echo:window=400")
MAPPED = ("ask", "-m", "echo:window=400,delay=0.03", "--long", "map")
JOINED = "stdin goes with the question"
TEXT = "\n\n".join(f"Paragraph {n} has eight words and no more." for n in range(100))


@pytest.fixture
def here(tmp_path):
    (tmp_path / "book.txt").write_text(TEXT)
    return tmp_path


def test_a_pipe_is_told_of_the_option(glm):
    done = glm("ask", *SMALL, "summarise", stdin=TEXT)
    assert (done.out, done.code) == ("", 4)
    assert done.err_lines[0].startswith(JOINED)
    assert done.err_lines[2].startswith("hint: --long map answers a text from stdin or -a FILE")


@pytest.mark.parametrize("option", [(), ("--window", "400")])
def test_a_text_in_the_argument_is_told_to_be_there(glm, option):
    done = glm("ask", *SMALL, *option, "--long", "map", TEXT)
    assert (done.out, done.code) == ("", 4)
    line = (
        "hint: the text is in the argument: --long map answers one from stdin or -a FILE in parts"
    )
    assert done.err_lines[-1] == line


def test_a_conversation_that_is_too_long_is_not_said_to_be_in_the_argument(glm, tmp_path):
    said = [{"role": "user", "content": TEXT}]
    (tmp_path / "m.json").write_text(json.dumps(said))
    done = glm("ask", *SMALL, "--long", "map", "--messages", "m.json", cwd=tmp_path)
    assert done.code == 4
    assert "in the argument" not in done.err


def test_a_long_text_is_answered_and_the_question_is_kept_as_typed(glm):
    done = glm("ask", *SMALL, "--long", "map", "summarise", stdin=TEXT)
    assert done.code == 0
    assert done.out.startswith("summarise\n\nNotes on the text, part by part:\n\n")
    assert done.err_lines[0].startswith(JOINED)
    assert done.err_lines[1] == "longer than the window: made from 3 parts in 2 levels"
    assert "part 1" not in done.err
    (kept,) = json.loads(glm("history", "list", "--json").out)
    shown = glm("history", "show", kept["id"], "--json").out
    question, answer = json.loads(shown)["messages"]
    assert question["content"] == "summarise"
    assert answer["content"] == done.out.rstrip("\n")
    assert kept["title"] == "summarise"
    assert glm("history", "search", "Paragraph 99").out == ""
    again = glm("ask", *SMALL, "-c", "thanks")
    assert (again.out, again.code) == ("thanks\n", 0)


def test_a_text_that_fits_is_sent_whole(glm):
    done = glm("ask", "-m", "echo:", "--long", "map", "summarise", stdin="a b c")
    assert (done.out, done.code) == ("summarise\n\na b c\n", 0)
    assert [JOINED in line for line in done.err_lines] == [True]


def test_a_text_that_leaves_no_room_for_the_reply_is_answered_in_parts(glm):
    text = "word " * 380
    done = glm("ask", *SMALL, "--long", "map", "summarise", stdin=text)
    assert "made from 2 parts" in done.err
    assert "made from" not in glm("ask", *SMALL, "summarise", stdin=text).err


def test_json_says_how_it_was_made(glm):
    done = glm("ask", *SMALL, "--long", "map", "-f", "json", "summarise", stdin=TEXT)
    made = json.loads(done.out)["long"]
    assert (made["parts"], made["levels"]) == (3, 2)
    assert made["prompt_tokens"] > 800
    assert "long" not in json.loads(glm("ask", *SMALL, "-f", "json", "hi").out)


def test_stats_say_what_all_parts_cost_and_q_hides_that_only(glm):
    done = glm("ask", *SMALL, "--long", "map", "--stats", "summarise", stdin=TEXT)
    assert "3 parts: read " in done.err
    done = glm("ask", *SMALL, "--long", "map", "--stats", "-q", "summarise", stdin=TEXT)
    assert "3 parts: read " not in done.err
    assert "made from 3 parts" in done.err


def test_an_error_in_jsonl_is_told_once_and_not_for_what_was_tried_first(glm):
    done = glm("ask", *SMALL, "--long", "map", "-f", "jsonl", "summarise", stdin=TEXT)
    events = [json.loads(line)["type"] for line in done.out.splitlines()]
    assert events.count("error") == 0
    assert events[-1] == "done"
    done = glm("ask", *SMALL, "--long", "map", "-f", "jsonl", "why " * 300, stdin=TEXT)
    events = [json.loads(line) for line in done.out.splitlines()]
    assert [each["type"] for each in events] == ["error"]
    assert "no room for answers" in events[0]["error"]
    assert done.code == 4


def test_files_keep_their_headers_in_the_history(glm, here):
    done = glm("ask", *SMALL, "--long", "map", "summarise", "-a", "book.txt")
    assert done.code == 0
    (kept,) = json.loads(glm("history", "list", "--json").out)
    question, _ = json.loads(glm("history", "show", kept["id"], "--json").out)["messages"]
    assert question["content"].startswith(f"summarise\n\nFile: {here / 'book.txt'} (")
    assert "Paragraph 99" not in question["content"]


def test_without_a_question_there_is_nothing_to_do(glm):
    done = glm("ask", *SMALL, "--long", "map", stdin=TEXT)
    assert done.code == 4
    assert 'glm ask --long map "summarise this" < FILE' in done.err_lines[1]
    done = glm("ask", *SMALL, "--long", "map", "-s", "Summarise.", stdin=TEXT)
    assert done.code == 0
    (kept,) = [each for each in json.loads(glm("history", "list", "--json").out) if each["turns"]]
    assert kept["title"].startswith("Paragraph 0 has eight")


def test_a_role_s_words_stand_around_each_part(glm, here):
    roles = here / "home" / "roles"
    roles.mkdir(parents=True)
    (roles / "short.md").write_text("In one line: $input")
    done = glm("ask", *SMALL, "--long", "map", "--role", "short", "sum up", stdin=TEXT)
    assert done.out.startswith("In one line: sum up\n\nNotes on the text")


def test_what_was_refused_is_not_in_an_ask_that_goes_on(glm):
    glm("ask", *SMALL, "hello")
    done = glm("ask", *SMALL, "-c", "--long", "map", "summarise", stdin=TEXT)
    assert done.code == 0
    (kept,) = json.loads(glm("history", "list", "--json").out)
    said = json.loads(glm("history", "show", kept["id"], "--json").out)["messages"]
    assert [each["content"] for each in said][:3] == ["hello", "hello", "summarise"]
    assert glm("history", "search", "Paragraph 99").out == ""


@pytest.mark.pty
@pytest.mark.parametrize("named", ["< book.txt", "-a book.txt"])
def test_on_a_terminal_it_is_offered(here, named):
    with Term("ask", *SMALL, home=here, shell=True, cols=100) as term:
        term.at_shell().type(f"{term.command_line} summarise {named}\r").see("[y/N]")
        term.type("y\r").see("made from 3 parts in 2 levels").at_shell()
        term.type("stty -a\r").see(" icanon ").see(" echo ")


@pytest.mark.pty
@pytest.mark.parametrize(("typed", "code"), [("n\r", 4), ("\x04", 4), ("\x03", -signal.SIGINT)])
def test_an_offer_that_is_declined_ends_as_it_would_in_a_pipe(here, typed, code):
    with Term("ask", *SMALL, "summarise", "-a", "book.txt", home=here, cols=100) as term:
        term.see("[y/N]").type(typed)
        assert term.ended() == code
        assert ("hint: --long map" in term.text()) == (code == 4)


@pytest.mark.pty
@pytest.mark.parametrize(
    ("options", "is_told"), [((), True), (("-f", "json"), True), (("-q", "-f", "json"), False)]
)
def test_progress_is_told_on_a_terminal_beside_a_file_and_q_silences_it(here, options, is_told):
    slow = ("-m", "echo:window=400,delay=0.01")
    arguments = ("ask", *slow, "--long", "map", *options, "summarise", "-a", "book.txt")
    with Term(*arguments, home=here, shell=True, cols=100) as term:
        term.at_shell().type(f"{term.command_line} > out\r").see("made from 3 parts").at_shell()
        assert ("part 2 of 3" in term.raw) is is_told
        assert "part 2 of 3" not in term.text()
        assert "Notes on the text" in (here / "out").read_text()


@pytest.mark.pty
def test_q_silences_the_parts_on_a_terminal(here):
    slow = ("-m", "echo:window=400,delay=0.01")
    arguments = ("ask", *slow, "-q", "--long", "map", "summarise", "-a", "book.txt")
    with Term(*arguments, home=here, cols=100) as term:
        term.see("made from 3 parts")
        assert term.ended() == 0
        assert "part 2 of 3" not in term.raw


@pytest.mark.pty
def test_ctrl_c_in_a_part_ends_by_the_signal_and_progress_leaves_nothing(here):
    slow = ("-m", "echo:window=400,delay=0.05")
    arguments = ("ask", *slow, "--long", "map", "summarise", "-a", "book.txt")
    with Term(*arguments, home=here, cols=100) as term:
        term.see("part 2 of 3").type("\x03")
        assert term.ended() == -signal.SIGINT
        text = term.text()
        assert text.count("part 2 of 3") == 1
        assert "made from" not in text
        said = r"stopped in part 2 of 3; the answer to 1 part is kept: glm history show (\w+)"
        (name,) = re.findall(said, text)
    shown = run_glm("history", "show", name, "--json", cwd=here, GLM_HOME=str(here))
    assert_kept(shown, "cancelled")


def slow(*more: str) -> tuple[str, ...]:
    return (*MAPPED, *more, "summarise", "-a", "book.txt")


def assert_kept(shown, reason):
    """The history has the answer to the first part, and what there is of the second one."""
    _, reply = json.loads(shown.out)["messages"]
    assert reply["finish_reason"] == reason
    assert reply["content"].startswith("Part 1 of 3:\n\nsummarise\n\nBe brief.")
    assert "\n\nPart 2 of 3:\n\nsummarise" in reply["content"]


@pytest.mark.parametrize(
    ("signum", "reason"),
    [
        (signal.SIGINT, "cancelled"),
        (signal.SIGTERM, "interrupted"),
        (signal.SIGKILL, "interrupted"),
    ],
)
def test_a_signal_in_a_part_keeps_what_was_answered(here, glm, signum, reason):
    program = subprocess.Popen(
        command(*slow()),
        cwd=here,
        env=clean_env(GLM_HOME=str(here / "home")),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def written() -> str:
        found = glm("history", "list", "--all").out.split("\t")[0]
        return glm("history", "show", found).out if found else ""

    assert soon(lambda: "Part 2 of 3:" in written())
    program.send_signal(signum)
    out, err = program.communicate(timeout=60)
    assert (out, program.returncode) == ("", -signum)
    name = glm("history", "list", "--all").out.split("\t")[0]
    if signum != signal.SIGKILL:
        assert err.splitlines()[-1].startswith("stopped in part ")
        assert err.splitlines()[-1].endswith(f"kept: glm history show {name}")
    assert_kept(glm("history", "show", name, "--json"), reason)


def test_a_closed_pipe_in_the_last_answer_keeps_the_answers_to_the_parts(here, glm):
    program = subprocess.Popen(
        command(*slow()),
        cwd=here,
        env=clean_env(GLM_HOME=str(here / "home")),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert program.stdout.read(9) == b"summarise"
    program.stdout.close()
    err = program.stderr.read().decode()
    program.stderr.close()
    assert program.wait(timeout=60) == -signal.SIGPIPE
    assert "stopped while the answers were combined; " in err
    said = r"the answers to 3 parts are kept: glm history show (\w+)"
    (name,) = re.findall(said, err)
    shown = glm("history", "show", name).out
    assert "\n\nPart 3 of 3:\n\n" in shown
    assert "\n\nAll parts combined:\n\nsummarise" in shown


def test_without_a_history_what_was_answered_is_on_stderr(here):
    with subprocess.Popen(
        command(*slow("--no-save")),
        cwd=here,
        env=clean_env(GLM_HOME=str(here / "home")),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        time.sleep(3)
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=60)
    assert (out, program.returncode) == ("", -signal.SIGINT)
    assert "since the history does not keep it:\nPart 1 of 3:\n\nsummarise" in err


def test_a_server_that_fails_in_a_later_part_leaves_the_answers_before_it(here, glm):
    def script(connection):
        request = connection.requests[-1]
        if b"Part 3 of" in request:
            connection.reset()
        answer = {"data": [{"id": "m", "max_model_len": 400}]}
        body = json.dumps(answer).encode()
        if request.startswith(b"POST"):
            ends = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
            body = b"".join(b"data: %s\n\n" % json.dumps(it).encode() for it in (delta("so"), ends))
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    with Loopback(script) as server:
        done = glm(
            "ask",
            "-m",
            "openai:m",
            "--base-url",
            f"{server.url}/v1",
            "--window",
            "400",
            "--long",
            "map",
            "sum",
            "-a",
            "book.txt",
        )
    assert done.code == 6
    assert "the answers to 2 parts are kept: glm history show " in done.err
    name = done.err.partition("glm history show ")[2].split()[0]
    shown = glm("history", "show", name).out
    assert re.search(r"Part 1 of \d:\n\nso\n\nPart 2 of \d:\n\nso\n", shown)
