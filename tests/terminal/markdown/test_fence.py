"""Code in fences: highlighted as it comes, and never altered."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pygments.token import Keyword

from glmcli.terminal.markdown.fence import LONGEST_LINE, find_lexer, highlight
from glmcli.terminal.markdown.stream import MarkdownStream, render
from glmcli.terminal.theme import PLAIN, token_style
from tests.support.documents import cells, pieces, streamed, texts

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


def test_a_line_of_data_is_not_highlighted_but_the_lines_around_it_are():
    data = "x = [" + "1, " * (LONGEST_LINE // 3) + "]"
    rows = render(fenced(f"return 1\n{data}\nreturn 2", "python"), width=2 * LONGEST_LINE)
    assert rows[2] == ((data, PLAIN),)
    assert rows[1][0] == rows[3][0] == ("return", token_style(Keyword))


def test_the_rows_of_a_long_line_are_final_as_they_fill():
    stream, rows, line = MarkdownStream(width=40), [], "QUJD" * 5 * LONGEST_LINE
    for chunk in pieces(f"- ```\n  {line}", 8):
        stream.feed(chunk)
        rows += stream.take()
        assert len(stream.live()) < 2 + (LONGEST_LINE + 80) // 37
    assert "".join(texts(rows + stream.live())).replace(" ", "") == "•```" + line
    assert stream.parsed < 30 * len(line)


@pytest.mark.parametrize("end", ["", "\n", "```\n", "\n```\n", "\n  ```\n\nx", "\n\n  return\n"])
def test_a_long_line_is_the_same_however_it_comes(end):
    text = "> ```python\n> return\n> " + "ab 中文\t" * LONGEST_LINE + end.replace("\n", "\n> ")
    for size in (7, 100, 1000, len(text)):
        assert cells(streamed(pieces(text, size), 50)) == cells(render(text, width=50))


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
