"""Each field of generation_config.json does to a reply what it does to that of `generate`."""

from threading import Event

import pytest
import torch

from glmcli.engines.local.net.decode import PrefixCache, decode
from glmcli.engines.local.net.plain.reader import PlainReader
from glmcli.engines.local.net.sampling.sampler import Sampler
from glmcli.engines.local.net.sampling.steps import try_steps
from glmcli.errors import EngineError, ModelError
from glmcli.models.defaults import STEPS, Defaults, defaults_in
from glmcli.types import GenerationParams
from tests.support import tiny

NET = tiny.llama(initializer_range=0.1)
PROMPT = torch.randint(0, 430, (200,), generator=torch.Generator().manual_seed(3)).tolist()
COUNT, SEED = 24, 7


def generated(prompt=PROMPT, *, ends=None, **stated):
    """The reply's ids by generate itself, the id that ends it left out."""
    torch.manual_seed(SEED)
    ids = torch.tensor([prompt])
    whole = NET.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=COUNT,
        eos_token_id=ends,
        pad_token_id=0,
        **{"do_sample": False, **stated},
    )
    reply = whole[0, len(prompt) :].tolist()
    return reply[:-1] if reply[-1] in (ends or ()) else reply


def replied(prompt=PROMPT, *, ends=None, **stated):
    """The same by our own loop."""
    sampler = Sampler(
        GenerationParams(seed=SEED),
        defaults_in(stated),
        prompt,
        stop_ids=ends or (),
        max_length=len(prompt) + COUNT,
    )
    stream = decode(
        PrefixCache(PlainReader(NET)),
        prompt,
        sampler,
        stop_ids=ends or (),
        max_tokens=COUNT,
        cancel=Event(),
    )
    return list(stream)


PLAIN = generated()
DRAWN = {"do_sample": True, "temperature": 1.3}
RANDOM = generated(**DRAWN)
FIELDS = {
    "sequence_bias": [[[PLAIN[2]], -9.0], [[PLAIN[0], 5], 9.0], [RANDOM[1:3], -9.0]],
    "bad_words_ids": [[PLAIN[1]], PLAIN[3:5], RANDOM[2:4]],
    "suppress_tokens": PLAIN[:3] + RANDOM[:3],
    "begin_suppress_tokens": [PLAIN[0], RANDOM[0]],
    "exponential_decay_length_penalty": [1, 9.0],
    "no_repeat_ngram_size": 1,
    "encoder_no_repeat_ngram_size": 1,
    "encoder_repetition_penalty": 3.0,
    "min_length": len(PROMPT) + 9,
    "min_new_tokens": 9,
    "forced_eos_token_id": 17,
    "repetition_penalty": 1.7,
    "remove_invalid_values": True,
}
SAMPLED = {
    "top_h": 0.4,
    "typical_p": 0.3,
    "epsilon_cutoff": 0.02,
    "eta_cutoff": 0.9,
    "min_p": 0.4,
    "top_p": 0.3,
    "top_k": 3,
}
ABOUT_ENDS = {"exponential_decay_length_penalty", "min_length", "min_new_tokens"}
CHANGES_NOTHING_HERE = {"remove_invalid_values"}


def test_the_usual_is_as_generate_has_it():
    assert replied() == PLAIN
    assert replied(**DRAWN) == RANDOM


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("how", [{}, DRAWN], ids=["greedy", "drawn"])
def test_a_field_does_what_it_does_in_generate(name, how):
    ends = [PLAIN[5], RANDOM[5]] if name in ABOUT_ENDS else None
    stated = {name: FIELDS[name], **how}
    expected = generated(ends=ends, **stated)
    assert replied(ends=ends, **stated) == expected
    if name not in CHANGES_NOTHING_HERE:
        assert expected != generated(ends=ends, **how)


@pytest.mark.parametrize("name", SAMPLED)
def test_a_field_for_draws_does_what_it_does_in_generate(name):
    expected = generated(**{name: SAMPLED[name]}, **DRAWN)
    assert replied(**{name: SAMPLED[name]}, **DRAWN) == expected
    assert expected != RANDOM
    assert replied(**{name: SAMPLED[name]}) == PLAIN


def test_all_fields_together_do_what_they_do_in_generate():
    stated = {**FIELDS, **SAMPLED, **DRAWN, "suppress_tokens": [1]}
    # These do not take scores of minus infinity, which others make: generate fails too.
    del stated["top_h"], stated["exponential_decay_length_penalty"]
    assert replied(ends=[3], **stated) == generated(ends=[3], **stated)


def test_a_first_id_can_be_forced_after_a_prompt_of_one():
    assert replied([9], forced_bos_token_id=33)[0] == 33
    assert replied([9], forced_bos_token_id=33) == generated([9], forced_bos_token_id=33)


def test_every_step_is_compared():
    assert {*FIELDS, *SAMPLED, "forced_bos_token_id"} >= set(STEPS)


def test_an_option_wins_over_what_is_stated():
    stated = defaults_in({"typical_p": 0.3, "do_sample": True, "temperature": 5.0, "top_k": 2})
    sampler = Sampler(GenerationParams(temperature=0.0), stated, [0])
    assert sampler.pick(torch.tensor([1.0, 2.0, 9.0, 3.0])) == 2
    sampler = Sampler(GenerationParams(seed=1, top_k=4), stated, [0])
    assert {sampler.pick(torch.zeros(4)) for _ in range(99)} == {0, 1, 2, 3}


def test_draws_are_among_fifty_where_nothing_is_stated():
    scores = torch.zeros(400)
    scores[:50] = 1.0
    sampler = Sampler(GenerationParams(temperature=1.0, seed=1), Defaults(), [])
    assert max(sampler.pick(scores) for _ in range(300)) < 50
    sampler = Sampler(GenerationParams(temperature=1.0, seed=1, top_k=0), Defaults(), [])
    assert max(sampler.pick(scores) for _ in range(300)) >= 50


@pytest.mark.parametrize("top_k", [-1, 0])
def test_no_number_of_ids_is_all_of_them(top_k):
    sampler = Sampler(GenerationParams(seed=1), Defaults(do_sample=True, top_k=top_k), [])
    assert max(sampler.pick(torch.zeros(400)) for _ in range(99)) > 300


def test_values_that_are_not_numbers_are_mended_only_where_that_is_asked_for():
    broken = torch.tensor([1.0, float("nan"), 2.0])
    mends = defaults_in({"remove_invalid_values": True})
    assert Sampler(GenerationParams(), mends, [0]).pick(broken) == 2
    with pytest.raises(EngineError, match="not numbers"):
        Sampler(GenerationParams(), defaults_in({"suppress_tokens": [0]}), [0]).pick(broken)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("bad_words_ids", [[5, 430]]),
        ("sequence_bias", [[[5000], 1.0]]),
        ("forced_bos_token_id", 5000),
        ("forced_eos_token_id", 5000),
    ],
)
def test_ids_beyond_the_vocabulary_are_an_error_of_the_model(field, value):
    try_steps({"bad_words_ids": [[5]], "min_length": 2}, 430, [])
    with pytest.raises(ModelError) as caught:
        try_steps({"min_length": 2, field: value}, 430, [])
    assert caught.value.message.startswith(f"generation_config.json: {field} is {value}: ")


def test_steps_that_leave_no_token_are_an_error_of_the_model():
    with pytest.raises(ModelError, match=r"suppress_tokens is .*: no token is left to choose"):
        try_steps({"suppress_tokens": [*range(430)]}, 430, [])
