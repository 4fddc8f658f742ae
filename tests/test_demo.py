"""The demonstration: the truth agrees with the files, and the files with a camera's habits."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import av
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import pano_demo as demo
from pano_analytics import layouts
from pano_analytics.cli import demo as cli_demo
from pano_analytics.cli import pano
from pano_analytics.errors import SettingsError, UploadTreeError
from pano_analytics.formats import dhav
from pano_demo import clip, osd, picture
from pano_demo.habits import DemoUpload
from pano_demo.make import make_all
from pano_demo.picture import Shot
from pano_demo.planes import HEIGHT, WIDTH, Planes
from pano_demo.scenery import Layer
from pano_demo.sensor import Exposure
from pano_demo.story import FALSE_SORTS
from pano_demo.sun import Look, light_at, look_at, sun_times

HOME = ZoneInfo("Europe/Berlin")
END = datetime(2026, 11, 22, 19, 0, tzinfo=HOME)
MEDIA = {".jpg", ".dav", ".mp4"}


@pytest.fixture(scope="module")
def plan() -> demo.DemoPlan:
    """A whole fortnight, planned and not painted."""
    return demo.make_plan(seed=1, end=END, days=15, cameras=6)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> demo.DemoSummary:
    """A small tree, really made."""
    root = tmp_path_factory.mktemp("demo") / "uploads"
    return demo.make_demo(root, end=END, days=2, cameras=2, zone="Europe/Berlin")


@pytest.fixture(scope="module")
def truth(tree: demo.DemoSummary) -> pd.DataFrame:
    """The truth of the small tree, one row a file."""
    columns = ["files", "file_kinds", "file_arrived", "file_faults"]
    return pd.read_parquet(tree.truth).explode(columns, ignore_index=True)


def uploads(plan: demo.DemoPlan) -> Iterator[tuple[demo.Event, DemoUpload]]:
    return ((event, upload) for event in plan.events for upload in event.uploads)


def media_below(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.suffix in MEDIA}


# --- the story ------------------------------------------------------------------------------


def test_fortnight_has_the_promised_size(plan: demo.DemoPlan) -> None:
    """Six cameras send about 4,000 snapshots and 600 clips in 15 days."""
    kinds = Counter(upload.kind for _, upload in uploads(plan))
    assert 3400 <= kinds["snapshot"] <= 4600
    assert 520 <= kinds["clip"] <= 700
    assert {event.moment.camera for event in plan.events} == {c.name for c in demo.CAMERAS}


@pytest.mark.parametrize("seed", range(1, 6))
def test_false_alarms_dominate(seed: int) -> None:
    """Well over half of what sets a camera off is wind, shadow, headlights, rain or a spider."""
    events = demo.make_plan(seed=seed, end=END, days=15, cameras=6).events
    motions = [event for event in events if event.moment.kind != "scheduled"]
    false = Counter(event.moment.false_sort for event in motions)
    assert all(false[sort] > 0 for sort in FALSE_SORTS)
    assert 0.55 < 1 - false[None] / len(motions) < 0.75


@pytest.mark.parametrize("end", [END + timedelta(days=n) for n in range(7)])
def test_incident_is_on_the_last_tuesday(end: datetime) -> None:
    """Whatever the weekday of the end, one Tuesday afternoon shows the stranger on four cameras."""
    plan = demo.make_plan(seed=3, end=end, days=8, cameras=6)
    seen = [event for event in plan.events if event.moment.kind == demo.INCIDENT]
    assert [e.moment.camera for e in seen] == [
        "side_gate",
        "garden",
        "garden",
        "garage",
        "garage",
        "driveway",
    ]
    first = seen[0].start.astimezone(HOME)
    assert first.weekday() == 1
    assert 14 <= first.hour <= 16
    assert timedelta(0) <= end - first < timedelta(days=8)
    assert seen[-1].start - seen[0].start < timedelta(minutes=3, seconds=20)
    assert all(any(u.kind == "clip" and not u.fault for u in e.uploads) for e in seen)


def test_one_camera_falls_silent(plan: demo.DemoPlan) -> None:
    """The street camera sends nothing in the last day and a half, the others do."""
    last = {event.moment.camera: event.end for event in plan.events}
    silent = [name for name, end in last.items() if plan.end - end > timedelta(hours=36)]
    assert silent == ["street"]


def test_one_clock_is_wrong(plan: demo.DemoPlan) -> None:
    """The garage's clock is 47 minutes slow; names follow it, arrivals tell the truth."""
    for event, upload in uploads(plan):
        late = upload.true_start.astimezone(HOME).replace(tzinfo=None) - upload.wall_start
        assert late == timedelta(minutes=47 if event.moment.camera == "garage" else 0)


