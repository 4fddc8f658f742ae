"""Hostile names and files the whole way: tree, ingest, library, thumbnails."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from io import BytesIO
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st
from PIL import Image
from shared_files import MEDIA, clip_path, lay, needs_media, snapshot_path
from test_ingest import picture

from pano_analytics.cli import pano
from pano_analytics.errors import MediaError
from pano_analytics.ingest.run import IngestSummary, ingest
from pano_analytics.library import Library
from pano_analytics.model.upload import STATES, encode_path
from pano_analytics.settings import Settings, check

NOON = datetime(2026, 3, 3, 12)
NOBODY = 65534


def settings_of(folder: Path) -> Settings:
    (folder / "uploads").mkdir(parents=True, exist_ok=True)
    return check({"zone": "Europe/Berlin"}).model_copy(
        update={"uploads": folder / "uploads", "library": folder / "library"}
    )


def run(settings: Settings, **how_to: bool) -> IngestSummary:
    return ingest(settings, make_executor=partial(ThreadPoolExecutor, 2), **how_to)


def below(root: Path, name: bytes) -> Path:
    return Path(os.fsdecode(os.fsencode(root) + b"/" + name))


# --- names --------------------------------------------------------------------------------

CAMERAS = [
    b"it's", b'"quoted"', b"new\nline", b"tab\t", b"...", b"..x", b".x", b"%41%2F", b"100%", b"%",
    b"a%2Fb", b"%E9", b"caf\xe9", b"caf\xc3\xa9", b"\xff\xfe", b"\xed\xa0\x80", b"%00", b"a=b",
    b"<img src=x onerror=alert(1)>", b"a;DROP TABLE media", b"*", b"?", b"[x]", b"{start}", b"{0}",
    b"__HIVE_DEFAULT_PARTITION__", b"NULL", b"12", b"camera=x", b"date=2020-01-01", b" ", b"a ",
    b"-rf", b"back\\slash", b"x" * 255, b"\xff" * 255, "監".encode() * 85, b"\xe2\x80\xae", b"\x01",
    b"~", b"$HOME", b"`id`", b"C:", b"http:", b"#", b"&amp;", b"a" * 99 + b"\n" * 99,
]  # fmt: skip


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Return a library of one picture of each camera, its own folder's name hostile too."""
    folder = tmp_path_factory.mktemp("it's [a] {b} 100% *\n")
    settings = settings_of(folder)
    assert settings.uploads is not None
    for number, camera in enumerate(CAMERAS):
        rest = snapshot_path("x", NOON).removeprefix("x/")
        lay(picture(number), below(settings.uploads, camera) / rest)
    lay(b"what is this", below(settings.uploads, b"..\n/x'..\xff.jpg"))
    before = sorted(path.name for path in folder.iterdir())
    summary = run(settings)
    assert (summary.tally.new, summary.unknown) == (len(CAMERAS), 1)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*before, "library"])
    assert run(settings).tally.total == 0
    return Library.of(settings)


@pytest.mark.parametrize("number", range(len(CAMERAS)), ids=lambda n: ascii(CAMERAS[n][:24]))
def test_a_hostile_name_is_a_name(named: Library, number: int) -> None:
    """A camera of any name has its row, thumbnail and file, by each way of asking."""
    text = encode_path(os.fsdecode(CAMERAS[number]))
    media = named.media()
    row = media[media.path.str.startswith(f"{text}/")].iloc[0]
    camera = row["camera"]
    assert camera == text or (len(text.encode()) > 60 and camera.startswith(text[:20]))
    assert named.media(camera=camera).path.tolist() == [row["path"]]
    assert named.item(row["media_id"], camera, row["date"])["path"] == row["path"]
    assert named.source(row).read_bytes() == picture(number)
    assert named.thumbnail(row).size == (320, 180)
    assert len(named.frames(camera=camera)) == 1
    assert camera in named.cameras().camera.tolist()
    found = named.sql(
        f"select path from media where camera = '{camera.replace(chr(39), chr(39) * 2)}'"
    )
    assert found.path.tolist() == [row["path"]]


