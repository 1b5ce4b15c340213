"""From what a user calls a model to a folder: built-in name, path, folder in the cache, hub id.

Does not look into the folder. Knows nothing of torch or transformers.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from glmcli.config import BUILT_IN_MODEL
from glmcli.config.models import ModelOptions
from glmcli.config.servers import USUAL_PORTS, hosted_at
from glmcli.errors import ModelError
from glmcli.language import later, tr
from glmcli.models import hub
from glmcli.models.builtin import built_in_folder, make_built_in
from glmcli.models.libraries import check_transformers
from glmcli.paths import is_file, is_folder, is_something, link_line, link_target, without_links
from glmcli.types import Report

GGUF_HINT = later("llama.cpp runs it: --model gguf:{path}")
FORMS = later(
    "give a folder, a GGUF file, a hub id (org/name), {name} (built in), or what openai:,"
    " fastchat: or echo: has"
)
ELSEWHERE = ("openai", "fastchat", "gguf", "echo")
"""Engines that load no checkpoint: each stands before a name, with a colon."""
OF_ZHIPU = re.compile(r"(?:chat)?glm[\w.]*-[\w.-]*[0-9]b[\w.-]*", re.IGNORECASE)
"""Names of models without the zai-org/ that stands before them on a hub."""
OWNER, ALIKE = "zai-org", 0.5
"""Who owns these, and how near the name of an owner must be to be a slip for it."""
OLLAMA_TAG = re.compile(r"latest|[0-9.]+[bm](-[\w.-]+)?", re.IGNORECASE)
"""What stands behind the colon of a name in Ollama."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model is, or could be fetched from."""

    name: str
    """Short, for people: "smollm2", "chatglm3-6b"."""
    folder: Path | None
    """None: nothing of it is on this machine yet."""
    hub_id: str = ""
    """org/name or org/name@revision, if it comes from the hub."""


def place_of(name: str, options: ModelOptions) -> Place:
    """Where the model of this name is; looks at this machine only. Raises ModelError."""
    if name == BUILT_IN_MODEL:
        folder = built_in_folder(options.cache)
        return Place(name, folder if is_folder(folder) else None)
    if not name.strip():
        raise ModelError(tr("no model is named"), tr(FORMS, name=BUILT_IN_MODEL))
    path, kept = expand(name), options.cache.models / name
    is_kept = os.sep not in name and not name.startswith(".") and is_folder(kept)
    if is_folder(path) and not (is_kept and is_untyped(name, options)):
        check_meant(name, options)
        return Place(without_links(path).name, path)
    if is_kept:
        return Place(name, kept)
    if is_something(path):
        raise not_a_folder(path)
    if mistaken := not_from_here(name):
        raise mistaken
    if looks_like_path(name):
        raise ModelError(
            tr("there is no folder {path}", path=path),
            tr("check the path, or give a hub id: org/name"),
        )
    if hub.HUB_ID.fullmatch(name):
        repo, _ = hub.split_id(name)
        return Place(repo.partition("/")[2], hub.cached_folder(name), name)
    raise unknown(name, options)


def place_to_load(name: str, options: ModelOptions) -> Place:
    """Where a model is that will be loaded. Raises ModelError, for missing libraries too."""
    place = place_of(name, options)
    check_transformers()
    return place


def fetch_missing(place: Place, options: ModelOptions, report: Report) -> Path:
    """The folder of a hub id or the built-in model, with what it lacked. Raises ModelError."""
    if place.hub_id:
        if options.offline:
            raise not_here_but(place.hub_id, options)
        return hub.fetch(place.hub_id, report, with_code=options.trust_remote_code)
    return make_built_in(options, report)


def expand(name: str) -> Path:
    """The path that a name would be. Raises ModelError for a name that cannot be one."""
    try:
        path = Path(name).expanduser()
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, RuntimeError, ValueError) as exc:
        why = getattr(exc, "strerror", None) or exc
        raise ModelError(
            tr("{name!r} cannot be opened: {why}", name=name, why=why), tr("check the path")
        ) from exc
    return path


def is_untyped(name: str, options: ModelOptions) -> bool:
    """Whether a name was not typed, but set or taken from a conversation."""
    return name == options.untyped_model.removeprefix("local:").removeprefix("gguf:")


def check_meant(name: str, options: ModelOptions) -> None:
    """Raise ModelError for a name that was not typed, in a folder that has such a path.

    The working folder may be anybody's: it does not decide what the user's own settings, or a
    conversation that goes on, mean. Settings may say `./NAME`; of a conversation, which began
    wherever it did, only a whole path is a folder.
    """
    if not is_untyped(name, options) or name.startswith(("/", "~")):
        return
    is_here = name in (".", "..") or name.startswith(("./", "../"))
    if options.is_resumed:
        line = tr("the conversation was with {name}, and there is such a folder here", name=name)
    elif is_here:
        return
    elif hub.HUB_ID.fullmatch(name):
        line = tr("{name} is a hub id in your settings, and a folder here", name=name)
    else:
        line = tr("{name} is a model in your settings, and a folder here", name=name)
    raise ModelError(
        line,
        tr(
            "use --model {folder} for the folder, or go to another folder for the model",
            folder=quote(name if is_here else f"./{name}"),
        ),
    )


