"""What is parsed in its own way, so that a line is never turned into something else later."""

import re

import pytest

from glmcli.terminal.markdown.parser import LONG_LINE, Parser
from glmcli.terminal.markdown.rules.tex import LONGEST
from glmcli.terminal.markdown.stream import render
from tests.support.documents import texts


def kinds(text: str) -> list[str]:
    return [token.type for token in Parser().blocks(text.split("\n")) if token.nesting >= 0]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("words\n===", "heading_open"),
        ("two\nlines\n===", "paragraph_open"),
        ("$$\nx", "math_block"),
        ("$$x$$ words", "paragraph_open"),
        ("\\[x\\]", "math_block"),
        ("a|b\n-|-", "table"),
        ("```a|b\n-|-", "fence"),
        ("a|b" + "c" * LONG_LINE + "\n-|-", "paragraph_open"),
        ("```" + "c" * LONG_LINE, "paragraph_open"),
        ("<div>", "paragraph_open"),
        ("[a]: http://b", "paragraph_open"),
    ],
)
def test_kinds_of_blocks(text, kind):
    assert kinds(text)[0] == kind


@pytest.mark.parametrize(
    ("source", "closed"),
    [
        ("words", True),
        ("a **b** `c` [d](e) $f$ \\(g\\) i", True),
        ("2 * 3 = 6", True),
        ("[1] and (2) and \\[3", False),
        ("a **b", False),
        ("a `b", False),
        ("a [b", False),
        ("a [b](c", False),
        ("a [b](c) d", True),
        ("array[0] is", True),
        ("it costs $5", False),
        ("it costs $5" + LONGEST * "x", True),
        ("it costs $$5" + LONGEST * "x", False),
        ("a <br", False),
        ('a <b c="d > e" f', False),
        ("a <!-- b", False),
        ("a <b, c", True),
        ("a htt", False),
        ("a http://b.c/d", False),
        ("a http://b.c/d e", True),
        ("a www.b", False),
        ("a &am", False),
        ("a \\( b", False),
        ("escaped \\* \\` \\[", False),
        ("escaped \\* \\`", True),
        ("[a]: http", False),
        ("[a]: http://b 'ti", False),
        ("[a]: some words", True),
        ("words [a]: some", True),
    ],
)
def test_whether_later_text_can_change_how_this_one_reads(source, closed):
    assert Parser().inline(source).is_closed is closed


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ("a **b", "**"),
        ("a `b", "`"),
        ("a **b `c", "`**"),
        ("a **b**", ""),
        ("a *b", ""),
        ("``a", "``"),
    ],
)
def test_what_would_close_what_is_being_typed(source, missing):
    assert Parser().inline(source).missing == missing


def test_a_run_of_backslashes_is_parsed_at_once():
    even, odd = (Parser().inline("\\" * n).tokens for n in (1000, 1001))
    assert [token.content for token in even] == ["\\" * 500]
    assert [token.content for token in odd] == ["\\" * 500, "\\"]


def test_emphasis_in_a_long_paragraph_is_found_wherever_it_is():
    text = "".join(f"Number {n} is **strong {n}** and `code {n}`. " for n in range(200))
    rows = texts(render(text, width=80))
    assert not any("*" in row or "`" in row for row in rows)


def test_a_mark_that_is_never_closed_costs_no_text():
    text = "An [open bracket and a ** star " + "and many words " * 400
    assert " ".join(texts(render(text, width=80))).split() == text.split()


@pytest.mark.parametrize("mark", ["*stray", "**stray", "[open", "a (b [", "`stray"])
def test_what_follows_a_mark_that_is_never_closed_is_cut_between_words(mark):
    words = "**bold words** and [a link](http://a.b/c_d) with &amp; and _more words_ on "
    for shift in range(0, len(words), 5):
        text = f"{mark} {'x' * shift} {words * 30}"
        said = " ".join(texts(render(text, width=80)))
        assert not re.search(r"\*bold|words\*|\]\(|&amp;|_more|words_", said)
