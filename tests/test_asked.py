"""Whatever a notebook passes is understood or refused with the reason, and types can be used."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd
import pytest
from shared_files import MEDIA, clip_path, lay, needs_media, snapshot_path
from test_library import made

import pano_analytics
from pano_analytics import doctor, plots
from pano_analytics.analysis.events import Rule, event_ids, event_numbers, events
from pano_analytics.analysis.periods import period_numbers, periods
from pano_analytics.errors import PanoError, QueryError
from pano_analytics.ingest.run import ingest
from pano_analytics.library import Library
from pano_analytics.model.upload import locate
from pano_analytics.upkeep import culling
from pano_analytics.wording import many

NOON = datetime(2026, 3, 3, 12, 0, 0)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """A clip of 20 s at noon with two snapshots in it, and a snapshot of another camera."""
    return made(
        tmp_path_factory.mktemp("asked"),
        [
            clip_path("porch", NOON, NOON + timedelta(seconds=20)),
            snapshot_path("porch", NOON + timedelta(seconds=7)),
            snapshot_path("porch", NOON + timedelta(seconds=8)),
            snapshot_path("garden", NOON + timedelta(days=2)),
        ],
        cameras=[{"name": "porch"}, {"name": "garden"}],
    )


# --- names


@pytest.mark.parametrize(
    "camera",
    [
        "porch",
        np.str_("porch"),
        ["porch", "porch"],
        ("porch",),
        {"porch"},
        pd.Series(["porch", "porch"]),
        pd.Series(["porch"], dtype="category"),
        pd.Categorical(["porch"]),
        pd.Index(["porch"]),
        np.array(["porch"]),
        np.array("porch"),
        {"porch": 1}.keys(),
        {"camera": "porch", "kind": "clip"},
        pd.DataFrame({"camera": ["porch"], "x": 1}),
        pd.Series({"camera": "porch", "kind": "clip"}),
        next(pd.DataFrame({"camera": ["porch"]}).itertuples()),
        (name for name in ["porch"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_names_come_in_any_shape_and_count_once(library: Library, camera: Any) -> None:
    """One name or several, in whatever holds them; a name given twice doubles nothing."""
    names = list(camera) if isinstance(camera, Iterator) else camera
    assert len(library.media(camera=names)) == 3
    assert library.activity("day", camera=names)[["snapshots", "clips"]].sum().tolist() == [2, 1]


def test_no_name_at_all_is_nothing_and_not_everything(library: Library) -> None:
    """An empty list chooses no camera, in every answer."""
    assert library.media(camera=[]).empty
    assert library.activity("day", camera=[]).empty
    assert library.frames(media_id=[]).empty


ODD: list[Any] = [
    *(True, 5, 5.5, float("nan"), b"porch", pd.NaT, pd.NA, object(), [None], [5], [["porch"]]),
    *(pd.DataFrame({"x": [1]}), np.datetime64("2026-03-03"), timedelta(1), {"x": 1}, ""),
]


def assert_says(error: PanoError) -> None:
    """Fail where an error has nothing to say."""
    assert "expected" in str(error) or "has not been adopted for culling" in str(error)


def _asked(library: Library) -> dict[str, Callable[[Any], Any]]:
    """Return each public question, by each of its arguments."""
    one = library.media().iloc[0]
    questions: dict[str, Callable[[Any], Any]] = {}
    for name in ("camera", "start", "end", "kind", "state", "columns", "newest_first", "limit"):
        questions[f"media {name}"] = lambda value, name=name: library.media(**{name: value})
    marks = ("who", "is_reviewed", "is_pinned", "is_dismissed")
    for name in ("camera", "start", "end", "columns", "newest_first", "limit", *marks):
        questions[f"events {name}"] = lambda value, name=name: library.events(**{name: value})
    for name in ("camera", "start", "end", "columns", "limit", "min_cameras", *marks):
        questions[f"sessions {name}"] = lambda value, name=name: library.sessions(**{name: value})
    for name in ("by", "camera", "start", "end"):
        questions[f"activity {name}"] = lambda value, name=name: library.activity(**{name: value})
    for name in ("media_id", "camera", "start", "end"):
        questions[f"frames {name}"] = lambda value, name=name: library.frames(**{name: value})
    for name in ("camera", "start", "end"):
        questions[f"duplicates {name}"] = lambda v, name=name: library.duplicates(**{name: v})
    return questions | {
        "members": library.members,
        "decide": lambda value: library.decide(value, "noted", note="x"),
        "decide decision": lambda value: library.decide(one, value),
        "decide who": lambda value: library.decide(one, "reviewed", who=value),
        "decide note": lambda value: library.decide(one, "reviewed", note=value),
        "undo": library.undo,
        "undo who": lambda value: library.undo(library.decide(one, "reviewed"), value),
        "correct_clock": lambda value: library.correct_clock(value, "2026-03-01", None, 60),
        "correct_clock start": lambda value: library.correct_clock("porch", value, None, 60),
        "correct_clock end": lambda v: library.correct_clock("porch", "2026-03-01", v, 60),
        "correct_clock seconds": lambda v: library.correct_clock("porch", "2026-03-01", None, v),
        "item": library.item,
        "item camera": lambda value: library.item(one["media_id"], value, "2026-03-03"),
        "item date": lambda value: library.item(one["media_id"], "porch", value),
        "upload": library.upload,
        "upload camera": lambda value: library.upload(one["media_id"], value, "2026-03-03"),
        "upload date": lambda value: library.upload(one["media_id"], "porch", value),
        "history": library.history,
        "thumbnail": library.thumbnail,
        "thumbnail_bytes": library.thumbnail_bytes,
        "source": library.source,
        "parts": library.parts,
        "sql": library.sql,
        "sql params": lambda value: library.sql("SELECT ? AS x", value),
        "open": pano_analytics.open,
        "plots.activity": plots.activity,
        "plots.timeline": plots.timeline,
        "plots.by_wall_hour": plots.by_wall_hour,
    }


def _asked_beside(library: Library) -> dict[str, Callable[[Any], Any]]:
    """Return each public function beside the library, by each of its arguments."""
    uploads, root = library.media(), library.uploads
    settings = library.settings
    return {
        "events": events,
        "events rules": lambda value: events(uploads, value),
        "event_ids": event_ids,
        "event_numbers": event_numbers,
        "event_numbers rules": lambda value: event_numbers(uploads, value),
        "Rule gap": lambda value: Rule(gap=value),
        "Rule longest": lambda value: Rule(longest=value),
        "periods": lambda value: periods(value, timedelta(minutes=10)),
        "periods gap": lambda value: periods(uploads, value),
        "period_numbers": lambda value: period_numbers(value, timedelta(minutes=10)),
        "period_numbers gap": lambda value: period_numbers(uploads, value),
        "locate": lambda value: locate(value, "porch/x.jpg"),
        "locate path": lambda value: locate(root, value),  # type: ignore[arg-type]
        "doctor.examine": doctor.examine,
        "doctor.knock": doctor.knock,
        "culling.plan": culling.plan,
        "culling.plan now": lambda value: culling.plan(library, value),
        "culling.cull": culling.cull,
        "culling.cull now": lambda value: culling.cull(library, now=value),
        "culling.cull up_to": lambda value: culling.cull(library, up_to=value),
        "culling.adopt": culling.adopt,
        "culling.forecast": culling.forecast,
        "culling.forecast now": lambda value: culling.forecast(library, value),
        "culling.rooms": lambda value: culling.rooms(value, library.catalog),
        "culling.rooms catalog": lambda value: culling.rooms(settings, value),
        "culling.rooms now": lambda value: culling.rooms(settings, library.catalog, value),
        "culling.last_run": culling.last_run,
        "culling.is_stopped": culling.is_stopped,
    }


@pytest.mark.parametrize("listed", [_asked, _asked_beside], ids=lambda one: one.__name__)
def test_odd_arguments_are_refused_in_words(
    library: Library, listed: Callable[[Library], dict[str, Callable[[Any], Any]]]
) -> None:
    """No public question ends in an error of Python, pandas or DuckDB, whatever it is given."""
    bare = []
    for name, ask in listed(library).items():
        for odd in [*ODD, library.media()]:
            try:
                ask(odd)
            except PanoError as error:
                assert_says(error)
            except Exception as error:
                bare.append((name, repr(odd)[:50], repr(error)[:120]))
    assert bare == []


def test_every_public_question_is_asked_oddly(library: Library) -> None:
    """The list of questions above misses no public method that takes an argument."""
    methods = inspect.getmembers(library, inspect.ismethod)
    public = {
        name
        for name, method in methods
        if not name.startswith("_") and inspect.signature(method).parameters and name != "of"
    }
    assert public == {name.split()[0] for name in _asked(library)} & public


def test_every_public_function_is_asked_oddly(library: Library) -> None:
    """The lists miss no function of what tab completion offers."""
    asked = {name.split()[0] for name in {**_asked(library), **_asked_beside(library)}}
    for module in (culling, doctor, plots):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if name in getattr(module, "__all__", [name]) and not name.startswith("_"):
                is_own = function.__module__.startswith(module.__name__)
                said = f"{module.__name__.rpartition('.')[2]}.{name}"
                assert said in asked or not is_own, said


def test_culling_takes_a_library(library: Library) -> None:
    """What a notebook holds in its hand is enough for every function of culling."""
    assert culling.plan(library).frame().empty
    assert culling.last_run(library) == culling.last_run(library.storage)
    assert culling.is_stopped(library) == culling.is_stopped(library.settings)
    assert culling.forecast(library)["camera"].tolist() == ["garden", "porch"]


def test_periods_take_what_the_library_gives(library: Library) -> None:
    """Cameras as categories, labels that come twice, gaps in any type, no upload at all."""
    uploads = library.media()
    twice = pd.concat([uploads, uploads])
    for gap in (timedelta(minutes=10), "10 min", pd.Timedelta("10min"), np.timedelta64(10, "m")):
        found = periods(uploads, gap)
        assert found[["camera", "snapshots", "clips"]].to_numpy().tolist() == [
            *(["porch", 2, 1], ["garden", 1, 0])
        ]
        assert period_numbers(twice, gap).tolist() == [0] * 8
        assert period_numbers(twice, gap).index.equals(twice.index)
    assert periods(twice, "10 min")["snapshots"].tolist() == [4, 2]
    assert periods(uploads.head(0), "10 min").empty
    assert len(periods(library.media(camera="garden"), "0 s")) == 1
    for gap in (10, "-1 min", "soon", pd.NaT, None):
        with pytest.raises(QueryError, match="gap: expected a length of time"):
            periods(uploads, gap)  # type: ignore[arg-type]


def test_a_name_almost_right_is_told(library: Library) -> None:
    """A slip names what exists and what was probably meant."""
    with pytest.raises(QueryError, match=r"one of porch, garden; got 'prch'. Did you mean 'porch'"):
        library.media(camera=["prch"])
    with pytest.raises(QueryError, match="Did you mean 'camera'"):
        library.media(columns=["camra"])
    with pytest.raises(ValueError, match="Did you mean 'clip'"):
        library.media(kind="clips")


# --- times


@pytest.mark.parametrize(
    "start",
    [
        "2026-03-03 12:00:19",
        np.str_("2026-03-03 12:00:19"),
        datetime(2026, 3, 3, 12, 0, 19),
        datetime(2026, 3, 3, 11, 0, 19, tzinfo=UTC),
        pd.Timestamp("2026-03-03 12:00:19"),
        pd.Timestamp("2026-03-03 06:00:19", tz="America/New_York"),
        pd.Timestamp("2026-03-03 12:00:19.000000001"),
        np.datetime64("2026-03-03T12:00:19"),
        np.datetime64("2026-03-03T12:00:19.000000000"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_times_come_in_any_type(library: Library, start: Any) -> None:
    """Whatever pandas gives for a time means the same instant; naive ones the library's zone."""
    assert len(library.media(start=start, end="2026-03-04")) == 1


