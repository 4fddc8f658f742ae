"""Arguments and frames of decisions: who decided what about which uploads."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from pano_analytics.errors import QueryError
from pano_analytics.model import alike, arguments
from pano_analytics.model.decision import DECISIONS, Decision, Mark

COLUMNS = (
    *("decision_id", "decided", "who", "decision", "note", "uploads"),
    *("media_ids", "undoes", "is_undone"),
)
_MOST_NAME, _MOST_NOTE = 200, 10_000
_MEDIA_ID = re.compile(r"[0-9a-f]{16}")


def chosen_decision(decision: Any) -> str:
    """Return the name of a decision. Raises QueryError, with all names, for any other value."""
    if isinstance(decision, str) and decision in DECISIONS:
        return str(decision)
    hint = alike.hint(decision, DECISIONS) if isinstance(decision, str) else ""
    raise QueryError(
        f"decision: expected one of {', '.join(DECISIONS)}; got {arguments.shown(decision)}.{hint}"
    )


def chosen_person(who: Any) -> str | None:
    """Return the name of a person as it is stored; None for None. Raises QueryError."""
    if who is None:
        return None
    name = alike.normal(_text(who, "who", _MOST_NAME)).strip()
    if not name or not name.isprintable():
        raise QueryError(f"who: expected the name of a person; got {arguments.shown(who)}.")
    return name


def this_user() -> str:
    """Return the user name that this process runs under; its number if it has no name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return str(os.geteuid())


def chosen_note(note: Any, decision: str) -> str | None:
    """Return the text of a note; None without one. Raises QueryError if `decision` needs one."""
    text = None if note is None else _text(note, "note", _MOST_NOTE).strip()
    if decision == "noted" and not text:
        raise QueryError(f"note: expected text for a note; got {arguments.shown(note)}.")
    return text or None


def _text(value: Any, what: str, most: int) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise QueryError(
            f"{what}: expected text of at most {most:,} characters; got {arguments.shown(value)}."
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise QueryError(f"{what}: expected text in UTF-8; got {arguments.shown(value)}.") from None
    return str(value)


def chosen_id(decision_id: Any) -> str:
    """Return the id of one decision: of an id, or of a row. Raises QueryError."""
    found = arguments.names(decision_id, "decision_id") or []
    if len(found) != 1:
        raise QueryError(
            f"decision_id: expected the id of one decision; got {arguments.shown(decision_id)}."
        )
    return found[0]


def chosen_uploads(given: Any) -> tuple[str | None, list[str]]:
    """Return the column that a frame or row was recognised by, None for ids, and the ids.

    The column is "media_id" if there is one, else "event_id". Raises QueryError if there are
    no ids.
    """
    column = next((one for one in ("media_id", "event_id") if _has(given, one)), None)
    ids = arguments.names(given, column or "frame_or_ids")
    if not ids:
        raise QueryError(
            "frame_or_ids: expected at least one upload or event, as a frame of library.events() "
            f"or library.media(), or as ids; got {arguments.shown(given)}."
        )
    return column, ids


def _has(given: Any, column: str) -> bool:
    if isinstance(given, pd.DataFrame):
        return column in given.columns
    if isinstance(given, pd.Series):
        # A column of a frame, such as events["event_id"], says by its name what it holds.
        return column in given.index or given.name == column
    if isinstance(given, Mapping):
        return column in given
    return hasattr(given, column)


def expect_known(ids: Sequence[str], known: Iterable[str]) -> None:
    """Raise QueryError for an id that is not of an upload in the catalog."""
    there = set(known)
    missing = [one for one in ids if one not in there]
    if missing:
        few = ", ".join(map(repr, missing[:3]))
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise QueryError(
            "frame_or_ids: expected the ids of events or uploads of this library, as "
            f"library.events() and library.media() give them; got {few}{more}."
        )


def looks_like_ids(ids: Sequence[str]) -> list[str]:
    """Return the ids that have the form of a media_id; no upload has any other."""
    return [one for one in ids if _MEDIA_ID.fullmatch(one)]


def marks_frame(marks: Iterable[Mark]) -> pd.DataFrame:
    """Return marks as the frame that `analysis.marks.with_marks` takes."""
    ordered = sorted(marks, key=lambda mark: mark.noted or (0, ""))
    frame = pd.DataFrame(ordered, columns=list(Mark._fields))
    return frame.assign(noted=range(len(frame)))


def decisions_frame(decisions: Iterable[tuple[Decision, bool]], zone: ZoneInfo) -> pd.DataFrame:
    """Return decisions, each with whether it was taken back, as a frame with `COLUMNS`."""
    rows = [_row(one, is_undone) for one, is_undone in decisions]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    decided = pd.to_datetime(frame["decided"], utc=True).dt.as_unit("us").dt.tz_convert(zone)
    texts = dict.fromkeys(("decision_id", "who", "decision", "note", "undoes"), "str")
    types = {**texts, "uploads": "int64", "is_undone": "bool"}
    return frame.assign(decided=decided).astype(types)


def _row(one: Decision, is_undone: bool) -> tuple[object, ...]:
    named = list(one.media_ids)
    about = (one.decision_id, one.decided, one.who, one.decision, one.note)
    return *about, len(named), named, one.undoes, is_undone
