"""Markdown as it should look, and the same however it came."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.style import Style

from glmcli.terminal import theme
from glmcli.terminal.markdown.stream import MarkdownStream, Row, render
from glmcli.terminal.rows import width
from tests.support.documents import SAMPLE, cells, documents, pieces, random_pieces, streamed, texts


def shown(markdown: str, columns: int = 60) -> list[str]:
    return texts(render(markdown, width=columns))


def style_of(words: str, markdown: str) -> Style:
    """The style in which `words` are shown."""
    rows = render(markdown, width=60)
    return next(style for row in rows for text, style in row if words in text)


# one and the same, however it came


@pytest.mark.parametrize("columns", [39, 59, 99])
@pytest.mark.parametrize("size", [1, 3, 7, 64, 100_000])
def test_the_sample_streamed_equals_the_sample_at_once(size, columns):
    rows = streamed(pieces(SAMPLE, size), columns)
    assert cells(rows) == cells(render(SAMPLE, width=columns))


@settings(max_examples=1700, derandomize=True, deadline=None)
@given(documents(), st.sampled_from([39, 59, 79]), st.integers(0, 2**32))
def test_any_text_streamed_equals_the_text_at_once(text, columns, seed):
    chunks = random_pieces(text, seed)
    at_once = render(text, width=columns)
    assert cells(streamed(chunks, columns, look=29)) == cells(at_once)
    assert all(width(row) <= columns for row in at_once)


@pytest.mark.parametrize(
    "text",
    [
        "    code\n\n\n    more code\n",
        "- a\n\n      code\n\n\n      more\n",
        "-\n\n  not in the item\n",
        "- \n      >\n- \n",
        "-\n-\n\n- b\n",
        ">\n    >1.     x\n",
        "\\[|r\n|-|-",
        "1. a\n1. b\n\n   c\n1. d",
        "> ```\n> x\nlazy\n| a |\n|---|\n",
        "> a\n> b\nlazy\n\n> c\n",
        "a\n- b\n\n\n\n  c\n",
        "| a |\n|---|\n| b |\n- c\n",
        "- - 1. a\n\n       b\n     2. c\n  - d\n",
        "\t- tab\n\n-\ttab\n\n\t\tcode\n",
        "text " * 120 + "\nTitle\n====\n\u3000\n",
        "words " * 40 + "\\[\n- x*y*z\n\\]\n",
        "1. \n\n\n1. a\n",
        ">\n>\n>\n> - a\n>\n>\n>   b\n-\n-\n",
        "[a]: http://x\n[a][a]\n===\n[b]: http://y\n\n[b] [a]\n",
        "a\n```\n```\na | b\n-|-\n-\n",
        "text " * 220 + "\n===\n" + "# " + "heading " * 200 + "#\n- " + "x| " * 300 + "\n|-|\n",
    ],
)
def test_texts_that_are_easily_mistaken(text):
    for size in (1, 2, 3, 5, 8, 13, 300):
        assert cells(streamed(pieces(text, size), 39)) == cells(render(text, width=39))


def test_a_link_that_is_defined_after_its_use_stays_as_it_was_shown():
    text = "See [the docs][d].\n\nMore.\n\n[d]: https://example.org\n"
    for rows in (render(text, width=60), streamed(pieces(text, 1), 60)):
        assert texts(rows) == ["See [the docs][d].", "", "More.", "", "[d]: https://example.org"]


def test_final_and_live_rows_are_what_has_arrived():
    stream, final, text = MarkdownStream(width=59), [], ""
    for line in SAMPLE.partition("```bash")[0].splitlines(keepends=True):
        stream.feed(line)
        text += line
        final += stream.take()
        assert cells(final + stream.live()) == cells(render(text, width=59))


# what is typed right now


def live(text: str) -> list[str]:
    stream = MarkdownStream(width=60)
    stream.feed(text)
    return texts(stream.take() + stream.live())


@pytest.mark.parametrize(
    ("typed", "rows"),
    [
        ("some **bold wo", ["some bold wo"]),
        ("some `code", ["some code"]),
        ("some **", ["some **"]),
        ("5 * 3", ["5 * 3"]),
        ("1. one\n2", [" 1. one"]),
        ("1. one\n2. t", [" 1. one", " 2. t"]),
        ("text\n``", ["text"]),
        ("```py\nx = 1\n``", ["```py", "x = 1"]),
        ("| a | b |\n| - | - |\n| 1", ["a  b", "────", "1"]),
        ("text\n\n#", ["text"]),
    ],
)
def test_half_typed_marks_do_not_flicker(typed, rows):
    assert live(typed) == rows


def test_an_unclosed_fence_is_closed_at_the_end():
    assert shown("```\ncode") == ["```", "code", "```"]


# what it looks like


@pytest.mark.parametrize(
    ("markdown", "rows"),
    [
        ("# One\n## Two\ntext", ["One", "", "Two", "", "text"]),
        ("Title\n=====\ntext", ["Title", "", "text"]),
        ("one\ntwo", ["one", "two"]),
        ("two lines\nand a rule\n---", ["two lines", "and a rule", "", "─" * 40]),
        ("- a\n- b\n  - c\n\n    d", [" • a", " • b", "    • c", "", "      d"]),
        ("- a\n\n- b", [" • a", "", " • b"]),
        ("9. a\n9. b\n1. c\n1. d", [" 9. a", "10. b", " 1. c", " 1. d"]),
        ("2. a\n5. b\n\n7. c", [" 2. a", " 5. b", "", " 7. c"]),
        ("10. a\n9. b\n8. c", ["10. a", " 9. b", " 8. c"]),
        (
            "1. a\n1. b\n   1. c\n   3. d\n1. e",
            [" 1. a", " 2. b", "     1. c", "     3. d", " 3. e"],
        ),
        ("1) a\n   more", [" 1) a", "    more"]),
        ("- [ ] a\n- [x] b", [" ☐ a", " ☑ b"]),
        ("> a\n> b\n>\n> - c", ["▌ a", "▌ b", "▌", "▌  • c"]),
        ("[a](http://b.c)", ["a (http://b.c)"]),
        ("<http://b.c> http://d.e", ["http://b.c http://d.e"]),
        ("![a](b.png)", ["[a] (b.png)"]),
        ("<div>\n<think>x</think>\n</div>", ["<div>", "<think>x</think>", "</div>"]),
        ("<xs:element> a<br>b<br />c", ["<xs:element> a", "b", "c"]),
        ("a &lt; b &amp; c", ["a < b & c"]),
        (r"\\\\*a* \\\*b*", [r"\\a \*b*"]),
        (r"$x_1*y_1*z$ \(a_1*b_1\) \[c\]", [r"$x_1*y_1*z$ \(a_1*b_1\) \[c\]"]),
        ("it costs $5 or 10$ *now*", ["it costs $5 or 10$ now"]),
        ("$$\nx * y * z\n\\\\\n$$", ["$$", "x * y * z", "\\\\", "$$"]),
        ("Thus $$\nx*y*z\n$$\nwhere **x** is", ["Thus $$", "x*y*z", "$$", "where x is"]),
        ("Thus \\[\n- x*y*z\n\\] **b**", ["Thus \\[", "- x*y*z", "\\] b"]),
        ("- Thus $$\n  - x*y*z\n- **b**", [" • Thus $$", "   - xyz", " • b"]),
        ("中" * 99 + "，$$\n+ x*y*z\n$$", ["中" * 30] * 3 + ["中" * 9 + "，$$", "+ x*y*z", "$$"]),
        ("\\[\na\n\nb*c*d\n\\]\n*e*", ["\\[", "a", "", "b*c*d", "\\]", "", "e"]),
        ("\\[\na\n\n# b", ["\\[", "a", "", "", "b"]),
        (
            "\\begin{x}\na_1*b*c \\\\\n&= \\{1\\}\n\\end{x}\n*e*",
            ["\\begin{x}", "a_1*b*c \\\\", "&= \\{1\\}", "\\end{x}", "", "e"],
        ),
        ("so \\begin{x}*a*\\{\\end{x} *b*", ["so \\begin{x}*a*\\{\\end{x} b"]),
        ("$$a$$ and *b* $$c$$", ["$$a$$ and b $$c$$"]),
        ("a\n\n    code * 2 *", ["a", "", "code * 2 *"]),
        ("- \n- b", [" •", " • b"]),
        ("[r]: http://a.b 'T'\n\n[t][r]", ["[r]: http://a.b 'T'", "", "t (http://a.b)"]),
        ("[r]: http://a.b\n[t][r] [r]", ["[r]: http://a.b", "t (http://a.b) r (http://a.b)"]),
        ("[a]: http://x\n[b]: <www.y>\n", ["[a]: http://x", "[b]: <www.y>"]),
        ("- [A]: right\n- [B]: http://x", [" • [A]: right", " • [B]: http://x"]),
        ("[user]: hi\n\n[^1]: http://x\n", ["[user]: hi", "", "[^1]: http://x"]),
        (
            "\u3000\u3000第一段。\n\u3000\u3000第二行。\n\n- \u3000一项\n",
            ["\u3000\u3000第一段。", "\u3000\u3000第二行。", "", " • \u3000一项"],
        ),
        ("[用户]: https://a.b\n[用户]: 你好", ["[用户]: https://a.b", "[用户]: 你好"]),
    ],
)
def test_looks(markdown, rows):
    assert shown(markdown) == rows


def test_code_can_be_copied_as_it_was_written():
    code = "def f(x):\n\n    return [x]  # 中文\n\n\nprint(f(1))"
    rows = shown(f"Run:\n\n```python\n{code}\n```")
    assert "\n".join(rows[3:-1]) == code


@pytest.mark.parametrize(
    ("words", "markdown", "style"),
    [
        ("One", "# One", theme.HEADINGS[0]),
        ("bold", "a **bold**", theme.BOLD),
        ("both", "a ***both***", theme.BOLD + theme.ITALIC),
        ("code", "a `code`", theme.CODE),
        ("gone", "~~gone~~", theme.STRIKE),
        ("$x$", "a $x$", theme.MATH),
        (" (u)", "[a](u)", theme.DIM),
        ("[1]: http://a_b_c", "[1]: http://a_b_c", theme.DIM),
        ("[1]: no address", "[1]: no address", theme.PLAIN),
    ],
)
def test_styles(words, markdown, style):
    assert style_of(words, markdown) == style


@pytest.mark.parametrize(
    ("markdown", "strong"),
    [
        ("**注意：**请不要这样。**“引号”**后面", ["注意：", "“引号”"]),
        ("**步骤1：**安装", ["步骤1："]),
        ("**步骤1：**pip install", ["步骤1："]),
        ("这是**《红楼梦》**的", ["《红楼梦》"]),
        ("**第一步（准备）：**先", ["第一步（准备）："]),
        ("**50%**的人", ["50%"]),
        ("运行 **`pip`**命令", ["pip"]),
        ("（**甲**）和**乙**，**丙**。", ["甲", "乙", "丙"]),
        ("没有开头**：甲（**乙**）", ["乙"]),
        ("**没有结尾：请看**", ["没有结尾：请看"]),
        ("**중요:**은", ["중요:"]),
        ("2 ** 3，5**", []),
        ("**A:**B", []),
    ],
)
def test_chinese_is_bold_between_the_marks(markdown, strong):
    rows = render(markdown, width=60)
    assert [text for row in rows for text, style in row if style.bold] == strong


@pytest.mark.parametrize(
    ("markdown", "code", "math", "italic"),
    [
        ("Costs $5. Set `$HOME` and `$PATH` *now*.", ["$HOME", "$PATH"], [], ["now"]),
        ("The $PATH variable: use `$PATH` *now*", ["$PATH"], [], ["now"]),
        ("价格为$100，其中$x_1*y_1*z$ 是变量", [], ["$x_1*y_1*z$"], []),
        ("$a_1*b*c$是 $x$, $y$。", [], ["$a_1*b*c$", "$x$", "$y$"], []),
        ("$5 `a` or $6 `b` *c*", ["a", "b"], [], ["c"]),
        ("$5 " + "or more " * 50 + "than x$ *c*", [], [], ["c"]),
    ],
)
def test_prices_and_variables_of_a_shell_are_no_formulas(markdown, code, math, italic):
    spans = [span for row in render(markdown, width=500) for span in row]
    assert [text for text, style in spans if style == theme.CODE] == code
    assert [text for text, style in spans if style == theme.MATH] == math
    assert [text for text, style in spans if style.italic] == italic


def test_one_star_and_two_tildes_close_beside_chinese_too():
    assert style_of("强调，", "*强调，*后") == theme.ITALIC
    assert style_of("删除，", "~~删除，~~后") == theme.STRIKE


def test_a_base_style_goes_under_all_others():
    rows = render("a **b**", width=20, style=theme.DIM)
    assert rows == [(("a ", theme.DIM), ("b", theme.DIM + theme.BOLD))]


def test_only_colours_that_suit_light_and_dark_terminals():
    for row in render(SAMPLE, width=80):
        for _, style in row:
            assert style.bgcolor is None
            assert style.color is None or style.color.name in ("cyan", "magenta", "green", "red")


def test_ascii_symbols_for_terminals_without_unicode():
    rows = render("- a\n\n> b\n\n---\n\n- [x] c", width=20, symbols=theme.ASCII)
    assert all(text.isascii() for text in texts(rows))


def test_escape_sequences_do_not_get_through_even_as_entities():
    for row in shown(
        "\x1b[31m &#27;[31m &#x202e; [a](&#27;]8;;) `\x1b` | \x07\n\n```\x1b\n\x9b\n```"
    ):
        assert row.isprintable()


def test_deep_nesting_loses_no_text():
    row = shown("> " * 60 + "deep", columns=40)
    assert "deep" in "".join(row)
    assert all(width(line) <= 20 for line in render("- " * 12 + "words to wrap here", width=20))


# a window that changes


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("中文段落，没有换行。" * 200, 14),
        ("Words in one **long** paragraph with `code` in it. " * 60, 10),
        ("```python\n" + f"x = {'y' * 100}\n" * 40, 24),
        ("| a | b | c |\n|---|---|---|\n" + "| some words in a cell | and more |\n" * 20, 19),
        ("- " + "项目里的长文字" * 100, 14),
    ],
)
def test_few_rows_are_open_at_a_time(text, most):
    """Rows that are not final go out of reach when the window becomes smaller."""
    stream, highest = MarkdownStream(width=39), 0
    for chunk in pieces(text, 5):
        stream.feed(chunk)
        stream.take()
        highest = max(highest, len(stream.live()))
    assert highest <= most


def test_a_resize_wraps_what_is_not_final_yet_and_loses_nothing():
    words = " ".join(f"word{n}" for n in range(200))
    stream, rows, columns = MarkdownStream(width=79), [], [39, 20, 120, 59]
    for chunk in pieces(words, 300):
        stream.feed(chunk)
        rows += stream.take()
        if columns:
            stream.resize(size := columns.pop())
        assert all(width(row) <= size for row in stream.live())
    stream.finish()
    assert " ".join(texts(rows + stream.take())) == words


@pytest.mark.parametrize("block", ["```python\n{}\n```", "| a | b |\n|-|-|\n{}", "> {}", "- {}"])
def test_a_resize_in_any_block_loses_no_line(block):
    lines = "\n".join(f"| {n} | line{n} |" for n in range(40))
    text = block.format(lines)
    stream, rows = MarkdownStream(width=79), list[Row]()
    for index, chunk in enumerate(pieces(text, 37)):
        stream.feed(chunk)
        rows += stream.take()
        stream.resize([40, 79][index % 2])
        stream.live()
    stream.finish()
    said = " ".join(texts(rows + stream.take())).split()
    assert [said.count(f"line{n}") for n in range(40)] == [1] * 40


# prose is narrow, tabs have stops


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_prose_has_its_width_and_code_and_tables_that_of_the_window(size):
    code, prose = "x" * 90, "some words " * 12
    table = f"| a | b |\n|-|-|\n| {'y' * 50} | {'z' * 30} |\n"
    text = f"{prose}\n\n> {prose}\n\n```\n{code}\n```\n\n{table}"
    stream = MarkdownStream(width=100, prose=40)
    rows = []
    for at in range(0, len(text), size):
        stream.feed(text[at : at + size])
        rows += stream.take()
    stream.finish()
    rows = texts([*rows, *stream.take()])
    assert max(len(row) for row in rows if "words" in row) in range(35, 41)
    assert code in rows
    assert f"{'y' * 50}  {'z' * 30}" in rows


def test_prose_takes_its_width_again_when_the_window_grows():
    stream = MarkdownStream(width=30, prose=40)
    stream.feed("some words " * 4)
    stream.resize(100)
    stream.feed("some words " * 8)
    assert max(map(len, texts(stream.live()))) in range(35, 41)


def test_tabs_in_code_go_to_stops_so_that_columns_line_up():
    rows = shown("```\nname\tsize\tend\na\t12345\tend\n中文\t1\tend\n\tif x:\n```")
    assert rows[1:5] == [
        "name    size    end",
        "a       12345   end",
        "中文    1       end",
        "    if x:",
    ]


@pytest.mark.parametrize("size", [1, 3, 50])
@pytest.mark.parametrize("lead", ["", "```\n"])
def test_tabs_in_long_lines_are_the_same_however_they_come(size, lead):
    text = lead + "ab\tcde\t" * 60 + "\nx\ty\n"
    assert streamed(pieces(text, size), 60) == render(text, width=60)
