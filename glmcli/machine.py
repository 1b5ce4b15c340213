"""What this machine has: GPUs, free memory, a processor with bfloat16, pages of files in memory.

Reads Linux's /proc and /sys; where they are missing the answer is None, or nothing is done.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
CGROUP = Path("/sys/fs/cgroup")
CARDS = Path("/sys/class/drm")
SUPPLIES = Path("/sys/class/power_supply")
PAGE_BYTES = mmap.PAGESIZE
AMD = "0x1002"
"""Of the makers of PCI devices."""


class Gpu(NamedTuple):
    """One GPU, as its driver describes it."""

    name: str
    total_bytes: int | None = None
    """Its own memory; None if the driver does not say, or if it shares that of the machine."""
    free_bytes: int | None = None
    """What nobody uses of it, if that is known."""


def free_bytes() -> int | None:
    """Main memory that can still be used, the limit of a container included."""
    available = stated(PROC / "meminfo", "MemAvailable:")
    free = int(available[0]) * 1024 if available else None
    limit, used = read_int(CGROUP / "memory.max"), read_int(CGROUP / "memory.current")
    if free is None or limit is None or used is None:
        return free
    # File pages that the container counts as used but gives back when asked.
    cached = stated(CGROUP / "memory.stat", "inactive_file")
    return min(free, max(0, limit - used + int(cached[0] if cached else 0)))


def trim_heap() -> None:
    """Give back to the system what was freed and stays reserved; nothing where libc has no way."""
    import ctypes

    with suppress(AttributeError, OSError):  # glibc has one
        ctypes.CDLL(None).malloc_trim(0)


def gpus(within_s: float) -> list[Gpu]:
    """The GPUs of this machine, without torch, which takes seconds to import.

    Asks NVIDIA's own program, for so long at most. Raises OSError with the reason where its driver
    gives none, and no other has one.
    """
    others = [*amd_gpus(), *apple_gpus()]
    try:
        return [*nvidia_gpus(within_s), *others]
    except OSError:
        if others:  # its program may be left over
            return others
        raise


def nvidia_gpus(within_s: float) -> list[Gpu]:
    """Those that `nvidia-smi` lists; none if there is no such program. Raises OSError."""
    import subprocess

    command = [
        "nvidia-smi",
        "--query-gpu=name,memory.total,memory.free",
        "--format=csv,noheader,nounits",
    ]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=within_s,
        )
    except FileNotFoundError:
        return []
    except subprocess.TimeoutExpired as exc:
        raise TimeoutError(0, "nvidia-smi does not answer") from exc
    lines = done.stdout.splitlines()
    if done.returncode:
        why = next((line for line in lines + done.stderr.splitlines() if line.strip()), "")
        raise OSError(0, f"nvidia-smi: {why.strip() or done.returncode}")
    found = (line.rsplit(",", 2) for line in lines if line.count(",") > 1)
    return [Gpu(name.strip(), mebibytes(size), mebibytes(free)) for name, size, free in found]


def mebibytes(text: str) -> int | None:
    """Bytes of a number of MiB; None of what is not one ("[N/A]")."""
    return int(text) << 20 if text.strip().isdecimal() else None


def amd_gpus() -> list[Gpu]:
    """Those of AMD's driver, which gives their memory and no name."""
    found = []
    for card in sorted(CARDS.glob("card[0-9]*/device")):
        if read_lines(card / "vendor") == [AMD]:
            found.append(Gpu("AMD GPU", read_int(card / "mem_info_vram_total")))
    return found


def apple_gpus() -> list[Gpu]:
    """The one of a Mac with Apple's own processor."""
    system = os.uname()
    return [Gpu("Apple GPU")] if (system.sysname, system.machine) == ("Darwin", "arm64") else []


