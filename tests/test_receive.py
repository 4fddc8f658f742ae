"""`pano receive` with cameras as they come: rights, jail, renames, limits, TLS, real clients."""

from __future__ import annotations

import ftplib
import io
import json
import os
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from receiving import (
    PASSWORD,
    TINY_JPEG,
    Running,
    begin,
    files,
    let_in,
    login,
    parts,
    port_of,
    receive_command,
    serving,
    settings_of,
    store,
    until,
)
from shared_files import MEDIA, clip_path, needs_media, snapshot_path

from pano_analytics import layouts
from pano_analytics.layouts.later import split
from pano_analytics.library import Library
from pano_analytics.receive import records
from pano_analytics.receive.accounts import Accounts
from pano_analytics.receive.server import ReceiveError, serve
from pano_analytics.store.storage import Storage

pytest.importorskip("pyftpdlib")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    here = settings_of(tmp_path)
    let_in(here, "porch", "barn")
    with serving(here) as one:
        yield one


def refused(ftp: ftplib.FTP, command: str) -> str:
    """Return the answer to a command that must be refused."""
    with pytest.raises(ftplib.error_perm) as caught:
        ftp.sendcmd(command)
    return str(caught.value)


# --- as cameras do ------------------------------------------------------------------------


@needs_media
def test_an_amcrest_camera(running: Running) -> None:
    """ALLO, REST 0, a folder at a time, `.mp4_` and its rename: answered as expected."""
    data = (MEDIA / "1591028951.mp4").read_bytes()
    folder = "AMC0028V/2026-11-22/001/dav/21"
    with login(running) as ftp:
        for name in folder.split("/"):
            with pytest.raises(ftplib.error_perm):
                ftp.cwd(name)
            ftp.mkd(name)
            ftp.cwd(name)
        assert ftp.sendcmd(f"ALLO {len(data)}").startswith("200")
        ftp.voidcmd("TYPE I")
        assert ftp.sendcmd("REST 0").startswith("350")
        store(ftp, "21.30.10-21.30.37[M][0@0][0].mp4_", data)
        ftp.rename("21.30.10-21.30.37[M][0@0][0].mp4_", "21.30.10-21.30.37[M][0@0][0].mp4")
    name = f"{folder}/21.30.10-21.30.37[M][0@0][0].mp4"
    assert files(running.folder()) == [name]
    assert (running.folder() / name).read_bytes() == data
    assert running.told()["cameras"]["porch"]["last"]["path"] == f"porch/{name}"


def test_a_camera_that_forgets_type_i(running: Running) -> None:
    """A picture sent in text mode keeps every byte, line endings included."""
    data = TINY_JPEG[:100] + b"\r\n\r\r\n" + TINY_JPEG[100:]
    with login(running) as ftp:
        ftp.voidcmd("TYPE A")
        with ftp.transfercmd("STOR x.jpg") as connection:
            connection.sendall(data)
        ftp.voidresp()
    assert (running.folder() / "x.jpg").read_bytes() == data


def test_active_mode(running: Running) -> None:
    """A camera that opens no connection of its own is called back."""
    with login(running) as ftp:
        ftp.set_pasv(False)
        store(ftp, "x.jpg", TINY_JPEG)
    assert files(running.folder()) == ["x.jpg"]


def test_a_name_that_is_no_utf8(running: Running) -> None:
    """A name in another encoding is kept byte by byte."""
    with login(running) as ftp:
        ftp.encoding = "latin-1"
        store(ftp, "caf\xe9.jpg", TINY_JPEG)
        assert ftp.nlst() == ["caf\xe9.jpg"]
    assert os.listdir(os.fsencode(running.folder())) == [b"caf\xe9.jpg"]
    assert running.told()["cameras"]["porch"]["last"]["path"] == "porch/caf%E9.jpg"


def test_the_longest_name(running: Running) -> None:
    """A name as long as a file system takes is taken; its part has a shorter one."""
    name = "x" * 251 + ".jpg"
    with login(running) as ftp:
        store(ftp, name, TINY_JPEG)
        with pytest.raises(ftplib.error_temp):
            store(ftp, "y" * 251 + ".jpg", TINY_JPEG[:-2])
    assert files(running.folder()) == [name]


