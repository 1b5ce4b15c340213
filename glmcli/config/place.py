"""Where the user's own files lie: config.toml, and what lives no longer than their processes.

config.toml is in the folder that GLM_HOME names, or the platform's; earlier versions kept it in the
platform's folder for data. Knows nothing of what is in them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from glmcli.errors import ConfigError
from glmcli.language import tr
from glmcli.paths import is_file

CONFIG_NAME = "config.toml"
_OF_NETS = ("HF_", "LD_", "DYLD_", "PYTHON", "PYTORCH_", "TORCH", "TRANSFORMERS_", "TRITON_")
_OF_DEVICES = ("CUDA", "HIP_", "HSA_", "NVIDIA_", "ROC", "ZE_")
_OF_THREADS = ("DNNL_", "GOMP_", "KMP_", "MALLOC_", "MKL_", "OMP_", "ONEDNN_", "OPENBLAS_")
_SECRETS = ("_API_KEY", "_TOKEN", "_SECRET", "_PASSWORD")
_OF_USERS = frozenset(("HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "TZ", "USER"))
_OF_FILES = frozenset(("TEMP", "TMP", "TMPDIR"))
_OF_NETWORKS = frozenset(
    ("CURL_CA_BUNDLE", "NO_PROXY", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE")
)
_OF_PROXIES = frozenset(("http_proxy", "https_proxy", "all_proxy"))
"""Which variables go on to a process that stays: no others, whatever they are called."""


class ConfigFile(NamedTuple):
    """The file that is read, there or not, and one that was left behind and is not."""

    path: Path
    unread: Path | None = None


def find_config(home: str | Path | None) -> ConfigFile:
    """The user's config.toml, without and with a GLM_HOME. Raises ConfigError."""
    if home:
        return ConfigFile(Path(home) / CONFIG_NAME)
    new, old = default_folder("config") / CONFIG_NAME, default_folder("data") / CONFIG_NAME
    if new == old or not os.path.lexists(old):
        return ConfigFile(new)
    return ConfigFile(new, unread=old) if os.path.lexists(new) else ConfigFile(old)


def move_config(tell: Callable[[str], None]) -> None:
    """Put a config.toml of an earlier version where it is looked for now, and say so.

    One that cannot be moved is read where it is, and so is a link: what it leads to may be said
    from its own folder.
    """
    new, old = default_folder("config") / CONFIG_NAME, default_folder("data") / CONFIG_NAME
    is_link = os.path.islink(old)  # noqa: PTH114
    if new == old or is_link or not (is_file(old) and os.access(old.parent, os.W_OK)):
        return
    with suppress(OSError):
        new.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.link(old, new)  # other than a rename it never replaces one that is there
        old.unlink()
        tell(tr("{old} was moved to {new}", old=old, new=new))


def default_folder(which: Literal["data", "cache", "config"]) -> Path:
    """The platform's folder of this program for a purpose. Raises ConfigError without a home."""
    import platformdirs

    of = {
        "data": platformdirs.user_data_dir,
        "cache": platformdirs.user_cache_dir,
        "config": platformdirs.user_config_dir,
    }
    folder = Path(of[which]("glm"))
    if not folder.is_absolute():  # "~" is left as it is: a folder of that name may be anybody's
        raise ConfigError(
            tr("there is no home folder to keep things in"),
            tr("set GLM_HOME and GLM_CACHE to folders"),
        )
    return folder


def runtime_folders() -> Iterator[Path]:
    """Where sockets of this user may lie, the best one first; whether one exists is not said.

    The system empties them at its next start at the latest.
    """
    base = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    if os.path.isabs(base):  # noqa: PTH117 (the look for a model that is kept takes no time)
        yield Path(base, "glm")
    with suppress(OSError):  # nowhere can anything be written
        yield Path(tempfile.gettempdir(), f"glm-{os.getuid()}")


_OF_TORCH = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "CUDA_MODULE_LOADING")
"""What torch sets itself once it runs, none of which changes a score: a process that has loaded a
model is to be like one that has not."""


def variables_of_nets() -> dict[str, str]:
    """The environment that decides how a net is computed, and where its libraries come from."""
    return {
        name: value
        for name, value in sorted(os.environ.items())
        if is_of_nets(name) and not name.endswith(_SECRETS) and name not in _OF_TORCH
    }


def is_of_nets(name: str) -> bool:
    """Whether a variable is for the libraries that compute nets."""
    return name.startswith((*_OF_NETS, *_OF_DEVICES, *_OF_THREADS))


def variables_of_keepers() -> dict[str, str]:
    """The environment for a process that has its settings from elsewhere, and stays: no secret.

    What it is not known to need may be one, of any name.
    """

    def is_needed(name: str) -> bool:
        is_known = name.upper() in _OF_USERS | _OF_FILES | _OF_NETWORKS or is_proxy(name)
        return is_known or name.startswith(("LC_", "XDG_")) or is_of_nets(name)

    return {
        name: value
        for name, value in os.environ.items()
        if is_needed(name) and not has_secret(name, value)
    }


def secrets_of_loading() -> dict[str, str]:
    """What such a process needs until its model is loaded, and no longer.

    Files that are missing are fetched: with a token of the hub, through a proxy with its password.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if (name.startswith("HF_") or is_proxy(name)) and has_secret(name, value)
    }


def is_proxy(name: str) -> bool:
    """Whether a variable holds the address of a proxy."""
    return name.lower() in _OF_PROXIES


def has_secret(name: str, value: str) -> bool:
    """Whether a variable holds a secret: a key, or an address with a password."""
    return name.endswith(_SECRETS) or ("@" in value and ("://" in value or is_proxy(name)))
