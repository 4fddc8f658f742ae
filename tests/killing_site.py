"""Kills `pano site` at its n-th step that touches the disk; run as a program: it forks itself.

`python killing_site.py HOME BEFORE` takes a home and a copy of its site as it
was, and steps on its input ("count" first); one line of JSON a step comes back.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from killing import Steps
from site_home import Home, crawl

from pano_analytics.site import build  # noqa: F401 - loaded before forking
from pano_analytics.site.run import update


def in_child(work: Callable[[], Any], report: Path) -> int:
    """Do `work` in a fork of this process and return its exit code; what it returns in `report`."""
    report.unlink(missing_ok=True)
    child = os.fork()
    if not child:
        try:
            report.write_text(json.dumps(work()))
        except BaseException:
            report.write_text(json.dumps({"error": traceback.format_exc()}))
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def content(site: Path) -> dict[str, str]:
    """Return all files of a site, but for what is about one run only."""
    return {
        path.relative_to(site).as_posix(): path.read_bytes().hex()
        for path in site.rglob("*")
        if path.is_file() and not path.name.startswith(".pano-site")
    }


def victim(home: Home, site: Path, deadly: int | None) -> list[str]:
    steps = Steps(site, deadly)
    steps.listen()
    update(home.settings(), site)
    return steps.names


def healed(home: Home, site: Path) -> dict[str, Any]:
    """Say what the killed run left, run again, and say what there is then."""
    left = sum(1 for _ in site.rglob("*.pano-tmp"))
    if (site / "index.html").exists():
        crawl(site, is_settled=False)
    update(home.settings(), site)
    again = update(home.settings(), site)
    crawl(site)
    return {"left": left, "again": again.written + again.removed, "content": content(site)}


def main() -> None:
    home, before = Home(Path(sys.argv[1])), Path(sys.argv[2])
    report, trial = home.folder / "report.json", home.folder / "trial"
    for line in sys.stdin:
        shutil.rmtree(trial, ignore_errors=True)
        if before.exists():
            shutil.copytree(before, trial)
        if line.strip() == "count":
            in_child(lambda: victim(home, trial, None), report)
            answer = {"steps": json.loads(report.read_text()), "content": content(trial)}
        else:
            code = in_child(partial(victim, home, trial, int(line)), report)
            in_child(lambda: healed(home, trial), report)
            answer = {"code": code, **json.loads(report.read_text())}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