def test_the_same_upload_again_changes_nothing(running: Running) -> None:
    """Everything sent again after a camera's restart leaves files and times as they are."""
    with login(running) as ftp:
        store(ftp, "x.jpg", TINY_JPEG)
        before = (running.folder() / "x.jpg").stat()
        store(ftp, "x.jpg", TINY_JPEG)
        after = (running.folder() / "x.jpg").stat()
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert files(running.folder()) == ["x.jpg"]
    assert parts(running.folder()) == []


def test_a_part_is_no_upload_to_any_reader() -> None:
    """Ingest and explain take a part for what is on its way, whatever it is a part of."""
    for name in (".x.jpg.0a1b2c3d.pano-part", ".10.22.28-10.22.55[M].mp4_.0a1b2c3d.pano-part"):
        assert layouts.read(f"porch/2026-11-22/{name}").layout == "sidecar-inprogress"


# --- rights and jail ----------------------------------------------------------------------


def test_what_a_camera_may_not(running: Running) -> None:
    """No reading, no deleting, no times and rights of files, no unique names."""
    with login(running) as ftp:
        store(ftp, "x.jpg", TINY_JPEG)
        ftp.mkd("day")
        with pytest.raises(ftplib.error_perm):
            ftp.retrbinary("RETR x.jpg", lambda _: None)
        for command in ("DELE x.jpg", "RMD day", "SITE CHMOD 777 x.jpg", "STOU x.jpg"):
            refused(ftp, command)
        refused(ftp, "MFMT 20000101000000 x.jpg")
        assert ftp.size("x.jpg") == len(TINY_JPEG)
        assert sorted(ftp.nlst()) == ["day", "x.jpg"]
    assert files(running.folder()) == ["x.jpg"]


@pytest.mark.parametrize(
    "path",
    ["../barn/x.jpg", "/../barn/x.jpg", "out/x.jpg", "day/../../barn/x.jpg", "out", "file.jpg"],
)
def test_nothing_leads_out_of_the_jail(running: Running, path: str) -> None:
    """Neither dots nor links, to a folder or a file, lead a camera into another's."""
    (running.folder("barn") / "other.jpg").write_bytes(b"other")
    (running.folder() / "out").symlink_to(running.folder("barn"))
    (running.folder() / "file.jpg").symlink_to(running.folder("barn") / "other.jpg")
    with login(running) as ftp:
        with pytest.raises(ftplib.error_perm):
            ftp.cwd("out")
        # Dots end at the jail's own root, where there is no such folder.
        with pytest.raises(ftplib.error_perm):
            store(ftp, path, TINY_JPEG)
        assert ftp.nlst() == []
        store(ftp, "fine.jpg_", TINY_JPEG)
        ftp.sendcmd("RNFR fine.jpg_")
        refused(ftp, f"RNTO {path}")
    assert files(running.folder("barn")) == ["other.jpg"]
    assert (running.folder("barn") / "other.jpg").read_bytes() == b"other"


def test_a_link_inside_the_jail_is_not_written_through(running: Running) -> None:
    """Not even to another file of the same camera: a link is no upload."""
    (running.folder() / "real.jpg").write_bytes(TINY_JPEG)
    (running.folder() / "link.jpg").symlink_to("real.jpg")
    with login(running) as ftp, pytest.raises(ftplib.error_perm, match="Not a file"):
        store(ftp, "link.jpg", TINY_JPEG + b"other")
    assert (running.folder() / "link.jpg").is_symlink()


def test_a_folder_that_is_a_link_lets_nobody_in(running: Running, tmp_path: Path) -> None:
    """Ingest would pass over a camera's folder that leads elsewhere: the login is refused."""
    running.receiver.server.handler.auth_failed_timeout = 0.01
    shutil.rmtree(running.folder())
    (tmp_path / "elsewhere").mkdir()
    running.folder().symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ftplib.error_perm, match="530"):
        login(running)
    assert "is it mounted" in running.told()["refused"][-1]["reason"]


