"""How many files are left to look at decides on processes, whatever the shape of the tree."""

from __future__ import annotations

from datetime import date

import pytest

from pano_analytics.ingest.memory import Seen
from pano_analytics.ingest.scan import WORTH_A_POOL, Extent, ScanResult, ScanTask
from pano_analytics.ingest.walk import FileEntry, WalkProblems, WalkUnit

DAY = date(2026, 11, 1)


def _folders(count: int, files: int | None) -> list[ScanTask]:
    return [ScanTask(WalkUnit(f"door/{number}", DAY), "", files) for number in range(count)]


def _looked(glance: ScanTask, files: int) -> ScanResult:
    return ScanResult(glance.unit, WalkProblems(), seen=Seen("", files, 0, 0, ()))


def _after(glances: list[ScanTask], files: int, units: int) -> Extent:
    extent = Extent(glances)
    for glance in glances[:units]:
        extent.saw(glance, _looked(glance, files))
    return extent


@pytest.mark.parametrize(
    ("folders", "files", "is_worth"),
    [(98, 1822, True), (2000, 22, True), (98, 20, False), (500, 22, False), (12, 5000, True)],
)
def test_the_first_folders_tell_how_much_the_rest_is(
    folders: int, files: int, is_worth: bool
) -> None:
    """98 full folders are work for several processes, 500 nearly empty ones are not."""
    glances = _folders(folders, None)
    units = -(-5000 // files)
    assert _after(glances, files, min(units, folders - 2)).is_worth_a_pool is is_worth


def test_nothing_is_handed_on_before_anything_was_looked_at() -> None:
    assert not Extent(_folders(1000, None)).is_worth_a_pool


def test_what_the_last_run_counted_is_known_without_a_look() -> None:
    """Folders that were full the last time count as full, however small the first of them is."""
    glances = [*_folders(1, 3), *_folders(50, 10_000)]
    assert not _after(glances, 3, 1).is_worth_a_pool
    assert _after(glances, 10_000, 2).is_worth_a_pool


def test_the_last_folder_is_not_worth_starting_processes() -> None:
    """One folder is one task: nobody could help with it."""
    entries = tuple(FileEntry(f"door/{n}.jpg", 1, 1) for n in range(WORTH_A_POOL))
    glances = [*_folders(1, None), ScanTask(WalkUnit("door", None, entries), "")]
    assert not _after(glances, 6000, 1).is_worth_a_pool


@pytest.mark.parametrize(("files", "batch"), [(22, 16), (330, 7), (1822, 1), (100_000, 1)])
def test_a_batch_is_so_many_files(files: int, batch: int) -> None:
    assert _after(_folders(3000, None), files, 300).batch == batch
