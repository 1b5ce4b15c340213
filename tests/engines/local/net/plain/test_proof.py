"""Which way of reading is found right for a net, and that it is."""

from __future__ import annotations

import pytest
import torch
import transformers
from transformers.models.phi3.modeling_phi3 import Phi3MLP

from glmcli.engines.local.net.plain.cut import borders_of, cut_of
from glmcli.engines.local.net.plain.proof import UnequalError, distance, find_reading
from glmcli.engines.local.net.plain.reader import PlainReader, Reading, ReadingWay
from tests.support import families, tiny
from tests.support.families import LONGROPE, drawing_lots, tiny_net

IDS = torch.randint(6, 250, (120,), generator=torch.Generator().manual_seed(2)).tolist()


def fresh(net, tokens):
    """Scores after so many ids, from one forward of a net that has seen nothing else."""
    return PlainReader(net, Reading(ReadingWay.ANEW)).read(IDS[:tokens])


def test_a_net_that_keeps_all_keys_is_read_in_parts():
    assert find_reading(tiny.llama()) == Reading(ReadingWay.PARTS)
    assert find_reading(tiny.sliding()) == Reading(ReadingWay.PARTS)


def test_a_net_whose_state_is_lost_between_blocks_reads_prompts_whole():
    assert find_reading(tiny_net("mamba")).way is ReadingWay.WHOLE


def as_built(family, dtype):
    """A net with the small weights that its class begins with: a lost state changes little."""
    config = families.tiny_config(family, families.CHANGES.get(family, {}))
    torch.manual_seed(0)
    return getattr(transformers, families.CLASSES[family])(config).eval().to(dtype)


@pytest.mark.parametrize(
    ("family", "dtype"),
    [("mamba", torch.bfloat16), ("jamba", torch.float32), ("zamba", torch.bfloat16)],
)
def test_a_lost_state_is_found_however_little_it_changes(family, dtype):
    assert find_reading(as_built(family, dtype)).way is ReadingWay.WHOLE


@pytest.mark.parametrize(
    ("family", "dtype"),
    [("mamba2", torch.bfloat16), ("lfm2", torch.float32), ("qwen3_next", torch.float32)],
)
def test_a_state_that_is_kept_is_read_in_parts(family, dtype):
    assert find_reading(as_built(family, dtype)).way is ReadingWay.PARTS


def test_a_state_whose_rounding_adds_up_with_one_text_is_read_in_parts():
    assert find_reading(tiny_net("qwen3_5_moe_text")).way is ReadingWay.PARTS


class Forgetful:
    """A net that reads each id as the first of the text, whatever was before it."""

    def __init__(self, net):
        self._net = net

    def __getattr__(self, name):
        return getattr(self._net, name)

    def __call__(self, past_key_values=None, **inputs):
        return self._net(**inputs)


def test_a_net_that_forgets_is_read_anew_for_each_id_and_says_so():
    reading = find_reading(Forgetful(tiny.llama()))
    assert reading.way is ReadingWay.ANEW
    assert reading.words == "without a cache"


def test_a_net_that_cannot_run_raises_what_it_raises():
    net = tiny.llama()
    net.lm_head = None
    with pytest.raises(TypeError):
        find_reading(net)


def test_a_net_that_no_way_makes_equal_to_generate_is_not_read_at_all(monkeypatch):
    monkeypatch.setattr(Phi3MLP, "forward", drawing_lots(Phi3MLP))
    with pytest.raises(UnequalError):
        find_reading(tiny_net("phi3"))


def test_a_net_that_scores_one_place_at_a_time_is_read_as_generate_reads_it():
    net = tiny_net("xlnet")
    reading = find_reading(net)
    assert reading.way is ReadingWay.WHOLE
    reader, one_by_one = PlainReader(net, reading), PlainReader(net, reading)
    several = reader.read(IDS[:30], last=4)
    each = [one_by_one.read(IDS[:27]), *(one_by_one.read([token]) for token in IDS[27:30])]
    assert torch.equal(several, torch.cat(each))


def test_beyond_the_first_window_of_longrope_all_is_read_again_as_generate_does():
    net = tiny_net("phi3", LONGROPE)
    reading = find_reading(net)
    assert (reading.way, reading.border, reading.beyond) == (ReadingWay.PARTS, 64, ReadingWay.PARTS)
    reader = PlainReader(net, reading)
    reader.read(IDS[:60])
    assert distance(reader.read(IDS[60:80]), fresh(net, 80)) < 1e-4
    assert not reader.rewind(50)
    reader.forget()
    assert distance(reader.read(IDS[:50]), fresh(net, 50)) < 1e-4


def test_a_family_that_does_not_read_again_itself_reads_prompts_beyond_the_border_whole():
    reading = find_reading(tiny_net("llama", LONGROPE))
    assert (reading.way, reading.border, reading.beyond) == (ReadingWay.PARTS, 64, ReadingWay.WHOLE)
    assert reading.words == "beyond 64 tokens each prompt in one block"


def test_a_family_that_drops_what_it_kept_at_a_border_is_read_whole_beyond_it():
    reading = find_reading(tiny_net("phi4_multimodal", {"original_max_position_embeddings": 64}))
    assert (reading.way, reading.border, reading.beyond) == (ReadingWay.PARTS, 64, ReadingWay.WHOLE)


def test_frequencies_that_grew_shrink_again():
    rope = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
    net = tiny_net("llama", {"rope_parameters": rope, "max_position_embeddings": 64})
    expected = PlainReader(net, Reading(ReadingWay.WHOLE)).read(IDS[:100])
    reader = PlainReader(net, find_reading(net))
    assert reader.whole_beyond == 64
    reader.read(IDS)
    reader.forget()
    assert torch.allclose(reader.read(IDS[:100]), expected, atol=1e-4)


def test_a_cut_shares_its_weights_and_has_every_kind_of_layer():
    net = tiny_net("gemma3_text", {"num_hidden_layers": 6, "layer_types": None})
    cut = cut_of(net, border=8)
    weights = {weight.data_ptr() for weight in net.parameters()}
    assert {weight.data_ptr() for weight in cut.parameters()} <= weights
    assert set(cut.config.layer_types) == set(net.config.layer_types)
    assert cut.config.sliding_window == 8
    assert net.config.sliding_window == 64


def test_what_cannot_be_cut_is_proven_whole():
    net = Forgetful(tiny.llama())
    assert cut_of(net) is None
    assert cut_of(tiny.llama()) is not None


def test_borders_are_those_that_the_config_names():
    assert borders_of(families.tiny_config("llama", {})) == []
    assert borders_of(families.tiny_config("phi3", LONGROPE)) == [64]
    assert borders_of(families.tiny_config("gemma3_text", {})) == [64]


def test_far_scores_are_far_and_numbers_that_are_none_agree_with_nothing():
    scores = torch.randn(5, 30)
    assert distance(scores, scores) == 0
    assert distance(scores + 3, scores) < 1e-5  # what all scores share changes no choice
    assert distance(torch.randn(5, 30), scores) > 0.5
    assert distance(scores * torch.nan, scores) == float("inf")
