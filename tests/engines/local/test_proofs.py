"""Where findings are kept."""

from __future__ import annotations

import pytest

from glmcli.engines.local.proofs import read_verdict, write_verdict

FOUND = {"same": True, "way": "parts"}


def test_a_verdict_is_kept_in_its_file(tmp_path):
    path = tmp_path / "proofs" / "one.json"
    write_verdict(path, FOUND, keep=True)
    assert read_verdict(path) == FOUND
    path.unlink()
    assert read_verdict(path) == {}


@pytest.mark.parametrize("keep", [False, True])
def test_what_may_not_or_cannot_be_written_is_kept_in_memory(keep, tmp_path):
    path = tmp_path / "proofs" / "one.json"
    path.parent.write_text("no folder")
    write_verdict(path, FOUND, keep=keep)
    assert read_verdict(path) == FOUND
    assert path.parent.read_text() == "no folder"


def test_a_later_verdict_takes_the_place_of_one_in_memory(tmp_path):
    path = tmp_path / "one.json"
    write_verdict(path, FOUND, keep=False)
    write_verdict(path, {"same": False}, keep=True)
    path.unlink()
    assert read_verdict(path) == {}