def test_parts_are_neither_seen_nor_touched(running: Running) -> None:
    """No camera lists, renames or writes the parts of cut uploads."""
    with login(running) as ftp:
        with pytest.raises(ftplib.error_temp):
            store(ftp, "x.jpg", TINY_JPEG[:-2])
        [part] = parts(running.folder())
        assert ftp.nlst() == []
        refused(ftp, f"RNFR {part.name}")
        refused(ftp, "SIZE x.jpg")
        with pytest.raises(ftplib.error_perm):
            store(ftp, ".y.jpg.00000000.pano-part", TINY_JPEG)
    assert part.stat().st_size == len(TINY_JPEG) - 2


# --- renames ------------------------------------------------------------------------------


def test_a_finished_upload_is_not_renamed(running: Running) -> None:
    """What has its final name stays there, and so do folders."""
    with login(running) as ftp:
        store(ftp, "x.jpg", TINY_JPEG)
        ftp.mkd("day_")
        for source in ("x.jpg", "day_"):
            with pytest.raises(ftplib.error_perm, match="in progress"):
                ftp.rename(source, "gone.jpg")
    assert files(running.folder()) == ["x.jpg"]


def test_a_rename_destroys_nothing(running: Running) -> None:
    """Beside another whole file both are kept; the same bytes are one file, a cut one goes."""
    other = TINY_JPEG.replace(b"\x11", b"\x12")
    with login(running) as ftp:
        store(ftp, "x.jpg", TINY_JPEG)
        store(ftp, "x.jpg_", other)
        ftp.rename("x.jpg_", "x.jpg")
        assert (running.folder() / "x.jpg").read_bytes() == TINY_JPEG
        store(ftp, "x.jpg_", TINY_JPEG)
        ftp.rename("x.jpg_", "x.jpg")
        (running.folder() / "cut.jpg").write_bytes(TINY_JPEG[:99])  # by another server, once
        store(ftp, "cut.tmp", other)
        ftp.rename("cut.tmp", "cut.jpg")
    [later] = sorted(set(files(running.folder())) - {"cut.jpg", "x.jpg"})
    assert split(later)[0] == "x.jpg"
    assert (running.folder() / later).read_bytes() == other
    assert (running.folder() / "cut.jpg").read_bytes() == other


# --- in pieces ----------------------------------------------------------------------------


def test_an_upload_in_pieces(running: Running) -> None:
    """APPE puts piece behind piece; a piece that is cut leaves those before it."""
    with login(running) as ftp:
        store(ftp, "x.jpg", TINY_JPEG[:1000], "APPE")
        ftp.voidcmd("ALLO 900")
        with pytest.raises(ftplib.error_temp, match="426"):
            store(ftp, "x.jpg", TINY_JPEG[1000:1500], "APPE")
        assert ftp.size("x.jpg") == 1000
        store(ftp, "x.jpg", TINY_JPEG[1000:], "APPE")
        with pytest.raises(ftplib.error_perm, match="finished upload"):
            store(ftp, "x.jpg", b"more", "APPE")
    assert (running.folder() / "x.jpg").read_bytes() == TINY_JPEG


def test_going_on_from_a_mark(running: Running) -> None:
    """REST goes on from what is there; beyond it, or where nothing is, the camera begins anew."""
    (running.folder() / "x.jpg").write_bytes(TINY_JPEG[:1000] + b"junk")
    with login(running) as ftp:
        ftp.storbinary("STOR x.jpg", io.BytesIO(TINY_JPEG[1000:]), rest=1000)
        for name, mark in (("x.jpg", 99_999), ("none.jpg", 10)):
            with pytest.raises(ftplib.error_perm, match="55"):
                ftp.storbinary(f"STOR {name}", io.BytesIO(b"x"), rest=mark)
        store(ftp, "none.jpg", TINY_JPEG)
    assert (running.folder() / "x.jpg").read_bytes() == TINY_JPEG
    assert parts(running.folder()) == []


# --- limits -------------------------------------------------------------------------------


