"""The doctor: each finding is made where it is true, and only there."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from demo_library import DemoHome, demo_home
from hypothesis import given
from hypothesis import strategies as st
from lived_in import film, fresh, lay, picture, run
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.handlers.ftp.dispatchers import PassiveDTP
from pyftpdlib.ioloop import IOLoop
from pyftpdlib.servers import FTPServer
from receiving import TINY_JPEG, Running, let_in, login, settings_of, store
from receiving import serving as serving_own
from shared_files import MEDIA, clip_path, needs_media, snapshot_path

from pano_analytics import doctor
from pano_analytics.cli import pano
from pano_analytics.doctor import (
    COLUMNS,
    CONFIDENCES,
    SEVERITIES,
    WORDS,
    FtpEndpoint,
    arrivals,
    clock,
    disk,
    examine,
    ports,
    reception,
)
from pano_analytics.doctor import picture as lines
from pano_analytics.doctor.case import NEEDED, Case
from pano_analytics.doctor.menus import menu_of
from pano_analytics.errors import AttentionNeeded, LibraryError, SettingsError
from pano_analytics.library import Library
from pano_analytics.model.times import ZoneInfo
from pano_analytics.receive.accounts import Accounts
from pano_analytics.settings import Doctor, Settings
from pano_analytics.store.home import Home
from pano_analytics.store.storage import Storage

__all__ = ["demo_home"]

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = pd.Timestamp("2026-03-02 08:00", tz=BERLIN)
DAY = pd.Timedelta(days=1)


def uploads(
    number: int = 60,
    kind: str = "snapshot",
    begin: pd.Timestamp = MONDAY,
    step: str = "30min",
    lag_s: Any = 2.0,
    **columns: Any,
) -> pd.DataFrame:
    """Return the rows of `number` whole uploads, each `lag_s` seconds late."""
    start = pd.Series(pd.date_range(begin, periods=number, freq=step).as_unit("us"))
    end = start + pd.Timedelta(seconds=10) if kind == "clip" else start.where(start.isna())
    lags = pd.to_timedelta(pd.Series(lag_s, index=start.index, dtype="float64"), unit="s")
    told: dict[str, Any] = {
        "kind": kind,
        "trigger": "motion",
        "start": start,
        "end": end,
        "wall_start": start.dt.tz_localize(None),
        "time_source": "name",
        "clock_offset_s": float("nan"),
        "layout": "dahua-deep",
        "sequence": "0",
        "arrived": end.fillna(start) + lags,
        "state": "complete",
        "width": 1920,
        "height": 1080,
        "fps": 25.0 if kind == "clip" else float("nan"),
        "codec": "h264" if kind == "clip" else "jpeg",
        "camera_clock": pd.NaT,
        **columns,
    }
    frame = pd.DataFrame({name: told[name] for name in NEEDED})
    frame["camera_clock"] = pd.to_datetime(frame["camera_clock"])
    return frame


def case(*frames: pd.DataFrame, **rules: Any) -> Case:
    every = pd.concat(frames).sort_values("start", kind="stable").reset_index(drop=True)
    counts = every["kind"].value_counts()
    return Case(
        *("porch", every, int(counts.get("snapshot", 0)), int(counts.get("clip", 0)), BERLIN),
        Doctor(**rules),
    )


def clock_findings(one: Case, common_s: float = 0.0) -> list[doctor.Finding]:
    return clock.check(one, clock.judge(one), common_s)


# --- clocks -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lag_s", "ahead_s"),
    [(2820, -2820), (-180, 180), (3602, -3602), (-7200, 7200), (130, -130), (8e8, -8e8)],
)
def test_a_clock_that_is_off_is_told_with_its_error(lag_s: float, ahead_s: float) -> None:
    """All uploads come the same time late, or before they happened: the clock is off by that."""
    told = uploads(lag_s=lag_s)
    [found] = clock_findings(case(told))
    assert (found.word, found.severity, found.value) == ("clock_off", "problem", ahead_s)
    assert found.since == told["arrived"].iloc[0].normalize()


@pytest.mark.parametrize("lag_s", [0, 2, 60, 110, -30])
def test_a_clock_that_is_right_is_left_alone(lag_s: float) -> None:
    """Seconds to a minute are an upload's own time."""
    assert clock_findings(case(uploads(lag_s=lag_s))) == []


