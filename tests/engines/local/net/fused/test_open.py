"""The fused decoder says what transformers' own forward says, or steps aside."""

import json
from dataclasses import replace

import pytest
import torch
import transformers

from glmcli.engines.local.net import open as open_module
from glmcli.engines.local.net.fused import plan
from glmcli.engines.local.net.fused import verdict as proving
from glmcli.engines.local.net.fused.open import open_fused
from glmcli.engines.local.net.fused.plan import NotCovered
from glmcli.engines.local.net.fused.proof import config_of_transformers
from glmcli.engines.local.net.placement import place_weights
from glmcli.engines.local.net.plain.reader import PlainReader
from glmcli.errors import ModelError, OutOfMemory
from tests.support import tiny
from tests.support.nets import FAMILIES, IDS, fused, net_of, opened, saved, wanted


@pytest.mark.parametrize("name", FAMILIES)
def test_scores_equal_those_of_transformers_at_every_place(name, tmp_path):
    """In one block, in a block after another, and one by one."""
    reader = fused(*opened(saved(name, tmp_path / "net"), tmp_path))
    scores = [reader.read(IDS[:100], 100), reader.read(IDS[100:230], 130)]
    scores += [reader.read([token]) for token in IDS[230:]]
    expected = wanted(net_of(name), IDS)
    assert float((torch.cat(scores) - expected).abs().max()) < 1e-4 * float(expected.std())


@pytest.mark.parametrize("name", ["llama", "qwen2", "glm", "glm4"])
def test_bfloat16_is_as_exact_as_that_of_transformers(name, tmp_path):
    """Both differ from float32 by rounding; neither by more than the other."""
    reader = fused(*opened(saved(name, tmp_path / "net"), tmp_path, dtype="bfloat16"))
    plain = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "net", dtype="bfloat16")
    exact = wanted(net_of(name), IDS)
    ours = torch.cat([reader.read(IDS[:300], 300), *(reader.read([i]) for i in IDS[300:])])
    theirs = wanted(plain.eval(), IDS)
    assert (ours - exact).norm() < 1.1 * (theirs - exact).norm()


@pytest.mark.parametrize("name", FAMILIES)
def test_the_step_that_a_gpu_replays_says_the_same(name, tmp_path):
    """The same function over tensors that never move, with the graph left out."""
    reader = fused(*opened(saved(name, tmp_path / "net"), tmp_path), static=True)
    scores = [reader.read(IDS[:250], 250), *(reader.read([token]) for token in IDS[250:])]
    expected = wanted(net_of(name), IDS)
    assert float((torch.cat(scores) - expected).abs().max()) < 1e-4 * float(expected.std())
    reader.rewind(100)
    again = torch.cat([reader.read([token]) for token in IDS[100:130]])
    assert float((again - expected[100:130]).abs().max()) < 1e-4 * float(expected.std())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_that_step_is_as_exact_as_transformers_in_halves(dtype, tmp_path):
    folder = saved("llama", tmp_path / "net")
    reader = fused(*opened(folder, tmp_path, dtype=dtype), static=True)
    plain = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    exact = wanted(net_of("llama"), IDS)
    ours = torch.cat([reader.read([token]) for token in IDS])
    assert (ours - exact).norm() < 1.1 * (wanted(plain, IDS) - exact).norm()


@pytest.mark.parametrize("tokens", [0, 1, 99, 100, 257])
def test_going_back_costs_nothing_and_changes_nothing(tokens, tmp_path):
    reader = fused(*opened(saved("llama", tmp_path / "net"), tmp_path))
    reader.read(IDS[:300])
    reserved = reader.memory_bytes
    assert reader.rewind(tokens)
    again = reader.read(IDS[tokens : tokens + 20], 20)
    expected = wanted(net_of("llama"), IDS)[tokens : tokens + 20]
    assert torch.allclose(again, expected, atol=1e-3)
    assert reader.memory_bytes == reserved


def test_what_lies_in_memory_that_was_not_written_changes_nothing(tmp_path, monkeypatch):
    """Memory is handed out as it was left; a masked place counts nothing, whatever is in it."""
    reader = fused(*opened(saved("llama", tmp_path / "net"), tmp_path), static=True)
    empty = torch.Tensor.new_empty
    monkeypatch.setattr(
        torch.Tensor, "new_empty", lambda self, *size: empty(self, *size).fill_(torch.nan)
    )
    reader.read(IDS[:9])
    assert torch.isfinite(reader.read([5])).all()