def test_a_file_too_large(tmp_path: Path) -> None:
    """Declared too large it is refused at once; else it is ended there. The session goes on."""
    here = settings_of(tmp_path, max_file_mb=1)
    let_in(here, "porch")
    with serving(here) as running:
        ftp = login(running)
        ftp.sendcmd(f"ALLO {2 << 20}")
        with pytest.raises(ftplib.error_perm, match="552"):
            store(ftp, "x.bin", b"x")
        with pytest.raises((ftplib.error_perm, OSError)):
            store(ftp, "x.bin", bytes(4 << 20))
        ftp.close()
        with login(running) as again:
            store(again, "x.jpg", TINY_JPEG)
        assert files(running.folder()) == ["x.jpg"]
        assert sum(part.stat().st_size for part in parts(running.folder())) <= 1 << 20


def test_space_is_asked_for_first(tmp_path: Path) -> None:
    """Where the disk would have less left than is to be kept, nothing is begun: 452."""
    here = settings_of(tmp_path, keep_free_mb=1e9)
    let_in(here, "porch")
    with serving(here) as running, login(running) as ftp:
        with pytest.raises(ftplib.error_temp, match="452"):
            store(ftp, "x.jpg", TINY_JPEG)
        assert not list(running.folder().iterdir())


def test_the_rate_is_limited(tmp_path: Path) -> None:
    """Under a limit a large upload is slowed down, and arrives whole."""
    here = settings_of(tmp_path, max_kb_per_s=256)
    let_in(here, "porch")
    with serving(here) as running, login(running) as ftp:
        began = datetime.now()
        store(ftp, "x.bin", bytes(range(256)) * 3 * 1024)
        assert datetime.now() - began > timedelta(seconds=1)
        assert (running.folder() / "x.bin").stat().st_size == 768 << 10


@pytest.mark.parametrize("limit", ["max_connections", "max_connections_per_address"])
def test_connections_are_limited(tmp_path: Path, limit: str) -> None:
    """One more than allowed is turned away with 421; those who are in can upload."""
    here = settings_of(tmp_path, **{limit: 2})
    let_in(here, "porch")
    with serving(here) as running:
        first, second = login(running), login(running)
        with pytest.raises((ftplib.error_temp, EOFError), match=r"421|^$"):
            login(running)
        store(first, "x.jpg", TINY_JPEG)
        store(second, "y.jpg", TINY_JPEG)
        first.quit()
        second.quit()
        until(lambda: not running.receiver.server.ip_map)
        login(running).quit()
        assert files(running.folder()) == ["x.jpg", "y.jpg"]


