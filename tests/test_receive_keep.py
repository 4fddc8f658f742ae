"""`pano receive` never puts other bytes in the place of a whole file, whatever a camera sends."""

from __future__ import annotations

import ftplib
import hashlib
import io
import json
import os
import ssl
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from lived_in import at, fresh, lay, picture, run
from PIL import Image
from receiving import (
    TINY_JPEG,
    Running,
    begin,
    files,
    let_in,
    login,
    parts,
    serving,
    settings_of,
    store,
    until,
)

from pano_analytics import doctor, layouts
from pano_analytics.cli import pano
from pano_analytics.doctor import reception
from pano_analytics.formats.endings import ENDINGS
from pano_analytics.ingest.run import ingest
from pano_analytics.layouts.later import later_name, split
from pano_analytics.library import Library
from pano_analytics.receive import session, staging
from pano_analytics.upkeep.check import check

pytest.importorskip("pyftpdlib")

OTHER = TINY_JPEG.replace(b"\x11", b"\x12")
TEXT = b"forty-one bytes of text over a whole file"
TINY_MP4 = b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\0\x08moov" + b"\0\0\x08\x08mdat" + b"\x13" * 2048


def made(ending: str) -> bytes:
    """A small picture or clip as Pillow and FFmpeg write it; a clip of two bare frames."""
    if ending in ("bmp", "tif", "gif", "png", "webp"):
        file = io.BytesIO()
        Image.new("RGB", (30, 20), "red").save(file, "TIFF" if ending == "tif" else ending)
        return file.getvalue()
    packet, pack = b"\x47\x1f\xff\x10" + bytes(184), b"\0\0\1\xba\x44" + bytes(9)
    return {
        "ts": packet * 9,
        "m2ts": (bytes(4) + packet) * 9,
        "mpg": pack + b"\0\0\1\xe0\0\x50" + bytes(80),
        "h264": b"\0\0\0\1\x67\x42\0\x1e\0\0\0\1\x65" + b"\x15" * 200,
        "265": b"\0\0\0\1\x40\1\x0c\1\0\0\0\1\x26\1" + b"\x15" * 200,
    }[ending]


def dhav_frame() -> bytes:
    size = (300).to_bytes(4, "little")
    return b"DHAV\xfd\0\1\0" + bytes(4) + size + bytes(276) + b"dhav" + size


