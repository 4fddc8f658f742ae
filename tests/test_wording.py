"""What people read has the right number, and no word of Python or pandas for what is missing."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from shared_files import snapshot_path

from pano_analytics.cli import cull, main
from pano_analytics.cli.demo import _line as demo_line
from pano_analytics.cli.doctor import _in_words
from pano_analytics.dashboard import payloads
from pano_analytics.dashboard.answers import Uploads, find_item
from pano_analytics.dashboard.selection import Selection
from pano_analytics.doctor.findings import WORDS, Finding, table
from pano_analytics.library import Library
from pano_analytics.settings import load
from pano_analytics.upkeep import culling
from pano_analytics.upkeep.culling.planning import Left
from pano_demo import DemoSummary

# One of something in the plural, and how Python, NumPy and pandas write what is missing.
WRONG = re.compile(
    r"(?<![\d.,:-])1 (?:of (?:its|the newest) )?(?!s\b)[a-z]+s\b(?! (?:is|was)\b)|"
    r"\b(?:its|newest|last) 1 [a-z]+s\b|\b(?:NaN|nan|NaT|None|<NA>)\b"
)


def assert_reads_well(text: str) -> None:
    """Fail where a sentence has a wrong number or a missing value in it."""
    assert WRONG.findall(text) == [], text


@pytest.mark.parametrize("text", ["1 days", "its 1 uploads", "nan: x", "since NaT", "last None"])
def test_the_test_finds_what_it_looks_for(text: str) -> None:
    assert WRONG.search(text)


SETTINGS = """
uploads = "uploads"
library = "library"
zone = "UTC"
keep_days = 1
[ingest]
quiet_s = 0
[cull]
rows_days = 1
[site]
folder = "pages"
[doctor]
days = 1
recent_days = 1
no_clips_days = 1
[[cameras]]
name = "porch"
[[cameras]]
name = "never"
"""


@pytest.fixture(params=[0, 1], ids=["nothing came", "one upload"])
def home(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library of no upload, or of one, with one unknown file; every limit is one day."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PANO_CONFIG", raising=False)
    Path("pano.toml").write_text(SETTINGS)
    Path("uploads/porch").mkdir(parents=True)
    Path("uploads/porch/what.xyz").write_bytes(b"x")
    if request.param:
        old = datetime.now() - timedelta(days=3)
        path = Path("uploads") / snapshot_path("porch", old.replace(microsecond=0))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


def test_every_command_reads_well(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With nothing and with one of everything, in every command that speaks of counts."""
    for call in (
        *(
            "init --uploads uploads --output new.toml",
            "ingest",
            "status",
            "doctor",
            "check",
            "check --depth hash",
            "ingest --unknown",
        ),
        *("camera list", "cull", "cull --adopt", "cull", "cull --files", "cull --delete"),
        *("site", "rebuild", "status", "backup kept.tar", "doctor"),
    ):
        with pytest.raises(SystemExit):
            main(call.split())
        said = capsys.readouterr()
        assert_reads_well(said.out + said.err)
        assert not re.search(r"(?m)^\s*(\w+): \1: ", said.out), said.out
        assert "Traceback" not in said.err, (call, said.err)
    assert_reads_well(Path("new.toml").read_text(encoding="utf-8"))


def test_pages_and_payloads_read_well(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The dashboard's words and the site's pages, too."""
    for call in ("ingest --quiet", "site"):
        with pytest.raises(SystemExit):
            main(call.split())
    library = Library.of(load(Path("pano.toml")))
    now, frame = datetime.now(), library.media()
    heads = [
        payloads.gallery_head(Uploads(frame, has_more=more), None, Selection(), is_known=True)
        for more in (True, False)
    ]
    said = [payloads.overview(library.cameras(), now), *heads]
    said += [
        payloads.item(find_item(library, one, None, None), library.zone)
        for one in frame["media_id"]
    ]
    for one in said:
        assert_reads_well(" ".join(map(str, _texts(one))))
    for page in Path("pages").rglob("*.html"):
        assert_reads_well(re.sub(r"<[^>]*>", " ", page.read_text(encoding="utf-8")))


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for key, one in value.items() if key != "call" for text in _texts(one)]
    if isinstance(value, list | tuple):
        return [text for one in value for text in _texts(one)]
    return [value] if isinstance(value, str) else []


def test_findings_about_all_cameras_name_nobody() -> None:
    """Beside a camera's own finding the camera of the other stays null and is said as "all"."""
    told = ("problem", "certain", "it is so", "Do it.")
    found = table([Finding(None, "disk_small", *told), Finding("a", "no_clips", *told)], UTC_ZONE)
    assert set(found["camera"]) == {"a", None}
    text = "\n".join(_in_words(found, "1 camera"))
    assert "all: it is so" in text
    assert_reads_well(text)
    assert set(WORDS) > set(found["word"])


UTC_ZONE = ZoneInfo("UTC")


def test_culling_and_forecast_read_well() -> None:
    """One day, one file, one byte."""
    room = culling.Room("porch", 1, 9.0, 1, 9.0, 1, 0)
    assert room.text == "porch: only 0 of 1"
    then = datetime(2026, 3, 3, tzinfo=UTC)
    left = Left("porch", 1, 0, 0, 1, 1, then, 1, then)
    text = "\n".join(cull._in_words(culling.CullPlan(then, (), (), (left,)), [room], False))
    assert "1 file" in text
    assert "only 0 of 1 day\n" in text
    assert_reads_well(text)


def test_the_demonstration_reads_well() -> None:
    """One of everything."""
    made = DemoSummary(Path("x"), Path("y"), "UTC", 1, 1, 1, 1, 1, 1.0, None, None)
    assert_reads_well(demo_line(made))
