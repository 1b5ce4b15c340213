from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import threading
from contextlib import closing

import pytest

from glmcli import cli
from glmcli.cli.tables import styled
from glmcli.errors import ModelError
from glmcli.types import Progress
from tests.support.shell import clean_env, command
from tests.support.term import Term

ECHO = ("-m", "echo:")


@pytest.fixture
def talk(glm):
    """Two stored conversations; returns their ids, the newest first."""
    glm("ask", *ECHO, "the first question")
    glm("ask", *ECHO, "天气怎么样")
    return [line.split("\t")[0] for line in glm("history", "list", "--all").out.splitlines()]


def test_the_list_is_tab_separated_in_a_pipe(glm, talk):
    lines = [line.split("\t") for line in glm("history", "list", "--all").out.splitlines()]
    assert [line[4] for line in lines] == ["天气怎么样", "the first question"]
    assert [(line[2], line[3], line[5], line[6]) for line in lines] == [
        ("1", "echo:", "", "ask")
    ] * 2
    assert {len(line) for line in lines} == {7}


def test_the_list_as_json(glm, talk):
    items = json.loads(glm("history", "list", "--json", "--limit", "1").out)
    assert [item["id"] for item in items] == talk[:1]
    assert items[0]["model"] == "echo:"


def test_show_prints_markdown_or_json(glm, talk):
    assert "天气怎么样" in glm("history", "show", talk[0]).out
    shown = json.loads(glm("history", "show", talk[0][:5], "--json").out)
    assert [item["role"] for item in shown["messages"]] == ["user", "assistant"]


def test_search_finds_two_chinese_characters(glm, talk):
    assert talk[0] in glm("history", "search", "天气").out
    assert glm("history", "search", "nowhere").out == ""


@pytest.mark.parametrize("format", ["json", "jsonl"])
def test_export_and_import_round_trip(glm, talk, tmp_path, format):
    exported = glm("history", "export", "--format", format).out
    before = json.loads(glm("history", "list", "--json").out)
    (tmp_path / f"all.{format}").write_text(exported)
    (tmp_path / "home" / "history.db").unlink()
    imported = glm("history", "import", f"all.{format}").out
    assert [line.split("\t")[0] for line in imported.splitlines()] == talk
    after = json.loads(glm("history", "list", "--json").out)
    assert [item["title"] for item in after] == ["天气怎么样", "the first question"]
    dates = ([item["updated_at"] for item in listed] for listed in (before, after))
    assert next(dates) == pytest.approx(next(dates), abs=1e-5)
    again = glm("history", "export", "--format", format).out
    assert json.loads(again.splitlines()[0] if format == "jsonl" else again) == json.loads(
        (exported.splitlines()[0] if format == "jsonl" else exported).replace('"echo:"', '""')
    )


def test_a_conversation_that_is_here_already_is_not_imported_again(glm, talk, tmp_path):
    (tmp_path / "all.json").write_text(glm("history", "export", "-f", "json").out)
    foreign = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    (tmp_path / "foreign.json").write_text(json.dumps(foreign))
    glm("ask", *ECHO, "--resume", talk[1], "and more")  # it goes on after the export
    assert len(glm("history", "import", "foreign.json").out.splitlines()) == 1
    done = glm("history", "import", "all.json", "foreign.json", "foreign.json")
    assert (done.code, done.out) == (0, "")
    assert done.err_lines[0] == "4 conversations were here already and were left out"
    assert len(glm("history", "list", "--all").out.splitlines()) == 3


def test_another_conversation_of_the_same_id_is_imported_beside_it(glm, talk, tmp_path):
    other = {"id": talk[0], "messages": [{"role": "user", "content": "something else"}]}
    (tmp_path / "other.json").write_text(json.dumps(other))
    (line,) = glm("history", "import", "other.json").out.splitlines()
    assert line.split("\t")[0] not in talk
    assert glm("history", "import", "other.json").out == ""
    assert "天气怎么样" in glm("history", "show", talk[0]).out


