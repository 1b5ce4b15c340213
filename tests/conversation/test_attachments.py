from __future__ import annotations

import hashlib
import json
import os

import pytest

from glmcli.conversation.attachments import (
    attach_mentioned,
    dropped_files,
    heading,
    headings_only,
    join_files,
    mention_of,
    missing_mentions,
    read_attachment,
    untyped_mentions,
)
from glmcli.conversation.typed import Line
from glmcli.errors import UsageError

FOREIGN = "File: /etc/motd (5 bytes, sha256 {digest})\n\n```\n{text}\n```"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_comes_under_a_header_with_path_size_and_hash(here):
    (here / "a.py").write_text("x = 1\n")
    header, _, body = read_attachment(here / "a.py").partition("\n\n")
    assert str(here / "a.py") in header
    assert "6 bytes" in header
    assert "sha256" in header
    assert body == "```py\nx = 1\n```"


@pytest.mark.parametrize("name", ["notes.txt", "folder/notes.txt"])
def test_a_link_is_said_to_be_one_and_where_it_leads(here, name, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "notes.txt").write_text("mine\n")
    link, target = (here / name, outside / name) if "/" not in name else (here / "folder", outside)
    link.symlink_to(target)
    (attached,) = attach_mentioned(Line(f"see @{name}"))
    assert heading(attached).startswith(
        f"File: {here / name}, a link to {outside / 'notes.txt'} (5 bytes, sha256 "
    )
    assert headings_only(join_files("see", [attached])) == f"see\n\n{heading(attached)}"


def test_of_a_path_that_is_not_a_link_the_shortest_form_is_shown(here):
    (here / "folder").mkdir()
    (here / "a.txt").write_text("alpha\n")
    assert heading(read_attachment(here / "folder/../a.txt")).startswith(
        f"File: {here / 'a.txt'} ("
    )


def test_fences_in_the_file_do_not_end_the_fence_around_it(here):
    (here / "a.md").write_text("````\ncode\n````")
    assert read_attachment(here / "a.md").endswith("`````md\n````\ncode\n````\n`````")


@pytest.mark.parametrize(
    "data", ["", "x", "x = 1\n", "a\r\nb", "\ufeffmarked\n", "````\ncode\n````\n", "\n\n", "春\n"]
)
def test_of_a_message_with_files_their_headers_are_shown(here, data):
    (here / "a.txt").write_text(data, newline="")
    (here / "b.md").write_text(read_attachment(here / "a.txt"), newline="")
    files = [read_attachment(here / "a.txt"), read_attachment(here / "b.md")]
    for text in ("read these", "", "File: x"):
        shown = "\n\n".join(filter(None, [text, *map(heading, files)]))
        assert headings_only(join_files(text, files)) == shown


@pytest.mark.parametrize("digest", ["0" * 16, hashlib.sha256(b"evil\n").hexdigest()[:16]])
@pytest.mark.parametrize("after", ["", "\n\nmore"])
def test_a_text_that_looks_like_a_file_hides_nothing(here, digest, after):
    (here / "a.txt").write_text("alpha\n")
    text = "look\n\n" + FOREIGN.format(digest=digest, text="evil") + after
    assert headings_only(join_files(text, [])).rstrip() == text
    mine = read_attachment(here / "a.txt")
    assert headings_only(join_files(text, [mine])).startswith(text)
    assert headings_only(join_files(text, [mine])).endswith(f"\n\n{heading(mine)}")


def test_a_piped_text_that_looks_like_a_file_hides_nothing_either(glm):
    digest = hashlib.sha256(b"evil\n").hexdigest()[:16]
    text = "look\n\n" + FOREIGN.format(digest=digest, text="evil")
    sent = json.loads(glm("ask", "-m", "echo:", "--format", "json", stdin=text).out)
    assert headings_only(sent["text"]).rstrip() == text


def test_a_text_without_such_an_end_is_sent_as_it_is():
    assert join_files("one\n\ntwo ", []) == "one\n\ntwo "


@pytest.mark.parametrize(("data", "word"), [(b"a\0b", "binary"), (b"\xff\xfe", "UTF-8")])
def test_binary_files_are_refused(here, data, word):
    (here / "x").write_bytes(data)
    with pytest.raises(UsageError, match=word):
        read_attachment(here / "x")


def test_a_missing_file_is_refused(here):
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_attachment(here / "nowhere")


def test_a_folder_and_a_pipe_are_no_files(here):
    os.mkfifo(here / "pipe")
    for path, what in ((here, "no text file there"), (here / "pipe", "is a pipe, not a file")):
        with pytest.raises(UsageError, match=what):
            read_attachment(path)