def test_a_slow_network_is_no_clock() -> None:
    """Where some uploads are quick and others come hours later, the clock is right."""
    lags = [3 if number % 5 == 0 else 600 * (number % 9) for number in range(60)]
    assert clock_findings(case(uploads(lag_s=lags))) == []


def test_uploads_that_are_always_late_by_another_time_are_called_late() -> None:
    """None comes quickly, each takes another time: a network or a delay, not a clock."""
    lags = [1500 + 613 * (number % 11) for number in range(60)]
    [found] = clock_findings(case(uploads(lag_s=lags)))
    assert (found.word, found.severity) == ("uploads_late", "advice")


def test_a_copied_tree_tells_nothing_of_clocks() -> None:
    """Files that were all copied here at one time are no evidence, however old they are."""
    told = uploads()
    told["arrived"] = told["start"].iloc[-1] + pd.Timedelta(hours=5)
    assert clock_findings(case(told)) == []


def test_a_few_files_copied_later_tell_nothing_of_clocks() -> None:
    """A minute's uploads that came together an hour late may be a copy."""
    assert clock_findings(case(uploads(30, step="2s", lag_s=3600))) == []


def test_a_clock_that_was_set_is_believed_again() -> None:
    """Once the newest uploads are right, the days before are forgiven."""
    wrong, right = uploads(60, lag_s=2820), uploads(10, begin=MONDAY + 2 * DAY)
    assert clock_findings(case(wrong, right)) == []
    [found] = clock_findings(case(right, uploads(60, begin=MONDAY + 4 * DAY, lag_s=2820)))
    assert found.since is not None
    assert found.since.date() == (MONDAY + 4 * DAY).date()


def test_a_clock_that_ingest_corrected_is_told_all_the_same() -> None:
    """`start` was moved to the arrival; what the name said counts here."""
    moved = uploads(lag_s=2, time_source="arrival", clock_offset_s=7200.0)
    [found] = clock_findings(case(moved))
    assert found.value == 7198


def test_odd_files_are_no_clock() -> None:
    """Two of sixty that came in advance, and one a day late, change nothing."""
    lags = [2.0] * 60
    lags[50], lags[51], lags[55] = -4000, -4000, 86_400
    assert clock_findings(case(uploads(lag_s=lags))) == []


def test_a_clock_that_runs_away_is_told_by_how_much() -> None:
    """Twenty seconds per day, over days of uploads."""
    lags = [300 + 20 * number / 48 for number in range(480)]
    [found] = clock_findings(case(uploads(480, lag_s=lags), clock_off_minutes=2))
    assert "losing 20 s per day" in found.evidence


@pytest.mark.parametrize(
    ("lag_s", "month", "cause"),
    [
        (3603, "01", "uses UTC"),
        (3603, "07", "daylight saving"),
        (7203, "07", "uses UTC"),
        (-3597, "01", "daylight saving"),
        (10_803, "01", "time zone"),
        (2820, "01", "Set the clock"),
        (8e8, "01", "not been set"),
    ],
)
def test_the_cause_is_guessed_from_the_error(lag_s: float, month: str, cause: str) -> None:
    """Whole hours are zones, one hour is daylight saving, decades are a clock never set."""
    begin = pd.Timestamp(f"2026-{month}-10 08:00", tz=BERLIN)
    [found] = clock_findings(case(uploads(begin=begin, lag_s=lag_s)))
    assert cause in found.advice
    assert "Setup > System > General > Date & Time" in found.advice


def test_what_most_cameras_share_is_not_theirs() -> None:
    """Most clocks off by the same: the zone, or this computer; one that differs is told apart."""
    off, other = case(uploads(lag_s=-3600)), case(uploads(lag_s=-7200))
    clocks = [clock.judge(one) for one in (off, off, other)]
    common_s = clock.common_ahead_s(clocks)
    assert common_s == 3600
    [shared], [own] = clock_findings(off, common_s), clock_findings(other, common_s)
    assert "`zone` in pano.toml" in shared.advice
    assert "2 h ahead, 1 h ahead against the other cameras" in own.evidence
    assert "Off by one hour" in own.advice
    assert clock.common_ahead_s(clocks[1:]) == 0


def test_a_clock_inside_pictures_that_contradicts_their_names_is_told() -> None:
    """Names by somebody else's clock: the camera's own is in the pictures."""
    told = uploads()
    told["camera_clock"] = told["wall_start"] + pd.Timedelta(hours=1)
    [found] = clock_findings(case(told))
    assert (found.word, found.value) == ("clock_off", 3600)


