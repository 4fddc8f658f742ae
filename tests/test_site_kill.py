"""`pano site` killed at any step, and on a disk that fills up: links hold, the next run heals."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import make_clip
from shared_files import lay, snapshot_path
from site_home import PORCH, Home, clip_path, crawl, later, lay_picture, stamped
from test_clips import dav

from pano_analytics.site.folder import LIST, SiteFull
from pano_analytics.site.run import update

DAY = 86400


def lay_first(home: Home) -> None:
    """Lay two days of one camera and a day of another."""
    for day in (-2, -1):
        for minute in (0, 1):
            lay_picture(home.uploads, PORCH, later(DAY * day + 60 * minute))
    start = later(-DAY + 600)
    path = home.uploads / clip_path(PORCH, start, later(-DAY + 604), "dav")
    stamped(lay(dav(), path), later(-DAY + 604))
    lay_picture(home.uploads, "barn", later(-DAY))


def lay_then(home: Home) -> None:
    """Change it: a day goes, a camera comes, a day comes, one day has more."""
    shutil.rmtree(home.uploads / PORCH / "AMC0001_F01N44/2026-11-18")
    (home.uploads / snapshot_path(PORCH, later(-DAY))).unlink()
    lay_picture(home.uploads, PORCH, later(-DAY + 900))
    lay_picture(home.uploads, PORCH, later(0))
    lay_picture(home.uploads, "yard", later(0))
    stamped(make_clip(home.uploads / clip_path("barn", later(0), later(3), "mp4"), 3), later(3))


@pytest.fixture(params=["from nothing", "after changes"])
def killer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Killer]:
    """A process that kills runs on one home, with a site from before or none."""
    home = Home(tmp_path)
    lay_first(home)
    home.ingest()
    if request.param == "after changes":
        update(home.settings(), home.folder / "before")
        lay_then(home)
        home.ingest(is_full=True)
    made = Killer(home)
    yield made
    made.end()


class Killer:
    """See `killing_site`."""

    def __init__(self, home: Home) -> None:
        program = str(Path(__file__).with_name("killing_site.py"))
        places = [str(home.folder), str(home.folder / "before")]
        self._process = subprocess.Popen(
            [sys.executable, program, *places], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def ask(self, what: str | int) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{what}\n".encode())
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        self._process.communicate()


def prove(killer: Killer, every: int, first: int = 1) -> None:
    """Kill runs at each `every`-th step; what the next run makes is as if nothing had been."""
    whole = killer.ask("count")
    steps = range(first, len(whole["steps"]) + 1, every)
    assert len(whole["steps"]) > 60
    left = 0
    for step in steps:
        told = killer.ask(step)
        assert told["code"] == -9, (step, told)
        assert "error" not in told, (step, whole["steps"][step - 1], told["error"])
        assert told["content"] == whole["content"], (step, whole["steps"][step - 1])
        assert told["again"] == 0, step
        left += told["left"]
    # A thin sample may miss the few steps between which a page is half written.
    assert left or every > 3, "no run was killed while it wrote"


def test_killed_at_some_steps(killer: Killer) -> None:
    """A sample of all steps; the long test takes a dense one."""
    prove(killer, 17)


@pytest.mark.long
def test_killed_at_every_third_step(killer: Killer) -> None:
    """Wherever a run is killed, no link of what it left is dead, and the next run heals it.

    Three runs of this test in a row are likely to meet every step.
    """
    prove(killer, 3, first=1 + os.getpid() % 3)


def test_a_full_disk_is_said_and_healed(tmp_path: Path) -> None:
    """The error says so with exit code 9, pages are whole, and with space the next run goes on."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can only be mounted by root, where mounting is allowed")
    try:
        home = Home(tmp_path)
        for number in range(40):
            lay_picture(home.uploads, PORCH, later(60 * number))
        home.ingest()
        site = place / "site"
        with pytest.raises(SiteFull, match="free some space") as caught:
            update(home.settings(), site)
        assert caught.value.exit_code == 9
        assert all(path.read_bytes().endswith(b"</html>\n") for path in site.rglob("*.html"))
        subprocess.run(["mount", "-o", "remount,size=4m", str(place)], check=True)
        update(home.settings(), site)
        crawl(site)
        assert json.loads((site / LIST).read_text())["looked"]
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
