"""What of a checkpoint's files is in memory while its net is loaded and proven."""

from contextlib import nullcontext

import pytest

from glmcli import machine
from glmcli.config import load_settings
from glmcli.engines.local.net.load import letting_go, load_net
from glmcli.engines.local.net.plain.reader import PlainReader
from glmcli.models.checkpoint import find_checkpoint
from tests.support import tiny

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
