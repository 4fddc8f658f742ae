"""Who may connect to `pano receive`, and what strangers may take: little, and no camera's place."""

from __future__ import annotations

import ftplib
import logging
import os
import resource
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from click.testing import CliRunner
from receiving import (
    PASSWORD,
    TINY_JPEG,
    Running,
    files,
    let_in,
    login,
    serving,
    settings_of,
    store,
    until,
)

from pano_analytics.cli import pano
from pano_analytics.cli.receive import _set_up_logging
from pano_analytics.receive import control, door, records
from pano_analytics.receive.accounts import AccountError
from pano_analytics.receive.refusals import remembered
from pano_analytics.settings import check

pytest.importorskip("pyftpdlib")

ADDRESS = "127.0.0.1"


def connect(running: Running, source: str = ADDRESS, first: bytes = b"") -> socket.socket:
    """Return a connection that was greeted, and then sent `first`."""
    one = socket.create_connection((ADDRESS, running.port), 30, source_address=(source, 0))
    one.recv(999)
    one.sendall(first)
    return one


def uploads(running: Running, camera: str = "porch", name: str = "x.jpg") -> None:
    with login(running, camera) as ftp:
        store(ftp, name, TINY_JPEG)


def keep_busy(ftp: ftplib.FTP) -> None:
    """Send commands for two seconds."""
    for _ in range(40):
        ftp.sendcmd("NOOP")
        time.sleep(0.05)


# --- places -------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [b"", b"USER porch\r\n", b"USER x\r\nPASS y\r\n", b"NOOP"])
def test_half_open_connections_lock_nobody_out(tmp_path: Path, first: bytes) -> None:
    """Five times more than there are places, from the camera's own address: it uploads."""
    here = settings_of(tmp_path, max_connections=4, max_connections_per_address=3)
    let_in(here, "porch", "barn")
    with serving(here) as running, ExitStack() as held:
        for _ in range(20):
            held.enter_context(connect(running, first=first))
        uploads(running, "porch")
        uploads(running, "barn")
        told = {one.kind for one in remembered(running.told())}
        assert "pushed_out" in told
        assert len(running.receiver.server.ip_map) <= 4


def test_strangers_of_many_addresses_lock_nobody_out(tmp_path: Path) -> None:
    """All their places taken from 40 addresses: a camera still gets in, and so does another."""
    here = settings_of(tmp_path, max_connections=2)
    let_in(here, "porch", "barn")
    with serving(here) as running, ExitStack() as held:
        for number in range(40):
            held.enter_context(connect(running, f"127.0.1.{number + 1}"))
        with login(running, "porch") as porch:
            uploads(running, "barn")
            store(porch, "x.jpg", TINY_JPEG)


def test_a_camera_that_leaves_its_sessions_open_locks_no_other_out(tmp_path: Path) -> None:
    """Neither with its own places full nor with all of them: the other camera uploads."""
    here = settings_of(tmp_path, max_connections=4, max_connections_per_address=4)
    let_in(here, "porch", "barn")
    with serving(here) as running, ExitStack() as held:
        for _ in range(4):
            held.callback(login(running, "porch").close)
        with pytest.raises(ftplib.error_temp, match="421"):
            login(running, "porch")
        uploads(running, "barn")
        [one] = [one for one in remembered(running.told()) if one.kind == "too_many_sessions"]
        assert one.camera == "porch"


