"""`pano demo`: generate an upload tree for trying pano, and the ground truth for it."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from datetime import date, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pano_analytics.cli.terminal import say
from pano_analytics.errors import NotInstalled
from pano_analytics.wording import many

if TYPE_CHECKING:
    from pano_analytics.settings import Settings
    from pano_demo import DemoSummary

PASSWORD = "PANO_DEMO_PASSWORD"
"""The environment variable with the simulated cameras' password, generated at each start."""

# As in pano_demo, which is imported only when the command runs: it may not be installed.
DAYS = 15
CAMERAS = 6


class _End(click.ParamType[datetime | date]):
    """A day, which stands for its last second, or a time; in ISO form."""

    name = "date or time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime | date:
        moment = value if isinstance(value, date) else _parsed(value)
        if moment is not None:
            return moment
        return self.fail(
            f"expected a day such as 2026-11-20 or a time such as 2026-11-20T18:30, got {value!r}",
            param,
            ctx,
        )


def _parsed(text: str) -> datetime | date | None:
    for parse in (date.fromisoformat, datetime.fromisoformat):
        try:
            return parse(text)
        except ValueError:
            continue
    return None


@click.command(name="demo")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--seed", default=1, show_default=True, help="Another seed gives other events.")
@click.option(
    "--end", type=_End(), default=None, help="The last day or time of the uploads; now by default."
)
@click.option(
    "--days",
    default=DAYS,
    show_default=True,
    type=click.IntRange(1, 3660),
    help="How many days the uploads reach back.",
)
@click.option(
    "--cameras",
    default=CAMERAS,
    show_default=True,
    type=click.IntRange(1, CAMERAS),
    help="Use only the first N cameras.",
)
@click.option(
    "--zone",
    default=None,
    help="The time zone of the home, such as Europe/Berlin; this machine's by default.",
)
@click.option(
    "--live",
    is_flag=True,
    help="Then run `pano up`, with simulated cameras that keep uploading by FTP.",
)
@click.option(
    "--library",
    type=click.Path(path_type=Path, file_okay=False),
    help="With --live: the folder of the library.  [default: DIR.library]",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=5006,
    show_default=True,
    help="With --live: the port of the dashboard; 0 picks a free one.",
)
@click.option(
    "--upload-to",
    metavar="HOST:PORT",
    help="Only simulate the cameras of DIR, which upload by FTP to this address; "
    "all of them use the password in $PANO_DEMO_PASSWORD.",
)
def command(
    directory: Path,
    seed: int,
    end: datetime | date | None,
    days: int,
    cameras: int,
    zone: str | None,
    live: bool,
    library: Path | None,
    port: int,
    upload_to: str | None,
) -> None:
    """Generate demo uploads in DIR, as the cameras of a home would send them.

    DIR must be new or empty; it becomes an upload root like one that cameras fill by
    FTP. The events that the uploads show are written beside it, to DIR.truth.parquet.

    With --live, the demo then runs until Ctrl-C: simulated cameras upload by FTP every
    half minute, and `pano up` receives the uploads and serves the dashboard. DIR is
    generated only if it does not exist yet.

    \b
    Examples:
      pano demo data/uploads
      pano demo small --days 2 --cameras 2 --end 2026-11-20
      pano demo data/uploads --live --port 8080
    """
    _check_installed()
    if upload_to is not None:
        _upload(directory, upload_to)
        return
    from pano_demo import truth_path

    if not live or not truth_path(directory).exists():
        _make(directory, seed, end, days, cameras, zone)
    if live:
        _live(directory, library or directory.with_name(f"{directory.name}.library"), port)


def _check_installed() -> None:
    if find_spec("pano_demo") is None:
        raise NotInstalled(
            "expected the package pano-demo, which makes the demonstration; it is not installed. "
            "Install it with `pip install 'pano-analytics[demo]'`, or in a clone of the "
            "repository with `make setup`."
        )


