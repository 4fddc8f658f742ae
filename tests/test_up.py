"""`pano up`: parts that come back, one log, health told to people and machines, a clean end."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Page, expect
from serving import DEADLINE_S, free_port, settle, wait_until
from upping import CAMERA, Home, descendants, is_alive, stamp, upping

from pano_analytics.service.supervise import keeper, problems
from pano_analytics.service.supervise.child import environment
from pano_analytics.service.supervise.heartbeat import beat
from pano_analytics.service.supervise.keeper import LONGEST_LINE, Child, Keeper, log
from pano_analytics.service.supervise.notify import notify, watchdog_s
from pano_analytics.service.supervise.parts import DAY_S, Ran, ServiceCommand, errands_of
from pano_analytics.service.supervise.state import PartState, now
from pano_analytics.settings import Settings, Up, check


class Manager:
    """A service manager's ear: a socket as systemd gives one."""

    def __init__(self, address: str) -> None:
        self.ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ear.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self.ear.settimeout(DEADLINE_S)
        self.address = address

    def heard(self) -> list[str]:
        """Return the lines of the next message."""
        return self.ear.recv(4096).decode().splitlines()

    def until(self, line: str) -> None:
        while line not in self.heard():
            pass


class Listener:
    """A monitor elsewhere: counts what asks it."""

    def __init__(self, status: int = 200) -> None:
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(status)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self.asked = asked
        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/ping/secret"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def monitor() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Manager:
    return Manager(str(tmp_path_factory.mktemp("m") / "notify"))


@pytest.fixture(scope="module")
def home(
    tmp_path_factory: pytest.TempPathFactory, monitor: Listener, manager: Manager
) -> Iterator[Home]:
    """`pano up` with one camera, a service manager and a monitor that wants a heartbeat."""
    folder = tmp_path_factory.mktemp("up")
    sign = folder / "sign"
    told = (
        f'heartbeat_url = "{monitor.url}"\nheartbeat_minutes = 0.01\n'
        f'heartbeat_command = ["touch", "{sign}"]\n'
    )
    made = Home(folder / "home", up=told)
    made.let_in()
    heard = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "1000000"}
    with upping(made, heard):
        yield made


# --- at work ----------------------------------------------------------------------


def test_all_parts_are_at_work(home: Home) -> None:
    """Upload server, ingest and dashboard run, and the health address says so with 200."""
    code, told = home.health()
    assert code == 200
    assert {part["part"]: part["state"] for part in told["parts"]} == dict.fromkeys(
        ("receive", "ingest", "serve"), "up"
    )
    assert told["problems"] == []


def test_an_upload_shows_in_an_open_page(home: Home, visit: Callable[..., Page]) -> None:
    """What a camera uploads by FTP appears in a page that is open already, without a touch."""
    home.upload(stamp() - timedelta(seconds=90))
    page = visit(f"{home.url}/?mode=files")
    settle(page)
    expect(page.locator("#pano-gallery a.tile")).to_have_count(1, timeout=DEADLINE_S * 1000)
    home.upload(stamp() - timedelta(seconds=30))
    expect(page.locator("#pano-gallery a.tile")).to_have_count(2, timeout=DEADLINE_S * 1000)


def test_the_service_manager_is_told(home: Home, manager: Manager) -> None:
    """READY=1 once, then WATCHDOG=1 again and again."""
    manager.until("READY=1") if not getattr(manager, "is_ready", False) else None
    manager.is_ready = True  # type: ignore[attr-defined]
    assert manager.heard() == ["WATCHDOG=1"]
    assert manager.heard() == ["WATCHDOG=1"]


def test_the_heartbeat_goes_out(home: Home, monitor: Listener) -> None:
    """While all is well the address is asked and the command run; the log names neither."""
    before = len(monitor.asked)
    wait_until(lambda: len(monitor.asked) > before, "no heartbeat")
    wait_until((home.folder.parent / "sign").exists, "the command was not run")
    assert "secret" not in home.log
    # Whoever has the library, say in a backup, must not know the address.
    assert "secret" not in (home.library / "library.json").read_text()


def test_status_tells_of_it(home: Home) -> None:
    """`pano status --json` has the parts."""
    told = json.loads(home.run("status", "--json").stdout)["up"]
    assert told["is_running"]
    assert told["is_healthy"]
    assert [part["part"] for part in told["parts"]] == ["receive", "ingest", "serve"]


def test_there_is_one_for_a_library(home: Home) -> None:
    """A second `pano up` is refused in words, and the first goes on."""
    second = home.run("up")
    assert second.returncode == 7
    assert "no other `pano up`" in second.stderr
    assert home.health()[0] == 200


