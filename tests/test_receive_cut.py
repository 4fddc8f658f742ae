"""Cut uploads are told from whole ones, however they were cut, and harm nothing."""

from __future__ import annotations

import ftplib
import io
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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
    reset,
    serving,
    settings_of,
    store,
    until,
)
from shared_files import MEDIA, needs_media

from pano_analytics.receive.wholeness import contents_of

pytest.importorskip("pyftpdlib")

TEXT = bytes(range(1, 251)) * 80
MAGICS = (
    b"",
    b"\xff\xd8\xff",
    b"DHAV",
    b"RIFF\x99\x00\x00\x00AVI ",
    b"\x1aE\xdf\xa3",
    b"\0\0\0\x10ftypmp42\0\0\0\0",
)
KINDS = ("1591027084.jpg", "1591028951.mp4", "dav/amcrest_h264_aac.dav", "notes.txt")


def bytes_of(kind: str) -> bytes:
    """Return a real camera's file, or bytes that no check knows."""
    return TEXT if kind == "notes.txt" else (MEDIA / kind).read_bytes()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    here = settings_of(tmp_path_factory.mktemp("cut"))
    let_in(here, "porch")
    with serving(here) as one:
        yield one


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    here = settings_of(tmp_path_factory.mktemp("impatient"), stalled_after_s=0.2)
    let_in(here, "porch")
    with serving(here) as one:
        yield one


# --- the contents alone -------------------------------------------------------------------


@needs_media
@pytest.mark.parametrize(
    "path", [p for p in sorted(MEDIA.rglob("*")) if p.suffix in (".jpg", ".mp4", ".dav")], ids=str
)
def test_no_whole_file_is_called_cut(path: Path) -> None:
    """Every real file says whole, or nothing; only the two that were cut say so."""
    says = contents_of(io.BytesIO(path.read_bytes()), path.name).says
    assert (says == "cut") == (path.name in ("trunc_half.dav", "stub_156.dav"))


@needs_media
@pytest.mark.parametrize("kind", ["1591027084.jpg", "1591028951.mp4", "camera1_snapshot.jpg"])
@settings(max_examples=60)
@given(share=st.floats(0, 0.999))
def test_no_beginning_of_a_file_is_called_whole(kind: str, share: float) -> None:
    """Cut anywhere before its last thousandth, a picture or clip says that it is cut."""
    data = bytes_of(kind)
    assert contents_of(io.BytesIO(data[: int(len(data) * share)]), kind).says == "cut"


@settings(max_examples=200)
@given(data=st.binary(max_size=400), magic=st.sampled_from(MAGICS))
def test_any_bytes_get_an_answer(data: bytes, magic: bytes) -> None:
    """Whatever comes, the check answers, and says why where it says cut."""
    found = contents_of(io.BytesIO(magic + data), "x.dat")
    assert bool(found.reason) == (found.says == "cut")


def test_a_thumbnail_in_a_header_ends_no_picture() -> None:
    """The end marker of a preview inside the header is not that of the picture."""
    preview = b"\xff\xe1\x00\x0c" + b"\xff\xd8" + b"\x00" * 6 + b"\xff\xd9"
    picture = b"\xff\xd8" + preview + b"\xff\xda\x00\x04\x00\x00" + b"\x22" * 500
    assert contents_of(io.BytesIO(picture), "x.jpg").says == "cut"
    assert contents_of(io.BytesIO(picture + b"\xff\xd9"), "x.jpg").says == "whole"


# --- ways of cutting ----------------------------------------------------------------------


