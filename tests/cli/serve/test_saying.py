from glmcli.cli.serve.saying import in_parts

ROW = "  OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=any"


def test_a_command_wider_than_the_window_is_cut_where_a_shell_joins_it() -> None:
    parts = in_parts(ROW, 50)
    assert parts == ["  OPENAI_BASE_URL=http://127.0.0.1:8000/v1 \\", "    OPENAI_API_KEY=any"]
    assert in_parts(ROW, 100) == in_parts(ROW, 0) == [ROW]


def test_a_word_wider_than_the_window_stays_whole() -> None:
    assert in_parts("  " + "x" * 50, 20) == ["  " + "x" * 50]
    assert in_parts("echo answers at " + "x" * 50, 20) == ["echo answers at " + "x" * 50]