def test_sessions_that_are_left_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera that restarted gets in beside what its former self left; transfers stay."""
    monkeypatch.setattr(door, "STALE_S", 0.05)
    here = settings_of(tmp_path, max_connections_per_address=2)
    let_in(here, "porch")
    with serving(here) as running:
        left, busy = login(running), login(running)
        sending = busy.transfercmd("STOR slow.jpg")
        sending.sendall(TINY_JPEG[:100])
        time.sleep(0.1)
        uploads(running)
        assert left.getline().startswith("421")
        sending.sendall(TINY_JPEG[100:])
        sending.close()
        assert busy.voidresp().startswith("226")
        assert files(running.folder()) == ["slow.jpg", "x.jpg"]
        busy.close()
        left.close()


def test_the_time_to_log_in_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """30 seconds, for whoever sends nothing, a byte at a time, or half a handshake; not after."""
    monkeypatch.setattr(control, "LOGIN_S", 0.5)
    here = settings_of(tmp_path, tls="optional")
    let_in(here, "porch")
    with serving(here) as running, login(running) as camera:
        half = connect(running, first=b"AUTH TLS\r\n")
        slow = connect(running)
        with suppress(OSError):
            for _ in range(40):
                slow.sendall(b"NOOP\r\n")
                time.sleep(0.05)
        for one in (half, slow):
            with suppress(ConnectionError):
                while one.recv(999):
                    pass
            one.close()
        store(camera, "x.jpg", TINY_JPEG)
        camera.sendcmd("USER porch")  # logs out, and the time begins again
        with pytest.raises((ftplib.error_temp, EOFError, OSError)):
            keep_busy(camera)
    assert door.LOGIN_S == 30


def test_an_idle_session_ends(tmp_path: Path) -> None:
    """A camera that says nothing more is closed; it only has to log in again."""
    here = settings_of(tmp_path)
    let_in(here, "porch")
    with serving(here) as running:
        assert running.receiver.server.handler.timeout == 300
        running.receiver.server.handler.timeout = 0.2
        idle = login(running)
        assert idle.getline().startswith("421 Control connection timed out")
        until(lambda: not running.receiver.server.ip_map)
        idle.close()
        assert remembered(running.told()) == []


# --- passwords ----------------------------------------------------------------------------


@pytest.mark.parametrize("source", [ADDRESS, "127.0.0.8"])
def test_strangers_that_guess_lock_no_camera_out(tmp_path: Path, source: str) -> None:
    """Its own address or its user name: the right password gets in, at once once it was known."""
    here = settings_of(tmp_path, failed_logins=3)
    let_in(here, "porch", "barn")
    with serving(here) as running:
        running.receiver.server.handler.auth_failed_timeout = 0.01
        uploads(running, "barn")
        for number in range(8):
            guess = connect(running, source, b"USER porch\r\nPASS guess-%d\r\n" % number)
            while b"530" not in guess.recv(999):
                pass
            guess.close()
        assert source in running.told()["bans"]
        began = time.monotonic()
        uploads(running, "barn")
        assert time.monotonic() - began < 5
        uploads(running, "porch")


def test_guesses_are_slow(tmp_path: Path) -> None:
    """After too many wrong ones, passwords from an address are checked four a second."""
    here = settings_of(tmp_path, failed_logins=2)
    let_in(here, "porch")
    with serving(here) as running:
        running.receiver.server.handler.auth_failed_timeout = 0.0
        bans = running.receiver.service.bans
        for _ in range(2):
            with pytest.raises(ftplib.error_perm):
                login(running, "porch", "wrong-password")
        assert 0.2 < bans.wait_s(ADDRESS) < bans.wait_s(ADDRESS) < 0.8
        assert bans.wait_s("127.0.0.7") == 0
        assert running.receiver.service.gate.wait_s("nobody", "x", ADDRESS) == 0


# --- what was sent before TLS -------------------------------------------------------------


def test_commands_before_the_handshake_are_dropped(tmp_path: Path) -> None:
    """Nothing sent in plain text in one piece with AUTH TLS, nor before it, counts after it."""
    here = settings_of(tmp_path, tls="optional")
    let_in(here, "porch")
    with serving(here) as running:
        plain = connect(running, first=b"USER porch\r\nAUTH TLS\r\nNOOP\r\nUSER porch\r\n")
        received = b""
        while b"234" not in received:
            received += plain.recv(999)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(plain) as secure:
            secure.sendall(f"PASS {PASSWORD}\r\n".encode())
            assert secure.recv(999).startswith(b"503"), "the user name of before still counted"
            secure.sendall(b"FEAT\r\n")
            assert secure.recv(999).startswith(b"211")


# --- lengths ------------------------------------------------------------------------------


def test_long_commands_are_neither_kept_nor_done(tmp_path: Path) -> None:
    """A megabyte of user name, path or command, with or without an end: one short answer."""
    here = settings_of(tmp_path)
    let_in(here, "porch")
    with serving(here) as running:
        for words in (b"USER ", b"PASS ", b"STOR ", b""):
            one = connect(running, first=words + b"x" * (1 << 20) + b"\r\nNOOP\r\n")
            received = b""
            while b"200" not in received:
                received += one.recv(999)
            assert received.startswith(b"500")
            assert received.count(b"\r\n") == 2
            one.close()
        endless = connect(running, first=b"y" * (4 << 20))
        sessions = list(running.receiver.server.ioloop.socket_map.values())
        kept = [sum(map(len, getattr(one, "_in_buffer", ()))) for one in sessions]
        assert max(kept) <= control.LONGEST_COMMAND + 1
        endless.close()
        uploads(running)
        assert len((running.settings.library / records.NAME).read_bytes()) < 20_000  # type: ignore[operator]


def test_a_client_that_reads_no_reply_is_left(tmp_path: Path) -> None:
    """Replies that nobody takes are not piled up."""
    here = settings_of(tmp_path)
    let_in(here, "porch")
    with serving(here) as running:
        one = connect(running)
        with suppress(OSError):
            one.settimeout(5)
            for _ in range(3000):
                one.sendall(b"HELP\r\n" * 100)
        until(lambda: not running.receiver.server.ip_map)
        one.close()


# --- descriptors --------------------------------------------------------------------------

WITHOUT_DESCRIPTORS = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (120, 120))
from pano_analytics.cli import main
main()
"""


