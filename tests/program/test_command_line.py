from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from wcwidth import wcswidth

from tests.support.shell import clean_env, command, run_glm

ECHO = ("-m", "echo:")
HEAVY = {"torch", "transformers", "rich", "prompt_toolkit", "httpx", "sqlite3"}


def test_help_imports_nothing_heavy(tmp_path):
    probe = (
        "import sys; from glmcli.cli import run; code = run(['--help'])\n"
        "print('LOADED', *sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    loaded = set(done.stdout.split("LOADED", 1)[1].split())
    assert not loaded & HEAVY
    assert "chat" in done.stdout.split("LOADED")[0]


def test_a_question_for_a_server_imports_no_libraries_of_models_and_screens(tmp_path):
    probe = (
        "import sys; from glmcli.cli import run\n"
        "run(['ask', '-m', 'openai:x', '--base-url', 'http://127.0.0.1:9', 'hi'])\n"
        "print('LOADED', *sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    loaded = set(done.stdout.split("LOADED", 1)[1].split())
    assert "httpx" in loaded
    assert not loaded & {"torch", "transformers", "rich", "pygments", "prompt_toolkit"}


@pytest.mark.parametrize("typed", [["why is the sky blue"], ["why", "is", "the", "sky", "blue"]])
def test_a_question_without_a_command_is_shown_the_way(glm, typed):
    done = glm(*typed)
    assert done.code == 2
    assert done.err_lines[1] == ("hint: a question goes behind ask: glm ask 'why is the sky blue'")


@pytest.mark.parametrize("typed", [["cht"], ["cht", "-m", "echo:"], ["histry", "list"]])
def test_a_wrong_command_is_not_taken_for_a_question(glm, typed):
    done = glm(*typed)
    assert done.code == 2
    assert done.err_lines[1].startswith("hint: did you mean glm ")


@pytest.mark.parametrize("stdin", ["", "\n \n", "hi\n"])
def test_a_model_that_is_not_there_is_an_error_whatever_a_pipe_holds(glm, stdin):
    done = glm("chat", "-m", "nothere", stdin=stdin)
    assert (done.code, done.out) == (3, "")
    assert done.err_lines[0] == "glm: there is no model called 'nothere'"
    assert len(done.err_lines) == 2


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["-m", "no/there", "--offline"], 3),
        (["-m", "./nowhere"], 3),
        (["-m", "openai:m", "--base-url", "http://127.0.0.1:9"], 6),
        (["-m", "echo:bad=1"], 3),
    ],
)
def test_a_model_that_cannot_be_opened_is_an_error_of_an_empty_pipe_too(glm, options, code):
    empty, asked = (glm("chat", *options, stdin=stdin) for stdin in ("", "hi\n"))
    assert (empty.code, empty.out) == (asked.code, asked.out) == (code, "")
    assert empty.err_lines == asked.err_lines


def test_an_empty_pipe_is_no_error_of_a_model_that_is_there(glm):
    done = glm("chat", *ECHO, stdin="")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_a_stop_text_ends_the_demonstration_too(glm):
    assert glm("ask", *ECHO, "--stop", "b", "a b c hi").out == "a \n"


def test_the_quick_help_is_the_real_help(glm):
    from glmcli.__main__ import HELP_FILE

    text = Path(HELP_FILE.format("")).read_text()
    assert glm("--help").out == glm("-h").out == glm().out == text
    from glmcli.cli import run

    with redirect_stdout(StringIO()) as real:
        run(["--help"])
    assert real.getvalue().split() == text.split()


@pytest.mark.parametrize("locale", ["C.UTF-8", "zh_CN.UTF-8"])
@pytest.mark.parametrize("columns", ["60", "80", "200"])
@pytest.mark.parametrize("typed", ["", "chat", "ask", "history import", "config trust"])
def test_help_fits_the_window(glm, typed, columns, locale):
    said = glm(*typed.split(), "--help", COLUMNS=columns, LC_ALL=locale).out
    assert said
    assert all(wcswidth(line) <= min(int(columns), 80) for line in said.splitlines())


def test_ask_prints_the_answer_and_nothing_else(glm):
    done = glm("ask", *ECHO, "why is the sky blue?")
    assert (done.out, done.err, done.code) == ("why is the sky blue?\n", "", 0)