def test_rename(glm, talk):
    glm("history", "rename", talk[0], "about the weather")
    assert "about the weather" in glm("history", "list", "--all").out


def test_delete_asks_first(glm, talk):
    refused = glm("history", "delete", talk[0])
    assert refused.code == 2
    assert "--yes" in refused.err
    glm("history", "delete", "--yes", talk[0])
    assert talk[0] not in glm("history", "list", "--all").out


def test_an_unknown_id_is_one_line_and_one_hint(glm, talk):
    done = glm("history", "show", "zzzz")
    assert done.code == 2
    assert len(done.err_lines) == 2


def test_reading_a_history_that_is_not_there_writes_nothing(glm, tmp_path):
    assert glm("history", "list", "--all").out == ""
    assert glm("history", "path").out.strip() == str(tmp_path / "home" / "history.db")
    assert not (tmp_path / "home" / "history.db").exists()


def test_config_show_says_where_each_value_came_from(glm, tmp_path):
    (tmp_path / ".env").write_text("GLM_TOP_K=7\n")
    rows = [
        line.split("\t")
        for line in glm("config", "show", GLM_SEED="5", GLM_API_KEY="secret").out.splitlines()
    ]
    values = {name: (value, source) for name, value, source in rows}
    assert values["GLM_TOP_K"] == ("7", ".env")
    assert values["GLM_SEED"] == ("5", "environment")
    assert values["GLM_MODEL"] == ("smollm2", "default")
    assert values["GLM_API_KEY"] == ("********", "environment")


def test_config_path(glm, tmp_path):
    assert glm("config", "path").out.strip() == str(tmp_path / "home" / "config.toml")


def test_the_built_in_model_is_always_listed(glm, tmp_path):
    items = json.loads(glm("models", "list", "--json", GLM_CACHE=str(tmp_path / "cache")).out)
    assert items[0]["name"] == "smollm2"
    assert set(items[0]) == {"name", "path", "family", "size_bytes", "window", "bits", "source"}


@pytest.mark.parametrize("name", ["./nowhere", "nonsense", "nobody/nothing"])
def test_a_model_that_is_not_here_is_one_line_and_one_hint(glm, name, tmp_path):
    done = glm("models", "show", name, GLM_OFFLINE="1", HF_HOME=str(tmp_path))
    assert done.code == 3
    assert len(done.err_lines) == 2


def test_nobody_is_asked_about_a_model_that_is_not_there(glm, tmp_path):
    (tmp_path / "mine").mkdir()
    for name, said in (("nope", "nope"), ("./mine", "is a folder of your own")):
        done = glm("models", "remove", name, GLM_CACHE=str(tmp_path / "cache"))
        assert (done.code, len(done.err_lines)) == (3, 2)
        assert said in done.err
        assert "--yes" not in done.err


def test_a_pull_that_fails_says_so_in_its_exit_code_though_stderr_is_closed(tmp_path):
    shell = " ".join(command("models", "pull", "smollm2", "--offline"))
    env = clean_env(GLM_HOME=str(tmp_path), GLM_CACHE=str(tmp_path / "cache"))
    done = subprocess.run(["sh", "-c", f"{shell} 2>&- </dev/null"], env=env, timeout=60)
    assert done.returncode == 3


def test_a_pull_that_fails_leaves_no_status_row_behind(monkeypatch):
    def find(name, settings, report, *, refresh):
        report(Progress("fetching", 1_000_000, 2_000_000, "bytes"))
        raise ModelError("the network is gone", "try again")

    monkeypatch.setattr("glmcli.models.library.removing.find_checkpoint", find)
    monkeypatch.setenv("TERM", "xterm")
    master, slave = os.openpty()
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        assert cli.run(["models", "pull", "anything"]) == 3
        shown = ""
        while "gone" not in shown:  # a terminal may hand its bytes over in parts
            shown += os.read(master, 4096).decode()
        monkeypatch.undo()
    os.close(master)
    row, said = shown.split("\r\x1b[K")[1:]
    assert row.startswith("fetching the model, 1 MB of 2 MB")
    assert said.startswith("glm: the network is gone")