def test_each_camera_is_one(named: Library) -> None:
    """No two folders become one camera, though some names are cut and all are encoded."""
    assert len(named.camera_names()) == len(CAMERAS)


def test_what_is_printed_stays_on_its_line(tmp_path: Path) -> None:
    """A file's name can move no cursor and make no line, in any encoding of the terminal."""
    settings = settings_of(tmp_path)
    assert settings.uploads is not None
    lay(b"?", below(settings.uploads, "a\n\x1b[2J\u202e\u00e9.jpg".encode()))
    command = [sys.executable, "-m", "pano_analytics.cli", "ingest", "--unknown"]
    command += ["--uploads", str(settings.uploads), "--library", str(settings.library)]
    done = subprocess.run(
        command, capture_output=True, check=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}
    )
    assert len(done.stdout.splitlines()) == 1
    assert done.stdout.startswith(rb"a\n\x1b[2J")


PIECES = st.sampled_from(
    [b"front", b"2026-03-03", b"001", b"jpg", b"dav", b"12", b"20260303", b"snap", b"..", b"."]
)
ENDINGS = st.sampled_from([b"", b".jpg", b".mp4", b".dav", b".idx", b".mp4_", b".JPG\n", b".tmp"])
STEMS = st.one_of(
    st.binary(min_size=1, max_size=40),
    st.sampled_from(
        [b"04[M][0@0][0]", b"12.00.00-12.00.09[R][0@0][0]", b"MDAlarm_20260303-120000",
         b"MDAlarm_00010101-000000", b"MDAlarm_99991231-235959", b"DVRWorkDirectory",
         b"00_20260303120000_20260303120100", b"v_00010101_000000", b"cam_01_20260303120000",
         b"99991231235959999_PLATE"]
    ),
)  # fmt: skip
NAMES = st.lists(st.one_of(PIECES, st.binary(min_size=1, max_size=12)), max_size=5)
MOMENTS = st.one_of(
    st.integers(0, 4_000_000_000), st.sampled_from([-(10**10), 0, 10**9, 10**10, 10**13])
)


@st.composite
def files(draw: st.DrawFn) -> tuple[bytes, int]:
    """Return the path of a file, of parts that a file system takes, and its time."""
    parts = [*draw(NAMES), draw(STEMS) + draw(ENDINGS)]
    safe = [part.replace(b"/", b"_").replace(b"\0", b"0") for part in parts]
    return b"/".join(part for part in safe if part not in (b".", b"..")), draw(MOMENTS)