def test_nothing_is_later_than_the_end(plan: demo.DemoPlan) -> None:
    """No file arrives after the end, and none before it was taken."""
    for event, upload in uploads(plan):
        assert upload.true_start < upload.arrived <= plan.end
        assert event.start <= upload.true_start


def test_snapshots_arrive_before_their_clip(plan: demo.DemoPlan) -> None:
    """Within an event files arrive one after the other, the clip last, after its own end."""
    for event in plan.events:
        arrived = [upload.arrived for upload in event.uploads]
        assert arrived == sorted(arrived)
        kinds = [upload.kind for upload in event.uploads]
        assert "clip" not in kinds[:-1]
        if kinds and kinds[-1] == "clip":
            assert arrived[-1] > event.end


def test_clips_and_snapshots_miss_each_other_sometimes(plan: demo.DemoPlan) -> None:
    """About a tenth of the clips has no snapshot; a usual first snapshot comes at 6 to 8 s."""
    with_clip = [e for e in plan.events if e.uploads and e.uploads[-1].kind == "clip"]
    bare = sum(len(event.uploads) == 1 for event in with_clip) / len(with_clip)
    assert 0.05 < bare < 0.16
    firsts = {e.uploads[0].offset_s for e in with_clip if len(e.uploads) > 1}
    assert firsts == {6, 7, 8}


def test_paths_are_unique_and_read_back(plan: demo.DemoPlan) -> None:
    """`layouts.read` finds in each path what the camera's clock said, and no name is used twice."""
    paths = [upload.path for _, upload in uploads(plan)]
    assert len(set(paths)) == len(paths)
    for event, upload in uploads(plan):
        reading = layouts.read(upload.path)
        assert (reading.kind, reading.camera) == (upload.kind, event.moment.camera)
        assert reading.start == upload.wall_start
        assert reading.trigger == ("scheduled" if event.moment.kind == "scheduled" else "motion")
        if upload.kind == "clip":
            assert reading.end == upload.wall_end


def test_cameras_are_busy_with_one_event_at_a_time(plan: demo.DemoPlan) -> None:
    """No camera begins an event while it still records another."""
    for camera in demo.CAMERAS:
        spans = [
            (e.start, e.end)
            for e in plan.events
            if e.moment.camera == camera.name and e.moment.kind != "scheduled"
        ]
        assert all(a[1] < b[0] for a, b in pairwise(spans))


def test_failures_are_few_and_spare_the_incident(plan: demo.DemoPlan) -> None:
    """A handful of files is truncated, empty, a stub or uploaded again, none of the incident."""
    faults = Counter(upload.fault for _, upload in uploads(plan))
    assert set(faults) == {None, "truncated", "empty", "stub", "again"}
    assert sum(faults.values()) - faults[None] < 40
    assert all(
        upload.fault is None
        for event, upload in uploads(plan)
        if event.moment.kind == demo.INCIDENT
    )


@given(
    seed=st.integers(0, 10_000),
    days=st.integers(1, 6),
    cameras=st.integers(1, 6),
    hours=st.integers(0, 24 * 400),
)
def test_any_choice_makes_a_plan(seed: int, days: int, cameras: int, hours: int) -> None:
    """Any seed, length and end gives a plan whose paths differ and whose files have arrived."""
    end = END + timedelta(hours=hours)
    made = demo.make_plan(seed=seed, end=end, days=days, cameras=cameras)
    paths = [upload.path for _, upload in uploads(made)]
    assert len(set(paths)) == len(paths)
    assert all(upload.arrived <= made.end for _, upload in uploads(made))
    assert len({event.moment.camera for event in made.events}) <= cameras


# --- light ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("month", "rise", "fall"), [(3, 6, 18), (6, 5, 20), (12, 7, 16)])
def test_sun_follows_the_season(month: int, rise: int, fall: int) -> None:
    """At 45 degrees north days are short in December and long in June."""
    up, down = sun_times(date(2026, month, 21), HOME)
    assert (up.hour, down.hour) == (rise, fall)


def test_nights_are_infrared_and_noons_are_not() -> None:
    """A day runs from infrared over dusk, morning, noon and afternoon back to infrared."""
    lights = [
        light_at(datetime(2026, 11, 20, h, m, tzinfo=HOME), HOME)
        for h in range(24)
        for m in range(0, 60, 5)
    ]
    runs = [
        light for light, before in zip(lights, [None, *lights], strict=False) if light != before
    ]
    assert runs == ["night_ir", "dusk", "morning", "noon", "afternoon", "dusk", "night_ir"]


