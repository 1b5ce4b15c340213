"""The directory of a zip, as torch writes it and as nobody should."""

from __future__ import annotations

import io
import zipfile

import pytest

from glmcli.models.files.zips import ZipPart, read_directory


def made(packing: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packing) as archive:
        archive.writestr("archive/data.pkl", b"x" * 100)
        archive.writestr("archive/data/0", b"y" * 50)
    return file.getvalue()


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_parts_are_listed(packing: int):
    is_packed = packing != zipfile.ZIP_STORED
    assert read_directory(io.BytesIO(made(packing)), limit=10**6) == [
        ZipPart("archive/data.pkl", 100, is_packed),
        ZipPart("archive/data/0", 50, is_packed),
    ]


def test_the_directory_of_a_large_zip_is_found(monkeypatch: pytest.MonkeyPatch):
    plain = read_directory(io.BytesIO(made()), limit=10**6)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    large = made()
    assert b"PK\6\6" in large
    assert read_directory(io.BytesIO(large), limit=10**6) == plain


@pytest.mark.parametrize("is_large", [False, True])
def test_what_was_cut_off_or_goes_on_is_no_zip(monkeypatch: pytest.MonkeyPatch, is_large: bool):
    if is_large:
        monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    whole = made()
    for data in (b"", whole[:-1], whole[:50], whole[22:], whole + b"\0"):
        with pytest.raises(ValueError):
            read_directory(io.BytesIO(data), limit=10**6)


def test_a_directory_beyond_the_limit_is_not_read():
    with pytest.raises(ValueError, match="no directory"):
        read_directory(io.BytesIO(made()), limit=100)
