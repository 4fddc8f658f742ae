"""`pano serve`: the dashboard, from this computer or, with a login, to others."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pano_analytics.cli.options import place_options, resolve
from pano_analytics.cli.terminal import say
from pano_analytics.logs import Calm, on_stderr

if TYPE_CHECKING:
    from pano_analytics.library import Library
    from pano_analytics.settings import Dashboard

_PORT = click.IntRange(0, 65535)
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("serve")
@place_options
@click.option("--address", help="Listen here; 0.0.0.0 for others too.  [default: 127.0.0.1]")
@click.option("--port", type=_PORT, help="Listen here; 0 takes a free one.  [default: 5006]")
@click.option(
    "--tls",
    type=click.Choice(["none", "own"]),
    help="HTTPS with a certificate made on first start, or HTTP.  [default: none]",
)
@click.option("--certificate", type=_FILE, help="HTTPS with this certificate (PEM).")
@click.option("--key", type=_FILE, help="The key of the certificate (PEM).")
@click.option("--prefix", help="What all addresses begin with, such as /cameras/.")
@click.option(
    "--behind-proxy", is_flag=True, default=None, help="Believe a reverse proxy in front."
)
def command(config: Path | None, uploads: Path | None, library: Path | None, **given: Any) -> None:
    """Serve the dashboard until interrupted.

    Without a user only this computer may look, and any other address is
    refused: add users first with `pano user add NAME`. Give others HTTPS, so
    that no password can be read on the way: see docs/https.md. All of this may
    also stand in pano.toml, under [dashboard].

    \b
    Exit codes: 0 stopped, 2 settings or usage, 4 library unusable,
    7 address or port cannot be had, needs a user, or certificate unusable.

    \b
    Examples:
      pano serve --library LIB
      pano serve --address 0.0.0.0 --port 8080 --tls own
    """
    opened = _opened(config, uploads, library)
    said = _said(opened, given)
    _log_plainly()

    from pano_analytics.dashboard import serve  # late: two seconds that errors need not wait for

    serve(opened, said, announce=say, warn=lambda line: say(f"pano: {line}", err=True))


def _said(library: Library, given: dict[str, Any]) -> Dashboard:
    """Return what settings say of the dashboard, but for what is given on the command line."""
    from pano_analytics.settings import check

    settings = library.settings.dashboard.model_dump()
    said = settings | {name: value for name, value in given.items() if value is not None}
    return check({"dashboard": said}, "the options of pano serve").dashboard


def _opened(config: Path | None, uploads: Path | None, library: Path | None) -> Library:
    import pano_analytics
    from pano_analytics import settings as room
    from pano_analytics.library import Library

    # Settings may name a library that ingest is yet to make; a folder alone must be one.
    found = room.find(config)
    if found is None and uploads is None and library is not None:
        return pano_analytics.open(library)
    return Library.of(resolve(config, uploads, library), str(found or "the options"))


def _log_plainly() -> None:
    logging.basicConfig(level=logging.WARNING, handlers=[on_stderr()])
    for handler in logging.getLogger().handlers:
        handler.addFilter(Calm())
    # Who logs in and out is written down, not only who fails to.
    logging.getLogger("pano_analytics.dashboard.auth").setLevel(logging.INFO)
    # Every picture that is gone, every address that is mistyped would be a line.
    logging.getLogger("tornado.access").setLevel(logging.ERROR)
    # And so would each browser that is yet to trust a certificate of our own.
    logging.getLogger("tornado.general").setLevel(logging.ERROR)