@pytest.mark.parametrize("day", ["2026-03-03", date(2026, 3, 3), np.datetime64("2026-03-03")])
def test_a_date_means_its_first_moment(library: Library, day: Any) -> None:
    """So that [day, next day) is the day."""
    assert len(library.media(start=day, end=date(2026, 3, 4))) == 3


@pytest.mark.parametrize("ask", ["media", "activity", "frames", "duplicates"])
@pytest.mark.parametrize(
    ("start", "end", "told"),
    [
        (date(2026, 3, 3), date(2026, 3, 3), "use the next date as end"),
        ("2026-03-03", "2026-03-03", "use the next date as end"),
        (NOON, NOON, "start before end"),
        ("2026-03-04", "2026-03-03", "start before end"),
        ("2200-01-01", None, "in the future"),
        (pd.NaT, None, "start: .*a missing time. Leave the argument out"),
        (None, pd.NaT, "end: .*a missing time. Leave the argument out"),
        (datetime.min, None, "between the years"),
        ("0001-01-01", None, "between the years"),
        (None, "yesterday", "end: expected a time such as"),
        (20260303, None, "start: expected a time such as"),
    ],
)
def test_a_range_that_can_hold_nothing_is_refused(
    library: Library, ask: str, start: Any, end: Any, told: str
) -> None:
    """An empty answer is never due to an empty, reversed or missing range."""
    with pytest.raises(QueryError, match=told):
        getattr(library, ask)(start=start, end=end)