def folder_line(name: str, options: ModelOptions) -> str:
    """What a person is told of a model that is a folder where it could be another; "" else.

    That is a name that is also a hub's or the cache's, and a link that leads elsewhere, but for one
    in a whole path of the user's settings. Raises ModelError, see `place_of`.
    """
    place, path = place_of(name, options), expand(name)
    if place.folder != path or (is_untyped(name, options) and name.startswith(("/", "~"))):
        return ""
    is_other = hub.HUB_ID.fullmatch(name) or is_folder(options.cache.models / name)
    if not is_other or name.startswith((".", "/", "~")):
        return link_line(path)
    if target := link_target(path):
        return tr(
            "{name} is taken as the folder here, a link to {target}, not as the model of that name",
            name=name,
            target=target,
        )
    return tr("{name} is taken as the folder here, not as the model of that name", name=name)


def looks_like_path(name: str) -> bool:
    """Whether a name can only have been meant as a path."""
    return name.startswith(("/", "./", "../", "~")) or name.endswith("/") or name.count("/") > 1


def not_a_folder(path: Path) -> ModelError:
    """The error for a file where a folder is needed."""
    if path.suffix == ".gguf":
        return ModelError(
            tr("{name} is a GGUF file, which is loaded in another way", name=path.name),
            tr(GGUF_HINT, path=quote(str(path))),
        )
    hint = tr("a model is a folder with config.json, weights, a tokenizer; or give a hub id")
    if path.suffix in (".safetensors", ".bin") or is_file(path.parent / "config.json"):
        hint = tr("give the folder that it is in: {folder}", folder=path.parent)
    return ModelError(tr("{path} is a file, not a folder", path=path), hint)


def not_from_here(name: str) -> ModelError | None:
    """The error for an address, a missing GGUF file, or what is nearly the name of an engine."""
    if (hub_id := hub.id_in(name)) is not None:
        return ModelError(
            tr("{url} is a page of a hub, not a model", url=name),
            tr("use the model's hub id: --model {hub_id}", hub_id=hub_id or "ORG/NAME"),
        )
    if name.lower().startswith(("http://", "https://")):
        url = re.sub("//[^/@]*@", "//", name)  # it may hold a password
        return ModelError(
            tr("{url} is an address, not a model", url=url),
            tr("ask the server there: --model openai: --base-url {url}", url=url),
        )
    if name.lower().endswith(".gguf"):
        return ModelError(
            tr("there is no file {name}", name=name),
            tr("glm models list shows the GGUF files on this machine"),
        )
    engine, colon, rest = name.partition(":")
    if colon and engine in ELSEWHERE:
        return ModelError(
            tr("{name!r} is no model on this machine", name=name),
            tr("this is about model files here: glm models list shows them"),
        )
    near = difflib.get_close_matches(engine.lower(), ELSEWHERE, n=1, cutoff=0.75)
    if "/" in engine or not (near or colon):
        return None
    line = tr("there is no model called {name!r}", name=name)
    if colon:
        line = tr("there is no engine called {name!r}", name=engine)
    hint = tr("before a name can stand openai:, fastchat:, gguf: and echo:")
    if server := server_of(engine.lower(), rest):
        hint = server
    if near:
        return ModelError(line, meant=(name, f"{near[0]}:{rest}"))
    return ModelError(line, hint)


def server_of(engine: str, rest: str) -> str:
    """How to ask for a model that another program serves; "" for a word that is none of these."""
    if engine in USUAL_PORTS:
        return at_server(rest, f"http://127.0.0.1:{USUAL_PORTS[engine]}")
    is_ollamas = OLLAMA_TAG.fullmatch(rest)
    return (
        at_server(f"{engine}:{rest}", f"http://127.0.0.1:{USUAL_PORTS['ollama']}")
        if is_ollamas
        else ""
    )


def at_server(name: str, url: str) -> str:
    """How to ask for a model of the server at an address."""
    return tr("a server's is --model openai:{name} --base-url {url}", name=name, url=url)


def unknown(name: str, options: ModelOptions) -> ModelError:
    """The error for a word that names no model."""
    line = tr("there is no model called {name!r}", name=name)
    if url := hosted_at(name):
        key = tr("glm config set {name} keeps its key", name=f"keys.{url.split('/')[2]}")
        return ModelError(line, tr("; ").join([at_server(name, url), key]))
    if name.lower() in USUAL_PORTS:
        return ModelError(line, server_of(name.lower(), ""))
    if OF_ZHIPU.fullmatch(name):
        return ModelError(line, meant=(name, f"zai-org/{name}"))
    near = difflib.get_close_matches(name.lower(), known_names(options), n=1, cutoff=0.7)
    return ModelError(
        line,
        tr("did you mean {near}? glm models list shows what is on this machine", near=near[0])
        if near
        else tr(FORMS, name=BUILT_IN_MODEL),
        meant=(name, near[0]) if near else None,
    )


def not_here_but(name: str, options: ModelOptions) -> ModelError:
    """The error for a hub id while offline; it names one that is here, or an owner spelled so."""
    owner, _, short = name.partition("/")
    others = [each for each in known_names(options) if each != name]
    near = difflib.get_close_matches(name, others, n=1, cutoff=0.85)
    is_slip = difflib.SequenceMatcher(None, owner, OWNER).ratio() > ALIKE and owner != OWNER
    if not near and is_slip and OF_ZHIPU.fullmatch(short):
        near = [f"{OWNER}/{short}"]
    error = hub.not_here(name)
    return ModelError(error.message, meant=(name, near[0])) if near else error


def known_names(options: ModelOptions) -> Iterator[str]:
    """Names that would work without the network, each once, the built-in one first."""
    models = options.cache.models
    folders = models.iterdir() if is_folder(models) else ()
    fetched = (each.name for each in folders if is_folder(each) and not each.name.startswith("."))
    cached = (model.name for model in hub.cached_models())
    yield from dict.fromkeys((BUILT_IN_MODEL, *fetched, *cached))
