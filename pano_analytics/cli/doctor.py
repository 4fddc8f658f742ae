"""`pano doctor`: what is wrong with what arrives, and what to do."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from pano_analytics.cli.options import settings_options
from pano_analytics.cli.terminal import say, shown
from pano_analytics.errors import AttentionNeeded

if TYPE_CHECKING:
    import pandas as pd

    from pano_analytics.settings import Settings

_WIDEST = 100


@click.command("doctor")
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (see docs/doctor.md).")
@click.option(
    "--ftp",
    metavar="HOST[:PORT]",
    help="Only test this upload server, as a camera would; reads the password from standard input.",
)
@click.option("--user", help="The user name to log in with for --ftp.")
def command(settings: Settings, as_json: bool, ftp: str | None, user: str | None) -> None:
    """Find problems with the cameras and their uploads, and suggest fixes.

    Looks at the newest uploads of each camera in the library: whether its clock is
    right, whether it sends clips and snapshots, whether they are complete, have the
    expected resolution and frame rate, and play in browsers. Also checks whether the
    disk can hold the configured days, and whether cameras can reach `pano receive`, if
    it is used. Nothing is written or uploaded. The expected values are set under
    [doctor] in the settings; docs/doctor.md explains each finding.

    \b
    Exit codes: 0 no problems, 2 settings or usage, 4 no library, 8 problems found.

    \b
    Examples:
      pano doctor
      pano doctor --ftp 192.168.1.20:21 --user porch < password.txt
      pano doctor --json | jq -r '.findings[] | "\\(.camera): \\(.word)"'
    """
    if ftp is None and user is None:
        found, looked_at = _of_library(settings)
    else:
        found, looked_at = _of_server(ftp, user)
    for line in [_json(found)] if as_json else _in_words(found, looked_at):
        say(line)
    if len(found):
        words = ", ".join(dict.fromkeys(found["word"]))
        raise AttentionNeeded(f"doctor: {words}")


def _of_library(settings: Settings) -> tuple[pd.DataFrame, str]:
    """Return what is found, and what was looked at."""
    from pano_analytics.doctor import examine
    from pano_analytics.library import Library
    from pano_analytics.wording import many

    library = Library.of(settings)
    found = examine(library)
    cameras = many(len(library.camera_names()), "camera")
    return found, f"{cameras}, the newest {many(settings.doctor.days, 'day')} of each"


def _of_server(ftp: str | None, user: str | None) -> tuple[pd.DataFrame, str]:
    from pano_analytics.doctor import Server, knock

    if not ftp or not user:
        raise click.UsageError("expected --ftp HOST[:PORT] together with --user NAME.")
    host, _, port = ftp.removeprefix("ftp://").rstrip("/").partition(":")
    if not host or not (port or "21").isdecimal() or int(port or 21) > 65_535:
        raise click.UsageError(f"--ftp: expected HOST or HOST:PORT; got {ftp!r}.")
    server = Server(host, int(port or 21), user, _password())
    return knock(server), f"{host}:{server.port}, tested as a camera would"


def _password() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, err=True))
    return sys.stdin.readline().rstrip("\r\n")


def _json(found: pd.DataFrame) -> str:
    findings = [
        {str(name): _plain(value) for name, value in row.items()}
        for row in found.astype(object).to_dict("records")
    ]
    return json.dumps({"findings": findings, "is_healthy": not findings})


def _plain(value: Any) -> Any:
    if value is None or value != value:
        return None
    return value.isoformat() if hasattr(value, "isoformat") else value


def _in_words(found: pd.DataFrame, looked_at: str) -> Iterator[str]:
    """Yield each finding with its cameras, and what to do once for all who need the same."""
    from pano_analytics.wording import many

    alike = ["severity", "word", "advice"]
    for (severity, word, advice), cases in found.groupby(alike, sort=False):
        yield f"{severity}: {word}"
        for case in cases.itertuples():
            sure = "" if case.confidence == "certain" else f" ({case.confidence})"
            yield from _wrapped(f"{shown(case.camera or 'all')}: {case.evidence}{sure}", "  ")
        words, *snippet = str(advice).splitlines()
        yield from _wrapped(f"-> {words}", "  ", "     ")
        # To be pasted: a line that is broken would be none.
        yield from (f"       {shown(line)}" for line in snippet)
        yield ""
    yield f"{many(len(found), 'finding') if len(found) else 'no problems found'}: {looked_at}"


def _wrapped(text: str, first: str, then: str = "    ") -> list[str]:
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=then, break_on_hyphens=False
    )