def half(running: Running, ftp: ftplib.FTP, name: str, data: bytes) -> socket.socket:
    """Send the first half, and wait until the server has it."""
    before = set(parts(running.folder()))
    connection = begin(ftp, name, data[: len(data) // 2])
    until(lambda: [p for p in set(parts(running.folder())) - before if p.stat().st_size])
    return connection


def closed_half_way(running: Running, ftp: ftplib.FTP, name: str, data: bytes) -> None:
    """The data connection ends in order, too early; the camera had said how much was to come."""
    ftp.voidcmd(f"ALLO {len(data)}")
    half(running, ftp, name, data).close()
    with pytest.raises(ftplib.error_temp, match="426"):
        ftp.voidresp()


def closed_unsaid(running: Running, ftp: ftplib.FTP, name: str, data: bytes) -> None:
    """The same, and nothing had been said of the size."""
    half(running, ftp, name, data).close()
    with pytest.raises(ftplib.error_temp, match="426"):
        ftp.voidresp()


def reset_half_way(running: Running, ftp: ftplib.FTP, name: str, data: bytes) -> None:
    """The data connection is reset."""
    reset(half(running, ftp, name, data))
    with pytest.raises(ftplib.error_temp, match="426"):
        ftp.voidresp()


def control_gone(running: Running, ftp: ftplib.FTP, name: str, data: bytes) -> None:
    """The control connection goes first, the data connection in order after it."""
    connection = half(running, ftp, name, data)
    ftp.close()
    connection.close()


def both_gone(running: Running, ftp: ftplib.FTP, name: str, data: bytes) -> None:
    """The data connection goes in order, the control connection just after it, as in a kill."""
    connection = half(running, ftp, name, data)
    connection.close()
    ftp.close()


def both_reset(running: Running, ftp: ftplib.FTP, name: str, data: bytes) -> None:
    """Both connections are reset, as by a camera that starts anew."""
    connection = half(running, ftp, name, data)
    reset(ftp)
    reset(connection)


def stalled(running: Running, ftp: ftplib.FTP, name: str, data: bytes) -> None:
    """Nothing more comes, and nothing is closed: the power of the camera is gone."""
    connection = half(running, ftp, name, data)
    with pytest.raises(ftplib.error_temp, match="4"):
        ftp.voidresp()
    connection.close()


def given_up(running: Running, ftp: ftplib.FTP, name: str, data: bytes) -> None:
    """The camera says ABOR."""
    connection = half(running, ftp, name, data)
    ftp.putcmd("ABOR")
    assert ftp.getmultiline()[:3] in ("426", "225")
    connection.close()


Cut = Callable[[Running, ftplib.FTP, str, bytes], None]
WAYS: tuple[Cut, ...] = (
    closed_half_way,
    closed_unsaid,
    reset_half_way,
    control_gone,
    both_gone,
    both_reset,
    given_up,
)


@needs_media
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", WAYS)
def test_a_cut_upload_has_no_name(running: Running, cut: Cut, kind: str) -> None:
    """What was cut stays a part; a name that nobody has is not made, a good file stays as it is."""
    check_cut(running, cut, kind)


@needs_media
@pytest.mark.parametrize("kind", KINDS)
def test_a_stalled_upload_has_no_name(impatient: Running, kind: str) -> None:
    """The same of an upload on which nothing more comes."""
    check_cut(impatient, stalled, kind)


def check_cut(running: Running, cut: Cut, kind: str) -> None:
    if kind == "notes.txt" and cut is closed_unsaid:
        pytest.skip("nothing tells: no size was declared, no end is known, all ended in order")
    data = bytes_of(kind)
    for name in (
        f"new-{cut.__name__}-{Path(kind).name}",
        f"again-{cut.__name__}-{Path(kind).name}",
    ):
        path = running.folder() / name
        is_again = name.startswith("again")
        if is_again:
            with login(running) as ftp:
                store(ftp, name, data)
        before = path.stat() if is_again else None
        known, told = set(parts(running.folder())), _cuts(running)
        cut(running, login(running), name, data)
        until(lambda told=told: _cuts(running) == told + 1)
        assert path.exists() == is_again
        if before is not None:
            assert path.read_bytes() == data
            assert (path.stat().st_mtime_ns, path.stat().st_ino) == (
                before.st_mtime_ns,
                before.st_ino,
            )
        new = set(parts(running.folder())) - known
        assert [part.name.startswith(f".{name}.") for part in new] == [True]


def _cuts(running: Running) -> int:
    tally = running.receiver.service.record.cameras.get("porch")
    return tally.cut if tally else 0


def test_half_of_what_is_there_is_cut_whatever_it_is(running: Running) -> None:
    """Bytes that no check knows, over a longer file that begins so: cut. More of them: another."""
    with login(running) as ftp:
        store(ftp, "log.txt", TEXT)
        with pytest.raises(ftplib.error_temp, match="only the beginning"):
            store(ftp, "log.txt", TEXT[:999])
        store(ftp, "log.txt", TEXT + b"more")
    assert (running.folder() / "log.txt").read_bytes() == TEXT
    [later] = running.folder().glob("log.pano-later-*.txt")
    assert later.read_bytes() == TEXT + b"more"


@pytest.mark.parametrize("name", ["x.jpg", "x.mp4_", "x.dav"])
def test_nothing_is_no_picture(running: Running, name: str) -> None:
    """A file of 0 bytes, as from a camera whose card is full, gets no name of media."""
    with login(running) as ftp, pytest.raises(ftplib.error_temp, match="426"):
        store(ftp, name, b"")
    assert not (running.folder() / name).exists()


def test_an_empty_mark_is_taken(running: Running) -> None:
    """Dahua's empty marker beside its folders is no media, and may be empty."""
    with login(running) as ftp:
        store(ftp, "DVRWorkDirectory", b"")
    assert (running.folder() / "DVRWorkDirectory").read_bytes() == b""


@needs_media
@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_upload_after_a_cut_one_takes_its_part_away(running: Running, kind: str) -> None:
    """The camera tries again: the whole file has its name, and nothing is left of the first try."""
    name, data = f"retry-{Path(kind).name}", bytes_of(kind)
    reset_half_way(running, login(running), name, data)
    with login(running) as ftp:
        store(ftp, name, data)
    assert (running.folder() / name).read_bytes() == data
    assert not [part for part in parts(running.folder()) if part.name.startswith(f".{name}.")]


def test_of_many_cut_tries_one_part_is_left(running: Running) -> None:
    """A camera that fails again and again does not fill the disk; the longest try stays."""
    for length in (500, 2000, 900):
        with login(running) as ftp, pytest.raises(ftplib.error_temp):
            store(ftp, "often.jpg", TINY_JPEG[:length])
    left = [part for part in parts(running.folder()) if part.name.startswith(".often.jpg.")]
    assert [part.stat().st_size for part in left] == [2000]


def test_a_camera_that_hangs_up_after_its_last_byte_is_heard(running: Running) -> None:
    """A picture that has its end is whole, though both connections were reset behind it."""
    ftp = login(running)
    connection = begin(ftp, "sloppy.jpg", TINY_JPEG)
    reset(ftp)
    connection.close()
    until(lambda: (running.folder() / "sloppy.jpg").exists())


def test_what_had_come_before_the_camera_went_is_taken_in(running: Running) -> None:
    """Where the end of the control connection is seen first, what lies waiting still counts."""
    picture = TINY_JPEG[:-2] + b"\x11" * 200_000 + b"\xff\xd9"
    ftp = login(running)
    connection = begin(ftp, "late.jpg", b"")
    is_busy, has_come = threading.Event(), threading.Event()

    def be_busy() -> None:
        is_busy.set()
        has_come.wait(30)

    running.receiver.server.ioloop.call_later(0, be_busy)
    is_busy.wait(30)
    connection.sendall(picture)
    reset(ftp)
    connection.close()
    has_come.set()
    until(lambda: (running.folder() / "late.jpg").exists())
    assert (running.folder() / "late.jpg").read_bytes() == picture


def test_contents_may_be_left_unasked(tmp_path: Path) -> None:
    """Where a camera's files have no proper end, the connection alone is believed."""
    here = settings_of(tmp_path, check_contents=False)
    let_in(here, "porch")
    with serving(here) as one, login(one) as ftp:
        store(ftp, "odd.jpg", TINY_JPEG[:-2])
        assert files(one.folder()) == ["odd.jpg"]


# --- killed -------------------------------------------------------------------------------

_CLIENT = """
import ftplib, sys, time
ftp = ftplib.FTP(); ftp.connect("127.0.0.1", int(sys.argv[1])); ftp.login("porch", sys.argv[2])
ftp.voidcmd("TYPE I"); data = ftp.transfercmd("STOR " + sys.argv[3])
data.sendall(open(sys.argv[4], "rb").read()[:int(sys.argv[5])]); print("sent", flush=True)
time.sleep(60)
"""


@needs_media
@pytest.mark.parametrize("kind", ["1591027084.jpg", "dav/amcrest_h264_aac.dav", "notes.txt"])
def test_a_killed_client_leaves_no_name(running: Running, tmp_path: Path, kind: str) -> None:
    """kill -9 closes both connections in order; no half file appears all the same."""
    source = tmp_path / "source"
    source.write_bytes(bytes_of(kind))
    half, name = source.stat().st_size // 2, f"killed-{Path(kind).name}"
    before = _cuts(running)
    command = [sys.executable, "-c", _CLIENT, str(running.port), PASSWORD, name, str(source)]
    with subprocess.Popen([*command, str(half)], stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        client.stdout.readline()
        os.kill(client.pid, signal.SIGKILL)
    until(lambda: _cuts(running) == before + 1)
    assert not (running.folder() / name).exists()


def test_a_killed_server_leaves_parts_and_nothing_else(tmp_path: Path) -> None:
    """Killed with uploads under way it leaves what came as parts, and starts again."""
    here = settings_of(tmp_path)
    let_in(here, "porch")
    for times in (1, 2):
        with receive_command(tmp_path) as server:
            port = port_of(server)
            ftp = ftplib.FTP()
            ftp.connect("127.0.0.1", port, timeout=30)
            ftp.login("porch", PASSWORD)
            connection = begin(ftp, "x.jpg", TINY_JPEG[:1000])
            until(lambda times=times: [p.stat().st_size for p in parts(tmp_path)] == [1000] * times)
            server.kill()
        connection.close()
        assert files(here.uploads / "porch") == []
    assert len(parts(tmp_path)) == 2


def test_nothing_is_left_open(running: Running) -> None:
    """After all of this the server holds no connection but the one that is asked by."""
    with login(running) as ftp:
        store(ftp, "last.jpg", TINY_JPEG)
        until(lambda: len(running.receiver.server.ip_map) == 1)
        # The door, this session, the pipe of the threads: no connection or port for data.
        until(lambda: len(running.receiver.server.ioloop.socket_map) == 3)