def test_a_file_of_any_size_is_refused_before_it_is_read(here):
    with (here / "huge").open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(UsageError, match="1,000,000,000,000 bytes; 32,000,000 is the limit"):
        read_attachment(here / "huge")


def test_files_are_attached_in_the_order_in_which_they_are_mentioned(here):
    (here / "a.txt").write_text("alpha\n")
    (here / "b c.txt").write_text("beta\n")
    found = attach_mentioned(Line('compare @"b c.txt" and @a.txt, and @a.txt again'))
    assert found == [read_attachment(here / "b c.txt"), read_attachment(here / "a.txt")]
    digest = hashlib.sha256(b"beta\n").hexdigest()[:16]
    assert heading(found[0]) == f"File: {here / 'b c.txt'} (5 bytes, sha256 {digest})"


@pytest.mark.parametrize(
    "text",
    [
        "look at @a.txt.",
        "look at @a.txt, please",
        "why @a.txt?!",
        "@a.txt: explain",
        "(see @a.txt)",
        "what is '@a.txt'",
        "看@a.txt，然后总结",
        "请看（@a.txt）。",
        'and @"a.txt".',
    ],
)
def test_what_follows_a_path_in_a_sentence_does_not_belong_to_it(here, text):
    (here / "a.txt").write_text("alpha\n")
    assert attach_mentioned(Line(text)) == [read_attachment(here / "a.txt")]
    assert missing_mentions(Line(text)) == []


def test_a_pasted_mention_of_a_file_that_is_typed_as_well_is_not_missed(here):
    (here / "a.txt").write_text("alpha")
    (here / "b.txt").write_text("beta")
    pasted = b"\0" * len("see @a.txt: ") + b"\1" * 30
    assert [*untyped_mentions(Line("see @a.txt: @a.txt", pasted))] == []
    assert [*untyped_mentions(Line("see @a.txt: @a.txt, @b.txt @b.txt", pasted))] == ["@b.txt"]


@pytest.mark.parametrize("text", ["@a.txt", '@"a.txt"', "see @a.txt, please", "(@a.txt)"])
def test_a_mention_of_which_one_character_was_pasted_attaches_nothing(here, text):
    (here / "a.txt").write_text("alpha\n")
    start = text.index("@")
    end = text.rindex('"') + 1 if '"' in text else text.index("txt") + 3
    for at in range(start, end):
        line = Line(text, b"\0" * at + b"\1")
        assert attach_mentioned(line) == []
        assert [*untyped_mentions(line)]


@pytest.mark.parametrize("form", ["{}", "'{}'", '"{}"', "file://{}", "file://localhost{}", "{} "])
def test_the_path_of_a_file_that_is_dragged_in_is_known(here, form):
    (here / "a b.txt").write_text("alpha\n")
    quoted = str(here / "a b.txt").replace(" ", "%20") if "file:" in form else str(here / "a b.txt")
    assert dropped_files(form.format(quoted)) == [here / "a b.txt"]
    assert attach_mentioned(Line(mention_of(here / "a b.txt"))) == [
        read_attachment(here / "a b.txt")
    ]


def test_what_is_more_than_the_path_of_a_file_is_not_one(here):
    (here / "a.txt").write_text("alpha\n")
    assert dropped_files(str(here / "a.txt").replace(".", "\\.")) == [here / "a.txt"]
    for text in (
        "",
        str(here),
        "see a.txt",
        "a.txt\nb",
        "file://elsewhere/a.txt",
        "file://[",
        "~nobody",
        "a.txt and a.txt",
        "a.txt nowhere.txt",
        "'a.txt' 'a.txt",
        " ".join(["nowhere.txt"] * 300),
    ):
        assert dropped_files(text) == []


def test_the_paths_of_several_files_that_are_dragged_in_at_once_are_known(here):
    for name in ("a b.txt", "c.txt", "it's.txt"):
        (here / name).write_text("alpha\n")
    found = [here / "a b.txt", here / "c.txt", here / "it's.txt"]
    for text in (
        f"'{here}/a b.txt' '{here}/c.txt' '{here}/it'\\''s.txt' ",
        f"{here}/a\\ b.txt {here}/c.txt {here}/it\\'s.txt",
        f"file://{here}/a%20b.txt file://{here}/c.txt file://{here}/it%27s.txt",
    ):
        assert dropped_files(text) == found


def test_a_file_whose_name_has_such_characters_comes_first(here):
    (here / "a.txt").write_text("alpha\n")
    (here / "a.txt.").write_text("beta\n")
    assert attach_mentioned(Line("look at @a.txt.")) == [read_attachment(here / "a.txt.")]


def test_mentions_of_no_file_stay_text(here):
    (here / "a.txt").write_text("alpha\n")
    (here / "folder").mkdir()
    for text in ("mail me@a.txt", "@nobody said so", "no mention", "@folder", "@~nobody/a.txt"):
        assert attach_mentioned(Line(text)) == []


