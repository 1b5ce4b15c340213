"""Words for control strings are as long as these, and cannot be taken for anything else."""

import pytest

from glmcli.engines.local.prompt.standins import check_carried, make_words, swap_texts, swapper
from glmcli.errors import UsageError
from glmcli.types import Message

CONTROLS = ["<s>", "</s>", "<|im_end|>", "ab"]


def test_words_are_as_long_as_their_control_strings_where_that_can_be():
    for _ in range(50):
        words = make_words(CONTROLS, "some text")
        assert [len(words[control]) for control in CONTROLS] == [3, 4, 10, 10]
        assert len(set(words.values())) == len(words)
    assert len(make_words(["ab"], "", spare=1)["ab"]) == 11


def test_a_word_that_is_in_the_texts_is_not_taken():
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    taken = " ".join(f"x{letter}x" for letter in letters)
    assert len(make_words(["<s>"], taken)["<s>"]) == 10
    (word,) = make_words(["<s>"], taken.replace("xkx", "")).values()
    assert word == "xkx" or len(word) == 10


def test_every_word_goes_back_to_its_control_string():
    message = Message("user", "a <s> b</s><|im_end|>", thinking="</s>", name="<s>")
    words = make_words(CONTROLS, message.text)
    (swapped,) = swap_texts([message], words)
    assert not any(
        control in swapped.text + swapped.thinking + swapped.name for control in CONTROLS
    )
    back = {word: control for control, word in words.items()}
    assert swap_texts([swapped], back) == [message]


@pytest.mark.parametrize(
    "change", [str.upper, str.title, lambda text: text[:8], lambda text: str(hash(text))]
)
def test_a_rendering_that_does_more_than_carry_a_word_is_refused(change):
    words, others = ({"</s>": word} for word in ("xabx", "x12x"))
    check_carried("a xabx b xabx", "a x12x b x12x", words, others)
    check_carried("a", "a", words, others)
    with pytest.raises(UsageError, match="cannot carry '</s>'"):
        check_carried(change("a, b, xabx"), change("a, b, x12x"), words, others)


def test_words_are_swapped_in_one_go():
    assert swapper({"a": "b", "b": "a", "ab": "c"})("abba") == "cab"
    assert swapper({})("abba") == "abba"
