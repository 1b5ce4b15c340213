"""Lines from files and pipes: whatever is in them, and however they arrive."""

from __future__ import annotations

import os
import threading

import pytest

from glmcli.cli.asking.each.lines import LineReader, count_lines, open_lines
from glmcli.errors import UsageError
from glmcli.paths import LARGEST_MESSAGE


def never() -> bool:
    return False


def all_of(reader: LineReader) -> list[tuple[int, bytes]]:
    return [(line.number, line.data) for line in iter(lambda: reader.take(never), None)]


@pytest.fixture
def file(tmp_path):
    def write(data: bytes) -> LineReader:
        (tmp_path / "lines").write_bytes(data)
        return open_lines(str(tmp_path / "lines"))

    return write


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"\n \n\t\r\n", []),
        (b"one", [(1, b"one")]),
        (b"one\r\n\ntwo \n", [(1, b"one"), (3, b"two ")]),
        (b"\xef\xbb\xbfone\n\xef\xbb\xbftwo", [(1, b"one"), (2, b"\xef\xbb\xbftwo")]),
        ("a\u2028b\x0bc\x85d\n".encode(), [(1, "a\u2028b\x0bc\x85d".encode())]),
    ],
)
def test_lines_are_numbered_as_an_editor_does_and_blank_ones_are_left_out(file, data, lines):
    reader = file(data)
    assert all_of(reader) == lines
    assert reader.is_over
    assert reader.found == len(lines)


@pytest.mark.parametrize("end", [b"", b"\n", b" "])
def test_blank_lines_are_counted(file, tmp_path, end):
    reader = file(b"one\n\n \ntwo\n\n" + end)
    all_of(reader)
    assert reader.blank == 3 + bool(end)
    assert reader.number == 5 + bool(end) == count_lines(tmp_path / "lines")


def test_a_line_that_is_too_large_is_passed_over_and_not_kept(file, tmp_path):
    reader = file(b"a\n" + b"x" * (LARGEST_MESSAGE + 1) + b"\nb\n" + b"y" * LARGEST_MESSAGE)
    found = [reader.take(never) for _ in range(4)]
    assert [line.is_too_large for line in found] == [False, True, False, False]
    assert [len(line.data) for line in found] == [1, 0, 1, LARGEST_MESSAGE]
    assert count_lines(tmp_path / "lines") == 4 == reader.number


def test_the_lines_of_a_pipe_are_there_as_soon_as_they_end():
    read, write = os.pipe()
    reader = LineReader(read, "pipe")
    assert reader.take(never, wait=False) is None
    os.write(write, b"one\ntw")
    assert reader.take(never, wait=False).data == b"one"
    assert reader.take(never, wait=False) is None
    assert not reader.is_over
    threading.Timer(0.1, lambda: (os.write(write, b"o"), os.close(write))).start()
    assert reader.take(never).data == b"two"
    assert reader.take(never) is None
    assert reader.is_over
    os.close(read)


def test_a_stop_ends_the_wait_for_a_line():
    read, write = os.pipe()
    os.write(write, b"half a line")
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    assert LineReader(read, "pipe").take(stop.is_set) is None
    os.close(read)
    os.close(write)


def test_a_fifo_is_read_like_a_file_and_not_counted(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    threading.Thread(target=lambda: path.write_bytes(b"one\ntwo\n")).start()
    assert all_of(open_lines(str(path))) == [(1, b"one"), (2, b"two")]
    assert count_lines(path) is None


def test_what_cannot_be_lines_is_refused(tmp_path, file):
    for source in (str(tmp_path), str(tmp_path / "nosuch"), "a\0b"):
        with pytest.raises(UsageError):
            open_lines(source)
    with pytest.raises(UsageError, match="is UTF-16"):
        file("one".encode("utf-16")).take(never)


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null"])
def test_a_device_is_refused(name):
    with pytest.raises(UsageError, match=f"{name} is a device, not a file"):
        open_lines(name)