def test_no_more_descriptors(tmp_path: Path) -> None:
    """The server lives through a flood with 120 open files, says so once, and cameras get in."""
    here = settings_of(tmp_path, max_connections=100)
    let_in(here, "porch")
    command = [sys.executable, "-c", WITHOUT_DESCRIPTORS, "receive", "--port", "0"]
    command += ["--uploads", str(here.uploads), "--library", str(here.library)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with server, ExitStack() as held:
        assert server.stdout is not None
        port = int(server.stdout.readline().partition("://")[2].split(":")[1].split()[0])
        for number in range(200):
            with suppress(OSError):
                one = socket.create_connection(
                    (ADDRESS, port), 5, source_address=(f"127.0.2.{number + 1}", 0)
                )
                held.enter_context(one)
        held.close()

        def gets_in() -> bool:
            with suppress(ftplib.Error, OSError, EOFError), ftplib.FTP() as ftp:
                ftp.connect(ADDRESS, port, timeout=10)
                ftp.login("porch", PASSWORD)
                store(ftp, "x.jpg", TINY_JPEG)
                return True
            return False

        until(gets_in)
        server.terminate()
        _, log = server.communicate(timeout=30)
    assert "LimitNOFILE" in log
    assert "Traceback" not in log
    assert len(log) < 20_000


def test_accepting_pauses_when_the_system_has_no_descriptor(tmp_path: Path) -> None:
    """accept() that fails is tried again a second later, not a million times; it is told."""
    here = settings_of(tmp_path)
    let_in(here, "porch")
    with serving(here) as running:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        waiting = socket.socket()
        # What is open stays open; nothing more can be opened.
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            waiting.connect((ADDRESS, running.port))
            time.sleep(0.3)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        waiting.settimeout(30)
        assert waiting.recv(3) == b"220"
        waiting.close()
        [told] = [one for one in remembered(running.told()) if one.kind == "no_descriptors"]
        assert told.count <= 3
        uploads(running)


def test_the_limit_of_open_files_is_raised(tmp_path: Path) -> None:
    """A service that starts with 256 can hold all the connections that the settings allow."""
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 4096)); "
        "from pano_analytics.receive.descriptors import make_room; "
        "print(make_room(500), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["2064", "2064"]


# --- logs ---------------------------------------------------------------------------------


