"""Culling: what goes is what the rule says, in the tree that was adopted, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from clocks import Box, box_at, seen_as_they_arrived
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from lived_in import assert_same, picture, renew, run, told
from shared_files import clip_path, lay, snapshot_path

from pano_analytics import status
from pano_analytics.cli import pano
from pano_analytics.errors import LibraryBusy, LibraryError, PanoError, UploadTreeError
from pano_analytics.layouts.later import later_name
from pano_analytics.library import Library
from pano_analytics.model.corrections import CORRECTED
from pano_analytics.settings import Settings, check
from pano_analytics.store.journal import Journal
from pano_analytics.store.locks import LOCK
from pano_analytics.store.own_tree import StrangeTree
from pano_analytics.store.removal import AT_WORK
from pano_analytics.store.tree import ADOPTED, MARKER, WrongRoot
from pano_analytics.upkeep import backup
from pano_analytics.upkeep.check import check as disagreements
from pano_analytics.upkeep.culling import TooMany, adopt, cull, last_run, plan
from pano_analytics.upkeep.culling.places import tops
from pano_analytics.upkeep.culling.planning import ages

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
WALL = NOW.replace(tzinfo=None)


@pytest.fixture(autouse=True)
def box(monkeypatch: pytest.MonkeyPatch) -> Box:
    """Let it be NOW for pano: ingests and cullings see the clock of this computer."""
    return box_at(monkeypatch, NOW)


def known(settings: Settings, **wishes: bool) -> None:
    """Ingest what lies there as if it had been seen as it arrived, and adopt the tree."""
    run(settings, **wishes)
    seen_as_they_arrived(settings)
    adopt(settings)


def settings_in(folder: Path, **said: Any) -> Settings:
    """Return settings for a tree and a library in `folder`, on UTC, keeping ten days.

    All of a camera may go at once.
    """
    (folder / "uploads").mkdir(exist_ok=True)
    checked = check({"zone": "UTC", "keep_days": 10, "cull": {"most_share": 1}, **said})
    return checked.model_copy(update={"uploads": folder / "uploads", "library": folder / "library"})


def old(days: float, camera: str = "porch") -> str:
    """Return the path of a snapshot so many days old."""
    return snapshot_path(camera, WALL - timedelta(days=days))


def lay_old(root: Path, days: float, camera: str = "porch", content: bytes = b"x") -> Path:
    return lay(content, root / old(days, camera), _local(NOW - timedelta(days=days)))


def _local(moment: datetime) -> datetime:
    return moment.astimezone().replace(tzinfo=None)


def tree(root: Path) -> dict[str, bytes | str | None]:
    """Return all that lies in a tree: what is in files, where links lead, None for folders."""
    return {
        str(path.relative_to(root)): str(path.readlink())
        if path.is_symlink()
        else (path.read_bytes() if path.is_file() else None)
        for path in root.rglob("*")
    }


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return an adopted tree: two of porch are old, two are not; one old one of barn."""
    settings = settings_in(tmp_path)
    root = tmp_path / "uploads"
    for days in (30, 11, 9, 1):
        lay_old(root, days, content=picture(int(days), (64, 36)))
    lay_old(root, 12, "barn", picture(12, (64, 36)))
    known(settings)
    return settings


# --- the rule, on random trees --------------------------------------------------

_AGES = st.floats(0.01, 40).map(lambda days: round(days, 2))
_FATES = ["whole", "empty", "changed", "touched", "unknown", "linked", "gone", "marker"]
_UPLOADS = st.lists(
    st.tuples(
        st.sampled_from(["porch", "barn", "attic"]),
        # What the name says: so many days ago, in the future, or a clock never set.
        st.one_of(_AGES, _AGES.map(lambda days: -days), st.just(9000.0)),
        # When it arrived, so many days ago.
        _AGES,
        st.sampled_from(_FATES),
    ),
    max_size=8,
)
_KEEP = st.one_of(st.none(), st.integers(1, 30), st.just("forever"))
_MARKS = st.sampled_from(["adopted", "adopted", "adopted", "none", "another", "torn", "a link"])


def _oracle(said: float, arrived: float, keep: int | str | None) -> bool:
    """Tell by the rule in words whether an upload is old enough to go."""
    if not isinstance(keep, int):
        return False
    # A name that lies 10 minutes ahead of the arrival cannot be right either. The
    # journal knows all of them since they arrived.
    is_doubtful = said < 0 or said > 7000 or said < arrived - 600 / 86_400
    return (arrived if is_doubtful else min(said, arrived)) >= keep


