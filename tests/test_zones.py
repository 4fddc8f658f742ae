"""One zone database: the newest, everywhere, SQL included; and only names that all understand."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from shared_files import snapshot_path
from test_library import made

from pano_analytics.errors import QueryError, SettingsError
from pano_analytics.model import zones
from pano_analytics.model.times import system_zone
from pano_analytics.settings import check

CHANGED = datetime(2026, 1, 15, tzinfo=UTC)
NOON = datetime(2026, 3, 3, 12, 0, 0)


def database(folder: Path, version: str | None, hours: int) -> Path:
    """Make a zone database whose Berlin is `hours` ahead of UTC from CHANGED on, for good."""
    (folder / "Europe").mkdir(parents=True)
    head = b"TZif2" + bytes(15)
    names = b"CET\0NEW\0"
    body = struct.pack(">q", int(CHANGED.timestamp())) + b"\1"
    body += struct.pack(">lbB", 3600, 0, 0) + struct.pack(">lbB", hours * 3600, 0, 4) + names
    first = head + struct.pack(">6l", 0, 0, 0, 0, 1, 4) + struct.pack(">lbB", 3600, 0, 0) + b"CET\0"
    second = head + struct.pack(">6l", 0, 0, 0, 1, 2, len(names)) + body
    (folder / "Europe" / "Berlin").write_bytes(first + second + f"\nNEW{-hours:+d}\n".encode())
    if version:
        (folder / "tzdata.zi").write_text(f"# version {version}\n# made up\n")
    return folder


SCRIPT = """
import json, sys
from datetime import datetime, timedelta
from pathlib import Path
import pandas as pd
import pano_analytics
from pano_analytics.model import zones
sys.path.insert(0, {tests!r})
from shared_files import clip_path, snapshot_path
from test_library import made
noon = datetime(2026, 3, 3, 12)
names = [snapshot_path("porch", noon + timedelta(minutes=20 * n)) for n in range(100)]
names.append(snapshot_path("porch", datetime(2026, 1, 10, 12)))
names.append(clip_path("porch", noon, noon + timedelta(seconds=20)))
library = made(Path({folder!r}), names)
media = library.media(kind="snapshot")
start = media["start"]
def ask(text):
    return library.sql(f"{{text}} FROM media WHERE kind = 'snapshot' ORDER BY start, path")
def equal(found, wanted):
    return found.iloc[:, 0].astype(str).tolist() == pd.Series(wanted).astype(str).tolist()
two = pd.Timestamp("2026-03-03 14:00", tz=library.zone)
after, expected = "SELECT 1 FROM media WHERE start >= {{}}", len(library.media(start=two))
lasted = "SELECT \\"end\\" - start AS d FROM media WHERE kind = 'clip'"
checks = dict(
    start=equal(ask("SELECT start"), start),
    hour=equal(ask("SELECT hour(start)"), start.dt.hour),
    trunc=equal(ask("SELECT date_trunc('day', start)"), start.dt.normalize()),
    bucket=equal(ask("SELECT time_bucket(INTERVAL 1 hour, start)"), start.dt.floor("h")),
    text=equal(ask("SELECT strftime(start, '%H:%M')"), start.dt.strftime("%H:%M")),
    date=equal(ask("SELECT start::DATE"), start.dt.date),
    naive=equal(ask("SELECT start AT TIME ZONE 'Europe/Berlin'"), start.dt.tz_localize(None)),
    wall=equal(ask("SELECT wall_start"), start.dt.tz_localize(None)),
    literal=len(library.sql(after.format("'2026-03-03 14:00'"))) == expected,
    aware=len(library.sql(after.format("?"), [two.tz_convert("UTC")])) == expected,
    lasted=library.sql(lasted)["d"].iloc[0] == pd.Timedelta("20s"),
    hours=library.activity("hour")["bucket"].is_monotonic_increasing,
)
utc = library.media(kind="clip")["start"].iloc[0].tz_convert("UTC").isoformat()
found = pano_analytics.doctor.examine(library).set_index("word")
told = found["evidence"].get("zone_rules_old", "")
duckdb = found["evidence"].get("zone_rules_duckdb", "")
print(json.dumps(dict(told=told, duckdb=duckdb, utc=utc,
    wrong=[name for name, ok in checks.items() if not ok],
    versions=[one.version for one in zones.databases()])))
