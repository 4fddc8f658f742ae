"""Culling obeys pins: what is pinned stays, with its event, however a run or a plan ends."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from click.testing import CliRunner
from clocks import Box, box_at, seen_as_they_arrived
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from lived_in import picture, run
from shared_files import clip_path, lay, snapshot_path
from test_cull import NOW, known, settings_in

from pano_analytics.cli import pano
from pano_analytics.errors import DecisionsError
from pano_analytics.library import Library
from pano_analytics.settings import Settings
from pano_analytics.store.decisions import FOLDER
from pano_analytics.store.journal import Journal
from pano_analytics.store.tree import Tree
from pano_analytics.upkeep.check import check as disagreements
from pano_analytics.upkeep.culling import cull, plan

OLD = datetime(2026, 3, 1, 8)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def box(monkeypatch: pytest.MonkeyPatch) -> Box:
    """Let it be NOW for pano."""
    return box_at(monkeypatch, NOW)


def lay_snapshots(root: Path, *seconds: float, camera: str = "porch") -> list[str]:
    """Lay snapshots that many seconds after OLD; return their paths."""
    paths = [snapshot_path(camera, OLD + timedelta(seconds=one)) for one in seconds]
    for path, second in zip(paths, seconds, strict=True):
        lay(picture(int(second) % 200, (64, 36)), root / path, OLD + timedelta(seconds=second))
    return paths


def files(root: Path) -> set[str]:
    return {
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and path.name != ".pano-root.json"
    }


def id_of(library: Library, path: str) -> str:
    media = library.media()
    return str(media.loc[media["path"] == path, "media_id"].iloc[0])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Four old snapshots of porch, a minute and a half apart: four events."""
    settings = settings_in(tmp_path)
    lay_snapshots(tmp_path / "uploads", 0, 90, 180, 270)
    known(settings, is_inspecting=False)
    return settings


# --- any decisions ---------------------------------------------------------------

_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["pinned", "unpinned", "dismissed", "reviewed", "undo"]),
        st.integers(0, 11),
    ),
    max_size=8,
)


@pytest.mark.long
@effort(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.sampled_from(["porch", "barn"]), st.integers(0, 40)), max_size=12),
    _STEPS,
    st.booleans(),
)
def test_what_goes_is_what_no_pin_protects(
    uploads: list[tuple[str, int]], steps: list[tuple[str, int]], is_late: bool
) -> None:
    """Against a slow model: an event is a chain of pictures of one camera at most 60 s apart.

    Some are pinned by their event, before a last picture arrives between the others.
    """
    with TemporaryDirectory() as name:
        settings = settings_in(Path(name))
        root = Path(name) / "uploads"
        moments = sorted({(camera, 25.0 * slot) for camera, slot in uploads})
        for camera, second in moments:
            lay_snapshots(root, second, camera=camera)
        if not moments:
            return
        known(settings, is_inspecting=False)
        library = Library.of(settings)
        pinned = set[str]()
        done = list[tuple[str, set[str]]]()
        for decision, number in steps:
            if decision == "undo":
                if done:
                    decision_id, before = done.pop()
                    library.undo(decision_id)
                    pinned = before
                continue
            events = library.events()
            members = library.members(events["event_id"].iloc[number % len(events)])
            before = set(pinned)
            if decision == "pinned":
                pinned |= set(members["path"])
            elif decision == "unpinned":
                pinned -= set(members["path"])
            done.append((library.decide(members, decision, who="ana"), before))
        if is_late:
            moments = sorted({*moments, ("porch", 12.0)})
            lay_snapshots(root, 12.0)
            run(settings, is_inspecting=False)
            seen_as_they_arrived(settings)
        expected = {
            path for chain in _chains(moments) if not pinned.isdisjoint(chain) for path in chain
        }
        before = files(root)
        planned = plan(settings)
        assert {one.path for one in planned.due} == before - expected
        assert {one.path for one in planned.stays if one.is_pinned} == expected
        assert files(root) == before
        cull(settings)
        assert files(root) == expected
        assert disagreements(library).empty


def _chains(moments: list[tuple[str, float]]) -> Iterator[set[str]]:
    by_camera = defaultdict[str, list[float]](list)
    for camera, second in moments:
        by_camera[camera].append(second)
    for camera, seconds in by_camera.items():
        chain = set[str]()
        for before, second in zip([None, *seconds], seconds, strict=False):
            if before is not None and second - before > 60:
                yield chain
                chain = set()
            chain.add(snapshot_path(camera, OLD + timedelta(seconds=second)))
        yield chain


# --- while it runs, and when it was killed ------------------------------------------


