"""`pano up`: run receive, ingest, serve, cull and site with one command."""

from __future__ import annotations

from pathlib import Path

import click

from pano_analytics.cli.options import place_options, resolve


@click.command("up")
@place_options
@click.option("--quiet", "-q", is_flag=True, help="Show only problems; the log has everything.")
def command(config: Path | None, uploads: Path | None, library: Path | None, quiet: bool) -> None:
    """Run all parts with one command, and restart those that fail.

    Receives uploads once a camera has an account (`pano camera add`), ingests them as
    they arrive, and serves the dashboard. Culls once a day if `scheduled` is true under
    [cull], and writes pages if `folder` is set under [site]. Parts that exit are
    restarted. All parts write to one log, which is rotated;
    http://127.0.0.1:5007/healthz and `pano status` show their health.

    \b
    Exit codes: 0 stopped, 2 settings or usage, 4 library unusable,
    7 another `pano up` is running, or the health port is in use.

    \b
    Examples:
      pano up
      pano up --config /etc/pano.toml --quiet
    """
    from pano_analytics.service.supervise.parts import errands_of, parts_of
    from pano_analytics.service.supervise.run import up

    settings = resolve(config, uploads, library)
    where = options_of(config, uploads, library)
    up(settings, parts_of(settings, where), errands_of(settings, where), is_quiet=quiet)


def options_of(config: Path | None, uploads: Path | None, library: Path | None) -> tuple[str, ...]:
    """Return the options that give a part the same settings as `pano up`."""
    from pano_analytics import settings as settings_module

    given = {"--config": settings_module.find(config), "--uploads": uploads, "--library": library}
    options = [(name, str(path.expanduser().absolute())) for name, path in given.items() if path]
    return tuple(word for option in options for word in option)