@pytest.mark.parametrize("limit", [-1, True, 2.5, "3"])
def test_a_limit_is_a_whole_number(library: Library, limit: Any) -> None:
    """What is no number of rows is refused by name."""
    with pytest.raises(QueryError, match="limit: expected a whole number of at least 0"):
        library.media(limit=limit)
    assert len(library.media(limit=np.int64(2))) == 2
    assert len(library.media(limit=10**30)) == len(library.media())


# --- rows


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Two snapshots and a clip with several key frames, of which pictures are kept."""
    folder = tmp_path_factory.mktemp("opened")
    for at in (0, 600):
        lay(MEDIA / "camera1_snapshot.jpg", folder / "uploads" / snapshot_path("porch", later(at)))
    clip = clip_path("porch", later(60), later(120), "mp4")
    lay(MEDIA / "one-by-one-person-detection.mp4", folder / "uploads" / clip)
    library = made(folder, [])
    ingest(library.settings)
    return library


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@needs_media
def test_rows_come_in_any_shape(opened: Library) -> None:
    """A row of iloc, iterrows, itertuples, a dictionary, a frame of one row, an id: all one."""
    library = opened
    frame = library.media(kind="snapshot", state="complete", limit=2)
    row = frame.iloc[0]
    shapes: list[Any] = [
        row,
        next(frame.iterrows())[1],
        next(frame.itertuples()),
        row.to_dict(),
        frame.head(1),
        frame["media_id"].head(1),
        row["media_id"],
        np.str_(row["media_id"]),
        row[["media_id", "camera"]],
        {"media_id": row["media_id"], "date": pd.NaT},
        library.frames(row["media_id"]).iloc[0],
    ]
    for shape in shapes:
        assert library.thumbnail(shape).size == library.thumbnail(row).size
        assert library.source(shape) == library.source(row)
        assert library.item(shape)["path"] == row["path"]
        assert len(library.history(shape))
        assert len(library.frames(shape)) == 1
    with pytest.raises(QueryError, match="expected one row; got 2"):
        library.thumbnail(frame)


@needs_media
def test_frames_keep_to_the_range(opened: Library) -> None:
    """Pictures of [start, end) come, by their own moment, and not the whole day's."""
    library = opened
    clip = library.media(kind="clip").iloc[0]
    pictures = library.frames(clip)
    middle = clip["start"] + pd.Timedelta(seconds=float(pictures["offset_s"].iloc[-1]))
    before, after = library.frames(clip, end=middle), library.frames(clip, start=middle)
    assert len(before) == len(pictures) - 1
    assert after["offset_s"].tolist() == [pictures["offset_s"].iloc[-1]]
    assert len(library.frames(start=later(0), end=later(0.001))) == 1
    assert library.frames(start=later(601)).empty
    assert len(library.frames()) == len(pictures) + 2


