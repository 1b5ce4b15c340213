"""What of a checkpoint's files is in memory while its net is loaded and proven."""

import json
from contextlib import nullcontext

import pytest
import torch
from safetensors.torch import load_file, save_file

from glmcli import machine
from glmcli.config import load_settings
from glmcli.engines.local.net.load import letting_go, load_net
from glmcli.engines.local.net.plain.reader import PlainReader
from glmcli.errors import ModelError
from glmcli.models.checkpoint import find_checkpoint
from tests.support import tiny
from tests.support.families import tiny_net
from tests.support.nets import IDS, opened, wanted

LAYERS = 6
WIDE = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": LAYERS}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """One of 80 MB, whose weights are used as they lie in its file."""
    folder = tmp_path_factory.mktemp("wide")
    tiny.llama(**WIDE).save_pretrained(folder)
    return find_checkpoint(str(folder), options(folder), lambda progress: None)


def options(folder):
    environ = {"GLM_CACHE": str(folder / "cache")}
    return load_settings({"device": "cpu", "dtype": "float32"}, environ=environ).model_options


def most_in_memory(net, around):
    """How many bytes of files there were at most behind a layer, beyond those of before."""
    before, found = machine.resident_bytes()[1], []
    for layer in net.model.layers:
        layer.register_forward_hook(lambda *_: found.append(machine.resident_bytes()[1] - before))
    with around:
        PlainReader(net).read([1, 2, 3])
    assert len(found) >= LAYERS
    return max(found)


def test_a_net_goes_through_its_files_without_all_of_them_in_memory(checkpoint):
    size = checkpoint.weights[0].stat().st_size
    before = machine.resident_bytes()[1]
    net = load_net(checkpoint, options(checkpoint.folder), lambda progress: None)
    assert machine.resident_bytes()[1] - before < size / 2
    assert most_in_memory(net, letting_go(net, checkpoint.weights)) < size / 2
    assert most_in_memory(net, nullcontext()) > size * 0.8


def test_a_net_says_the_same_while_its_files_are_let_go_of(checkpoint, monkeypatch):
    net = load_net(checkpoint, options(checkpoint.folder), lambda progress: None)
    said = PlainReader(net).read([1, 2, 3])
    monkeypatch.setattr(machine.MappedFiles, "DROP_BYTES", -1)
    with letting_go(net, checkpoint.weights):
        assert PlainReader(net).read([1, 2, 3]).equal(said)
    assert PlainReader(net).read([1, 2, 3]).equal(said)


def with_pictures(folder, left_over=(), *, is_bin=False):
    """A Llama 4 whose part for text is `tiny_net`'s; the part for pictures is one tensor."""
    net = tiny_net("llama4_text")
    net.save_pretrained(folder)
    text = json.loads((folder / "config.json").read_text())
    whole = {"model_type": "llama4", "architectures": ["Llama4ForConditionalGeneration"]}
    (folder / "config.json").write_text(json.dumps(whole | {"text_config": text}))
    path = folder / "model.safetensors"
    tensors = {f"language_model.{name}": value for name, value in load_file(path).items()}
    more = dict.fromkeys(("vision_model.class_embedding", *left_over), torch.zeros(8))
    path.unlink()
    whole = tensors | {name: value.clone() for name, value in more.items()}
    if is_bin:
        torch.save(whole, folder / "pytorch_model.bin")
    else:
        save_file(whole, path)
    return net


@pytest.mark.parametrize("is_bin", [False, True])
def test_the_part_for_text_is_enough_where_the_files_hold_one_for_pictures_too(tmp_path, is_bin):
    net = with_pictures(tmp_path / "net", is_bin=is_bin)
    loaded = load_net(*opened(tmp_path / "net", tmp_path), lambda progress: None)
    ids = [token % 300 for token in IDS[:40]]
    assert wanted(loaded, ids).equal(wanted(net, ids))


def test_a_tensor_for_text_that_finds_no_place_is_refused_beside_pictures(tmp_path):
    with_pictures(tmp_path / "net", ["language_model.model.layers.1.extra.weight"])
    with pytest.raises(ModelError, match=r"no place for: language_model\.model\.layers\.1\.extra"):
        load_net(*opened(tmp_path / "net", tmp_path), lambda progress: None)