def test_the_supervisor_is_light(home: Home) -> None:
    """It has loaded neither Arrow nor pandas nor NumPy, which its parts need."""
    assert home.process is not None
    loaded = Path(f"/proc/{home.process.pid}/maps").read_text()
    assert not re.search(r"/(pyarrow|pandas|numpy|duckdb|panel)/", loaded)
    assert re.search(r"/pyarrow/", Path(f"/proc/{home.pid_of('ingest')}/maps").read_text())


@pytest.mark.parametrize("part", ["serve", "ingest", "receive"])
def test_a_part_that_dies_comes_back(home: Home, part: str) -> None:
    """Killed, it is named by the health address (503) at once, and at work again soon."""
    old, restarts = home.pid_of(part), home.part(part)["restarts"]
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: home.part(part)["restarts"] == restarts + 1, "its end was not noticed")
    code, told = home.health()
    if home.part(part)["state"] == "down":  # unless it is back already
        assert code == 503
        assert part in told["problems"][0]["detail"]
        assert "SIGKILL" in told["problems"][0]["detail"]
    home.until_well()
    assert home.pid_of(part) != old
    assert re.search(rf"WARNING {part} ended by SIGKILL", home.log)


def test_each_line_of_the_log_names_its_part(home: Home) -> None:
    """Lines of parts begin with the part's name; all have time and level."""
    lines = home.log.splitlines()
    said = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} (INFO|WARNING) (.*)")
    matches = [said.fullmatch(line) for line in lines]
    assert all(matches)
    spoken = {match[2].split()[0] for match in matches if match}
    assert {"receive:", "ingest:", "serve:", "serve", "up"} <= spoken


def test_a_camera_that_is_added_later(tmp_path: Path) -> None:
    """Without any account no upload port is open; it opens soon after the first is added.

    `pano camera add` knows that, and waits for the first upload.
    """
    home = Home(tmp_path / "home")
    with upping(home):
        assert home.part("receive")["state"] == "off"
        added = home.run("camera", "add", "porch", "--timeout", "0.2")
        assert "Waiting for porch's first upload" in added.stdout
        assert "not at work" not in added.stdout
        home.let_in()
        wait_until(lambda: home.part("receive")["state"] == "up", "receive did not start")
        home.upload(stamp())


@pytest.mark.long
def test_a_deaf_part_is_started_anew(tmp_path: Path) -> None:
    """A dashboard that runs and does not answer is told as deaf, then ended and started."""
    home = Home(tmp_path / "home")
    with upping(home):
        old = home.pid_of("serve")
        os.kill(old, signal.SIGSTOP)
        wait_until(lambda: home.part("serve")["state"] == "deaf", "it was not noticed")
        assert home.health()[0] == 503
        wait_until(lambda: home.part("serve")["restarts"] == 1, "it was not ended")
        home.until_well()
        assert home.pid_of("serve") != old


# --- its end ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGINT, marks=pytest.mark.long),
        pytest.param(signal.SIGHUP, marks=pytest.mark.long),
    ],
)
def test_it_stops_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    """Told to stop, it ends with 0, no process of it is left, and nobody misses it."""
    manager = Manager(f"@pano-test-{os.getpid()}-{number}")
    home = Home(tmp_path / "home")
    home.let_in()
    with upping(home, {"NOTIFY_SOCKET": manager.address}):
        assert home.process is not None
        below = descendants(home.process.pid)
        assert len(below) >= 3
        home.process.send_signal(number)
        assert home.process.wait(DEADLINE_S) == 0
        assert [pid for pid in below if is_alive(pid)] == []
        manager.until("STOPPING=1")
        assert json.loads(home.run("status", "--json").stdout)["up"] is None
        assert "again in" not in home.log


def test_killed_it_leaves_no_orphan(tmp_path: Path) -> None:
    """SIGKILL for the supervisor ends all parts and what they started; `pano status` tells."""
    home = Home(tmp_path / "home")
    home.let_in()
    with upping(home):
        assert home.process is not None
        below = descendants(home.process.pid)
        home.process.kill()
        home.process.wait(DEADLINE_S)
        wait_until(lambda: not any(map(is_alive, below)), "a part outlived it")
        status = home.run("status")
        assert status.returncode == 8
        assert "up_ended" in status.stderr
    with upping(home):  # and again, on the same ports
        assert json.loads(home.run("status", "--json").stdout)["up"]["is_running"]


# --- what cannot be ---------------------------------------------------------------