@effort(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(_UPLOADS, _KEEP, _KEEP, _MARKS)
def test_what_goes_is_what_the_rule_says(
    uploads: list[tuple[str, float, float, str]],
    keep: int | str | None,
    own: int | str | None,
    mark: str,
) -> None:
    """For any tree, ages, days to keep and marker: the plan is the rule, and only the plan goes.

    Unknown files, links, what changed since it was catalogued, and everything
    in a root without its own marker are as they were, byte for byte.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        barn = {"name": "barn"} | ({} if own is None else {"keep_days": own})
        said = {"cameras": [barn]} | ({} if keep is None else {"keep_days": keep})
        settings = settings_in(folder, **{"keep_days": None, **said})
        root = folder / "uploads"
        expected = set[str]()
        for number, (camera, start, arrived, fate) in enumerate(uploads):
            when = (WALL - timedelta(days=start)).replace(microsecond=0)
            path = snapshot_path(camera, when, crop=number)
            came = _local(NOW - timedelta(days=arrived))
            if fate == "unknown":
                lay(b"no upload", root / f"{path}.txt", came)
                continue
            if fate == "marker":
                lay(b"", root / path.split("/2")[0] / "DVRWorkDirectory", came)
                continue
            lay(b"" if fate == "empty" else b"x", root / path, came)
            keep_days = (own if camera == "barn" else None) or keep
            if fate in ("whole", "empty") and _oracle(start, arrived, keep_days):
                expected.add(path)
        run(settings, is_inspecting=False)
        seen_as_they_arrived(settings)
        if uploads:
            adopt(settings)
        for number, (camera, start, _, fate) in enumerate(uploads):
            when = (WALL - timedelta(days=start)).replace(microsecond=0)
            path = root / snapshot_path(camera, when, crop=number)
            if fate == "changed":
                lay(b"another", path)
            elif fate == "touched":
                lay(b"y", path)
            elif fate == "linked":
                path.rename(folder / f"elsewhere-{number}")
                path.symlink_to(folder / f"elsewhere-{number}")
            elif fate == "gone":
                path.unlink()
        _alter(root / MARKER, mark)
        before = tree(root)
        is_adopted = mark == "adopted" and bool(uploads)
        if _is_strange(uploads) or (mark in ("another", "torn", "a link") and uploads):
            with pytest.raises(StrangeTree, match="Nothing was"):
                plan(settings, NOW)
            with pytest.raises(StrangeTree if is_adopted else WrongRoot, match="Nothing was"):
                cull(settings, now=NOW)
            assert tree(root) == before
            return
        planned = plan(settings, NOW)
        assert {one.path for one in planned.due} == expected
        assert tree(root) == before
        assert (planned.trouble is None) == is_adopted
        if not is_adopted:
            with pytest.raises(WrongRoot, match="Nothing was deleted"):
                cull(settings, now=NOW)
            assert tree(root) == before
            return
        done = cull(settings, now=NOW)
        after = tree(root)
        assert done.files == len(expected)
        went = {path: content for path, content in before.items() if path not in after}
        assert {path for path, content in went.items() if content is not None} == expected
        assert set(after) <= set(before)
        assert all(before[path] == content for path, content in after.items())
        _hold_folders(before, after, went, expected)
        assert all((folder / f"elsewhere-{n}").exists() for n in _linked(uploads))


def _is_strange(uploads: list[tuple[str, float, float, str]]) -> bool:
    """Tell whether most of what was catalogued is no file any more."""
    known = [fate for *_, fate in uploads if fate not in ("unknown", "marker")]
    return 2 * sum(fate != "gone" for fate in known) < len(known)


def _linked(uploads: list[tuple[str, float, float, str]]) -> Iterator[int]:
    return (number for number, upload in enumerate(uploads) if upload[3] == "linked")


def _alter(marker: Path, mark: str) -> None:
    if not marker.exists() or mark == "adopted":
        return
    if mark == "another":
        marker.write_text(json.dumps({**json.loads(marker.read_text()), "identity": "0" * 32}))
    elif mark == "torn":
        marker.write_bytes(marker.read_bytes()[:20])
    elif mark == "a link":
        marker.rename(marker.parent.parent / "kept-marker")
        marker.symlink_to(marker.parent.parent / "kept-marker")
    else:
        marker.unlink()


def _hold_folders(
    before: dict[str, Any], after: dict[str, Any], went: dict[str, Any], expected: set[str]
) -> None:
    """Folders of days that culling emptied are gone; no other is."""
    emptied = {path for path, content in went.items() if content is None}
    for folder in emptied:
        assert "/20" in folder
        assert any(path.startswith(f"{folder}/") for path in expected)
    for path in expected:
        for parent in Path(path).parents:
            name = str(parent)
            if "/20" in name and name in after:
                assert any(other.startswith(f"{name}/") for other in after), name


# --- time ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "arrived", "aged_by"),
    [
        (WALL - timedelta(days=10), 10.0, "start"),
        (WALL - timedelta(days=12), 11.0, "arrived"),
        (WALL - timedelta(days=9, hours=23, minutes=59), 9.9, None),
        (datetime(2004, 12, 31, 23), 10.5, "arrived"),
        (datetime(2004, 12, 31, 23), 9.5, None),
        (datetime(2005, 1, 1), 9.5, None),
        (datetime(2015, 1, 1), 0.01, None),
        (datetime(2000, 1, 9), 9.5, None),
        (datetime(2099, 1, 1), 10.5, "arrived"),
        (datetime(2099, 1, 1), 9.5, None),
    ],
)
def test_what_shows_and_what_arrived_are_both_old(
    tmp_path: Path, start: datetime, arrived: float, aged_by: str | None
) -> None:
    """Exactly `keep_days` is old; a time before 2005 or in the future is passed over."""
    settings = settings_in(tmp_path)
    came = _local(NOW - timedelta(days=arrived))
    lay(b"x", tmp_path / "uploads" / snapshot_path("porch", start), came)
    known(settings)
    assert [one.aged_by for one in plan(settings, NOW).due] == ([aged_by] if aged_by else [])


_THEN, _LONG_AGO = datetime(2026, 3, 1, tzinfo=UTC), datetime(2004, 12, 31, 23, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "arrived", "ahead_s", "since"),
    [
        (_THEN, NOW, None, NOW),
        (NOW, _THEN, None, NOW),
        (_LONG_AGO, NOW, None, NOW),
        (NOW + timedelta(seconds=1), _THEN, None, _THEN),
        (_THEN, _LONG_AGO, None, _THEN),
        (_THEN, NOW + timedelta(seconds=1), None, _THEN),
        (_LONG_AGO, NOW + timedelta(seconds=1), None, None),
        # The clock was corrected: what it showed counts, too, if that was possible.
        (_THEN, _THEN, 600.0, _THEN + timedelta(seconds=600)),
        (_THEN, _THEN, 601.0, _THEN),
        (_THEN, _THEN, -600.0, _THEN),
    ],
)
def test_from_when_an_age_counts(
    start: datetime, arrived: datetime, ahead_s: float | None, since: datetime | None
) -> None:
    """The later of what it shows and when it arrived, without what cannot be right."""
    moments = pa.timestamp("us", tz="UTC")
    rows = pa.table(
        {
            "start": pa.array([start], moments),
            "arrived": pa.array([arrived], moments),
            "time_source": ["name" if ahead_s is None else f"name{CORRECTED}"],
            "clock_offset_s": pa.array([ahead_s], pa.float64()),
        }
    )
    assert ages(rows, NOW).to_pylist() == [since]


# --- the marker ---------------------------------------------------------------


def test_adopting_is_done_once(settings: Settings, root: Path) -> None:
    """The second time nothing is written; a marker that was lost is written as it was."""
    marker = json.loads((root / MARKER).read_text())
    assert adopt(settings) is False
    (root / MARKER).unlink()
    with pytest.raises(WrongRoot, match="mounted"):
        cull(settings, now=NOW)
    assert adopt(settings) is True
    assert json.loads((root / MARKER).read_text())["identity"] == marker["identity"]
    assert cull(settings, now=NOW).files == 3


def test_a_root_that_was_never_adopted_loses_nothing(tmp_path: Path) -> None:
    """Without `--adopt` the plan is shown and nothing is deleted."""
    settings = settings_in(tmp_path)
    lay_old(tmp_path / "uploads", 30)
    run(settings)
    seen_as_they_arrived(settings)
    with pytest.raises(WrongRoot, match="adopt"):
        cull(settings, now=NOW)
    assert len(plan(settings, NOW).due) == 1


def test_another_librarys_root_is_neither_culled_nor_adopted(
    settings: Settings, root: Path, tmp_path: Path
) -> None:
    """A second library is told whose the tree is; its disk exchanged, so is the first."""
    other = settings.model_copy(update={"library": tmp_path / "other"})
    run(other)
    before = tree(root)
    for deed in (adopt, lambda one: cull(one, now=NOW)):
        with pytest.raises(WrongRoot):
            deed(other)
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", tmp_path / "nowhere"):
        moved = settings.model_copy(update={"uploads": place})
        for deed in (adopt, lambda one: cull(one, now=NOW)):
            with pytest.raises(UploadTreeError):
                deed(moved)
    assert tree(root) == before
    assert list((tmp_path / "empty").iterdir()) == []


def test_the_marker_is_no_upload_and_no_stranger(settings: Settings) -> None:
    """Ingest neither catalogues it nor lists it as unknown."""
    summary = run(settings, is_full=True)
    assert (summary.tally.total, summary.unknown, summary.ignored) == (0, 0, 1)


# --- links --------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_no_folder_on_the_way_is_a_link(settings: Settings, root: Path, depth: int) -> None:
    """A folder that became a link leads to nothing that is deleted, wherever it stands."""
    parts = Path(old(30)).parts
    folder = root.joinpath(*parts[:depth])
    folder.rename(root.parent / "elsewhere")
    folder.symlink_to(root.parent / "elsewhere")
    found = plan(settings, NOW)
    assert old(30) not in {one.path for one in found.due}
    assert "not followed" in next(one.reason for one in found.stays if one.path == old(30))
    cull(settings, now=NOW)
    assert (root.parent / "elsewhere").joinpath(*parts[depth:]).exists()


def test_an_upload_root_may_itself_be_a_link(settings: Settings, root: Path) -> None:
    """What the owner wrote in the settings is followed; only what lies below is not."""
    root.rename(root.parent / "disk")
    root.symlink_to(root.parent / "disk")
    assert cull(settings, now=NOW).files == 3


# --- what lies beside ---------------------------------------------------------


def test_an_index_goes_with_its_clip(tmp_path: Path) -> None:
    """`.idx` and `.thumb` of a clip go with it; of another clip, or of none, they stay."""
    settings = settings_in(tmp_path)
    root = tmp_path / "uploads"
    start = WALL - timedelta(days=20)
    clip, young = (
        clip_path("porch", moment, moment + timedelta(seconds=5))
        for moment in (start, WALL - timedelta(days=2))
    )
    for path in (clip, young):
        day = _local(NOW - timedelta(days=20 if path == clip else 2))
        lay(b"clip", root / path, day)
        lay(b"index", (root / path).with_suffix(".idx"), day)
    lay(b"preview", root / f"{clip}.thumb")
    lay(b"stranger", (root / clip).with_name("10.00.00-10.00.09[M][0@0][0].idx"))
    known(settings)
    before = set(tree(root))
    found = plan(settings, NOW)
    assert {one.path: one.what for one in found.due} == {
        clip: "upload",
        clip.replace(".dav", ".idx"): "companion",
        f"{clip}.thumb": "companion",
    }
    done = cull(settings, now=NOW)
    assert (done.files, done.size_bytes) == (3, found.size_bytes)
    assert before - set(tree(root)) == {one.path for one in found.due}


def test_an_index_of_two_stays_with_the_second(tmp_path: Path) -> None:
    """Where another file of that stem is left, the index may be its own."""
    settings = settings_in(tmp_path)
    start = WALL - timedelta(days=20)
    clip = tmp_path / "uploads" / clip_path("porch", start, start + timedelta(seconds=5))
    for path in (clip, clip.with_suffix(".idx")):
        lay(b"x", path, _local(NOW - timedelta(days=20)))
    known(settings)
    lay(b"came later", clip.with_suffix(".mp4"))
    assert [one.what for one in plan(settings, NOW).due] == ["upload"]


def test_later_uploads_go_with_their_day(tmp_path: Path) -> None:
    """What came later under a taken name is an upload like any, and so is what lies beside it."""
    settings = settings_in(tmp_path)
    root, day = tmp_path / "uploads", _local(NOW - timedelta(days=20))
    start = WALL - timedelta(days=20)
    clip = clip_path("porch", start, start + timedelta(seconds=5))
    folder, _, name = clip.rpartition("/")
    others = [name.replace(".dav", ".idx"), f"{name}.thumb"]
    names = [name, later_name(name, "ab" * 32), *others]
    names += [later_name(other, "cd" * 32) for other in others]
    for one in names:
        lay(b"x", root / folder / one, day)
    known(settings)
    assert {one.path: one.what for one in plan(settings, NOW).due} == {
        f"{folder}/{one}": "upload" if one.endswith(".dav") else "companion" for one in names
    }
    os.utime(root / folder / names[1])  # the second clip is another now: it stays, and so do these
    assert [one.what for one in plan(settings, NOW).due] == ["upload"]


def test_what_was_cut_off_goes_with_its_day(tmp_path: Path) -> None:
    """A part that `pano receive` left goes when it is as old as an upload from beside it that goes.

    A young one, one beside uploads that stay, and a file of another's stay.
    """
    settings = settings_in(tmp_path)
    root = tmp_path / "uploads"
    old, young = (
        clip_path("porch", moment, moment + timedelta(seconds=5))
        for moment in (WALL - timedelta(days=20), WALL - timedelta(days=2))
    )
    part = str(Path(old).with_name(".10.00.30-10.00.39[M][0@0][0].dav.0a1b2c3d.pano-part"))
    lay(b"clip", root / old, _local(NOW - timedelta(days=20)))
    lay(b"clip", root / young, _local(NOW - timedelta(days=2)))
    lay(b"half", root / part, _local(NOW - timedelta(days=20)))
    lay(b"half", (root / part).with_name(".late.dav.00000000.pano-part"), _local(NOW))
    lay(b"half", (root / young).with_name(Path(part).name), _local(NOW - timedelta(days=20)))
    lay(b"mine", (root / old).with_name("notes.pano-part"), _local(NOW - timedelta(days=20)))
    known(settings)
    before = set(tree(root))
    found = plan(settings, NOW)
    assert {one.path: one.what for one in found.due} == {old: "upload", part: "cut upload"}
    assert found.uploads == 1
    assert cull(settings, now=NOW).files == 2
    assert before - set(tree(root)) == {old, part}


def test_folders_that_cameras_need_stay(settings: Settings, root: Path) -> None:
    """What culling emptied goes, but a camera's own folder; what was empty before stays."""
    (root / "porch/AMC0001_F01N44/2026-02-18/001/empty").mkdir(parents=True)
    cull(settings, now=NOW)
    folders = {path for path, content in tree(root).items() if content is None}
    assert {one for one in folders if one.startswith("barn")} == {"barn", "barn/AMC0001_F01N44"}
    assert "porch/AMC0001_F01N44/2026-02-18/001/empty" in folders
    assert not any(path.startswith("porch/AMC0001_F01N44/2026-02-18/001/jpg") for path in folders)


def test_a_folder_typed_into_a_camera_stays(tmp_path: Path) -> None:
    """A camera that makes no folders uploads on after a quiet time: its folder is still there."""
    settings = settings_in(tmp_path)
    folder = tmp_path / "uploads/garden/front door/snaps"
    shown = WALL - timedelta(days=20)
    lay(b"x", folder / f"MDAlarm_{shown:%Y%m%d-%H%M%S}.jpg", _local(NOW - timedelta(days=20)))
    known(settings)
    assert cull(settings).files == 1
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "top"),
    [
        ("porch/AMC0001_F01N44/2026-02-18/001/jpg/x.jpg", "porch/AMC0001_F01N44"),
        ("porch/motion/snaps/x.jpg", "porch/motion/snaps"),
        ("porch/in/2026/02/18/10/x.jpg", "porch/in"),
        ("porch/2026-02-18/hand/x.jpg", "porch"),
        ("attic/front/2026-02-18/x.jpg", "attic/front"),
        ("old/2026-02-18/x.jpg", "old"),
        ("2026-02-18/001/jpg/x.jpg", ""),
        ("3J07C6FPAU00272/2026-02-18/001/jpg/x.jpg", "3J07C6FPAU00272"),
        ("x.jpg", ""),
    ],
)
def test_which_folder_is_a_cameras_own(path: str, top: str) -> None:
    """The one that settings say or that names a camera, or deeper: the one above its days."""
    said = check({"cameras": [{"name": "a", "folder": "attic/front", "also": ["old"]}]})
    assert tops(said)(path) == top


