"""Errors, hints and notices on a terminal of 60 columns: no row is cut inside a word."""

from __future__ import annotations

import http.client
import json
import os
import re

import pytest

from glmcli.engines.kept.place import KeptPlace, folder_to_use
from tests.support.kept import held
from tests.support.term import Term


@pytest.mark.pty
@pytest.mark.parametrize(
    ("line", "words"),
    [
        (("bench", "nosuch"), "glm: there is no model called 'nosuch'"),
        (("history", "delete", "--all"), "glm history delete ID ID; "),
        (("ask", "-m", "openai:", "-a", "nowhere/to/be/found/at/all.txt", "hi"), "all.txt cannot"),
    ],
)
@pytest.mark.parametrize("language", ["C.UTF-8", "zh_CN.UTF-8"])
def test_no_word_is_cut_at_60_columns(tmp_path, line, words, language):
    with Term(*line, home=tmp_path, cols=60, LC_ALL=language) as term:
        term.ended()
        rows = [row.rstrip() for row in term.screen.display if row.strip()]
    assert rows[0].startswith("glm: ")
    if language == "C.UTF-8":
        assert words.strip() in " ".join(" ".join(rows).split())
    assert all(row.startswith(("glm: ", "hint: ", "提示：", "     ")) for row in rows)


@pytest.mark.pty
@pytest.mark.parametrize("language", ["C.UTF-8", "zh_CN.UTF-8"])
@pytest.mark.parametrize("columns", [40, 60, 80, 100, 120])
def test_what_is_kept_and_served_is_listed_without_a_broken_cell(
    tmp_path, own_runtime, columns, language
):
    hours = "2 h" if language == "C.UTF-8" else "2 小时"
    facts = [hours, "smollm2", "http://127.0.0.1:8000", "629 MB", str(os.getpid())]
    with held(KeptPlace(folder_to_use(), "a" * 16), model="smollm2") as (holder, *_):
        holder.address, status = facts[2], holder.status
        sizes = {
            "memory_bytes": 600 << 20,
            "slot_bytes": 12 << 20,
            "slot_limit": 1 << 32,
            "ends_in_s": 7199,
        }
        holder.status = lambda: {**status(), **sizes, "device": "cpu, 2 threads, float32"}
        env = {"LC_ALL": language, "COLUMNS": "79"}  # not what the window is
        with Term("ps", home=tmp_path, cols=columns, **env) as term:
            term.ended()
            rows = [row.rstrip() for row in term.screen.display if row.strip()]
    said = "\n".join(rows)
    assert [fact for fact in facts if fact not in said] == [], said
    if columns >= 80:
        assert len(rows) == 2


@pytest.mark.pty
def test_a_model_with_a_chat_at_its_prompt_is_in_use(tmp_path, own_runtime):
    place = KeptPlace(folder_to_use(), "a" * 16)
    with (
        held(place) as (holder, *_),
        holder.attached(),
        Term("ps", home=tmp_path, cols=120) as term,
    ):
        term.ended()
        row = term.text().splitlines()[1]
    assert row.split()[:3] == ["echo:", "in", "use"]
    assert " 0 s" not in row


@pytest.mark.pty
def test_a_line_of_the_log_of_a_server_is_cut_between_words(tmp_path):
    fields = {"messages": [{"role": "user", "content": "hi"}], "unknown_field": 1, "another": 2}
    with Term("serve", "echo:", "--port", "0", home=tmp_path, cols=56) as term:
        port = re.search(r":(\d+)\n", term.see("Ctrl-C ends it").text())[1]
        connection = http.client.HTTPConnection("127.0.0.1", int(port))
        connection.request("POST", "/v1/chat/completions", json.dumps(fields))
        assert connection.getresponse().status == 200
        connection.close()
        rows = [row.strip() for row in term.see("unknown_field").text().split("\n")]
    assert "1 + 1 tokens · ignored: another, unknown_field" in " ".join(rows)


@pytest.mark.pty
def test_that_nothing_is_kept_is_cut_between_words(tmp_path, own_runtime):
    for command in ("ps", "stop"):
        with Term(command, home=tmp_path, cols=40) as term:
            term.ended()
            rows = [row.strip() for row in term.text().split("\n") if row.strip()]
        assert " ".join(rows) == "no model is kept; glm ask --keep 10m keeps one"
        assert len(rows) == 2