def test_a_part_that_cannot_start_says_why(tmp_path: Path) -> None:
    """Its port taken: health tells the reason, the other parts work, the manager is still fed."""
    manager = Manager(f"@pano-test-{os.getpid()}-port")
    home = Home(tmp_path / "home")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", home.ports["serve"]))
        taken.listen()
        environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "1000000"}
        process = subprocess.Popen(
            [sys.executable, "-m", "pano_analytics.cli", "up", "--config", str(home.config)],
            stderr=subprocess.DEVNULL,
            env={**os.environ, **environment},
        )
        try:
            wait_until(lambda: home.part("serve").get("exit") == 7, "it did not notice")
            code, told = home.health()
            assert code == 503
            assert any(f"port {home.ports['serve']}" in one["detail"] for one in told["problems"])
            wait_until(lambda: home.part("ingest")["state"] == "up", "ingest does not work")
            manager.until("READY=1")
            assert manager.heard() == ["WATCHDOG=1"]
        finally:
            process.terminate()
            assert process.wait(DEADLINE_S) == 0


def test_a_taken_health_port(tmp_path: Path) -> None:
    """One plain line names the port and the setting."""
    home = Home(tmp_path / "home")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", home.ports["health"]))
        taken.listen()
        ended = home.run("up")
    assert ended.returncode == 7
    assert str(home.ports["health"]) in ended.stderr
    assert "health_port" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ('uploads = "u"', "expected a library"),
        ('uploads = "u"\nlibrary = "l"\n[up]\nlog = "u/up.log"', "outside the upload tree"),
        ('uploads = "u"\nlibrary = "l"\n[up]\nheartbeat_url = "ftp://secret"', "http://"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, said: str, words: str) -> None:
    """Exit 2 and what was expected; an address that is wrong is not repeated."""
    (tmp_path / "u").mkdir()
    config = tmp_path / "pano.toml"
    config.write_text(said)
    command = [sys.executable, "-m", "pano_analytics.cli", "up", "--config", str(config)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert ended.returncode == 2
    assert words in ended.stderr
    assert "secret" not in ended.stderr


# --- pieces -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["path", "@name"])
def test_notify_reaches_both_kinds_of_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A file's name, or an abstract one that begins with @."""
    manager = Manager(str(tmp_path / "s") if kind == "path" else f"@pano-test-{os.getpid()}-k")
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    notify("READY=1", "STATUS=at work")
    assert manager.heard() == ["READY=1", "STATUS=at work"]


def test_a_manager_that_does_not_listen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its queue full, nobody waits for it."""
    manager = Manager(str(tmp_path / "s"))
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    for _ in range(2000):
        notify("WATCHDOG=1")
    assert manager.heard() == ["WATCHDOG=1"]


@pytest.mark.parametrize(
    ("said", "wanted_s"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "nonsense"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_ours_or_not(
    monkeypatch: pytest.MonkeyPatch, said: dict[str, str], wanted_s: float | None
) -> None:
    """The service manager says how often, and to which process."""
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    assert watchdog_s() == wanted_s


def test_parts_do_not_speak_for_the_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service manager's socket is not handed down; an owner's own settings are."""
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/x")
    monkeypatch.setenv("WATCHDOG_USEC", "1")
    monkeypatch.setenv("MALLOC_ARENA_MAX", "7")
    handed = environment(5)
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC"} & set(handed)
    assert handed["MALLOC_ARENA_MAX"] == "7"
    assert handed["PANO_SUPERVISOR"] == "5"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"heartbeat_command": ("true",)}, None),
        ({"heartbeat_command": ("false",)}, "exit 1"),
        ({"heartbeat_command": ("/nowhere/at-all",)}, "could not be run"),
        ({}, None),
    ],
)
def test_commands_of_the_heartbeat(said: dict[str, Any], words: str | None) -> None:
    """What went wrong is told, and nothing where nothing did."""
    trouble = beat(Up(**said))
    assert (words is None) == (trouble is None)
    assert (words or "") in (trouble or "")


@pytest.mark.parametrize("status", [200, 500, None])
def test_addresses_of_the_heartbeat(status: int | None) -> None:
    """An answer that is no success, or none, is trouble; it names the host, not the path."""
    listener = Listener(status or 200)
    try:
        nobody = f"http://127.0.0.1:{free_port()}/ping/secret"
        trouble = beat(Up(heartbeat_url=listener.url if status else nobody))
    finally:
        listener.close()
    assert (trouble is None) == (status == 200)
    assert "secret" not in (trouble or "")


