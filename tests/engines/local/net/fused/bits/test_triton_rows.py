"""The int8 kernel, without a GPU: its sums in Triton's interpreter, and what the compiler makes."""

import re

import pytest

from glmcli.engines.local.net.fused.bits.kernels import TritonRows
from tests.support.interpreted import SHAPES, distances_of

triton = pytest.importorskip("triton", reason="Triton is not installed")


def test_its_sums_are_those_of_plain_torch():
    distances = distances_of("rows")
    assert len(distances) == len(SHAPES) * TritonRows.most_tokens
    assert max(distances) < 1e-6


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("tokens", [1, 3, 8])
def test_it_compiles_and_reads_many_bytes_at_a_time(capability, tokens, tmp_path, monkeypatch):
    """Also for inner sizes that are no power of two, as those of ChatGLM3-6B."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from glmcli.engines.local.net.fused.bits import triton_rows as module

    pointers = {"x": "*bf16", "weight": "*i8", "scale": "*fp32", "y": "*bf16"}
    constants = module.blocks_for(tokens, 13696)
    signature = {
        **pointers,
        "tokens": "i32",
        "rows": "i32",
        **dict.fromkeys(constants, "constexpr"),
    }
    whole = {(index,): [["tt.divisibility", 16]] for index in (0, 1, 2, 3, 5)}
    source = ASTSource(module.multiply_block, signature, constants, whole)
    built = triton.compile(
        source, target=GPUTarget("cuda", capability, 32), options={"num_warps": module.WARPS}
    )
    code = built.asm["ptx"]
    loads = re.findall(r"ld\.global[\w.]*", code)
    assert loads.count("ld.global.v4.b32") >= constants["padded"]  # a token's numbers, or more
    # Weights of several tokens are read eight bytes at a time; the scales of a block at once.
    assert sorted(set(loads) - {"ld.global.v4.b32", "ld.global.v2.b32"}) == ["ld.global.b32"]
    assert loads.count("ld.global.b32") == 1
    assert len(built.asm["cubin"]) > 1000
