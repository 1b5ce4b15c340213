"""Every family that transformers continues text with says what its own `generate` says."""

import re
from pathlib import Path

import pytest

from tests.support import families

TABLE = Path(__file__).parents[5] / "docs" / "families.md"


@pytest.fixture(scope="module")
def rows():
    found = re.findall(r"^\| `([\w.-]+)` \| (.+) \|$", TABLE.read_text(encoding="utf-8"), re.M)
    return dict(found)


@pytest.mark.parametrize("family", sorted(families.CLASSES))
def test_three_turns_of_a_family_equal_generate_in_the_way_the_table_names(family, rows, tmp_path):
    assert families.row(family, tmp_path / "net") == rows[family]


def test_the_table_names_no_other_family(rows):
    assert sorted(rows) == sorted(families.CLASSES)


def test_few_families_are_refused(rows):
    refused = [family for family, how in rows.items() if how.startswith("refused")]
    assert len(refused) <= 5, refused