def test_what_is_looked_at(tmp_path: Path) -> None:
    """An upload root that went or stands empty, a run that failed, an ingest that stands still."""
    uploads, library = tmp_path / "uploads", tmp_path / "library"
    settings = Settings(uploads=uploads, library=library)
    (library / "state").mkdir(parents=True)

    def words(up_s: float = 10) -> list[str]:
        return [problem["what"] for problem in problems.find(settings, up_s)]

    assert words() == ["uploads_unreachable"]
    uploads.mkdir()
    assert words() == []  # a first evening: nothing came yet
    (library / "manifest.json").write_text("{}")
    assert words() == ["uploads_unreachable"]
    (uploads / "x").touch()
    assert words() == []
    beat_file = library / "state" / "heartbeat.json"
    for code, expected in ((9, ["last_run_failed"]), (143, []), (0, [])):
        beat_file.write_text(json.dumps({"format": 1, "exit": code, "error": "full"}))
        assert words() == expected
    long_ago = time.time() - 3 * 3600
    for path in (beat_file, library / "manifest.json"):
        os.utime(path, (long_ago, long_ago))
    assert words(up_s=10) == []  # it has only just begun
    assert words(up_s=3 * 3600) == ["stale"]


def test_errands_are_asked_for() -> None:
    """Neither culling nor pages unless the settings say so."""
    assert errands_of(check({}), ()) == ()
    asked = check({"cull": {"scheduled": True}, "site": {"folder": "/srv/site"}})
    errands = errands_of(asked, ("--config", "x"))
    assert [errand.arguments for errand in errands] == [
        ("cull", "--delete", "--wait", "--config", "x"),
        ("site", "--config", "x"),
    ]


@given(
    since_s=st.none() | st.floats(0, 3 * DAY_S), up_s=st.floats(0, DAY_S), is_failed=st.booleans()
)
def test_culling_is_due_once_a_day(since_s: float | None, up_s: float, is_failed: bool) -> None:
    """Not within the first minutes; then once a day, an hour after it failed."""
    cull = errands_of(check({"cull": {"scheduled": True}}), ())[0]
    ran = Ran(up_s, since_s, 1.0, "", is_failed)
    if up_s < 120:
        assert not cull.is_due(ran, "")
    else:
        assert cull.is_due(ran, "") == (
            since_s is None or since_s >= (3600 if is_failed else DAY_S)
        )


@given(since_s=st.floats(0, 2 * DAY_S), took_s=st.floats(0, 600), is_new=st.booleans())
def test_pages_are_due_after_changes(since_s: float, took_s: float, is_new: bool) -> None:
    """After a change, or a day; never more than a tenth of the time, nor twice in a minute."""
    site = errands_of(check({"site": {"folder": "/srv/site"}}), ())[0]
    ran = Ran(10 * DAY_S, since_s, took_s, "before")
    is_due = site.is_due(ran, "after" if is_new else "before")
    if since_s < max(60, 10 * took_s):
        assert not is_due
    else:
        assert is_due == (is_new or since_s >= DAY_S)


@pytest.mark.parametrize(
    ("state", "code", "is_well", "is_explained"),
    [
        ("up", 7, True, False),
        ("off", None, True, False),
        ("down", 7, False, True),
        ("down", 1, False, False),
        ("down", -9, False, False),
        ("deaf", 7, False, False),
        ("failed", 8, False, True),
    ],
)
def test_what_feeds_the_watchdog(
    state: Any, code: int | None, is_well: bool, is_explained: bool
) -> None:
    """A part that is well, or that ended with a reason for its owner; no crash, no silence."""
    part = PartState("serve", state, now(), exit_code=code)
    assert (part.is_well, part.is_explained) == (is_well, is_explained)


@pytest.mark.parametrize(
    ("state", "code", "at_once", "later"),
    [
        ("up", None, True, True),
        ("off", None, True, True),
        ("down", 7, True, True),
        ("down", 1, True, False),
        ("down", -9, True, False),
        ("deaf", None, True, False),
    ],
)
def test_the_manager_tries_when_we_cannot(
    monkeypatch: pytest.MonkeyPatch, state: Any, code: int | None, at_once: bool, later: bool
) -> None:
    """A part that stays down or deaf, and has given no reason, is no longer in our hands."""
    kept = Keeper(ServiceCommand("serve", ("serve",)), lambda: None)
    kept._become("up", was_well=True)
    kept._become(state, exit_code=code)
    assert kept.is_in_hand == at_once
    monkeypatch.setattr(keeper, "MENDING_S", 0.0)
    assert kept.is_in_hand == later


def test_a_line_without_end_is_taken_in_pieces(tmp_path: Path) -> None:
    """A part that writes a megabyte without a newline costs no memory and is in the log."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        # In a thread: the browser of other tests keeps a loop running in this one.
        asked = ("explain", "a/" * 20_000 + "\xff.jpg")
        with ThreadPoolExecutor(1) as aside:
            code = aside.submit(lambda: asyncio.run(Child("x").run(asked))).result()
    finally:
        log.removeHandler(handler)
    assert code == 0
    assert lines
    assert max(map(len, lines)) <= LONGEST_LINE + 10
    assert CAMERA not in lines
