"""What this machine has."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from glmcli import machine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
MEMINFO = "MemTotal:       1000 kB\nMemAvailable:    600 kB\n"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`fake(memory_max="max")`: a /proc and a /sys/fs/cgroup with these files."""
    monkeypatch.setattr(machine, "PROC", tmp_path)
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    monkeypatch.setattr(machine, "SUPPLIES", tmp_path / "supplies")

    def write(**files: str) -> None:
        for name, text in files.items():
            (tmp_path / name.replace("_", ".")).write_text(text)

    return write


def test_free_memory_is_what_the_system_says(fake):
    fake(meminfo=MEMINFO)
    assert machine.free_bytes() == 600 * 1024


def test_a_container_may_have_less(fake):
    fake(meminfo=MEMINFO, memory_max="409600", memory_current="309600")
    assert machine.free_bytes() == 100_000
    fake(memory_stat="anon 1\ninactive_file 50000\n")
    assert machine.free_bytes() == 150_000
    fake(memory_max="max\n")
    assert machine.free_bytes() == 600 * 1024


def test_nothing_is_known_where_nothing_is_told(fake):
    assert machine.free_bytes() is None
    assert not machine.has_bfloat16()
    machine.drop_pages([Path("/no/such")])


@pytest.mark.parametrize(
    ("line", "has"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16", True),
        ("flags\t\t: fpu avx512f", False),
        ("Features\t: fp asimd bf16", True),
    ],
)
def test_bfloat16_is_a_flag_of_the_processor(fake, line: str, has: bool):
    fake(cpuinfo=f"processor\t: 0\n{line}\n")
    assert machine.has_bfloat16() is has


@pytest.mark.parametrize(
    ("load", "has"),
    [
        ("0.20 0.18 0.12 1/80 11206", True),
        ("1.90 1.00 0.50 9/80 11206", True),  # others have just begun, or it is a moment's work
        ("2.00 1.00 0.50 2/80 11206", True),  # the load was our own: one other is left
        ("2.00 1.00 0.50 3/80 11206", False),
        ("5.49 4.22 4.14 6/80 11206", False),
        ("nothing", True),
    ],
)
def test_there_is_power_to_spare_until_others_take_all_cores(fake, load: str, has: bool):
    fake(loadavg=load)
    assert machine.has_power_to_spare(cores=2) is has


@pytest.mark.parametrize(
    ("facts", "has"),
    [
        ({"type": "Battery", "status": "Discharging"}, False),
        ({"type": "Battery", "status": "Charging"}, True),
        ({"type": "Battery", "status": "Discharging", "scope": "Device"}, True),
        ({"type": "Mains", "online": "1"}, True),
    ],
)
def test_there_is_no_power_to_spare_on_battery(fake, tmp_path: Path, facts, has: bool):
    supply = tmp_path / "supplies" / "BAT0"
    supply.mkdir(parents=True)
    for name, value in facts.items():
        (supply / name).write_text(f"{value}\n")
    assert machine.has_power_to_spare(cores=2) is has


def test_dropped_pages_come_back_with_the_same_bytes(tmp_path: Path):
    from safetensors import safe_open

    path = tmp_path / "x.safetensors"
    values = np.arange(4 << 20, dtype=np.float32)
    save_file({"a": values}, path)
    with safe_open(path, framework="pt") as file:
        mapped = file.get_tensor("a")
        total = mapped.sum()
        before = machine.resident_bytes()[1]
        machine.drop_pages([path])
        assert machine.resident_bytes()[1] < before - values.nbytes // 2
        assert mapped.sum() == total
        assert (mapped.numpy() == values).all()


def test_files_are_read_ahead_without_being_changed_or_kept_open(tmp_path: Path):
    files = [tmp_path / "one", tmp_path / "empty"]
    files[0].write_bytes(b"x" * 10_000)
    files[1].write_bytes(b"")
    before = len(list(Path("/proc/self/fd").iterdir()))
    machine.read_ahead(files)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert files[0].read_bytes() == b"x" * 10_000


def test_a_libc_that_cannot_trim_is_no_fault(monkeypatch):
    asked = []
    monkeypatch.setattr("ctypes.CDLL", lambda name: asked.append(name) or object())
    machine.trim_memory()
    assert asked == [None]


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`nvidia_smi("echo x")`: a program of that name, as a shell script."""
    monkeypatch.setattr(machine, "CARDS", tmp_path / "cards")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def write(script: str) -> None:
        path = tmp_path / "nvidia-smi"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return write


def test_gpus_are_those_that_their_driver_names(nvidia_smi):
    nvidia_smi('echo "NVIDIA H200, 143771, 140000"; echo "NVIDIA GB10, [N/A], [N/A]"')
    found = [("NVIDIA H200", 143771 << 20, 140000 << 20), ("NVIDIA GB10", None, None)]
    assert machine.gpus(10) == found


def test_what_is_no_gpu_in_what_it_prints_is_none(nvidia_smi):
    nvidia_smi('echo "No devices were found"')
    assert machine.gpus(10) == []


def test_a_driver_that_fails_says_why(nvidia_smi):
    nvidia_smi('echo; echo "NVIDIA-SMI has failed"; exit 9')
    with pytest.raises(OSError, match="nvidia-smi: NVIDIA-SMI has failed"):
        machine.gpus(10)
    nvidia_smi("exec sleep 30")
    with pytest.raises(TimeoutError, match="does not answer"):
        machine.gpus(0.2)


def test_a_machine_without_a_driver_has_no_gpu(nvidia_smi, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.gpus(10) == []


def test_gpus_of_amd_are_those_of_its_driver(nvidia_smi, tmp_path, monkeypatch):
    nvidia_smi('echo "No devices were found"; exit 6')  # left over from another card
    for name, vendor in (("card0", "0x8086"), ("card1", "0x1002")):
        device = tmp_path / "cards" / name / "device"
        device.mkdir(parents=True)
        (device / "vendor").write_text(f"{vendor}\n")
        (device / "mem_info_vram_total").write_text("25753026560\n")
    assert machine.gpus(10) == [machine.Gpu("AMD GPU", 25753026560)]


@pytest.mark.skipif(sys.platform != "linux", reason="the heap of glibc")
def test_memory_that_was_freed_below_what_is_used_goes_back_to_the_system():
    blocks = [bytes(1000 + n % 7) for n in range(100_000)]
    pinned = bytes(1000)
    del blocks
    before, _ = machine.resident_bytes()
    machine.trim_heap()
    after, _ = machine.resident_bytes()
    assert len(pinned) == 1000
    assert before - after > 50_000_000