def test_delete_says_what_it_deleted(glm, talk):
    done = glm("history", "delete", "--yes", talk[0])
    assert done.out.startswith(f"deleted {talk[0]} ")


def test_a_conversation_without_messages_is_not_imported(glm, tmp_path):
    (tmp_path / "talk.json").write_text('{"system": "be kind", "messages": []}')
    done = glm("history", "import", "talk.json")
    assert (done.code, done.out) == (0, "")
    assert done.err == "1 conversation without messages was left out\n"


def test_a_title_of_megabytes_costs_no_list_any_time(glm, tmp_path):
    talk = {"title": "x" * 5_000_000, "messages": [{"role": "user", "content": "hi"}]}
    (tmp_path / "talk.json").write_text(json.dumps(talk))
    glm("history", "import", "talk.json")
    assert len(json.loads(glm("history", "list", "--json").out)[0]["title"]) <= 500


def test_a_cell_of_megabytes_is_laid_out_up_to_a_bound():
    assert len(styled("x" * 5_000_000)) <= 401
    assert styled("short").plain == "short"


def test_a_file_from_elsewhere_does_not_choose_the_model(glm, tmp_path):
    talk = {"system": "", "model": "./evil", "messages": [{"role": "user", "content": "hi"}]}
    (tmp_path / "talk.json").write_text(json.dumps(talk))
    done = glm("history", "import", "talk.json")
    assert done.err == "a file does not choose what is loaded: -m goes on with ./evil\n"
    assert json.loads(glm("history", "list", "--json").out)[0]["model"] == ""


def test_the_model_of_a_file_that_brings_nothing_new_is_not_told_of(glm, tmp_path):
    asked = [{"role": "user", "content": "hi"}]
    talks = [{"model": "./one", "messages": asked}, {"model": "./two", "messages": []}]
    (tmp_path / "talk.json").write_text(json.dumps(talks))
    assert "./two" not in glm("history", "import", "talk.json").err
    again = glm("history", "import", "talk.json").err
    assert "was here already" in again
    assert "./one" not in again


@pytest.mark.pty
def test_ids_stay_whole_in_a_narrow_window(tmp_path, glm):
    glm("ask", *ECHO, "a question whose words do not fit beside the other columns of the table")
    ids = [item["id"] for item in json.loads(glm("history", "list", "--json").out)]
    with Term("history", "list", "--all", "-n", "9", home=tmp_path / "home", cols=40) as term:
        term.until(lambda t: any(line.startswith(ids[0]) for line in t.lines()), ids[0])
        assert re.fullmatch("id +age +title +kind", term.lines()[0].strip())


@pytest.mark.pty
def test_a_list_of_chats_tells_of_a_newer_ask(tmp_path, glm):
    said = "the newest is an ask: --all lists the asks"
    for is_told in (False, True):
        glm(*(["ask", *ECHO, "hi"] if is_told else ["chat", *ECHO]), stdin="hello")
        with Term("history", "list", "-n", "9", home=tmp_path / "home") as term:
            assert term.ended() == 0
            assert (said in term.text()) == is_told


FAMILY = "\N{WOMAN}\u200d\N{WOMAN}\u200d\N{GIRL}"


def test_an_emoji_in_a_title_is_said_as_it_is(glm):
    glm("chat", *ECHO, stdin=f"{FAMILY} at home")
    (name,) = (item["id"] for item in json.loads(glm("history", "list", "--json").out))
    assert glm("history", "delete", "-y", name).out == f"deleted {name} '{FAMILY} at home'\n"
    assert f"'{FAMILY} at home'" in glm("history", "undelete", name).out


