"""`pano explain`, run as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pano_analytics import cli

SNAPSHOT = "front/AMC0028V_795UUB/2021-03-06/001/jpg/10/22/28[M][0@0][0].jpg"
START = b"from pano_analytics.cli import main; main()"
KEYS = ["path", "camera", "layout", "kind", "trigger", "start", "end", "zone"]


def told(*arguments: str, stdin: str | bytes | None = None) -> list[dict[str, object]]:
    result = CliRunner().invoke(cli.pano, ["explain", "--json", *arguments], input=stdin)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.output.splitlines()]


def words(*arguments: str) -> str:
    result = CliRunner().invoke(cli.pano, ["explain", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def pano(*arguments: bytes, **options: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [os.fsencode(sys.executable), b"-c", START, b"explain", *arguments],
        capture_output=True,
        check=True,
        env={**os.environ, **options},
    )


def test_a_snapshot_is_told_with_exactly_the_promised_keys() -> None:
    """One object a line, the eight keys in their order, times as the name says them."""
    (answer,) = told(SNAPSHOT)
    assert list(answer) == KEYS
    assert answer == {
        "path": SNAPSHOT,
        "camera": "front",
        "layout": "dahua-deep",
        "kind": "snapshot",
        "trigger": "motion",
        "start": "2021-03-06T10:22:28",
        "end": None,
        "zone": "camera",
    }


@pytest.mark.parametrize("path", ["Thumbs.db", "notes.txt", "2021-13-06/001/jpg/10/22/28[M].jpg"])
def test_where_nothing_is_read_all_but_path_kind_and_layout_is_null(path: str) -> None:
    """An ignored or unknown path has neither camera nor trigger nor times nor zone."""
    (answer,) = told(path)
    assert answer["kind"] in ("ignore", "unknown")
    assert [answer[key] for key in ("camera", "trigger", "start", "end", "zone")] == [None] * 5


def test_milliseconds_are_told_where_the_name_has_them() -> None:
    """Hikvision's stamps have three more digits; whole seconds carry no fraction."""
    (answer,) = told("192.168.0.64_01_20190319093422939_MOTION_DETECTION.jpg")
    assert answer["start"] == "2019-03-19T09:34:22.939"


def test_a_clip_without_a_time_has_no_zone() -> None:
    """A zone would speak of times that are not there."""
    (answer,) = told("29M00S60.mp4")
    assert (answer["kind"], answer["start"], answer["zone"]) == ("clip", None, None)


def test_names_in_utc_say_so() -> None:
    """Yi writes UTC on its card."""
    (answer,) = told("2020Y08M24D12H/E110M10S50.mp4")
    assert (answer["zone"], answer["end"]) == ("utc", "2020-08-24T12:11:00")


@pytest.mark.parametrize("arguments", [["-"], ["--stdin"]])
def test_paths_come_from_stdin_one_a_line(arguments: list[str]) -> None:
    """With Windows line ends as well, and an empty line is no path."""
    answers = told(*arguments, stdin=f"{SNAPSHOT}\r\n\nnotes.txt\n")
    assert [answer["path"] for answer in answers] == [SNAPSHOT, "notes.txt"]


@pytest.mark.parametrize(
    ("path", "camera"),
    [
        ("front/deep/2021-03-06/001/jpg/10/22/28[M].jpg", "front"),
        ("ROOT/front/deep/2021-03-06/001/jpg/10/22/28[M].jpg", "front"),
        ("AMC0028V_795UUB/2021-03-06/001/jpg/10/22/28[M].jpg", "uploads"),
        ("2021-03-06/001/jpg/10/22/28[M].jpg", "uploads"),
        ("/elsewhere/cam/2021-03-06/001/jpg/10/22/28[M].jpg", "cam"),
        ("../cam/2021-03-06/001/jpg/10/22/28[M].jpg", "cam"),
    ],
)
def test_a_known_root_names_the_camera(tmp_path: Path, path: str, camera: str) -> None:
    """Its first level, or the root where that is a date or a serial; elsewhere a guess."""
    root = tmp_path / "uploads"
    (answer,) = told("--uploads", str(root), path.replace("ROOT", str(root)))
    assert answer["camera"] == camera


