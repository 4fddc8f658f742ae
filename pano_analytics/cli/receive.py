"""`pano receive`: the FTP server that cameras upload to."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import click

from pano_analytics.cli.options import settings_options
from pano_analytics.cli.terminal import say
from pano_analytics.errors import NotInstalled
from pano_analytics.logs import on_stderr

if TYPE_CHECKING:
    from pano_analytics.receive.server import Receiver
    from pano_analytics.settings import Settings


@click.command("receive")
@settings_options
@click.option("--address", help="Address to listen on.  [default: 0.0.0.0, all interfaces]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.  [default: 2121]")
@click.option("--verbose", "-v", is_flag=True, help="Also print a line for each upload.")
def command(settings: Settings, address: str | None, port: int | None, verbose: bool) -> None:
    """Run the FTP server that cameras upload to.

    Each camera logs in with its own account (see `pano camera add`), is confined to its
    own folder below the upload root, and can only upload. A file appears in that folder
    once it is complete; uploads that were cut off are kept under another name. Ports,
    TLS and limits are set in pano.toml, under [receive].

    \b
    Exit codes: 0 ended by SIGTERM, after uploads in progress finished; 2 settings or
    usage, 3 upload root missing, 4 library unusable, 7 address or port not available,
    130 interrupted.

    \b
    Examples:
      pano receive
      pano receive --uploads /srv/ftp --library /var/lib/pano --port 21
    """
    given = {
        key: value
        for key, value in (("address", address), ("port", port))
        if value not in (None, "")
    }
    own = settings.model_copy(update={"receive": settings.receive.model_copy(update=given)})
    _set_up_logging(verbose)
    try:
        from pano_analytics.receive import server
    except ImportError as error:
        raise not_installed(error) from error
    try:
        server.serve(own, _announce)
    except KeyboardInterrupt:
        say("pano: interrupted; cameras will retry unfinished uploads.", err=True)
        sys.exit(130)


def not_installed(error: ImportError) -> NotInstalled:
    """Return the error for a missing extra `receive`."""
    return NotInstalled(
        f"expected the packages that receiving needs; {error.name or error} is missing. "
        f"Install them with `pip install 'pano-analytics[receive]'`."
    )


def _announce(receiver: Receiver) -> None:
    from pano_analytics.receive.server import lan_address

    settings = receiver.service.settings
    cameras = len(receiver.service.accounts.all())
    say(
        f"Accepting uploads at ftp://{lan_address(settings)}:{receiver.port} "
        f"(TLS {settings.tls}) for {cameras} camera{'' if cameras == 1 else 's'}."
    )
    if not cameras:
        say("No camera has an upload account yet: add one with `pano camera add NAME`.")


def _set_up_logging(verbose: bool) -> None:
    logging.basicConfig(level=logging.WARNING, handlers=[on_stderr()])
    logging.getLogger("pano.receive").setLevel(logging.DEBUG if verbose else logging.INFO)
