"""Hostile programs: chat templates and tokenizers that take memory or time without end, or panic.

Always the same ones: what is random in them comes of one seed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SEED = 13
TEXT = "{% for m in messages %}{{ m.content }}{% endfor %}"
"""What is left of a template that is not hostile."""

EXPRESSIONS = {
    "repeated text": "'a' * 10**10",
    "repeated text, a factor at a time": "'a' * 10**5 * 10**5",
    "repeated list": "([0] * 10**10) | length",
    "repeated tuple": "((0, 1) * 10**10) | length",
    "repeat from the left": "10**10 * 'a'",
    "repeat beyond any index": "'a' * 10**40",
    "power": "10**(10**10) > 1",
    "power of a power": "(7**(7**9)) > 1",
    "power in steps": "(2**40000000)**40 > 1",
    "width by percent": "'%10000000000s' % 'x'",
    "width of a number by percent": "'%10000000000d' % 1",
    "digits by percent": "'%.2147483000f' % 1.5",
    "width from an argument": "'%*s' % (10**10, 'x')",
    "width of a format": "'{:10000000000}'.format('x')",
    "nested width of a format": "'{:{w}}'.format('x', w=10**10)",
    "digits of a format": "'{:.2000000000f}'.format(1.5)",
    "format_map": "'{x:10000000000}'.format_map({'x': 1})",
    "format filter": "'%10000000000s' | format('x')",
    "ljust": "'a'.ljust(10**10)",
    "rjust": "'a'.rjust(10**10)",
    "center method": "'a'.center(10**10)",
    "zfill": "'a'.zfill(10**10)",
    "expandtabs": "'\\t\\t'.expandtabs(2**31 - 1)",
    "replace method": "('a' * 10**5).replace('a', 'b' * 10**6)",
    "replace of nothing": "('a' * 10**5).replace('', 'b' * 10**6)",
    "join method": "('b' * 10**6).join('a' * 10**5)",
    "translate": "('a' * 10**5).translate({97: 'b' * 10**6})",
    "center filter": "'a' | center(10**10)",
    "indent filter": "('a\\n' * 10**5) | indent(10**6)",
    "indent with a text": "('a\\n' * 10**5) | indent('x' * 10**6)",
    "batch filter": "[1] | batch(10**9, 'x') | list",
    "slice filter": "[1] | slice(10**9) | list | length",
    "join filter": "range(10**5) | join('b' * 10**6)",
    "replace filter": "('a' * 10**5) | replace('a', 'b' * 10**6)",
    "tojson of a deep indent": "[[1, 2], [3]] | tojson(indent=10**10)",
    "tojson with separators": "range(10**5) | list | tojson(separators=('x' * 10**6, ':'))",
    "wordwrap filter": "('a b ' * 10**5) | wordwrap(1, wrapstring='x' * 10**6)",
    "urlize filter": "('www.' * 10**6) | urlize",
    "striptags filter": "('<' * 10**8) | striptags | length * 10**10 * 'a'",
    "sum of lists": "([[0] * 10**5] * 10**5) | sum(start=[]) | length",
    "range to a list": "range(10**12) | list",
    "range beyond the limit": "range(10**6) | list",
    "sort": "([3, 2, 1] * 10**8) | sort | length",
    "sort of texts": "(['a' * 10**6] * 10**7) | sort | length",
    "unique": "([3, 2, 1] * 10**8) | unique | list",
    "lipsum": "lipsum(n=10**7, max=10**4)",
    "lipsum at once": "lipsum(1, min=10**9, max=10**9 + 1)",
    "cycler": "cycler(*range(10**5)) and 'a' * 10**10",
    "dict of a range": "dict.fromkeys(range(10**5) | list * 10**5)",
    "split": "('a ' * 10**8).split() | length",
    "bytes": "('a' * 10**9).encode('utf-32') | length",
    "number to a text": "(10**(10**7)) | string",
    "concatenation of a repeat": "('a' * 10**9) ~ ('b' * 10**9)",
    "map over a repeat": "(['a'] * 10**9) | map('center', 10**6) | list | length",
    "groupby": "([{'a': 1}] * 10**8) | groupby('a') | list",
    "pprint": "([0] * 10**7) | pprint",
    "reverse": "('a' * 2 * 10**9) | reverse",
}
"""What a template writes or tests in one expression."""

LOOPS = {
    "three loops": "{% for a in range(99999) %}{% for b in range(99999) %}"
    "{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}",
    "loops that write": "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}"
    "{% endfor %}",
    "a text that doubles": "{% set n = namespace(t='a') %}{% for i in range(99999) %}"
    "{% set n.t = n.t + n.t %}{% endfor %}{{ n.t }}",
    "a text that doubles by tilde": "{% set n = namespace(t='a') %}{% for i in range(99999) %}"
    "{% set n.t = n.t ~ n.t %}{% endfor %}{{ n.t }}",
    "a list that doubles": "{% set n = namespace(t=[0]) %}{% for i in range(99999) %}"
    "{% set n.t = n.t + n.t %}{% endfor %}",
    "a number that squares": "{% set n = namespace(t=7) %}{% for i in range(99999) %}"
    "{% set n.t = n.t * n.t %}{% endfor %}",
    "lists of lists as text": "{% set n = namespace(t=[0]) %}{% for i in range(60) %}"
    "{% set n.t = [n.t, n.t] %}{% endfor %}{{ n.t }}",
    "lists of lists as json": "{% set n = namespace(t=[0]) %}{% for i in range(60) %}"
    "{% set n.t = [n.t, n.t] %}{% endfor %}{{ n.t | tojson }}",
    "lists of lists compared": "{% set n = namespace(t=[0], u=[0]) %}{% for i in range(60) %}"
    "{% set n.t = [n.t, n.t] %}{% set n.u = [n.u, n.u] %}{% endfor %}{{ n.t == n.u }}",
    "tuples of tuples hashed": "{% set n = namespace(t=(0,)) %}{% for i in range(60) %}"
    "{% set n.t = (n.t, n.t) %}{% endfor %}{{ {n.t: 1} | length }}",
    "a deep list": "{% set n = namespace(t=[]) %}{% for i in range(99999) %}"
    "{% set n.t = [n.t] %}{% endfor %}{{ n.t }}",
    "a macro that calls itself": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "a macro that calls itself twice": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}"
    "{% endif %}{% endmacro %}{{ f(60) }}",
    "a loop that calls itself": "{% for a in [[[[0] * 999] * 999] * 999] recursive %}"
    "{% if a is iterable %}{{ loop(a) }}{% else %}x{% endif %}{% endfor %}",
    "a block of text that is filtered": "{% filter center(10**10) %}x{% endfilter %}",
    "a block of text that is kept": "{% set x %}{{ 'a' * 10**10 }}{% endset %}{{ x }}",
    "a long search": "{% set a = 'a' * 10**6 %}{% for i in range(99999) %}"
    "{% if (a + 'b') in (a * 9) %}{% endif %}{% endfor %}",
    "a loop over a repeat": "{% for a in [0] * 10**9 %}{% endfor %}",
    "a loop over letters": "{% for a in 'ab' * 10**8 %}{% endfor %}",
    "a loop in a call": "{% macro m() %}{{ caller() }}{% for b in range(99999) %}{% endfor %}"
    "{% endmacro %}"
    "{% for a in range(99999) %}{% call m() %}{% endcall %}{% endfor %}",
    "no loop with an end": "{% macro f(n) %}{% for b in range(99999) %}{{ f(n) }}{% endfor %}"
    "{% endmacro %}{{ f(1) }}",
}
"""What a template does with statements."""

BROKEN = {
    "no syntax": "{{",
    "an unknown filter": "{{ messages | no_such_filter }}",
    "an unknown tag": "{% no_such_tag %}",
    "another template": "{% include '/etc/passwd' %}",
    "a parent": "{% extends 'x' %}",
    "the class of a text": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "the class by a filter": "{{ (''|attr('__class__')).__mro__[1] }}",
    "the globals of a function": "{{ raise_exception.__globals__['sys'].modules.os.listdir() }}",
    "a changed message": "{{ messages.append(1) }}",
    "a name of a namespace": "{% set n = namespace(__class__=1) %}",
    "deep brackets": "{{ " + "[" * 3000 + "]" * 3000 + " }}",
    "many ifs": "{% if x %}" * 3000,
    "a long source": "x" * 2_000_000,
}
"""What is no program at all, or reaches for what is not its own."""

BURNING = "{% for a in range(%d) %}{% for b in range(1000) %}{% endfor %}{% endfor %}"
"""Takes long, but not too long, each time that it is rendered."""
BYTE_LEVEL = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": False,
}


def templates() -> dict[str, str]:
    """Every hostile chat template, by what it does."""
    written = {name: f"{{{{ {text} }}}}{TEXT}" for name, text in EXPRESSIONS.items()}
    return {**written, **{name: text + TEXT for name, text in LOOPS.items()}, **BROKEN, **mixed()}


def mixed() -> dict[str, str]:
    """Several hostile expressions in one template, after a harmless beginning."""
    chance = random.Random(SEED)
    found = {}
    for number in range(6):
        picked = chance.sample(sorted(EXPRESSIONS), 3)
        found[f"mixed {number}"] = "{{ messages | length }}" + "".join(
            f"{{% if messages %}}{{{{ {EXPRESSIONS[name]} }}}}{{% endif %}}" for name in picked
        )
    return found


QUESTION = "hi " + "a" * 33 + "c " + "b" * 2000 + " ab" * 500
"""What the patterns below cannot bear."""
PATTERNS = {
    "the panic of an issue": "(a+)+$|(.*)*x(.*)*y(.*)*z|(a|aa)+b",
    "nested repeats": "(a+)+$",
    "repeats of the empty": "(a*)*$",
    "alternatives that overlap": "(a|aa)+$",
    "alternatives that are the same": "(a|a)*[dz]",
    "many stars": "a*a*a*a*a*a*a*a*a*a*[dz]",
    "stars of anything": "(.*)*[xz]",
    "a back reference": r"(b+)(b+)(b+)\1\2\3d",
    "looking ahead": "(?=(b+)+d)b",
    "looking behind": "(?<=b)(b|bb)+d",
    "long counts": "(b{1,50}){1,50}d",
    "lazy stars": "(b*?)*?[dz]",
    "optional letters": "a?" * 33 + "a" * 33 + "d",
    "letters and marks": r"(\p{L}+\p{M}*)+\d",
    "blanks": r"( ?\w+)+[!?]",
}


def tokenizers() -> dict[str, dict[str, Any]]:
    """Parts of a tokenizer.json that are hostile, by what they do."""
    found: dict[str, dict[str, Any]] = {}
    for name, pattern in PATTERNS.items():
        found[f"split: {name}"] = {"pre_tokenizer": split(pattern)}
    for name in ("nested repeats", "stars of anything", "alternatives that overlap"):
        replaced = {"type": "Replace", "pattern": {"Regex": PATTERNS[name]}, "content": "x"}
        found[f"normalizer: {name}"] = {"normalizer": replaced}
    return found | dict(growing())


def split(pattern: str) -> dict[str, Any]:
    """A pre-tokenizer that splits by a pattern."""
    return {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }


def sequence(name: str, steps: list[dict[str, Any]]) -> dict[str, Any]:
    """Several steps, one after the other."""
    return {"type": "Sequence", name: steps}


def replaced(text: str, content: str) -> dict[str, Any]:
    """A step that replaces a text by another."""
    return {"type": "Replace", "pattern": {"String": text}, "content": content}


def control(id: int, text: str) -> dict[str, Any]:
    """A control token."""
    switches = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": id, "content": text, "special": True, **switches}


def growing() -> Iterator[tuple[str, dict[str, Any]]]:
    """Tokenizers whose texts grow without end."""
    doubling = [replaced("a", "aa")] * 60
    yield "a normalizer that doubles", {"normalizer": sequence("normalizers", doubling)}
    yield "a normalizer that inserts", {"normalizer": replaced("", "x" * 1_000_000)}
    yield "a normalizer with a long text", {"normalizer": replaced("b", "a" * 5_000_000)}
    grows = [{"type": "Prepend", "prepend": "a"}, *doubling]
    yield "a normalizer that grows the empty", {"normalizer": sequence("normalizers", grows)}
    yield "a decoder that doubles", {"decoder": sequence("decoders", doubling * 2)}
    yield (
        "a decoder with a long text",
        {
            "decoder": sequence(
                "decoders", [replaced("a", "a" * 1_000_000), replaced("a", "a" * 1_000_000)]
            )
        },
    )
    yield (
        "a decoder with a pattern",
        {
            "decoder": sequence(
                "decoders",
                [
                    replaced("e", "b" * 5000),
                    {"type": "Replace", "pattern": {"Regex": "(b|b)*d"}, "content": ""},
                ],
            )
        },
    )
    yield "a long token", {"added_tokens": [control(1000, "x" * 60_000_000)]}
    yield "a broken pattern", {"pre_tokenizer": split("(a")}
    yield (
        "a decoder of nothing",
        {"decoder": {"type": "Replace", "pattern": {"Regex": "(.*)*"}, "content": "x"}},
    )
    yield (
        "control tokens by the ten thousand",
        {"added_tokens": [control(1000 + number, f"{number:x}<|") for number in range(40_000)]},
    )
    words = ({**control(1000 + n, f"zq{n}"), "special": False} for n in range(300_000))
    yield "words by the hundred thousand", {"added_tokens": list(words)}
    bytes_again = [{"type": "ByteLevel"}] * 12
    yield "bytes of bytes", {"normalizer": sequence("normalizers", bytes_again)}
    splits = [BYTE_LEVEL] * 12
    yield "bytes of bytes, split", {"pre_tokenizer": sequence("pretokenizers", splits)}


HARMLESS = {
    "a length to fill up to": {
        "padding": {
            "strategy": {"Fixed": 10**12},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "x",
        }
    },
    "an unknown pattern": {
        "pre_tokenizer": sequence(
            "pretokenizers",
            [
                split(r"\p{L}+|\p{N}{1,4}|[^\p{L}\p{N}]+"),
                BYTE_LEVEL,
            ],
        )
    },
}
"""Unusual parts with which a tokenizer works all the same."""


def spoil_template(folder: Path, source: str) -> None:
    """Give a checkpoint another chat template."""
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    config.pop("chat_template", None)
    path.write_text(json.dumps(config))
    (folder / "chat_template.jinja").write_text(source)


def spoil_tokenizer(folder: Path, parts: dict[str, Any]) -> None:
    """Give a checkpoint's tokenizer other parts."""
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    added = tokenizer["added_tokens"] + parts.get("added_tokens", [])
    path.write_text(json.dumps(tokenizer | parts | {"added_tokens": added}))