@given(st.integers(0, 24 * 60 - 1), st.booleans())
def test_colour_never_blends_into_infrared(minute: int, is_overcast: bool) -> None:
    """The filter before a sensor switches at once; other lights blend by half at most."""
    look = look_at(
        datetime(2026, 11, 20, tzinfo=HOME) + timedelta(minutes=minute), HOME, is_overcast
    )
    assert 0 <= look.share <= 0.5
    assert look.second is None or "night_ir" not in (look.light, look.second)


# --- the files ------------------------------------------------------------------------------


def test_truth_and_tree_name_the_same_files(tree: demo.DemoSummary, truth: pd.DataFrame) -> None:
    """Every media file is in the truth once, and every file of the truth exists."""
    assert truth.files.is_unique
    assert set(truth.files) == media_below(tree.root)
    assert (len(truth), tree.snapshots + tree.clips) == (len(set(truth.files)), len(truth))


def test_mtimes_are_arrivals(tree: demo.DemoSummary, truth: pd.DataFrame) -> None:
    """A file's modification time is, to the nanosecond, when the truth says that it arrived."""
    for row in truth.itertuples():
        arrived = pd.Timestamp(row.file_arrived).as_unit("ns").value
        assert (tree.root / row.files).stat().st_mtime_ns == arrived


def test_folders_are_as_old_as_their_newest_file(tree: demo.DemoSummary) -> None:
    """A folder's modification time is the newest of what it holds."""
    for folder in (path for path in tree.root.rglob("*") if path.is_dir()):
        newest = max(entry.stat().st_mtime_ns for entry in folder.iterdir())
        assert folder.stat().st_mtime_ns == newest


def test_snapshots_carry_the_clock_of_their_name(
    tree: demo.DemoSummary, truth: pd.DataFrame
) -> None:
    """Whole snapshots are 1080p, decode, end in a `dhav` trailer and repeat their name's time."""
    sound = truth[(truth.file_kinds == "snapshot") & truth.file_faults.isna()]
    for path in sound.files.iloc[::5]:
        content = (tree.root / path).read_bytes()
        assert content[-8:-4] == b"dhav"
        with Image.open(tree.root / path) as picture:
            picture.load()
            assert picture.size == (WIDTH, HEIGHT)
            assert dhav.read_comment(picture.info["comment"]) == layouts.read(path).start


def test_clips_are_as_long_as_their_name(tree: demo.DemoSummary, truth: pd.DataFrame) -> None:
    """Whole clips are 1080p H.264 whose length is that of their name, and carry its clock."""
    sound = truth[(truth.file_kinds == "clip") & truth.file_faults.isna()]
    assert {Path(path).suffix for path in sound.files} == {".dav", ".mp4"}
    for path in sound.files.iloc[::6]:
        reading = layouts.read(path)
        assert reading.start is not None
        assert reading.end is not None
        with av.open(str(tree.root / path)) as container:
            packets = [p for p in container.demux(video=0) if p.size]
            stream = container.streams.video[0]
            assert (stream.width, stream.height, stream.codec.name) == (WIDTH, HEIGHT, "h264")
            clock = container.metadata.get("creation_time")
        assert len(packets) / clip.FPS == (reading.end - reading.start).total_seconds()
        if path.endswith(".dav"):
            clock = next(dhav.frames((tree.root / path).read_bytes())).clock.isoformat()
        assert clock.startswith(reading.start.isoformat())


def test_faulty_files_are_faulty(tree: demo.DemoSummary, truth: pd.DataFrame) -> None:
    """Empty files have no bytes, a stub has 156, and a truncated picture does not load."""
    faulty = truth[truth.file_faults.notna()]
    assert {"truncated", "empty", "stub"} <= set(faulty.file_faults)
    for row in faulty.itertuples():
        path = tree.root / row.files
        if row.file_faults in ("empty", "stub"):
            assert path.stat().st_size == {"empty": 0, "stub": 156}[row.file_faults]
        if row.file_faults == "truncated" and row.file_kinds == "snapshot":
            with Image.open(path) as picture, pytest.raises(OSError, match="truncated"):
                picture.load()


