"""`pano serve`: the dashboard, from this computer or, with a login, to others."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pano_analytics.cli.options import resolve

if TYPE_CHECKING:
    from pano_analytics.library import Library

_PORT = click.IntRange(0, 65535)


@click.command("serve")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="The settings file; else $PANO_CONFIG, else ./pano.toml, else none.",
)
@click.option(
    "--library", type=click.Path(path_type=Path, file_okay=False), help="The folder of the library."
)
@click.option("--address", help="Listen here; 0.0.0.0 for others too.  [default: 127.0.0.1]")
@click.option("--port", type=_PORT, help="Listen here; 0 takes a free one.  [default: 5006]")
def command(
    config: Path | None, library: Path | None, address: str | None, port: int | None
) -> None:
    """Serve the dashboard until interrupted.

    Without a user only this computer may look, and any other address is
    refused: add users first with `pano user add NAME`. Address and port may
    also stand in pano.toml, under [dashboard].

    \b
    Exit codes: 0 stopped, 2 settings or usage, 4 library unusable,
    7 address or port cannot be had, or needs a user.

    \b
    Examples:
      pano serve --library LIB
      pano serve --address 0.0.0.0 --port 8080
    """
    opened = _opened(config, library)
    said = opened.settings.dashboard
    _log_plainly()

    from pano_analytics.dashboard import serve  # late: two seconds that errors need not wait for

    serve(
        opened,
        said.address if address is None else address,
        said.port if port is None else port,
        announce=click.echo,
    )


def _opened(config: Path | None, library: Path | None) -> Library:
    import pano_analytics
    from pano_analytics import settings as room
    from pano_analytics.library import Library

    # Settings may name a library that ingest is yet to make; a folder alone must be one.
    if room.find(config) is None:
        return pano_analytics.open(library)
    return Library.of(resolve(config, None, library), str(room.find(config)))


def _log_plainly() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    # Every picture that is gone, every address that is mistyped would be a line.
    logging.getLogger("tornado.access").setLevel(logging.ERROR)
