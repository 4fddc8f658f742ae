"""Upload trees of empty files for benchmarks: the shape of an IP2M-842 archive, and others."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

# Chosen to give 178,000 files in 49,000 folders, as in a real archive.
SNAPSHOTS_A_MINUTE = 5
CLIPS_A_MINUTE = 0.5


def make_tree(root: Path, files: int, cameras: int = 6, files_a_day: int = 330) -> tuple[int, int]:
    """Make about `files` empty files below `root`; return the number of files and folders."""
    chance = random.Random(1)
    made, folders = 0, set[Path]()
    today = datetime.now().replace(hour=0, minute=0, second=0, microsecond=0)
    days = max(1, files // (cameras * files_a_day))
    for back in range(days):
        for camera in range(cameras):
            day = today - timedelta(days=back + 1)
            base = root / f"camera{camera}" / f"AMC000{camera}_F01N44" / f"{day:%Y-%m-%d}" / "001"
            made += _make_day(base, day, files_a_day, chance, folders)
    for folder in list(folders):
        folders.update(parent for parent in folder.parents if parent.is_relative_to(root))
    return made, len(folders)


def _make_day(
    base: Path, day: datetime, files: int, chance: random.Random, folders: set[Path]
) -> int:
    minutes = chance.sample(range(1440), round(files / (SNAPSHOTS_A_MINUTE + CLIPS_A_MINUTE)))
    made = 0
    for minute in sorted(minutes):
        moment = day + timedelta(minutes=minute, seconds=chance.randrange(50))
        shots = base / "jpg" / f"{moment:%H}" / f"{moment:%M}"
        names = [
            shots / f"{moment + timedelta(seconds=s):%S}[M][0@0][0].jpg"
            for s in range(SNAPSHOTS_A_MINUTE)
        ]
        if chance.random() < CLIPS_A_MINUTE:
            end = moment + timedelta(seconds=24)
            clip = f"{moment:%H.%M.%S}-{end:%H.%M.%S}[M][0@0][0].dav"
            names.append(base / "dav" / f"{moment:%H}" / clip)
        for name in names:
            if name.parent not in folders:
                name.parent.mkdir(parents=True, exist_ok=True)
                folders.add(name.parent)
            name.touch()
            arrived = (moment + timedelta(seconds=30)).timestamp()
            os.utime(name, (arrived, arrived))
        made += len(names)
    return made


def make_small(root: Path, files: int) -> tuple[int, int]:
    """Make many day folders of a few files each."""
    return make_tree(root, files, files_a_day=22)


def make_full(root: Path, files: int, files_a_day: int = 1822) -> tuple[int, int]:
    """Make few day folders with many files in each: `DATE/001/jpg/HH/MM.SS[M]….jpg`."""
    chance, made, folders = random.Random(1), 0, 0
    for number in range(max(1, round(files / files_a_day))):
        day = _today() - timedelta(days=1 + number // 2)
        base = root / f"camera{number % 2}" / f"{day:%Y-%m-%d}" / "001" / "jpg"
        for second in sorted(chance.sample(range(86_400), files_a_day)):
            moment = day + timedelta(seconds=second)
            folder = base / f"{moment:%H}"
            folders += not folder.exists()
            _touch(folder / f"{moment:%M.%S}[M][0@0][0].jpg", moment)
            made += 1
    return made, folders


def make_flat(root: Path, files: int) -> tuple[int, int]:
    """Make one folder that holds everything: `001_20261007123325_[M][0@0][1].jpg`."""
    for number in range(files):
        moment = _today() - timedelta(seconds=40 * (number + 1))
        _touch(root / "camera0" / f"001_{moment:%Y%m%d%H%M%S}_[M][0@0][{number % 3}].jpg", moment)
    return files, 1


def _today() -> datetime:
    return datetime.now().replace(hour=0, minute=0, second=0, microsecond=0)


def _touch(path: Path, moment: datetime) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    arrived = (moment + timedelta(seconds=30)).timestamp()
    os.utime(path, (arrived, arrived))


SHAPES: dict[str, Callable[[Path, int], tuple[int, int]]] = {
    "archive": make_tree,
    "small": make_small,
    "full": make_full,
    "flat": make_flat,
}
"""Shapes of trees: a folder a minute, a few files a day, huge days, a single folder."""