def test_wrong_logins_slow_down_an_address(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After too many a wrong one ends the connection; right ones are let in, a new account too.

    Neither the log nor what is told others holds a password or a name that nobody has.
    """
    here = settings_of(tmp_path, failed_logins=3)
    let_in(here, "porch")
    with serving(here) as running:
        running.receiver.server.handler.auth_failed_timeout = 0.01
        with pytest.raises(ftplib.error_perm, match="530"):
            login(running, "porch", "not-the-password")
        login(running).quit()  # forgives: another camera at the same address was right
        for user in ("my-secret-typed-wrong", "porch", "porch"):
            with pytest.raises(ftplib.error_perm, match="530"):
                login(running, user, "not-the-password")
        with pytest.raises(ftplib.error_perm, match=r"530 .* Disconnecting"):
            login(running, "porch", "not-the-password")
        login(running).quit()
        told = running.told()
        assert list(told["bans"]) == ["127.0.0.1"]
        assert [one["user"] for one in told["refused"]] == ["porch", None, *["porch"] * 3]
        assert here.library is not None
        Accounts(here.library).set_password("porch", "another-Password1")
        until(lambda: not running.receiver.service.bans.current())
        login(running, "porch", "another-Password1").quit()
        with pytest.raises(ftplib.error_perm, match="530"):
            login(running)
        for secret in ("not-the-password", "my-secret", PASSWORD, "another-Password1"):
            assert secret not in caplog.text + json.dumps(running.told())


def test_a_removed_camera_uploads_no_more(running: Running) -> None:
    """An account that goes ends what its open sessions may do."""
    assert running.settings.library is not None
    with login(running) as ftp:
        store(ftp, "x.jpg", TINY_JPEG)
        Accounts(running.settings.library).remove("porch")
        with pytest.raises(ftplib.error_temp, match="421"):
            store(ftp, "y.jpg", TINY_JPEG)
    assert files(running.folder()) == ["x.jpg"]


# --- TLS ----------------------------------------------------------------------------------


def tls_login(running: Running) -> ftplib.FTP_TLS:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert running.settings.library is not None
    context.load_verify_locations(running.settings.library / "tls" / "own-certificate.pem")
    ftp = ftplib.FTP_TLS(context=context)
    ftp.connect("127.0.0.1", running.port, timeout=30)
    ftp.login("porch", PASSWORD)
    ftp.prot_p()
    return ftp


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    here = settings_of(tmp_path_factory.mktemp("tls"), tls="optional")
    let_in(here, "porch")
    with serving(here) as one:
        yield one


@needs_media
def test_tls_with_a_certificate_of_its_own(secured: Running) -> None:
    """The certificate is made on first start, private, good for this address; the rest as ever."""
    assert secured.settings.library is not None
    key = secured.settings.library / "tls" / "own-key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    data = (MEDIA / "1591028951.mp4").read_bytes()
    with tls_login(secured) as ftp:
        store(ftp, "x.mp4_", data)
        ftp.rename("x.mp4_", "x.mp4")
        with pytest.raises(ftplib.error_temp, match="426"):
            store(ftp, "cut.mp4", data[:-100])
        store(ftp, "notes.txt", b"some text")
    with login(secured) as ftp:
        store(ftp, "plain.jpg", TINY_JPEG)
    assert files(secured.folder()) == ["notes.txt", "plain.jpg", "x.mp4"]


def test_tls_without_a_goodbye(secured: Running) -> None:
    """A camera that just hangs up at the end of its TLS is heard, its cut upload found out."""
    for name, data in (("bye.jpg", TINY_JPEG), ("half.jpg", TINY_JPEG[:1500])):
        ftp = tls_login(secured)
        connection = begin(ftp, name, data)
        os.close(connection.detach())
        if name == "bye.jpg":
            assert ftp.voidresp().startswith("226")
        else:
            with pytest.raises(ftplib.error_temp, match="426"):
                ftp.voidresp()
        ftp.close()
    assert (secured.folder() / "bye.jpg").exists()
    assert not (secured.folder() / "half.jpg").exists()


def test_tls_required(tmp_path: Path) -> None:
    """Where TLS is required, no password is asked for in plain."""
    here = settings_of(tmp_path, tls="required")
    let_in(here, "porch")
    with serving(here) as running:
        with pytest.raises(ftplib.error_perm, match="550"):
            login(running)
        with tls_login(running) as ftp:
            store(ftp, "x.jpg", TINY_JPEG)
        assert files(running.folder()) == ["x.jpg"]


def test_masquerade_and_passive_ports(tmp_path: Path) -> None:
    """PASV tells the address and the ports that were set."""
    here = settings_of(tmp_path, masquerade="192.0.2.7", passive_ports=[50950, 50955])
    let_in(here, "porch")
    with serving(here) as running, login(running) as ftp:
        host, port = ftplib.parse227(ftp.sendcmd("PASV"))
        assert host == "192.0.2.7"
        assert 50950 <= port <= 50955


# --- real clients, many at once -------------------------------------------------------------


@needs_media
@pytest.mark.parametrize("client", ["curl", "lftp"])
@pytest.mark.parametrize("tls", [False, True])
def test_a_real_client(secured: Running, tmp_path: Path, client: str, tls: bool) -> None:
    """curl and lftp upload whole files, make folders, and are told of a cut one."""
    if shutil.which(client) is None:
        pytest.skip(f"{client} is not installed")
    cut = tmp_path / "cut.jpg"
    cut.write_bytes((MEDIA / "1591027084.jpg").read_bytes()[:30_000])
    assert run_client(client, secured, MEDIA / "1591027084.jpg", f"{client}{tls}/day", tls) == 0
    assert run_client(client, secured, cut, f"{client}{tls}/day", tls) != 0
    assert files(secured.folder() / f"{client}{tls}") == ["day/1591027084.jpg"]


def run_client(client: str, running: Running, source: Path, folder: str, tls: bool) -> int:
    url = f"ftp://porch:{PASSWORD}@127.0.0.1:{running.port}"
    if client == "curl":
        command = ["curl", "-sSk", "--ftp-create-dirs", "-T", str(source), f"{url}/{folder}/"]
        command += ["--ssl-reqd"] if tls else []
    else:
        force = "yes" if tls else "no"
        script = (
            f"set ssl:verify-certificate no; set ftp:ssl-allow {force}; set ftp:ssl-force {force}; "
            f"set ftp:ssl-protect-data {force}; set net:max-retries 1; set net:timeout 20; "
            f"set net:reconnect-interval-base 1; set cmd:fail-exit yes; open {url}; "
            f"mkdir -fp {folder}; cd {folder}; put {source}"
        )
        command = ["lftp", "-c", script]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode


def test_five_cameras_at_once(tmp_path: Path) -> None:
    """Five cameras that upload at the same time, each in its own folder: every byte arrives."""
    here = settings_of(tmp_path)
    cameras = [f"camera{number}" for number in range(5)]
    let_in(here, *cameras)
    begin_together = threading.Barrier(5)

    def upload(running: Running, camera: str) -> None:
        with login(running, camera) as ftp:
            begin_together.wait(30)
            for number in range(40):
                store(ftp, f"{number}.jpg", TINY_JPEG + camera.encode() * 99)

    with serving(here) as running:
        threads = [threading.Thread(target=upload, args=(running, camera)) for camera in cameras]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for camera in cameras:
            found = [path.read_bytes() for path in running.folder(camera).iterdir()]
            assert found == [TINY_JPEG + camera.encode() * 99] * 40
        told = running.told()["cameras"]
        assert [told[camera]["whole"] for camera in cameras] == [40] * 5


# --- a full disk --------------------------------------------------------------------------


def test_a_full_disk(tmp_path: Path, disk: Path) -> None:
    """What does not fit is refused while it comes, the good file stays, and space heals it."""
    here = settings_of(tmp_path).model_copy(update={"uploads": disk})
    let_in(here, "porch")
    large = TINY_JPEG[:-2] + bytes(3 << 20) + b"\xff\xd9"
    with serving(here) as running:
        ftp = login(running)
        store(ftp, "x.jpg", TINY_JPEG)
        with pytest.raises((ftplib.Error, OSError)):
            store(ftp, "x.jpg", large)
        ftp.close()
        assert (running.folder() / "x.jpg").read_bytes() == TINY_JPEG
        assert running.told()["cameras"]["porch"]["last_cut"]["reason"] == "No space left on device"
        for part in parts(running.folder()):
            part.unlink()
        with login(running) as ftp:
            store(ftp, "y.jpg", TINY_JPEG)
        assert files(running.folder()) == ["x.jpg", "y.jpg"]


# --- the command --------------------------------------------------------------------------


def test_sigterm_lets_uploads_finish(tmp_path: Path) -> None:
    """Told to end, it takes nobody new, waits for the upload under way, and exits 0."""
    let_in(settings_of(tmp_path), "porch")
    with receive_command(tmp_path) as server:
        port = port_of(server)
        ftp = ftplib.FTP()
        ftp.connect("127.0.0.1", port, timeout=30)
        ftp.login("porch", PASSWORD)
        connection = begin(ftp, "x.jpg", TINY_JPEG[:1000])
        until(lambda: parts(tmp_path))
        server.send_signal(signal.SIGTERM)
        until(lambda: not is_open(port))
        connection.sendall(TINY_JPEG[1000:])
        connection.close()
        assert ftp.voidresp().startswith("226")
        assert server.wait(30) == 0
    assert files(tmp_path / "uploads") == ["porch/x.jpg"]
    told = records.read(Storage(tmp_path / "library"))
    assert told is not None
    assert told["finished"]


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_one_server_a_library(tmp_path: Path) -> None:
    """A second one says so and exits 7, and so does one whose port is taken."""
    here = settings_of(tmp_path)
    let_in(here, "porch")
    with receive_command(tmp_path) as server:
        port = port_of(server)
        with pytest.raises(ReceiveError, match="one is running"):
            serve(here, lambda _: None)
        other = tmp_path / "other"
        other.mkdir()
        taken = settings_of(other, port=port)
        with pytest.raises(ReceiveError, match="expected to listen"):
            serve(taken, lambda _: None)
        server.terminate()
        assert server.wait(30) == 0


def test_it_needs_little(tmp_path: Path) -> None:
    """The receiving process loads neither data frames nor decoders."""
    code = (
        "import sys; import pano_analytics.cli.receive, pano_analytics.receive.server; "
        "heavy = {'pandas', 'pyarrow', 'numpy', 'duckdb', 'av', 'PIL', 'panel', 'bokeh'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_an_upload_is_seen_by_a_watching_ingest(running: Running) -> None:
    """What was received shows as complete in the library, parts as nothing at all."""
    folder = running.settings.uploads
    assert folder is not None
    now = datetime.now()
    snapshot = snapshot_path("porch", now).removeprefix("porch/")
    clip = clip_path("porch", now, now + timedelta(seconds=27), "mp4").removeprefix("porch/")
    command = [sys.executable, "-m", "pano_analytics.cli", "ingest", "--watch", "--quiet"]
    command += ["--uploads", str(folder), "--library", str(running.settings.library)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as watching, login(running) as ftp:
        store(ftp, "first.txt", b"so that the tree is not empty")
        until(lambda: (running.settings.library or folder / "no").joinpath("library.json").exists())
        for path, name in ((snapshot, "1591027084.jpg"), (clip, "1591028951.mp4")):
            for part in range(1, len(Path(path).parts)):
                make(ftp, "/".join(Path(path).parts[:part]))
            store(ftp, path, (MEDIA / name).read_bytes())
        with pytest.raises(ftplib.error_temp):
            store(ftp, snapshot.replace("[0].jpg", "[1].jpg"), TINY_JPEG[:-2])
        until(
            lambda: (
                states(running) == {f"porch/{snapshot}": "complete", f"porch/{clip}": "complete"}
            )
        )
        watching.terminate()
        watching.wait(60)


def make(ftp: ftplib.FTP, folder: str) -> None:
    with suppress(ftplib.error_perm):  # it exists: cameras go on, too
        ftp.mkd(folder)


def states(running: Running) -> dict[str, str]:
    media = Library.of(running.settings).media(columns=["path", "state"])
    return dict(zip(media.path, media.state, strict=True))


@pytest.mark.long
@needs_media
def test_thousands_of_uploads(tmp_path: Path) -> None:
    """None of 2,000 whole uploads is called cut, and no file or connection stays open."""
    here = settings_of(tmp_path)
    cameras = [f"camera{number}" for number in range(5)]
    let_in(here, *cameras)
    sources = [MEDIA / name for name in ("1591027084.jpg", "1591028951.mp4", "1593216147.jpg")]
    data = [source.read_bytes() for source in sources]

    def upload(running: Running, camera: str) -> None:
        for session in range(10):
            with login(running, camera) as ftp:
                for number in range(40):
                    kind = number % len(data)
                    name = f"{session}-{number}{sources[kind].suffix}"
                    store(ftp, f"{name}_", data[kind])
                    ftp.rename(f"{name}_", name)

    with serving(here) as running:
        upload(running, cameras[0])
        before = len(os.listdir("/proc/self/fd"))
        threads = [threading.Thread(target=upload, args=(running, one)) for one in cameras[1:]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(240)
        until(lambda: not running.receiver.server.ip_map)
        told = running.told()["cameras"]
        assert [(told[one]["whole"], told[one]["cut"]) for one in cameras] == [(400, 0)] * 5
        assert all(len(files(running.folder(camera))) == 400 for camera in cameras)
        assert len(os.listdir("/proc/self/fd")) <= before + 1
