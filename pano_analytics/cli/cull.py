"""`pano cull`: show which uploads are past their retention time, and delete them on request."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import date, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from pano_analytics.cli.options import settings_options
from pano_analytics.cli.progress import ProgressBar
from pano_analytics.cli.terminal import say, shown
from pano_analytics.wording import many, plural

if TYPE_CHECKING:
    from pano_analytics.settings import Settings
    from pano_analytics.upkeep.culling import Culled, CullPlan, ExpiredFile, Room


@click.command("cull")
@settings_options
@click.option("--delete", is_flag=True, help="Delete the files that the plan lists.")
@click.option(
    "--up-to",
    type=click.IntRange(min=0),
    metavar="FILES",
    help="With --delete: allow up to this many files, whatever the limits in the settings are.",
)
@click.option("--adopt", is_flag=True, help="Mark the upload root as the one to cull; needed once.")
@click.option("--files", is_flag=True, help="Show every file, not totals per day.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object (see docs/retention.md)."
)
@click.option("--wait", is_flag=True, help="Wait for another run to finish instead of exiting.")
@click.option("--quiet", "-q", is_flag=True, help="With --delete: print errors only.")
def command(
    settings: Settings,
    delete: bool,
    up_to: int | None,
    adopt: bool,
    files: bool,
    as_json: bool,
    wait: bool,
    quiet: bool,
) -> None:
    """Show which uploads are past their retention time; --delete removes them.

    The retention time is `keep_days` in the settings, for all cameras or per camera. An
    upload is due when its recording time, its arrival and the time when pano first saw
    it are all longer ago than that. Without --delete, the command only shows its plan:
    what would be deleted, why, and what remains. With --delete it deletes exactly that,
    and only in the upload root that has the marker written by --adopt. The catalog rows
    of a deleted upload stay for `rows_days`, with its thumbnails.

    \b
    Exit codes: 0 done (or another run is active), 2 settings or usage,
    3 upload root missing, or not the adopted one, 4 library unusable, 8 this computer's
    clock is implausible (see `pano clock`), or a camera would lose more than one run
    may delete without --up-to, 9 the library's disk full, 143 ended by SIGTERM; the
    next run continues from there.

    \b
    Examples:
      pano cull
      pano cull --adopt
      pano cull --delete
    """
    _refuse_mixed(delete, adopt, up_to)
    if adopt:
        _adopt(settings)
    elif delete:
        _delete(settings, up_to, wait, as_json, quiet)
    else:
        _show(settings, files, as_json)


def _refuse_mixed(delete: bool, adopt: bool, up_to: int | None) -> None:
    if adopt and delete:
        raise click.UsageError("--adopt and --delete cannot be combined: use one at a time.")
    if up_to is not None and not delete:
        raise click.UsageError("--up-to needs --delete.")


def _adopt(settings: Settings) -> None:
    from pano_analytics.upkeep.culling import adopt

    is_new = adopt(settings)
    how = "is now" if is_new else "was already"
    say(f"{settings.uploads} {how} the upload root in which `pano cull --delete` may delete.")


def _show(settings: Settings, files: bool, as_json: bool) -> None:
    from pano_analytics.store.catalog import Catalog
    from pano_analytics.store.home import library_of
    from pano_analytics.upkeep.culling import plan, rooms

    storage = library_of(settings)
    found = plan(settings)
    short = rooms(settings, Catalog(storage))
    for line in [_as_json(found, short)] if as_json else _in_words(found, short, files):
        say(line)
    if found.trouble and not as_json:
        say(f"pano: {found.trouble}", err=True)


def _delete(settings: Settings, up_to: int | None, wait: bool, as_json: bool, quiet: bool) -> None:
    from pano_analytics.service import schedule
    from pano_analytics.upkeep.culling import cull

    bar = ProgressBar() if sys.stderr.isatty() and not quiet else None
    try:
        with schedule.ending_on_sigterm() as stop:
            done = cull(settings, up_to=up_to, wait=wait, progress=bar or stop.check)
    except schedule.Stopped:
        sys.exit(143)
    finally:
        if bar is not None:
            bar.close()
    for path, why in done.stayed[:_MAX_SHOWN]:
        say(f"pano: {shown(path)}: stays: {_STAYED[why]}", err=True)
    if as_json:
        say(json.dumps(_summary(done)))
    elif not quiet:
        say(line(done))


_MAX_SHOWN = 20
_STAYED = {
    "changed": "it changed since it was catalogued",
    "refused": "it could not be deleted",
    "pinned": "it was pinned",
}


def line(done: Culled) -> str:
    """Return a summary of the culling on one line."""
    notes = [f"{many(done.files, 'file')} deleted, {size(done.size_bytes)}"]
    for count, word in (
        (done.finished, "of them left over from an interrupted run"),
        (done.rows_dropped, "old rows dropped"),
        (len(done.stayed), "stay"),
    ):
        if count:
            notes.append(f"{count:,} {word}")
    return f"cull: {'; '.join(notes)}"


def _summary(done: Culled) -> dict[str, Any]:
    stayed = [{"path": path, "why": why} for path, why in done.stayed]
    return {
        "files": done.files,
        "size_bytes": done.size_bytes,
        "finished": done.finished,
        "rows_dropped": done.rows_dropped,
        "stayed": stayed,
    }


def size(size_bytes: float) -> str:
    """Return a number of bytes as text, in a suitable unit."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return many(round(size_bytes), "byte")


