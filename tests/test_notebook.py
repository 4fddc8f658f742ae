"""The notebook runs top to bottom, and finds what truly happened."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from demo_library import DemoHome, demo_home
from nbclient import NotebookClient

from pano_analytics import inspection
from pano_analytics.present import clips

__all__ = ["demo_home"]

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "investigate_incident.ipynb"


@pytest.fixture(scope="module")
def evidence(demo_home: DemoHome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the notebook leaves behind after a run on the demonstration."""
    folder = tmp_path_factory.mktemp("evidence")
    where = {"PANO_LIBRARY": str(demo_home.folder), "PANO_EVIDENCE": str(folder)}
    book = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(book, timeout=240, kernel_name="python3").execute(
        cwd=str(NOTEBOOK.parent), env={**os.environ, **where}
    )
    shown = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    (folder / "shown.txt").write_text("\n".join(str(output) for output in shown))
    return folder


def test_the_stranger_is_found(evidence: Path, demo_home: DemoHome) -> None:
    """The evidence is the incident, all of it: every file of it, and nothing of another story."""
    truth = demo_home.truth
    of_file = truth.explode("files").set_index("files")
    listed = pd.read_csv(evidence / "evidence.csv")
    assert set(listed["path"]) == set(of_file.index[of_file["kind"] == "incident"])


def test_cameras_come_in_the_order_of_the_path(evidence: Path) -> None:
    """Though one clock is 47 minutes slow, the path runs from the side gate to the driveway."""
    passed = pd.read_csv(evidence / "evidence.csv")["camera"]
    assert list(passed.drop_duplicates()) == ["side_gate", "garden", "garage", "driveway"]


def test_times_are_near_the_truth(evidence: Path, demo_home: DemoHome) -> None:
    """What is told as seen lies within a minute of what was truly recorded."""
    listed = pd.read_csv(evidence / "evidence.csv")
    files = demo_home.truth.explode("files").set_index("files").loc[listed["path"]]
    seen = pd.to_datetime(listed["seen"], utc=True).array
    assert (seen >= files["start"].array - pd.Timedelta(minutes=1)).all()
    assert (seen <= files["end"].array + pd.Timedelta(minutes=1)).all()


def test_hashes_hold_and_the_clip_plays(evidence: Path) -> None:
    """No file was changed since it was read, and the film is one that browsers play."""
    listed = pd.read_csv(evidence / "evidence.csv")
    assert listed["is_unchanged"].all()
    assert listed["sha256"].str.fullmatch("[0-9a-f]{64}").all()
    [film] = evidence.glob("*.mp4")
    assert inspection.inspect_file(film, "clip", None).state == "complete"
    assert not clips.needs_remux(film)


def test_pictures_and_clip_are_shown(evidence: Path) -> None:
    """Figures, thumbnails and the film are in what the notebook shows."""
    shown = (evidence / "shown.txt").read_text()
    assert shown.count("<figure") > 10
    assert "data:video/mp4;base64" in shown
    assert "application/vnd.holoviews_exec" in shown