"""


def asked(tmp_path: Path, folder: Path) -> dict[str, Any]:
    """Return what a process says that finds the database `folder` on the system."""
    script = SCRIPT.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONTZPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer


@pytest.mark.parametrize(
    ("version", "hours", "utc"),
    [
        ("2020a", 3, "2026-03-03T11:00:00+00:00"),
        (None, 3, "2026-03-03T11:00:00+00:00"),
        ("2099a", 3, "2026-03-03T09:00:00+00:00"),
        ("2099a", -8, "2026-03-03T20:00:00+00:00"),
    ],
)
def test_the_newest_database_is_used_by_media_and_sql(
    tmp_path: Path, version: str | None, hours: int, utc: str
) -> None:
    """An older system's rules are not taken, a newer one's are, and SQL agrees in every way."""
    answer = asked(tmp_path, database(tmp_path / "zones", version, hours))
    assert answer["wrong"] == []
    assert answer["utc"] == utc
    # The doctor says which other database shows another hour.
    assert "Europe/Berlin by" in answer["told"]
    assert f"({version or 'no version'})" in answer["told"]
    # DuckDB's rules cannot be replaced: it is named where those in use are others.
    is_other = version == "2099a"
    assert ("Europe/Berlin by the rules of DuckDB" in answer["duckdb"]) is is_other
    assert answer["versions"][0] == (
        "2099a" if version == "2099a" else zones._version(zones.SHIPPED)
    )


@pytest.mark.parametrize("zone", ["America/Havana", "America/Vancouver", "Europe/Berlin"])
def test_sql_agrees_where_laws_changed_lately(tmp_path: Path, zone: str) -> None:
    """The clock of media() is that of SQL, a year back from now by every month."""
    now = datetime.now().replace(microsecond=0)
    names = [snapshot_path("porch", now - timedelta(days=12 * n, hours=n)) for n in range(1, 31)]
    library = made(tmp_path, names, zone)
    found = library.sql("SELECT start, start::TIMESTAMP AS wall FROM media ORDER BY start")
    media = library.media()
    assert found["start"].tolist() == media["start"].tolist()
    assert found["wall"].tolist() == media["start"].dt.tz_localize(None).tolist()


def test_what_sql_cannot_correct_is_refused(tmp_path: Path) -> None:
    """Where DuckDB's rules are others, instants named by another clock are no silent answer."""
    from pano_analytics.library import zone_rules

    for text in (
        "SELECT epoch(start) FROM media",
        "SELECT start AT TIME ZONE 'UTC' FROM media",
        "SELECT * FROM media WHERE start > '2026-03-03 12:00:00+01:00'",
        "SELECT * FROM media WHERE start > '2026-03-03T12:00:00Z'",
        "SELECT now() - start FROM media",
    ):
        with pytest.raises(QueryError, match="newest zone database"):
            zone_rules.expect_own_clock(text, "Europe/Berlin")
    zone_rules.expect_own_clock("SELECT start AT TIME ZONE 'Europe/Berlin'", "Europe/Berlin")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("posix/Europe/Berlin", "did you mean 'Europe/Berlin'"),
        ("right/Europe/Berlin", "did you mean 'Europe/Berlin'"),
        ("europe/berlin", "did you mean 'Europe/Berlin'"),
        ("EUROPE/BERLIN", "did you mean 'Europe/Berlin'"),
        ("America/New York", "did you mean 'America/New_York'"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "did you mean 'Europe/"),
        ("Berlin", "did you mean 'Europe/Berlin'"),
        ("localtime", "this machine's is"),
        ("Factory", "this machine's is"),
        ("posixrules", "this machine's is"),
        ("PST", "did you mean 'America/Los_Angeles'"),
        ("CEST", "did you mean 'Europe/Berlin'"),
        ("XYZ", "this machine's is"),
        ("CET-1CEST", "did you mean 'Europe/Berlin'"),
        ("EST5EDT,M3.2.0,M11.1.0", "did you mean 'America/New_York'"),
        ("GMT+1", "a clock 1 hour ahead of UTC all year, use 'Etc/GMT-1': these names count the"),
        ("UTC+2", "2 hours ahead of UTC .* 'Etc/GMT-2'.* a place such as 'Europe/Berlin'"),
        ("utc-5", "5 hours behind UTC .* 'Etc/GMT\\+5'"),
        ("+01:00", "'Etc/GMT-1'"),
        ("UTC+5:30", "5:30 hours ahead of UTC use 'Asia/Kolkata'"),
        ("UTC+15", "no place is 15 hours ahead of UTC"),
        ("UTC+0", "did you mean 'UTC'"),
        ("Europe/Berln", "did you mean 'Europe/Berlin'"),
        ("", "this machine's is"),
    ],
)
def test_a_zone_that_not_all_parts_take_is_refused(name: str, meant: str) -> None:
    """In settings, for all and for one camera, with the name to use."""
    with pytest.raises(SettingsError, match=meant):
        check({"zone": name})
    with pytest.raises(SettingsError, match=meant):
        check({"cameras": [{"name": "porch", "zone": name}]})


@pytest.mark.parametrize(
    "name", ["posix/Europe/Berlin", ":Europe/Berlin", "/usr/share/zoneinfo/Europe/Berlin"]
)
def test_the_machines_zone_has_its_plain_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However TZ spells it."""
    monkeypatch.setenv("TZ", name)
    assert system_zone() == "Europe/Berlin"


def test_every_zone_is_one_that_duckdb_has() -> None:
    """What settings take, Python and DuckDB both know."""
    import duckdb

    known = {row[0] for row in duckdb.sql("SELECT name FROM pg_timezone_names()").fetchall()}
    assert zones.names() <= known
    assert all(ZoneInfo(name) for name in zones.names())