NAMES = {
    "x.jpg": TINY_JPEG,
    "x.mp4": TINY_MP4,
    "x.mp4_": TINY_MP4,
    "x.idx": b"an index" * 20,
    "x.strange": bytes(range(256)) * 9,
    "none": b"no ending at all" * 9,
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    # How long a control connection must outlive its upload is no matter here.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "GRACE_S", 0.01)
        yield from served(tmp_path_factory)


def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    here = settings_of(tmp_path_factory.mktemp("keep"))
    let_in(here, "porch", "barn")
    with serving(here) as one:
        yield one


NUMBERS = count()


@pytest.fixture
def place(running: Running) -> str:
    """A folder of the test's own, as the camera names it."""
    name = f"place{next(NUMBERS)}"
    with login(running) as ftp:
        ftp.mkd(name)
    return name


def held(running: Running, place: str) -> dict[str, bytes]:
    folder = running.folder() / place
    return {name: (folder / name).read_bytes() for name in files(folder)}


def later(name: str, data: bytes) -> str:
    return later_name(name, hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("data", [TEXT, bytes(5000), OTHER, TINY_MP4 + b"\0\0\0\x08free"])
def test_stor_replaces_nothing_whole(running: Running, place: str, name: str, data: bytes) -> None:
    """Both are kept; the same bytes again are one file each; told as an attempt."""
    before = tries(running)
    with login(running) as ftp:
        store(ftp, f"{place}/{name}", NAMES[name])
        for again in (data, NAMES[name], data):
            assert store(ftp, f"{place}/{name}", again).startswith("226")
    assert held(running, place) == {name: NAMES[name], later(name, data): data}
    assert parts(running.folder() / place) == []
    assert tries(running) == before + 2
    last = running.told()["cameras"]["porch"]["last_tries"][-1]
    assert (last["what"], last["path"], last["kept"], last["address"]) == (
        "replace",
        f"porch/{place}/{name}",
        f"porch/{place}/{later(name, data)}",
        "127.0.0.1",
    )


def tries(running: Running) -> int:
    tally = running.receiver.service.record.cameras.get("porch")
    return tally.tries if tally else 0


@pytest.mark.parametrize("name", NAMES)
def test_every_other_command_leaves_whole_files(running: Running, place: str, name: str) -> None:
    """APPE, REST, renames, DELE, RMD, STOU, MFMT, MDTM, CHMOD: name, bytes and time stay."""
    data, path = NAMES[name], f"{place}/{name}"
    with login(running) as ftp:
        store(ftp, path, data)
        before = (running.folder() / path).stat()
        for command in (
            f"DELE {path}",
            f"RMD {place}",
            f"STOU {path}",
            f"SITE CHMOD 000 {path}",
            f"MFMT 20000101000000 {path}",
            f"MDTM 20000101000000 {path}",
        ):
            with pytest.raises(ftplib.error_perm):
                ftp.sendcmd(command)
        with pytest.raises(ftplib.error_perm):
            ftp.storbinary(f"STOR {path}", io.BytesIO(TEXT), rest=10)
        store(ftp, f"{place}/late.tmp", OTHER)
        ftp.rename(f"{place}/late.tmp", path)
        if not name.endswith("_"):
            with pytest.raises(ftplib.error_perm):
                ftp.rename(path, f"{place}/gone")
        with pytest.raises(ftplib.error_perm):
            ftp.rename(place, "gone")
    after = (running.folder() / path).stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_mode, after.st_size) == (
        before.st_ino,
        before.st_mtime_ns,
        before.st_mode,
        before.st_size,
    )
    assert held(running, place)[name] == data
    assert held(running, place)[later(name, OTHER)] == OTHER


FINISHED = {
    **NAMES,
    **{f"x.{ending}": b"no known contents at all" * 9 for ending in ENDINGS},
    **{f"y.{ending}": made(ending) for ending in ("ts", "m2ts", "mpg", "bmp", "tif", "gif", "png")},
    **{f"y.{ending}": made(ending) for ending in ("h264", "265", "webp")},
    "y.dav": dhav_frame() * 9,
    "y.jpg": TINY_JPEG,
    "y.mp4": TINY_MP4,
}


@pytest.mark.parametrize("how", ["APPE", "REST"])
@pytest.mark.parametrize("name", FINISHED)
def test_nothing_is_added_to_a_finished_file(
    running: Running, place: str, name: str, how: str
) -> None:
    """It is refused, told as an attempt, and the piece is kept aside."""
    before, data, path = tries(running), FINISHED[name], f"{place}/{name}"
    command, rest = ("STOR", len(data)) if how == "REST" else ("APPE", None)
    with login(running) as ftp:
        store(ftp, path, data)
        with pytest.raises(ftplib.error_perm, match="550 It is a finished upload"):
            ftp.storbinary(f"{command} {path}", io.BytesIO(data), rest=rest)
    assert held(running, place) == {name: data}
    assert [part.read_bytes() for part in parts(running.folder() / place)] == [data]
    assert tries(running) == before + 1


@pytest.mark.parametrize("name", ["y.ts", "y.h264", "x.strange", "y.dav"])
def test_stor_of_more_leaves_a_finished_file(running: Running, place: str, name: str) -> None:
    """A longer file that begins with it gets a later name."""
    data = FINISHED[name]
    with login(running) as ftp:
        for one in (data, data * 2):
            store(ftp, f"{place}/{name}", one)
    assert held(running, place) == {name: data, later(name, data * 2): data * 2}


@pytest.mark.parametrize("name", ["y.ts", "y.h264", "x.strange", "y.dav"])
def test_a_file_that_comes_in_pieces(
    running: Running, place: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What APPE began goes on by APPE, of a new session too; a minute later it is finished."""
    data, path = FINISHED[name], f"{place}/{name}"
    for _ in range(3):
        with login(running) as ftp:
            store(ftp, path, data, "APPE")
    monkeypatch.setattr(staging, "_NEXT_PIECE_S", 0.0)
    with login(running) as ftp, pytest.raises(ftplib.error_perm, match="finished upload"):
        store(ftp, path, data, "APPE")
    assert held(running, place) == {name: data * 3}


@pytest.mark.parametrize("name", ["y.bmp", "y.tif"])
def test_a_cut_picture_is_cut_and_may_go_on(running: Running, place: str, name: str) -> None:
    """Where the header tells how long the picture is, less of it is not answered 226."""
    data = FINISHED[name]
    with login(running) as ftp:
        for length in (len(data) - 1, len(data) // 2, 20):
            with pytest.raises(ftplib.error_temp, match="426"):
                store(ftp, f"{place}/{name}", data[:length])
        (running.folder() / place / name).write_bytes(data[:99])
        store(ftp, f"{place}/{name}", data[99:], "APPE")
    assert held(running, place) == {name: data}


def test_what_is_broken_is_replaced_by_what_is_whole(running: Running, place: str) -> None:
    """A cut picture and an empty one make room; text is no whole picture, and does not."""
    folder = running.folder() / place
    for name, data in (("cut.jpg", TINY_JPEG[:-2]), ("empty.jpg", b""), ("held.jpg", OTHER[:99])):
        (folder / name).write_bytes(data)
    with login(running) as ftp:
        store(ftp, f"{place}/cut.jpg", TINY_JPEG)
        store(ftp, f"{place}/empty.jpg", TEXT)
        store(ftp, f"{place}/held.jpg", TEXT)
    assert held(running, place) == {
        "cut.jpg": TINY_JPEG,
        "empty.jpg": TEXT,
        "held.jpg": OTHER[:99],
        later("held.jpg", TEXT): TEXT,
    }


def test_the_end_that_is_there_already(running: Running, place: str) -> None:
    """REST with the bytes that are there changes nothing, and is no attempt."""
    before, path = tries(running), f"{place}/x.jpg"
    with login(running) as ftp:
        store(ftp, path, TINY_JPEG)
        ftp.storbinary(f"STOR {path}", io.BytesIO(TINY_JPEG[500:]), rest=500)
    assert held(running, place) == {"x.jpg": TINY_JPEG}
    assert parts(running.folder() / place) == []
    assert tries(running) == before


def test_in_progress_twice_and_then_renamed(running: Running, place: str) -> None:
    """The autumn hour of an Amcrest camera: both clips get their final names."""
    name, second = "02.10.00-02.10.30[M][0@0][0].mp4", TINY_MP4.replace(b"\x13", b"\x14")
    with login(running) as ftp:
        store(ftp, f"{place}/{name}_", TINY_MP4)
        store(ftp, f"{place}/{name}_", second)  # the first was never renamed
        ftp.rename(f"{place}/{name}_", f"{place}/{name}")
        for data in (second, TINY_MP4):  # and everything again after a restart
            store(ftp, f"{place}/{name}_", data)
            ftp.rename(f"{place}/{name}_", f"{place}/{name}")
    assert held(running, place) == {name: TINY_MP4, later(name, second): second}


def test_a_camera_neither_sees_nor_writes_later_names(running: Running, place: str) -> None:
    """Only the server gives them: what was kept cannot be written over by its own name."""
    with login(running) as ftp:
        for data in (TINY_JPEG, OTHER):
            store(ftp, f"{place}/x.jpg", data)
        kept = f"{place}/{later('x.jpg', OTHER)}"
        assert ftp.nlst(place) == ["x.jpg"]
        for command in ("STOR", "APPE"):
            with pytest.raises(ftplib.error_perm):
                store(ftp, kept, TEXT, command)
        for command in (f"RNFR {kept}", f"SIZE {kept}", f"MKD {kept}"):
            with pytest.raises(ftplib.error_perm):
                ftp.sendcmd(command)
        store(ftp, f"{place}/y.tmp", TEXT)
        with pytest.raises(ftplib.error_perm):
            ftp.rename(f"{place}/y.tmp", kept)
    assert held(running, place)[later("x.jpg", OTHER)] == OTHER


def test_two_sessions_at_once(running: Running, place: str) -> None:
    """Uploads of many sessions to one name, begun together: all are kept, one has the name."""
    pictures = [TINY_JPEG.replace(b"\x11", bytes([number])) for number in range(0x20, 0x28)]
    sessions = [login(running) for _ in pictures]
    (running.folder() / place / "x.jpg").write_bytes(TINY_JPEG[:50])
    open_ones = [
        begin(ftp, f"{place}/x.jpg", picture)
        for ftp, picture in zip(sessions, pictures, strict=True)
    ]
    for connection in open_ones:
        connection.close()
    for ftp in sessions:
        assert ftp.voidresp().startswith("226")
        ftp.close()
    assert sorted(held(running, place).values()) == sorted(pictures)


def test_over_tls_as_well(tmp_path: Path) -> None:
    """With both connections encrypted."""
    here = settings_of(tmp_path, tls="required")
    let_in(here, "porch")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with serving(here) as one, ftplib.FTP_TLS(context=context, encoding="utf-8") as ftp:
        ftp.connect("127.0.0.1", one.port, timeout=30)
        ftp.login("porch", "wAtCh-the-door7")
        ftp.prot_p()
        for data in (TINY_JPEG, TEXT, TINY_JPEG):
            store(ftp, "x.jpg", data)
        store(ftp, "x.tmp", OTHER)
        ftp.rename("x.tmp", "x.jpg")
        found = {name: (one.folder() / name).read_bytes() for name in files(one.folder())}
    assert found == {
        "x.jpg": TINY_JPEG,
        later("x.jpg", TEXT): TEXT,
        later("x.jpg", OTHER): OTHER,
    }


def test_contents_unasked_replace_nothing_either(tmp_path: Path) -> None:
    """Where contents are not asked, nothing shows that the old file is broken: both are kept."""
    here = settings_of(tmp_path, check_contents=False)
    let_in(here, "porch")
    with serving(here) as one, login(one) as ftp:
        for data in (TINY_JPEG[:-2], OTHER):
            store(ftp, "x.jpg", data)
        assert sorted((one.folder() / name).read_bytes() for name in files(one.folder())) == [
            TINY_JPEG[:-2],
            OTHER,
        ]


@pytest.mark.parametrize("link", ["folder", "file"])
def test_no_link_is_followed(running: Running, place: str, link: str, tmp_path: Path) -> None:
    """Neither out of the jail nor inside it, as a folder on the way or as the name itself."""
    (running.folder() / place / "day").mkdir()
    (running.folder() / place / "day" / "x.jpg").write_bytes(TINY_JPEG)
    inside, outside = running.folder() / place / "day", tmp_path
    for number, target in enumerate((inside, outside)):
        name = f"link{number}" if link == "folder" else f"link{number}.jpg"
        (running.folder() / place / name).symlink_to(
            target if link == "folder" else target / "x.jpg"
        )
        path = f"{place}/{name}/y.jpg" if link == "folder" else f"{place}/{name}"
        with login(running) as ftp:
            store(ftp, f"{place}/y.tmp", OTHER)
            for command in ("STOR", "APPE"):
                with pytest.raises(ftplib.error_perm):
                    store(ftp, path, OTHER, command)
            with pytest.raises(ftplib.error_perm):
                ftp.rename(f"{place}/y.tmp", path)
            for command in ("CWD", "LIST", "NLST", "MLSD", "SIZE", "MDTM", "MLST", "RNFR", "MKD"):
                with pytest.raises(ftplib.error_perm):
                    ftp.voidcmd(f"{command} {place}/{name}")
            with pytest.raises(ftplib.error_perm):
                ftp.mkd(f"{place}/{name}/new")
            assert name not in "".join(ftp.nlst(place))
    assert list(tmp_path.iterdir()) == []
    assert files(running.folder() / place / "day") == ["x.jpg"]
    assert (running.folder() / place / "day" / "x.jpg").read_bytes() == TINY_JPEG


def test_a_folder_that_becomes_a_link_meanwhile(
    running: Running, place: str, tmp_path: Path
) -> None:
    """An upload under way does not follow what was put in the place of its folder."""
    folder = running.folder() / place / "day"
    folder.mkdir()
    with login(running) as ftp:
        connection = begin(ftp, f"{place}/day/x.jpg", TINY_JPEG[:100])
        until(lambda: parts(folder))
        folder.rename(folder.with_name("other"))
        folder.symlink_to(tmp_path)
        connection.sendall(TINY_JPEG[100:])
        connection.close()
        with pytest.raises(ftplib.error_temp):
            ftp.voidresp()
    assert list(tmp_path.iterdir()) == []


LARGE = 200 << 20


def test_a_large_file_lets_others_upload(running: Running, place: str) -> None:
    """A byte appended to a large file, one compared and hashed: others wait for nothing."""
    folder = running.folder() / place
    with (folder / "large.bin").open("wb") as file:
        file.write(TINY_MP4[:16] + (LARGE * 2).to_bytes(4, "big") + b"mdat")  # unfinished
        file.truncate(LARGE)
    with (folder / "large.tmp").open("wb") as file:
        file.truncate(LARGE)
        file.write(b"other")
    waits: list[float] = []
    done = threading.Event()

    def another_camera() -> None:
        with login(running, "barn") as ftp:
            while not done.is_set():
                began = time.monotonic()
                ftp.voidcmd("NOOP")
                waits.append(time.monotonic() - began)
                time.sleep(0.005)

    other = threading.Thread(target=another_camera)
    other.start()
    try:
        with login(running) as ftp:
            store(ftp, f"{place}/large.bin", b"x", "APPE")
            ftp.rename(f"{place}/large.tmp", f"{place}/large.bin")
    finally:
        done.set()
        other.join()
    sizes = sorted((folder / name).stat().st_size for name in files(folder))
    for path in folder.iterdir():
        path.unlink()
    assert sizes == [LARGE, LARGE + 1]
    assert len(waits) > 10
    assert max(waits) < 0.3


# --- names that readers understand ----------------------------------------------------------

REAL = (
    "porch/AMC0028V/2026-11-22/001/jpg/10/22/28[M][0@0][0].jpg",
    "porch/AMC0028V/2026-11-22/10hour/mp4/10.22.28-10.22.55[M][0@0][0].mp4",
    "porch/2026-11-22/001/dav/10/10.22.28-10.22.55[M][0@0][0].idx",
    "porch/2026-11-22/001/dav/10/10.22.28-10.22.55[M][0@0][0].mp4_",
    "porch/Snapshot/2026-11-22_001_12.59.55-12.59.55[R][0@0][0].jpg",
    "porch/2022/11/15/porch_01_20221115233531.jpg",
    "porch/192.168.0.64_01_20190319093422939_MOTION_DETECTION.jpg",
    "porch/record/alarm_20151018_093118.mkv",
    "porch/20261122/10/v_20261122_102228[D].mp4",
    "porch/2020Y08M24D12H/E110M10S50.mp4",
    "porch/2017-08-17/19-26-21.jpg",
    "porch/2021-01/09/14/porch/05.06.mp4",
    "porch/DVRWorkDirectory",
    "porch/notes.txt",
)


@pytest.mark.parametrize("path", REAL)
def test_layouts_read_a_later_name_as_the_first(path: str) -> None:
    """Camera, time, kind and all else are those of the name that it came under."""
    folder, _, name = path.rpartition("/")
    kept = f"{folder}/{later_name(name, '0123456789abcdef' * 4)}"
    first = layouts.read(path)
    assert layouts.read(kept) == first._replace(later="0123456789ab")
    assert layouts.folder_reader(folder)(kept.rpartition("/")[2]) == layouts.read(kept)
    assert split(kept.rpartition("/")[2]) == (name, "0123456789ab")


def test_templates_read_a_later_name_as_the_first() -> None:
    """A scheme that ends in a field that takes everything does not take the mark with it."""
    for text in (
        "{camera}/{date:%Y%m%d}/{start:%H%M%S}_{seq}.jpg",
        "*_{start:%Y%m%d-%H%M%S}.{ext}",
    ):
        template = layouts.Template.parse(text)
        for path in ("porch/20261122/102228_07.jpg", "porch_20261122-102228.mp4"):
            first = template.read(path)
            kept = template.read(later_name(path, "0123456789abcdef" * 4))
            assert kept == (first and first._replace(later="0123456789ab"))


@pytest.mark.parametrize("length", [5, 200, 228, 250])
def test_a_later_name_fits_the_file_system(length: int) -> None:
    """However long the first is, in letters of any width."""
    for letter in ("x", "ö", "€"):
        name = letter * (length // len(letter.encode())) + ".jpg"
        kept = later_name(name, "ab" * 32)
        assert len(os.fsencode(kept)) <= 255
        assert kept.endswith(".pano-later-" + "ab" * 6 + ".jpg")


def test_both_are_catalogued_and_told_apart(tmp_path: Path) -> None:
    """One time, camera and kind, two rows; the later one names the first."""
    here = settings_of(tmp_path)
    let_in(here, "porch")
    path = "2026-11-22/001/jpg/10/22/28[M][0@0][0].jpg"
    with serving(here) as one, login(one) as ftp:
        for depth in range(1, 6):
            ftp.mkd("/".join(path.split("/")[:depth]))
        for data in (TINY_JPEG, OTHER):
            store(ftp, path, data)
    ingest(here)
    media = Library.of(here).media()
    first, second = sorted(media.itertuples(), key=lambda row: not pd.isna(row.same_name_as))
    assert len(media) == 2
    assert first.path == f"porch/{path}"
    assert pd.isna(first.same_name_as)
    assert second.same_name_as == first.media_id
    for column in ("camera", "start", "kind", "trigger", "layout", "sequence"):
        assert getattr(first, column) == getattr(second, column)


def test_every_attempt_is_told(tmp_path: Path) -> None:
    """Check has a line for each, the doctor and `pano camera list` sum them up."""
    here = settings_of(tmp_path)
    let_in(here, "porch", "barn")
    path = "2026-11-22/001/jpg/10/22/28[M][0@0][0].jpg"
    with serving(here) as one, login(one) as ftp:
        for depth in range(1, 6):
            ftp.mkd("/".join(path.split("/")[:depth]))
        store(ftp, path, TINY_JPEG)
        ftp.mkd("empty")
        store(ftp, "test.txt", TEXT)
        for refused in (f"DELE {path}", "DELE test.txt", "RMD empty"):
            with pytest.raises(ftplib.error_perm):
                ftp.sendcmd(refused)
        with pytest.raises(ftplib.error_perm):
            store(ftp, path, TEXT, "APPE")
        with pytest.raises(ftplib.error_perm):
            ftp.rename(path, "elsewhere.jpg")
        store(ftp, path, TEXT)
        store(ftp, "y.jpg_", OTHER)
        ftp.rename("y.jpg_", path)
        ingest(here)
        one.told()
        library = Library.of(here)
        told = check(library)
        told = told[told["what"] == "overwrite_tried"]
        [found] = [one for one in reception.check(library) if one.word == "overwrite_tried"]
        where = ["--uploads", str(here.uploads), "--library", str(here.library)]
        listed = CliRunner().invoke(pano, ["camera", "list", *where])
        as_json = CliRunner().invoke(pano, ["camera", "list", "--json", *where])
    assert list(told["camera"]) == ["porch"] * 5
    assert set(told["path"]) == {f"porch/{path}"}
    for word in ("removal", "append", "rename", later("28[M][0@0][0].jpg", TEXT)):
        assert told["found"].str.contains(word, regex=False).sum() == 1
    assert told["found"].str.contains("127.0.0.1").all()
    assert (found.word, found.severity, found.value) == ("overwrite_tried", "problem", 5)
    assert "porch: user porch" in listed.output
    assert "5 attempts to replace or remove complete uploads" in listed.output
    [barn, porch] = json.loads(as_json.stdout)["cameras"]
    assert (barn["tries"], porch["tries"], len(porch["last_tries"])) == (None, 5, 5)


def test_what_another_server_overwrote_is_told(tmp_path: Path) -> None:
    """The journal knows the SHA-256 of what was whole: check and doctor tell that it is gone."""
    here = fresh(tmp_path)
    for number, name in enumerate((at(1), at(2), at(3))):
        lay(picture(number), tmp_path / "uploads" / name)
    lay(picture(9)[:900], tmp_path / "uploads" / at(4))
    run(here)
    lay(picture(7, (640, 360)), tmp_path / "uploads" / at(1))
    lay(TEXT, tmp_path / "uploads" / at(2))
    lay(picture(9), tmp_path / "uploads" / at(4))  # was broken, and is whole now
    run(here)
    library = Library.of(here)
    told = check(library)
    assert sorted(told["path"]) == [at(1), at(2)]
    assert set(told["what"]) == {"overwritten"}
    assert told["expected"].iloc[0] == hashlib.sha256(picture(0)).hexdigest()
    [found] = doctor.examine(library).query("word == 'overwritten'").itertuples()
    assert (found.camera, found.severity, found.value) == ("porch", "problem", 2)