# --- the plan, for people -----------------------------------------------------


def _in_words(found: CullPlan, short: list[Room], files: bool) -> Iterator[str]:
    for one in found.cameras:
        yield f"{shown(one.camera)}: {_retention(one.keep_days)}"
        own = [due for due in found.due if due.camera == one.camera]
        yield from map(_of_file, own) if files else _by_day(own)
        since = f" since {one.left_since:%Y-%m-%d}" if one.left_since else ""
        left = many(one.left_files, "file")
        yield f"  left {left:>18} {size(one.left_bytes):>10}{since}"
        if one.waiting_until:
            yield (
                f"       {one.waiting_files:>12,} of these are old enough, but pano first saw "
                f"them later: due on {one.waiting_until:%Y-%m-%d}"
            )
        if one.pinned_files:
            yield (
                f"       {one.pinned_files:>12,} of these are old enough, but pinned "
                f"({size(one.pinned_bytes)})"
            )
    for stays in found.stays:
        if files or not stays.is_pinned:
            yield f"stays: {shown(stays.path)}: {stays.reason}"
    for room in short:
        if room.is_short:
            yield f"disk too small: {room.text} {plural(room.keep_days or 0, 'day')}"
    total = f"{many(len(found.due), 'file')}, {size(found.size_bytes)}"
    yield f"{total}, would be deleted with --delete"


def _retention(keep_days: int | None) -> str:
    return "kept forever" if keep_days is None else f"kept for {many(keep_days, 'day')}"


def _by_day(due: list[ExpiredFile]) -> Iterator[str]:
    def key(one: ExpiredFile) -> tuple[date, str]:
        return one.date, "" if one.what == "companion" else one.reason

    for (day, reason), own in groupby(sorted(due, key=key), key=key):
        group = list(own)
        total = size(sum(one.size_bytes for one in group))
        why = reason or "beside clips that are deleted"
        yield f"  {day}  {many(len(group), 'file'):>12} {total:>10}  {why}"


def _of_file(one: ExpiredFile) -> str:
    why = f"{one.reason} ({_AGED_BY[one.aged_by]} {one.since:%Y-%m-%d %H:%M})"
    return f"  {shown(one.path)}  {size(one.size_bytes)}  {why}"


_AGED_BY = {"start": "recorded", "arrived": "arrived", "seen": "first seen"}


# --- the plan, for programs ---------------------------------------------------


def _as_json(found: CullPlan, short: list[Room]) -> str:
    document = {
        "now": found.now,
        "trouble": found.trouble,
        "files": len(found.due),
        "size_bytes": found.size_bytes,
        "due": [_due(one) for one in found.due],
        "stays": [one._asdict() for one in found.stays],
        "cameras": [one._asdict() for one in found.cameras],
        "rooms": [{**one._asdict(), "text": one.text} for one in short],
    }
    return json.dumps(document, default=_plain)


def _due(one: ExpiredFile) -> dict[str, Any]:
    row = one._asdict()
    del row["mtime_us"]
    return row


def _plain(value: Any) -> str:
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError(f"no JSON for {value!r}")
