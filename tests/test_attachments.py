from __future__ import annotations

import pytest

from glmcli.attachments import attach, with_mentions
from glmcli.errors import UsageError


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_comes_under_a_header_with_path_size_and_hash(here):
    (here / "a.py").write_text("x = 1\n")
    header, _, body = attach(here / "a.py").partition("\n\n")
    assert str(here / "a.py") in header
    assert "6 bytes" in header
    assert "sha256" in header
    assert body == "```py\nx = 1\n```"


def test_fences_in_the_file_do_not_end_the_fence_around_it(here):
    (here / "a.md").write_text("````\ncode\n````")
    assert attach(here / "a.md").endswith("`````md\n````\ncode\n````\n`````")


@pytest.mark.parametrize(("data", "word"), [(b"a\0b", "binary"), (b"\xff\xfe", "UTF-8")])
def test_what_is_no_text_is_refused(here, data, word):
    (here / "x").write_bytes(data)
    with pytest.raises(UsageError, match=word):
        attach(here / "x")


def test_a_missing_file_is_refused(here):
    with pytest.raises(UsageError, match="cannot be attached"):
        attach(here / "nowhere")


def test_mentioned_files_go_below_the_text(here):
    (here / "a.txt").write_text("alpha\n")
    (here / "b c.txt").write_text("beta\n")
    text = with_mentions('compare @a.txt and @"b c.txt", and @a.txt again')
    assert text.startswith('compare @a.txt and @"b c.txt"')
    assert text.count("alpha") == 1
    assert text.count("beta") == 1


def test_what_is_no_file_stays_text(here):
    for text in ("mail me@a.txt", "@nobody said so", "no mention"):
        assert with_mentions(text) == text