def test_memory_grows_as_needed_and_never_beyond_the_window(tmp_path):
    reader = fused(*opened(saved("llama", tmp_path / "net"), tmp_path))
    per_token = 2 * 2 * 2 * 16 * 4  # layers, keys and values, groups, numbers, bytes
    assert reader.memory_bytes == 0
    sizes = []
    for _ in range(1024):
        reader.read([5])
        sizes.append(reader.memory_bytes // per_token)
    assert sorted(set(sizes)) == [256, 512, 1024]
    reader.forget()
    assert reader.memory_bytes == 0


@pytest.mark.parametrize("is_zip", [True, False])
def test_old_bin_files_are_read_too(is_zip, tmp_path):
    folder = saved("qwen2", tmp_path / "net")
    (folder / "model.safetensors").unlink()
    torch.save(
        net_of("qwen2").state_dict(),
        folder / "pytorch_model.bin",
        _use_new_zipfile_serialization=is_zip,
    )
    checkpoint, options = opened(folder, tmp_path)
    model = open_fused(checkpoint, options, lambda progress: None)
    assert torch.allclose(
        model.reader.read(IDS[:9]), wanted(net_of("qwen2"), IDS[:9])[-1:], atol=1e-3
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_type": "gemma"}, "gemma"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}}, "yarn"),
        ({"rope_parameters": {"rope_type": "longrope", "rope_theta": 1e4}}, "longrope"),
        ({"layer_types": ["sliding_attention", "full_attention"]}, "part of the text"),
        ({"sliding_window": 16}, "part of the text"),
        ({"quantization_config": {"quant_method": "gptq"}}, "packed"),
        ({"rms_norm_eps": None}, "rms_norm_eps"),
        ({"num_hidden_layers": 3}, "not as expected"),
        ({"num_hidden_layers": 1}, "no place"),
        ({"intermediate_size": 128}, "not as expected"),
    ],
)
def test_what_is_not_covered_is_said(changes, reason, tmp_path):
    checkpoint, _ = opened(saved("llama", tmp_path / "net"), tmp_path)
    changed = replace(checkpoint, config=checkpoint.config | changes)
    with pytest.raises(NotCovered, match=reason):
        plan.check_family(changed)
        config = config_of_transformers(checkpoint) | changes
        plan.dimensions_of(changed, config, changed.tensors)


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"fused": "off"}, "switched off"), ({"attn": "eager"}, "eager")],
)
def test_settings_that_ask_for_transformers_own_get_it(options, reason, tmp_path):
    checkpoint, options = opened(saved("llama", tmp_path / "net"), tmp_path, **options)
    model = open_module.open_model(checkpoint, options, lambda progress: None)
    assert type(model.reader) is PlainReader
    assert reason in model.runner


def verdicts(tmp_path):
    kept = [json.loads(path.read_text()) for path in (tmp_path / "cache" / "proofs").glob("*")]
    return [verdict for verdict in kept if "apart" in verdict]


def test_the_proof_is_made_once_and_kept(tmp_path, monkeypatch):
    checkpoint, options = opened(saved("llama", tmp_path / "net"), tmp_path)
    first = open_fused(checkpoint, options, lambda progress: None)
    assert "fused" in first.runner
    assert [verdict["same"] for verdict in verdicts(tmp_path)] == [True]
    for name in ("reference_scores", "config_of_transformers"):
        monkeypatch.setattr(proving, name, None)  # called, it would fail
    again = open_fused(checkpoint, options, lambda progress: None)
    assert torch.equal(again.reader.read(IDS[:9]), first.reader.read(IDS[:9]))


def test_a_verdict_of_an_older_release_is_proven_again(tmp_path):
    """It knew nothing of what transformers makes of config.json."""
    checkpoint, options = opened(saved("llama", tmp_path / "net"), tmp_path)
    open_fused(checkpoint, options, lambda progress: None)
    (path,) = (tmp_path / "cache" / "proofs").glob("*")
    verdict = json.loads(path.read_text())
    for old in (verdict | {"revision": 1}, {"model": "net", "apart": 0.0, "same": True}):
        path.write_text(json.dumps(old))
        open_fused(checkpoint, options, lambda progress: None)
        assert json.loads(path.read_text()) == verdict


def test_positions_that_turn_otherwise_than_planned_are_found_in_a_short_proof(
    tmp_path, monkeypatch
):
    """The slowest pair hardly turns within the ids of the proof."""
    checkpoint, options = opened(saved("llama", tmp_path / "net"), tmp_path)
    planned = plan.frequencies

    def other(rope, size):
        return (*planned(rope, size)[:-1], 1.01 * planned(rope, size)[-1])

    monkeypatch.setattr(plan, "frequencies", other)
    with pytest.raises(NotCovered, match="its positions turn in another way"):
        open_fused(checkpoint, options, lambda progress: None)


def test_another_file_of_the_same_name_has_to_be_proven_itself(tmp_path):
    checkpoint, options = opened(saved("llama", tmp_path / "net"), tmp_path)
    open_fused(checkpoint, options, lambda progress: None)
    net_of("one query head per key head").save_pretrained(tmp_path / "net")
    other, options = opened(tmp_path / "net", tmp_path)
    open_fused(other, options, lambda progress: None)
    assert len(verdicts(tmp_path)) == 2


