"""Markdown to test with: a sample of 4,000 tokens, and random documents."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from random import Random

from hypothesis import strategies as st

from glmcli.terminal.markdown.stream import MarkdownStream, Row
from glmcli.terminal.rows import plain

SAMPLE = (Path(__file__).parents[1] / "data" / "sample.md").read_text(encoding="utf-8")
"""About 700 tokens with everything in it."""

TOKEN = re.compile(
    r"\s*[\u4e00-\u9fff]{1,2}|\s*[A-Za-z]{1,5}|\s*\d{1,3}|\s*[^\sA-Za-z\d\u4e00-\u9fff]{1,2}|\s+"
)

FRAGMENTS = [
    "# Head\n",
    "## 标题 **b**\n",
    "Title\n====\n",
    "Two\n---\n",
    "words with **bold**, *em*, ~~gone~~ and `code`\n",
    "中文段落，包含标点（括号）和 English words。\n",
    "\n",
    "\n\n",
    "  \n",
    "lazy line\n",
    "\u3000\u3000段首空两格。\n",
    "\u3000\n",
    "---\n",
    "===\n",
    "***\n",
    "<div>hi</div>\n",
    "<a b='*c*' d=\"`e\"\n  *f*> `g`\n",
    "<script>\nx*y*z\n\n  - `a\n",
    "</script> *a*\n",
    "<!-- *a*\n\n1. b -->\n",
    "See https://a.b/_c_/__d__.py, **www.e.f** and 看https://g.h/*i*。\n",
    "a<br>b\n",
    "[link](http://a.b/c_d)\n",
    "[ref] and [text][ref]\n",
    "[ref]: http://def\n",
    "[ref]: http://def\n[ref]\n",
    "[ref]: <https://x.y> 'title'\n",
    "[用户]: 你好 **b**\n",
    "![img](a.png)\n",
    "**unclosed\n",
    "**注意：**请看，**“引号”**后，*强调*的 ~~删，~~\n",
    "没有开头**：（**甲\n",
    "`unclosed\n",
    "[unclosed\n",
    "a\r\nb\rc\n",
    "&amp; &lt;x&gt; &#27;\n",
    "trailing  \nhard\n",
    "👨‍👩‍👧 🇨🇳 👍🏽 emoji\n",
    "back\\\nslash\n",
    "$x_1*y_1$ and \\(a_b\\)\n",
    "- item\n",
    "- item\n\n",
    "* star\n",
    "+ plus\n",
    " - one in\n",
    "   - three in\n",
    "-   wide\n",
    "-     code\n",
    "-\n",
    "- [ ] todo\n",
    "- [x] done\n",
    "  continuation\n",
    "  - nested\n",
    "    - deeper\n",
    "1. one\n",
    "2. two\n",
    "10. ten\n",
    "5. five\n5. five\n\n5. five\n",
    "7. seven\n   7. in it\n   7. and\n7. eight\n",
    "1) paren\n",
    "   para in item\n",
    "1.\n",
    "> quote\n",
    ">\n",
    "> > twice\n",
    "> - q item\n",
    "- > q\n",
    "> 1. ol\n>    more\n",
    "```python\ndef f(x):\n    return x\n```\n",
    "```\n",
    "~~~js\nlet a = `x`;\n",
    "   ```py\n   x=1\n   ```\n",
    "> ```\n> code\n> ```\n",
    "    indented code\n",
    "\tTab\n",
    "$$\nx^2\n$$\n",
    "$$\n",
    "\\[ a \\]\n",
    "\\[\n",
    "Thus $$\n",
    "where \\[\n",
    "x*y*z\n\\] **b**\n",
    "\\begin{a}\n x \\\\\n",
    "\\end{a}\n",
    "| a | b |\n|---|:-:|\n| 1 | 2 |\n",
    "| c | d |\n",
    "| `c | d` | $|e|$ | f | \\|\n",
    "|---|---|\n",
    "| x\n",
    "a | b\n-|-\n",
]
LONG = [
    "text " * 120 + "\n",
    "中" * 400 + "\n",
    "*a " * 100 + "\n",
    "x" * 90 + "\n",
    "# " + "h " * 400,
    "中" * 200 + " $$\n",
    "$$ words " * 21 + "\\[\n",
]
SOUP = st.text(st.sampled_from("*_`~[]()<>#-+>|\\$:!&;=1.2 \n\t ab中，"), min_size=1, max_size=30)


def documents() -> st.SearchStrategy[str]:
    """Random documents."""
    known = st.sampled_from(FRAGMENTS)
    known = st.one_of(known, known, known, known.map(str.rstrip), SOUP, st.sampled_from(LONG))
    piece = st.tuples(st.sampled_from(["", "", "", "", " ", "   ", "     ", "> ", "- "]), known)
    return st.lists(piece.map("".join), min_size=1, max_size=10).map("".join)


def tokens(text: str) -> list[str]:
    """`text` in pieces of the size of tokens."""
    return TOKEN.findall(text)


def long_sample(count: int) -> list[str]:
    """At least so many tokens of the sample, again and again."""
    once = tokens(SAMPLE)
    return once * -(-count // len(once))


def pieces(text: str, size: int) -> Iterator[str]:
    """`text` in chunks of `size` characters."""
    return (text[start : start + size] for start in range(0, len(text), size))


def random_pieces(text: str, seed: int) -> list[str]:
    """`text` in chunks of one size, or of random sizes."""
    random = Random(seed)
    size = random.choice([1, 3, 7, 64, 1000, 0])
    if size:
        return list(pieces(text, size))
    cuts = sorted(random.choices(range(len(text) + 1), k=len(text) // 40))
    return [text[start:end] for start, end in pairwise([0, *cuts, len(text)])]


def streamed(
    chunks: Iterable[str], width: int, *, look: int = 1, numbered: bool = False
) -> list[Row]:
    """The rows of a text that came in chunks, the live rows looked at after every `look` chunks."""
    stream = MarkdownStream(width=width, numbered=numbered)
    rows: list[Row] = []
    for count, chunk in enumerate(chunks):
        stream.feed(chunk)
        rows += stream.take()
        if count % look == 0:
            stream.live()
    stream.finish()
    return rows + stream.take()


def cells(rows: Iterable[Row]) -> list[list[tuple[str, object]]]:
    """Rows character by character: it does not matter how they are cut into spans."""
    return [[(char, style) for text, style in row for char in text] for row in rows]


def texts(rows: Iterable[Row]) -> list[str]:
    """Rows without their styles."""
    return [plain(row) for row in rows]