def test_a_reply_ends_with_exactly_one_newline(glm):
    assert glm("ask", *ECHO, "one\n\n\n").out == "one\n"
    assert glm("ask", *ECHO, "--no-stream", "one\n\ntwo\n\n").out == "one\n\ntwo\n"


@pytest.mark.parametrize(
    ("options", "variables", "config", "system"),
    [
        ((), {}, "", None),
        ((), {"GLM_SYSTEM": ""}, "", None),
        ((), {}, 'system = ""', ""),
        (("--system", ""), {"GLM_SYSTEM": "be brief"}, "", ""),
    ],
)
def test_an_empty_system_prompt_is_another_thing_than_none(
    glm, tmp_path, options, variables, config, system
):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text(config)
    glm("ask", *ECHO, *options, "hi", **variables)
    (tmp_path / "chat.json").write_text(glm("history", "export", "--format", "json").out)
    assert json.loads((tmp_path / "chat.json").read_text())["system"] == system
    (tmp_path / "home" / "history.db").unlink()
    glm("history", "import", "chat.json")
    glm("ask", *ECHO, "-c", "more")
    again = json.loads(glm("history", "export", "--format", "json").out)
    assert (again["system"], len(again["messages"])) == (system, 4)


def test_json_is_one_object(glm):
    done = glm("ask", *ECHO, "-f", "json", "a b c")
    reply = json.loads(done.out)
    assert reply["text"] == "a b c"
    assert reply["finish_reason"] == "stop"
    assert reply["model"] == "echo:"
    assert reply["conversation"]
    assert list(reply["usage"]) == [
        "prompt_tokens",
        "cached_tokens",
        "completion_tokens",
        "total_tokens",
        "first_token_s",
        "total_s",
        "tokens_per_s",
    ]
    assert reply["usage"]["total_tokens"] == 6


def test_jsonl_is_an_event_a_line(glm):
    lines = [json.loads(line) for line in glm("ask", *ECHO, "-f", "jsonl", "a b").out.splitlines()]
    assert [line["type"] for line in lines] == ["text", "text", "done"]
    assert "".join(line.get("delta", "") for line in lines) == "a b"
    assert lines[-1]["text"] == "a b"


def test_jsonl_tells_of_an_error(glm):
    done = glm("ask", "-m", "echo:window=2", "-f", "jsonl", "a b c")
    event = json.loads(done.out)
    assert (event["type"], event["exit"], done.code) == ("error", 4, 4)
    assert "3" in event["error"]
    assert "2" in event["error"]


def test_records_are_cumulative_and_only_the_last_says_how_it_ended(glm):
    done = glm("ask", *ECHO, "-f", "records", "a b c")
    records = [json.loads(line) for line in done.out.splitlines()]
    assert [record["text"] for record in records] == ["a ", "a b ", "a b c"]
    assert [record["finish_reason"] for record in records] == [None, None, "stop"]
    assert [record["usage"]["completion_tokens"] for record in records] == [1, 2, 3]
    assert {record["usage"]["prompt_tokens"] for record in records} == {3}
    assert list(records[0]) == ["text", "error_code", "usage", "finish_reason"]


def test_records_of_a_cut_reply_end_with_length(glm):
    done = glm("ask", *ECHO, "-f", "records", "--max-tokens", "2", "a b c")
    records = [json.loads(line) for line in done.out.splitlines()]
    assert [record["finish_reason"] for record in records] == [None, "length"]


def test_messages_go_before_the_prompt(glm, tmp_path):
    (tmp_path / "m.json").write_text('[{"role": "user", "content": "x"}]')
    done = glm("ask", *ECHO, "--messages", "m.json", "-f", "json", "last words")
    assert json.loads(done.out)["text"] == "last words"


@pytest.mark.parametrize("text", ["[]", " [ ]\n", '{"messages": []}'])
def test_no_messages_are_an_empty_history(text, glm, tmp_path):
    """What a script has at its first turn."""
    (tmp_path / "m.json").write_text(text)
    assert glm("ask", *ECHO, "--messages", "m.json", "hi").out == "hi\n"
    assert glm("ask", *ECHO, "--messages", "-", "hi", stdin=text).out == "hi\n"
    assert "there is no prompt" in glm("ask", *ECHO, "--messages", "m.json", "--no-stdin").err


def test_the_last_of_the_messages_can_be_the_prompt(glm, tmp_path):
    items = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    (tmp_path / "m.json").write_text(json.dumps([*items, {"role": "user", "content": "the last"}]))
    assert glm("ask", *ECHO, "--messages", "m.json").out == "the last\n"
    text = (tmp_path / "m.json").read_text()
    assert glm("ask", *ECHO, "--messages", "-", stdin=text).out == "the last\n"


