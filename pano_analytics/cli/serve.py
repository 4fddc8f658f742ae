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
@click.option("--address", help="Address to listen on; 0.0.0.0 for all.  [default: 127.0.0.1]")
@click.option("--port", type=_PORT, help="Port to listen on; 0 picks a free one.  [default: 5006]")
@click.option(
    "--tls",
    type=click.Choice(["none", "own"]),
    help="Use HTTPS with a certificate created on first start, or HTTP.  [default: none]",
)
@click.option("--certificate", type=_FILE, help="Use HTTPS with this certificate (PEM).")
@click.option("--key", type=_FILE, help="The private key of the certificate (PEM).")
@click.option("--prefix", help="Path prefix of all URLs, such as /cameras/.")
@click.option(
    "--behind-proxy", is_flag=True, default=None, help="Trust the headers of a reverse proxy."
)
def command(config: Path | None, uploads: Path | None, library: Path | None, **given: Any) -> None:
    """Serve the dashboard.

    Without users, only this computer has access and any other --address is refused:
    first add users with `pano user add NAME`. Use HTTPS for other computers, so that
    nobody can read passwords on the network: see docs/https.md. All of this can also be
    set in pano.toml, under [dashboard].

    \b
    Exit codes: 0 stopped, 2 settings or usage, 4 library unusable,
    7 address or port not available, no user yet, or certificate unusable.

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