def test_all_false_sorts_are_in_a_small_tree(truth: pd.DataFrame) -> None:
    """The small tree shows wind and headlights, and marks false alarms as such."""
    assert {"wind", "headlights"} <= set(truth.false_sort.dropna())
    assert (truth.is_false_alarm == truth.false_sort.notna()).all()
    assert set(truth.what) <= {"person", "car", "animal", "nothing"}


def test_other_files_are_what_cameras_leave(tree: demo.DemoSummary) -> None:
    """Beside the media lie markers, indexes and one upload in progress, and nothing else."""
    others = [path for path in tree.root.rglob("*") if path.is_file() and path.suffix not in MEDIA]
    kinds = Counter("marker" if path.name == "DVRWorkDirectory" else path.suffix for path in others)
    assert kinds["marker"] == 2
    assert kinds[".mp4_"] == 1
    assert set(kinds) == {"marker", ".idx", ".mp4_"}
    paths = (path.relative_to(tree.root).as_posix() for path in others)
    assert {layouts.read(path).kind for path in paths} == {"ignore"}


def test_pictures_of_day_have_colour_and_of_night_have_none(
    tree: demo.DemoSummary, truth: pd.DataFrame
) -> None:
    """Infrared pictures are grey, those of noon are not."""
    sound = truth[(truth.file_kinds == "snapshot") & truth.file_faults.isna()]
    hours = sound.wall_start.dt.hour
    for path, is_grey in (
        (sound[hours >= 21].files.iloc[0], True),
        (sound[hours == 12].files.iloc[0], False),
    ):
        with Image.open(tree.root / path) as picture:
            colours = np.asarray(picture.convert("YCbCr"))[200:-200, :, 1:].astype(int) - 128
        assert bool(np.abs(colours).max() <= 1) is is_grey


@pytest.mark.long
def test_same_seed_gives_the_same_bytes_whoever_works(tmp_path: Path) -> None:
    """One process or two: names, bytes and modification times are equal; another seed's are not."""
    whole = demo.make_plan(seed=5, end=END, days=1, cameras=2)
    few = replace(whole, events=whole.events[:4], unfinished=None, width=320)
    for name, workers in (("one", 1), ("two", 2)):
        make_all(few, tmp_path / name, workers, None)
    assert _state(tmp_path / "one") == _state(tmp_path / "two")
    other = demo.make_plan(seed=6, end=END, days=1, cameras=2)
    assert [e.start for e in other.events] != [e.start for e in whole.events]


