"""Culling killed at any step that touches the disk: nothing is lost, and the next run finishes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from clocks import box_at, seen_as_they_arrived
from lived_in import film, picture, run
from shared_files import clip_path, lay, snapshot_path

from pano_analytics.settings import check
from pano_analytics.upkeep.culling import adopt, cull

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
SAID = {"zone": "UTC", "keep_days": 10, "cull": {"most_share": 1}}


def lay_day(root: Path, day: datetime, number: int) -> None:
    """Lay uploads of one day, of two cameras."""
    end = day + timedelta(seconds=2)
    lay(film(2), root / clip_path("porch", day, end), day)
    lay(b"index", (root / clip_path("porch", day, end)).with_suffix(".idx"), day)
    lay(picture(number), root / snapshot_path("porch", day + timedelta(seconds=1)), day)
    lay(b"", root / snapshot_path("barn", day), day)


def lay_rest(root: Path) -> None:
    """Lay uploads of three weeks ago and of now; and what is none."""
    lay_day(root, datetime(2026, 3, 1, 8), 10)
    lay(picture(20), root / snapshot_path("porch", datetime(2026, 3, 1, 9)), datetime(2026, 3, 1))
    lay(picture(21), root / snapshot_path("porch", datetime(2026, 3, 19)), datetime(2026, 3, 19))
    lay(b"no upload", root / "porch/AMC0001_F01N44/2026-03-01/notes.txt")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make uploads and a library that was culled long ago: its old rows are to be dropped."""
    settings = check(SAID).model_copy(
        update={"uploads": tmp_path / "before/uploads", "library": tmp_path / "before/library"}
    )
    lay_day(tmp_path / "before/uploads", datetime(2024, 12, 1, 8), 0)
    box = box_at(monkeypatch, datetime(2025, 1, 1, tzinfo=UTC))
    run(settings)
    seen_as_they_arrived(settings)
    adopt(settings)
    cull(settings)
    box.until(NOW)
    lay_rest(tmp_path / "before/uploads")
    run(settings)
    seen_as_they_arrived(settings)
    (tmp_path / "plan.json").write_text(json.dumps({"said": SAID, "now": NOW.isoformat()}))
    return tmp_path


class Killer:
    """A process that forks cullings and kills them; see `killing_cull`."""

    def __init__(self, work: Path) -> None:
        command = [sys.executable, str(Path(__file__).with_name("killing_cull.py")), str(work)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, what: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(what, file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        self._process.communicate()


@pytest.fixture
def killer(work: Path) -> Iterator[Killer]:
    one = Killer(work)
    yield one
    one.end()


def check_trial(trial: Any, undisturbed: Any) -> None:
    """Hold one killed and healed library, and its tree, against the undisturbed ones."""
    assert trial["code"] == -9
    assert "error" not in trial["healed"], trial["healed"]
    healed = trial["healed"]["ok"]
    assert set(undisturbed["rows"]) <= set(healed["kept"])
    if healed["by_ingest"] is not None:
        assert set(undisturbed["rows"]) <= set(healed["by_ingest"]) <= set(healed["kept"])
    assert healed["told"] == undisturbed
    assert (healed["again"], healed["once_more"]) == (0, 0)
    assert healed["left"] == {"temporary": [], "stray": [], "packs": [], "at_work": False}


def hold(killer: Killer, every: int, first: int) -> None:
    counted = killer.ask("count")
    assert "ok" in counted["steps"], counted["steps"]
    assert "ok" in counted["told"], counted["told"]
    steps, undisturbed = counted["steps"]["ok"], counted["told"]["ok"]
    states = [row["state"] for row in undisturbed["rows"].values()]
    assert sorted(states) == ["complete", *["culled"] * 4]
    for step in range(first, len(steps) + 1, every):
        by = ("cull", "ingest")[(step // every) % 2]
        try:
            check_trial(killer.ask(f"{step} {by}"), undisturbed)
        except AssertionError as error:
            where = f"killed at step {step} of {len(steps)}, {steps[step - 1]}, healed by {by}"
            raise AssertionError(f"{where}: {error}") from error


def test_killed_at_some_steps(killer: Killer) -> None:
    """Killed here and there, the next culling or ingest finishes: rows, thumbnails and tree.

    They are then as after an undisturbed culling; `check` finds nothing, no row
    is lost, doubled or come to life again, and there is nothing more to do.
    """
    hold(killer, every=13, first=1 + os.getpid() % 13)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("offset", [0, 1])
def test_killed_at_every_step(killer: Killer, offset: int) -> None:
    """The same for every step there is, healed by the one and by the other."""
    hold(killer, every=1, first=1 + offset)


def test_the_order_of_the_steps(killer: Killer) -> None:
    """Plan, whole rows, mark, unlink, folders, confirmation: each on the disk before the next."""
    steps = killer.ask("count")["steps"]["ok"]

    def first(what: str, after: int = 0) -> int:
        return next(n for n in range(after, len(steps)) if what in steps[n])

    plan = first("sync library/journal/plan-")
    rows = first("sync library/journal/gone-", plan)
    mark = first("os.rename library/manifest.json", rows)
    assert not any("uploads" in step for step in steps[:mark])
    removed = [n for n, step in enumerate(steps) if step.startswith("os.remove uploads")]
    folders = [n for n, step in enumerate(steps) if step.startswith("sync uploads")]
    confirmed = first("os.remove library/journal/plan-")
    assert mark < removed[0] <= removed[-1] < folders[0] <= folders[-1] < confirmed
    assert len(removed) == 5
    assert steps[confirmed + 1 : confirmed + 2] == ["sync library/journal"]
