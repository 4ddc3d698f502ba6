"""``facestream gateway``."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from streams.cli.console import RUN, load_settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("gateway", rich_help_panel=RUN)(gateway)


def gateway(
    host: Annotated[
        str | None, typer.Option(help="Address to listen at; default: FACESTREAM_GATEWAY_HOST.", show_default=False)
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65_535, help="Its port; default: FACESTREAM_GATEWAY_PORT.", show_default=False),
    ] = None,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="Ask for no key: for programs of this machine only.")
    ] = False,
) -> None:
    """Serve the HTTP API until SIGTERM or Ctrl-C; start more of them behind a load balancer.

    Whoever calls it needs a key, see `facestream keys create`.
    """
    from streams import traces
    from streams.gateway.server import run_gateway
    from streams.observability import logs
    from streams.observability.metrics import GATEWAY

    changes = {"gateway_host": host, "gateway_port": port}
    settings = load_settings().model_copy(update={name: value for name, value in changes.items() if value is not None})
    logs.configure(GATEWAY, settings)
    if settings.traces:
        traces.start(GATEWAY)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # the caller hears of a broken form, not the log
    run_gateway(settings, without_keys=without_keys)
