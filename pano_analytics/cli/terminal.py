"""Text of unknown origin, made safe for a terminal: the one way in which commands print."""

from __future__ import annotations

import sys
from typing import Any

import click

from pano_analytics.wording import printable


def shown(text: Any) -> str:
    """Return a name or a value for use in a line of output: nothing in it can end the line."""
    return printable(str(text))


def say(line: str, *, err: bool = False) -> None:
    """Print one line to stdout or stderr, whatever it quotes: a name cannot end it.

    No control character and no Unicode direction mark reaches the terminal; what its
    encoding lacks is escaped.
    """
    _print(printable(line), err, nl=True)


def say_text(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print text whose line ends and tabs are meant; otherwise as `say`.

    Names from the tree go in through `shown`.
    """
    safe = "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))
    _print(safe, err, nl)


def _print(safe: str, err: bool, nl: bool) -> None:
    encoding = (sys.stderr if err else sys.stdout).encoding or "utf-8"
    click.echo(safe.encode(encoding, "backslashreplace").decode(encoding), err=err, nl=nl)
