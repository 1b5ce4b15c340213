"""Tables, also wide ones, long ones and those that are still being typed."""

import pytest

from glmcli.terminal.markdown.stream import MarkdownStream, render
from glmcli.terminal.markdown.table import FIRST_ROWS, shrink
from glmcli.terminal.rows import width
from glmcli.terminal.theme import BOLD
from tests.support.documents import texts


def table(*rows: str, align: str = "--|--") -> str:
    return "\n".join(["head | 标题", align, *rows])


def shown(markdown: str, columns: int = 40) -> list[str]:
    return texts(render(markdown, width=columns))


def test_columns_are_aligned_in_cells_of_the_screen():
    assert shown(table("a | b", "中文字符 | c", align="-: | :-:")) == [
        "    head  标题",
        "──────────────",
        "       a   b",
        "中文字符   c",
    ]


def test_the_header_is_bold():
    assert render(table("a | b"), width=40)[0][0] == ("head", BOLD)


def test_cells_wrap_when_the_table_is_too_wide():
    assert shown(table("some words that wrap | 中文也一样要换行"), columns=20) == [
        "head       标题",
        "────────────────────",
        "some       中文也一",
        "words      样要换行",
        "that wrap",
    ]


def test_no_row_is_wider_than_the_screen():
    many = "|".join("abcdef") + "\n" + "|".join("------") + "\n" + "|".join(["words 中文"] * 6)
    for columns in range(8, 60):
        assert all(width(row) <= columns for row in render(many, width=columns))


def test_markdown_and_line_breaks_in_cells():
    assert shown(table("`x \\| y`<br>**z** | [t](u)"))[2:] == ["x | y  t (u)", "z"]


@pytest.mark.parametrize(
    ("row", "shown_row"),
    [
        ("a", "a"),
        ("| b | c |", "b     c"),
        ("b | c | d | e", "b     c | d | e"),
        ("| b | c | |", "b     c"),
        ("| `a | b` | 按位或 |", "a | b  按位或"),
        ("| $|x|$ | 绝对值 |", "$|x|$  绝对值"),
        ("| \\(a|b\\) | ``c|`|d`` |", "\\(a|b\\)  c|`|d"),
        ("| `a | b` | c |", "a | b  c"),
        ("| `a | b |", "`a    b"),
        ("| `a | b | c", "`a    b | c"),
        ("| a \\| b | c |", "a | b  c"),
        ("| $5 | $6 | $7 |", "$5    $6 | $7"),
        ("| `a | b` |", "`a    b`"),
        ("| `a | b | c` |", "a | b | c"),
    ],
)
def test_no_cell_is_lost_and_code_stays_whole_if_it_can(row, shown_row):
    assert shown(table(row))[2:] == [shown_row]


def test_the_first_rows_fix_the_widths_so_that_later_ones_can_be_appended():
    stream = MarkdownStream(width=40)
    stream.feed(table(*["a | b"] * (FIRST_ROWS - 1)) + "\n")
    assert stream.take() == []
    assert len(stream.live()) == FIRST_ROWS + 1
    stream.feed("a | b\na long cell | c\n")
    assert texts(stream.take())[-4:] == ["a     b", "a     c", "long", "cell"]
    assert stream.live() == []


def test_rows_that_fill_the_screen_fix_the_widths_sooner():
    tall = "<br>".join("x" * (FIRST_ROWS // 2))
    stream = MarkdownStream(width=40)
    stream.feed(table(f"{tall} | b", f"{tall} | b", "a long cell | c") + "\n")
    assert texts(stream.take())[-2:] == ["long", "cell"]


def test_a_table_whose_rows_went_out_of_reach_keeps_its_widths():
    stream = MarkdownStream(width=40)
    stream.feed(table("some words in a cell | others", "more"))
    before = texts(stream.live())
    stream.resize(20, keep=True)
    assert texts(stream.take() + stream.live()) == before
    stream.feed("\nand more | words\n")
    assert texts(stream.take()) == ["more", "and more              words"]


def test_a_table_that_can_be_reached_is_laid_out_anew():
    stream = MarkdownStream(width=40)
    stream.feed(table("some words in a cell | others"))
    stream.live()
    stream.resize(20)
    assert texts(stream.take() + stream.live())[2:] == ["some words    others", "in a cell"]


def test_the_widest_columns_give_way_first():
    assert shrink([5, 30, 30], 45) == (5, 20, 20)
    assert shrink([5, 30, 31], 46) == (5, 21, 20)
    assert shrink([1, 2], 10) == (1, 2)
    assert shrink([9, 9], 1) == (2, 2)