def one_line_one_hint(done, code):
    assert done.code == code, done.err
    assert len(done.err_lines) == 2, done.err
    assert done.err_lines[0].startswith("glm: ")
    assert done.err_lines[1].startswith("hint: ")
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "stdin", "code"),
    [
        (("ask", *ECHO), None, 2),
        (("ask", *ECHO, ""), None, 2),
        (("ask", *ECHO, " \n\t "), None, 2),
        (("ask", *ECHO), b"\xff\xfe\xfa", 2),
        (("ask", *ECHO), b"a\0b", 2),
        (("ask", *ECHO, b"\xff".decode("utf-8", "surrogateescape")), None, 2),
        (("ask", *ECHO, "--temperature", "abc", "hi"), None, 2),
        (("ask", *ECHO, "--temperature", "-1", "hi"), None, 2),
        (("ask", *ECHO, "--temperature", "nan", "hi"), None, 2),
        (("ask", *ECHO, "--top-p", "2", "hi"), None, 2),
        (("ask", *ECHO, "--dtype", "int3", "hi"), None, 2),
        (("ask", *ECHO, "--format", "xml", "hi"), None, 2),
        (("ask", *ECHO, "--nonsense", "hi"), None, 2),
        (("chatt",), None, 2),
        (("ask", *ECHO, "--messages", "nowhere.json", "hi"), None, 2),
        (("ask", *ECHO, "--system", "@nowhere.txt", "hi"), None, 2),
        (("ask", "-m", "echo:nonsense", "hi"), None, 3),
        (("ask", "-m", "echo:window=2", "a b c"), None, 4),
        (("ask", *ECHO, "--continue", "hi"), None, 2),
    ],
)
def test_bad_input_gets_one_line_and_one_hint(glm, arguments, stdin, code):
    one_line_one_hint(glm(*arguments, stdin=stdin), code)


def test_a_bad_dotenv_is_named(glm, tmp_path):
    (tmp_path / ".env").write_text("GLM_SEED=1\nGLM_TEMPERATURE 0.3\n")
    done = glm("ask", *ECHO, "hi")
    one_line_one_hint(done, 2)
    assert "line 2" in done.err


def test_an_unknown_setting_in_dotenv_is_named(glm, tmp_path):
    (tmp_path / ".env").write_text("GLM_TEMPERATUR=0.3\n")
    done = glm("ask", *ECHO, "hi")
    assert done.out == "hi\n"
    assert "did you mean GLM_TEMPERATURE?" in done.err


def test_a_big_prompt_is_refused_with_both_numbers(glm):
    done = glm("ask", *ECHO, stdin="word " * 6_000_000)
    one_line_one_hint(done, 4)
    assert "6,000,000" in done.err
    assert "8,192" in done.err


def test_a_full_disk_is_one_line(tmp_path):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command("ask", *ECHO, "hi"),
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            env=clean_env(GLM_HOME=str(tmp_path)),
            timeout=60,
        )
    assert done.returncode == 1
    assert len(done.stderr.decode().splitlines()) == 2


def test_closed_streams_are_no_crash(tmp_path):
    shell = " ".join(command("ask", "-m", "echo:", "hi"))
    env = clean_env(GLM_HOME=str(tmp_path))

    def run(redirect):
        return subprocess.run(
            ["sh", "-c", f"{shell} {redirect}"], env=env, capture_output=True, text=True, timeout=60
        )

    assert run("<&-").stdout == "hi\n"
    assert run("2>&- </dev/null").stdout == "hi\n"
    assert run("0>/dev/null").stdout == "hi\n"  # open, but not for reading, as under nohup
    closed = run(">&- </dev/null")
    assert closed.returncode == 2
    assert "Traceback" not in closed.stderr


@pytest.mark.parametrize(
    "arguments", ["--help", "--version", "history list -a", "models list", "config show", "chat -h"]
)
def test_a_stdout_that_is_closed_or_full_is_two_lines_and_no_crash(tmp_path, arguments):
    shell = " ".join(command(*arguments.split()))
    env = clean_env(GLM_HOME=str(tmp_path))
    run_glm("ask", "-m", "echo:", "hi", cwd=tmp_path, GLM_HOME=str(tmp_path))
    for redirect, code in ((">&-", 2), (">/dev/full", 1)):
        done = subprocess.run(
            ["sh", "-c", f"{shell} {redirect}"], env=env, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, len(done.stderr.splitlines())) == (code, 2), redirect


