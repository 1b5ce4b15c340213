"""Addresses and HTML are shown as they were written, and the Markdown around them as Markdown."""

import pytest
from rich.style import Style

from glmcli.terminal.markdown.stream import render
from glmcli.terminal.theme import BOLD, ITALIC, PLAIN
from tests.support.documents import cells, pieces, streamed, texts


def shown(markdown: str) -> list[str]:
    """The rows, which must be the same however the text comes."""
    rows = render(markdown, width=120)
    for size in (1, 3, 7, 64):
        assert cells(streamed(pieces(markdown, size), 120)) == cells(rows)
    return texts(rows)


def styled(markdown: str) -> list[tuple[str, Style]]:
    """What is shown in a style of its own."""
    rows = render(markdown, width=120)
    return [(text, style) for row in rows for text, style in row if style != PLAIN]


@pytest.mark.parametrize(
    "address",
    [
        "https://github.com/x/y/blob/main/pkg/__init__.py",
        "https://x.y/a*b*c",
        "HTTP://x.y/~~a~~/",
        "www.foo.com/_bar_/x",
        "https://en.wikipedia.org/wiki/Markdown_(syntax)_x_",
        "https://x.y/$a$b?c=1&d=_2_",
    ],
)
def test_an_address_loses_no_character(address):
    assert shown(f"See {address} and\n({address}), {address}.") == [
        f"See {address} and",
        f"({address}), {address}.",
    ]
    assert shown(f"看{address}，好") == [f"看{address}，好"]
    assert shown(f"[{address}]({address})") == [address]
    assert address in shown(f"| a |\n|---|\n| {address} |")[2]
    assert shown(f"{'words ' * 60}{address}")[-1].endswith(address)


@pytest.mark.parametrize(
    ("markdown", "bold"),
    [
        ("**https://x.y** and", "https://x.y"),
        ("**https://x.y/a_b**, and", "https://x.y/a_b"),
        ("(**https://x.y/a.**)", "https://x.y/a."),
        ("**（https://x.y/a)**", "（https://x.y/a)"),
        ("**网址：https://x.y**，看", "网址：https://x.y"),
        ("__www.x.y__ and", "www.x.y"),
    ],
)
def test_marks_around_an_address_are_no_part_of_it(markdown, bold):
    assert "".join(text for text, style in styled(markdown) if style == BOLD) == bold
    shown(markdown)


def test_escapes_in_an_address_are_read():
    assert shown(r"https://x.y/a\_b\_c?d&amp;e") == ["https://x.y/a_b_c?d&e"]
    assert shown("&quot;https://x.y/__a__&quot; https:// b") == ['"https://x.y/__a__" https:// b']


@pytest.mark.parametrize(
    "html",
    [
        '<a href="http://x.y/_a_b_">x</a>',
        "<svg data-a=\"*x*\" path='M `1` 2'/>",
        "<xs:element name=_a_ />",
        '<p title="a > *b*">c</p>',
        "<!-- *a* `b` -->",
        "<pre>**x**</pre>",
        "<div class='a'\n     id='*b*'>",
        "<script>\nvar a = x*y*z;\n\n  if (a) {\n    - `b`\n</script>",
        "<pre class='a'>\n**x**\n  y\n</pre>",
        "<!--\n# *a*\n\n    b\n-->",
    ],
)
def test_html_is_shown_as_it_was_written(html):
    assert shown(html) == html.split("\n")
    assert shown(html.join(["*a*\n\n", "\n\n*b*"])) == ["a", "", *html.split("\n"), "", "b"]
    quoted = html.replace("\n", "\n> ")
    assert shown(f"> {quoted}") == [f"▌ {line}".rstrip() for line in html.split("\n")]


def test_markdown_between_tags_is_markdown():
    assert styled("<b>*a*</b> 1 < 2 *b* > 3") == [("a", ITALIC), ("b", ITALIC)]


def test_an_element_that_is_never_closed_ends_at_a_fence():
    rows = shown("<pre> is a tag\n\n```py\n*a*\n```\n\n**b**")
    assert rows == ["<pre> is a tag", "", "", "```py", "*a*", "```", "", "b"]