# --- what is left of it -------------------------------------------------------


def test_rows_stay_with_all_that_was_known(settings: Settings, library: Library) -> None:
    """A culled row differs in three columns; its thumbnail can still be seen; nothing disagrees."""
    before, frames = told(library)
    cull(settings, now=NOW)
    after, frames_after = told(library)
    culled = after[after.state == "culled"]
    assert set(culled.path) == {old(30), old(11), old(12, "barn")}
    assert (culled.culled_at == NOW).all()
    assert set(culled.state_reason) == {"kept for 10 days"}
    assert after[after.state != "culled"].culled_at.isna().all()
    same = [name for name in after if name not in ("state", "state_reason", "culled_at")]
    assert_same((before[same], frames), (after[same], frames_after))
    assert not len(disagreements(library, "hash"))
    assert run(settings, is_full=True).tally.total == 0


def test_a_rebuild_gives_the_same_catalog(settings: Settings, library: Library, box: Box) -> None:
    """Catalog = tree + journal, with culled rows, and after their own time is over."""
    cull(settings, now=NOW)
    before = told(library)
    assert renew(settings).gone == 3
    assert_same(before, told(library))
    packs = set(library.storage.files("thumbs"))
    kept = settings.model_copy(update={"keep_days": 1000})
    box.until(NOW + timedelta(days=400) - timedelta(seconds=1))
    assert cull(kept).rows_dropped == 0
    box.until(NOW + timedelta(days=400, seconds=1))
    assert cull(kept).rows_dropped == 3
    left = told(library)
    assert (len(left[0]), len(left[1])) == (2, 2)
    assert not len(disagreements(library))
    assert Journal(library.storage).seen()["media_id"].to_pylist().count("") == 0
    renew(settings)
    assert_same(left, told(library))
    assert packs


