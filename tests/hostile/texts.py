"""Texts that cost a careless program more than their size: each as a function of how many.

`FULL` has the size at which each is shown within seconds. Knows nothing of who reads them.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

TABLE = "| a | b |\n|---|:-:|\n"
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d"
ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff"


def _definitions(n: int) -> str:
    return "".join(f"[r{i}]: https://a.b/{i}\n" for i in range(n)) + "".join(
        f"See [r{i}] and [text][r{i}].\n" for i in range(n)
    )


def _definitions_apart(n: int) -> str:
    return "".join(f"[r{i}]: https://a.b/{i}\n\nSee [r{i}].\n\n" for i in range(n))


def _nested_list(n: int) -> str:
    return "".join(" " * (2 * i) + "- deeper\n" for i in range(n))


def _ticks_of_all_lengths(n: int) -> str:
    runs, size = [], 1
    while n > 0:
        runs.append("a" + "`" * size)
        n, size = n - size, size + 1
    return "".join(runs)


def _mixed(alphabet: str) -> Callable[[int], str]:
    def mixed(n: int) -> str:
        return "".join(Random(13).choices(alphabet, k=n))

    return mixed


def _words(alphabet: list[str]) -> Callable[[int], str]:
    def words(n: int) -> str:
        return "".join(Random(13).choices(alphabet, k=n))

    return words


TEXTS: dict[str, tuple[Callable[[int], str], int]] = {
    # tables
    "a table of many rows": (lambda n: TABLE + "| some | words |\n" * n, 100_000),
    "a table of many rows in a quote": (
        lambda n: "> " + (TABLE + "| x | y |\n" * n).replace("\n", "\n> "),
        20_000,
    ),
    "a table of many columns": (
        lambda n: "|a" * n + "|\n" + "|-" * n + "|\n" + "|b" * n + "|\n",
        10_000,
    ),
    "a wide table of many rows": (
        lambda n: "|a" * 200 + "|\n" + "|-" * 200 + "|\n" + ("|b" * 200 + "|\n") * n,
        300,
    ),
    "a table with rows too short": (
        lambda n: "|a" * 100 + "|\n" + "|-" * 100 + "|\n" + "|b|\n" * n,
        5_000,
    ),
    "tables one after the other": (lambda n: (TABLE + "| x | y |\n\n") * n, 5_000),
    "bars in a line": (lambda n: "|" * n, 300_000),
    "bars between words": (lambda n: "a | " * n, 100_000),
    "lines of bars": (lambda n: "||||||||\n" * n, 20_000),
    "headers that are no tables": (lambda n: "a | b\n|-|-|-|\n" * n, 10_000),
    "a long cell": (lambda n: TABLE + "| " + "很好，" * n, 100_000),
    # characters
    "joined emoji in one word": (lambda n: FAMILY * (n // 3), 300_000),
    "emoji apart": (lambda n: "\U0001f600 " * n, 100_000),
    "flags": (lambda n: "\U0001f1e8\U0001f1f3" * n, 100_000),
    "skin tones": (lambda n: "\U0001f44d" + "\U0001f3fd" * n, 100_000),
    "combining marks on one letter": (lambda n: "a" + "\u0301" * n, 300_000),
    "combining marks in words": (lambda n: ("z" + "\u0300\u0323" * 30 + " ") * n, 5_000),
    "variation selectors": (lambda n: "\u263a\ufe0f" * n, 100_000),
    "joiners alone": (lambda n: "\u200d" * n, 300_000),
    "zero-width characters": (_mixed(ZERO_WIDTH), 300_000),
    "zero-width characters in words": (lambda n: f"w{ZERO_WIDTH}" * n, 50_000),
    "bidi marks": (lambda n: "\u202e" * n, 50_000),
    "bidi marks in words": (lambda n: "abc\u202edef\u2066 " * n, 25_000),
    "right to left and back": (lambda n: "שלום hello مرحبا world " * n, 10_000),
    "arabic without blanks": (lambda n: "مرحبا" * n, 50_000),
    "lone surrogates": (lambda n: "\ud800\udfff" * n, 100_000),
    "wide characters": (lambda n: "没有空格的中文段落" * n, 30_000),
    "wide closers": (lambda n: "）" * n, 100_000),
    "wide openers": (lambda n: "（" * n, 100_000),
    "wide openers with marks": (lambda n: "（*" * n, 50_000),
    "blanks and late closers": (lambda n: "a " + " ，" * n, 50_000),
    "hangul letters": (lambda n: "\u1100\u1161\u11a8" * n, 50_000),
    "thai": (lambda n: "กำลังทดสอบ" * n, 20_000),
    "devanagari": (lambda n: "क्षत्रिय" * n, 20_000),
    "conjuncts of one syllable": (lambda n: "क्" * n, 50_000),
    "escape sequences": (lambda n: "\x1b[31m" * n, 200_000),
    "escape sequences of all kinds": (
        _words(["\x1b]0;t\x07", "\x1b[2J", "\x9b1m", "\x1bP", "x", "\n"]),
        200_000,
    ),
    "null characters": (lambda n: "\0" * n, 300_000),
    "carriage returns": (lambda n: "\r" * n, 300_000),
    "carriage returns after words": (lambda n: "50%\r" * n, 100_000),
    "line ends": (lambda n: "\n" * n, 500_000),
    "blanks": (lambda n: " " * n + "x", 1_000_000),
    "lines of blanks": (lambda n: "a\n" + "    \n" * n, 100_000),
    "blanks behind a word": (lambda n: "a" + " " * n + "x", 300_000),
    "a long line of tex": (lambda n: "$$\n" + "x" * n, 1_000_000),
    "a long line of indented code": (lambda n: "    " + "x y" * n, 300_000),
    "a long comment in a line": (lambda n: "<!--\n" + "x y " * n, 100_000),
    "rows of ticks": (lambda n: TABLE + ("|" + " `a" * 1000 + "|||\n") * n, 50),
    "tabs": (lambda n: "\t" * n + "x", 300_000),
    "tabs between words": (lambda n: "a\t" * n, 200_000),
    "lines of tabs": (lambda n: "\tx\n" * n, 50_000),
    "wide blanks": (lambda n: "\u3000" * n + "x", 200_000),
    # lines and paragraphs
    "a long line without blanks": (lambda n: "x" * n, 10_000_000),
    "a long line of base64": (lambda n: "QUJD/+0=" * (n // 8), 2_000_000),
    "a long line of words": (lambda n: "some words " * (n // 11), 1_000_000),
    "a paragraph of many lines": (lambda n: "one of many lines\n" * n, 50_000),
    "lines of one letter": (lambda n: "x\n" * n, 100_000),
    "many paragraphs": (lambda n: "words\n\n" * n, 40_000),
    "hard breaks": (lambda n: "words  \n" * n, 40_000),
    "backslashes at line ends": (lambda n: "words\\\n" * n, 40_000),
    "backslashes": (lambda n: "\\" * n, 200_000),
    "escaped marks": (lambda n: "\\*" * n, 100_000),
    "underlines": (lambda n: "Title\n===\n" * n, 20_000),
    "underlines without end": (lambda n: "a\n" + "=" * n, 300_000),
    "dashes": (lambda n: "-" * n, 300_000),
    "dashes and blanks": (lambda n: "- " * n, 100_000),
    "stars and blanks": (lambda n: "* " * n + "a", 100_000),
    "rules": (lambda n: "---\n" * n, 30_000),
    "headings": (lambda n: "# Head\n" * n, 30_000),
    "hashes": (lambda n: "#" * n, 300_000),
    "hashes behind a heading": (lambda n: "# a " + "#" * n, 300_000),
    # quotes and lists
    "quotes in quotes": (lambda n: ">" * n + " a", 10_000),
    "quotes in quotes on many lines": (lambda n: (">" * 40 + " a\n") * n, 5_000),
    "ever deeper quotes": (lambda n: "".join(">" * i + " a\n" for i in range(n)), 600),
    "lists in lists in one line": (lambda n: "- " * n + "a\n", 10_000),
    "numbers in numbers": (lambda n: "1. " * n + "a\n", 10_000),
    "ever deeper lists": (_nested_list, 600),
    "lists and quotes in turn": (lambda n: "> - " * n + "a\n", 10_000),
    "many deep lists": (lambda n: ("- " * 12 + "a\n") * n, 3_000),
    "a numbered list": (lambda n: "".join(f"{i}. item\n" for i in range(n)), 50_000),
    "a list with gaps": (lambda n: "- item\n\n" * n, 20_000),
    "a list of tasks": (lambda n: "- [ ] item\n" * n, 20_000),
    "empty items": (lambda n: "-\n" * n, 50_000),
    "empty quotes": (lambda n: ">\n" * n, 50_000),
    "a quote of lazy lines": (lambda n: "> a\n" + "lazy\n" * n, 40_000),
    "a list of lazy lines": (lambda n: "- - - a\n" + "lazy\n" * n, 40_000),
    "items that change their marks": (lambda n: "- a\n+ b\n" * n, 10_000),
    "items of many blank lines": (lambda n: "- a\n" + "\n" * n + "  b\n", 200_000),
    # fences, HTML and TeX
    "a long fence": (lambda n: "```\n" + "some code\n" * n, 100_000),
    "a long fence of a language": (lambda n: "```python\n" + "x = 'text'  # why\n" * n, 15_000),
    "a long string in a fence": (lambda n: '```python\nx = """\n' + "words in it\n" * n, 15_000),
    "a long line in a fence": (lambda n: "```\n" + "x" * n, 3_000_000),
    "blank lines in a fence": (lambda n: "```\n" + "\n" * n, 100_000),
    "many fences": (lambda n: "```python\nx = 1\n```\n" * n, 10_000),
    "fences that are never closed": (lambda n: "```a\n~~~b\n" * n, 20_000),
    "fences of unknown languages": (
        lambda n: "".join(f"```l{i}\nx\n```\n" for i in range(n)),
        5_000,
    ),
    "a fence in a deep list": (lambda n: "- - - - a\n        ```\n" + "        x\n" * n, 20_000),
    "indented code": (lambda n: "    code\n" * n, 50_000),
    "ticks": (lambda n: "`" * n, 300_000),
    "ticks of all lengths": (_ticks_of_all_lengths, 100_000),
    "ticks never closed": (lambda n: "a ``b` " * n, 40_000),
    "many code spans": (lambda n: "`a` " * n, 40_000),
    "tags": (lambda n: "<b>" * n, 60_000),
    "a tag of many attributes": (lambda n: "<a " + "b='c' " * n, 60_000),
    "opening angles": (lambda n: "<" * n, 300_000),
    "tags never closed": (lambda n: "<a href='" * n, 30_000),
    "comments never closed": (lambda n: "<!-- " * n, 60_000),
    "lines of comments never closed": (lambda n: "<!--\n" * n, 30_000),
    "declarations never closed": (lambda n: "a <! " * n, 60_000),
    "instructions never closed": (lambda n: "a <? " * n, 60_000),
    "cdata never closed": (lambda n: "a <![CDATA[ " * n, 30_000),
    "pre never closed": (lambda n: "<pre>" * n, 60_000),
    "lines of pre": (lambda n: "<pre>\n" + "x\n\n" * n, 40_000),
    "a script": (lambda n: "<script>" + "x = y*z;" * n, 40_000),
    "dollars": (lambda n: "$" * n, 200_000),
    "dollars apart": (lambda n: "a$b " * n, 60_000),
    "prices": (lambda n: "it costs $5 or $6, " * n, 15_000),
    "formulas": (lambda n: "$x_1$ and \\(y\\) " * n, 15_000),
    "formulas never closed": (lambda n: "\\[ x \\( y $$ " * n, 20_000),
    "a block of tex never closed": (lambda n: "$$\n" + "x^2\n" * n, 50_000),
    "lines that open tex": (lambda n: "Thus $$\n" * n, 20_000),
    "environments never closed": (lambda n: "\\begin{a}\n" * n, 20_000),
    "environments in a line": (lambda n: "a \\begin{a} " * n, 20_000),
    # emphasis, links and addresses
    "stars": (lambda n: "*" * n, 200_000),
    "stars around a letter": (lambda n: "*" * n + "a" + "*" * n, 50_000),
    "stars between letters": (lambda n: "a**b" * n, 50_000),
    "stars and underscores": (lambda n: "*a_ " * n, 50_000),
    "underscores between letters": (lambda n: "a_b" * n, 60_000),
    "tildes": (lambda n: "a~~b " * n, 40_000),
    "nested emphasis": (lambda n: "*a **b " * n + "c** d* " * n, 15_000),
    "marks of all kinds": (_mixed("*_~`[]()<>!$\\&|#-+. \na1"), 150_000),
    "blocks of all kinds": (
        _words(
            [
                "> ",
                "- ",
                "1. ",
                "```\n",
                "\n",
                "| a | b |\n",
                "|-|-|\n",
                "# ",
                "    ",
                "$$\n",
                "<pre>\n",
                "a ",
                "\n\n",
            ]
        ),
        40_000,
    ),
    "opening brackets": (lambda n: "[" * n, 300_000),
    "brackets around brackets": (lambda n: "[" * n + "a" + "](x)" * n, 20_000),
    "brackets never closed": (lambda n: "an [ unclosed bracket " * n, 10_000),
    "links never closed": (lambda n: "[a](" * n, 40_000),
    "links with parentheses": (lambda n: "[a](" + "(" * n + ")" * n + ")", 50_000),
    "images in images": (lambda n: "![" * n + "](x)" * n, 20_000),
    "many links": (lambda n: "[text](https://example.org/a) " * n, 8_000),
    "definitions": (_definitions, 20_000),
    "definitions and uses in turn": (_definitions_apart, 10_000),
    "footnotes": (lambda n: "".join(f"word[^{i}]\n\n[^{i}]: note\n\n" for i in range(n)), 8_000),
    "a long label": (lambda n: "[" + "a " * n + "]: https://example.org", 100_000),
    "a long address": (lambda n: "https://example.org/" + "a/b-c" * n, 60_000),
    "a long address with parentheses": (lambda n: "https://example.org/" + "a)" * n, 60_000),
    "an address of marks": (lambda n: "https://example.org/" + "a_b*" * n, 50_000),
    "many addresses": (lambda n: "www.example.org " * n, 20_000),
    "addresses without blanks": (lambda n: "www." * n, 60_000),
    "entities": (lambda n: "&amp;" * n, 60_000),
    "ampersands": (lambda n: "&" * n, 300_000),
    "entities never closed": (lambda n: "&#" * n, 100_000),
    "line breaks of html": (lambda n: "a<br>" * n, 30_000),
}
