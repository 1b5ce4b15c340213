"""16-bit weights on a processor that is fast at float32 only, in nets as transformers has them."""

from __future__ import annotations

import pytest
import torch

from glmcli import machine
from glmcli.engines.local.net.fused.fbgemm import has_halves
from glmcli.engines.local.net.open import open_model
from glmcli.engines.local.net.plain.reader import PlainReader
from tests.support.families import CHANGES, tiny_net
from tests.support.nets import opened

pytestmark = pytest.mark.skipif(not has_halves(), reason="no such product here")
IDS = torch.randint(6, 250, (60,), generator=torch.Generator().manual_seed(2)).tolist()
FAMILIES = [
    "gpt2",
    "gpt_neox",
    "phi3",
    "gemma3_text",
    "mixtral",
    "jamba",
    "mamba",
    "recurrent_gemma",
]


@pytest.fixture(autouse=True)
def processor(monkeypatch):
    monkeypatch.setattr(machine, "has_bfloat16", lambda: False)


def saved(family, folder, dtype=torch.bfloat16, change=lambda net: None):
    """A net in 16 bits, and what the same numbers say in float32."""
    net = tiny_net(family, CHANGES.get(family)).to(dtype)
    with torch.no_grad():
        change(net)
    net.save_pretrained(folder)
    exact = type(net).from_pretrained(folder, dtype=torch.float32).eval()
    return PlainReader(exact).read(IDS, len(IDS))


def apart(reader, exact):
    found = torch.cat([reader.read(IDS[:50], 50), *(reader.read([token]) for token in IDS[50:])])
    return float((found - exact).abs().max() / exact.std())


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_equal_those_of_float32_also_from_a_kept_verdict(family, tmp_path):
    exact = saved(family, tmp_path / "net")
    checkpoint, options = opened(tmp_path / "net", tmp_path, dtype="auto", fused="off")
    for _ in range(2):
        model = open_model(checkpoint, options, lambda progress: None)
        assert (model.device, "sums in float32" in model.runner) == ("cpu bfloat16", True)
        assert apart(model.reader, exact) < 1e-3
