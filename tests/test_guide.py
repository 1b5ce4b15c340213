"""The guide is true: its commands do what it shows, its messages and names are the program's."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from glmcli.chat.commands import COMMANDS
from hatch_build import ROOT, entries
from tests.support import guide

CATALOGUE = ROOT / "glmcli/locale/zh_CN/LC_MESSAGES/glm.po"
LINK = re.compile(r"\]\(([^)]+)\)")
SPAN = re.compile(r"`([^`\n]+)`")
HEADING = re.compile(r"^### `(.+)`$", re.MULTILINE)
AT_ONCE = 4
"""Pages that are read at the same time: a reader waits more than it works."""
FREE = re.compile(r'"[^"]*"|(?<=/title ).*')
"""What a person says, which is in the language of the page."""


def every_page() -> list[tuple[str, str]]:
    return [(language, name) for language in guide.LANGUAGES for name in guide.PAGES]


def odd(language: str, name: str) -> list[str]:
    """What is not as a page shows it, when its commands are typed."""
    with guide.reading(language) as reader:
        for step in guide.steps(guide.page(language, name)):
            before, where = reader.code(), f"{language}/{name}.md: {step.command}"
            seen = reader.do(step)
            if not guide.matches(step.shown, seen):
                return ["\n".join([f"{where} shows", *seen])]
            if (reader.code() != 0) is not step.fails:
                return [f"{where} ends with {reader.code()}"]
            if step.command == "echo $?" and step.shown != [str(before)]:
                return [f"{where} is {before}"]
    return []


def commands(language: str, name: str) -> list[str]:
    """All that is typed on a page, without what a person says."""
    text = guide.page(language, name)
    typed = []
    for step in guide.steps(text):
        chat = [line if line.startswith("/") else "words" for line in step.typed]
        typed += [step.command, *chat]
    return [FREE.sub("words", line) for line in typed + guide.not_run(text)]


def as_shown(text: str) -> str:
    """A text of the program as a page shows it: `…` for what differs."""
    return re.sub(r"\{[^}]*\}", "…", text)


def texts() -> dict[str, set[str]]:
    """English -> Chinese, for every text of the program, as pages show them."""
    found: dict[str, set[str]] = {}
    for english, chinese in entries(CATALOGUE.read_text(encoding="utf-8")).items():
        for form in english.split("\0"):
            found.setdefault(as_shown(form), set()).update(map(as_shown, chinese.split("\0")))
    return found


@pytest.mark.pty
@pytest.mark.model
@pytest.mark.parametrize("language", guide.LANGUAGES)
def test_the_commands_of_the_pages_do_what_they_show(language):
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = [pool.submit(odd, language, name) for name in guide.PAGES]
    assert [text for each in found for text in each.result()] == []


@pytest.mark.parametrize("name", guide.PAGES)
def test_both_languages_have_the_same_commands(name):
    assert commands("zh", name) == commands("en", name)


def test_both_languages_have_the_same_pages_and_the_index_leads_to_each():
    for language in guide.LANGUAGES:
        pages = {path.stem for path in (guide.GUIDE / language).glob("*.md")}
        led_to = {Path(link).stem for link in LINK.findall(guide.page(language, "index"))}
        assert pages == set(guide.PAGES)
        assert pages - {"index"} <= led_to


def test_most_commands_are_run():
    text = "\n".join(guide.page("en", name) for name in guide.PAGES)
    run = [step.command for step in guide.steps(text) if "glm " in step.command]
    assert len(run) > 4 * len(guide.not_run(text))


@pytest.mark.parametrize(("language", "name"), every_page())
def test_links_lead_to_files_and_headings(language, name):
    folder = guide.GUIDE / language
    for link in LINK.findall(guide.page(language, name)):
        path, _, heading = link.partition("#")
        assert (folder / path).exists(), link
        if heading:
            lines = (folder / path).read_text(encoding="utf-8").lower().splitlines()
            assert f"## {heading}" in lines, link


def test_messages_are_those_of_the_program_in_both_languages():
    english, chinese = (
        HEADING.findall(guide.page(language, "trouble")) for language in ("en", "zh")
    )
    known = texts()
    assert len(english) > 20
    assert [message for message in english if message not in known] == []
    unlike = [pair for pair in zip(english, chinese, strict=True) if pair[1] not in known[pair[0]]]
    assert unlike == []


@pytest.mark.parametrize(("language", "name"), every_page())
def test_names_are_those_of_the_program(language, name):
    """Commands, their options, slash commands and variables, wherever a page names them."""
    text = guide.page(language, name)
    spans = SPAN.findall(re.sub(r"^(`{3,}).*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL))
    for line in guide.not_run(text) + [span for span in spans if span.startswith("glm ")]:
        assert guide.unknown_options(line) == [], line
    words = [span.split()[0] for span in spans if re.match(r"/[a-z]+(?!\S)", span)]
    assert [word for word in words if word[1:] not in COMMANDS and word != "/tmp"] == []
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    variables = re.findall(r"\bGLM_[A-Z_]+", "\n".join(spans))
    assert [name for name in variables if f"# {name}=" not in example] == []
