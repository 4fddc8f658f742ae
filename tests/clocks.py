"""The clocks of a computer, for tests: time passes, clocks leap, computers start again."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pyarrow.parquet as pq
import pytest

from pano_analytics.settings import Settings
from pano_analytics.store import timekeeping
from pano_analytics.store.journal import FOLDER, SEEN
from pano_analytics.store.storage import Storage
from pano_analytics.store.timekeeping import Clocks

_S = 1_000_000


@dataclass
class Box:
    """A computer whose clocks tests move. `true` is the time that nobody may set."""

    true: datetime
    wrong_by: timedelta = field(default_factory=timedelta)
    since_start: timedelta = timedelta(hours=3)
    starts: int = 0

    @property
    def wall(self) -> datetime:
        """What its clock says."""
        return self.true + self.wrong_by

    def pass_by(self, **passed: float) -> None:
        """Let time pass."""
        self.true += timedelta(**passed)
        self.since_start += timedelta(**passed)

    def until(self, moment: datetime) -> None:
        """Let time pass until the clock says so."""
        passed = moment - self.wall
        self.true, self.since_start = self.true + passed, self.since_start + passed

    def leap(self, **ahead: float) -> None:
        """Let somebody set the clock."""
        self.wrong_by += timedelta(**ahead)

    def set_right(self) -> None:
        self.wrong_by = timedelta()

    def restart(self, lost: timedelta = timedelta(), **off: float) -> None:
        """Be off for so long; `lost` is what the clock loses by it, for want of a battery."""
        self.true += timedelta(**off)
        self.wrong_by -= lost
        self.since_start, self.starts = timedelta(seconds=20), self.starts + 1

    def clocks(self) -> Clocks:
        # Each look takes a moment, so that notes made one after another are in order.
        self.pass_by(microseconds=1)
        wall_us = int(self.wall.timestamp() * _S)
        boot_us = self.since_start // timedelta(microseconds=1)
        return Clocks(wall_us, boot_us, f"start-{self.starts}")


def box_at(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> Box:
    """Put pano into a computer whose clock says `moment` (aware)."""
    box = Box(moment)
    monkeypatch.setattr(timekeeping, "clocks", box.clocks)
    return box


def seen_as_they_arrived(settings: Settings) -> None:
    """Make the journal tell that each upload was first seen when it arrived.

    As of a library that was there all the time; it spares tests an ingest a day.
    """
    assert settings.library is not None
    storage = Storage(settings.library)
    for name in storage.files(FOLDER):
        if name.rpartition("/")[2].startswith("seen-"):
            facts = pq.read_table(storage.path(name), partitioning=None).cast(SEEN)
            column = SEEN.get_field_index("noted")
            pq.write_table(facts.set_column(column, "noted", facts["arrived"]), storage.path(name))


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]
