"""What is shown of an error that nobody expected: no key, and not much."""

from __future__ import annotations

from contextlib import closing

import pytest

from glmcli.chat.bugs import internal_error, traceback_of
from glmcli.config import load_settings
from glmcli.config.values import READ_SECRETS
from glmcli.config.written import with_value
from glmcli.engines.remote.http import Server

KEY = "sk-own0123456789abcdefgh"
TEXT = f'api_key = "{KEY}"\nmodel = "\ud800"\n'


@pytest.fixture(autouse=True)
def nothing_read():
    """No key was read before: a test that masks one has read it."""
    before = set(READ_SECRETS)
    READ_SECRETS.clear()
    yield
    READ_SECRETS.clear()
    READ_SECRETS.update(before)


def encoded() -> Exception:
    """What Python raises where a text cannot be UTF-8: it holds the whole text."""
    with pytest.raises(UnicodeEncodeError) as caught:
        TEXT.encode()
    return caught.value


def test_of_a_text_that_cannot_be_encoded_only_the_place_is_shown():
    line = internal_error(encoded()).message
    assert "UnicodeEncodeError" in line and "surrogates not allowed" in line
    assert "sk-" not in line and "api_key" not in line


def by_environment(monkeypatch, home):
    monkeypatch.setenv("GLM_API_KEY", KEY)


def by_openai(monkeypatch, home):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def by_file(monkeypatch, home):
    path = home / "config.toml"
    path.write_text(f'[keys]\n"a.test" = "{KEY}"\n')
    path.chmod(0o600)
    load_settings({}, needed=())


def by_written_file(monkeypatch, home):
    with_value(f'[keys]\n"a.test" = "{KEY}"\n', home / "config.toml", "seed", 1)


@pytest.mark.parametrize("given", [by_environment, by_openai, by_file, by_written_file])
def test_a_key_that_is_known_is_masked(given, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLM_HOME", str(tmp_path))
    given(monkeypatch, tmp_path)
    bug = ValueError(f"of {TEXT!r}")
    for shown in (internal_error(bug).message, traceback_of(bug)):
        assert KEY not in shown and "[key]" in shown and "ValueError" in shown


def test_no_more_is_shown_than_says_which_error_it_is(monkeypatch):
    monkeypatch.setenv("GLM_API_KEY", KEY)
    for before in (0, 270, 290):
        bug = ValueError("x" * before + KEY + "y" * 1_000_000)
        line = internal_error(bug).message
        assert len(line) < 400 and KEY[:13] not in line
    assert len(traceback_of(bug)) < 10_000


def test_a_key_of_bytes_that_are_no_text_breaks_nothing(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "\udcff0123456789abcdef")
    assert (
        "ValueError('of [key]')" in internal_error(ValueError("of \udcff0123456789abcdef")).message
    )


def test_a_secret_in_the_query_of_an_address_is_a_key_too():
    with closing(Server("http://127.0.0.1:9/v1?api_key=k0-secret-0123456789")):
        line = internal_error(ValueError("at ?api_key=k0-secret-0123456789")).message
    assert "k0-secret" not in line and "[key]" in line
