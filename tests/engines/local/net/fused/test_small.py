"""What a step does between the products: its kernels, without a GPU, and how many there are."""

import re

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from glmcli.engines.local.net.fused import decoder as decoding
from glmcli.engines.local.net.fused.small import plain as module
from glmcli.engines.local.net.fused.small.plain import Small, small_for
from tests.support.interpreted import distances_of
from tests.support.nets import FAMILIES, IDS, fused, opened, saved

triton = pytest.importorskip("triton", reason="Triton is not installed")


def test_the_kernels_say_what_plain_torch_says():
    distances = distances_of("small")
    assert len(distances) > 10
    assert max(distances) < 1e-6


KERNELS = {
    "add_and_norm": (
        ("x", "y", "weight", "total", "normed"),
        {"eps": "fp32"},
        {"width": 4096, "block": 4096, "adds": True},
    ),
    "turn_heads": (
        ("heads", "cos", "sin", "query_norm", "key_norm", "turned"),
        {"stride": "i32", "queries": "i32", "eps": "fp32"},
        {"size": 128, "block": 128, "norms": True},
    ),
    "gate_block": (("gate_up", "y"), {"inner": "i32"}, {"block": 1024}),
}


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("kind", ["bf16", "fp16", "fp32"])
@pytest.mark.parametrize("name", KERNELS)
def test_they_compile(name, kind, capability, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from glmcli.engines.local.net.fused.small import kernels as triton_small

    pointers, numbers, constants = KERNELS[name]
    kernel = getattr(triton_small, name)
    kinds = {**dict.fromkeys(pointers, f"*{kind}"), **numbers}
    signature = {each: kinds.get(each, "constexpr") for each in kernel.arg_names}
    whole = {
        (index,): [["tt.divisibility", 16]]
        for index, each in enumerate(kernel.arg_names)
        if each in pointers
    }
    source = ASTSource(kernel, signature, constants, whole)
    built = triton.compile(source, target=GPUTarget("cuda", capability, 32))
    loads = re.findall(r"ld\.global[\w.]*", built.asm["ptx"])
    assert loads and len(built.asm["cubin"]) > 1000
    if name == "add_and_norm":
        assert all(".v4." in load or ".v2." in load for load in loads)


class Calls(TorchDispatchMode):
    """Notes what torch is asked to compute, and how many bytes that reads and writes."""

    VIEWS = (
        "view",
        "slice",
        "select",
        "transpose",
        "split",
        "unsqueeze",
        "expand",
        "aten.t.",
        "chunk",
        "mT",
    )

    def __init__(self):
        super().__init__()
        self.names, self.bytes = [], 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **kwargs or {})
        name = str(function)
        if not any(view in name for view in (*self.VIEWS, "alias", "detach", "empty", "permute")):
            self.names.append(name)
            made = found if isinstance(found, tuple | list) else [found]
            tensors = [each for each in (*args, *made) if isinstance(each, torch.Tensor)]
            self.bytes += sum(each.numel() * each.itemsize for each in tensors)
        return found

    def launched(self, names, function, *arguments):
        """What a function says, which a GPU does in launches of these names."""
        counted, moved = list(self.names), self.bytes
        found = function(*arguments)
        made = found if isinstance(found, tuple) else (found,)
        read = [each for each in arguments if isinstance(each, torch.Tensor)]
        self.names = [*counted, *names]
        self.bytes = moved + sum(each.nbytes for each in (*read, *made))
        return found


class Counted(Small):
    """Each operation as the one launch that it is on a GPU."""

    def __init__(self, calls):
        self._calls = calls

    def norm_after(self, *arguments):
        return self._calls.launched(["norm_after"], super().norm_after, *arguments)

    def turned(self, *arguments):
        return self._calls.launched(["turned"], super().turned, *arguments)

    def gated(self, *arguments):
        return self._calls.launched(["gated"], super().gated, *arguments)


def step_calls(name, folder, monkeypatch, *, kernels):
    """What one id takes, on the path that a GPU replays as a graph."""
    net = fused(*opened(saved(name, folder / "net"), folder, dtype="bfloat16"), static=True)
    net.read(IDS[:40])
    net.read(IDS[40:41])
    calls, plain = Calls(), module.norm
    for place in (module, decoding):  # on a GPU torch has a norm in one launch, and one multiplies
        monkeypatch.setattr(
            place, "norm", lambda *of: calls.launched(["rms_norm", "mul"], plain, *of)
        )
    if kernels:
        object.__setattr__(net.weights, "small", Counted(calls))
    with calls:
        net.read(IDS[41:42])
    monkeypatch.undo()
    return calls


@pytest.mark.parametrize("name", FAMILIES)
def test_a_step_has_fewer_launches_and_moves_fewer_bytes(name, tmp_path, monkeypatch):
    plain = step_calls(name, tmp_path / "plain", monkeypatch, kernels=False)
    ours = step_calls(name, tmp_path / "ours", monkeypatch, kernels=True)
    layers = 2
    assert len(ours.names) <= len(plain.names) - 8 * layers
    assert ours.bytes < plain.bytes
    assert ours.names.count("gated") == ours.names.count("turned") == layers
    assert ours.names.count("norm_after") == 2 * layers + 1


def test_without_a_gpu_plain_torch_does_it_and_nothing_is_said():
    small, why = small_for(torch.device("cpu"), torch.bfloat16)
    assert (type(small), why) == (Small, "")


class Wrong(Small):
    def gated(self, gate_up):
        return super().gated(gate_up) * 1.1


@pytest.mark.parametrize(
    ("kernels", "is_used", "why"),
    [(Small, True, ""), (Wrong, False, "0.1"), (lambda: 1 / 0, False, "division by zero")],
)
def test_kernels_are_used_only_if_they_say_what_plain_torch_says(
    kernels, is_used, why, monkeypatch
):
    from glmcli.engines.local.net.fused.small import kernels as triton_small

    class Device:
        type = "cuda"

    monkeypatch.setattr(triton_small, "TritonSmall", kernels)
    trials = module.trials
    monkeypatch.setattr(module, "trials", lambda device, dtype: trials("cpu", dtype))
    small, said = small_for(Device(), torch.float32)
    assert said == why and (type(small) is Small)
