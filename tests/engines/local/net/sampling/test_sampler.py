"""Sampling does what transformers' `generate` does, step by step."""

import pytest
import torch
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from glmcli.engines.local.net.sampling.sampler import (
    Sampler,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalise,
)
from glmcli.models.defaults import Defaults
from glmcli.types import GenerationParams

SCORES = torch.randn(400, generator=torch.Generator().manual_seed(0)) * 3
TIES = torch.tensor([1.0, 3.0, 3.0, 3.0, -2.0, 0.0])


@pytest.mark.parametrize("scores", [SCORES, TIES])
@pytest.mark.parametrize("count", [1, 2, 50, 10_000])
def test_top_k_is_that_of_transformers(scores, count):
    expected = TopKLogitsWarper(count)(None, scores[None])[0]
    assert torch.equal(keep_top_k(scores, count), expected)


@pytest.mark.parametrize("scores", [SCORES, TIES])
@pytest.mark.parametrize("share", [1e-6, 0.3, 0.9, 0.999])
def test_top_p_is_that_of_transformers(scores, share):
    expected = TopPLogitsWarper(share)(None, scores[None])[0]
    assert torch.equal(keep_top_p(scores, share), expected)


@pytest.mark.parametrize("scores", [SCORES, TIES])
@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
def test_min_p_is_that_of_transformers(scores, share):
    expected = MinPLogitsWarper(share)(None, scores[None])[0]
    assert torch.equal(keep_min_p(scores, share), expected)


@pytest.mark.parametrize("penalty", [0.8, 1.3])
def test_the_repetition_penalty_is_that_of_transformers(penalty):
    seen = torch.tensor([3, 7, 3, 399])
    expected = RepetitionPenaltyLogitsProcessor(penalty)(seen[None], SCORES[None])[0]
    assert torch.equal(penalise(SCORES, seen, penalty), expected)


def test_what_was_picked_is_penalised_from_then_on():
    params = GenerationParams(temperature=0.0, repetition_penalty=100.0)
    sampler = Sampler(params, Defaults(), [0])
    scores = torch.tensor([5.0, 4.0, 3.0])
    assert [sampler.pick(scores) for _ in range(3)] == [1, 2, 0]


def test_draws_follow_the_distribution():
    shares = torch.tensor([0.5, 0.3, 0.2])
    sampler = Sampler(GenerationParams(temperature=1.0, seed=1), Defaults(), [])
    counts = torch.zeros(3)
    for _ in range(4000):
        counts[sampler.pick(shares.log())] += 1
    assert torch.allclose(counts / 4000, shares, atol=0.03)