@pytest.mark.parametrize(
    ("typed", "redirect", "code", "key"),
    [
        (["--stats", "-f", "json", "hi"], "2>&-", 0, "text"),
        (["--stats", "-f", "json", "hi"], "2>/dev/full", 0, "text"),
        (["-m", "nope:", "-f", "json", "hi"], "2>&-", 3, "error"),
    ],
)
def test_where_stderr_takes_nothing_stdout_is_one_object(tmp_path, typed, redirect, code, key):
    shell = " ".join(command("ask", "-m", "echo:", *typed))
    done = subprocess.run(
        ["sh", "-c", f"{shell} {redirect} </dev/null"],
        env=clean_env(GLM_HOME=str(tmp_path)),
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == code and key in json.loads(done.stdout)


@pytest.mark.parametrize("typed", ["--nope", "hi"])
def test_a_full_stdout_hides_no_error_of_a_line_in_json(tmp_path, typed):
    shell = " ".join(command("ask", "-m", "echo:", "-f", "json", typed))
    done = subprocess.run(
        ["sh", "-c", f"{shell} >/dev/full </dev/null"],
        env=clean_env(GLM_HOME=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == (2 if typed == "--nope" else 1)
    assert len(done.stderr.splitlines()) == 2 and "internal" not in done.stderr


def test_notices_go_into_no_other_file_where_stderr_is_closed(tmp_path):
    """Its number is that of the next file that is opened."""
    shell = " ".join(command("ask", "-m", "echo:", "--each", "-", "--skip-done", "answers"))
    done = subprocess.run(
        ["sh", "-c", f"printf 'a\\n\\n' | {shell} 2>&-"],
        env=clean_env(GLM_HOME=str(tmp_path)),
        cwd=tmp_path,
        timeout=60,
    )
    assert done.returncode == 0
    lines = (tmp_path / "answers").read_text().splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["a"]


def test_a_bug_that_ends_a_thread_is_told_as_any_other_without_keys(tmp_path):
    probe = (
        "import threading\n"
        "from glmcli import cli\n"
        "def bug(): raise ValueError('of sk-own0123456789abcdefgh')\n"
        "def run(arguments):\n"
        "    thread = threading.Thread(target=bug)\n"
        "    thread.start()\n"
        "    thread.join()\n"
        "    return 0\n"
        "cli.run = run\n"
        "cli.main()\n"
    )
    env = clean_env(GLM_HOME=str(tmp_path), GLM_API_KEY="sk-own0123456789abcdefgh")
    done = subprocess.run(
        [sys.executable, "-c", probe], env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "glm: internal error: ValueError('of [key]')",
        "hint: GLM_DEBUG=1 shows where",
    ]


def test_the_exit_code_says_what_a_full_stderr_cannot(tmp_path):
    shell = " ".join(command("ask", "-m", "/nowhere/model", "hi"))
    env = clean_env(GLM_HOME=str(tmp_path))
    done = subprocess.run(["sh", "-c", f"{shell} 2>/dev/full </dev/null"], env=env, timeout=60)
    assert done.returncode == 3


def test_a_closed_pipe_ends_quietly(tmp_path):
    process = subprocess.Popen(
        command("ask", *ECHO, "-f", "records", "word " * 5000),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_env(GLM_HOME=str(tmp_path)),
    )
    process.stdout.readline()
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait(timeout=60) == -signal.SIGPIPE


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_prints_what_arrived_saves_it_and_ends_by_the_signal(tmp_path, signum):
    process = subprocess.Popen(
        command("ask", "-m", "echo:delay=0.05", "word " * 1000),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_env(GLM_HOME=str(tmp_path / "home")),
    )
    head = os.read(process.stdout.fileno(), 4)
    process.send_signal(signum)
    out, err = process.communicate(timeout=60)
    assert process.returncode == -signum
    printed = (head + out).decode()
    assert printed.startswith("word")
    assert printed.endswith("\n")
    assert err == b""
    from glmcli.store import open_store

    saved = open_store(tmp_path / "home").last()
    assert saved.messages[0].text == "word " * 1000
    assert saved.messages[1].text.strip() == printed.strip()
    reason = "cancelled" if signum == signal.SIGINT else "interrupted"
    assert saved.messages[1].finish_reason == reason


def test_chat_takes_a_turn_from_each_line(glm):
    done = glm("chat", *ECHO, "--commands", stdin="one\n\n//two words\n/reset\nthree")
    assert done.out == "one\n/two words\nthree\n"
    assert done.code == 0


def test_chat_goes_on_after_a_failed_turn_and_says_so_in_the_exit_code(glm):
    done = glm("chat", "-m", "echo:window=2", stdin="a b c d\nx\n")
    assert done.out == "x\n"
    assert done.code == 4


def test_chat_leaves_at_exit(glm):
    assert glm("chat", *ECHO, "--commands", stdin="one\n/exit\ntwo\n").out == "one\n"


def test_an_unknown_command_is_never_sent(glm):
    done = glm("chat", *ECHO, "--commands", stdin="/rest\n")
    assert done.out == ""
    assert "/reset" in done.err
    assert done.code == 2


def test_continue_goes_on_with_the_last_conversation(glm):
    glm("ask", *ECHO, "first question")
    done = glm("ask", *ECHO, "--continue", "-f", "json", "second question")
    assert json.loads(done.out)["usage"]["prompt_tokens"] == 6
    assert done.err.startswith("resumed ")
    assert done.err.endswith(": 1 turn, with its settings\n")
    assert glm("ask", *ECHO, "--continue", "--quiet", "third question").err == ""


def test_a_clean_end_leaves_one_file(glm, tmp_path):
    glm("ask", *ECHO, "hi")
    glm("chat", *ECHO, stdin="one\ntwo\n")
    glm("history", "list", "--all")
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["history.db"]


def test_no_save_writes_nothing(glm, tmp_path):
    assert glm("ask", *ECHO, "--no-save", "hi").out == "hi\n"
    assert not (tmp_path / "home").exists()


def test_version(glm):
    from glmcli import __version__

    assert glm("--version").out == f"glm {__version__}\n"


@pytest.mark.parametrize("model", ["./missing", "./empty", "org/name", "no-such-name", "a\0b"[:1]])
def test_a_model_that_cannot_be_opened_is_exit_3(glm, tmp_path, model):
    (tmp_path / "empty").mkdir()
    done = glm("ask", "-m", model, "--offline", "hi", HF_HOME=str(tmp_path / "hf"))
    one_line_one_hint(done, 3)


def test_a_home_that_cannot_be_written_costs_the_history_and_not_the_answer(glm, tmp_path):
    (tmp_path / "home").write_text("a file where the folder should be")
    done = glm("ask", *ECHO, "hi")
    assert (done.out, done.code) == ("hi\n", 0)
    assert "not saved" in done.err
    assert (tmp_path / "home").read_text() == "a file where the folder should be"


def test_a_corrupt_database_is_moved_aside_and_said_so(glm, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "history.db").write_bytes(b"this is not a database, " * 500)
    done = glm("ask", *ECHO, "hi")
    assert done.out == "hi\n"
    assert "corrupt" in done.err
    aside = [path for path in home.iterdir() if "corrupt" in path.name]
    assert aside[0].read_bytes() == b"this is not a database, " * 500
    assert glm("history", "list", "--all").out.count("\n") == 1


GROUPS = ((), ("history",), ("config",), ("models",), ("roles",))


def listed(done) -> list[str]:
    """The rows below the word for commands, the last of a help."""
    assert done.code == 0
    lines = done.out.splitlines()
    return lines[lines.index("Commands:") + 1 :]


@pytest.mark.parametrize("group", GROUPS)
def test_no_summary_of_a_command_is_cut(glm, group):
    wide, narrow = (listed(glm(*group, "--help", COLUMNS=n)) for n in ("80", "60"))
    assert all(row.endswith(".") and not row.endswith("...") for row in wide)
    assert max(map(len, narrow)) <= 60
    assert " ".join(narrow).split() == " ".join(wide).split()


def test_figures_that_are_asked_for_are_on_stderr_in_a_pipe_too(glm) -> None:
    done = glm("chat", "-m", "echo:", "--no-save", "--stats", stdin="hello there\nhi\n")
    assert done.out == "hello there\nhi\n"
    assert [line.split(" · ")[0] for line in done.err_lines] == ["2 tokens", "1 token"]
    assert glm("chat", "-m", "echo:", "--no-save", stdin="hi\n").err == ""
