"""What `pano receive` refuses is told: in the log, its records, the camera list, doctor, status."""

from __future__ import annotations

import ftplib
import json
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from receiving import (
    PASSWORD,
    TINY_JPEG,
    Running,
    begin,
    let_in,
    login,
    port_of,
    receive_command,
    serving,
    settings_of,
    store,
    until,
)
from shared_files import MEDIA, needs_media, snapshot_path

from pano_analytics import status
from pano_analytics.cli import camera as commands
from pano_analytics.cli import pano
from pano_analytics.doctor import reception
from pano_analytics.library import Library
from pano_analytics.receive import control, door, records
from pano_analytics.receive.accounts import Accounts
from pano_analytics.receive.refusals import (
    KINDS,
    MOST_ADDRESSES,
    RefusalCount,
    Refusals,
    remembered,
    unsettled,
)
from pano_analytics.store.storage import Storage

pytest.importorskip("pyftpdlib")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    here = settings_of(tmp_path)
    let_in(here, "porch", "barn")
    with serving(here) as one:
        one.receiver.server.handler.auth_failed_timeout = 0.01
        yield one


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    here = settings_of(tmp_path_factory.mktemp("refused"), tls="required")
    let_in(here, "porch")
    with serving(here) as one:
        one.receiver.server.handler.auth_failed_timeout = 0.01
        yield one


def refusals(running: Running) -> dict[tuple[str | None, str], RefusalCount]:
    """Return what is told to others, by camera and kind."""
    return {(one.camera, one.kind): one for one in remembered(running.told())}


def seen(running: Running, camera: str | None, kind: str) -> RefusalCount:
    until(lambda: (camera, kind) in refusals(running))
    return refusals(running)[camera, kind]


def where(running: Running) -> list[str]:
    settings = running.settings
    return ["--uploads", str(settings.uploads), "--library", str(settings.library)]


def listed(running: Running) -> str:
    return CliRunner().invoke(pano, ["camera", "list", *where(running)]).output


# --- each kind ----------------------------------------------------------------------------


