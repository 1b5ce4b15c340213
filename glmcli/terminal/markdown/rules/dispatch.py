"""The rules of Markdown, asked only where the first character does not rule them out.

Half a text may be marks, and most lines begin no block. Knows nothing of what the rules do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

from glmcli.terminal.markdown.rules import literal

BlockRule = Callable[[StateBlock, int, int, bool], bool]
InlineRule = Callable[[StateInline, bool], bool]

_STARTS = {
    "newline": "\n",
    "definition": "[",
    "math_inline": "$\\",
    "escape": "\\",
    "backticks": "`",
    "strikethrough": "~",
    "emphasis": "*_",
    "link": "[",
    "image": "!",
    "autolink": "<",
    "tag": "<",
    "entity": "&",
}
"""The characters with which each inline rule begins."""
_LINE_STARTS = {
    "fence": "`~",
    "math_block": "$\\",
    "element": "<",
    "blockquote": ">",
    "hr": "*-_",
    "list": "*+-0123456789",
    "heading": "#",
}
"""The characters with which the lines begin that each of these block rules is for."""


def by_first_character(markdown: MarkdownIt) -> None:
    """Put the rules that are active now behind one for each purpose, which asks only a few."""
    inline, block = markdown.inline.ruler, markdown.block.ruler
    rules = dict(zip(inline.get_active_rules(), inline.getRules(""), strict=True))
    at_mark = {
        mark: [rule for name, rule in rules.items() if mark in _STARTS.get(name, "")]
        for mark in literal.MARKS
    }
    inline.push("any_rule", _any_inline_rule(at_mark, [rules["address"], rules["text"]]))
    inline.enableOnly("any_rule")
    starts = {
        rule: _LINE_STARTS.get(name)
        for name, rule in zip(block.get_active_rules(), block.getRules(""), strict=True)
    }
    endings = ("paragraph", "blockquote", "list")
    ends = {name: _any_block_rule(block.getRules(name), starts) for name in endings}
    # the first takes every line; without one of this name the library knows no indented code
    block.at("code", _any_block_rule(block.getRules(""), starts))
    for name, rule in ends.items():
        block.push(f"ends_{name}", rule, {"alt": [name]})
    block.enableOnly(["code", *(f"ends_{name}" for name in ends)])


def _any_inline_rule(
    at_mark: Mapping[str, Sequence[InlineRule]], elsewhere: Sequence[InlineRule]
) -> InlineRule:
    def any_rule(state: StateInline, silent: bool) -> bool:
        for rule in at_mark.get(state.src[state.pos], elsewhere):  # noqa: SIM110 (half the time)
            if rule(state, silent):
                return True
        return False

    return any_rule


def _any_block_rule(
    rules: Sequence[BlockRule], starts: Mapping[BlockRule, str | None]
) -> BlockRule:
    at_start = {
        start: [rule for rule in rules if start in (starts[rule] or start)]
        for start in "".join(_LINE_STARTS.values())
    }
    elsewhere = [rule for rule in rules if starts[rule] is None]

    def any_rule(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        mark = state.src[state.bMarks[start] + state.tShift[start]]
        for rule in at_start.get(mark, elsewhere):  # noqa: SIM110 (as above)
            if rule(state, start, end, silent):
                return True
        return False

    return any_rule