@pytest.mark.pty
def test_deleted_conversations_are_listed_in_the_columns_of_all_lists(tmp_path, glm):
    glm("chat", *ECHO, stdin="hi")
    (name,) = (item["id"] for item in json.loads(glm("history", "list", "--json").out))
    glm("history", "rename", name, "first line\nsecond line " + "and more of it " * 9)
    glm("history", "delete", "-y", name)
    with Term("history", "undelete", home=tmp_path / "home", cols=70) as term:
        term.until(lambda t: any(line.startswith(name) for line in t.lines()), name)
        head, row, *others = (line for line in term.lines() if line.strip())
    assert re.match("id +deleted +days left +", head)
    assert "first line second line" in row and row.rstrip().endswith("…")
    assert not others


def kinds(glm):
    return [
        (each["kind"], each["title"]) for each in json.loads(glm("history", "list", "--json").out)
    ]


def test_a_call_that_no_model_answered_is_not_the_last_conversation(glm):
    assert glm("chat", *ECHO, stdin="hello\n").code == 0
    for door in ("chat", "ask"):
        assert glm(door, "-m", "./nosuch", "hi").code == 3
    assert kinds(glm) == [("chat", "hello")]
    assert "hi" not in glm("history", "list", "--all").out
    done = glm("chat", "-c", "again")
    assert (done.out, done.code) == ("again\n", 0)
    assert glm("chat", "-c", "-m", "./nosuch", "hi").code == 3
    assert glm("chat", "-c", "and again").out == "and again\n"  # the model that answered
    assert glm("history", "search", "hi").out.count("\n") == 3  # nothing typed is lost


def test_chats_and_asks_each_go_on_with_their_own(glm):
    glm("chat", *ECHO, stdin="a chat\n")
    glm("ask", *ECHO, "an ask")
    assert kinds(glm) == [("ask", "an ask"), ("chat", "a chat")]
    assert [line.split("\t")[4] for line in glm("history", "list").out.splitlines()] == ["a chat"]
    ask_id, chat_id = (each["id"] for each in json.loads(glm("history", "list", "--json").out))
    note = f"there is a newer ask: --resume {ask_id} goes on with it"
    resumed = f"resumed {chat_id}: 1 turn, with its settings"
    assert glm("chat", "-c", stdin="more of the chat\n").err_lines == [note, resumed]
    done = glm("ask", "-c", "more of the ask")
    assert f"resumed {ask_id}" in done.err
    assert glm("chat", "-c", "-q", stdin="x\n").err == ""
    assert f"resumed {chat_id}" in glm("ask", "--resume", chat_id, "x").err
    assert [kind for kind, _ in kinds(glm)] == ["chat", "ask"]  # a chat stays one
    glm("chat", "--resume", ask_id, stdin="x\n")
    assert [kind for kind, _ in kinds(glm)] == ["chat", "chat"]  # an ask becomes one


@pytest.mark.parametrize("door", ["ask", "chat"])
def test_a_conversation_that_goes_on_says_how_its_last_reply_ended(glm, door):
    glm(door, *ECHO, "--max-tokens", "1", stdin="one two\n")
    done = glm(door, "-c", "--max-tokens", "9", stdin="more\n")
    said, resumed = done.err_lines[:2]
    assert said == "the last reply: cut at the token limit"
    assert resumed.startswith("resumed ")
    assert "the last reply" not in glm(door, "-c", stdin="more\n").err


@pytest.mark.parametrize(("held", "other"), [("ask", "chat"), ("chat", "ask")])
def test_where_there_is_none_of_its_kind_it_is_said_how_to_go_on(glm, held, other):
    assert f"start one with glm {other}" in glm(other, "-c", "x").err
    glm(held, *ECHO, "hello")
    (id,) = (each["id"] for each in json.loads(glm("history", "list", "--json").out))
    done = glm(other, "-c", "x")
    assert (done.code, done.err_lines[1]) == (
        2,
        f"hint: --resume {id} goes on with the last {held}",
    )