def test_nothing_that_a_client_sends_controls_a_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Escape sequences and direction marks in names and commands: the log has them as text."""
    root = logging.getLogger()
    before = root.handlers[:]
    root.handlers.clear()
    evil = "\x1b]0;evil\x07\u202e\u2066\x9b31m\x85".encode()
    try:
        _set_up_logging(True)
        here = settings_of(tmp_path)
        let_in(here, "porch")
        with serving(here) as running:
            running.receiver.server.handler.auth_failed_timeout = 0.0
            for first in (b"USER " + evil, evil, b"USER " + evil + b"\r\nPASS " + evil):
                one = connect(running, first=first + b"\r\n" + b"x" * 5000 + b"\r\n")
                time.sleep(0.1)
                one.close()
            with login(running) as ftp:
                for command in ("STOR", "MKD", "CWD", "RNFR"):
                    with pytest.raises(ftplib.Error):
                        ftp.sendcmd(f"{command} no/{evil.decode()}")
            running.told()
    finally:
        root.handlers[:] = before
    written = capfd.readouterr().err
    assert "the folder to upload to does not exist" in written
    for sign in "\x1b\x07\u202e\u2066\x9b\x85":
        assert sign not in written


# --- quotas -------------------------------------------------------------------------------


def made(ftp: ftplib.FTP, number: int) -> tuple[int, str]:
    """Make folders and store files until one is refused; return how many, and the answer."""
    for count in range(number):
        try:
            ftp.mkd(f"day{count}")
            store(ftp, f"{count}.jpg", TINY_JPEG)
        except ftplib.Error as error:
            return count, str(error)[:3]
    return number, ""


@pytest.mark.parametrize(
    ("limit", "answer", "kind"),
    [
        ("max_files_per_hour", "450", "rate"),
        ("max_folders_per_hour", "450", "rate"),
        ("max_files_per_day", "552", "quota"),
        ("max_folders_per_day", "552", "quota"),
        ("max_gb_per_day", "552", "quota"),
    ],
)
def test_an_account_may_make_so_many(tmp_path: Path, limit: str, answer: str, kind: str) -> None:
    """Files, folders and bytes; other cameras go on, and a restart changes nothing."""
    here = settings_of(tmp_path, **{limit: 1e-5 if "gb" in limit else 3})
    let_in(here, "porch", "barn")
    with serving(here) as running, login(running) as ftp:
        done = made(ftp, 9)
        assert done[1] == answer
        assert 3 <= done[0] <= 4
        with pytest.raises(ftplib.error_perm, match="File exists"):
            ftp.mkd("day0")  # cameras ask for each folder each time
        uploads(running, "barn")
        assert ("porch", kind) in {(one.camera, one.kind) for one in remembered(running.told())}
    with serving(here) as running, login(running) as ftp:
        assert made_more(ftp, "other") == answer
        usage = running.receiver.service.record.of("porch").usage
        usage.hour = usage.day = "2000-01-01T00"
        assert made_more(ftp, "next") == ""


def made_more(ftp: ftplib.FTP, name: str) -> str:
    try:
        ftp.mkd(name)
        store(ftp, f"{name}.jpg", TINY_JPEG)
    except ftplib.Error as error:
        return str(error)[:3]
    return ""


def test_what_cameras_upload_is_far_below_the_limits() -> None:
    """A recorder with 16 channels: a folder a minute and a picture a second of each, all day."""
    limits = check({}).receive
    assert limits.max_folders_per_day > 16 * 24 * 60
    assert limits.max_folders_per_hour > 16 * 60
    assert limits.max_files_per_hour >= 5 * 3600
    assert limits.max_files_per_day >= 2 * 86_400


@pytest.fixture
def few_inodes(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "inodes"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=300", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a disk with few inodes can only be mounted by root")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def make_folders(ftp: ftplib.FTP, number: int) -> None:
    for name in range(number):
        ftp.mkd(str(name))


def test_inodes_are_watched_as_well_as_bytes(tmp_path: Path, few_inodes: Path) -> None:
    """Files and folders are refused with 452 before the disk has no room for any; it is told."""
    here = settings_of(tmp_path).model_copy(update={"uploads": few_inodes})
    let_in(here, "porch")
    with serving(here) as running, login(running) as ftp:
        with pytest.raises(ftplib.error_temp, match="452"):
            make_folders(ftp, 400)
        with pytest.raises(ftplib.error_temp, match="452"):
            store(ftp, "x.jpg", TINY_JPEG)
        assert os.statvfs(few_inodes).f_favail > 0
        [one] = remembered(running.told())
        assert (one.camera, one.kind) == ("porch", "disk_full")


# --- passwords of accounts ----------------------------------------------------------------


@pytest.mark.parametrize(
    "password",
    [
        "password1",
        "P4ssw0rd!",
        "12345678",
        "qwertyuiop",
        "aaaaaaaa",
        "admin1234",
        "Reolink2024!",
        "porch-porch",
        "porch123",
        "Camera-01",
        "ipcamera99",
        "demo-demo",
        "porchcam2024",
    ],
)
def test_a_common_password_is_refused(tmp_path: Path, password: str) -> None:
    """At `camera add` and `camera password`; the message does not repeat it."""
    where = ["--uploads", str(tmp_path / "uploads"), "--library", str(tmp_path / "library")]
    (tmp_path / "uploads").mkdir()
    runner = CliRunner()
    given = ["--password-stdin", "--no-wait", *where]
    done = runner.invoke(pano, ["camera", "add", "porch", *given], input=f"{password}\n")
    assert isinstance(done.exception, AccountError)
    assert "hard to guess" in str(done.exception)
    assert password not in str(done.exception)
    assert runner.invoke(pano, ["camera", "add", "porch", "--no-wait", *where]).exit_code == 0
    done = runner.invoke(pano, ["camera", "password", "porch", *given], input=f"{password}\n")
    assert "hard to guess" in str(done.exception)