@given(st.floats(-1e6, 1e6), st.integers(0, 50))
def test_an_error_is_measured_as_it_is(error_s: float, slowness_s: int) -> None:
    """Whatever the error and however slow the network, within a minute what is told is true."""
    lags = [error_s + (slowness_s * number % 53) for number in range(60)]
    told = [one for one in clock_findings(case(uploads(lag_s=lags))) if one.word == "clock_off"]
    assert bool(told) or abs(error_s) < 120 + 53
    for one in told:
        assert one.value is not None
        assert abs(one.value + error_s) <= 53


# --- what lacks -------------------------------------------------------------------------


def words(found: list[doctor.Finding]) -> list[tuple[str, str]]:
    return [(one.word, one.severity) for one in found]


def test_clips_that_stopped_are_a_problem() -> None:
    """Snapshots of motion go on for days after the last clip."""
    clips = uploads(20, "clip", MONDAY)
    found = arrivals.missing_kind(case(clips, uploads(200, begin=MONDAY)))
    assert words(found) == [("no_clips", "problem")]
    assert "20 clips before" in found[0].evidence


def test_a_camera_that_never_sent_a_clip_gets_advice() -> None:
    """It may be meant so."""
    assert words(arrivals.missing_kind(case(uploads(200)))) == [("no_clips", "advice")]


def test_snapshots_that_stopped_are_told_as_well() -> None:
    """The reverse."""
    shots, clips = uploads(20, begin=MONDAY), uploads(200, "clip", MONDAY)
    assert words(arrivals.missing_kind(case(shots, clips))) == [("no_snapshots", "problem")]


@pytest.mark.parametrize(
    "told",
    [
        uploads(40, step="10min"),  # one day only
        uploads(9, step="12h"),  # too few to say
        uploads(40, step="24h", trigger="scheduled"),  # nothing moved
    ],
    ids=["one day", "few", "scheduled"],
)
def test_no_clip_where_none_was_due_is_no_finding(told: pd.DataFrame) -> None:
    """One day, few pictures, or pictures at set times prove nothing."""
    assert arrivals.missing_kind(case(told)) == []


# --- cut --------------------------------------------------------------------------------


def some_cut(number: int, wrong: int, begin: pd.Timestamp, step: str) -> pd.DataFrame:
    states = ["partial", "damaged", "empty"] * wrong
    told = uploads(number, "clip", begin, step)
    told["state"] = [*states[:wrong], *["complete"] * (number - wrong)]
    return told


def test_more_cut_uploads_than_before_are_told_in_figures() -> None:
    """12 of the last 40, 2 of 300 before."""
    before, recent = some_cut(300, 2, MONDAY, "30min"), some_cut(40, 12, MONDAY + 8 * DAY, "20min")
    [found] = arrivals.cut(case(before, recent))
    assert (found.word, found.severity, found.value) == ("uploads_cut", "problem", 12 / 40)
    assert "12 of the last 40 clips cut off; 2 of 300 in the days before" in found.evidence
    assert "(Setup > Camera > Video > Video, Main Stream: Bit Rate)" in found.advice


def test_a_few_cut_uploads_are_no_rise() -> None:
    """One or two among the newest, where a hundredth is usual, are chance."""
    before = some_cut(300, 3, MONDAY, "30min")
    for wrong in (0, 1, 2):
        recent = some_cut(40, wrong, MONDAY + 8 * DAY, "20min")
        assert arrivals.cut(case(before, recent)) == []


def test_always_many_cut_uploads_are_told() -> None:
    """A third of them, for days: not rising, and wrong."""
    days = [some_cut(30, 10, MONDAY + day * DAY, "20min") for day in range(8)]
    [found] = arrivals.cut(case(*days))
    assert "80 of 240 clips cut off" in found.evidence


def test_what_is_not_opened_yet_counts_for_nothing() -> None:
    """Unread, pending, missing and culled uploads are neither whole nor cut."""
    before = some_cut(300, 2, MONDAY, "30min")
    for state in ("unread", "pending", "missing", "culled"):
        recent = uploads(40, "clip", MONDAY + 8 * DAY, "20min", state=state)
        assert arrivals.cut(case(before, recent)) == []


def test_what_waits_to_be_opened_hides_no_cut_uploads() -> None:
    """12 of the 40 that were opened, whatever the 400 that were not will be."""
    before, recent = some_cut(300, 2, MONDAY, "30min"), some_cut(40, 12, MONDAY + 8 * DAY, "20min")
    waiting = uploads(400, "clip", MONDAY + 8 * DAY, "2min", state="unread")
    [found] = arrivals.cut(case(before, recent, waiting))
    assert "12 of the last 40 clips cut" in found.evidence