# --- types


def test_types_of_media(library: Library) -> None:
    """Dates compare with texts and Timestamps, null integers stay integers, cameras are ordered."""
    frame = library.media()
    assert (frame["date"] == "2026-03-03").sum() == 3
    assert (frame["date"] >= pd.Timestamp("2026-03-05")).sum() == 1
    assert str(frame["width"].dtype) == str(frame["height"].dtype) == "Int64"
    assert str(frame["size_bytes"].dtype) == "int64"
    assert str(library.frames()["grid_version"].dtype) == "Int64"
    assert str(frame["channel"].dtype) == "Int64"
    assert str(library.media(kind="clip")["channel"].dtype) == "Int64"
    for answer in (frame, library.activity("day"), library.cameras(), library.frames()):
        assert answer["camera"].cat.ordered
        assert answer["camera"].cat.categories.tolist() == ["porch", "garden"]
    weekdays = library.activity("weekday")["bucket"]
    assert weekdays.cat.ordered
    assert weekdays.cat.categories[0] == "Monday"
    assert library.media(state="complete").dtypes.equals(frame.dtypes)


def test_types_of_sql(library: Library) -> None:
    """Sums are numbers, differences timedelta, times of day comparable, null integers integers."""
    frame = library.sql(
        """SELECT date, sum(size_bytes) AS bytes, sum(1.5) AS decimals, count(width) AS n,
        max("end") - min(start) AS lasted, min(wall_start)::TIME AS at, sum(width) AS nothing,
        bool_or(width > 3) AS wide, interval 1 month AS month
        FROM media GROUP BY date ORDER BY date"""
    )
    assert frame["bytes"].dtype == "int64"
    assert frame["decimals"].dtype == "float64"
    assert frame["lasted"].dtype.kind == "m"
    assert frame["lasted"].iloc[0] == pd.Timedelta(seconds=20)
    assert (frame["at"] == "12:00:00").all()
    assert (frame["at"] < "12:00:01").all()
    assert (frame["at"] >= pd.Timedelta("12h")).all()
    assert (frame["date"] == "2026-03-03").tolist() == [True, False]
    assert str(frame["nothing"].dtype) == "Int64"
    assert str(frame["wide"].dtype) == "boolean"
    large = library.sql("SELECT 170141183460469231731687303715884105727 AS x, hash(1) AS h")
    assert large["x"].dtype == "float64"
    assert large["h"].dtype == "uint64"


