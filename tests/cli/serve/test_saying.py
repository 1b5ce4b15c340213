import re
import sys

from glmcli.cli.serve.saying import ServerLog, in_parts
from glmcli.terminal.output import Output
from glmcli.terminal.replies.text import StatusLine
from glmcli.types import Progress

ROW = "  OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=any"


def test_a_command_wider_than_the_window_is_cut_where_a_shell_joins_it() -> None:
    parts = in_parts(ROW, 50)
    assert parts == ["  OPENAI_BASE_URL=http://127.0.0.1:8000/v1 \\", "    OPENAI_API_KEY=any"]
    assert in_parts(ROW, 100) == in_parts(ROW, 0) == [ROW]


def test_a_word_wider_than_the_window_stays_whole() -> None:
    assert in_parts("  " + "x" * 50, 20) == ["  " + "x" * 50]
    assert " ".join(in_parts("echo answers at " + "x" * 50, 20)).split()[-1] == "x" * 50


def test_a_line_wider_than_the_window_is_cut_between_its_words() -> None:
    line = "as a worker it answers 127.0.0.1 without a key, and nobody else"
    parts = in_parts(line, 60)
    assert max(map(len, parts)) <= 60 and " ".join(map(str.strip, parts)) == line


def test_a_line_of_the_log_takes_the_row_of_the_loading_away(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(Output, "is_live", True)
    path = tmp_path / "err.txt"
    with path.open("a") as file:
        monkeypatch.setattr(sys, "stderr", file)
        log = ServerLog(StatusLine(Output(file)), quiet=False)
        log.show(Progress("loading"))
        log("GET /health 200")
    rows = path.read_bytes().decode().split("\n")
    assert "loading the model" in rows[0]
    assert re.search(r"\r\x1b\[K\d\d:\d\d:\d\d GET /health 200$", rows[0])


def test_no_line_of_the_log_shows_a_key_that_was_read(monkeypatch, capsys) -> None:
    monkeypatch.setattr("glmcli.chat.bugs.READ_SECRETS", {"sk-any-1234567890"})
    log = ServerLog(StatusLine(Output(sys.__stderr__)), quiet=False)
    log("POST /v1/chat/completions 200 · ignored: sk-any-1234567890, sk%2Dany%2D1234567890, id")
    assert capsys.readouterr().err[9:] == (
        "POST /v1/chat/completions 200 · ignored: [key], [key], id\n"
    )
