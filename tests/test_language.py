"""Every text that a user can see has a translation, and no translation is left over."""

import gettext
import os
import string
import sys
from pathlib import Path
from subprocess import CompletedProcess, run

import pytest

from docs import texts
from glmcli.cli import HELP
from glmcli.errors import UsageError
from glmcli.language import FOLDER, chinese_locale, later, ntr, tr
from hatch_build import CATALOGUES, ROOT, compile_all, compiled, entries

CATALOGUE = next(iter(sorted(ROOT.glob(CATALOGUES))))


def fields(text: str) -> set[str]:
    """The {fields} of a text, with how they are written."""
    return {f"{name}:{form}" for _, name, form, _ in string.Formatter().parse(text) if name}


def run_in_chinese(folder: Path, typed: str) -> CompletedProcess[str]:
    """What glm says to a command line under a Chinese locale."""
    return run(
        [sys.executable, "-m", "glmcli", *typed.split()],
        cwd=folder,
        env=os.environ | {"LC_ALL": "zh_CN.UTF-8", "GLM_HOME": str(folder), "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def test_nothing_said_stays_nothing(monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert tr("") == ""


def test_every_text_is_translated_and_no_translation_is_left_over():
    assert texts.missing() == {CATALOGUE: []}


def test_one_thing_has_one_chinese_word():
    text = CATALOGUE.read_text(encoding="utf-8")
    assert "词元" not in text  # token, as Chinese users write it
    assert "hub ID" not in text and "模型 id" not in text  # hub id


def test_no_blank_stands_between_chinese_and_what_fills_a_field(monkeypatch, tmp_path):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert tr("{kind} at {host}", kind="服务器", host="127.0.0.1:8000") == "127.0.0.1:8000 的服务器"
    assert tr("{kind} at {host}", kind="我的 vLLM 机", host="一 二") == "一 二的我的 vLLM 机"
    assert tr("{kind} at {host}", kind="vLLM", host="lab") == "lab 的 vLLM"
    english = "{source} sets {name}, which is not a setting; did you mean {near}?"
    said = tr(english, source=tr("the environment"), name="GLM_X", near="GLM_Y")
    assert said.startswith("环境变量设置了 GLM_X，")
    assert run_in_chinese(tmp_path, "--help").stdout.startswith("用法：glm ")


def test_translations_have_the_fields_of_their_texts():
    for english, other in entries(CATALOGUE.read_text(encoding="utf-8")).items():
        if english:
            allowed = set().union(*(fields(form) for form in english.split("\0")))
            assert all(fields(form) <= allowed for form in other.split("\0")), english
            assert "\0" in english or fields(other) == allowed, english


def test_gettext_reads_what_was_compiled(tmp_path):
    path = tmp_path / "glm.mo"
    header = "Content-Type: text/plain; charset=utf-8\nPlural-Forms: nplurals=1; plural=0;\n"
    found = {"": header, "yes": "是", "{n} file\0{n} files": "{n} 个文件"}
    path.write_bytes(compiled(found))
    with path.open("rb") as file:
        read = gettext.GNUTranslations(file)
    assert read.gettext("yes") == "是"
    assert read.ngettext("{n} file", "{n} files", 3) == "{n} 个文件"


def test_the_installed_catalogue_is_that_of_the_source():
    # Compiled by the installation. After an edit: python docs/texts.py
    made = CATALOGUE.with_suffix(".mo").read_bytes()
    assert made == compiled(entries(CATALOGUE.read_text(encoding="utf-8")))


def test_a_text_without_a_translation_stays_english(monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert tr("no {thing} like this {n:,}", thing="text", n=1_000) == "no text like this 1,000"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("ask --bogus x", "没有选项 --bogus"),
        ("ask --tempe 1 x", "没有选项 --tempe"),
        ("bogus", "没有命令 'bogus'"),
        ("history show", "缺少参数 'ID'"),
        ("ask --temperature", "选项 '--temperature' 需要一个值"),
        ("ask --no-save=1 x", "选项 '--no-save' 不接受值"),
        ("history list a b", "多余的参数（a b）"),
        ("chatt", "没有命令 'chatt'"),
        ("history list -n 0", "'-n' / '--limit' 的值 0 不在范围 x>=1 之内"),
        ("history list -n abc", "'-n' / '--limit' 的值 'abc' 不是整数"),
        ("ask -f bogus x", "'-f' / '--format' 的值 'bogus' 不在可选值之中：'text'"),
    ],
)
def test_what_typer_says_is_translated_too(tmp_path, typed, said):
    ended = run_in_chinese(tmp_path, typed)
    assert ended.returncode == UsageError.exit_code
    assert ended.stderr.startswith(f"glm: {said}")


@pytest.mark.parametrize("typed", ["--help", "ask --help", "history --help", "models"])
def test_the_help_of_typer_is_translated_too(tmp_path, typed):
    said = run_in_chinese(tmp_path, typed).stdout
    assert said.startswith(f"用法：glm {typed.removesuffix('--help')}".rstrip())
    assert all(english not in " ".join(said.split()) for english in HELP)


def test_the_number_chooses_the_sentence(monkeypatch):
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert [ntr("{n} day", "{n} days", n) for n in (0, 1, 2)] == ["0 days", "1 day", "2 days"]
    assert later("a text") == "a text"


@pytest.mark.parametrize(
    ("environ", "is_chinese"),
    [
        ({"LANG": "zh_CN.UTF-8"}, True),
        ({"LANG": "zh_TW"}, True),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": ""}, True),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, False),
        ({"LANG": "zh_CN.UTF-8", "LANGUAGE": "en"}, False),
        ({"LANG": "de_DE.UTF-8", "LANGUAGE": "zh_CN:en"}, True),
        ({"LC_ALL": "C.UTF-8", "LANGUAGE": "zh_CN", "LANG": "zh_CN.UTF-8"}, False),
        ({"LC_ALL": "en_US.UTF-8", "LANG": "zh_CN.UTF-8"}, False),
        ({}, False),
    ],
)
def test_the_locale_says_whether_chinese_is_wanted(environ, is_chinese):
    assert chinese_locale(environ) is is_chinese


def test_compiling_finds_the_catalogues_of_the_package():
    assert CATALOGUE.is_relative_to(FOLDER)
    assert CATALOGUE.with_suffix(".mo") in compile_all(ROOT)
