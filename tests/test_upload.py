"""The record of an upload: its columns, its states, and the same words for it on every page."""

from __future__ import annotations

import html
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pytest
from site_home import Home, lay_picture

from pano_analytics import doctor, present, status
from pano_analytics.dashboard import payloads
from pano_analytics.dashboard.answers import find_item
from pano_analytics.errors import MediaError
from pano_analytics.library import COLUMNS, Library
from pano_analytics.model.tables import media_table, schema, uploads_of
from pano_analytics.model.upload import (
    STATES,
    Inspection,
    Upload,
    culled,
    opened,
    to_open,
    went_missing,
)
from pano_analytics.site.run import update

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 10, 25, 0, 30, 5, tzinfo=UTC)
ROW: dict[str, Any] = {
    "media_id": "00000000000000aa",
    "camera": "Gärten & Hof",
    "date": date(2026, 10, 25),
    "kind": "clip",
    "start": START,
    "time_source": "name",
    "path": "g/a.mp4",
    "size_bytes": 2_500_000,
    "mtime": START,
    "arrived": START,
    "state": "unread",
}
UPLOAD = Upload.of(ROW)


def test_the_record_has_the_columns_of_the_table() -> None:
    """Fields, the schema of the catalog, the library's columns and the document agree."""
    fields = [*Upload.__dataclass_fields__]
    assert fields == list(COLUMNS)
    assert {*fields} == {*schema("media").names, "camera", "date"}
    text = Path(__file__).parent.parent.joinpath("docs/columns.md").read_text("utf-8")
    media = text.split("## media")[1].split("## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", media, re.MULTILINE) == fields


def test_types_are_those_of_the_schema() -> None:
    """Each field has the type that Arrow gives for its column; times are aware where they are."""
    kinds = {"string": "str", "double": "float", "int64": "int", "int32": "int"}
    texts = {"Kind": "str", "State": "str"}
    for field in schema("media"):
        told = str(Upload.__dataclass_fields__[field.name].type).removesuffix(" | None")
        arrow = "datetime" if pa.types.is_timestamp(field.type) else kinds[str(field.type)]
        assert texts.get(told, told) == arrow, field.name


def test_rows_come_back_as_they_were() -> None:
    """From Arrow and back, nothing is lost; nulls of any kind are None."""
    upload = opened(UPLOAD, Inspection("complete", width=1920, height=1080, duration_s=4.5))
    table = media_table([upload, UPLOAD])
    assert table.schema.equals(schema("media"))
    assert uploads_of(table, upload.camera, upload.date) == [upload, UPLOAD]
    assert Upload.of(upload.to_row()) == upload
    frame = table.to_pandas().assign(camera=upload.camera, date=pd.Timestamp(upload.date))
    local = frame.assign(start=frame["start"].dt.tz_convert(BERLIN))
    assert [Upload.of(row) for row in local.to_dict("records")] == [upload, UPLOAD]
    assert Upload.of({**ROW, "width": pd.NA, "end": pd.NaT, "fps": float("nan")}) == UPLOAD
    with pytest.raises(MediaError, match="media_id"):
        Upload.of({"path": "a"})


def test_states_change_by_these_functions() -> None:
    """What was opened, culled, missing or is to be opened again; all else of it stays."""
    found = Inspection("partial", "cut", duration_s=4.5, sha256="ab")
    whole = opened(UPLOAD, found)
    assert (whole.state, whole.state_reason, whole.sha256) == ("partial", "cut", "ab")
    assert whole.end == START + timedelta(seconds=4.5)
    gone = culled(whole, "kept for 14 days", START)
    assert (gone.state, gone.culled_at, gone.is_gone) == ("culled", START, True)
    again = to_open(gone)
    assert (again.state, again.state_reason, again.culled_at) == ("unread", None, None)
    assert went_missing(whole).state == "missing"
    assert went_missing(whole).duration_s == 4.5


def test_every_state_and_time_has_words() -> None:
    """No state is without a badge but `complete`; a new source of time is named as it is."""
    for state in STATES:
        said = present.badges(Upload.of({**ROW, "state": state}))
        assert [badge.word for badge in said] == (
            [] if state == "complete" else [present.STATE_BADGES[state].word]
        )
    assert {*present.STATE_COUNTS} == {*STATES}
    [badge] = present.badges(Upload.of({**ROW, "state": "complete", "time_source": "stars"}))
    assert badge == ("Time uncertain", "Its time comes from: stars.")
    assert present.badges(Upload.of({**ROW, "state": "damaged", "state_reason": "torn"})) == [
        ("Unreadable", "torn")
    ]