def test_what_is_over_leaves_the_disk(
    settings: Settings, library: Library, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packs go after the readers' grace period, and the journal forgets in its own time."""
    monkeypatch.setattr("pano_analytics.store.catalog.GRACE_S", 0.0)
    monkeypatch.setattr("pano_analytics.store.journal.FOLD_ABOVE", 0)
    cull(settings, now=NOW)
    packs = set(library.storage.files("thumbs"))
    kept = settings.model_copy(update={"keep_days": 1000})
    box.until(NOW + timedelta(days=401))
    cull(kept)
    lay_old(settings.uploads or Path(), 2, content=picture(2, (64, 36)))
    run(settings)
    left = set(library.storage.files("thumbs"))
    assert len(packs - left) == 3
    journal = Journal(library.storage)
    assert journal.forgotten().num_rows == 0
    assert set(journal.seen()["media_id"].to_pylist()) == set(library.media().media_id)
    assert not len(disagreements(library, "decode"))


@pytest.mark.parametrize("seconds", [(-20, 20, 25), (-20, 25)])
def test_a_pack_that_others_need_stays(
    tmp_path: Path, box: Box, monkeypatch: pytest.MonkeyPatch, seconds: tuple[int, ...]
) -> None:
    """Of two pictures in one pack the younger's outlives the older's row; no link leads astray."""
    box.until(NOW - timedelta(days=1))
    monkeypatch.setattr("pano_analytics.store.catalog.GRACE_S", 0.0)
    settings = settings_in(tmp_path)
    root = tmp_path / "uploads"
    # A clip that runs over midnight into the next day, and what lies in it.
    midnight = (WALL - timedelta(days=10)).replace(hour=0)
    start, end = midnight - timedelta(seconds=30), midnight + timedelta(seconds=30)
    lay(b"no clip", root / clip_path("porch", start, end), _local(start.replace(tzinfo=UTC)))
    for second in seconds:
        when = midnight + timedelta(seconds=second)
        lay(picture(second), root / snapshot_path("porch", when), _local(when.replace(tzinfo=UTC)))
    known(settings)
    library = Library.of(settings)
    assert library.media().clip_id.notna().sum() == len(seconds)
    then = NOW - timedelta(hours=11, minutes=59, seconds=38)
    box.until(then)
    assert cull(settings).files == len(seconds)
    kept = settings.model_copy(update={"keep_days": 1000})
    box.until(NOW + timedelta(days=400) - timedelta(hours=11))
    assert cull(kept).rows_dropped == len(seconds)
    lay_old(root, 2)
    run(settings)
    assert not len(disagreements(library, "decode"))
    assert len(library.frames()) == 1
    before = told(library)
    assert before[0].clip_id.notna().sum() == 0
    renew(settings)
    assert_same(before, told(library))


def test_uploaded_again_it_gets_a_row_again(settings: Settings, root: Path, box: Box) -> None:
    """The same name, even of the same size and time, is an upload: one row, and no doubled one.

    It is new, whatever its name and its time say: it stays for as long as any other.
    """
    library = Library.of(settings)
    first = library.media().set_index("path").loc[old(30)]
    kept = (root / old(30)).read_bytes()
    cull(settings, now=NOW)
    lay_old(root, 30, content=kept)
    run(settings)
    again = library.media()
    assert again.path.is_unique
    row = again.set_index("path").loc[old(30)]
    assert (row.state, row.media_id, row.thumb is not None) == ("complete", first.media_id, True)
    assert again.set_index("path").culled_at.isna()[old(30)]
    before = told(library)
    renew(settings)
    assert_same(before, told(library))
    assert cull(settings).files == 0
    box.pass_by(days=10, hours=-1)
    assert old(30) not in {one.path for one in plan(settings).due}
    box.pass_by(hours=2)
    assert plan(settings).frame().set_index("path").aged_by[old(30)] == "seen"
    assert cull(settings).files == 3


def test_a_backup_knows_what_was_culled(settings: Settings, tmp_path: Path) -> None:
    """Restored and rebuilt, culled rows are there with thumbnails, and culling goes on."""
    cull(settings, now=NOW)
    before = told(Library.of(settings))
    assert settings.library is not None
    backup.backup(settings.library, tmp_path / "kept.tar")
    backup.restore(tmp_path / "kept.tar", tmp_path / "anew")
    anew = settings.model_copy(update={"library": tmp_path / "anew"})
    renew(anew)
    assert_same(before, told(Library.of(anew)))
    lay_old(settings.uploads or Path(), 50)
    run(anew)
    seen_as_they_arrived(anew)
    assert cull(anew, now=NOW).files == 1


def test_what_cannot_be_deleted_stays_an_upload(settings: Settings, root: Path) -> None:
    """A file that changes between plan and deed is not deleted; its row comes to life again."""
    from pano_analytics.store.removal import carry_out
    from pano_analytics.store.tree import Tree
    from pano_analytics.upkeep.culling.planning import plan_table

    library = Library.of(settings)
    journal = Journal(library.storage)
    with library.storage.lock(LOCK), Tree.opened(root) as held:
        name = journal.note_plan(plan_table(plan(settings, NOW).due, settings, NOW))
        lay(b"it grew meanwhile", root / old(30))
        carried = carry_out(library.storage, journal, held, name)
    assert (carried.files, carried.stayed) == (2, ((old(30), "changed"),))
    assert (root / old(30)).read_bytes() == b"it grew meanwhile"
    run(settings)
    row = library.media().set_index("path").loc[old(30)]
    assert (row.state, row.size_bytes) == ("damaged", 17)
    assert set(disagreements(library)["what"]) == {"overwritten"}


def test_what_the_system_refuses_to_delete_is_opened_again(
    settings: Settings, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that cannot be unlinked (made immutable, say) has its row back, and its picture."""
    unlink = os.unlink

    def refusing(path: Any, **named: Any) -> None:
        if os.fsencode(path) == os.fsencode(Path(old(30)).name) and "dir_fd" in named:
            raise PermissionError(1, "Operation not permitted")
        unlink(path, **named)

    library = Library.of(settings)
    before = library.media().set_index("path").loc[old(30)]
    monkeypatch.setattr(os, "unlink", refusing)
    done = cull(settings, now=NOW)
    monkeypatch.undo()
    refused = [path for path, why in done.stayed if why == "refused"]
    assert old(30) in refused
    assert done.files == 3 - len(refused)
    assert library.media().state.value_counts()["unread"] == len(refused)
    assert run(settings).opened == {"complete": len(refused)}
    row = library.media().set_index("path").loc[old(30)]
    assert (row.state, row.sha256) == ("complete", before.sha256)
    assert not len(disagreements(library, "hash"))


def test_a_folder_that_may_not_be_written_keeps_its_files(
    settings: Settings, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where pano may not delete, the plan says so beforehand and nothing is marked."""
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    found = plan(settings, NOW)
    assert {one.reason for one in found.stays} == {"pano has no permission to delete in its folder"}
    assert cull(settings, now=NOW).files == 0
    assert set(Library.of(settings).media().state) == {"complete"}


# --- caps and locks -----------------------------------------------------------


@pytest.mark.parametrize(
    ("cap", "word"),
    [({"most_files": 1}, "most_files"), ({"most_gb": 1e-9}, "most_gb")],
)
def test_more_than_a_cap_asks(
    settings: Settings, root: Path, cap: dict[str, Any], word: str
) -> None:
    """Nothing goes; the message names the number that says yes, and a monitor hears of it."""
    (root / old(12, "barn")).unlink()
    capped = settings.model_copy(update={"cull": settings.cull.model_copy(update=cap)})
    before = tree(root)
    with pytest.raises(TooMany, match=rf"{word}.*Nothing was deleted.*--up-to 2"):
        cull(capped, now=NOW)
    with pytest.raises(TooMany, match="at most 1 file, as --up-to says"):
        cull(capped, now=NOW, up_to=1)
    assert tree(root) == before
    assert set(Library.of(settings).media().state) == {"complete"}
    assert [one["what"] for one in status.collect(capped)["problems"]].count("cull_stopped") == 1
    assert cull(capped, now=NOW, up_to=2).files == 2
    assert "cull_stopped" not in [one["what"] for one in status.collect(capped)["problems"]]


def test_a_stopped_culling_is_a_problem_while_its_cause_is_there(
    settings: Settings, root: Path
) -> None:
    """A cap that was raised and a marker that is back stop nothing any more."""
    capped = settings.model_copy(
        update={"cull": settings.cull.model_copy(update={"most_files": 1})}
    )

    def is_told(now: Settings) -> bool:
        return "cull_stopped" in [one["what"] for one in status.collect(now)["problems"]]

    with pytest.raises(TooMany):
        cull(capped, now=NOW)
    assert is_told(capped)
    assert not is_told(settings)
    marker = root / MARKER
    marker.rename(root.parent / "aside")
    with pytest.raises(WrongRoot):
        cull(settings, now=NOW)
    assert is_told(settings)
    (root.parent / "aside").rename(marker)
    assert not is_told(settings)


@pytest.mark.parametrize("is_scheduled", [False, True])
def test_a_refusal_by_hand_alarms_nobody(tmp_path: Path, is_scheduled: bool) -> None:
    """Before the root is adopted a refused call is a problem only where a schedule makes it."""
    settings = settings_in(tmp_path)
    settings = settings.model_copy(
        update={"cull": settings.cull.model_copy(update={"scheduled": is_scheduled})}
    )
    lay(b"x", tmp_path / "uploads" / "porch/a.jpg", _local(NOW))
    run(settings)
    with pytest.raises(WrongRoot):
        cull(settings, now=NOW)
    words = [one["what"] for one in status.collect(settings)["problems"]]
    assert ("cull_stopped" in words) is is_scheduled


def test_a_share_holds_at_any_count(settings: Settings, root: Path, box: Box) -> None:
    """Each camera is measured by itself, be it of one file: the others are culled."""
    capped = settings.model_copy(
        update={"cull": settings.cull.model_copy(update={"most_share": 0.5})}
    )
    with pytest.raises(TooMany, match=r"barn: expected at most 50% of its 1 upload .*--up-to 1"):
        cull(capped)
    assert {path for path, content in tree(root).items() if content == picture(12, (64, 36))}
    assert not (root / old(30)).exists()
    assert [one["what"] for one in status.collect(capped)["problems"]].count("cull_stopped") == 1
    assert cull(capped, up_to=1).files == 1


def test_what_is_due_every_day_needs_no_question(settings: Settings, box: Box) -> None:
    """A camera that fell silent: what became due since the culling of yesterday goes unasked.

    After a longer pause it is asked for.
    """
    cull(settings)
    capped = settings.model_copy(
        update={"cull": settings.cull.model_copy(update={"most_share": 0.2})}
    )
    box.pass_by(hours=20)
    assert cull(capped).files == 0
    box.pass_by(hours=20)
    assert cull(capped).files == 1  # the half of what was left
    box.pass_by(days=10)
    with pytest.raises(TooMany, match="porch: expected at most 20%"):
        cull(capped)


def test_one_camera_neither_empties_nor_blocks_another(
    settings: Settings, root: Path, box: Box
) -> None:
    """A flood of one account holds up the culling of that camera alone."""
    for number in range(8):
        path = snapshot_path("flood", WALL - timedelta(days=20), number)
        lay(b"flood", root / path, _local(NOW - timedelta(days=20)))
    run(settings)
    seen_as_they_arrived(settings)
    capped = settings.model_copy(
        update={"cull": settings.cull.model_copy(update={"most_files": 5})}
    )
    with pytest.raises(TooMany, match=r"flood: expected at most 5 files per run.*3 files of other"):
        cull(capped)
    left = Library.of(settings).media(state=["unread", "damaged", "complete"])
    assert sorted(left.camera) == [*["flood"] * 8, *["porch"] * 2]


def test_two_are_never_at_it(settings: Settings, root: Path, library: Library) -> None:
    """Culling holds the library's lock as ingest does; who is turned away leaves no word."""
    with library.storage.lock(LOCK):
        for deed in (lambda: cull(settings, now=NOW),):
            with pytest.raises(LibraryBusy):
                deed()
    assert last_run(library.storage) is None
    assert cull(settings, now=NOW).files == 3


def test_many_files_go_in_batches(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch is a plan of its own, confirmed before the next begins."""
    monkeypatch.setattr("pano_analytics.upkeep.culling.run.BATCH", 1)
    library = Library.of(settings)
    generation = library.generation
    assert cull(settings, now=NOW).files == 3
    assert library.generation == generation + 3
    assert not Journal(library.storage).open_plans()
    assert not library.storage.exists(AT_WORK)


def test_a_full_disk_is_culled(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the uploads have filled the library's own disk, there is space held back to note."""
    monkeypatch.setattr("pano_analytics.upkeep.culling.run.RESERVE_BYTES", 1 << 20)
    monkeypatch.setattr("pano_analytics.upkeep.culling.run._SMALL_BATCH", 5)
    settings = settings_in(small_disk)
    for number in range(20):
        lay_old(small_disk / "uploads", 20 + number, content=picture(number, (640, 360)))
    lay_old(small_disk / "uploads", 1)
    known(settings)
    free = shutil.disk_usage(small_disk).free
    (small_disk / "uploads/ballast").write_bytes(bytes(free))
    assert shutil.disk_usage(small_disk).free == 0
    assert cull(settings, now=NOW).files == 20
    (small_disk / "uploads/ballast").unlink()
    run(settings)
    library = Library.of(settings)
    assert library.media().state.value_counts().to_dict() == {"culled": 20, "damaged": 1}
    assert not len(disagreements(library))
    cull(settings, now=NOW)
    assert (small_disk / "library/state/reserve").stat().st_size == 1 << 20


# --- the command --------------------------------------------------------------


@contextmanager
def no_error() -> Iterator[None]:
    yield


def called(settings: Settings, *words: str, config: dict[str, Any] | None = None) -> Any:
    """Call `pano cull` with a settings file beside the tree."""
    assert settings.uploads is not None
    file = settings.uploads.parent / "pano.toml"
    file.write_text('uploads = "uploads"\nlibrary = "library"\nzone = "UTC"\nkeep_days = 10\n')
    return CliRunner().invoke(pano, ["cull", "--config", str(file), *words])


@pytest.fixture
def aged(tmp_path: Path) -> Settings:
    """Return settings with one old and one young upload, catalogued, not adopted."""
    settings = settings_in(tmp_path)
    for days in (20, 5):
        lay_old(tmp_path / "uploads", days, content=b"xyz")
    run(settings)
    seen_as_they_arrived(settings)
    return settings


def test_the_command_shows_adopts_and_deletes(aged: Settings) -> None:
    """As an owner calls it: look, adopt, delete, look again."""
    shown = called(aged)
    assert shown.exit_code == 0
    assert "1 file, 3 bytes, would be deleted with --delete" in shown.stdout
    assert "kept for 10 days" in shown.stdout
    assert "adopt" in shown.stderr
    refused = called(aged, "--delete")
    assert isinstance(refused.exception, WrongRoot)
    assert refused.exception.exit_code == 3
    assert "is now" in called(aged, "--adopt").stdout
    assert "was already" in called(aged, "--adopt").stdout
    one = json.loads(called(aged, "--json").stdout)
    assert (one["files"], one["size_bytes"], one["trouble"]) == (1, 3, None)
    assert one["due"][0]["reason"] == "kept for 10 days"
    assert [(left["camera"], left["left_files"]) for left in one["cameras"]] == [("porch", 1)]
    assert one["due"][0]["path"] in called(aged, "--files").stdout
    assert called(aged, "--delete").stdout == "cull: 1 file deleted, 3 bytes\n"
    assert json.loads(called(aged, "--delete", "--json").stdout)["files"] == 0
    assert "0 files" in called(aged).stdout


@pytest.mark.parametrize("words", [["--adopt", "--delete"], ["--up-to", "3"]])
def test_mixed_wishes_are_refused(aged: Settings, words: list[str]) -> None:
    """Two decisions are not taken in one breath."""
    assert called(aged, *words).exit_code == 2


def test_the_plan_as_frames(settings: Settings) -> None:
    """The plan answers in the notebook: one row a file, one a camera."""
    found = plan(Library.of(settings), NOW)
    frame = found.frame()
    assert list(frame.path) == [old(12, "barn"), old(30), old(11)]
    assert frame.age_days.round(3).tolist() == [12, 30, 11]
    assert frame.keep_days.tolist() == [10, 10, 10]
    cameras = found.cameras_frame().set_index("camera")
    assert cameras.left_files.to_dict() == {"barn": 0, "porch": 2}
    assert cameras.left_since["porch"] == NOW - timedelta(days=9)
    assert len(found.stays_frame()) == 0


def test_no_library_and_no_root_say_so(tmp_path: Path) -> None:
    """Both errors name what to do."""
    settings = settings_in(tmp_path)
    with pytest.raises(LibraryError, match="pano ingest"):
        plan(settings)
    run(settings)
    (tmp_path / "uploads").rmdir()
    with pytest.raises(UploadTreeError, match="mounted"):
        plan(settings)
    assert issubclass(WrongRoot, PanoError)


def test_a_page_of_adoption_that_is_torn_deletes_nothing(settings: Settings, root: Path) -> None:
    """Half a page of the library is no permission."""
    assert settings.library is not None
    (settings.library / ADOPTED).write_bytes(b"{")
    before = tree(root)
    with pytest.raises(WrongRoot, match="restore"):
        cull(settings, now=NOW)
    assert tree(root) == before
    shutil.rmtree(settings.library / "journal")
