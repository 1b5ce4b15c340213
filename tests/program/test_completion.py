"""Completion, asked for as shells do: by Typer's protocol, and by the shells themselves."""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pexpect
import pytest
from wcwidth import wcswidth

from glmcli.store import open_store, rows
from glmcli.store.rows import new_id
from glmcli.types import Conversation, Message
from tests.support.shell import Done, clean_env, run_glm

HEAVY = {
    "torch",
    "transformers",
    "huggingface_hub",
    "numpy",
    "rich",
    "prompt_toolkit",
    "httpx",
    "markdown_it",
    "pygments",
    "wcwidth",
}
HOSTILE = (
    "\x1b]0;owned\x07 \x9b31m \u202e",
    "two\nlines\tand a tab\r",
    "$(touch pwned) `touch pwned`",
    "\\$(touch pwned) \\`touch pwned\\` \\",
    "'; touch pwned; '",
    '"; touch pwned; "',
    "a:b ::: c \\: (x) [/bold] [red]",
    "))' ; touch pwned #",
)


def asking(shell: str, line: str) -> dict[str, str]:
    """The variables by which a shell asks what may stand at the end of a line."""
    if shell == "bash":
        words = line.split(" ")
        how = {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    else:
        how = {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
        how["_TYPER_COMPLETE_WORD_TO_COMPLETE"] = line.rpartition(" ")[2]
    return {"_GLM_COMPLETE": f"complete_{shell}"} | how


def ask_shell(cwd: Path, line: str, shell: str = "bash", **env: str) -> Done:
    """What the program answers a shell."""
    hub = {"HF_HUB_CACHE": str(cwd / "hub"), "GLM_CACHE": str(cwd / "cache")}
    return run_glm(cwd=cwd, **(hub | asking(shell, line) | env))


def answer(cwd: Path, line: str, shell: str) -> list[str]:
    """The lines that a shell gets by our own script."""
    done = ask_shell(cwd, line, shell, _GLM_COMPLETE_KIND="1")
    assert (done.err, done.code) == ("", 0)
    return done.out.splitlines()


@pytest.fixture
def words(tmp_path):
    """`words("glm ask --th")`: what bash may put at the end."""

    def ask(line: str, **env: str) -> list[str]:
        done = ask_shell(tmp_path, line, **env)
        assert (done.err, done.code) == ("", 0)
        return done.out.split()

    return ask


def keep(home: Path, *titles: str) -> list[str]:
    """Store conversations with these titles; their ids, of which few have no letter in common.

    A shell puts in what all words begin with before it lists them.
    """
    found = [
        Conversation(title=title, messages=[Message("user", "x"), Message("assistant", "y")])
        for title in titles
    ]
    letters = set[str]()

    def begun_otherwise(db: sqlite3.Connection) -> str:
        name = new_id(db)
        while len(titles) < 10 and name[0] in letters:
            name = new_id(db)
        letters.add(name[0])
        return name

    with patch.object(rows, "new_id", begun_otherwise), closing(open_store(home)) as store:
        store.save(*found)
    return [each.id for each in found]


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_shell_that_asks_gets_words_and_not_the_help(glm):
    done = glm(_GLM_COMPLETE="complete_bash", COMP_WORDS="glm ask --th", COMP_CWORD="2")
    assert done.out.split() == ["--threads", "--think", "--thinking"]
    assert (done.err, done.code) == ("", 0)


COMMANDS = ["bench", "chat", "ask", "serve", "ps", "stop", "history", "models", "roles", "config"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("glm ", COMMANDS),
        ("glm mo", ["models"]),
        ("glm ask", ["ask"]),
        ("glm history ex", ["export"]),
        ("glm --ver", ["--version"]),
        ("glm ask --format js", ["json", "jsonl"]),
        ("glm ask --format = js", ["json", "jsonl"]),
        ("glm history export -f m", ["markdown"]),
        ("glm chat --thinking ", ["show", "fold", "hide"]),
        ("glm chat --plain ", ["off", "on", "reader"]),
        ("glm chat --plain re", ["reader"]),
        ("glm ask --plain -m ec", ["echo:"]),
        ("glm ask --plain --no-stre", ["--no-stream"]),
        ("glm ask --device c", ["cpu", "cuda"]),
        ("glm ask -m echo : --no-stre", ["--no-stream"]),
        ("glm ask -m ", ["smollm2", "gguf:", "echo:", "openai:", "fastchat:"]),
        ("glm chat --model ec", ["echo:"]),
        ("glm models show ", ["smollm2"]),
        ("glm bench sm", ["smollm2"]),
        ("glm ask --code ", ["last", "all", "1", "2", "3"]),
        ("glm config set system @", []),
        ("glm config set device c", ["cpu", "cuda"]),
        ("glm ask --temperature ", []),
        ("glm ask ", []),
        ("glm config trust ", []),
    ],
)
def test_commands_options_and_values_are_completed(words, line, expected):
    assert words(line) == expected


@pytest.mark.parametrize(
    ("offered", "lines"),
    [
        (
            "files",
            [
                "glm ask -a ",
                "glm chat --file no",
                "glm ask --messages ",
                "glm ask --messages=no",
                "glm history import ",
                "glm history import one.json ",
            ],
        ),
        (
            "folders",
            [
                "glm ask --adapter ",
                "glm bench no",
                "glm chat -m ./",
                "glm models show no",
                "glm config trust ",
                "glm config untrust ",
                "glm config set adapter ",
                "glm config set cache ",
                "glm config set model no",
            ],
        ),
        (
            "words",
            [
                "glm ask ",
                "glm ask no",
                "glm chat ",
                "glm ask -s ",
                "glm ask --stop ",
                "glm ask --seed ",
                "glm ask --base-url ",
                "glm ask --template ",
                "glm ask --role no",
                "glm ask -m openai:no",
                "glm ask --resume no",
                "glm ask --quiet=no",
                "glm bench --prompts ",
                "glm bench --runs ",
                "glm history list -n ",
                "glm history search ",
                "glm history show ",
                "glm history export ",
                "glm history rename x ",
                "glm history undelete ",
                "glm history path ",
                "glm models pull no",
                "glm models remove no",
                "glm roles show no",
                "glm roles edit no",
                "glm config set stop ",
                "glm config set model smollm2 ",
                "glm config set nonsense ",
                "glm config edit ",
            ],
        ),
    ],
)
def test_paths_are_left_to_the_shell_where_they_are_taken(tmp_path, offered, lines):
    (tmp_path / "notes").mkdir()
    for line in lines:
        assert (line, answer(tmp_path, line, "bash")) == (line, [offered])


@pytest.mark.parametrize("shell", ["fish", "powershell", "pwsh"])
def test_scripts_are_told_first_what_the_words_are(tmp_path, shell):
    assert answer(tmp_path, "glm ask -a ", shell) == ["files"]
    assert answer(tmp_path, "glm ask --adapter ", shell) == ["folders"]
    assert answer(tmp_path, "glm ask --seed ", shell) == ["words"]
    assert answer(tmp_path, "glm ask --device mp", shell)[0] == "words"
    assert answer(tmp_path, "glm ask --device mp", shell)[1].startswith("mps")


@pytest.mark.parametrize("shell", ["zsh", "fish", "powershell", "pwsh"])
@pytest.mark.parametrize("line", ["glm ask --format js", "glm ask --format=js"])
def test_other_shells_get_the_whole_word(tmp_path, shell, line):
    out = ask_shell(tmp_path, line, shell).out
    start = line.rpartition(" ")[2].removesuffix("js")
    assert re.findall(r"[\w=-]*json\w*", out) == [f"{start}json", f"{start}jsonl"]


@pytest.mark.parametrize("shell", ["zsh", "fish", "powershell"])
@pytest.mark.parametrize("line", ["glm ", "glm history ", "glm config ", "glm models "])
def test_summaries_of_commands_are_not_cut(tmp_path, shell, line):
    out = ask_shell(tmp_path, line, shell).out
    assert out.count(".") >= 4
    assert "..." not in out
    assert "…" not in out


@pytest.mark.parametrize("shell", ["zsh", "fish", "powershell"])
def test_help_is_in_the_users_language(tmp_path, shell):
    assert "processor threads" in ask_shell(tmp_path, "glm ask --thr", shell).out
    done = ask_shell(tmp_path, "glm ask --thr", shell, LC_ALL="C.UTF-8", LANGUAGE="zh_CN")
    assert "processor" in done.out  # the C locale has no languages
    done = ask_shell(tmp_path, "glm ask --thr", shell, LC_ALL="zh_CN.UTF-8")
    assert "处理器" in done.out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_the_script_is_given_by_the_protocol_too(glm, shell):
    done = glm(_GLM_COMPLETE=f"source_{shell}")
    assert (done.err, done.code) == ("", 0)
    assert f"complete_{shell}" in done.out
    assert ("loadautofunc" in done.out) is (shell == "zsh")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_home_that_cannot_be_written_is_told_in_a_line(glm, tmp_path, shell):
    (tmp_path / "file").touch()
    done = glm("--install-completion", shell, HOME=str(tmp_path / "file"))
    assert done.code == 1
    first, second = done.err_lines
    assert first.startswith(f"glm: {shell} completion cannot be installed: {tmp_path}/file")
    assert second.startswith(f"hint: glm --show-completion {shell} prints the script")


def test_a_start_up_file_in_another_encoding_is_told_in_a_line(glm, tmp_path):
    (tmp_path / ".bashrc").write_bytes(b"# \xfc\n")
    done = glm("--install-completion", "bash", HOME=str(tmp_path))
    assert done.err_lines[0].startswith("glm: bash completion cannot be installed: 'utf-8' codec")
    assert (tmp_path / ".bashrc").read_bytes() == b"# \xfc\n"


def test_an_empty_variable_asks_nothing(glm):
    assert glm(_GLM_COMPLETE="").out == glm("--help").out


@pytest.mark.parametrize("extra", [{}, {"COMP_WORDS": "glm"}, {"COMP_CWORD": "x"}])
def test_a_question_that_is_none_gets_no_answer(glm, extra):
    done = glm(_GLM_COMPLETE="complete_bash", **extra)
    assert (done.out, done.err) == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
@pytest.mark.parametrize(
    "line", ["glm ", "glm ask --th", "glm ask -m ", "glm history show ", "glm chat --resume "]
)
def test_nothing_heavy_is_imported(tmp_path, shell, line):
    keep(tmp_path / "home", "a title")
    probe = (
        "import os, sys\n"
        "def end(code):\n"
        "    loaded = {name.split('.')[0] for name, module in sys.modules.items() if module}\n"
        "    print('LOADED', *loaded)\n"
        "    raise SystemExit(code)\n"
        "os._exit = end\n"
        "from glmcli.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe],
        env=clean_env(GLM_HOME=str(tmp_path / "home"), **asking(shell, line)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split("LOADED", 1)[1].split())
    assert not loaded & HEAVY
    assert "typer" in loaded and len(done.stdout.split("LOADED")[0]) > 5


def test_models_of_this_machine_are_completed(tmp_path, words):
    for repo in ("org/whole", "org/no-weights"):
        folder = tmp_path / "hub" / f"models--{repo.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text("abc")
        (folder / "snapshots" / "abc").mkdir(parents=True)
        (folder / "snapshots" / "abc" / "config.json").write_text("{}")
    (tmp_path / "hub/models--org--whole/snapshots/abc/model.safetensors").write_text("")
    for name in ("mine", ".hidden", "a b", "$(touch pwned)", "-rf", "x;y", "a\nb", "~root", "q'r"):
        (tmp_path / "cache/models" / name).mkdir(parents=True)
    here = ["smollm2", "mine", "org/whole"]
    assert words("glm models show ") == here
    assert words("glm ask -m ") == [*here, "gguf:", "echo:", "openai:", "fastchat:"]
    assert words("glm ask -m org/") == ["org/whole"]


def test_a_word_that_bash_takes_apart_is_completed_after_the_last_cut(words, tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("one.txt", "two.txt", "a b.txt", "$(x).txt"):
        (tmp_path / "folder" / name).write_text("")
    assert words("glm ask @ fo") == ["@folder/one.txt", "@folder/two.txt"]
    assert words("glm ask -s @ folder/o") == ["@folder/one.txt"]
    assert words("glm ask fo") == []
    (tmp_path / "empty").mkdir()
    assert words("glm ask @ emp") == ["@empty/"]
    assert words("glm ask @ ~nobody/") == words("glm ask @ none/") == []


# Conversations


@pytest.mark.parametrize(
    "line",
    [
        "glm history show ",
        "glm history delete ",
        "glm history export ",
        "glm history rename ",
        "glm chat --resume ",
        "glm ask --resume ",
    ],
)
def test_conversations_are_completed_newest_first(tmp_path, words, line):
    ids = keep(tmp_path / "home", "first", "second")
    assert sorted(words(line)) == sorted(ids)
    assert words(f"{line}{ids[0][:5]}") == [ids[0]]


def test_a_conversation_that_was_named_is_not_offered_again(tmp_path, words):
    one, two = keep(tmp_path / "home", "first", "second")
    assert words(f"glm history delete {one} ") == [two]


@pytest.mark.parametrize("shell", ["zsh", "fish", "powershell"])
def test_conversations_come_with_title_and_age(tmp_path, shell):
    (name,) = keep(tmp_path / "home", "Why is the sky blue?")
    out = ask_shell(tmp_path, "glm history show ", shell).out
    assert re.search(rf'{name}[":\t]+Why is the sky blue\? · \d+ s', out)


def test_bash_shows_help_only_where_it_puts_in_none(tmp_path, words):
    ids = keep(tmp_path / "home", "Why is the sky blue?", "天空为什么是蓝色的" * 10)
    listing = ask_shell(tmp_path, "glm history show ", COMP_TYPE="63", COLUMNS="40").out
    lines = listing.splitlines()
    assert [line.split("  ")[0] for line in lines] == ids[::-1]
    assert lines[1].startswith(f"{ids[0]}  Why is the sky")
    assert all(wcswidth(line) < 40 for line in lines)
    assert words(f"glm history show {ids[0]}", COMP_TYPE="63") == [ids[0]]
    for kind in ("9", "37", "42"):
        assert words("glm history show ", COMP_TYPE=kind) == ids[::-1]


def test_deleted_conversations_are_told_from_others(tmp_path, words):
    kept, gone = keep(tmp_path / "home", "kept", "gone")
    with closing(open_store(tmp_path / "home")) as store:
        store.delete(gone)
    out = ask_shell(tmp_path, "glm history undelete ", "fish").out
    assert re.fullmatch(rf"{gone}\tgone · \d+ s\n", out)
    assert words("glm history delete ") == [kept]
    assert words("glm history delete --purge ") == [kept, gone]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_hostile_titles_are_one_harmless_line_each(tmp_path, shell):
    ids = keep(tmp_path / "home", *HOSTILE, "x" * 10_000)
    out = ask_shell(tmp_path, "glm history show ", shell).out
    lines = out.rstrip("\n").split("\n")
    assert sorted(re.findall("|".join(ids), out)) == sorted(ids)
    assert len(lines) == len(ids)
    assert all(len(line) < 200 for line in lines)
    assert re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\r]", out) is None
    if shell == "zsh":  # evaluated between double quotes: each of these behind one backslash
        assert re.search(r"(?<!\\)(?:\\\\)*[$`]", out) is None
        assert out.replace("'\\''", "").count("'") == 2


def test_nothing_is_written(tmp_path, words):
    assert words("glm history show ") == []
    assert list(tmp_path.iterdir()) == []
    home = tmp_path / "home"
    ids = keep(home, "first")
    before = snapshot(tmp_path)
    assert words("glm history show ") == ids
    assert words("glm ask -m sm") == ["smollm2"]
    assert snapshot(tmp_path) == before
    with closing(open_store(home)) as store:  # its log is beside it now
        other = Conversation(title="second", messages=[Message("user", "x")])
        store.save(other)
        before = snapshot(tmp_path)
        assert sorted(words("glm history show ")) == sorted([*ids, other.id])
        assert snapshot(tmp_path) == before


def test_an_older_history_is_read_as_it_is(tmp_path, words):
    ids = keep(tmp_path / "home", "first")
    with closing(sqlite3.connect(tmp_path / "home/history.db")) as db:
        db.execute("PRAGMA user_version = 1")
        db.commit()
    before = snapshot(tmp_path)
    assert words("glm history show ") == ids
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("fault", ["damaged", "text", "foreign", "newer", "folder", "fifo"])
def test_a_history_that_cannot_be_read_offers_nothing(tmp_path, words, fault):
    path = tmp_path / "home" / "history.db"
    keep(tmp_path / "home", *map(str, range(50)))
    match fault:
        case "damaged":
            path.write_bytes(path.read_bytes()[:100] + b"\xff" * 20_000)
        case "text":
            path.write_text("not a database\n" * 1000)
        case "foreign" | "newer":
            with closing(sqlite3.connect(path)) as db:
                name = "application_id" if fault == "foreign" else "user_version"
                db.execute(f"PRAGMA {name} = 99")
        case "folder" | "fifo":
            path.unlink()
            path.mkdir() if fault == "folder" else os.mkfifo(path)
    files = sorted(path.parent.iterdir())
    assert words("glm history show ") == []
    assert sorted(path.parent.iterdir()) == files


def test_a_locked_history_is_not_waited_for(tmp_path, words):
    keep(tmp_path / "home", "first")
    with closing(sqlite3.connect(tmp_path / "home/history.db", isolation_level=None)) as db:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE conversation SET title = 'x'")
        start = time.monotonic()
        assert words("glm history show ") == []
        assert time.monotonic() - start < 4.5  # SQLite itself would wait for 5 s


def test_a_config_that_cannot_be_read_is_not_said(tmp_path, words):
    (tmp_path / "home").mkdir()
    (tmp_path / "home/config.toml").write_text("nonsense = [")
    assert words("glm ask -m sm") == ["smollm2"]
    assert words("glm history show ") == []


# Servers


class Lists(http.server.BaseHTTPRequestHandler):
    """Lists models as OpenAI's interface does, or as a FastChat controller."""

    delay_s = 0.0
    names = ("one", "two", "$(touch pwned)", "\x1b[31m", "a b")

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        time.sleep(self.delay_s)
        if self.path != "/v1/models":
            self.send_error(404)
            return
        self.answer({"data": [{"id": name} for name in self.names]})

    def do_POST(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        self.answer({"models": list(self.names)})

    def answer(self, value: object) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Lists) as found:
        found.asked = []
        found.url = f"http://127.0.0.1:{found.server_address[1]}"
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


def until_heard(ask, expected: list[str]) -> None:
    """Ask again while a busy machine makes the server too late."""
    deadline = time.monotonic() + 60
    while (found := ask()) != expected and time.monotonic() < deadline:
        pass
    assert found == expected


def test_models_of_the_server_of_the_users_settings_are_completed(words, server):
    env = {"GLM_BASE_URL": server.url, "GLM_API_KEY": "secret"}
    until_heard(partial(words, "glm ask -m openai : ", **env), [])
    until_heard(lambda: words("glm ask -m openai:", **env), ["one", "two"])
    until_heard(lambda: words("glm ask -m fastchat:t", **env), ["two"])
    assert {key for _, key in server.asked} == {None}


def test_a_server_that_was_typed_is_asked(words, server):
    line = f"glm ask --base-url {server.url} -m openai:o"
    until_heard(lambda: words(line), ["one"])


def test_a_server_of_an_untrusted_folder_is_never_asked(tmp_path, words, server):
    (tmp_path / ".env").write_text(f"GLM_BASE_URL={server.url}\n")
    assert words("glm ask -m openai:") == []
    assert "smollm2" in words("glm ask -m ")
    assert server.asked == []


def test_a_server_is_not_asked_offline_nor_through_a_proxy(words, server):
    assert words("glm ask -m openai:", GLM_BASE_URL=server.url, GLM_OFFLINE="on") == []
    proxied = {"GLM_BASE_URL": "http://models.test/v1", "http_proxy": server.url}
    assert words("glm ask -m openai:", **proxied) == []
    assert server.asked == []


def test_a_slow_server_is_not_waited_for(tmp_path, words, monkeypatch, server):
    monkeypatch.setattr(Lists, "delay_s", 20.0)
    start = time.monotonic()
    assert "echo:" in words("glm ask -m ", GLM_BASE_URL=server.url)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    "url", ["nonsense", "http://", "https://127.0.0.1:1", "http://127.0.0.1:1", "http://[", "\x1b"]
)
def test_a_server_that_cannot_be_asked_is_not_said(words, url):
    assert words("glm ask -m ec", GLM_BASE_URL=url) == ["echo:"]


def test_an_answer_without_end_is_left(words):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def pour() -> None:
            client, _ = listening.accept()
            with client, pytest.raises(OSError):
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while True:
                    client.sendall(b"[" * 65536)

        threading.Thread(target=pour, daemon=True).start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        assert words("glm ask -m openai:", GLM_BASE_URL=url) == []


# Shells


needs_zsh = pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
needs_fish = pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")


@pytest.fixture
def env(tmp_path):
    """The environment of a shell in which `glm` is this program."""
    script = tmp_path / "bin" / "glm"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m glmcli "$@"\n')
    script.chmod(0o755)
    return clean_env(
        PATH=f"{script.parent}:{os.environ['PATH']}",
        HOME=str(tmp_path / "own"),
        GLM_HOME=str(tmp_path / "home"),
        GLM_CACHE=str(tmp_path / "cache"),
        HF_HUB_CACHE=str(tmp_path / "hub"),
        PYTHONPATH=str(Path(__file__).parents[2]),
        TERM="dumb",
        PS1="READY ",
    )


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "work"
    found.mkdir()
    (found / "notes.json").write_text("{}")
    (found / "papers").mkdir()
    (found / "papers" / "one.txt").write_text("")
    return found


TYPED = [
    ("glm ask --thr", "<ask><--threads>"),
    ("glm hist", "<history>"),
    ("glm ask --format rec", "<ask><--format><records>"),
    ("glm ask --format=rec", "<ask><--format=records>"),
    ("glm ask -m ec", "<ask><-m><echo:>"),
    ("glm history import no", "<history><import><notes.json>"),
    ("glm ask -a papers/o", "<ask><-a><papers/one.txt>"),
    ("glm ask @no", "<ask><@notes.json>"),
    ("glm ask @pap", "<ask><@papers/one.txt>"),
    ("glm ask --file=papers/o", "<ask><--file=papers/one.txt>"),
    ("glm ask --messages no", "<ask><--messages><notes.json>"),
    ("glm config trust pap", "<config><trust><papers/>"),
    ("glm config trust no", "<config><trust><no>"),
    ("glm ask --adapter=pap", "<ask><--adapter=papers/>"),
    ("glm models show pap", "<models><show><papers/>"),
    ("glm ask -m pap", "<ask><-m><papers/>"),
    ("glm ask -m no", "<ask><-m><no>"),
    ("glm ask --code la", "<ask><--code><last>"),
    ("glm ask --code no", "<ask><--code><no>"),
    ("glm history undelete no", "<history><undelete><no>"),
    ("glm history search no", "<history><search><no>"),
    ("glm ask --temperature no", "<ask><--temperature><no>"),
    ("glm ask no", "<ask><no>"),
    ("glm no", "<no>"),
]
"""What is typed, and the words that the shell has after Tab."""
SHOW_WORDS = "glm() { printf '<%s>' \"$@\"; echo; }"
"""In place of the program where the line is run; who completes asks the program itself."""


def check_typed(shell: pexpect.spawn, line: str, expected: str) -> None:
    """Type a line, Tab and Enter, and expect these words."""
    shell.send(line + "\t")
    shell.send("\r")
    shell.expect(r"<.*>", timeout=60)
    assert shell.match[0] == expected
    shell.expect_exact("READY", timeout=60)


def test_bash_completes(env, folder):
    script = (
        'source <(glm --show-completion); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))\n'
        '_glm_completion glm; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    ids = keep(Path(env["GLM_HOME"]), *HOSTILE)

    def complete(*words: str) -> list[str]:
        argv = ["bash", "--norc", "-c", script, "bash", *words]
        done = subprocess.run(argv, env=env, cwd=folder, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return done.stdout.split("\n")[:-1]

    assert complete("glm", "ask", "--th") == ["--threads", "--think", "--thinking"]
    assert complete("glm", "ask", "--format", "=", "js") == ["json", "jsonl"]
    assert sorted(complete("glm", "history", "show", "")) == sorted(ids)
    assert complete("glm", "ask", "a 'quoted") == [""]
    assert not (folder / "pwned").exists()


@pytest.mark.pty
def test_bash_completes_what_is_typed(env, folder):
    shell = pexpect.spawn(
        "bash", ["--norc", "-i"], env=env, cwd=folder, encoding="utf-8", dimensions=(40, 200)
    )
    with closing(shell):
        shell.expect_exact("READY")
        shell.sendline('eval "$(glm --show-completion)"')
        shell.expect_exact("READY", timeout=60)
        shell.sendline(SHOW_WORDS)
        shell.expect_exact("READY", timeout=60)
        (folder / "my notes.txt").write_text("")
        blanks = [(f"glm ask @my{rest}", "<ask><@my notes.txt>") for rest in ("", "\\ no")]
        for line, expected in [*TYPED, *blanks]:
            check_typed(shell, line, expected)


@pytest.mark.pty
def test_bash_lists_words_with_their_help_and_puts_in_words_alone(env, folder):
    one, two = keep(Path(env["GLM_HOME"]), "Why is the sky blue?", "Tides")
    shell = pexpect.spawn(
        "bash", ["--norc", "-i"], env=env, cwd=folder, encoding="utf-8", dimensions=(40, 100)
    )

    def run(line: str) -> None:
        shell.sendline(line)
        shell.expect_exact("READY", timeout=60)

    with closing(shell):
        shell.expect_exact("READY")
        run('eval "$(glm --show-completion)"')
        run(SHOW_WORDS)
        shell.send("glm history show \t\t")
        shell.expect(rf"{two}  Tides · \d+ s\s+{one}  Why is the sky blue\? · \d+ s", timeout=60)
        shell.expect_exact("READY glm history show ", timeout=60)
        check_typed(shell, two[:7], f"<history><show><{two}>")
        run("bind 'set show-all-if-ambiguous on'")
        shell.send("glm ask --thi\t")
        shell.expect(r"--think +whether .*--thinking +how ", timeout=60)
        shell.expect_exact("READY glm ask --think", timeout=60)
        check_typed(shell, " --code a", "<ask><--think><--code><all>")
        run("""bind '"\\t": menu-complete'""")
        check_typed(shell, "glm history show ", f"<history><show><{two}>")


@needs_fish
def test_fish_completes(env, folder):
    ids = keep(Path(env["GLM_HOME"]), *HOSTILE)

    def complete(line: str) -> list[str]:
        script = "glm --show-completion | source; complete --do-complete $argv[1]"
        done = subprocess.run(
            ["fish", "--no-config", "-c", script, line],
            env=env,
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return done.stdout.splitlines()

    def words(line: str) -> list[str]:
        return [each.split("\t")[0] for each in complete(line)]

    assert words("glm ask --th") == ["--threads", "--think", "--thinking"]
    assert words("glm ask --adapter ") == words("glm config trust ") == ["papers/"]
    assert words("glm ask --adapter=pap") == ["--adapter=papers/"]
    assert words("glm ask -m pap") == ["papers/"]
    assert words("glm ask -a ") == ["notes.json", "papers/"]
    assert words("glm ask --code ") == ["last", "all", "1", "2", "3"]
    assert words("glm history undelete ") == words("glm ask ") == words("glm ask --seed ") == []
    assert complete("glm ask --format=rec") == ["--format=records"]
    assert complete("glm ask -m ec")[0].startswith("echo:\t")
    assert "notes.json" in complete("glm history import no")[0]
    assert words("glm history show ") == ids[::-1]
    assert not (folder / "pwned").exists()


@needs_zsh
@pytest.mark.pty
def test_zsh_completes_what_is_typed(env, folder):
    names = keep(Path(env["GLM_HOME"]), *HOSTILE)
    shell = pexpect.spawn(
        "zsh", ["-f", "-i"], env=env, cwd=folder, encoding="utf-8", dimensions=(60, 200)
    )
    with closing(shell):
        shell.expect_exact("READY")
        shell.sendline(
            "autoload -Uz compinit; compinit -u -D; unsetopt prompt_sp auto_remove_slash"
        )
        shell.expect_exact("READY", timeout=60)
        shell.sendline('eval "$(glm --show-completion)"')
        shell.expect_exact("READY", timeout=60)
        shell.sendline(SHOW_WORDS)
        shell.expect_exact("READY", timeout=60)
        for line, expected in TYPED:
            check_typed(shell, line, expected)
        check_typed(shell, f"glm history show {names[0][:6]}", f"<history><show><{names[0]}>")
        shell.send("glm history show \t")
        listed = ""
        while not all(name in listed for name in names):
            shell.expect(r".+", timeout=60)
            listed += shell.match[0]
        alone = [*names[:4], *names[6:]]  # zsh puts words with the same help into one row
        assert sorted(alone, key=listed.index) == alone[::-1]
        shell.send("\x15glm \t")
        shell.expect_exact("by OpenAI's interface.", timeout=60)
    assert not (folder / "pwned").exists()


@needs_zsh
@pytest.mark.pty
def test_zsh_completes_at_every_tab_where_the_script_is_installed(env, folder):
    functions = folder.parent / "functions"
    functions.mkdir()
    shell = pexpect.spawn(
        "zsh", ["-f", "-i"], env=env, cwd=folder, encoding="utf-8", dimensions=(60, 200)
    )
    with closing(shell):
        shell.expect_exact("READY")
        shell.sendline(f"glm --show-completion > {functions}/_glm")
        shell.expect_exact("READY", timeout=60)
        shell.sendline(f"fpath=({functions} $fpath); autoload -Uz compinit; compinit -u -D")
        shell.expect_exact("READY", timeout=60)
        shell.sendline(SHOW_WORDS)
        shell.expect_exact("READY", timeout=60)
        check_typed(shell, "glm history exp", "<history><export>")
        check_typed(shell, "glm roles sho", "<roles><show>")
        check_typed(shell, "glm config se", "<config><set>")
