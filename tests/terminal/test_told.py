"""What the program says of its own, in rows: words whole, commands and paths to copy uncut."""

from __future__ import annotations

import pytest

from glmcli.terminal.rows import cells
from glmcli.terminal.told import in_rows

ERROR = (
    "glm: the system prompt /home/somebody/prompts/nothing-here.txt cannot be read: No such file"
)


def test_a_line_that_fits_is_left():
    assert in_rows("glm: there is no prompt\nhint: type one", 60) == (
        "glm: there is no prompt\nhint: type one"
    )


@pytest.mark.parametrize("columns", [30, 40, 60])
def test_rows_end_between_words_and_hang_below_the_first(columns):
    rows = in_rows(ERROR, columns).split("\n")
    assert " ".join(row.strip() for row in rows) == ERROR
    assert all(cells(row) <= columns or " " not in row.strip() for row in rows)
    assert all(row.startswith("     ") or cells(row) > columns - 5 for row in rows[1:])


def test_a_path_that_fits_no_row_has_its_own_from_the_left():
    path = "/" + "long/" * 20
    rows = in_rows(f"glm: there is no folder {path} here to read anything from at all", 60)
    assert path in rows.split("\n")


@pytest.mark.parametrize("columns", [40, 60, 61, 80])
@pytest.mark.parametrize("mark", ["glm: ", "hint: "])
@pytest.mark.parametrize("end", ["", ": No such file or directory", " says what it is"])
def test_no_mark_stands_alone_before_a_path_and_no_empty_row_behind_it(columns, mark, end):
    for letters in (*range(columns - 12, columns + 4), 100):
        rows = in_rows(f"{mark}{'/' * letters}{end}", columns).split("\n")
        assert rows[0].startswith(f"{mark}/")
        assert all(row.strip() for row in rows)
        assert all(row.startswith(" " * len(mark)) for row in rows[1:])


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("hint: the newest come first and are shown, so: glm history list -n 5", None),
        ("hint: did you mean what others have called glm history search 'a b c'?", None),
        (
            "hint: it is kept in a file, and glm config set model NAME changes it",
            "glm config set model NAME",
        ),
        (
            "hint: write it behind the command as in: glm chat --resume abcd; or begin anew",
            "glm chat --resume abcd",
        ),
    ],
)
def test_a_command_to_copy_stands_in_one_row(line, command):
    command = command or line[line.index("glm ") :].rstrip("?")
    for columns in range(40, 80):
        assert any(command in row for row in in_rows(line, columns).split("\n"))


def test_chinese_is_cut_by_cells_and_takes_no_closer_to_the_next_row():
    line = (
        "glm: 系统提示词文件无法读取：没有那个文件或目录，请检查路径是否正确，然后再试一次，谢谢。"
    )
    rows = in_rows(line, 40).split("\n")
    assert "".join(row.removeprefix("     ") for row in rows) == line
    assert all(cells(row) <= 40 for row in rows)
    assert not any(row.strip().startswith(("，", "。")) for row in rows[1:])


def test_the_mark_of_a_hint_is_that_of_the_language(monkeypatch):
    monkeypatch.setattr("glmcli.terminal.told.tr", lambda text, **fields: "提示：")
    rows = in_rows("提示：" + "改用已有的模型，" * 8, 40).split("\n")
    assert rows[1:] and all(row.startswith(" " * 6) for row in rows[1:])


def test_columns_of_a_list_stay_columns():
    row = "/help     what each of these commands does and how much of it there is"
    assert in_rows(row, 40).split("\n")[1].startswith(" " * 10)
