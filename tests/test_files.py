"""Files that others made: what is not a plain file of a sane size is refused, never waited for."""

import json
import math
import os
from pathlib import Path

import pytest

from glmcli import files
from glmcli.errors import ModelError, UsageError


def test_text_comes_with_or_without_a_byte_order_mark(tmp_path):
    path = tmp_path / "a.txt"
    for data in ("héllo".encode(), "héllo".encode("utf-8-sig")):
        path.write_bytes(data)
        assert files.read_text(path, limit=100) == "héllo"


@pytest.mark.timeout(5)
def test_what_is_not_a_regular_file_is_named_and_never_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "null").symlink_to("/dev/zero")
    for name, kind in (("pipe", "a pipe"), ("folder", "a folder"), ("null", "a device")):
        with pytest.raises(UsageError, match=f"{name} is {kind}, not a file"):
            files.read_bytes(tmp_path / name, limit=10)


def test_a_file_larger_than_its_kind_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "big.json"
    with path.open("wb") as file:
        file.truncate(2_000_000_000)
    with pytest.raises(ModelError, match="too large: 2,000,000,000 bytes; 1,000 is the limit"):
        files.read_bytes(path, limit=1_000, error=ModelError)


@pytest.mark.timeout(5)
def test_what_a_library_is_to_open_is_looked_at_by_the_same_rule(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "good").write_bytes(bytes(10))
    files.check_regular(tmp_path / "good", limit=10)
    for name, limit, said in (
        ("pipe", 10, "pipe is a pipe, not a file"),
        ("loop", 10, "loop cannot be read: Too many levels"),
        ("good", 9, "good is too large: 10 bytes; 9 is the limit"),
    ):
        with pytest.raises(ModelError, match=said):
            files.check_regular(tmp_path / name, limit=limit, error=ModelError)


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "a\nb", "x" * 5_000])
def test_a_name_that_no_file_has_is_refused_in_one_line(tmp_path, name):
    with pytest.raises(UsageError) as caught:
        files.read_bytes(tmp_path / name, limit=10)
    assert "\n" not in caught.value.message
    caught.value.message.encode()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux has such files")
def test_a_file_that_does_not_say_its_size_has_the_limit_too():
    path = Path("/proc/self/status")  # regular, of no bytes, as its folder says
    assert path.stat().st_size == 0 and len(files.read_bytes(path, limit=10_000)) > 100
    with pytest.raises(UsageError, match="/proc/self/status is too large: 100 bytes is the limit"):
        files.read_bytes(path, limit=100)


def test_a_missing_file_keeps_its_cause(tmp_path):
    with pytest.raises(UsageError, match=r"the list .* cannot be read: No such file") as caught:
        files.read_text(tmp_path / "none", limit=10, what="the list")
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_a_link_to_nothing_is_not_hinted_to_itself(tmp_path):
    (tmp_path / "dang.py").symlink_to("nowhere")
    with pytest.raises(UsageError) as caught:
        files.read_text(tmp_path / "dang.py", limit=10)
    assert caught.value.message == f"{tmp_path}/dang.py is a link to nowhere, which is not there"
    assert caught.value.hint == "check the path"
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_bytes_that_are_not_utf8_are_placed(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"ab\xff")
    with pytest.raises(UsageError, match=r"a\.txt is not valid UTF-8 \(byte 2\)"):
        files.read_text(path, limit=10)


@pytest.mark.parametrize("levels", [100, 1_000, 100_000])
def test_json_that_is_nested_without_end_is_refused(levels):
    for text in ("[" * levels + "]" * levels, '{"a":' * levels + "1" + "}" * levels):
        with pytest.raises(ModelError, match=r"config\.json: JSON that is nested too deeply"):
            files.parse_json(text, "config.json", error=ModelError)


def test_json_that_would_fill_the_memory_is_refused():
    with pytest.raises(ModelError, match=r"a\.json: JSON with too many lists and objects"):
        files.parse_json("[" + "[]," * files.MOST_HOLDERS + "[]]", "a.json", error=ModelError)


@pytest.mark.parametrize(
    "repeated", ["[],", "1.5,", '"a",', '{"role":0},', '"a\\\\",', '"\\"', "[]\n", '""'], ids=repr
)
def test_values_are_counted_whatever_they_are(repeated):
    assert files.has_more_values(f'["hi",{repeated * 1_000}0]', 1_000)


def test_what_stands_in_a_string_is_no_value():
    code = json.dumps('a["b"] = [{"c": [1, 2, {}]}, []]\\ \n' * 1_000)
    assert not files.has_more_values(f'[{{"role": "user", "content": {code}}}]', 7)
    assert files.has_more_values(f'[{{"role": "user", "content": {code}}}]', 6)


def test_json_of_a_usual_depth_is_parsed():
    assert files.parse_json('{"a": [1, {"b": null}]}', "x") == {"a": [1, {"b": None}]}
    assert files.parse_json("[" * files.DEEPEST + "]" * files.DEEPEST, "x")


@pytest.mark.parametrize("text", ["", "{", "nan", '{"a": 1'])
def test_what_is_not_json_is_said_with_the_place(text):
    with pytest.raises(UsageError, match=r"messages\.json is not JSON"):
        files.parse_json(text, "messages.json")


def test_a_number_of_any_length_is_read():
    assert files.loads("[1, -5, " + "9" * 6000 + ", -" + "9" * 10_000 + "]") == [
        1,
        -5,
        math.inf,
        -math.inf,
    ]
    assert files.loads("9" * 300) == 10**300 - 1


def test_json_that_is_written_holds_only_numbers_that_json_has():
    value = {"a": [math.nan, (1.5, -math.inf)], "b": {"c": math.inf}, "d": Path("x"), "é": 1}
    text = files.json_text(value)
    assert text == '{"a": [null, [1.5, null]], "b": {"c": null}, "d": "x", "é": 1}'
    assert json.loads(files.json_text(value, indent=2)) == json.loads(text)