@pytest.mark.parametrize(
    ("newly", "new", "before", "old"), [(3, 40, 5, 200), (150, 1000, 300, 3000), (2, 2, 0, 900)]
)
def test_chance_and_small_changes_are_no_rise(newly: int, new: int, before: int, old: int) -> None:
    """Once in eight such days by chance; not even twice as many; two files."""
    assert not arrivals.is_rising(newly, new, before, old)
    assert arrivals.is_rising(newly + 9, new + 9, 0, old)


def test_fisher_is_right() -> None:
    """His lady, four cups of eight: 1 in 70 for all, 17 in 70 for three or more."""
    assert arrivals.by_chance(4, 4, 0, 4) == pytest.approx(1 / 70)
    assert arrivals.by_chance(3, 4, 1, 4) == pytest.approx(17 / 70)


# --- pictures ---------------------------------------------------------------------------


def test_lines_under_the_floor_are_told() -> None:
    """480 lines where 1080 are wanted; always so is advice."""
    small = uploads(width=640, height=480)
    [found] = lines.resolution(case(small))
    assert (found.word, found.severity, found.value, found.limit) == (
        *("resolution_low", "advice", 480, 1080),
    )
    assert lines.resolution(case(small, min_height=480)) == []


def test_a_stream_that_became_small_is_a_problem() -> None:
    """It was 1920x1080 until Wednesday."""
    small = uploads(30, "clip", MONDAY + 3 * DAY, width=704, height=576)
    [found] = lines.resolution(case(uploads(60, "clip"), small))
    assert found.severity == "problem"
    assert "60 clips before were 1920x1080" in found.evidence
    assert found.since == MONDAY + 3 * DAY


def test_crops_and_cameras_on_their_side_are_not_small() -> None:
    """A crop of a shot is small by nature; 1080x1920 has 1080 lines, turned."""
    crops = uploads(40, begin=MONDAY + DAY, width=200, height=300, sequence="1")
    assert lines.resolution(case(uploads(), crops)) == []
    assert lines.resolution(case(uploads(width=1080, height=1920))) == []


@pytest.mark.parametrize(
    ("fps", "expected"), [(10, ["frame_rate_low"]), (14.9, []), (15, []), (30, [])]
)
def test_frame_rates_are_held_against_the_floor(fps: float, expected: list[str]) -> None:
    """Ten a second is under fifteen; 14.9 is fifteen as cameras count."""
    found = lines.frame_rate(case(uploads(30, "clip", fps=fps)))
    assert [one.word for one in found] == expected
    assert [one.severity for one in found] == ["advice"] * len(expected)


def test_a_frame_rate_that_fell_is_a_problem() -> None:
    """25 a second before, 8 now."""
    slow = uploads(30, "clip", MONDAY + 3 * DAY, fps=8.0)
    [found] = lines.frame_rate(case(uploads(60, "clip"), slow))
    assert (found.severity, found.value) == ("problem", 8)


@pytest.mark.parametrize(
    ("old", "new", "expected"), [(30, 0, ["codec_h265"]), (0, 5, ["codec_h265"]), (2, 4, [])]
)
def test_clips_that_browsers_do_not_play_are_told(old: int, new: int, expected: list[str]) -> None:
    """H.265, in half of the newest at least; a few, or those of long ago, do not count."""
    codecs = ["hevc"] * old + ["h264"] * (30 - old - new) + ["hevc"] * new
    assert [one.word for one in lines.codec(case(uploads(30, "clip", codec=codecs)))] == expected


def test_formats_that_are_not_read_are_told_apart_from_cut_uploads() -> None:
    """30 of 40 snapshots are HEIC: nothing is cut, and the camera is to send JPEG."""
    told = uploads(40, "snapshot")
    told["state"] = ["unsupported"] * 30 + ["complete"] * 10
    told["state_reason"] = ["a HEIC picture: pano does not read this format"] * 30 + [None] * 10
    [found] = lines.unsupported(case(told))
    assert (found.word, found.severity, found.value) == ("format_unsupported", "problem", 0.75)
    assert "30 of 40 snapshots cannot be read" in found.evidence
    assert "HEIC" in found.evidence
    assert arrivals.cut(case(told)) == []