def test_uploads_and_folders_below_a_missing_folder(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """STOR and MKD answered with 550 are told by camera everywhere, with what to do."""
    with login(running) as ftp:
        with pytest.raises(ftplib.error_perm, match="550"):
            store(ftp, "no/such/x.jpg", TINY_JPEG)
        with pytest.raises(ftplib.error_perm, match="550"):
            ftp.mkd("no/such/folder")
    one = seen(running, "porch", "missing_folder")
    assert (one.count, one.address, one.command) == (2, "127.0.0.1", "MKD no/such/folder")
    advice = KINDS["missing_folder"].advice
    assert "porch (127.0.0.1): the folder to upload to does not exist" in caplog.text
    assert "refused 2 times" in listed(running)
    assert advice in listed(running)
    [found] = reception.check(Library.of(running.settings))
    assert (found.camera, found.word, found.advice) == ("porch", "upload_refused", advice)
    assert (found.severity, found.value) == ("problem", 2)


def make_folder_of(ftp: ftplib.FTP) -> None:
    ftp.mkd("day")


@pytest.mark.parametrize(
    ("commands_", "kind"),
    [
        (["CWD no/such"], "folder_not_entered"),
        (["STOR day/../day"], "upload_refused"),
        (["RNFR none.mp4_"], "rename_refused"),
        (["DELE x.jpg"], "whole_kept"),
        (["RMD day"], "not_permitted"),
        (["RETR x.jpg"], "not_permitted"),
        (["XSHA1 x.jpg"], "unsupported_command"),
        (["SITE CHMOD 777 x.jpg"], "unsupported_command"),
        (["AUTH TLS"], "tls_off"),
        (["PORT 10,0,0,1,100,100"], "data_refused"),
        (["PORT 127,0,0,1,0,1"], "data_refused"),
        (["STOR " + "x" * 300], "upload_refused"),
        (["STOR " + "y/" * 800], "name_refused"),
        (["STOR .x.jpg.00000000.pano-part"], "upload_refused"),
        (["REST 5", "STOR none.jpg"], "upload_refused"),
        (["STOR x.jpg\0"], "name_refused"),
    ],
)
def test_what_a_camera_is_refused(running: Running, commands_: list[str], kind: str) -> None:
    """Each answer of 4xx or 5xx leaves a trace of its kind, with advice."""
    with login(running) as ftp:
        make_folder_of(ftp)
        store(ftp, "x.jpg", TINY_JPEG)
        for command in commands_:
            with suppress(ftplib.Error):
                ftp.sendcmd(command)
    assert seen(running, "porch", kind).meaning.advice


def test_questions_are_not_refusals(running: Running) -> None:
    """SIZE of a file that is not there, and MKD of a folder that is: no trace."""
    with login(running) as ftp:
        make_folder_of(ftp)
        for command in ("MKD day", "SIZE none.jpg", "MDTM none.jpg", "MLST none.jpg"):
            with pytest.raises(ftplib.error_perm):
                ftp.sendcmd(command)
        store(ftp, "x.jpg", TINY_JPEG)
    assert refusals(running) == {}


def test_logins_that_fail(running: Running) -> None:
    """Wrong password, unknown user, anonymous, a removed account: each has its own kind."""
    assert running.settings.library is not None
    with login(running, "barn"):
        pass
    Accounts(running.settings.library).remove("barn")
    for user in ("porch", "nobody-I-know", "anonymous", "barn"):
        with pytest.raises(ftplib.error_perm, match="530"):
            login(running, user, "wrong-password")
    with pytest.raises(ftplib.error_perm, match="530"):
        login(running, "u" * 900, "wrong-password")
    told = refusals(running)
    assert set(told) == {
        ("porch", "wrong_password"),
        (None, "unknown_user"),
        (None, "anonymous"),
        ("barn", "account_removed"),
    }
    assert told[None, "unknown_user"].count == 2
    kept = json.dumps(running.told())
    assert "nobody-I-know" not in kept
    assert "uuuu" not in kept
    with login(running):
        pass
    assert [one.kind for one in unsettled(running.told()) if one.camera == "porch"] == []


def test_an_account_that_ends_under_a_session(running: Running) -> None:
    """STOR, MKD and a rename of a removed account: 421, and it is told whose."""
    assert running.settings.library is not None
    sessions = [login(running) for _ in range(2)]
    Accounts(running.settings.library).remove("porch")
    for ftp, command in zip(sessions, ("MKD day", "RNFR x.jpg_"), strict=True):
        with pytest.raises(ftplib.error_temp, match="421"):
            ftp.sendcmd(command)
    assert seen(running, "porch", "account_changed").count == 2
    assert not (running.folder() / "day").exists()


def test_a_folder_that_went_away(running: Running) -> None:
    """A camera whose folder is gone (its disk is not mounted) is told of, at login and later."""
    with login(running) as ftp:
        running.folder().rmdir()
        with pytest.raises(ftplib.error_perm):
            store(ftp, "x.jpg", TINY_JPEG)
        with pytest.raises(ftplib.error_perm, match="530"):
            login(running)
    assert seen(running, "porch", "folder_not_there").count == 2


def test_a_full_disk_and_a_large_file(tmp_path: Path) -> None:
    """452 and 552 are told, and a full disk is over once an upload came whole."""
    here = settings_of(tmp_path, keep_free_mb=1e9, max_file_mb=1)
    let_in(here, "porch")
    with serving(here) as running, login(running) as ftp:
        with pytest.raises(ftplib.error_temp, match="452"):
            store(ftp, "x.jpg", TINY_JPEG)
        ftp.sendcmd(f"ALLO {2 << 20}")
        with pytest.raises(ftplib.error_perm, match="552"):
            store(ftp, "x.bin", b"x")
        assert {("porch", "disk_full"), ("porch", "file_too_large")} == set(refusals(running))
        object.__setattr__(running.receiver.service.limits, "keep_free_bytes", 0)
        store(ftp, "x.jpg", TINY_JPEG)
        assert [one.kind for one in unsettled(running.told())] == ["file_too_large"]


def test_a_connection_for_data_that_never_comes(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The camera hangs up, asks again, or waits until the server gives up: told each time."""
    with login(running) as ftp:
        ftp.sendcmd("PASV")
        ftp.sendcmd("PASV")
    until(lambda: seen(running, "porch", "data_never_opened").count == 2)
    monkeypatch.setattr(control.Passive, "timeout", 0.1)
    with login(running) as ftp:
        ftp.sendcmd("PASV")
        with pytest.raises(ftplib.error_temp, match="421"):
            ftp.getresp()
    until(lambda: seen(running, "porch", "data_never_opened").count == 3)


def test_a_camera_that_cannot_be_called_back(running: Running) -> None:
    """Active mode to a port where nobody listens: 425, and it is told."""
    with login(running) as ftp, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(ftplib.error_temp, match="425"):
            ftp.sendport("127.0.0.1", closed.getsockname()[1])
    assert seen(running, "porch", "data_refused")


def test_somebody_else_at_the_port_for_data(running: Running) -> None:
    """Whoever scans the ports breaks no upload: the camera still gets its own answer."""
    with login(running) as ftp:
        host, port = ftplib.parse227(ftp.sendcmd("PASV"))
        with socket.create_connection((host, port), source_address=("127.0.0.9", 0)) as other:
            assert other.recv(1) == b""
        with socket.create_connection((host, port)) as data:
            assert ftp.sendcmd("STOR x.jpg")[0] == "1"
            data.sendall(TINY_JPEG)
        assert ftp.voidresp().startswith("226")
    assert seen(running, "porch", "foreign_data").detail == "from 127.0.0.9"


def test_an_upload_that_stops(tmp_path: Path) -> None:
    """Nothing more comes in the middle of an upload: told, with the wifi as the first thing."""
    here = settings_of(tmp_path, stalled_after_s=0.3)
    let_in(here, "porch")
    with serving(here) as running:
        ftp = login(running)
        connection = begin(ftp, "x.jpg", TINY_JPEG[:1000])
        assert "Wi-Fi" in seen(running, "porch", "stalled").meaning.advice
        assert "The camera will send it again" in listed(running)
        connection.close()
        ftp.close()


# --- encryption ---------------------------------------------------------------------------


def shake_hands(running: Running, **options: Any) -> None:
    """Begin TLS as a client with these settings of its context does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for name, value in options.items():
        setattr(context, name, value)
    ftp = ftplib.FTP_TLS(context=context)
    ftp.connect("127.0.0.1", running.port, timeout=30)
    try:
        ftp.auth()
    finally:
        ftp.close()


def test_a_client_that_refuses_the_certificate(secured: Running) -> None:
    """ftplib, curl, lftp and openssl with their checks on: each is told, with what to do."""
    before = 0
    for client in (by_ftplib, by_curl, by_lftp, by_openssl):
        client(secured)
        until(lambda: count(secured, "tls_certificate") > before)  # noqa: B023
        before = count(secured, "tls_certificate")
    assert "does not accept the server's certificate" in listed(secured)


def count(running: Running, kind: str) -> int:
    one = refusals(running).get((None, kind))
    return one.count if one else 0


def by_ftplib(running: Running) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(running, verify_mode=ssl.CERT_REQUIRED)


def by_curl(running: Running) -> None:
    url = f"ftp://porch:{PASSWORD}@127.0.0.1:{running.port}/"
    assert subprocess.run(["curl", "-sS", "--ssl-reqd", url], capture_output=True).returncode


def by_lftp(running: Running) -> None:
    script = (
        f"set net:max-retries 1; set net:timeout 10; set ftp:ssl-force yes; set cmd:fail-exit yes; "
        f"open ftp://porch:{PASSWORD}@127.0.0.1:{running.port}; ls"
    )
    assert subprocess.run(["lftp", "-c", script], capture_output=True, timeout=60).returncode


def by_openssl(running: Running) -> None:
    command = ["openssl", "s_client", "-starttls", "ftp", "-verify_return_error"]
    command += ["-connect", f"127.0.0.1:{running.port}"]
    assert subprocess.run(command, input=b"", capture_output=True, timeout=60).returncode


def test_an_old_version_of_tls(secured: Running) -> None:
    """A client with TLS 1.0 only, and one with nothing but 1.3, are told of."""
    command = ["openssl", "s_client", "-starttls", "ftp", "-tls1", "-cipher", "ALL:@SECLEVEL=0"]
    command += ["-connect", f"127.0.0.1:{secured.port}"]
    subprocess.run(command, input=b"", capture_output=True, timeout=60)
    assert "TLS 1.2" in seen(secured, None, "tls_version").meaning.what
    with pytest.raises((ssl.SSLError, OSError)):
        shake_hands(secured, minimum_version=ssl.TLSVersion.TLSv1_3)
    until(lambda: count(secured, "tls_version") == 2)


def test_encryption_that_never_comes_about(secured: Running) -> None:
    """Junk, a client that hangs up, implicit FTPS, SSH: each is told as what it is."""
    for after, kind in ((b"junk" * 9, "tls_failed"), (b"", "tls_failed")):
        before = count(secured, kind)
        with socket.create_connection(("127.0.0.1", secured.port)) as control_:
            control_.recv(999)
            control_.sendall(b"AUTH TLS\r\n")
            control_.recv(999)
            control_.sendall(after)
        until(lambda: count(secured, kind) == before + 1)  # noqa: B023
    for first, kind in (
        (b"\x16\x03\x01\x02\x00\x01\x00", "tls_implicit"),
        (b"SSH-2.0-x\r\n", "not_ftp"),
    ):
        with socket.create_connection(("127.0.0.1", secured.port)) as control_:
            control_.sendall(first)
            seen(secured, None, kind)


def test_plain_where_tls_is_required(secured: Running) -> None:
    """A login, and then data, in plain text: 550, and it is told."""
    with pytest.raises(ftplib.error_perm, match="550"):
        login(secured)
    assert seen(secured, None, "plain_login")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with ftplib.FTP_TLS(context=context) as ftp:
        ftp.connect("127.0.0.1", secured.port, timeout=30)
        ftp.login("porch", PASSWORD)
        with pytest.raises(ftplib.error_perm, match="550"):
            ftp.sendcmd("PASV")
    assert seen(secured, "porch", "plain_data")


def test_data_that_cannot_be_encrypted(secured: Running) -> None:
    """Junk instead of a handshake on the connection for data: 522, and it is told."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with ftplib.FTP_TLS(context=context) as ftp:
        ftp.connect("127.0.0.1", secured.port, timeout=30)
        ftp.login("porch", PASSWORD)
        ftp.prot_p()
        for junk in (b"junk" * 9, b""):
            host, port = ftplib.parse227(ftp.sendcmd("PASV"))
            with socket.create_connection((host, port)) as data:
                ftp.putcmd("STOR x.jpg")
                assert ftp.getresp()[0] == "1"
                data.sendall(junk)
            with pytest.raises(ftplib.error_perm, match="522"):
                ftp.getresp()
    until(lambda: seen(secured, "porch", "tls_data_failed").count == 2)
    assert list(secured.folder().glob("*.jpg")) == []


# --- how it is told -----------------------------------------------------------------------


def test_it_is_kept_when_the_server_is_killed(tmp_path: Path) -> None:
    """A second after the refusal nothing of it is lost by kill -9, nor by the next start."""
    here = settings_of(tmp_path)
    let_in(here, "porch")
    with receive_command(tmp_path) as server:
        port = port_of(server)
        with ftplib.FTP() as ftp:
            ftp.connect("127.0.0.1", port, timeout=30)
            ftp.login("porch", PASSWORD)
            with pytest.raises(ftplib.error_perm):
                store(ftp, "no/x.jpg", TINY_JPEG)
            assert here.library is not None
            kept = Storage(here.library)
            until(lambda: remembered(records.read(kept) or {}))
        server.send_signal(signal.SIGKILL)
    [one] = remembered(records.read(kept) or {})
    assert (one.camera, one.kind, one.count) == ("porch", "missing_folder", 1)
    with serving(here) as running, login(running) as ftp:
        with pytest.raises(ftplib.error_perm):
            store(ftp, "no/x.jpg", TINY_JPEG)
        assert seen(running, "porch", "missing_folder").count == 2


def test_a_flood_stays_small(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    """Thousands of addresses and long names: counted, in few entries and few lines."""
    service = running.receiver.service
    for number in range(3000):
        service.refused("no_login", None, f"10.0.{number >> 8}.{number & 255}", "x" * 2000)
        service.refused_login("porch", f"10.1.{number >> 8}.{number & 255}", "wrong_password", "")
    of_strangers = [one for one in service.record.refusals.all() if one.kind == "no_login"]
    assert len(of_strangers) == MOST_ADDRESSES + 1
    assert sum(one.count for one in of_strangers) == 3000
    assert len(service.record.refusals.all()) == 2 * (MOST_ADDRESSES + 1)
    assert len(service.bans._failed) <= 10_000
    assert len(json.dumps(running.told())) < 40_000
    assert len(caplog.records) <= 62


def test_one_address_has_one_entry() -> None:
    """Counted with first and last time; what is folded keeps its count and its first time."""
    many = Refusals()
    for number in range(MOST_ADDRESSES + 9):
        many.note(RefusalCount(None, f"10.0.0.{number}", "no_login"), f"2026-11-{number + 1:02}")
    many.note(RefusalCount(None, "10.0.0.0", "no_login"), "2026-12-01")
    found = {one.address: one for one in many.all()}
    assert found[""].count + len(found) - 1 == MOST_ADDRESSES + 10
    assert found[""].first == "2026-11-01"
    assert found["10.0.0.0"].last == "2026-12-01"
    many.forget_before("2026-11-30")
    assert [one.address for one in many.all()] == ["10.0.0.0"]


@needs_media
def test_a_waiting_add_tells_all(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera that may not log in and one that uploads below a missing folder, as they come."""
    monkeypatch.setattr(commands, "POLL_S", 0.02)
    came: list[str] = []

    def wait() -> None:
        words = ["add", "yard", "--timeout", "60", "--password-stdin", *where(running)]
        came.append(CliRunner().invoke(pano, ["camera", *words], input=f"{PASSWORD}\n").output)

    asking = threading.Thread(target=wait)
    asking.start()
    until(
        lambda: running.folder("yard").is_dir() and running.receiver.service.gate.has_user("yard")
    )
    time.sleep(0.5)  # so that it waits before anything comes
    with socket.create_connection(("127.0.0.1", running.port)) as other:
        other.sendall(b"SSH-2.0-OpenSSH\r\n")
        seen(running, None, "not_ftp")
    with login(running, "yard") as ftp:
        with pytest.raises(ftplib.error_perm):
            store(ftp, "no/x\x1b[2J\u202e.jpg", TINY_JPEG)
        seen(running, "yard", "missing_folder")
        time.sleep(0.3)
        name = snapshot_path("yard", datetime(2020, 6, 1, 16, 31, 24)).rpartition("/")[2]
        store(ftp, name, (MEDIA / "1591027084.jpg").read_bytes())
    asking.join(60)
    [output] = came
    assert "Refused: a client that is not logged in from 127.0.0.1: uses a protocol other" in output
    assert "Refused: yard from 127.0.0.1: the folder to upload to does not exist" in output
    assert KINDS["missing_folder"].advice in output
    assert "\x1b" not in output
    assert "\u202e" not in output


def test_status_tells_of_refused_uploads(running: Running) -> None:
    """A camera's refused upload is a problem until it is over; a stranger's is only told."""
    ingested = CliRunner().invoke(pano, ["ingest", "--quiet", *where(running)])
    assert ingested.exit_code == 0, ingested.output
    with login(running) as ftp, pytest.raises(ftplib.error_perm):
        store(ftp, "no/x.jpg", TINY_JPEG)
    with socket.create_connection(("127.0.0.1", running.port)) as other:
        other.sendall(b"SSH-2.0-OpenSSH\r\n")
        seen(running, None, "not_ftp")
    seen(running, "porch", "missing_folder")
    told = status.collect(running.settings)
    [problem] = [one for one in told["problems"] if one["what"] == "upload_refused"]
    assert problem["detail"].startswith("porch: the folder to upload to does not exist")
    assert {one["kind"] for one in told["receive"]["refusals"]} == {"missing_folder", "not_ftp"}
    from zoneinfo import ZoneInfo

    lines = status.in_words(told, ZoneInfo("UTC"))
    assert any(line.startswith("refused   127.0.0.1: uses a protocol") for line in lines)


def test_every_kind_says_what_to_do() -> None:
    """Each has words and advice, and the pages for users name the commands and settings in it."""
    for name, kind in KINDS.items():
        assert kind.what, name
        assert kind.advice.endswith("."), name
    page = Path(__file__).parent.parent / "docs" / "receiving.md"
    for kind in KINDS.values():
        if kind is not KINDS["other"]:
            assert kind.what in page.read_text(encoding="utf-8"), kind.what


def test_someone_who_does_not_log_in(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time to log in the connection is closed, whatever was sent; it is told."""
    monkeypatch.setattr(control, "LOGIN_S", 0.3)
    for words in (b"", b"USER porch\r\n"):
        with socket.create_connection(("127.0.0.1", running.port)) as idle:
            idle.sendall(words)
            idle.settimeout(30)
            received = b""
            while piece := idle.recv(999):
                received += piece
            assert b"421 Log in within" in received
    until(lambda: seen(running, None, "no_login").count == 2)
    assert door.LOGIN_S == 30