def _make(
    directory: Path,
    seed: int,
    end: datetime | date | None,
    days: int,
    cameras: int,
    zone: str | None,
) -> None:
    from pano_demo import make_demo

    with click.progressbar(length=1, label="Demo", file=sys.stderr) as bar:
        summary = make_demo(
            directory,
            seed=seed,
            end=end,
            days=days,
            cameras=cameras,
            zone=zone,
            progress=lambda done, total: _show(bar, done, total),
        )
    say(_line(summary))


def _show(bar: Any, done: int, total: int) -> None:
    bar.length = total
    bar.update(done - bar.pos)


def _line(made: DemoSummary) -> str:
    return (
        f"{made.root}: {many(made.snapshots, 'snapshot')} and {many(made.clips, 'clip')} of "
        f"{many(made.events, 'event')} ({many(made.false_alarms, 'false alarm')}), "
        f"{made.bytes_ / 1e6:.0f} MB in {made.seconds:.0f} s; "
        f"times of {made.zone}; truth in {made.truth}"
    )


# --- live mode ----------------------------------------------------------------------------


def _live(directory: Path, library: Path, port: int) -> None:
    """Run `pano up` on the demo, with its simulated cameras as an additional part."""
    from pano_analytics import settings as settings_module
    from pano_analytics.service.supervise.parts import ServiceCommand, parts_of
    from pano_analytics.service.supervise.run import up

    config = directory.with_name(f"{directory.name}.toml")
    config.write_text(_settings(directory, library, port or free_port()), encoding="utf-8")
    settings = settings_module.load(config)
    password = secrets.token_urlsafe(12)
    _set_up_accounts(settings, directory, password)
    where = ("--config", str(config.absolute()))
    receive = settings.receive
    cameras = ServiceCommand(
        "cameras",
        ("demo", str(directory.absolute()), "--upload-to", f"{receive.address}:{receive.port}"),
        environment={PASSWORD: password},
    )
    address = f"http://{settings.dashboard.address}:{settings.dashboard.port}/"
    up(
        settings,
        [*parts_of(settings, where), cameras],
        is_quiet=True,
        on_well=lambda: say(f"Dashboard: {address} (press Ctrl-C to stop)"),
    )


def _settings(directory: Path, library: Path, port: int) -> str:
    """Return a settings file for the demo, in which everything listens on this computer only."""
    import json  # a JSON string is also a TOML string

    return f"""# Written by `pano demo --live` at each start.
uploads = {json.dumps(str(directory.absolute()), ensure_ascii=False)}
library = {json.dumps(str(library.absolute()), ensure_ascii=False)}

[dashboard]
port = {port}

[receive]
address = "127.0.0.1"
port = {free_port()}
tls = "off"

[up]
health_port = {free_port()}
"""


def free_port() -> int:
    """Return a port of this computer that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _set_up_accounts(settings: Settings, directory: Path, password: str) -> None:
    """Create an account with `password` for each camera, or set that password if it has one."""
    from pano_analytics.receive import accounts as accounts_module
    from pano_analytics.store.storage import Storage
    from pano_demo import CAMERAS as simulated

    assert settings.library is not None
    Storage(settings.library).make()
    accounts = accounts_module.Accounts(settings.library)
    known = {account.camera for account in accounts.all()}
    for camera in simulated:
        if camera.name in known:
            accounts.set_password(camera.name, password)
        else:
            account = accounts_module.new_account(
                settings, camera.name, camera.name, None, password
            )
            accounts_module.make_folder(account, directory)
            accounts.add(account)


def _upload(directory: Path, where: str) -> None:
    """Simulate the cameras until the process ends."""
    from pano_demo import live

    host, _, port = where.rpartition(":")
    if not host or not port.isdigit():
        raise click.BadParameter(f"expected HOST:PORT, got {where!r}", param_hint="--upload-to")
    passwords = live.everyone(os.environ.pop(PASSWORD, ""))
    live.upload_for_ever(directory, live.DemoServer(host, int(port), passwords), told=say)