def _state(root: Path) -> dict[str, tuple[int, str]]:
    return {
        path.relative_to(root).as_posix(): (
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in sorted(root.rglob("*"))
    }


# --- pictures -------------------------------------------------------------------------------


@pytest.mark.parametrize("light", ["noon", "night_ir"])
def test_actor_leaves_no_seam(light: str) -> None:
    """A layer that shows what is there already changes nothing: its box has no edge."""
    behind = picture._Behind("front_door", Look(light))
    plate = picture._plate("front_door", light)
    box = (500, 300, 900, 800)
    layer = Layer(520, 320, plate[320:780, 520:880], np.full((460, 360), 255, np.uint8))
    planes = picture._still_planes("front_door", light)
    pasted = planes.copy()
    picture._insert(pasted, picture._seen(behind, [layer], box), box)
    for new, old in zip(
        (pasted.y, pasted.cb, pasted.cr), (planes.y, planes.cb, planes.cr), strict=True
    ):
        assert np.abs(new.astype(int) - old).max() <= 1


@pytest.mark.parametrize("act", ["headlights", "rain", "spider", "shadow", "wind"])
def test_false_alarms_can_be_seen(act: str) -> None:
    """What sets a camera off changes its picture from one second to the next."""
    light = "night_ir" if act in ("headlights", "spider") else "noon"
    first, second = (
        picture.take(Shot("garden", Look(light), act, t_s, Exposure(), 1)) for t_s in (1.5, 3.0)
    )
    moved = np.abs(first.y.astype(int) - second.y) > 12
    assert moved.mean() > 0.0005


# --- parts ----------------------------------------------------------------------------------


def test_clock_is_painted_where_nothing_else_is() -> None:
    """The clock changes the upper right corner alone, and is English on any machine."""
    planes = Planes(*(np.full((HEIGHT, WIDTH), 90, np.uint8) for _ in range(3)))
    osd.paint_clock(planes, datetime(2026, 11, 20, 14, 23, 11))
    changed = np.argwhere(planes.y != 90)
    assert changed[:, 0].max() < 100
    assert changed[:, 1].min() > WIDTH / 2
    assert osd.clock_text(datetime(2026, 11, 20, 14, 23, 11)) == "2026-11-20 14:23:11 Fri"


def test_stub_is_a_frame_of_156_bytes() -> None:
    """The stub holds one whole DHAV frame with the right clock and nothing to see."""
    start = datetime(2026, 11, 20, 12, 23, 10)
    frame = next(dhav.frames(clip.stub(start)))
    assert (frame.length, frame.clock, frame.is_whole) == (156, start, True)


# --- the sample -----------------------------------------------------------------------------


def test_sample_is_a_small_whole_tree() -> None:
    """The sample in git is an upload tree with its truth, of 300 KB at most."""
    sample = Path(__file__).parents[1] / "data" / "sample"
    files = pd.read_parquet(demo.truth_path(sample / "uploads")).explode("files").files
    assert set(files) == media_below(sample / "uploads")
    assert {Path(path).suffix for path in files} == MEDIA
    assert sum(path.stat().st_size for path in sample.rglob("*") if path.is_file()) <= 300_000


# --- the command ----------------------------------------------------------------------------


def without_pano_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `pano` where the demonstration's folder is not on the path, as if not installed."""
    hidden = str(Path(demo.__file__).parents[1])
    code = f"import sys; sys.path.remove({hidden!r}); from pano_analytics.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


def test_where_it_is_not_installed_one_line_says_how_to(tmp_path: Path) -> None:
    """With the code of the table, whatever is asked of it; help is there all the same."""
    for more in ((), ("--live",), ("--upload-to", "localhost:21")):
        ran = without_pano_demo("demo", str(tmp_path / "uploads"), *more)
        assert (ran.returncode, ran.stdout) == (2, "")
        [line] = ran.stderr.splitlines()
        assert "pip install 'pano-analytics[demo]'" in line
    assert list(tmp_path.iterdir()) == []
    assert without_pano_demo("demo", "--help").returncode == 0


def test_defaults_of_the_command_are_those_of_the_demonstration() -> None:
    """The command may not import them: its help works without the package."""
    assert (demo.DEFAULT_DAYS, len(demo.CAMERAS)) == (cli_demo.DAYS, cli_demo.CAMERAS)


def test_the_former_name_still_works_and_warns() -> None:
    """`pano_analytics.demo` has the same names; the warning points to the line that imports it."""
    code = (
        "import pano_analytics.demo as old, pano_demo as new; print(*old.__all__); "
        "renamed = {'Camera': 'DemoCamera', 'Plan': 'DemoPlan'}; "
        "assert all(getattr(old, name) is getattr(new, renamed.get(name, name)) "
        "for name in old.__all__)"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, check=True
    )
    assert "<string>:1: DeprecationWarning: pano_analytics.demo is now" in ran.stderr
    assert set(ran.stdout.split()) == {*demo.__all__, "DEFAULT_DAYS", "Camera", "Plan"}


def test_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    """A folder with content is refused with what to do, and nothing in it is touched."""
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(UploadTreeError, match="name another"):
        demo.make_demo(tmp_path, end=END, days=1, cameras=1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("wrong", [{"days": 0}, {"cameras": 0}, {"cameras": 7}, {"zone": "Mars"}])
def test_wrong_values_are_told(tmp_path: Path, wrong: dict[str, object]) -> None:
    """Values that make no home are refused before anything is made."""
    with pytest.raises(SettingsError, match=re.escape(str(next(iter(wrong.values()))))):
        demo.make_demo(tmp_path / "new", **wrong)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("end", "is_right"),
    [
        ("2026-11-20", True),
        ("2026-11-20T00:00:05", True),
        ("yesterday", False),
    ],
)
def test_command_takes_days_and_instants(tmp_path: Path, end: str, is_right: bool) -> None:
    """`--end` takes a day or an instant; anything else is told what is expected."""
    asked = ["--days", "1", "--cameras", "1", "--zone", "UTC", "--end", end]
    if end == "2026-11-20":
        asked = [*asked, "--help"]
    result = CliRunner().invoke(pano, ["demo", str(tmp_path / "new"), *asked])
    assert (result.exit_code == 0) is is_right
    assert is_right or "2026-11-20T18:30" in result.output


def test_end_is_a_day_or_an_instant_of_the_home() -> None:
    """A day means its last second in the home's zone, an aware time the same instant."""
    last = demo._instant(date(2026, 11, 20), HOME)
    assert last == datetime(2026, 11, 20, 23, 59, 59, tzinfo=HOME)
    assert demo._instant(END.astimezone(UTC), HOME) == END