def test_a_decoder_that_differs_steps_aside_and_the_reply_is_right(tmp_path, monkeypatch):
    def wrong(x, turn):
        return x

    folder = saved("llama", tmp_path / "net")
    checkpoint, options = opened(folder, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("glmcli.engines.local.net.fused.small.plain.rotate", wrong)
        model = open_module.open_model(checkpoint, options, lambda progress: None)
    assert "differ" in model.runner
    expected = wanted(net_of("llama"), IDS[:9])[-1:]
    assert torch.allclose(model.reader.read(IDS[:9]), expected, atol=1e-3)
    assert [verdict["same"] for verdict in verdicts(tmp_path)] == [False]
    # The verdict holds until it is asked for again.
    assert "differ" in open_module.open_model(checkpoint, options, lambda progress: None).runner
    again = replace(options, verify=True)
    assert "fused" in open_module.open_model(checkpoint, again, lambda progress: None).runner
    assert [verdict["same"] for verdict in verdicts(tmp_path)] == [True]


def test_a_decoder_that_fails_on_this_machine_steps_aside(tmp_path, monkeypatch):
    """What one version of torch or one device cannot do is no reason to do without a reply."""

    def failing(*inputs, **options):
        raise RuntimeError("no kernel for this device")

    checkpoint, options = opened(saved("llama", tmp_path / "net"), tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("glmcli.engines.local.net.fused.attention.attention", failing)
        model = open_module.open_model(checkpoint, options, lambda progress: None)
    assert "failed: no kernel for this device" in model.runner
    expected = wanted(net_of("llama"), IDS[:9])[-1:]
    assert torch.allclose(model.reader.read(IDS[:9]), expected, atol=1e-3)
    assert verdicts(tmp_path) == []  # tried again next time
    assert "fused" in open_module.open_model(checkpoint, options, lambda progress: None).runner


def test_the_smallest_vocabulary_and_window_can_be_proven(tmp_path):
    folder = tmp_path / "net"
    tiny.llama(vocab_size=5, max_position_embeddings=8).save_pretrained(folder)
    assert "fused" in open_fused(*opened(folder, tmp_path), lambda progress: None).runner


def test_a_damaged_verdict_is_made_anew(tmp_path):
    checkpoint, options = opened(saved("llama", tmp_path / "net"), tmp_path)
    open_fused(checkpoint, options, lambda progress: None)
    (path,) = (tmp_path / "cache" / "proofs").glob("*")
    path.write_text('{"same": 1')
    assert "fused" in open_fused(checkpoint, options, lambda progress: None).runner
    assert verdicts(tmp_path)[0]["same"] is True


def test_a_proof_that_may_not_be_written_is_made_all_the_same(tmp_path):
    checkpoint, options = opened(saved("llama", tmp_path / "net"), tmp_path, history="off")
    assert "fused decoder, within" in open_fused(checkpoint, options, lambda progress: None).runner
    assert not (tmp_path / "cache").exists()


def test_a_net_that_transformers_cannot_run_is_refused_in_its_words(tmp_path, monkeypatch):
    def failing(self, input_ids=None, **given):
        raise ValueError("no such thing")

    checkpoint, options = opened(saved("llama", tmp_path / "net"), tmp_path)
    monkeypatch.setattr(transformers.LlamaForCausalLM, "forward", failing)
    with pytest.raises(ModelError, match="cannot run this llama model: no such thing"):
        open_module.open_model(checkpoint, options, lambda progress: None)


def test_weights_too_large_in_full_for_a_gpu_are_proven_on_the_processor(tmp_path, monkeypatch):
    """Fewer bits are for those whose GPU has no room for more."""
    folder = saved("llama", tmp_path / "net")
    checkpoint, here = opened(folder, tmp_path)
    tensors, placement = proving.place_fused(checkpoint, here)
    there = replace(placement, device="cuda:0")
    options = replace(here, device="cuda:0", quantize="int4")

    def small(*where, **told):
        if where[2].device != "cpu":
            raise OutOfMemory(2, 1)
        return place_weights(*where, **told)

    monkeypatch.setattr(proving, "place_weights", small)
    asked = (checkpoint, options, tensors, there, lambda progress: None)
    verdict, kept, _ = proving.prove_fused(*asked)
    assert verdict["same"]
    assert kept is not None
    assert verdicts(tmp_path) == [verdict]
    # Not even there: bitsandbytes takes the weights a shard at a time.
    monkeypatch.setattr(proving, "place_weights", lambda *where, **told: small(*where[:2], options))
    with pytest.raises(NotCovered, match="no memory to check it"):
        proving.prove_fused(*asked)


def test_a_net_in_few_bits_that_does_not_run_on_its_gpu_steps_aside(tmp_path):
    checkpoint, options = opened(saved("llama", tmp_path / "net"), tmp_path)
    net = plan.dimensions_of(checkpoint, config_of_transformers(checkpoint), checkpoint.tensors)
    reader = fused(checkpoint, options, static=True)
    proving.check_runs(reader, net)
    assert reader.memory_bytes == 0
    reader.weights.norm.fill_(torch.nan)
    with pytest.raises(NotCovered, match="failed: NaN"):
        proving.check_runs(reader, net)
