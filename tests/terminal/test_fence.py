"""Code in fences: highlighted as it comes, and never altered."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pygments.token import Keyword

from glmcli.terminal.fence import LONGEST_LINE, find_lexer, highlight
from glmcli.terminal.markdown import MarkdownStream, render
from glmcli.terminal.theme import PLAIN, token_style
from tests.terminal.documents import cells, pieces, streamed, texts

LINES = st.sampled_from(
    [
        "def f(x):",
        "    return x",
        "",
        '    """Words',
        '"""',
        "x = 'it''s'",
        "# why",
        "}",
        "/* a",
        "*/",
    ]
)


def fenced(code: str, language: str) -> str:
    return f"```{language}\n{code}\n```\n"


def test_colours_come_while_the_line_is_typed():
    stream = MarkdownStream(width=60)
    stream.feed("```python\nretur")
    assert stream.live() == [(("retur", PLAIN),)]
    stream.feed("n x")
    assert stream.live()[0][0] == ("return", token_style(Keyword))


@pytest.mark.parametrize(
    "language", ["", "no-such-language", "python", "c", "json", "PYTHON", "rs"]
)
def test_every_language_keeps_the_code(language):
    code = 'int main() {\n\t\n  "中文" /* \x01 */ \\\n}'
    assert texts(render(fenced(code, language), width=60))[1:-1] == [
        "int main() {",
        "",
        '  "中文" /* ␁ */ \\',
        "}",
    ]


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.lists(LINES, max_size=60), st.sampled_from(["python", "c", "js", "html"]))
def test_colours_do_not_depend_on_how_the_code_came(lines, language):
    text = fenced("\n".join(lines), language)
    assert cells(streamed(pieces(text, 11), 50)) == cells(render(text, width=50))


def test_most_colours_are_those_of_the_whole_code():
    code = [f'def f{n}(x):\n    """Words\n\n    and more words.\n    """\n' for n in range(40)]
    lines = "\n".join(code).split("\n")
    whole = highlight(find_lexer("python"), lines)
    assert cells(render(fenced("\n".join(lines), "python"), width=60))[1:-1] == cells(whole)


def test_a_long_string_does_not_stop_the_colours_for_good():
    text = fenced('x = """\n' + "words\n" * 500 + '"""\nreturn 1', "python")
    assert texts(render(text, width=60)).count("words") == 500


def test_a_line_of_data_is_not_highlighted():
    line = '{"a": 1}' * (LONGEST_LINE // 8 + 1)
    assert highlight(find_lexer("json"), [line])[0][0][0] == line


def test_a_fence_ends_with_the_item_or_quote_that_it_is_in():
    assert texts(render("- ```\n  code\n\ntext", width=30)) == [
        " • ```",
        "   code",
        "",
        "   ```",
        "",
        "text",
    ]
    assert texts(render("> ```\n> code\ntext", width=30)) == [
        "▌ ```",
        "▌ code",
        "▌ ```",
        "",
        "text",
    ]


def test_a_longer_fence_holds_a_shorter_one():
    assert texts(render("````md\n```\n````", width=30)) == ["````md", "```", "````"]
