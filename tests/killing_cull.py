"""Kills a culling at its n-th step that touches the disk, then heals it by a cull or by an ingest.

Run as a program (`python killing_cull.py WORK`), as `killing` is, and with its
tools: for each step named on its input it forks a culling that is to be killed
and what is to heal. One line of JSON a step comes back.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from clocks import Box
from killing import _CHANGES, Steps, in_child, left, run, told, wait

from pano_analytics import settings as settings_room
from pano_analytics.library import Library
from pano_analytics.model.upload import locate
from pano_analytics.settings import Settings
from pano_analytics.store import catalog as catalog_room
from pano_analytics.store import journal, timekeeping
from pano_analytics.store.journal import Journal
from pano_analytics.store.storage import Storage
from pano_analytics.upkeep.check import check
from pano_analytics.upkeep.culling import cull


class TreeSteps(Steps):
    """Also hears of what is done by the descriptor of a folder."""

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event in _CHANGES and event in ("os.remove", "os.rmdir") and args[1] not in (None, -1):
            folder = Path(f"/proc/self/fd/{args[1]}").readlink()
            self.take(event, folder / os.fsdecode(args[0]))
        else:
            super().audit(event, args)


def tree(root: Path) -> list[str]:
    """Return every file and folder of the tree, with its size."""
    return sorted(
        f"{path.relative_to(root)} {path.stat().st_size if path.is_file() else '/'}"
        for path in root.rglob("*")
    )


class Work:
    """One folder with uploads, the library before; the clock stands at the culling."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        plan = json.loads((folder / "plan.json").read_text())
        self.said, self.now = plan["said"], datetime.fromisoformat(plan["now"])
        # All of it happens at the moment of the culling, after a restart of the computer.
        timekeeping.clocks = Box(self.now, starts=1).clocks
        self.packs = set(Storage(folder / "before/library").files("thumbs"))

    def settings(self, trial: Path) -> Settings:
        said = settings_room.check(self.said)
        return said.model_copy(update={"uploads": trial / "uploads", "library": trial / "library"})

    def victim(self, trial: Path, deadly: int | None) -> list[str]:
        # Every kind of step is to come: old parts unlinked at once, journals folded.
        catalog_room.GRACE_S = 0.0
        journal.FOLD_ABOVE = 0
        steps = TreeSteps(trial, deadly)
        steps.listen()
        cull(self.settings(trial), now=self.now)
        return steps.names

    def look(self, trial: Path) -> dict[str, Any]:
        """Return all that library and tree tell, after holding them against each other."""
        settings = self.settings(trial)
        library = Library.of(settings)
        for row in library.media().to_dict("records"):
            is_there = locate(trial / "uploads", row["path"]).exists()
            assert is_there == (row["state"] not in ("culled", "missing")), row
        found = check(library)
        assert not len(found), found.to_dict("records")
        assert not Journal(library.storage).open_plans()
        return {**told(settings), "tree": tree(trial / "uploads")}

    def heal(self, trial: Path, by: str) -> dict[str, Any]:
        settings = self.settings(trial)
        before = told(settings)
        if by == "ingest":
            run(settings)
            healed_by_ingest = self.look(trial)
        cull(settings, now=self.now)
        run(settings)
        again = run(settings)
        return {
            "kept": sorted(before["rows"]),
            "by_ingest": sorted(healed_by_ingest["rows"]) if by == "ingest" else None,
            "told": self.look(trial),
            "again": again.tally.total + sum(again.opened.values()),
            "once_more": cull(settings, now=self.now).files,
            "left": left(settings, self.packs),
        }

    def trial(self, deadly: int, by: str) -> dict[str, Any]:
        trial = self.folder / f"trial-{deadly}"
        shutil.copytree(self.folder / "before", trial)
        code = wait(in_child(lambda: self.victim(trial, deadly), self.folder / "victim.json"))
        wait(in_child(lambda: self.heal(trial, by), self.folder / "healed.json"))
        healed = json.loads((self.folder / "healed.json").read_text())
        shutil.rmtree(trial)
        return {"step": deadly, "code": code, "healed": healed}

    def count(self) -> dict[str, Any]:
        """Cull undisturbed; return the steps and what library and tree then tell."""
        trial = self.folder / "undisturbed"
        shutil.copytree(self.folder / "before", trial)
        wait(in_child(lambda: self.victim(trial, None), self.folder / "steps.json"))
        wait(in_child(lambda: self.look(trial), self.folder / "told.json"))
        names = ("steps", "told")
        return {name: json.loads((self.folder / f"{name}.json").read_text()) for name in names}


def main() -> None:
    work = Work(Path(sys.argv[1]))
    for line in sys.stdin:
        what, _, by = line.strip().partition(" ")
        answer = work.count() if what == "count" else work.trial(int(what), by)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