@pytest.mark.parametrize("text", ["@~nobody hello", "@" + "x" * 300, "@" + "x/" * 3000, "@a\0b"])
def test_what_can_be_no_path_is_a_word(here, text):
    assert attach_mentioned(Line(text)) == []


def test_a_mention_that_looks_like_a_path_is_missed(here):
    (here / "folder").mkdir()
    text = "@missing.txt @src/main @folder/ @dataclass @nobody me@example.org 3@2.5x @missing.txt"
    assert missing_mentions(Line(f"{text} @folder")) == [
        "missing.txt",
        "src/main",
        "folder/",
        "folder",
    ]


@pytest.mark.parametrize("typed", ["@notes.tx", "@Notestxt", "@notestxt,"])
def test_a_mention_near_the_name_of_a_file_is_missed_and_the_file_is_named(glm, here, typed):
    (here / "notes.txt").write_text("alpha\n")
    done = glm("chat", "-m", "echo:", "--commands", stdin=f"read {typed}\n")
    assert done.out == f"read {typed}\n"
    assert "did you mean @notes.txt?" in done.err


def test_a_missed_file_is_said_so_and_the_message_is_sent(glm):
    done = glm("chat", "-m", "echo:", "--commands", stdin="read @missing.txt\n")
    assert done.out == "read @missing.txt\n"
    assert "@missing.txt is not a file here" in done.err


def test_the_size_of_a_mentioned_file_is_said_before_the_reply(glm, tmp_path):
    (tmp_path / "a.txt").write_text("alpha beta\n")
    done = glm("chat", "-m", "echo:", "--commands", stdin="hello\nread @a.txt\n")
    digest = hashlib.sha256(b"alpha beta\n").hexdigest()[:16]
    header = f"File: {tmp_path / 'a.txt'} (11 bytes, sha256 {digest})"
    assert f"{header}, 10 tokens" in done.err
    assert done.out == f"hello\nread @a.txt\n\n{header}\n\n```txt\nalpha beta\n```\n"
    assert header in glm("history", "export").out


def test_what_comes_on_stdin_is_stored_as_it_was_sent(glm):
    done = glm("ask", "-m", "echo:", "review this", stdin="\ufeffalpha\r\nbeta\n")
    assert done.out == "review this\n\nalpha\r\nbeta\n"
    stored = json.loads(glm("history", "export", "-f", "json").out)
    assert stored["messages"][0]["content"] == "review this\n\nalpha\r\nbeta"


@pytest.mark.parametrize(("data", "words"), [(b"\xff\xfe", "UTF-8 (byte 0)"), (b"a\0b", "NUL")])
def test_binary_data_is_refused_on_stdin_too(glm, data, words):
    done = glm("ask", "-m", "echo:", stdin=data)
    assert (done.code, done.out, len(done.err_lines)) == (2, "", 2)
    assert words in done.err
    assert glm("history", "list", "--all").out == ""


def test_a_file_larger_than_the_window_is_refused_with_both_numbers(glm, tmp_path):
    (tmp_path / "a.txt").write_text("word " * 200)
    done = glm("chat", "-m", "echo:window=100", "--commands", stdin="hello\nread @a.txt\n")
    assert done.code == 4
    assert "210 tokens, but the model's window holds 100" in done.err


def test_an_attached_file_waits_until_a_message_with_it_got_an_answer(glm, tmp_path):
    (tmp_path / "a.txt").write_text("alpha")
    talk = "/attach a.txt\n" + "word " * 100 + "\n/attach\nshort\n/attach\n"
    done = glm("chat", "-m", "echo:window=60", "--commands", stdin=talk)
    assert done.out.startswith("short\n\nFile: ")
    notes = [line for line in done.err_lines if not line.startswith(("glm:", "hint:"))]
    assert [note.split(" ")[0] for note in notes] == ["File:", "File:", "no"]


def test_an_attached_file_goes_with_a_message_that_is_asked_again_and_with_no_other(glm, tmp_path):
    (tmp_path / "a.txt").write_text("alpha")
    talk = "one two three\n/attach a.txt\nread it\n/undo\n/model echo:\n/attach\n"
    done = glm("chat", "-m", "echo:window=10", "--context", "stop", "--commands", stdin=talk)
    assert "goes with the next message" in done.err
    assert done.err_lines[-1].startswith("File: ")
    done = glm(
        *("chat", "-m", "echo:window=10", "--commands"),
        stdin=talk.replace("/undo\n", "") + "/retry\n/attach",
    )
    assert done.out.endswith("```txt\nalpha\n```\n")
    assert done.err_lines[-1] == "no file goes with the next message; /attach FILE adds one"