def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 by itself; where it does not, float32 is faster."""
    flags = stated(PROC / "cpuinfo", "flags") or stated(PROC / "cpuinfo", "Features")
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags)


def has_avx2() -> bool:
    """Whether a processor of x86 has the instructions that fast products there are made of."""
    return "avx2" in stated(PROC / "cpuinfo", "flags")


def has_power_to_spare(cores: int | None = None) -> bool:
    """Whether there is power for speculative work: on mains, with a core left idle by others.

    The load of the last minute includes this process. The number of tasks that are ready now does
    not, while the engine is idle, but some are there for a moment only. The smaller of the two
    is the load that others cause.
    """
    if any(is_discharging(supply) for supply in SUPPLIES.glob("*")):
        return False
    words = " ".join(read_lines(PROC / "loadavg")).split()  # "0.20 0.18 0.12 1/80 11206"
    if len(words) < 4:
        return True
    running = int(words[3].partition("/")[0]) - 1  # without the thread that asks
    return min(float(words[0]), running) < (cores or os.cpu_count() or 1)


def is_discharging(supply: Path) -> bool:
    """Whether a power supply is a battery that the machine itself runs on; a mouse has one too."""
    kind, scope, status = (
        "".join(read_lines(supply / name)).strip() for name in ("type", "scope", "status")
    )
    return kind == "Battery" and scope != "Device" and status == "Discharging"


def resident_bytes() -> tuple[int, int]:
    """This process's pages in memory: (its own, those of files)."""
    fields = (read_lines(PROC / "self" / "statm") or ["0 0 0"])[0].split()
    resident, shared = int(fields[1]) * PAGE_BYTES, int(fields[2]) * PAGE_BYTES
    return resident - shared, shared


def data_bytes() -> int | None:
    """What this process has asked of the system as memory of its own, used or not."""
    fields = (read_lines(PROC / "self" / "statm") or [""])[0].split()
    return int(fields[5]) * PAGE_BYTES if len(fields) > 5 else None


def read_ahead(files: Iterable[Path]) -> None:
    """Have files read into memory by the system while this process does something else."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in files:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


class MappedFiles:
    """Files that are mapped and copied from: a page counts as memory until it is let go of."""

    DROP_BYTES = 16 << 20

    def __init__(self, files: Iterable[Path]) -> None:
        self._files = tuple(files)
        self._before = resident_bytes()[1]

    def tidy(self) -> None:
        """Let go of the pages once they are more than a few."""
        if resident_bytes()[1] - self._before > self.DROP_BYTES:
            self.drop()

    def drop(self) -> None:
        """Let go of the pages."""
        drop_pages(self._files)
        self._before = resident_bytes()[1]


def drop_pages(files: Iterable[Path]) -> None:
    """Take the pages of mapped files out of this process; a later access brings them back.

    Only for files mapped to be read: changes to a private mapping would be lost.
    """
    import ctypes

    names = {str(path.resolve()) for path in files}
    libc = ctypes.CDLL(None)
    for line in read_lines(PROC / "self" / "maps"):
        parts = line.split(maxsplit=5)
        if len(parts) == 6 and parts[5] in names:
            start, end = (int(part, 16) for part in parts[0].split("-"))
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)


def trim_memory() -> None:
    """Give memory that was freed back to the system, where libc keeps it for itself."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
    if trim is not None:
        trim(0)


def stated(path: Path, name: str) -> list[str]:
    """The words behind a name that begins a line of a small file; none if it is not there."""
    lines = (line.split() for line in read_lines(path))
    return next((words[1:] for words in lines if words[:1] == [name]), [])


def is_stopped(pid: int) -> bool:
    """Whether a process was stopped, as by SIGSTOP, and does nothing until it is told to go on."""
    state = "".join(read_lines(PROC / str(pid) / "stat")).rpartition(") ")[2][:1]
    return state == "T"


def read_int(path: Path) -> int | None:
    """The number in a file; None if there is none ("max")."""
    text = "".join(read_lines(path)).strip()
    return int(text) if text.isdigit() else None


def read_lines(path: Path) -> list[str]:
    """The lines of a small file; none if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
