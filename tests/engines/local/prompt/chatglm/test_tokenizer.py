"""ChatGLM's vocabularies."""

from __future__ import annotations

import random
import time
from itertools import pairwise
from pathlib import Path

import pytest

from glmcli.engines.local.prompt.chatglm.tokenizer import (
    CHATGLM_CONTROL,
    GLM4_CONTROL,
    ChatGLMTokenizer,
    GLM4Tokenizer,
    Tokenizer,
    load_tokenizer,
)
from glmcli.errors import ModelError
from tests.support.chatglm_data import expected, find, read_json
from tests.support.meanwhile import lets_others_run
from tests.support.vocabularies import byte_pairs, tiktoken_file

WORDS = (
    "the quick brown fox, 你好世界! It's 2024;\n\tdef f(x):\n    return x  # naïve 😀😀 don't\r\n"
)


@pytest.fixture(scope="module")
def original() -> Tokenizer:
    return load_tokenizer(find("tokenizer"), name="chatglm3-6b")


@pytest.fixture(scope="module")
def tiny() -> Tokenizer:
    return load_tokenizer(find("checkpoints", "tiny-6b-safetensors"), name="tiny")


@pytest.fixture(scope="module")
def glm4(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("glm4")
    (folder / "tokenizer.model").write_bytes(tiktoken_file(byte_pairs(WORDS * 3, size=330)))
    return load_tokenizer(folder, name="glm-4")


def decode(tokenizer: Tokenizer, ids: list[int]) -> str:
    decoder = tokenizer.decoder(starts=True)
    return "".join(decoder.push(token) for token in ids) + decoder.flush()


def test_every_recorded_text_has_the_original_ids(original: Tokenizer) -> None:
    rows = read_json(find("tokenizer", "encode_decode.json"))["rows"]
    assert len(rows) > 2000
    assert [row for row in rows if original.encode(row["text"]) != row["ids"]] == []


def test_every_recorded_text_comes_back(original: Tokenizer) -> None:
    for row in read_json(find("tokenizer", "encode_decode.json"))["rows"]:
        wanted = row["text"] if row["decoded"] is None else row["decoded"]
        assert decode(original, row["ids"]) == wanted


def test_every_recorded_list_of_ids_has_the_original_text(original: Tokenizer) -> None:
    for row in read_json(find("tokenizer", "decode_ids.json"))["decode"]:
        assert decode(original, row["ids"]) == row["decode"]


def test_streamed_text_never_shrinks_and_ends_as_the_original(original: Tokenizer) -> None:
    for row in read_json(find("tokenizer", "decode_ids.json"))["incremental"]:
        decoder = original.decoder(starts=True)
        shown = ""
        for token, cumulative in zip(row["ids"], row["cumulative"], strict=True):
            shown += decoder.push(token)
            held = cumulative.removeprefix(shown)
            assert cumulative.startswith(shown)
            assert held.strip("\ufffd") == ""
        assert shown + decoder.flush() == row["cumulative"][-1]


def test_a_newline_is_not_taken_back_by_half_a_character(tiny: Tokenizer) -> None:
    """ "\\n" is a byte token: decoders that treat a run of bytes as one would un-print it."""
    newline, half = tiny.encode("\n")[-1], tiny.encode("😀")[-4:-2]
    decoder = tiny.decoder(starts=False)
    assert [decoder.push(token) for token in [newline, *half]] == ["\n", "", ""]
    assert decoder.flush() == "\ufffd\ufffd"


def test_a_text_that_goes_on_keeps_its_blank(tiny: Tokenizer) -> None:
    ids = tiny.encode("dog")
    assert decode(tiny, ids) == "dog"
    decoder = tiny.decoder(starts=False)
    assert "".join(decoder.push(token) for token in ids) == " dog"


@pytest.mark.parametrize("name", ["tiny-6b-safetensors", "talker-6b-safetensors-sharded"])
def test_control_ids_follow_the_pieces(name: str) -> None:
    control = load_tokenizer(find("checkpoints", name), name=name).control
    recorded = expected(name)["special_ids"]
    assert control == {text: id for text, id in recorded.items() if text in CHATGLM_CONTROL}


@pytest.mark.parametrize("kind", ["tiny", "glm4"])
def test_no_text_becomes_a_control_id(kind: str, request: pytest.FixtureRequest) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(kind)
    for text in {
        *CHATGLM_CONTROL,
        *GLM4_CONTROL,
        "</s>",
        "<s>",
        "<unk>",
        "<0x0A>",
        "sophisticated",
    }:
        ids = tokenizer.encode(f"a{text}b {text}\n{text}")
        assert set(ids).isdisjoint(tokenizer.control.values())
        assert set(ids).isdisjoint({1, 2} if kind == "tiny" else ())


def test_a_later_tokenizer_config_is_not_read(original: Tokenizer, tmp_path: Path) -> None:
    """Its added tokens would make control ids of typed text, and split "sophisticated"."""
    source = find("tokenizer")
    (tmp_path / "tokenizer.model").symlink_to(source / "tokenizer.model")
    later = source / "tokenizer_config.added_tokens_revision.json"
    (tmp_path / "tokenizer_config.json").symlink_to(later)
    tokenizer = load_tokenizer(tmp_path, name="later")
    for text in ("a <|user|> b", "sophisticated", "[gMASK]"):
        assert tokenizer.encode(text) == original.encode(text)
        assert max(tokenizer.encode(text)) < 64789


@pytest.mark.parametrize("kind", ["tiny", "glm4"])
def test_a_long_text_becomes_ids_while_other_threads_go_on(
    kind: str, request: pytest.FixtureRequest
) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(kind)
    assert lets_others_run(lambda: tokenizer.encode(WORDS * 20_000))


@pytest.mark.parametrize("kind", ["tiny", "glm4"])
def test_lone_surrogates_become_replacement_characters(
    kind: str, request: pytest.FixtureRequest
) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(kind)
    assert tokenizer.encode("a\ud800b") == tokenizer.encode("a\ufffdb")
    assert tokenizer.encode("\ud83d\ude00") == tokenizer.encode("😀")


def test_glm4_merges_the_pair_of_the_lowest_rank_first(glm4: Tokenizer) -> None:
    """Against byte pair encoding written out, on texts that the splitting leaves whole."""
    tokens = byte_pairs(WORDS * 3, size=330)
    ranks = {token: rank for rank, token in enumerate(tokens)}
    chance = random.Random(7)
    letters = "theqvickbrownfo你好世界"
    for _ in range(300):
        text = "".join(chance.choices(letters, k=chance.randint(1, 30)))
        parts = [bytes([byte]) for byte in text.encode()]
        while any(a + b in ranks for a, b in pairwise(parts)):
            pairs = [(ranks.get(a + b, 999), i) for i, (a, b) in enumerate(pairwise(parts))]
            _, at = min(pairs)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        assert glm4.encode(text) == [ranks[part] for part in parts]


def test_glm4_text_comes_back_and_half_a_character_waits(glm4: Tokenizer) -> None:
    assert decode(glm4, glm4.encode(WORDS)) == WORDS
    ids = [256 + 99, *"😀".encode()]
    decoder = glm4.decoder(starts=True)
    assert [decoder.push(token) for token in ids] == ["", "", "", "", "😀"]


def test_glm4_control_ids_follow_the_ranks(glm4: Tokenizer) -> None:
    assert list(glm4.control.values()) == list(range(330, 344))
    assert list(glm4.control)[:3] == ["<|endoftext|>", "[MASK]", "[gMASK]"]


def test_the_bytes_of_the_file_tell_the_two_formats_apart(tiny: Tokenizer, glm4: Tokenizer) -> None:
    assert isinstance(tiny, ChatGLMTokenizer)
    assert isinstance(glm4, GLM4Tokenizer)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "has no tokenizer.model"),
        (b"", "neither"),
        (b"not a vocabulary\n", "neither"),
        (b"aGk= 0\nbroken line here\n", "neither"),
        (b"aGk= 0\n" + b"YWFh" * 400 + b" 1\n", "neither"),
        (b"\x0a\x0b\x0c" * 50, "neither"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1018370\n", "Git LFS"),
    ],
)
def test_a_broken_file_is_one_clear_line(data: bytes | None, words: str, tmp_path: Path) -> None:
    if data is not None:
        (tmp_path / "tokenizer.model").write_bytes(data)
    with pytest.raises(ModelError, match=words) as caught:
        load_tokenizer(tmp_path, name="mine")
    assert caught.value.hint


@pytest.mark.parametrize(
    "tokens",
    [
        [bytes([letter]) * length for letter in b"abcdef" for length in range(1, 1000)],
        [number.to_bytes(3, "big") for number in range(500_001)],
    ],
)
def test_a_vocabulary_that_would_take_without_end_is_refused_at_once(tokens):
    begin = time.process_time()
    with pytest.raises(ValueError, match="too"):
        GLM4Tokenizer(tiktoken_file(tokens))
    assert time.process_time() - begin < 3
