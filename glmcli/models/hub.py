"""Models of the Hugging Face hub: what its cache holds, and fetching what it does not.

The cache is the one all Hugging Face programs share. Knows nothing of torch or transformers.
"""

from __future__ import annotations

import errno
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glmcli.config.proxies import Proxy, proxy_for, readable_proxies
from glmcli.errors import ModelError, first_line
from glmcli.language import tr
from glmcli.models.libraries import quiet, watch
from glmcli.paths import is_file
from glmcli.types import Progress, Report

HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?", re.ASCII)
PAGE = re.compile(
    r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co|hf-mirror\.com|modelscope\.(?:cn|ai))(?=/|$)"
    r"|(?:hf|ms)://",
    re.IGNORECASE,
)
"""How the address of a page of a hub begins."""
OTHER_PAGES = ("datasets", "spaces", "studios", "docs", "collections", "papers")
_FILES = ["*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken", "adapter_model.*"]
"""Configuration and tokenizer; the weights' pattern is added to it."""
SAFETENSORS, BIN = "model*.safetensors", "pytorch_model*.bin"
TIMEOUT_S = 10.0
ODD_ANSWERS = (KeyError, TypeError, AttributeError, json.JSONDecodeError)
"""What the hub's client raises where an answer is not what it takes for granted."""


@dataclass(frozen=True, slots=True)
class HubModel:
    """One revision of a model in the hub's cache."""

    name: str
    """As a user types it: org/name, with @revision unless that is main."""
    folder: Path
    commit: str


def split_id(name: str) -> tuple[str, str]:
    """Repository and revision of a hub id. Raises ModelError."""
    match = HUB_ID.fullmatch(name)
    if match is None:
        raise ModelError(
            tr("{name!r} is not a hub id", name=name), tr("write org/name or org/name@revision")
        )
    return match["repo"], match["revision"] or "main"


def id_in(address: str) -> str | None:
    """The hub id in the address of a page; "" if it is not a model's, None if that is no hub."""
    found = PAGE.match(address)
    if found is None:
        return None
    parts = [part for part in re.split("[?#]", address[found.end() :])[0].split("/") if part]
    org, name, place, revision, *_ = [*parts[parts[:1] == ["models"] :], "", "", "", ""]
    is_file = place in ("tree", "blob", "resolve")
    hub_id = f"{org}/{name.removesuffix('.git')}"
    if is_file and revision not in ("main", "master"):
        hub_id += f"@{revision}"
    is_model = org not in OTHER_PAGES and (is_file or place in ("", "files", "summary"))
    return hub_id if is_model and HUB_ID.fullmatch(hub_id) else ""


def cached_folder(name: str) -> Path | None:
    """The folder of a hub id in the cache, whole or not; None if there is none. No network."""
    repo, revision = split_id(name)
    try:
        from huggingface_hub import try_to_load_from_cache

        path = try_to_load_from_cache(repo, "config.json", revision=revision)
    except (ImportError, ValueError):  # not installed; no valid name on the hub: nothing is there
        return None
    return Path(path).parent if isinstance(path, str) else None


def cached_models() -> list[HubModel]:
    """Every model in the cache that has a config.json."""
    try:
        from huggingface_hub import CacheNotFound, constants, scan_cache_dir
    except ImportError:  # not installed, so none of it can be used
        return []
    try:
        repos = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except (CacheNotFound, OSError, ValueError):  # there is none, or it is something else
        return []
    found = []
    for repo in sorted(repos, key=lambda repo: repo.repo_id):
        for revision in repo.revisions if repo.repo_type == "model" else ():
            ref = min(revision.refs, default=revision.commit_hash)
            name = repo.repo_id if "main" in revision.refs else f"{repo.repo_id}@{ref}"
            if is_file(revision.snapshot_path / "config.json"):
                found.append(HubModel(name, revision.snapshot_path, revision.commit_hash))
    return found


def remove_revision(model: HubModel) -> int:
    """Delete a revision from the cache; returns the bytes that became free."""
    from huggingface_hub import constants, scan_cache_dir

    strategy = scan_cache_dir(constants.HF_HUB_CACHE).delete_revisions(model.commit)
    with quiet():
        strategy.execute()
    return int(strategy.expected_freed_size)


