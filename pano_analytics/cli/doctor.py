"""`pano doctor`: find problems with the cameras and their uploads, and suggest fixes."""

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

_MAX_WIDTH = 100


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
        findings, scope = _of_library(settings)
    else:
        findings, scope = _of_server(ftp, user)
    for line in [_json(findings)] if as_json else _in_words(findings, scope):
        say(line)
    if len(findings):
        words = ", ".join(dict.fromkeys(findings["word"]))
        raise AttentionNeeded(f"doctor: {words}")


def _of_library(settings: Settings) -> tuple[pd.DataFrame, str]:
    """Return the findings, and what was examined, in words."""
    from pano_analytics.doctor import examine
    from pano_analytics.library import Library
    from pano_analytics.wording import many

    library = Library.of(settings)
    findings = examine(library)
    cameras = many(len(library.camera_names()), "camera")
    return findings, f"{cameras}, the newest {many(settings.doctor.days, 'day')} of each"


def _of_server(ftp: str | None, user: str | None) -> tuple[pd.DataFrame, str]:
    from pano_analytics.doctor import FtpEndpoint, knock

    if not ftp or not user:
        raise click.UsageError("expected --ftp HOST[:PORT] together with --user NAME.")
    host, _, port = ftp.removeprefix("ftp://").rstrip("/").partition(":")
    if not host or not (port or "21").isdecimal() or int(port or 21) > 65_535:
        raise click.UsageError(f"--ftp: expected HOST or HOST:PORT; got {ftp!r}.")
    server = FtpEndpoint(host, int(port or 21), user, _password())
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
    if hasattr(value, "to_json"):
        return value.to_json()
    return value.isoformat() if hasattr(value, "isoformat") else value


def _in_words(findings: pd.DataFrame, scope: str) -> Iterator[str]:
    """Yield each finding with its cameras; cameras that need the same fix share its text."""
    from pano_analytics.wording import many

    shared = ["severity", "word", "advice"]
    for (severity, word, advice), cases in findings.groupby(shared, sort=False):
        yield f"{severity}: {word}"
        for case in cases.itertuples():
            sure = "" if case.confidence == "certain" else f" ({case.confidence})"
            yield from _wrapped(f"{shown(case.camera or 'all')}: {case.evidence}{sure}", "  ")
        words, *snippet = str(advice).splitlines()
        yield from _wrapped(f"-> {words}", "  ", "     ")
        # Meant to be pasted, so it must not be wrapped.
        yield from (f"       {shown(line)}" for line in snippet)
        yield ""
    yield f"{many(len(findings), 'finding') if len(findings) else 'no problems found'}: {scope}"


def _wrapped(text: str, first: str, then: str = "    ") -> list[str]:
    width = min(shutil.get_terminal_size().columns, _MAX_WIDTH)
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=then, break_on_hyphens=False
    )