def test_menus_are_those_of_the_maker() -> None:
    """By the layout of the newest uploads; general words for what is unknown."""
    assert menu_of("dahua-deep").video == menu_of("amcrest-hour").video
    assert len({menu_of(name).clock for name in ("hik", "foscam-snap", "reolink", None)}) == 4


# --- silence ----------------------------------------------------------------------------


def test_silence_is_told_with_how_long_and_how_usual() -> None:
    """Days of nothing after uploads every half hour are certain, after weekly ones not."""
    now = datetime(2026, 3, 5, 12, tzinfo=UTC)
    busy, rare = case(uploads(50)), case(uploads(3, step="7D", begin=MONDAY - 21 * DAY))
    found = [arrivals.silent(one, 24, now, now) for one in (busy, rare)]
    assert [one.confidence for one in found] == ["certain", "possible"]
    assert {one.word for one in found} == {"camera_silent"}
    assert found[0].value == pytest.approx((now - busy.uploads["arrived"].max()).total_seconds())


def test_silence_that_nobody_listened_to_is_not_certain() -> None:
    """Ingest has not looked for as long: something may have come."""
    told = case(uploads(50))
    now = datetime(2026, 3, 5, 12, tzinfo=UTC)
    found = arrivals.silent(told, 24, now, now - timedelta(hours=30))
    assert found.confidence == "possible"
    assert "Run `pano ingest` first" in found.advice


# --- ports ------------------------------------------------------------------------------


@contextmanager
def serving(folder: Path, **settings: Any) -> Iterator[FtpEndpoint]:
    """Serve FTP for the camera `cam` in a thread, its handler set as told."""
    users = DummyAuthorizer()
    users.add_user("cam", "secret", str(folder), perm="elamwf")
    quick = {"auth_failed_timeout": 0}
    handler = type("Handler", (FTPHandler,), {"authorizer": users, **quick, **settings})
    loop = IOLoop()
    server = FTPServer(("127.0.0.1", 0), handler, ioloop=loop)
    going = threading.Event()
    going.set()

    def serve() -> None:
        while going.is_set():
            loop.loop(timeout=0.05, blocking=False)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield FtpEndpoint("127.0.0.1", server.socket.getsockname()[1], "cam", "secret")
    finally:
        going.clear()
        thread.join()
        server.close_all()


def test_a_server_that_cameras_can_upload_to_is_left_alone(tmp_path: Path) -> None:
    """Logged in, passive ports opened, nothing left behind."""
    with serving(tmp_path) as server:
        assert ports.knock(server) == []
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_sends_cameras_to_a_closed_port_is_told(tmp_path: Path) -> None:
    """The login works, the address for data leads nowhere: what a wrong masquerade does."""
    with serving(tmp_path, masquerade_address="127.0.0.9") as server:
        [found] = ports.knock(server)
    assert (found.word, found.severity) == ("ports_closed", "problem")
    assert "passive port 127.0.0.9:" in found.evidence


def test_a_server_that_sends_cameras_elsewhere_is_asked_after(tmp_path: Path) -> None:
    """Another address that happens to open from here is worth a look."""
    with serving(tmp_path, passive_dtp=Elsewhere, masquerade_address="127.0.0.9") as server:
        [found] = ports.knock(server)
    assert (found.word, found.severity) == ("ports_closed", "advice")


class Elsewhere(PassiveDTP):  # type: ignore[misc]
    """Waits for data at another address than the one that was asked."""

    def bind(self, address: tuple[str, int]) -> None:
        super().bind(("127.0.0.9", address[1]))


BEHIND_A_FIREWALL = """
import tempfile, pathlib, test_doctor
from pano_analytics.doctor import ports
folder = pathlib.Path(tempfile.mkdtemp())
with test_doctor.serving(folder, passive_ports=range(42000, 42010)) as server:
    print([one.evidence for one in ports.knock(server, timeout_s=1)])
"""