def test_sql_takes_parameters(library: Library) -> None:
    """By position and by name, as pandas gives them."""
    asked = "SELECT count(*) AS n FROM media WHERE camera = ? AND start >= ?"
    for start in (NOON, pd.Timestamp(NOON, tz="Europe/Berlin"), np.datetime64(NOON)):
        assert library.sql(asked, [np.str_("porch"), start])["n"].iloc[0] == 3
        named = asked.replace("?", "$c", 1).replace("?", "$s")
        assert library.sql(named, {"c": "porch", "s": start})["n"].iloc[0] == 3
    several = library.sql("SELECT * FROM media WHERE camera = ANY(?)", [pd.Series(["porch"])])
    assert len(several) == 3
    with pytest.raises(QueryError, match="params: expected a list"):
        library.sql(asked, "porch")
    with pytest.raises(QueryError):
        library.sql(asked, ["porch"])


@pytest.mark.parametrize("text", ["SELECT 1; SELECT 2", "", " ;", "-- nothing", None, 5, "SELEC 1"])
def test_sql_takes_one_statement(library: Library, text: Any) -> None:
    """Several would be answered by the last alone; none, and what is no SQL, are told."""
    with pytest.raises(QueryError, match="expected"):
        library.sql(text)
    assert library.sql("SELECT 1 AS x;  -- one; only")["x"].tolist() == [1]


# --- figures


def test_days_and_weekdays_are_bars(library: Library) -> None:
    """Daily and weekly counts are drawn as such, and not all in hour 0."""
    for by, first in (("day", "Tue 03 Mar"), ("weekday", "Monday")):
        counts = library.activity(by)
        figure = plots.activity(counts).values()[0]
        assert isinstance(figure, hv.Bars)
        assert figure.data["bucket"].iloc[0] == first
        assert figure.data["files"].sum() == 3
        assert hv.render(plots.activity(counts))
    counts = library.activity("day")
    counts.attrs.clear()
    assert isinstance(plots.activity(counts).values()[0], hv.Bars)
    one = library.activity("hour", start="2026-03-03", end="2026-03-03 01:00")
    assert isinstance(plots.activity(one).values()[0], hv.HeatMap)


def test_timeline_keeps_a_lane_for_each_camera(library: Library) -> None:
    """Cameras as categories have their lanes as before."""
    overlay = plots.timeline(library.media())
    marks = pd.concat([one.data for one in overlay if isinstance(one, hv.Points)])
    assert dict(zip(marks["camera"], marks["lane"].round(), strict=True)) == {
        "porch": 0,
        "garden": 1,
    }


# --- the package


def test_tab_completion_shows_what_a_notebook_uses() -> None:
    """open, plots, doctor and the version are there; the rooms behind are not."""
    code = (
        "import pano_analytics.library, pano_analytics as p; print(*dir(p));"
        "p.plots.timeline, p.doctor.examine, p.errors.QueryError; print(p.__version__)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names, version = ran.stdout.splitlines()
    assert {"open", "plots", "doctor", "Library", "__version__"} <= set(names.split())
    assert not {"queries", "zones", "annotations", "Any", "layouts"} & set(names.split())
    assert version.count(".") == 2


def test_a_notebook_shows_the_library_safely(tmp_path: Path) -> None:
    """Names of cameras come as text, never as elements of the page."""
    name = "<img src=x onerror=alert(1)>"
    library = made(tmp_path, [], cameras=[{"name": name, "folder": "porch"}])
    shown = library._repr_html_()
    assert "<img" not in shown
    assert "&lt;img" in shown


def test_types_are_shipped() -> None:
    """The marker that tells type checkers to read the package's own types lies in it."""
    assert (Path(pano_analytics.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (1200, "1,200 files")]
)
def test_counts_have_the_right_number(count: int, said: str) -> None:
    """One of something is not several."""
    assert many(count, "file") == said
