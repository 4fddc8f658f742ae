"""Frames of events and visits on the terminal: aligned columns, JSON lines or CSV."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from pano_analytics.cli.terminal import say, say_text, shown
from pano_analytics.wording import many

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class FrameListing:
    """What a command that lists events or visits is asked for."""

    camera: tuple[str, ...]
    start: str | None
    end: str | None
    who: str | None
    unreviewed: bool
    pinned: bool
    as_json: bool
    as_csv: bool

    def ask(self, question: Callable[..., pd.DataFrame], **more: Any) -> pd.DataFrame:
        """Return the answer of `library.events` or `library.sessions`."""
        return question(
            list(self.camera) or None,
            self.start,
            self.end,
            who=self.who,
            is_reviewed=False if self.unreviewed else None,
            is_pinned=True if self.pinned else None,
            **more,
        )

    def show(self, found: pd.DataFrame, show_table: Callable[[], None]) -> None:
        """Print the frame in the format that is asked for."""
        if self.as_csv:
            _print_csv(found)
        elif self.as_json:
            _print_json(found)
        else:
            show_table()


def listing_options(noun: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options that list events or visits to a command, which gets a `listing`."""
    options = (
        click.option(
            "--camera",
            multiple=True,
            help=f"Only {noun} that this camera recorded; can be repeated.",
        ),
        click.option(
            "--start", help=f"Only {noun} that overlap the time from here on, such as 2026-11-20."
        ),
        click.option("--end", help=f"Only {noun} that start before this time."),
        click.option("--who", help="Whose reviews count; by default those of anybody."),
        click.option(
            "--unreviewed", is_flag=True, help=f"Only {noun} with files that are not reviewed."
        ),
        click.option("--pinned", is_flag=True, help=f"Only {noun} that are pinned."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line."),
        click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values."),
    )

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def with_listing(*args: Any, **kwargs: Any) -> Any:
            values = {one.name: kwargs.pop(one.name) for one in fields(FrameListing)}
            if values["as_json"] and values["as_csv"]:
                raise click.UsageError("--json and --csv cannot be combined: use one at a time.")
            return command(*args, listing=FrameListing(**values), **kwargs)

        found: Callable[..., Any] = with_listing
        for option in reversed(options):
            found = option(found)
        return found

    return decorated


def _print_csv(found: pd.DataFrame) -> None:
    """Print a frame as comma-separated values; control characters of texts are escaped."""
    texts = found.select_dtypes(["str", "category"]).columns
    escaped = found.assign(**{name: found[name].map(shown, na_action="ignore") for name in texts})
    say_text(escaped.to_csv(index=False), nl=False)


def _print_json(found: pd.DataFrame) -> None:
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