@pytest.mark.long
@pytest.mark.parametrize(("rule", "expected"), [("DROP", "no answer"), ("ACCEPT", "[]")])
def test_a_real_firewall_before_the_passive_ports_is_told(rule: str, expected: str) -> None:
    """In a network of its own: the port for logins is open, those for data are dropped."""
    lines = [
        "ip link set lo up",
        f"iptables -A INPUT -p tcp --dport 42000:42009 -j {rule}",
        f"{sys.executable} -c '{BEHIND_A_FIREWALL}'",
    ]
    tools = all(map(shutil.which, ("unshare", "iptables", "ip")))
    asked = ["unshare", "-n", "iptables", "-L"]
    if not tools or subprocess.run(asked, capture_output=True).returncode:
        pytest.skip("no network of one's own, or no iptables, here")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    told = subprocess.run(
        ["unshare", "-n", "sh", "-ec", "\n".join(lines)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert expected in told.stdout


def test_no_server_and_a_wrong_password_are_told_apart(tmp_path: Path) -> None:
    """Neither shows the password."""
    with serving(tmp_path) as server:
        [refused] = ports.knock(replace(server, password="wrong-password"))
    [gone] = ports.knock(server)
    assert (refused.word, gone.word) == ("login_refused", "ports_closed")
    assert "wrong-password" not in str(refused)
    assert "secret" not in repr(server)


# --- receiving --------------------------------------------------------------------------


@pytest.fixture
def receiving(tmp_path: Path) -> Iterator[Running]:
    """Return an upload server of ours at work, that the porch may upload to."""
    settings = settings_of(tmp_path)
    let_in(settings, "porch")
    with serving_own(settings) as running:
        write_record(running)
        yield running


def write_record(running: Running) -> None:
    """Let the server tell others now of what happened; it would within two seconds."""
    running.receiver.service.record.write()


def received(running: Running, **said: Any) -> list[tuple[str | None, str]]:
    """Return camera and word of what is found about receiving, under other settings."""
    receive = running.settings.receive.model_copy(update=said)
    library = Library.of(running.settings.model_copy(update={"receive": receive}))
    return [(one.camera, one.word) for one in reception.check(library)]


def test_receiving_that_works_is_left_alone(receiving: Running) -> None:
    """It runs, answers, and a camera has uploaded."""
    with login(receiving) as ftp:
        store(ftp, "a.jpg", TINY_JPEG)
    write_record(receiving)
    assert received(receiving) == []


def test_a_library_that_receives_nothing_is_not_asked_for_it(home: Settings) -> None:
    """No account: uploads come by another server."""
    assert list(reception.check(Library.of(home))) == []


def test_a_server_that_does_not_run_is_told(tmp_path: Path) -> None:
    """There are accounts, and nobody to take their uploads."""
    settings = settings_of(tmp_path)
    let_in(settings, "porch")
    [found] = reception.check(Library.of(settings))
    assert (found.word, found.severity) == ("ports_closed", "problem")
    assert "not running" in found.evidence


def test_a_camera_that_was_let_in_and_never_came_is_told(receiving: Running) -> None:
    """After a quarter of an hour, whether it logged in or not."""
    assert receiving.settings.library is not None
    register = Accounts(receiving.settings.library)
    porch = register.remove("porch")
    register.add(replace(porch, added=datetime.now(UTC) - timedelta(hours=1)))
    [found] = reception.check(Library.of(receiving.settings))
    assert (found.camera, found.word) == ("porch", "camera_silent")
    assert "never logged in" in found.evidence
    with login(receiving):
        pass
    write_record(receiving)
    [found] = reception.check(Library.of(receiving.settings))
    assert "but uploaded nothing" in found.evidence


def test_a_masquerade_that_leads_nowhere_is_told(receiving: Running) -> None:
    """Cameras are told an address at which nobody answers."""
    assert received(receiving, masquerade="127.0.0.9") == [(None, "ports_closed")]


def test_passive_ports_that_others_took_are_told(receiving: Running) -> None:
    """Both ports of the range are somebody else's."""
    with socket.socket() as one, socket.socket() as other:
        for port in range(40_000, 60_000, 2):
            with suppress(OSError):
                one.bind(("127.0.0.1", port))
                other.bind(("127.0.0.1", port + 1))
                break
        for taken in (one, other):
            taken.listen()
        assert received(receiving, passive_ports=(port, port + 1)) == [(None, "ports_closed")]


def test_a_camera_that_never_opens_its_passive_port_is_told(receiving: Running) -> None:
    """It logs in and asks, and no connection for data comes: closed ports, seen from the camera."""
    for _ in range(3):
        with login(receiving) as ftp:
            ftp.sendcmd("PASV")
    write_record(receiving)
    assert received(receiving) == [("porch", "ports_closed")]
    with login(receiving) as ftp:
        store(ftp, "a.jpg", TINY_JPEG)
    write_record(receiving)
    assert received(receiving) == []


@pytest.mark.parametrize(
    ("today", "expected"), [([28, 12], [("porch", "uploads_cut")]), ([39, 1], [])]
)
def test_uploads_that_break_off_more_often_are_told(
    receiving: Running, today: list[int], expected: list[tuple[str, str]]
) -> None:
    """What was cut never got a name; the server's own counts tell."""
    now = datetime.now(UTC)
    before = {(now - timedelta(days=days)).date().isoformat(): [99, 1] for days in range(2, 6)}
    tally = receiving.receiver.service.record.of("porch")
    tally.days = {**before, now.date().isoformat(): today}
    write_record(receiving)
    assert received(receiving) == expected


def test_logins_that_go_on_failing_are_told(receiving: Running) -> None:
    """Of that camera; none any more once it gets in."""
    receiving.receiver.service.refused_login("porch", "127.0.0.1", "wrong_password", "")
    write_record(receiving)
    assert received(receiving) == [("porch", "login_refused")]
    with login(receiving) as ftp:
        store(ftp, "a.jpg", TINY_JPEG)
    write_record(receiving)
    assert received(receiving) == []


# --- the disk ---------------------------------------------------------------------------


def test_a_disk_too_small_for_the_days_wanted_is_told(home: Settings) -> None:
    """A thousand million days fit on no disk; one day does."""
    wanted = [
        [one.word for one in disk.check(Library.of(home.model_copy(update={"keep_days": days})))]
        for days in (1_000_000_000, 1)
    ]
    assert wanted == [["disk_small"], []]


# --- the whole way ----------------------------------------------------------------------


def test_the_demonstration_has_only_its_own_faults(demo_home: DemoHome) -> None:
    """The garage's clock, 47 minutes slow; clips at ten a second; silence since it ended."""
    found = examine(demo_home.library)
    told = {(row.camera, row.word) for row in found.itertuples() if row.word != "camera_silent"}
    names = demo_home.library.camera_names()
    assert told == {("garage", "clock_off"), *((name, "frame_rate_low") for name in names)}
    garage = found[found["word"] == "clock_off"].iloc[0]
    assert garage["value"] == pytest.approx(-47 * 60, abs=15)
    assert garage["severity"] == "problem"


def test_findings_are_a_documented_table(demo_home: DemoHome) -> None:
    """Columns, words, severities and confidences are those promised; times in the zone."""
    found = examine(demo_home.library)
    assert list(found.columns) == list(COLUMNS)
    assert set(found["word"]) <= set(WORDS)
    assert set(found["severity"]) <= set(SEVERITIES)
    assert set(found["confidence"]) <= set(CONFIDENCES)
    assert str(found["since"].dtype) == "datetime64[us, Europe/Berlin]"
    assert list(found["severity"]) == sorted(found["severity"], key=SEVERITIES.index)


def test_every_word_is_explained_to_users() -> None:
    """docs/doctor.md has a section for each word, and none for another."""
    page = (Path(__file__).parents[1] / "docs/doctor.md").read_text(encoding="utf-8")
    assert re.findall(r"^### `(\w+)`", page, re.M) == list(WORDS)


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    """Return settings of a tree with a healthy day of small pictures."""
    settings = fresh(tmp_path)
    now = datetime.now(BERLIN).replace(tzinfo=None, microsecond=0)
    for number in range(1, 9):
        at = now - timedelta(minutes=20 * number)
        lay(picture(number), tmp_path / "uploads" / snapshot_path("porch", at), _instant(at, 2))
        begun = at - timedelta(seconds=30)
        path = clip_path("porch", begun, begun + timedelta(seconds=2), "mp4")
        lay(film(2), tmp_path / "uploads" / path, _instant(begun, 6))
    run(settings)
    return settings.model_copy(update={"doctor": Doctor(min_height=48, min_fps=5)})


def _instant(wall: datetime, later_s: float) -> datetime:
    return wall.replace(tzinfo=BERLIN) + timedelta(seconds=later_s)


def test_nothing_is_said_of_a_healthy_home(home: Settings, tmp_path: Path) -> None:
    """No finding: exit 0, and one line."""
    config = written(home, tmp_path)
    told = CliRunner().invoke(pano, ["doctor", "--config", config])
    assert (told.exit_code, told.output) == (
        *(0, "no problems found: 1 camera, the newest 14 days of each\n"),
    )
    told = CliRunner().invoke(pano, ["doctor", "--json", "--config", config])
    assert json.loads(told.output) == {"findings": [], "is_healthy": True}


def written(settings: Settings, folder: Path, **rules: Any) -> str:
    """Write the settings file of a library, and return its path."""
    said = {**settings.doctor.model_dump(exclude={"ignore"}), **rules}
    path = folder / "pano.toml"
    path.write_text(
        f'uploads = "{settings.uploads}"\nlibrary = "{settings.library}"\nzone = "Europe/Berlin"\n'
        + "[doctor]\n"
        + "".join(f"{key} = {json.dumps(value)}\n" for key, value in said.items())
    )
    return str(path)


def test_findings_are_said_with_what_to_do(home: Settings, tmp_path: Path) -> None:
    """Exit 8; each word, its figures, the way through the camera's menus."""
    config = written(home, tmp_path, min_height=1080, min_fps=15)
    told = CliRunner().invoke(pano, ["doctor", "--config", config])
    assert isinstance(told.exception, AttentionNeeded)
    assert "advice: resolution_low" in told.output
    assert "8 of the newest 8 snapshots are 320x180" in told.output
    assert "Setup > Camera > Video > Snapshot" in " ".join(told.output.split())
    told = CliRunner().invoke(pano, ["doctor", "--json", "--config", config])
    found = json.loads(told.output)["findings"]
    assert {one["word"] for one in found} == {"resolution_low", "frame_rate_low"}
    assert all(set(one) == set(COLUMNS) for one in found)


def test_what_is_meant_to_be_so_can_be_ignored(home: Settings, tmp_path: Path) -> None:
    """By word for all, or for one camera; a word that is none is an error that lists them."""
    known = {"min_height": 1080, "min_fps": 15}
    quiet = ["resolution_low", "porch: frame_rate_low"]
    told = CliRunner().invoke(
        pano, ["doctor", "--config", written(home, tmp_path, **known, ignore=quiet)]
    )
    assert told.exit_code == 0
    wrong = written(home, tmp_path, **known, ignore=["garden: nothing"])
    with pytest.raises(SettingsError, match="frame_rate_low"):
        CliRunner().invoke(pano, ["doctor", "--config", wrong], catch_exceptions=False)


@needs_media
def test_a_real_h265_clip_is_told(home: Settings, tmp_path: Path) -> None:
    """The clip of a camera, the whole way from the tree."""
    assert home.uploads is not None
    now = datetime.now(BERLIN).replace(tzinfo=None, microsecond=0) - timedelta(minutes=5)
    path = clip_path("garden", now, now + timedelta(seconds=2), "mp4")
    lay(MEDIA / "offline_h265.mp4", home.uploads / path, _instant(now, 5))
    run(home)
    found = examine(Library.of(home))
    assert ("garden", "codec_h265") in set(zip(found["camera"], found["word"], strict=True))


def test_a_server_is_tried_from_the_command_line(tmp_path: Path) -> None:
    """Without any library, the password from standard input, which shows nowhere."""
    with serving(tmp_path) as server:
        words = ["doctor", "--ftp", f"{server.host}:{server.port}", "--user", "cam"]
        right = CliRunner().invoke(pano, words, input="secret\n")
        wrong = CliRunner().invoke(pano, words, input="sesame\n")
    assert (right.exit_code, "no problems found" in right.output) == (0, True)
    assert "login_refused" in wrong.output
    assert "sesame" not in wrong.output + str(wrong.exception)
    assert CliRunner().invoke(pano, words[:3]).exit_code == 2


def test_no_library_is_an_error(tmp_path: Path) -> None:
    """Nothing to say is said of what was looked at, and of nothing else."""
    with pytest.raises(LibraryError, match="pano ingest"):
        examine(Library.of(fresh(tmp_path)))


def test_a_damaged_catalog_is_an_error_that_says_what_to_do(home: Settings) -> None:
    """No traceback; the way to heal it."""
    library = Library.of(home)
    for name in library.parts():
        Path(name).write_bytes(b"torn")
    with pytest.raises(LibraryError, match="pano rebuild"):
        examine(library)


def test_a_library_without_uploads_or_cameras_is_no_crash(tmp_path: Path) -> None:
    """An empty one has no finding; a camera that is set and never sent a file is silent."""
    settings = fresh(tmp_path)
    assert settings.library is not None
    Home.settle(Storage(settings.library), settings)
    assert len(examine(Library.of(settings))) == 0
    from pano_analytics.settings import Camera

    with_one = settings.model_copy(update={"cameras": (Camera(name="attic"),)})
    found = examine(Library.of(with_one))
    assert list(zip(found["camera"], found["word"], strict=True)) == [("attic", "camera_silent")]
