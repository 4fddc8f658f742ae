"""`pano serve`: serve the dashboard, to this computer or, with a login, to others."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pano_analytics.cli.options import place_options, resolve
from pano_analytics.cli.terminal import say
from pano_analytics.logs import RateLimitFilter, on_stderr

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
    opened = _open_library(config, uploads, library)
    settings = _dashboard_settings(opened, given)
    _set_up_logging()

    from pano_analytics.dashboard import serve  # late: takes two seconds; errors need not wait

    serve(opened, settings, announce=say, warn=lambda line: say(f"pano: {line}", err=True))


def _dashboard_settings(library: Library, given: dict[str, Any]) -> Dashboard:
    """Return the [dashboard] settings, overridden by the options of the command line."""
    from pano_analytics.settings import check

    settings = library.settings.dashboard.model_dump()
    merged = settings | {name: value for name, value in given.items() if value is not None}
    return check({"dashboard": merged}, "the options of pano serve").dashboard


def _open_library(config: Path | None, uploads: Path | None, library: Path | None) -> Library:
    import pano_analytics
    from pano_analytics import settings as settings_module
    from pano_analytics.library import Library

    # A settings file may name a library not created yet; --library alone must exist.
    file = settings_module.find(config)
    if file is None and uploads is None and library is not None:
        return pano_analytics.open(library)
    return Library.of(resolve(config, uploads, library), str(file or "the options"))


def _set_up_logging() -> None:
    logging.basicConfig(level=logging.WARNING, handlers=[on_stderr()])
    for handler in logging.getLogger().handlers:
        handler.addFilter(RateLimitFilter())
    # Log successful logins and logouts too, not only failures.
    logging.getLogger("pano_analytics.dashboard.auth").setLevel(logging.INFO)
    # Else every missing picture and every mistyped address would be a line.
    logging.getLogger("tornado.access").setLevel(logging.ERROR)
    # So would every browser that does not yet trust our own certificate.
    logging.getLogger("tornado.general").setLevel(logging.ERROR)
