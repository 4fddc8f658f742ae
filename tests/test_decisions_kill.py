"""Decisions while processes are killed: what was acknowledged is there, wherever the kill fell."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from killing import Steps, in_child, wait
from test_decisions import IDS, files, four_writers

from pano_analytics.model.decision import Decision
from pano_analytics.store.decisions import Decisions
from pano_analytics.store.storage import Storage

_WRITER = """
import sys
from pathlib import Path
from pano_analytics.store.decisions import Decisions
from pano_analytics.store.storage import Storage

writer = Decisions(Storage(Path(sys.argv[1])))
while True:
    one = writer.decide("anna", "noted", ["0" * 16], "x" * int(sys.argv[2]))
    print(one.decision_id, flush=True)
"""


def acknowledged(folder: Path, after_s: float, note_length: int) -> list[str]:
    """Let a process decide until it is killed; return the ids that it printed."""
    command = [sys.executable, "-c", _WRITER, str(folder), str(note_length)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    first = writer.stdout.readline()
    time.sleep(after_s)
    writer.send_signal(signal.SIGKILL)
    said = (first + writer.stdout.read()).splitlines(keepends=True)
    assert writer.wait() == -signal.SIGKILL
    return [line.strip() for line in said if line.endswith("\n")]


@pytest.mark.parametrize(
    "rounds", [3, pytest.param(60, marks=[pytest.mark.long, pytest.mark.timeout(1200)])]
)
def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path: Path, rounds: int) -> None:
    """At most one decision more is there, which it had no time to acknowledge."""
    chance, known = random.Random(rounds), set[str]()
    for _ in range(rounds):
        said = acknowledged(tmp_path, chance.random() / 10, chance.choice([1, 500, 200_000]))
        found = {one.decision_id for one, _ in Decisions(Storage(tmp_path)).everything()}
        assert known | set(said) <= found
        assert len(found - known - set(said)) <= 1
        known = found
        if chance.random() < 0.3:
            Decisions(Storage(tmp_path)).fold()
    Decisions(Storage(tmp_path)).fold()
    assert {one.decision_id for one, _ in Decisions(Storage(tmp_path)).everything()} == known
    assert [path.suffix for path in files(tmp_path)] == [".parquet"]


def before_fold(folder: Path) -> list[tuple[Decision, bool]]:
    """Leave an older fold, two files whose writers are gone, one of them cut; return all."""
    for number in range(4):
        writer = Decisions(Storage(folder))
        writer.decide("anna", "pinned", [IDS[number]])
        writer.undo("ben", writer.decide("anna", "noted", IDS[:2], "x").decision_id)
        writer.close()
        if number == 1:
            writer.fold()
    last = files(folder)[-1]
    last.write_bytes(last.read_bytes() + b'{"decision_id":')
    return Decisions(Storage(folder)).everything()


def test_a_fold_that_is_killed_at_any_step_changes_nothing(tmp_path: Path) -> None:
    """Readers see every decision once before, between and after; the next fold completes it."""
    before = tmp_path / "before"
    expected = before_fold(before)

    def fold(folder: Path, deadly: int | None) -> list[str]:
        steps = Steps(folder, deadly)
        steps.listen()
        Decisions(Storage(folder)).fold()
        return steps.names

    killed, step = -signal.SIGKILL, 0
    while killed == -signal.SIGKILL:
        step += 1
        trial = shutil.copytree(before, tmp_path / f"trial-{step}")
        reader = Decisions(Storage(trial))
        assert reader.everything() == expected
        killed = wait(in_child(lambda: fold(trial, step), tmp_path / "report.json"))  # noqa: B023
        for found in (reader, Decisions(Storage(trial))):
            assert found.everything() == expected, step
        Decisions(Storage(trial)).fold()
        assert reader.everything() == Decisions(Storage(trial)).everything() == expected, step
    assert killed == 0
    assert step > 8


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_forty_thousand_decisions_of_four_writers(tmp_path: Path) -> None:
    """While ingest folds what they have finished."""
    assert four_writers(tmp_path, 10_000, 900) > 20
    assert os.listdir(tmp_path / "decisions")