def test_a_download_is_named_by_the_time_that_pages_show() -> None:
    """Not by a camera's wrong clock; the two passes of a repeated hour have two names."""
    wrong = Upload.of({**ROW, "wall_start": datetime(2001, 1, 1)})
    assert present.download_name(wrong, BERLIN) == "Gärten_Hof_2026-10-25_02-30-05_CEST.mp4"
    later = Upload.of({**ROW, "start": START + timedelta(hours=1)})
    assert present.download_name(later, BERLIN) == "Gärten_Hof_2026-10-25_02-30-05_CET.mp4"
    utc = present.download_name(Upload.of({**ROW, "path": "a.b!"}), ZoneInfo("UTC"), ".jpg")
    assert utc == "Gärten_Hof_2026-10-25_00-30-05.jpg"


def test_a_clip_over_the_change_of_the_clocks_says_both_zones() -> None:
    """Else its end would seem to be before its beginning."""
    clip = Upload.of({**ROW, "end": START + timedelta(minutes=40)})
    assert present.when(clip, BERLIN).endswith("02:30:05 CEST – 02:10:05 CET")
    assert present.when(UPLOAD, BERLIN) == "Sunday 25 October 2026, 02:30:05 CEST"


def _home(tmp_path: Path, hours: list[float]) -> tuple[Home, list[Path]]:
    """Return a home whose porch uploaded so many hours ago."""
    mine, now = Home(tmp_path), datetime.now(BERLIN).replace(tzinfo=None, microsecond=0)
    laid = [lay_picture(mine.uploads, "porch", now - timedelta(hours=ago)) for ago in hours]
    mine.ingest()
    return mine, laid


def _silent_by(mine: Home, hours: float) -> dict[str, bool]:
    """Return who says that the porch is silent."""
    settings = mine.settings().model_copy(update={"silent_after_hours": hours})
    library = Library.of(settings)
    update(settings, mine.site, is_full=True)
    cards = payloads.overview(library.cameras(), datetime.now(BERLIN).replace(tzinfo=None))
    page = (mine.site / "porch" / "index.html").read_text("utf-8")
    found = doctor.examine(library)
    is_silent = library.cameras().set_index("camera")["is_silent"]
    told = {one["camera"]: one["is_silent"] for one in status.collect(settings)["cameras"]}
    return {
        "library": bool(is_silent["porch"]),
        "status": told["porch"],
        "dashboard": next(card["silent"] for card in cards["cameras"] if card["name"] == "porch"),
        "site": "Silent</span>" in page,
        "doctor": bool(((found["word"] == "camera_silent") & (found["camera"] == "porch")).any()),
    }


def test_all_say_the_same_of_a_silent_camera(tmp_path: Path) -> None:
    """A camera whose newest upload was deleted uploaded all the same; then its time is over."""
    mine, laid = _home(tmp_path, [30, 3])
    assert set(_silent_by(mine, 24).values()) == {False}
    laid[1].unlink()
    mine.ingest(is_full=True)
    assert mine.library.media()["state"].tolist() == ["complete", "missing"]
    assert _silent_by(mine, 24) == dict.fromkeys(_silent_by(mine, 24), False)
    assert _silent_by(mine, 1) == dict.fromkeys(_silent_by(mine, 1), True)


def test_site_and_dashboard_say_the_same_of_an_upload(tmp_path: Path) -> None:
    """Facts, badges and the name of the download are one text each."""
    mine, _ = _home(tmp_path, [3])
    mine.update()
    library = mine.library
    upload = library.upload(library.media()["media_id"].iloc[0])
    told = payloads.item(find_item(library, upload.media_id, None, None), library.zone)
    page = html.unescape(mine.page_of(upload.path).read_text("utf-8"))
    assert told["facts"] == [list(fact) for fact in present.facts(upload, library.zone)]
    for name, text in told["facts"]:
        assert name in page
        assert text in page
    assert present.download_name(upload, library.zone) in page