def test_words_tell_the_same() -> None:
    """Camera, layout, kind, trigger with the vendor's own word, start, end and whose clock."""
    said = words("2021-03-06/10hour/mp4/23.59.59-00.00.30[M][0@0][0].mp4")
    for part in ("a clip", "amcrest-hour", "motion (M)", "2021-03-06T23:59:59 (the camera's clock"):
        assert part in said
    assert "2021-03-07T00:00:30" in said
    assert "not given by the path" in said


def test_words_say_why_nothing_is_read() -> None:
    """The impossible month is named."""
    assert "month must be in 1..12" in words("2021-13-06/001/jpg/10/22/28[M].jpg")


def test_without_any_path_it_says_what_it_wants() -> None:
    """Not silence: a usage error with both ways to name paths."""
    result = CliRunner().invoke(cli.pano, ["explain"])
    assert result.exit_code == 2
    assert "--stdin" in result.output


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_bytes_that_are_no_utf_8_are_spelled(encoding: str) -> None:
    """As %XX, in words and in JSON, whatever the terminal can show."""
    path = b"caf\xe9/\xc3\xa9/2021-03-06/001/jpg/10/22/28[M].jpg"
    said = pano(path, PYTHONIOENCODING=encoding).stdout
    answer = json.loads(pano(path, b"--json", PYTHONIOENCODING=encoding).stdout)
    assert said.startswith(b"caf%E9/")
    assert answer["path"] == "caf%E9/é/2021-03-06/001/jpg/10/22/28[M].jpg"


def test_a_hostile_name_cannot_steer_the_terminal() -> None:
    """Escape sequences and newlines in a name come out spelled."""
    said = words("a\x1b[2J\nb/2021-03-06/001/jpg/10/22/28[M].jpg")
    assert "\x1b" not in said
    assert said.startswith("a\\x1b[2J\\nb/")


def test_it_starts_without_the_heavy_libraries() -> None:
    """No frame, no Parquet and no dashboard is loaded to look at a text."""
    code = (
        "import sys, pano_analytics.cli.explain as e;"
        "print([m for m in ('pandas', 'pyarrow', 'duckdb', 'panel', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- with settings --------------------------------------------------------------


SET = """
uploads = "ftp"
[[cameras]]
name = "Front Door"
folder = "Front Door"
[[cameras]]
name = "gate"
folder = "old/side"
layout = "{start:%Y_%m_%d_%H_%M_%S}.jpg"
"""
DEEP = "AMC001/2021-03-06/001/jpg/10/22/28[M][0@0][0].jpg"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with settings in it, in which one is."""
    monkeypatch.delenv("PANO_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pano.toml").write_text(SET)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "camera"),
    [
        (f"ftp/Front Door/{DEEP}", "Front Door"),
        (f"./ftp/Front Door/{DEEP}", "Front Door"),
        (f"HOME/ftp/Front Door/{DEEP}", "Front Door"),
        (f"ftp/AMC001/{DEEP}", "AMC001"),
        ("ftp/2021-03-06/001/jpg/10/22/28[M].jpg", "ftp"),
        ("ftp/old/side/2021_03_06_10_22_28.jpg", "gate"),
        (f"elsewhere/{SNAPSHOT}", "front"),
        (f"/elsewhere/{SNAPSHOT}", "front"),
    ],
)
def test_the_settings_name_the_camera(home: Path, path: str, camera: str) -> None:
    """Below their uploads it is the one that ingest takes; elsewhere a guess, as without."""
    (answer,) = told(path.replace("HOME", str(home)))
    assert (answer["camera"], answer["kind"]) == (camera, "snapshot")


def test_what_does_not_fit_the_cameras_template_is_said(home: Path) -> None:
    """A camera with a layout of its own is read in that alone."""
    assert "does not fit the template" in words(f"ftp/old/side/{DEEP}")


def test_settings_are_found_as_elsewhere(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By --config and by PANO_CONFIG, from any folder."""
    (away := tmp_path / "away").mkdir()
    monkeypatch.chdir(away)
    path = f"{home}/ftp/Front Door/{DEEP}"
    assert told(path)[0]["camera"] == "AMC001"
    assert told("--config", str(home / "pano.toml"), path)[0]["camera"] == "Front Door"
    monkeypatch.setenv("PANO_CONFIG", str(home / "pano.toml"))
    assert told(path, f"../ftp/Front Door/{DEEP}")[1]["camera"] == "Front Door"