@given(tree=st.lists(files(), max_size=12), zone=st.sampled_from(["Europe/Berlin", "Asia/Tokyo"]))
@how(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_file_is_accounted_for(tree: list[tuple[bytes, int]], zone: str) -> None:
    """Each file of any tree has a row, or is ignored, or unknown with a reason; then all is quiet.

    The rows lead back to their files, and times that no calendar holds stop nothing.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_of(Path(folder)).model_copy(update={"zone": zone})
        assert settings.uploads is not None
        laid = {path for path, moment in tree if is_laid(settings.uploads, path, moment)}
        summary = run(settings, is_inspecting=False)
        media = Library.of(settings).media()
        assert len(media) + summary.ignored + summary.unknown == len(laid) == summary.files
        assert all(reason for _, reason in summary.unknown_files)
        assert not summary.skipped
        found = {
            os.fsencode(os.path.relpath(Library.of(settings).source(row), settings.uploads))
            for _, row in media.iterrows()
        }
        assert found <= laid
        assert len(found) == len(media)
        again = run(settings, is_inspecting=False)
        assert (again.tally.total, again.generation) == (0, summary.generation)


def is_laid(root: Path, path: bytes, moment: int) -> bool:
    """Lay a file where its name is possible; another may lie in the way."""
    target = below(root, path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            return False
        target.write_bytes(b"x")
    except OSError:
        return False
    try:
        os.utime(target, ns=(moment * 10**9, moment * 10**9))
    except (OSError, OverflowError):
        os.utime(target)
    return True


# --- what is no file ----------------------------------------------------------------------


def test_links_pipes_and_devices_are_passed_over(tmp_path: Path) -> None:
    """Out of the tree, in a circle, to nothing, what would block: told, never opened."""
    settings = settings_of(tmp_path)
    assert settings.uploads is not None
    day = settings.uploads / Path(snapshot_path("porch", NOON)).parent
    lay(picture(), day / "00[M][0@0][0].jpg")
    secret = lay(picture(9), tmp_path / "secret.jpg")
    (day / "01[M][0@0][0].jpg").symlink_to(secret)
    (day / "02[M][0@0][0].jpg").symlink_to(tmp_path / "nothing")
    (settings.uploads / "circle").symlink_to(settings.uploads)
    (day / "circle").symlink_to(day)
    (settings.uploads / "out").symlink_to("/")
    os.mkfifo(day / "03[M][0@0][0].jpg")
    with socket.socket(socket.AF_UNIX) as one:
        os.chdir(day)  # a socket's path may not be long
        one.bind("04[M][0@0][0].jpg")
        os.chdir(tmp_path)
    expected = 7
    if os.geteuid() == 0:
        os.mknod(day / "05[M][0@0][0].jpg", 0o600 | 0o020000, os.makedev(1, 5))
        expected += 1
    summary = run(settings)
    assert len(summary.skipped) == expected
    assert {reason for _, reason in summary.skipped} == {
        "a link, not followed", "not a regular file"
    }  # fmt: skip
    assert len(Library.of(settings).media()) == 1
    where = [f"--{key}={getattr(settings, key)}" for key in ("uploads", "library")]
    listed = CliRunner().invoke(pano, ["ingest", "--unknown", *where]).stdout.splitlines()
    assert {tuple(line.split("\t")) for line in listed} == set(summary.skipped)


def test_a_file_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    """What was listed as a file and is a link when it is opened shows nothing of its target."""
    settings = settings_of(tmp_path)
    assert settings.uploads is not None
    path = lay(picture(), settings.uploads / snapshot_path("porch", NOON))
    run(settings, is_inspecting=False)
    row = Library.of(settings).media().iloc[0]
    path.unlink()
    path.symlink_to(lay(picture(9), tmp_path / "secret.jpg"))
    from pano_analytics.ingest.examine import Task, open_batch

    (outcome,) = open_batch(settings.uploads, [Task(row["path"], "snapshot", None)])
    assert (outcome.inspection, outcome.trouble) == (None, "unreadable")
    with pytest.raises(MediaError):
        Library.of(settings).source(row)
    run(settings)
    assert Library.of(settings).media().state.tolist() == ["missing"]


def test_what_may_not_be_read_is_said(tmp_path: Path) -> None:
    """A folder and a file of somebody else: told, the rest is brought in, no row goes missing.

    When the rights are given, the next run reads them.
    """
    if os.geteuid():
        pytest.skip("only root can become somebody else")
    settings = settings_of(tmp_path)
    assert settings.uploads is not None
    assert settings.library is not None
    for camera in ("porch", "barn", "gate"):
        lay(picture(), settings.uploads / snapshot_path(camera, NOON))
    settings.library.mkdir()
    os.chown(settings.library, NOBODY, NOBODY)
    open_to_all(tmp_path)
    assert as_nobody(tmp_path) == []
    assert Library.of(settings).media().state.tolist() == ["complete"] * 3
    lay(picture(4), settings.uploads / snapshot_path("porch", NOON + timedelta(minutes=1)))
    denied = lay(picture(5), settings.uploads / snapshot_path("gate", NOON + timedelta(minutes=1)))
    denied.chmod(0)
    (settings.uploads / "barn").chmod(0)
    why = "cannot be read: give the user who runs pano permission to read it"
    closed = denied.relative_to(settings.uploads).as_posix()
    assert as_nobody(tmp_path) == [["barn", "Permission denied"], [closed, why]]
    media = Library.of(settings).media()
    assert sorted(media.state) == ["complete"] * 4 + ["unread"]
    assert "cannot be read" in media[media.state == "unread"].state_reason.iloc[0]
    denied.chmod(0o644)
    (settings.uploads / "barn").chmod(0o755)
    assert as_nobody(tmp_path) == []
    assert Library.of(settings).media().state.tolist() == ["complete"] * 5


def open_to_all(folder: Path) -> None:
    """Let everybody through to `folder`."""
    for one in [folder, *folder.parents]:
        if one.stat().st_uid == 0 and len(one.parts) > 2:
            one.chmod(one.stat().st_mode | 0o055)


# An ingest of something else first: whose Python this is need not let others read it.
_AS_NOBODY = """
import json, os, sys
from functools import partial
from pathlib import Path
from concurrent.futures import ThreadPoolExecutor
from pano_analytics.ingest.run import ingest
from pano_analytics.settings import check
def run(folder):
    settings = check({"zone": "Europe/Berlin"}).model_copy(
        update={"uploads": folder / "uploads", "library": folder / "library"})
    return ingest(settings, make_executor=partial(ThreadPoolExecutor, 1))
warm, folder, nobody = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
run(warm)
os.setgroups([])
os.setgid(nobody)
os.setuid(nobody)
print(json.dumps(run(folder).unreadable))
"""


def as_nobody(folder: Path) -> list[list[str]]:
    """Ingest as a user without rights of his own; return what he could not read, and why."""
    with tempfile.TemporaryDirectory() as warm:
        lay(picture(), Path(warm) / "uploads" / snapshot_path("x", NOON))
        command = [sys.executable, "-c", _AS_NOBODY, warm, str(folder), str(NOBODY)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


# --- contents -----------------------------------------------------------------------------


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    """Return a PNG that declares so many pixels and holds `rows`, deflated."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def plain_png() -> bytes:
    out = BytesIO()
    Image.new("RGB", (64, 48), "red").save(out, "PNG")
    return out.getvalue()


HOSTILE = {
    "bomb": (png(60_000, 60_000), "unsupported"),
    "bomb of text": (b"\xff\xd8\xff\xe0" + b"\xff\xfe\xff\xff" * 50_000, "damaged"),
    "PNG called .jpg": (plain_png(), "complete"),
    "nothing": (b"", "empty"),
    "zeros": (bytes(100_000), "damaged"),
    "web page": (b"<!DOCTYPE html><script>alert(1)</script>", "damaged"),
    "endless": (b"\xff" * 100_000, "damaged"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage", "damaged"),
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("kind", ["snapshot", "clip"])
def test_hostile_contents_have_a_state(tmp_path: Path, what: str, kind: str) -> None:
    """Whatever bytes there are, there is a row with a state, and a reason where it is bad."""
    settings = settings_of(tmp_path)
    assert settings.uploads is not None
    data, state = HOSTILE[what]
    clip = clip_path("porch", NOON, NOON + timedelta(seconds=9), "mp4")
    lay(data, settings.uploads / (snapshot_path("porch", NOON) if kind == "snapshot" else clip))
    run(settings)
    row = Library.of(settings).media().iloc[0]
    if kind == "snapshot":
        assert row["state"] == state
    assert row["state"] in ("damaged", "unsupported", "empty", "partial", "complete")
    assert row["state"] == "complete" or row["state_reason"]
    assert len(Library.of(settings).frames()) == (row["state"] in ("complete", "partial"))


@needs_media
@given(data=st.data())
@how(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_mutated_real_files_come_to_rest(data: st.DataObject) -> None:
    """Real files with bytes changed, cut, doubled or zeroed: a state each, no harm to others."""
    sources = sorted(path for path in MEDIA.rglob("*") if path.suffix in (".jpg", ".mp4", ".dav"))
    sources = [path for path in sources if path.stat().st_size < 2_000_000]
    chosen = data.draw(st.lists(st.sampled_from(sources), min_size=1, max_size=6))
    seed = data.draw(st.integers(0, 2**32))
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_of(Path(folder))
        assert settings.uploads is not None
        good = lay(picture(), settings.uploads / snapshot_path("porch", NOON))
        for number, source in enumerate(chosen, 1):
            start = NOON + timedelta(minutes=number)
            clip = clip_path("porch", start, start + timedelta(seconds=27), source.suffix[1:])
            name = snapshot_path("porch", start) if source.suffix == ".jpg" else clip
            lay(mutated(source.read_bytes(), random.Random(seed + number)), settings.uploads / name)
        run(settings)
        library = Library.of(settings)
        media = library.media()
        assert len(media) == len(chosen) + 1
        assert set(media.state) <= set(STATES) - {"unread", "pending"}
        assert media[media.state != "complete"].state_reason.notna().all()
        row = media[media.path == good.relative_to(settings.uploads).as_posix()].iloc[0]
        assert row["state"] == "complete"
        for locator in media.thumb.dropna():
            Image.open(BytesIO(library.thumbnail_bytes(locator))).load()


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Return `content` damaged as transfers and disks damage it, and a bit worse."""
    data = bytearray(content)
    for _ in range(chance.randrange(1, 6)):
        start = chance.randrange(len(data))
        length = min(chance.choice([1, 4, 64, 4096]), len(data) - start)
        deed = chance.randrange(4)
        if deed == 0:
            data[start : start + length] = chance.randbytes(length)
        elif deed == 1 and len(data) > length:
            del data[start : start + length]
        elif deed == 2:
            data[start:start] = data[start : start + length]
        else:
            data[start : start + length] = bytes(length)
    return bytes(data[: chance.choice([len(data), len(data), chance.randrange(len(data)) + 1])])


# --- many ---------------------------------------------------------------------------------

_MANY = """
import sys
from pathlib import Path
from pano_analytics.ingest.run import ingest
from pano_analytics.settings import check
settings = check({"zone": "UTC"}).model_copy(
    update={"uploads": Path(sys.argv[1]), "library": Path(sys.argv[2])})
summary = ingest(settings, is_inspecting=False)
# Not ru_maxrss: that is at least what the process had that started this one.
status = Path("/proc/self/status").read_text()
print(summary.tally.new, int(status.split("VmHWM:")[1].split()[0]) >> 10)
"""


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Path]:
    """Lay 100,000 uploads of two years into one folder."""
    folder = tmp_path / "uploads/gate/snap"
    folder.mkdir(parents=True)
    for number in range(100_000):
        start = datetime(2024, 1, 1) + timedelta(seconds=600 * number)
        (folder / f"MDAlarm_{start:%Y%m%d-%H%M%S}.jpg").write_bytes(b"x")
    yield tmp_path
    shutil.rmtree(folder)


@pytest.mark.long
def test_a_hundred_thousand_files_in_one_folder(crowd: Path) -> None:
    """They are listed within bounds of memory, and one more is one row more."""

    def new_and_megabytes() -> tuple[int, int]:
        command = [sys.executable, "-c", _MANY, str(crowd / "uploads"), str(crowd / "library")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        new, megabytes = done.stdout.split()
        return int(new), int(megabytes)

    new, megabytes = new_and_megabytes()
    assert new == 100_000
    assert megabytes < 700
    lay(b"y", crowd / "uploads/gate/snap/MDAlarm_20260303-120000.jpg")
    new, megabytes = new_and_megabytes()
    assert new == 1
    assert megabytes < 700
    parts = list((crowd / "library/parts/media").rglob("*.parquet"))
    assert len(parts) < 800
