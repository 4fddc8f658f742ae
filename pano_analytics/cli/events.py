"""`pano events`: list the events of cameras, with what people decided about them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from pano_analytics.cli.options import settings_options
from pano_analytics.cli.terminal import say, say_text, shown
from pano_analytics.wording import many

if TYPE_CHECKING:
    import pandas as pd

    from pano_analytics.settings import Settings

_HEADS = ("start", "length", "camera", "files", "triggers", "marks", "event_id")


@click.command("events")
@settings_options
@click.option("--camera", multiple=True, help="Only this camera; can be repeated.")
@click.option("--start", help="Only events that overlap the time from here on, such as 2026-11-20.")
@click.option("--end", help="Only events that start before this time.")
@click.option("--who", help="Whose reviews count; by default those of anybody.")
@click.option("--unreviewed", is_flag=True, help="Only events with files that are not reviewed.")
@click.option("--pinned", is_flag=True, help="Only events that are pinned.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
def command(
    settings: Settings,
    camera: tuple[str, ...],
    start: str | None,
    end: str | None,
    who: str | None,
    unreviewed: bool,
    pinned: bool,
    as_json: bool,
    as_csv: bool,
) -> None:
    """List the events of cameras, and which of them are reviewed, pinned or dismissed.

    One line per event, sorted by start. Times are in the time zone of the settings. The
    columns of --json and --csv are those of `library.events` (see docs/columns.md). `pano
    mark` takes the ids in the last column.

    \b
    Exit codes: 0 printed, 2 settings or usage, 4 no readable library, 6 no such camera,
    or an invalid time.

    \b
    Examples:
      pano events --start 2026-11-20 --end 2026-11-21
      pano events --camera front_door --unreviewed --who anna
      pano events --pinned --json | jq -r .event_id
    """
    from pano_analytics.library import Library
    from pano_analytics.store.home import library_of

    if as_json and as_csv:
        raise click.UsageError("--json and --csv cannot be combined: use one at a time.")
    library_of(settings)
    found = Library.of(settings).events(
        list(camera) or None,
        start,
        end,
        who=who,
        is_reviewed=False if unreviewed else None,
        is_pinned=True if pinned else None,
    )
    if as_csv:
        say_text(_escaped(found).to_csv(index=False), nl=False)
        return
    for line in _json_lines(found) if as_json else _table(found):
        say(line)


def _escaped(found: pd.DataFrame) -> pd.DataFrame:
    texts = found.select_dtypes(["str", "category"]).columns
    return found.assign(**{name: found[name].map(shown, na_action="ignore") for name in texts})


def _json_lines(found: pd.DataFrame) -> Iterator[str]:
    rows = found.astype(object).where(found.notna(), None)
    for row in rows.to_dict("records"):
        yield json.dumps({str(name): _plain(value) for name, value in row.items()})


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _table(found: pd.DataFrame) -> Iterator[str]:
    """Yield a heading and one line per event, in columns; notes stand at the end."""
    if not len(found):
        yield "no events"
        return
    lines = [_HEADS, *map(_cells, found.itertuples())]
    notes = ["", *found["note"].fillna("")]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for cells, note in zip(lines, notes, strict=True):
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        yield "  ".join([*padded, note]).rstrip()


def _cells(event: Any) -> tuple[str, ...]:
    length_s = round((event.end - event.start).total_seconds())
    start, triggers = f"{event.start:%Y-%m-%d %H:%M:%S}", _listed([event.triggers])
    marks = _listed(_marks(event))
    files = str(event.files)
    return start, f"{length_s} s", shown(event.camera), files, triggers, marks, event.event_id


def _marks(event: Any) -> Iterable[str]:
    yield "reviewed" if event.is_reviewed else ""
    yield f"{many(event.new_files, 'new file')}" if event.new_files else ""
    yield "pinned" if event.is_pinned else ""
    yield "dismissed" if event.is_dismissed else ""


def _listed(words: Iterable[Any]) -> str:
    return ", ".join(shown(word) for word in words if isinstance(word, str) and word) or "-"
