"""Errors, hints and notices on a terminal of 60 columns: no row is cut inside a word."""

from __future__ import annotations

import pytest

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