def test_what_is_imported_counts_for_both(glm, tmp_path):
    talk = {
        "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]
    }
    (tmp_path / "talk.json").write_text(json.dumps(talk))
    glm("history", "import", "talk.json")
    assert "hi" in glm("history", "list").out
    for door in ("ask", "chat"):
        assert glm(door, "-c", *ECHO, "x").code == 0


def test_a_deletion_is_taken_back_or_made_final(glm, talk):
    done = glm("history", "delete", "--yes", *talk)
    assert f"history undelete {' '.join(talk)}" in done.err
    assert glm("history", "list", "--all").out == ""
    assert glm("history", "export").out == ""
    listed = [line.split("\t") for line in glm("history", "undelete").out.splitlines()]
    assert {line[0] for line in listed} == set(talk)
    assert {line[-1] for line in listed} == {"30"}
    back = glm("history", "undelete", talk[0][:4])
    assert back.out == f"brought back {talk[0]} '天气怎么样'\n"
    assert glm("history", "list", "--all").out.split("\t")[0] == talk[0]
    again = glm("history", "undelete", talk[0])
    assert again.err_lines == [
        f"glm: the conversation {talk[0]} is not deleted",
        f"hint: glm history show {talk[0]} shows it",
    ]
    gone = glm("history", "delete", "--purge", "--yes", *talk)
    assert gone.out.startswith("deleted for good: ")
    assert glm("history", "undelete").out == ""
    assert glm("history", "undelete", talk[0]).code == 2


def test_a_short_id_is_refused_with_the_candidates(glm, talk):
    for call in (["show"], ["delete", "-y"], ["export"], ["undelete"]):
        done = glm("history", *call, talk[0][:3])
        assert done.code == 2
        assert (talk[0] in done.err) == (call != ["undelete"])
    done = glm("chat", *ECHO, "--resume", talk[0][:1])
    assert done.code == 2
    assert "too short" in done.err
    assert "天气怎么样" in done.err


def test_history_alone_lists_the_chats(glm):
    glm("chat", "-m", "echo:", "hello")
    done = glm("history")
    assert done.code == 0 and "hello" in done.out
    ages = r"\d+ s\b *"
    assert re.sub(ages, "", done.out) == re.sub(ages, "", glm("history", "list").out)


@pytest.mark.parametrize(
    "call",
    [
        ("history", "list"),
        ("history", "search", "first"),
        ("history", "export"),
        ("ask", "-c", "x"),
    ],
)
def test_a_damaged_history_is_said_by_whoever_meets_it(glm, talk, tmp_path, call):
    path = tmp_path / "home" / "history.db"
    path.write_bytes(b"this is not a database at all" * 1000)
    done = glm(*call)
    assert sum("the history was damaged: it was moved to" in line for line in done.err_lines) == 1


def test_an_ask_is_saved_though_another_program_writes_for_seconds(glm, talk, tmp_path):
    path = tmp_path / "home" / "history.db"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(3, lambda: other.execute("ROLLBACK"))
        timer.start()
        done = glm("ask", *ECHO, "in between")
        timer.join()
    assert (done.out, done.err) == ("in between\n", "")
    assert "in between" in glm("history", "list", "--all").out


def test_a_title_does_not_steer_whoever_reads_the_pipe_but_json_has_it(glm):
    title = "a\x1b[2J\u202eb"
    glm("ask", *ECHO, "hello")
    [entry] = json.loads(glm("history", "list", "--json").out)
    assert glm("history", "rename", entry["id"], title).code == 0
    for words in (("list", "--all"), ("search", "hello")):
        out = glm("history", *words).out
        assert "a␛[2J<U+202E>b" in out and "\x1b" not in out
    assert json.loads(glm("history", "list", "--json").out)[0]["title"] == title
