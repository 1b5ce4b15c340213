"""A pickle is walked through before torch reads it: what would take without end is refused."""

import pickle
import time
import zipfile

import pytest
import torch

from glmcli.engines.local.net.plain.bins import bin_shapes
from glmcli.errors import ModelError
from glmcli.models.files.pickles import HEAVIEST, check_pickles

START, KEY = b"\x80\x02})q\0", b"K\1s."
"""An empty dict and an empty tuple; the end of one with what came between as its only key."""
HOSTILE = {
    "each twice in the next": START + b"h\0\x86q\0" * 60 + KEY,
    "each three times in the next": START + b"h\0h\0\x87r\0\0\0\0" * 40 + KEY,
    "between marks": START + b"(h\0h\0h\0h\0tq\0" * 30 + KEY,
    "deep": START + b"\x85" * 4_000_000 + KEY,
    "wide": b"\x80\x02}(" + b")" * 4_000_000 + b"t" + KEY,
    "in a call": b"\x80\x02ccollections\nOrderedDict\n)q\0" + b"h\0\x86q\0" * 60 + b"R.",
    "through a call": START + b"ctorch._utils\n_rebuild_tensor_v2\nh\0\x85Rh\0\x86q\0" * 60 + KEY,
    "as a value": START[:-3] + b"X\1\0\0\0a)q\0" + b"h\0\x86q\0" * 60 + b"s.",
}


def colliding(count, after=b""):
    """Long integers that all have the same hash, each with these opcodes behind it."""
    numbers = (number * (2**61 - 1) for number in range(1, count))
    return b"".join(pickle.dumps(number, protocol=2)[2:-1] + after for number in numbers)


NUMBERS = colliding(30_000)
STORED = b"(X\7\0\0\0storagectorch\nFloatStorage\n%sX\3\0\0\0cpuK\1tQ"
"""A storage, with the opcodes of its key in the file."""
COLLIDING = {
    "a set": b"\x80\x02cbuiltins\nset\n](" + NUMBERS + b"e\x85R.",
    "a counter": b"\x80\x02ccollections\nCounter\n](" + NUMBERS + b"e\x85R.",
    "an ordered dict": b"\x80\x02ccollections\nOrderedDict\n]("
    + colliding(30_000, b"N\x86")
    + b"e\x85R.",
    "a new object": b"\x80\x02ccollections\nCounter\n](" + NUMBERS + b"e\x85\x81.",
    "a dict": b"\x80\x02}(" + colliding(30_000, b"N") + b"u.",
    "a dict, one by one": b"\x80\x02}" + colliding(30_000, b"Ns") + b".",
    "the state of an ordered dict": b"\x80\x02ccollections\nOrderedDict\n)R]("
    + colliding(30_000, b"N\x86")
    + b"eb.",
    "through another call": b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n"
    b"(ccollections\nOrderedDict\nN](" + colliding(30_000, b"N\x86") + b"e\x85}tR.",
    "names of storages": b"\x80\x02]("
    + b"".join(STORED % number for number in (b"\x8a\1\1", b"\x8a\1\2"))
    + b"e.",
}
ODD = {
    "nothing behind": b"\x80\x02}",
    "an opcode of Python's alone": b"\x80\x04\x95.",
    "nothing in the memo": b"\x80\x02h\0.",
    "nothing on the stack": b"\x80\x02\x87.",
    "a line without an end": b"\x80\x02ctorch",
}


def written(path, data, *, is_zip):
    """A .bin file with these bytes as its pickle."""
    if is_zip:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", data)
            archive.writestr("archive/version", b"3\n")
    else:
        path.write_bytes(data)
    return path


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("name", [*HOSTILE, *COLLIDING, *ODD])
def test_what_would_take_without_end_is_refused_at_once(name, is_zip, tmp_path):
    path = written(
        tmp_path / "pytorch_model.bin", {**HOSTILE, **COLLIDING, **ODD}[name], is_zip=is_zip
    )
    began = time.process_time()
    with pytest.raises(ModelError, match="is damaged, or holds more than weights"):
        bin_shapes([path])
    assert time.process_time() - began < 3


@pytest.mark.parametrize("is_zip", [True, False])
def test_what_torch_writes_is_read(is_zip, tmp_path):
    tensors = {f"layer.{n}.weight": torch.zeros(2, 3, dtype=torch.bfloat16) for n in range(300)}
    tensors |= {"a": torch.nn.Parameter(torch.ones(2)), "b": tensors["layer.0.weight"][:1]}
    path = tmp_path / "pytorch_model.bin"
    torch.save(tensors, path, _use_new_zipfile_serialization=is_zip)
    found = bin_shapes([path])["pytorch_model.bin"]
    assert {name: each.shape for name, each in found.items()} == {
        name: tuple(each.shape) for name, each in tensors.items()
    }


@pytest.mark.parametrize("is_zip", [True, False])
def test_what_modules_write_is_read(is_zip, tmp_path):
    layer = torch.nn.Linear(2, 3).to(torch.float8_e4m3fn if is_zip else torch.half)
    path = tmp_path / "pytorch_model.bin"
    torch.save(layer.state_dict(), path, _use_new_zipfile_serialization=is_zip)
    assert {*bin_shapes([path])["pytorch_model.bin"]} == {"weight", "bias"}


@pytest.mark.parametrize("name", COLLIDING)
def test_keys_that_may_collide_are_refused_before_torch_reads_them(name, tmp_path):
    with pytest.raises(ValueError, match=r"state dict|no text|writes no"):
        check_pickles(written(tmp_path / "x.bin", COLLIDING[name], is_zip=True))


def test_a_tuple_has_its_limit_and_may_be_as_large(tmp_path):
    for size, fits in ((HEAVIEST - 1, True), (HEAVIEST, False)):
        data = pickle.dumps(tuple(range(size)), protocol=2)
        path = written(tmp_path / f"{size}.bin", data, is_zip=True)
        if fits:
            check_pickles(path)
        else:
            with pytest.raises(ValueError, match="more than 1,000 values"):
                check_pickles(path)


def test_a_zip_is_walked_through_where_torch_reads_it(tmp_path):
    path = written(tmp_path / "x.bin", b"\x80\x02}.", is_zip=True)
    check_pickles(path)
    path.write_bytes(b"PK\3\4" + path.read_bytes())
    with pytest.raises(ValueError, match="behind something else"):
        check_pickles(path)