def fetch(name: str, report: Report, *, with_code: bool = False) -> Path:
    """Fetch the missing files of a hub id, safetensors rather than .bin; returns its folder.

    Python files only `with_code`. Raises ModelError, and ConfigError for a proxy that cannot be.
    """
    from huggingface_hub import HfApi, constants, snapshot_download

    repo, revision = split_id(name)
    seen = Seen()
    proxy = proxy_for(constants.ENDPOINT)
    with readable_proxies(constants.ENDPOINT), hub_errors(name, proxy), quiet():
        # Asked first because this call alone has a time limit.
        info = HfApi().model_info(repo, revision=revision, timeout=TIMEOUT_S)
        names = [item.rfilename for item in info.siblings or ()]
        weights = SAFETENSORS if any(map(is_safetensors, names)) else BIN
        folder = watch(
            lambda: snapshot_download(
                repo,
                revision=revision,
                allow_patterns=[*_FILES, weights, *(["*.py"] if with_code else [])],
                ignore_patterns=["*/*"],
                tqdm_class=bar_class(seen),
            ),
            lambda: report(Progress("fetching", seen.done, seen.total, "bytes", note=name)),
            every_s=0.2,
        )
    return Path(folder)


def is_safetensors(name: str) -> bool:
    """Whether a file of a repository holds weights in safetensors."""
    return Path(name).match(SAFETENSORS) and "/" not in name


@dataclass(slots=True)
class Seen:
    """The bytes that the client's bars have shown; it has one for the network, one for the disk."""

    done: int = 0
    total: int | None = None


def bar_class(seen: Seen) -> type:
    """A progress bar for the hub's client that draws nothing."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            options.pop("name", None)  # only the client's own class knows it
            super().__init__(*args, **{**options, "disable": False, "file": io.StringIO()})

        def display(self, msg: str | None = None, pos: int | None = None) -> None:
            if self.unit == "B":
                seen.done = max(seen.done, int(self.n))
                seen.total = max(seen.total or 0, int(self.total or 0)) or None

    return Bar


@contextmanager
def hub_errors(name: str, proxy: Proxy | None = None) -> Iterator[None]:
    """Translate what the hub's client raises, behind a proxy or not. Raises ModelError."""
    from huggingface_hub import errors

    repo, revision = split_id(name)
    try:
        yield
    except errors.GatedRepoError as exc:
        hint = tr(
            "accept its terms at its page on the hub ({repo}), then log in: hf auth login",
            repo=repo,
        )
        raise ModelError(
            tr("{repo} is gated: the hub wants to know who asks", repo=repo), hint
        ) from exc
    except errors.RevisionNotFoundError as exc:
        hint = tr("leave out @revision for the newest, or look at its page on the hub")
        raise ModelError(
            tr("{repo} has no revision {revision}", repo=repo, revision=revision), hint
        ) from exc
    except errors.RepositoryNotFoundError as exc:
        hint = tr("check the spelling; if it is private: hf auth login; a folder? check the path")
        raise ModelError(tr("the hub has no model {repo}", repo=repo), hint) from exc
    except errors.OfflineModeIsEnabled as exc:
        raise not_here(name) from exc
    except errors.HFValidationError as exc:
        raise ModelError(
            tr("{repo!r} is not a name on the hub", repo=repo), tr("write org/name")
        ) from exc
    except Exception as exc:  # its HTTP library is another in each major version
        if isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = tr("free some space, or set HF_HOME to a folder on another disk")
            raise ModelError(tr("no room on the disk for {repo}", repo=repo), hint) from exc
        if isinstance(exc, PermissionError) and exc.filename:
            line = tr("{name} cannot be written: {reason}", name=exc.filename, reason=exc.strerror)
            raise ModelError(line, tr("set HF_HOME to a folder that can be written")) from exc
        if isinstance(exc, ODD_ANSWERS):
            line = tr(
                "the hub's answer about {repo} cannot be read: {why}",
                repo=repo,
                why=stumbled_over(exc),
            )
            raise ModelError(line, tr("is it a hub? HF_ENDPOINT names another one")) from exc
        hint = tr("check the network; HF_ENDPOINT names a mirror; a folder can be given instead")
        if proxy is not None:
            hint = tr(
                "check the proxy of {variable} ({address}); a folder can be given instead",
                variable=proxy.variable,
                address=proxy.address,
            )
        raise ModelError(
            tr("{repo} could not be fetched from the hub: {why}", repo=repo, why=first_line(exc)),
            hint,
        ) from exc


def stumbled_over(exc: Exception) -> str:
    """What the hub's client stumbled over in an answer."""
    return first_line(exc) if isinstance(exc, KeyError) else tr("no description of a model")


def not_here(name: str) -> ModelError:
    """The error for a model that only the network has, while offline."""
    return ModelError(
        tr("{name} is not on this machine, and offline is set", name=name),
        tr("fetch it once without --offline: glm models pull {name}", name=name),
    )


def no_tokenizer(name: str) -> ModelError:
    """The error for a model of which another program fetched only the weights, while offline."""
    return ModelError(
        tr("{name} is here without its tokenizer, and offline is set", name=name),
        tr("fetch it once without --offline: glm models pull {name}", name=name),
    )
