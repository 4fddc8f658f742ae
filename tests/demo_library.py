"""A small demonstration home, made once a test run and only read; its Tuesday has the incident."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

import pano_demo
from pano_analytics.ingest.run import ingest
from pano_analytics.library import Library
from pano_analytics.settings import Settings
from pano_demo import make_demo, truth_path

__all__ = ["DemoHome", "demo_home"]

ZONE = "Europe/Berlin"
# Half an hour into a Wednesday, and three days back: so the wind and the rain of the
# story, which each take a day, fall on the Monday and the Wednesday. The street's
# camera is left out, for the stranger does not pass it.
END = datetime(2026, 11, 18, 0, 30)
DAYS = 3
CAMERAS = 5


@dataclass(frozen=True)
class DemoHome:
    """Where a demonstration home lies: its uploads, and the library made of them."""

    uploads: Path
    folder: Path

    @property
    def library(self) -> Library:
        """The library, opened anew."""
        return Library.of(settings_of(self))

    @property
    def truth(self) -> pd.DataFrame:
        """What truly happened, one row an event."""
        return pd.read_parquet(truth_path(self.uploads))


def settings_of(home: DemoHome) -> Settings:
    return Settings(uploads=home.uploads, library=home.folder, zone=ZONE)


def lay_uploads(target: Path) -> None:
    """Copy the uploads to `target`, made if no earlier run of the tests left them.

    The generator gives the same bytes each time, and takes a minute: the copy is
    kept beside other temporary files, under a name made of the generator's code.
    """
    kept = Path(tempfile.gettempdir()) / f"pano-demonstration-{os.getuid()}-{_generator()}"
    with kept.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            making = Path(tempfile.mkdtemp(prefix=f"{kept.name}."))
            make_demo(making / "uploads", end=END, days=DAYS, cameras=CAMERAS, zone=ZONE)
            making.rename(kept)
        # With their times: they say when an upload arrived.
        shutil.copytree(kept / "uploads", target, copy_function=shutil.copy2)
        shutil.copy2(truth_path(kept / "uploads"), truth_path(target))


def _generator() -> str:
    """Return a short hash of the generator's code and of what it is asked for."""
    folder = Path(pano_demo.__file__).parent
    code = [path.read_bytes() for path in sorted(folder.rglob("*")) if path.suffix == ".py"]
    asked = repr((END, DAYS, CAMERAS, ZONE)).encode()
    return hashlib.sha256(b"".join([*code, asked])).hexdigest()[:12]


@pytest.fixture(scope="session")
def demo_home(tmp_path_factory: pytest.TempPathFactory) -> DemoHome:
    """Three days of five cameras; the first process that needs it makes it for all."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own
    home = DemoHome(shared / "demo-uploads", shared / "demo-library")
    with (shared / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home.folder / "made").exists():
            lay_uploads(home.uploads)
            ingest(settings_of(home))
            (home.folder / "made").touch()
    return home
