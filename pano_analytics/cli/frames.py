"""Frames of events and visits on the terminal: aligned columns, JSON lines or CSV."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from pano_analytics.cli.terminal import say, say_text, shown
from pano_analytics.wording import many

if TYPE_CHECKING:
    import pandas as pd


def require_one_format(as_json: bool, as_csv: bool) -> None:
    """Refuse `--json` together with `--csv`."""
    if as_json and as_csv:
        raise click.UsageError("--json and --csv cannot be combined: use one at a time.")


def print_csv(found: pd.DataFrame) -> None:
    """Print a frame as comma-separated values; control characters of texts are escaped."""
    texts = found.select_dtypes(["str", "category"]).columns
    escaped = found.assign(**{name: found[name].map(shown, na_action="ignore") for name in texts})
    say_text(escaped.to_csv(index=False), nl=False)


def print_json(found: pd.DataFrame) -> None:
    """Print one JSON object per row."""
    rows = found.astype(object).where(found.notna(), None)
    for row in rows.to_dict("records"):
        say(json.dumps({str(name): _plain(value) for name, value in row.items()}))


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def print_table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], last: Iterable[str], none: str
) -> None:
    """Print a heading and one line per row, in columns; `last` stands at the end of each line.

    Prints `none` if there are no rows.
    """
    lines = [tuple(heads), *map(tuple, rows)]
    if len(lines) == 1:
        say(none)
        return
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for cells, end in zip(lines, ["", *last], strict=True):
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        say("  ".join([*padded, end]).rstrip())


def length_of(row: Any) -> str:
    """Return how long an event or a visit lasted, in seconds."""
    return f"{round((row.end - row.start).total_seconds())} s"


def marks_of(row: Any) -> Iterator[str]:
    """Yield what people decided about an event or a visit."""
    if row.is_reviewed:
        yield "reviewed"
    if row.new_files:
        yield many(row.new_files, "new file")
    if row.is_pinned:
        yield "pinned"
    if row.is_dismissed:
        yield "dismissed"


def listed(words: Iterable[Any]) -> str:
    """Return the texts among `words`, separated by commas; a dash if there are none."""
    return ", ".join(shown(word) for word in words if isinstance(word, str) and word) or "-"
