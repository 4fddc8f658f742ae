"""A name that is not known is answered with the one that was meant, wherever it stands."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from shared_files import snapshot_path
from test_library import made

from pano_analytics.cli import pano
from pano_analytics.errors import QueryError, SettingsError
from pano_analytics.model import alike
from pano_analytics.receive.accounts import AccountError
from pano_analytics.settings import check
from pano_analytics.upkeep.check import check as check_library

NOON = datetime(2026, 3, 3, 12, 0, 0)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"zoen": "UTC"}, "zone"),
        ({"dashbord": {"port": 1}}, "dashboard"),
        ({"camera": [{"name": "porch"}]}, "cameras"),
        ({"cameras": [{"name": "porch", "fodler": "x"}]}, "folder"),
        ({"cameras": [{"name": "porch"}, {"name": "yard", "keep_day": 3}]}, "keep_days"),
        ({"receive": {"pasive_ports": [1, 2]}}, "passive_ports"),
        ({"up": {"heartbeat": "x"}}, "heartbeat_url"),
        ({"cameras": [{"name": "porch", "layout": "amcrst"}]}, "amcrest"),
        ({"cameras": [{"name": "porch", "layout": ["auto", "Amcrest"]}]}, "amcrest"),
    ],
)
def test_an_unknown_setting_is_answered_with_the_one_that_was_meant(
    said: dict[str, Any], meant: str
) -> None:
    """Keys of each table, names of tables, names of layouts."""
    with pytest.raises(SettingsError, match=f"(?i)did you mean '{meant}'"):
        check(said)


def test_what_resembles_nothing_gets_no_guess() -> None:
    """The list of what there is has to do."""
    with pytest.raises(SettingsError) as caught:
        check({"xyzzy": 1})
    assert "mean" not in str(caught.value)
    assert alike.hint("xyzzy", ["porch", "yard"]) == ""
    assert alike.hint(["Proch", "yrd"], ["porch", "yard"]) == " Did you mean 'porch' or 'yard'?"


def test_an_unknown_name_in_a_library_is_answered_with_the_one_that_was_meant(
    tmp_path: Path,
) -> None:
    """Cameras, tables, columns, kinds, states, buckets and depths."""
    library = made(tmp_path, [snapshot_path("porch", NOON)])
    wrong = {
        "porch": lambda: library.media(camera="proch"),
        "camera": lambda: library.media(columns="camra"),
        "complete": lambda: library.media(state="complet"),
        "frames": lambda: library.parts("frame"),
        "hour": lambda: library.activity("hours"),
        "porch ": lambda: check_library(library, camera="porh"),
        "decode": lambda: check_library(library, depth="decod"),
        "media": lambda: library.sql("SELECT * FROM meda"),
        "start": lambda: library.sql("SELECT strat FROM media"),
    }
    for meant, ask in wrong.items():
        with pytest.raises(QueryError, match=rf"(?is)(did you mean|candidate).*{meant.strip()}"):
            ask()


def test_an_unknown_camera_on_the_command_line_is_answered_with_the_one_that_was_meant(
    tmp_path: Path,
) -> None:
    """In `pano check` and `pano camera`."""
    made(tmp_path, [snapshot_path("porch", NOON)])
    own = ["--library", str(tmp_path / "library"), "--uploads", str(tmp_path / "uploads")]
    done = command("check", *own, "--camera", "proch")
    assert isinstance(done.exception, QueryError)
    assert "Did you mean 'porch'?" in str(done.exception)
    assert command("camera", "add", "porch", "--no-wait", *own).exit_code == 0
    done = command("camera", "password", "prch", *own)
    assert isinstance(done.exception, AccountError)
    assert "Did you mean 'porch'?" in str(done.exception)


def command(*words: str) -> Result:
    return CliRunner().invoke(pano, list(words))
