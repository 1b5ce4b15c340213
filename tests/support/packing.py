"""Checkpoints packed as GPTQ, AWQ and compressed-tensors do, number by number.

Written from the layouts' descriptions, in loops: nothing of it is shared with the program.
"""

from __future__ import annotations

import json
import random

import torch
from safetensors.torch import save_file

from tests.support.nets import net_of

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
COMPRESSED = "compressed-tensors"


def gptq(bits=4, **more):
    return {"quant_method": "gptq", "bits": bits, "group_size": 32, "desc_act": False, **more}


def compressed(form, bits, strategy="group", **more):
    weights = {"num_bits": bits, "type": "int", "strategy": strategy, "symmetric": True, **more}
    groups = {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": None}}
    return {"quant_method": COMPRESSED, "format": form, "config_groups": groups}


AWQ = {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm", "zero_point": True}
WAYS = {
    "gptq": gptq(sym=False),
    "gptq_v2": gptq(sym=False, checkpoint_format="gptq_v2"),
    "gptq in 8 bits": gptq(8, sym=False),
    "gptq by activation": gptq(sym=False, desc_act=True),
    "awq": AWQ,
    "pack-quantized": compressed("pack-quantized", 4),
    "pack-quantized with zeros": compressed("pack-quantized", 4, symmetric=False),
    "pack-quantized in 8 bits": compressed("pack-quantized", 8, "channel"),
    "int-quantized": compressed("int-quantized", 8, "channel"),
}


def packed(name, folder, way, *, whole_scales=False):
    """A packed net of a family in a folder, and the net whose weights are what it stands for.

    With `whole_scales` its scales are the same in bfloat16.
    """
    stated, net = WAYS[way], net_of(name)
    lots, state, plain = random.Random(way), {}, {}
    for key, tensor in net.state_dict().items():
        if "proj" in key and key.endswith(".weight"):
            base = key.removesuffix(".weight")
            parts, plain[key] = pack(tensor, stated, lots, whole_scales)
            state |= {f"{base}.{part}": value.contiguous() for part, value in parts.items()}
        else:
            state[key] = plain[key] = tensor.clone()
    net.config.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"quantization_config": stated, "dtype": "float16"}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(state, folder / "model.safetensors")
    found = type(net)(net.config)
    found.load_state_dict(plain)
    return found.eval()


def pack(weight, stated, lots, whole_scales):
    """The parts of one matrix (out, in), and the matrix that they stand for."""
    how = stated["quant_method"]
    scheme = stated["config_groups"]["group_0"]["weights"] if how == COMPRESSED else {}
    bits = scheme.get("num_bits") or stated["bits"]
    columns = weight.shape[1]
    size = columns if scheme.get("strategy") == "channel" else 32
    group_of = [column // size for column in range(columns)]
    if stated.get("desc_act"):
        lots.shuffle(group_of)
    top, groups = (1 << bits) - 1, columns // size
    has_zeros = how != COMPRESSED or not scheme["symmetric"]
    zero_points = (0, 4, 6, 7, 8, 9, 10, 12) if bits == 4 else (0, 99, 255)
    zero_points = zero_points if has_zeros else [1 << bits - 1]
    dtype = torch.bfloat16 if whole_scales else torch.float16
    numbers, zeros, scales, whole = [], [], [], []
    for row in weight.tolist():
        scale = float(torch.tensor(max(map(abs, row)) / (1 << bits - 1), dtype=dtype))
        scales.append([scale * lots.choice((1, 2)) for _ in range(groups)])
        zeros.append([lots.choice(zero_points) for _ in range(groups)])
        numbers.append([])
        whole.append([])
        for number, group in zip(row, group_of, strict=True):
            scale, zero = scales[-1][group], zeros[-1][group]
            numbers[-1].append(min(max(round(number / scale) + zero, 0), top))
            whole[-1].append((numbers[-1][-1] - zero) * scale)
    scales, whole = torch.tensor(scales), torch.tensor(whole)
    name = stated.get("format") or how
    return PACKERS[name](
        numbers, zeros if has_zeros else None, scales, group_of, bits, stated
    ), whole


def pack_gptq(numbers, zeros, scales, group_of, bits, stated):
    less = 0 if stated.get("checkpoint_format") == "gptq_v2" else 1
    stored = [[(zero - less) & (1 << bits) - 1 for zero in row] for row in zeros]
    return {
        "qweight": words(numbers, bits).T,
        "qzeros": words(turned(stored), bits),
        "scales": scales.half().T,
        "g_idx": torch.tensor(group_of, dtype=torch.int32),
    }


def pack_awq(numbers, zeros, scales, group_of, bits, stated):
    return {
        "qweight": words(turned(numbers), bits, AWQ_ORDER),
        "qzeros": words(turned(zeros), bits, AWQ_ORDER),
        "scales": scales.half().T,
    }


def pack_compressed(numbers, zeros, scales, group_of, bits, stated):
    found = {
        "weight_packed": words(numbers, bits),
        "weight_scale": scales,
        "weight_shape": torch.tensor([len(numbers), len(numbers[0])]),
    }
    if zeros is not None:
        found["weight_zero_point"] = words(turned(zeros), bits).T
    return found


def pack_int8(numbers, zeros, scales, group_of, bits, stated):
    weight = [[number - 128 for number in row] for row in numbers]
    return {"weight": torch.tensor(weight, dtype=torch.int8), "weight_scale": scales}


PACKERS = {
    "gptq": pack_gptq,
    "awq": pack_awq,
    "pack-quantized": pack_compressed,
    "int-quantized": pack_int8,
}


def turned(rows):
    return [list(column) for column in zip(*rows, strict=True)]


def words(rows, bits, order=None):
    """Each row's numbers as int32, several in one, the first in its lowest bits."""
    many = 32 // bits
    found = []
    for row in rows:
        found.append([])
        for start in range(0, len(row), many):
            word = 0
            for place in range(many):
                word |= row[start + (order[place] if order else place)] << bits * place
            found[-1].append(word - (1 << 32) if word >= 1 << 31 else word)
    return torch.tensor(found, dtype=torch.int32)