def interrupt(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupt a culling when its plan is written, before it removes the first file."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as now:
        now.setattr(Tree, "remove", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cull(settings)


def test_what_is_pinned_while_culling_runs_stays(
    settings: Settings, root: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan is made again before the next batch; nothing else is added to it."""
    monkeypatch.setattr("pano_analytics.upkeep.culling.run.BATCH", 1)
    last = max(files(root))
    later = snapshot_path("porch", OLD + timedelta(seconds=500))

    def pin(_: str, count: int, __: int) -> None:
        if count == 1:
            library.decide([id_of(library, last)], "pinned")
            lay(b"not in the plan", root / later)

    assert cull(settings, progress=pin).files == 3
    assert files(root) == {last, later}


def test_what_is_pinned_after_a_plan_was_interrupted_stays(
    settings: Settings, root: Path, library: Library, monkeypatch: pytest.MonkeyPatch, box: Box
) -> None:
    """Its row was already marked: it becomes that of an upload which is still to be opened."""
    first, *_ = sorted(files(root))

    interrupt(settings, monkeypatch)
    assert Journal(library.storage).open_plans()
    assert set(library.media()["state"]) == {"culled"}
    library.decide([id_of(library, first)], "pinned")
    run(settings)
    # An ingest does not know which uploads share an event with it, so all around it are kept as
    # if they had arrived now.
    assert set(library.media()["state"]) == {"complete"}
    box.until(NOW + 11 * DAY)
    cull(settings)
    assert files(root) == {first}
    media = library.media().set_index("path")["state"]
    assert media.pop(first) == "complete"
    assert set(media) == {"culled"}
    assert disagreements(library).empty


@pytest.mark.parametrize("finish", [cull, run])
def test_the_event_of_what_is_pinned_after_a_plan_was_interrupted_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finish: Any
) -> None:
    """Whoever finishes the plan, and though only one upload of the event is named."""
    settings, root = settings_in(tmp_path), tmp_path / "uploads"
    midnight = (OLD + DAY).replace(hour=0) - OLD
    seconds = [midnight.total_seconds() + apart for apart in (-10, 10, 5 * 86_400)]
    *event, other = lay_snapshots(root, *seconds)
    known(settings, is_inspecting=False)
    library = Library.of(settings)

    interrupt(settings, monkeypatch)
    library.decide(library.media()[library.media()["path"] == event[1]], "pinned")
    finish(settings)
    assert files(root) == set(event)
    cull(settings)
    assert files(root) == set(event)
    assert library.media().set_index("path")["state"][other] == "culled"


def test_what_exists_only_for_a_pinned_clip_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its index and its preview, also in a plan that was made before."""
    settings, root = settings_in(tmp_path), tmp_path / "uploads"
    clips = [
        clip_path("porch", OLD + n * DAY, OLD + n * DAY + timedelta(seconds=9)) for n in (0, 1)
    ]
    for number, clip in enumerate(clips):
        lay(b"clip", root / clip, OLD + number * DAY)
        lay(b"index", (root / clip).with_suffix(".idx"), OLD + number * DAY)
        lay(b"thumb", root / f"{clip}.thumb", OLD + number * DAY)
    known(settings, is_inspecting=False)
    library = Library.of(settings)

    interrupt(settings, monkeypatch)
    library.decide([id_of(library, clips[0])], "pinned")
    done = cull(settings)
    kept = {clips[0], clips[0].replace(".dav", ".idx"), f"{clips[0]}.thumb"}
    assert files(root) == kept
    assert {path for path, why in done.stayed if why == "pinned"} == kept


# --- decisions that cannot be read ----------------------------------------------------


def _line_file(library: Library) -> Path:
    [file] = (library.folder / FOLDER).iterdir()
    return file


def test_nothing_is_deleted_while_a_decision_is_damaged(
    settings: Settings, root: Path, library: Library
) -> None:
    """It may be a pin. A last line that is cut off was never acknowledged, and is no reason."""
    for path in sorted(files(root))[:2]:
        library.decide([id_of(library, path)], "pinned")
    file = _line_file(library)
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"pinned", b"pinnef", 1))
    before = files(root)
    for act in (cull, plan):
        with pytest.raises(DecisionsError, match="line 1 is damaged"):
            act(settings)
    assert files(root) == before
    file.write_bytes(whole + b'{"decision_id": "cut')
    assert cull(settings).files == 2
    assert files(root) == set(sorted(before)[:2])


def test_an_interrupted_plan_waits_while_a_decision_is_damaged(
    settings: Settings, root: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ingest goes on without it."""
    interrupt(settings, monkeypatch)
    library.decide([id_of(library, min(files(root)))], "pinned")
    file = _line_file(library)
    file.write_bytes(file.read_bytes().replace(b"pinned", b"pinnef", 1))
    before = files(root)
    run(settings)
    assert files(root) == before
    assert Journal(library.storage).open_plans()


# --- what people see ------------------------------------------------------------------


def test_the_plan_says_what_pins_keep(settings: Settings, root: Path, library: Library) -> None:
    """In Python, in words, and file by file; a later member of the event has its own reason."""
    first = min(files(root))
    library.decide([id_of(library, first)], "pinned")
    [later] = lay_snapshots(root, 20)
    run(settings, is_inspecting=False)
    seen_as_they_arrived(settings)
    found = plan(settings)
    assert {one.path: one.reason for one in found.stays} == {
        first: "it is pinned",
        later: "its event is pinned",
    }
    [porch] = found.cameras
    assert (porch.pinned_files, porch.left_files, porch.files) == (2, 2, 3)
    assert porch.pinned_bytes == sum((root / path).stat().st_size for path in (first, later))
    text = _cull(settings).output
    assert "2 of these are old enough, but pinned" in text
    assert "stays:" not in text
    assert f"stays: {first}: it is pinned" in _cull(settings, "--files").output
    stays = json.loads(_cull(settings, "--json").output)["stays"]
    assert [one["is_pinned"] for one in stays] == [True, True]


def _cull(settings: Settings, *options: str) -> Any:
    places = ["--uploads", str(settings.uploads), "--library", str(settings.library)]
    found = CliRunner().invoke(pano, ["cull", *places, *options])
    assert found.exit_code == 0, found.output
    return found


def test_the_row_of_a_pinned_upload_outlives_its_time(tmp_path: Path, box: Box) -> None:
    """It was deleted before it was pinned: its thumbnail is all that is left."""
    settings = settings_in(tmp_path, cull={"most_share": 1, "rows_days": 30})
    paths = lay_snapshots(tmp_path / "uploads", 0, 90)
    known(settings, is_inspecting=False)
    library = Library.of(settings)
    cull(settings)
    library.decide([id_of(library, paths[0])], "pinned")
    box.until(NOW + 31 * DAY)
    cull(settings)
    assert list(library.media()["path"]) == [paths[0]]
    assert disagreements(library).empty
