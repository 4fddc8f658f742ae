"""Printing for all commands: text of unknown origin is made safe for the terminal."""

from __future__ import annotations

import sys
from typing import Any

import click

from pano_analytics.wording import printable


def shown(text: Any) -> str:
    """Return a name or value for a line of output, with line ends and controls escaped."""
    return printable(str(text))


def say(line: str, *, err: bool = False) -> None:
    """Print one line to stdout or stderr.

    Line ends, control characters and Unicode direction marks are escaped, and so is what the
    terminal's encoding lacks.
    """
    _print(printable(line), err, nl=True)


def say_text(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print text with its line ends and tabs; otherwise as `say`.

    Pass names from the upload tree through `shown` first.
    """
    safe = "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))
    _print(safe, err, nl)


def _print(safe: str, err: bool, nl: bool) -> None:
    encoding = (sys.stderr if err else sys.stdout).encoding or "utf-8"
    click.echo(safe.encode(encoding, "backslashreplace").decode(encoding), err=err, nl=nl)
