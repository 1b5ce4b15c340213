"""What bash takes apart is joined again; help is one line that no shell and no terminal obeys."""

from __future__ import annotations

import pytest

from glmcli.cli.completion.shells import harmless, rejoined


@pytest.mark.parametrize(
    ("taken_apart", "words"),
    [
        ("ask|-m|openai|:|gp", "ask|-m|openai:gp"),
        ("ask|-m|openai|:", "ask|-m|openai:"),
        ("ask|-m|openai|:|", "ask|-m|openai:|"),
        ("ask|-m|openai|:|a|:|b", "ask|-m|openai:a:b"),
        ("ask|-m|echo|:|--fo", "ask|-m|echo:|--fo"),
        ("ask|--format|=|js", "ask|--format=js"),
        ("ask|--format|=", "ask|--format="),
        ("ask|@|no", "ask|@no"),
        ("ask|hello|@|no", "ask|hello|@no"),
        ("ask|-m|org/name|@|re", "ask|-m|org/name@re"),
        ("ask|", "ask|"),
        ("", ""),
    ],
)
def test_words_that_bash_takes_apart_are_joined(taken_apart, words):
    assert rejoined(taken_apart.split("|")) == words.split("|")


def test_help_is_one_harmless_line():
    assert harmless("a\n\tb \\$(x) \x1b[31m\u202e") == "a b /$(x) ␛[31m<U+202E>"
    assert len(harmless("x" * 1000)) < 100
