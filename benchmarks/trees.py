"""Upload trees of empty files for benchmarks: the shape of an IP2M-842 archive."""

from __future__ import annotations

import os
import random
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
