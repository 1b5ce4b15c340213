"""`glm serve`: a model of this machine for other programs, by OpenAI's interface.

Says where it listens and how a client is set up. Knows nothing of what is asked there.
"""

from __future__ import annotations

import socket as sockets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from glmcli.cli.options import MODEL_OPTIONS, with_settings
from glmcli.config import Settings
from glmcli.language import later, tr
from glmcli.paths import absolute, path_of

DEFAULT_PORT = 8000
"""Where `openai:` looks for a server if nothing else is said."""
PORT_HELP = later("port to listen at; 0: any that is free; 8000, a worker's 21002")


@with_settings(*MODEL_OPTIONS, "host")
def serve(
    settings: Settings,
    name: Annotated[
        str | None, typer.Argument(metavar="MODEL", help=tr("the same as --model"))
    ] = None,
    port: Annotated[
        int | None, typer.Option(metavar="N", min=0, max=65535, help=tr(PORT_HELP))
    ] = None,
    socket: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", parser=path_of, help=tr("a Unix socket that only you reach, not a port")
        ),
    ] = None,
    controller: Annotated[
        str | None,
        typer.Option(metavar="URL", help=tr("be a worker of this FastChat controller too")),
    ] = None,
    worker_address: Annotated[
        str | None,
        typer.Option(metavar="URL", help=tr("where the controller's clients reach this worker")),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help=tr("answer this address as the controller's, without a key; repeatable"),
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help=tr("no line for each request"))
    ] = False,
) -> None:
    """Let other programs ask a model, by OpenAI's interface.

    It answers programs of this machine only, unless --host says otherwise and GLM_SERVE_KEY is set
    to the key that clients send. Ctrl-C ends it. With --controller it is a worker of a FastChat
    cluster too, which only the controller and --allow may ask, without a key.
    """
    from glmcli.cli.bench import with_named_model
    from glmcli.cli.opening import tell_places
    from glmcli.cli.serve import checks
    from glmcli.cli.serve.cluster import WORKER_PORT, cluster_place
    from glmcli.cli.serve.running import answer_until_ended
    from glmcli.engines import check_followed

    checks.check_address(settings, port, socket)
    settings = with_named_model(settings, name, tr("serve one, and the other at another port"))
    checks.check_served(settings)
    check_followed(settings)
    settings = replace(settings, serve_key=checks.key_to_send(settings))
    cluster = cluster_place(controller, worker_address, allow or (), settings.host, path=socket)
    if socket is None and cluster is None:
        checks.check_has_key(settings)
    tell_places(settings)
    if port is None:
        port = DEFAULT_PORT if cluster is None else WORKER_PORT
    with listening(settings, port, socket) as place:
        is_private = socket is not None
        answer_until_ended(settings, *place, is_private=is_private, cluster=cluster, quiet=quiet)


@contextmanager
def listening(
    settings: Settings, port: int, path: Path | None
) -> Iterator[tuple[Sequence[sockets.socket], str]]:
    """The sockets, and the address that is said of them; they are closed at the end."""
    from glmcli.cli.serve.checks import tell_open_folder
    from glmcli.serve.doors import EVERYWHERE, listen_at, listening_at

    with ExitStack() as stack:
        if path is not None:
            path = absolute(path)
            tell_open_folder(path.parent)
            yield [stack.enter_context(listening_at(path))], str(path)
            return
        listeners = listen_at(settings.host, port)
        for each in listeners:
            stack.callback(each.close)
        host = sockets.gethostname() if settings.host in EVERYWHERE else settings.host
        host = f"[{host}]" if ":" in host else host
        yield listeners, f"http://{host}:{listeners[0].getsockname()[1]}"
