"""Refusals in two languages."""

from __future__ import annotations

import string

import pytest

from glmcli.language import chinese_locale
from glmcli.messages import REFUSALS, Line, refusal

LINES = [(reason, line) for reason, pair in REFUSALS.items() for line in pair]


def fields_of(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize(("reason", "line"), LINES)
def test_both_languages_say_the_same_things(reason: str, line: Line) -> None:
    assert fields_of(line.en) == fields_of(line.zh)
    assert "\n" not in line.en + line.zh
    assert line.en.isascii()
    assert any("\u4e00" <= char <= "\u9fff" for char in line.zh)


@pytest.mark.parametrize(
    ("environ", "chinese"),
    [
        ({}, False),
        ({"LANG": "zh_CN.UTF-8"}, True),
        ({"LANG": "zh_TW"}, True),
        ({"LANG": "en_US.UTF-8"}, False),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, False),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "zh_CN.UTF-8"}, True),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": ""}, True),
        ({"LANG": "en_US.UTF-8", "LANGUAGE": "zh_CN:en"}, True),
        ({"LANG": "zh_CN.UTF-8", "LANGUAGE": "en"}, False),
        ({"LC_ALL": "C", "LANGUAGE": "zh_CN"}, False),
    ],
)
def test_the_locale_decides_the_language(environ: dict[str, str], chinese: bool) -> None:
    assert chinese_locale(environ) is chinese


def test_a_chinese_locale_gets_both_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANGUAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "en_US.UTF-8")
    english = refusal("quantized", name="mine", bits=4)
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    both = refusal("quantized", name="mine", bits=4)
    assert "4 位量化" in both.message
    assert english.message in both.message
    assert english.hint in both.hint
    assert english.message.isascii()
