"""Blocks of code: the same numbers on every screen, for /copy, /save and --code."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmcli.errors import GlmError
from glmcli.terminal.markdown.code import CodeMarks, chosen_code, code_blocks
from glmcli.terminal.markdown.stream import render
from tests.support.documents import SAMPLE, documents, random_pieces, streamed, texts

NESTED = """\
1. First:

   ```python
   def f():
   \treturn "```"
   ```

   > quoted
   > ~~~~sh
   > ~~~
   > ls
   > ~~~~

Then

    indented
      more

````md
```
inner
```
````

```
open
"""


def marked(text: str, seed: int = 0, after: str = "") -> str:
    marks = CodeMarks(after)
    return "".join(map(marks.feed, random_pieces(text, seed))) + marks.finish()


def numbers(shown: str) -> list[int]:
    """The numbers at the end of lines, of texts that have no others."""
    return [int(found) for found in re.findall(r"\[(\d+)\]$", shown, re.MULTILINE)]


def test_blocks_are_those_of_the_screen_without_what_holds_them():
    assert code_blocks(NESTED) == [
        'def f():\n\treturn "```"\n',
        "~~~\nls\n",
        "indented\n  more\n",
        "```\ninner\n```\n",
        "open\n",
    ]


def test_each_block_shows_its_number_once():
    rows = texts(render(NESTED, width=60, numbered=True))
    assert [row for row in rows if "[" in row] == [
        "    ```python  [1]",
        "    ▌ ~~~~sh  [2]",
        "[3]",
        "````md  [4]",
        "```  [5]",
    ]
    assert rows[rows.index("[3]") + 1] == "indented"
    assert not [row for row in texts(render(NESTED, width=60)) if "[" in row]


def test_text_as_it_is_written_shows_the_same_numbers():
    lines = marked(NESTED).split("\n")
    assert [line for line in lines if "[" in line] == [
        "   ```python  [1]",
        "   > ~~~~sh  [2]",
        "[3]",
        "````md  [4]",
        "```  [5]",
    ]


@settings(max_examples=150, derandomize=True, deadline=None)
@given(documents(), st.integers(0, 2**32))
def test_all_screens_number_as_many_blocks_as_there_are_to_copy(text, seed):
    text = text.replace("[", "(")
    expected = list(range(1, len(code_blocks(text)) + 1))
    chunks = random_pieces(text, seed)
    for rows in (
        render(text, width=79, numbered=True),
        streamed(chunks, 79, look=29, numbered=True),
    ):
        assert numbers("\n".join(texts(rows))) == expected
    assert numbers(marked(text, seed)) == expected


@pytest.mark.parametrize(
    "text", [SAMPLE, NESTED, "    a", "a\n\n  ", "\t", "-     code\n", "x\r\n```\r\ny\r\n```\r\n"]
)
def test_numbers_are_all_that_is_added(text):
    shown = re.sub(r"^\[\d+\]\n|  \[\d+\]$", "", marked(text, 7), flags=re.MULTILINE)
    assert shown == text.replace("\r", "␍")


def test_numbers_go_on_in_a_reply_that_goes_on():
    assert numbers(marked("more\n```\n\n```py\nx\n```\n", after="```\none\n")) == [2]


def test_a_control_character_does_not_hide_a_block_and_is_copied():
    text = "```\x02\na\x02\x1b\n```"
    assert code_blocks(text) == ["a\x02\x1b\n"]
    assert numbers(marked(text)) == [1]


def test_lines_may_end_as_on_windows():
    assert code_blocks("```py\r\nx\r\n```\r\nend") == ["x\n"]


def test_which_code_is_meant():
    assert chosen_code(NESTED, "last") == "open\n"
    assert chosen_code(NESTED, "2") == "~~~\nls\n"
    assert chosen_code("```\na\n```\n```\nb\n```", "all") == "a\n\nb\n"


@pytest.mark.parametrize("which", ["last", "all", "1"])
def test_a_reply_without_code(which):
    with pytest.raises(GlmError, match="no code block") as caught:
        chosen_code("just `words`", which)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("text", ["```py", "```\n```", "~~~\n\n~~~\n", "```\n```\n```"])
@pytest.mark.parametrize("which", ["last", "all", "1"])
def test_a_block_with_nothing_in_it_is_no_code(text, which):
    with pytest.raises(GlmError, match="nothing in the code block") as caught:
        chosen_code(text, which)
    assert caught.value.exit_code == 1


def test_a_block_with_nothing_in_it_counts():
    text = "```\na\n```\n```\n```"
    assert chosen_code(text, "1") == "a\n"
    assert chosen_code(text, "all") == "a\n\n"
    with pytest.raises(GlmError, match="nothing in the code block"):
        chosen_code(text, "last")


def test_a_number_that_the_reply_does_not_have():
    with pytest.raises(GlmError, match="has 1 code block, not number 2"):
        chosen_code("```\na\n```", "2")
