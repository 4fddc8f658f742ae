"""What is really in one uploaded file."""

from __future__ import annotations

import hashlib
import io
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from datetime import datetime
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pano_analytics import inspection as looking
from pano_analytics.errors import MediaError
from pano_analytics.formats import dhav
from pano_analytics.formats.demux import steady_times
from pano_analytics.model.grid import GRID_SHAPE, planes
from pano_analytics.model.upload import Inspection

MEDIA = Path(__file__).resolve().parents[1].parent / "shared" / "media"
START = datetime(2026, 5, 17, 6, 30, 15)
END_MARKER = b"\xff\xd9"

# The folder of a test is shared by all examples of one property: each overwrites its file.
shared_folder = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)


def real(name: str) -> Path:
    """Return the path of a real camera file, or skip where none are at hand."""
    path = MEDIA / name
    if not path.exists():
        pytest.skip(f"the real camera file {name} is not on this machine")
    return path


def scene(index: int, width: int = 320, height: int = 240) -> np.ndarray:
    """Return a textured picture with a bright block that moves with `index`."""
    rng = np.random.default_rng(7)
    picture = rng.integers(40, 90, (height, width, 3), dtype=np.uint8)
    left = (index * 7) % (width - 60)
    picture[height // 2 : height // 2 + 60, left : left + 60] = 220
    return picture


@cache
def jpeg(progressive: bool = False, width: int = 640, height: int = 480) -> bytes:
    """Return a camera's JPEG of the scene, with clock comment and trailer."""
    buffer = io.BytesIO()
    picture = Image.fromarray(scene(0, width, height))
    picture.save(buffer, "JPEG", quality=60, progressive=progressive)
    return dhav.camera_jpeg(buffer.getvalue(), START)


@cache
def dav(frames: int = 40, fps: int = 10) -> bytes:
    """Return a `.dav` of the moving scene, a key frame a second."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = 320, 240, "yuv420p"
    context.time_base, context.framerate = Fraction(1, fps), fps
    context.options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(fps)}
    units = []
    for index in range(frames):
        picture = av.VideoFrame.from_ndarray(scene(index), "rgb24")
        picture.pts = index
        units += [(bytes(unit), unit.is_keyframe) for unit in context.encode(picture)]
    units += [(bytes(unit), unit.is_keyframe) for unit in context.encode(None)]
    return dhav.video_clip(units, start=START, fps=fps, width=320, height=240)


@cache
def clip(container_format: str = "mp4", *options: tuple[str, str], frames: int = 40) -> bytes:
    """Return a 4-second clip of the moving scene in another container."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container_format, options=dict(options)) as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.options = {"preset": "ultrafast", "g": "10", "bf": "2"}
        for index in range(frames):
            picture = av.VideoFrame.from_ndarray(scene(index), "rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return buffer.getvalue()


@cache
def moov_first() -> bytes:
    """Return an MP4 whose index comes before its pictures."""
    data = clip()
    index = data.index(b"moov") - 4
    pictures = data.index(b"mdat") - 4
    moved = bytearray(data[index:])
    for table in re.finditer(b"stco....(....)", moved, re.DOTALL):
        for place in range(table.end(), table.end() + 4 * int.from_bytes(table[1], "big"), 4):
            offset = int.from_bytes(moved[place : place + 4], "big") + len(moved)
            moved[place : place + 4] = offset.to_bytes(4, "big")
    return data[:pictures] + bytes(moved) + data[pictures:index]


def look(folder: Path, data: bytes, name: str, expected_s: float | None = None) -> Inspection:
    """Inspect `data` as a file called `name`."""
    path = folder / name
    path.write_bytes(data)
    return looking.inspect_file(path, "clip" if is_clip(name) else "snapshot", expected_s)


def is_clip(name: str) -> bool:
    """Return whether a file of that name is looked at as a clip."""
    return not name.endswith((".jpg", ".png"))


def picture_of(inspection: Inspection, index: int = 0) -> Image.Image:
    """Return a thumbnail, decoded."""
    picture = Image.open(io.BytesIO(inspection.frames[index].thumbnail))
    picture.load()
    return picture


def cells_of(inspection: Inspection, index: int = 0) -> np.ndarray:
    """Return the means of a grid's cells."""
    return grid_of(inspection, index)[0]


def grid_of(inspection: Inspection, index: int = 0) -> np.ndarray:
    """Return a grid as an array of its shape: means, then deviations."""
    return planes(inspection.frames[index].grid)


# --- real files ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size", "clock"),
    [
        ("1591027084.jpg", (640, 480), datetime(2020, 6, 1, 15, 58, 4)),
        ("1593216147.jpg", (640, 480), datetime(2020, 6, 26, 17, 2, 27)),
        ("camera1_snapshot.jpg", (769, 432), None),
        ("camera2_snapshot.jpg", (769, 432), None),
        ("camera3_snapshot.jpg", (769, 432), None),
    ],
)
def test_real_snapshot(name: str, size: tuple[int, int], clock: datetime | None) -> None:
    """A camera's snapshot is complete, tells its clock and leaves a picture 480 wide."""
    path = real(name)
    found = looking.inspect_file(path, "snapshot")
    assert (found.state, found.state_reason, found.codec) == ("complete", None, "jpeg")
    assert ((found.width, found.height), found.camera_clock) == (size, clock)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert picture_of(found).size == (480, round(480 * size[1] / size[0]))
    assert len(found.frames) == 1
    assert cells_of(found).std() > 5


@pytest.mark.parametrize(
    ("name", "expected_s", "state", "codec", "size", "fps", "duration_s", "frames"),
    [
        ("1591028951.mp4", 27, "complete", "h264", (640, 480), 10, 25.1, 14),
        ("dav/amcrest_h264_aac.dav", 27, "complete", "h264", (640, 480), 10, 25.1, 14),
        ("dav/amcrest_h264_video_only.dav", 27, "complete", "h264", (640, 480), 10, 25.1, 14),
        ("dav/ntp_back.dav", 27, "complete", "h264", (640, 480), 10, 25.1, 14),
        ("dav/hevc.dav", 10, "complete", "hevc", (768, 576), 10, 10.0, 5),
        ("dav/trunc_half.dav", None, "partial", "h264", (640, 480), 10, 10.1, 6),
        ("offline_h265.mp4", None, "complete", "hevc", (1920, 1080), 30, 1.0, 1),
        ("car-detection.mp4", None, "complete", "h264", (768, 432), 12.5, 30.16, 7),
        ("one-by-one-person-detection.mp4", None, "complete", "h264", (768, 432), 10, 139.4, 16),
    ],
)
def test_real_clip(
    name: str,
    expected_s: float | None,
    state: str,
    codec: str,
    size: tuple[int, int],
    fps: float,
    duration_s: float,
    frames: int,
) -> None:
    """Whole clips are complete at their real length, whatever a clock did; cut ones are not."""
    found = looking.inspect_file(real(name), "clip", expected_s)
    assert (found.state, found.codec, found.fps) == (state, codec, fps)
    assert (found.width, found.height) == size
    assert found.duration_s == pytest.approx(duration_s, abs=0.15)
    offsets = [frame.offset_s for frame in found.frames]
    assert len(offsets) == frames
    assert offsets[0] == 0
    assert offsets == sorted(offsets)
    assert offsets[-1] < found.duration_s


def test_real_clips_tell_their_clock() -> None:
    """A DHAV clip tells its first frame's clock, an MP4 the local time it calls UTC."""
    dahua = looking.inspect_file(real("dav/amcrest_h264_aac.dav"), "clip")
    assert dahua.camera_clock == datetime(2020, 6, 1, 16, 29, 11)
    mp4 = looking.inspect_file(real("1591028951.mp4"), "clip")
    assert mp4.camera_clock == datetime(2020, 6, 1, 16, 29, 17)


def test_real_stub_is_damaged() -> None:
    """The 156-byte stub holds no whole picture."""
    found = looking.inspect_file(real("dav/stub_156.dav"), "clip", 27)
    assert (found.state, found.frames) == ("damaged", ())
    assert "cut off" in str(found.state_reason)


def test_real_half_says_what_its_name_promised() -> None:
    """The reason is told in words and seconds."""
    found = looking.inspect_file(real("dav/trunc_half.dav"), "clip", 27)
    assert found.state == "partial"
    assert "10.1 s of the 27 s its name promises" in str(found.state_reason)


@pytest.mark.parametrize(
    ("share", "state"), [(0.5, "damaged"), (0.98, "damaged"), (0.995, "partial")]
)
def test_real_mp4_cut_near_its_end(share: float, state: str, tmp_path: Path) -> None:
    """Cut inside its index the real MP4 opens normally, and still is not complete."""
    data = real("1591028951.mp4").read_bytes()
    assert look(tmp_path, data[: int(len(data) * share)], "cut.mp4").state == state


def test_wide_pixels_are_honoured() -> None:
    """The real 640x480 clip has pixels 4:3 wide, so its thumbnails are 16:9."""
    found = looking.inspect_file(real("1591028951.mp4"), "clip")
    assert picture_of(found).size == (320, 180)


# --- pictures -----------------------------------------------------------------------------


def test_whole_snapshot(tmp_path: Path) -> None:
    """A 1080p snapshot gives its size, clock, hash, a 480 x 270 thumbnail and a full grid."""
    data = jpeg(width=1920, height=1080)
    found = look(tmp_path, data, "a.jpg")
    assert (found.state, found.state_reason) == ("complete", None)
    assert (found.width, found.height, found.camera_clock) == (1920, 1080, START)
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert picture_of(found).size == (480, 270)
    assert found.frames[0].offset_s == 0.0
    assert len(found.frames[0].grid) == np.prod(GRID_SHAPE)


def test_thumbnail_carries_no_comment(tmp_path: Path) -> None:
    """What the camera wrote into the picture is not repeated in each thumbnail."""
    assert "comment" not in picture_of(look(tmp_path, jpeg(), "a.jpg")).info


def test_grid_is_mean_luminance(tmp_path: Path) -> None:
    """Left half black, right half white: so are the cells, and colours weigh as luminance."""
    picture = Image.new("RGB", (1280, 720))
    picture.paste((255, 255, 255), (640, 0, 1280, 720))
    picture.paste((0, 255, 0), (0, 360, 640, 720))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=95)
    cells = cells_of(look(tmp_path, buffer.getvalue(), "a.jpg"))
    rows, columns = cells.shape
    assert cells[: rows // 2 - 1, : columns // 2 - 1].max() <= 2
    assert cells[:, columns // 2 + 1 :].min() >= 253
    assert abs(int(cells[-1, 0]) - 150) <= 3


def test_grid_tells_what_is_smaller_than_a_cell(tmp_path: Path) -> None:
    """Two fifths of a cell 40 levels brighter leave 4 x 19.2 in the deviations, plain ones 0."""
    picture = Image.new("L", (1920, 1080), 80)
    rows, columns = GRID_SHAPE[1:]
    high, wide = 1080 // rows, 1920 // columns
    picture.paste(120, (10 * wide, 5 * high, 10 * wide + wide * 2 // 5, 6 * high))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=98)
    mean, deviation = grid_of(look(tmp_path, buffer.getvalue(), "a.jpg"))
    assert abs(int(mean[5, 10]) - 96) <= 2
    assert abs(int(deviation[5, 10]) - 77) <= 6
    assert deviation[8:, 20:].max() <= 2


@pytest.mark.parametrize(
    ("size", "thumbnail"),
    [
        ((20, 10), (20, 10)),
        ((480, 270), (480, 270)),
        ((1080, 1920), (480, 853)),
        ((100, 4000), (24, 960)),
        ((1, 1), (1, 1)),
        ((3000, 2), (480, 1)),
        ((2688, 1520), (480, 271)),
    ],
)
def test_thumbnail_fits_and_is_never_enlarged(
    size: tuple[int, int], thumbnail: tuple[int, int], tmp_path: Path
) -> None:
    """Small, tall and flat pictures keep their aspect; the grid has its shape all the same."""
    found = look(tmp_path, jpeg(False, *size) if min(size) > 60 else plain(size), "a.jpg")
    assert found.state == "complete"
    assert picture_of(found).size == thumbnail
    assert len(found.frames[0].grid) == np.prod(GRID_SHAPE)


def plain(size: tuple[int, int], file_format: str = "JPEG", **options: object) -> bytes:
    """Return a one-colour picture in some format."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 100, 50)).save(buffer, file_format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("options", [{"keep_rgb": True}, {"progressive": True}, {"subsampling": 0}])
def test_every_kind_of_jpeg_keeps_its_colours(options: dict[str, object], tmp_path: Path) -> None:
    """A JPEG that holds red, green and blue looks like one that holds luma and chroma."""
    found = look(tmp_path, plain((640, 480), **options), "a.jpg")
    colour = picture_of(found).convert("RGB").getpixel((100, 100))
    assert np.abs(np.array(colour) - (200, 100, 50)).max() <= 4


def test_grey_jpeg_is_read(tmp_path: Path) -> None:
    """Infrared pictures may be stored without colour."""
    buffer = io.BytesIO()
    Image.fromarray(scene(0)).convert("L").save(buffer, "JPEG")
    found = look(tmp_path, buffer.getvalue(), "a.jpg")
    assert found.state == "complete"
    assert picture_of(found).size == (320, 240)


@pytest.mark.parametrize("file_format", ["PNG", "GIF", "WEBP"])
def test_other_pictures_called_jpg_are_catalogued(file_format: str, tmp_path: Path) -> None:
    """What is a picture by its content is complete, with a note that the name says another."""
    found = look(tmp_path, plain((640, 480), file_format), "a.jpg")
    assert (found.state, found.codec) == ("complete", file_format.lower())
    assert found.state_reason == f"a {file_format} picture named '.jpg'"
    assert picture_of(found).size == (480, 360)


def test_png_called_png_needs_no_note(tmp_path: Path) -> None:
    """A name that is true needs no reason."""
    assert look(tmp_path, plain((64, 48), "PNG"), "a.png").state_reason is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<!DOCTYPE html><html>Not found</html>", "a web page"),
        (b"\n <html>", "a web page"),
        (bytes(5000), "zeros"),
        (b"\xff", "begins with"),
        (b"MZ\x90 <script>", "begins with"),
        (b"%!PS-Adobe-3.0 EPSF", "no picture"),
        (b"\xff\xd8\xff", "header is broken"),
        (b"\x89PNG\r\n\x1a\n", "header is broken"),
        (b"GIF89a", "header is broken"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "header is broken"),
    ],
)
def test_no_picture_is_damaged(data: bytes, words: str, tmp_path: Path) -> None:
    """What is no picture is damaged, and the reason says what it begins like."""
    found = look(tmp_path, data, "a.jpg")
    assert (found.state, found.frames) == ("damaged", ())
    assert words in str(found.state_reason)
    assert found.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("name", ["a.jpg", "a.mp4", "a.dav"])
def test_nothing_is_empty(name: str, tmp_path: Path) -> None:
    """A file of 0 bytes is empty, not damaged."""
    found = look(tmp_path, b"", name)
    assert found.state == "empty"
    assert "0 bytes" in str(found.state_reason)


def cut_jpegs() -> list[bytes]:
    """Return the pictures that are cut everywhere: own, progressive, and real if at hand."""
    own = [jpeg(), jpeg(True), plain((64, 64)), jpeg(False, 1920, 1080)]
    return own + [path.read_bytes() for path in sorted(MEDIA.glob("*.jpg"))]


@given(st.sampled_from(range(len(cut_jpegs()))), st.floats(0, 1, exclude_max=True))
@shared_folder
def test_jpeg_cut_before_its_end_marker_is_never_complete(
    tmp_path: Path, index: int, share: float
) -> None:
    """Wherever it is cut, a picture is partial with a thumbnail, damaged, or empty."""
    data = cut_jpegs()[index]
    found = look(tmp_path, data[: int(share * (data.rindex(END_MARKER) + 2))], "a.jpg")
    assert found.state in ("partial", "damaged", "empty")
    assert bool(found.frames) is (found.state == "partial")
    assert found.state_reason


@pytest.mark.parametrize("left", range(1, 12))
def test_jpeg_cut_at_the_end_marker_itself(left: int, tmp_path: Path) -> None:
    """Losing the trailer behind the end marker costs nothing; losing the marker is told."""
    data = jpeg()
    found = look(tmp_path, data[:-left], "a.jpg")
    assert found.state == ("complete" if left <= 8 else "partial")


def test_cut_jpeg_keeps_what_decodes(tmp_path: Path) -> None:
    """Half a picture leaves its upper half, the rest is black, and the share is told."""
    whole, cut = (
        look(tmp_path, jpeg(), "a.jpg"),
        look(tmp_path, jpeg()[: len(jpeg()) // 2], "a.jpg"),
    )
    assert cut.state == "partial"
    assert "the picture is cut off; about" in str(cut.state_reason)
    assert (cut.width, cut.height, cut.camera_clock) == (640, 480, START)
    assert np.array_equal(cells_of(cut)[:5], cells_of(whole)[:5])
    assert cells_of(cut)[-5:].max() == 0
    assert max(picture_of(cut).convert("RGB").getpixel((100, 350))) <= 2


def test_cut_progressive_jpeg_leaves_a_coarse_picture(tmp_path: Path) -> None:
    """A progressive picture cut in the middle still shows the whole view."""
    data = jpeg(True)
    found = look(tmp_path, data[: len(data) * 2 // 3], "a.jpg")
    assert found.state == "partial"
    assert "low-resolution" in str(found.state_reason)
    assert cells_of(found)[-5:].min() > 20


def test_cut_png_is_partial(tmp_path: Path) -> None:
    """Half a PNG leaves its upper half."""
    buffer = io.BytesIO()
    Image.fromarray(scene(0)).save(buffer, "PNG")
    found = look(tmp_path, buffer.getvalue()[: len(buffer.getvalue()) // 2], "a.png")
    assert found.state == "partial"
    assert cells_of(found)[0].min() > 20
    assert cells_of(found)[-1].max() == 0


def bomb_jpeg() -> bytes:
    """Return a JPEG that declares 65500 x 65500 pixels."""
    data = plain((64, 64))
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", 65500, 65500) + data[place + 4 :]


def bomb_png() -> bytes:
    """Return a PNG that declares 60000 x 60000 pixels, its checksum right."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    data = plain((64, 64), "PNG")
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


def scans_jpeg() -> bytes:
    """Return a progressive JPEG with its last scan repeated hundreds of times."""
    data = jpeg(True)
    last, end = data.rindex(b"\xff\xda"), data.rindex(END_MARKER)
    return data[:end] + data[last:end] * 200 + data[end:]


@pytest.mark.parametrize(
    ("bomb", "state"),
    [(bomb_jpeg, "unsupported"), (bomb_png, "unsupported"), (scans_jpeg, "damaged")],
)
def test_bombs_are_not_decoded(bomb: Callable[[], bytes], state: str, tmp_path: Path) -> None:
    """A picture that costs far more than its bytes is refused by its header alone."""
    found = look(tmp_path, bomb(), "a.jpg")
    assert found.state == state
    assert "not decoded" in str(found.state_reason)


# --- clips --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (dav, "a.dav"),
        (dav, "called.mp4"),
        (clip, "a.mp4"),
        (clip, "called.dav"),
        (moov_first, "a.mp4"),
        (lambda: clip("mp4", ("movflags", "frag_keyframe+empty_moov")), "a.mp4"),
        (lambda: clip("matroska"), "a.mkv"),
        (lambda: clip("avi"), "a.avi"),
        (lambda: clip("mpegts"), "a.ts"),
    ],
)
def test_whole_clip(make: Callable[[], bytes], name: str, tmp_path: Path) -> None:
    """Every container that cameras write is told by content: length, rate and key frames."""
    found = look(tmp_path, make(), name, expected_s=4)
    assert (found.state, found.state_reason, found.codec) == ("complete", None, "h264")
    assert (found.width, found.height) == (320, 240)
    assert found.duration_s == pytest.approx(4.0, abs=0.11)
    assert found.fps == pytest.approx(10, abs=0.1)
    assert [round(frame.offset_s) for frame in found.frames] == [0, 1, 2, 3]
    assert picture_of(found).size == (320, 240)


def test_strip_shows_what_moves(tmp_path: Path) -> None:
    """Each key frame has its own picture: the bright block stands where it was then."""
    found = look(tmp_path, dav(), "a.dav")
    middle = GRID_SHAPE[1] * 5 // 8
    brightest = [int(cells_of(found, i)[middle].argmax()) for i in range(4)]
    assert brightest == sorted(set(brightest))


def test_clip_and_snapshot_measure_luminance_alike(tmp_path: Path) -> None:
    """The same scene gives the same grid, whether a JPEG or a video stored it."""
    buffer = io.BytesIO()
    Image.fromarray(scene(0)).save(buffer, "JPEG", quality=90)
    snapshot, film = look(tmp_path, buffer.getvalue(), "a.jpg"), look(tmp_path, dav(), "a.dav")
    away = np.abs(grid_of(snapshot).astype(int) - grid_of(film))
    assert away[0].max() <= 6
    assert away[1].mean() <= 8


def test_long_clip_leaves_a_bounded_even_strip(tmp_path: Path) -> None:
    """Hundreds of key frames leave 16, first and last among them, evenly spread."""
    found = look(tmp_path, dav(600, 2), "a.dav")
    offsets = [frame.offset_s for frame in found.frames]
    assert len(offsets) == looking.STRIP_FRAMES
    assert (offsets[0], offsets[-1]) == (0.0, 299.0)
    assert max(np.diff(offsets)) - min(np.diff(offsets)) <= 4


@pytest.mark.parametrize(
    ("expected_s", "state"),
    [(None, "complete"), (4, "complete"), (6.9, "complete"), (27, "partial")],
)
def test_length_is_held_against_the_name(
    expected_s: float | None, state: str, tmp_path: Path
) -> None:
    """A clip far shorter than its name promises is partial, even where its end looks whole."""
    found = look(tmp_path, dav(), "a.dav", expected_s)
    assert found.state == state
    if state == "partial":
        assert found.state_reason == "4.0 s of the 27 s its name promises"


def largest_picture() -> int:
    """Return the bytes of the largest frame of the own `.dav`."""
    return max(header.length for header in dhav.frames(dav()))


@given(st.sampled_from([dav, clip, moov_first]), st.floats(0, 1))
@shared_folder
def test_clip_cut_by_more_than_a_frame_is_never_complete(
    tmp_path: Path, make: Callable[[], bytes], share: float
) -> None:
    """Wherever it is cut, by the end of a frame or inside one, a clip is not complete."""
    data = make()
    cut = data[: int(share * (len(data) - largest_picture()))]
    if make is dav and dhav.is_whole_tail(cut):
        cut = cut[:-1]  # cut exactly behind a frame, only the name's length can tell
    found = look(tmp_path, cut, "a.mp4")
    assert found.state in ("partial", "damaged", "empty")
    assert bool(found.frames) is (found.state == "partial")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (lambda: clip()[:-20], "20 bytes are missing at its end, inside the box 'moov'"),
        (lambda: clip("matroska")[:-20], "20 bytes are missing at its end"),
        (lambda: clip("avi")[:-20], "20 bytes are missing at its end"),
        (lambda: clip("mpegts")[:-20], "its last packet is cut off"),
        (lambda: dav()[:-3], "its last frame is cut off"),
        (lambda: dav()[:-4] + (40).to_bytes(4, "little"), "its last frame is cut off"),
    ],
)
def test_last_bytes_missing_are_told(data: Callable[[], bytes], words: str, tmp_path: Path) -> None:
    """Even where all pictures are there, a container that is not whole says so."""
    found = look(tmp_path, data(), "a.mp4")
    assert (found.state, found.state_reason) == ("partial", words)
    assert len(found.frames) == 4


def test_pictures_fewer_than_declared_are_told(tmp_path: Path) -> None:
    """Where the boxes agree with the file, the index still tells how many there were."""
    data = bytearray(moov_first())
    place = data.index(b"mdat") - 4
    del data[place + (len(data) - place) // 2 :]
    data[place : place + 4] = (len(data) - place).to_bytes(4, "big")
    found = look(tmp_path, bytes(data), "a.mp4")
    assert found.state == "partial"
    assert re.fullmatch(r"holds \d+ of the 40 pictures it declares", str(found.state_reason))


@given(
    st.sampled_from([dav, clip, moov_first, jpeg, lambda: clip("matroska"), lambda: clip("avi")]),
    st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=64)),
        min_size=1,
        max_size=8,
    ),
)
@shared_folder
def test_changed_bytes_never_crash(
    tmp_path: Path, make: Callable[[], bytes], changes: list[tuple[float, bytes]]
) -> None:
    """Whatever bytes are overwritten, the answer is a state, with frames of the right shape."""
    data = bytearray(make())
    for share, change in changes:
        place = int(share * len(data))
        data[place : place + len(change)] = change
    found = look(tmp_path, bytes(data), "a.jpg" if make is jpeg else "a.mp4")
    assert found.state in ("complete", "partial", "damaged", "unsupported")
    assert all(len(f.grid) == np.prod(GRID_SHAPE) for f in found.frames)
    assert all(Image.open(io.BytesIO(f.thumbnail)).size[0] <= 480 for f in found.frames)


@given(st.binary(max_size=400), st.sampled_from([b"", b"DHAV\xfd", b"\0\0\0\x18ftyp", b"RIFF"]))
@shared_folder
def test_noise_is_damaged(tmp_path: Path, noise: bytes, head: bytes) -> None:
    """Noise behind any beginning is no clip."""
    found = look(tmp_path, head + noise, "a.mp4")
    assert found.state == ("damaged" if head + noise else "empty")


@pytest.mark.parametrize("cut", [24, 156])
def test_stub_is_damaged(cut: int, tmp_path: Path) -> None:
    """A clip of one header, or of a header and the start of a picture, shows nothing."""
    found = look(tmp_path, dav()[:cut], "a.dav", 27)
    assert (found.state, found.frames) == ("damaged", ())


def test_clip_with_a_hole_is_partial(tmp_path: Path) -> None:
    """An upload into space reserved beforehand leaves zeros, and every box in its place."""
    data = bytearray(moov_first())
    data[len(data) * 2 // 3 :] = bytes(len(data) - len(data) * 2 // 3)
    found = look(tmp_path, bytes(data), "a.mp4")
    assert (found.state, found.state_reason) == ("partial", "part of it is filled with zeros")


def test_playlist_is_not_followed(tmp_path: Path) -> None:
    """A text file that names other files is no clip, and nothing it names is opened."""
    other = tmp_path / "other.ts"
    other.write_bytes(clip("mpegts"))
    found = look(tmp_path, f"#EXTM3U\n#EXTINF:4,\n{other}\n#EXT-X-ENDLIST\n".encode(), "a.mp4")
    assert found.state == "damaged"
    assert "begins with '#EXTM3U" in str(found.state_reason)


def test_sound_that_begins_late_is_no_trouble(tmp_path: Path) -> None:
    """Sound first heard behind megabytes of pictures is found late, and costs nothing."""
    pictures = dav()
    key = next(dhav.frames(pictures))
    filler = dhav.video_frame(
        pictures[key.payload] + bytes(1 << 20),
        number=40,
        clock=START,
        ms=4000,
        is_key=False,
        fps=10,
        width=320,
        height=240,
    )
    sound = dhav.audio_frame(b"\xd5" * 320, number=0, clock=START, ms=0, codec="pcm_alaw")
    found = look(tmp_path, pictures + filler * 8 + sound, "a.dav")
    assert (found.state, len(found.frames)) == ("complete", 4)


def test_clip_that_is_a_picture_is_read_as_one(tmp_path: Path) -> None:
    """A picture under a clip's name is read by its contents, and the reason says so."""
    found = look(tmp_path, jpeg(), "a.mp4")
    assert (found.state, found.codec, len(found.frames)) == ("complete", "jpeg", 1)
    assert found.state_reason == "a JPEG picture named '.mp4'"


# --- time inside a clip -------------------------------------------------------------------


@given(st.integers(2, 200), st.sampled_from([0.04, 1 / 15, 0.1, 1.0, 5.0]), st.integers(0, 2**31))
def test_steady_clip_is_left_alone(count: int, step: float, first: int) -> None:
    """Without a clock step the times only lose their start; a time-lapse is left its pace."""
    offsets, period = steady_times([first + i * step for i in range(count)], 0.1)
    assert offsets == pytest.approx([i * step for i in range(count)], abs=1e-4)
    assert period == pytest.approx(step, abs=1e-4)


@given(st.integers(10, 200), st.data(), st.floats(-7200, 7200))
def test_clock_step_neither_shortens_nor_stretches(
    count: int, data: st.DataObject, jump: float
) -> None:
    """Whatever the clock does once, the clip keeps its length to within two seconds."""
    place = data.draw(st.integers(1, count - 1))
    times = [1.6e9 + i * 0.1 + (jump if i >= place else 0) for i in range(count)]
    offsets, period = steady_times(times, 0.5)
    assert len(offsets) == count
    assert offsets == sorted(offsets)
    assert offsets[-1] == pytest.approx((count - 1) * 0.1, abs=2.1)
    assert period == pytest.approx(0.1, abs=0.01)


@given(st.lists(st.floats(-1e12, 1e12), max_size=50))
def test_any_times_become_steady(times: list[float]) -> None:
    """Whatever the times, there is one offset for each, from 0 and never back."""
    offsets, period = steady_times(times, 0.1)
    assert len(offsets) == len(times)
    assert offsets == sorted(offsets)
    assert not offsets or offsets[0] == 0
    assert period > 0


# --- what is no file of media -------------------------------------------------------------


def make_fifo(path: Path) -> None:
    """Make a FIFO that nobody writes to."""
    os.mkfifo(path)


def make_link(path: Path) -> None:
    """Make a symbolic link to a good picture."""
    target = path.with_name("target")
    target.write_bytes(jpeg())
    path.symlink_to(target)


def make_socket(path: Path) -> None:
    """Make a socket that nobody listens on."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (make_fifo, "a FIFO"),
        (make_link, "symbolic link"),
        (make_socket, "cannot be opened"),
        (Path.mkdir, "a folder"),
        (lambda path: None, "No such file"),
    ],
)
def test_what_is_no_file_is_an_error(
    make: Callable[[Path], None], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A FIFO, link, socket, folder or nothing is refused at once, with the reason."""
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "a.jpg")
    with pytest.raises(MediaError, match=words):
        looking.inspect_file(tmp_path / "a.jpg", "snapshot")


def test_device_is_an_error() -> None:
    """An endless device is refused at once."""
    with pytest.raises(MediaError, match="a device"):
        looking.inspect_file(Path("/dev/zero"), "clip")


def test_name_that_no_file_can_have_is_an_error() -> None:
    """A zero byte in a name is told, not a crash."""
    with pytest.raises(MediaError, match="not a valid file name"):
        looking.inspect_file(Path("a\0b"), "clip")


def test_unknown_kind_is_an_error(tmp_path: Path) -> None:
    """Only snapshots and clips are looked into."""
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(MediaError, match="snapshot or clip"):
        looking.inspect_file(tmp_path / "a", "ignore")


def test_unreadable_file_says_what_to_do(tmp_path: Path) -> None:
    """Where the right to read is missing, the error says whose."""
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg())
    path.chmod(0)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)  # root may read everything
        with pytest.raises(MediaError, match="permission to read"):
            looking.inspect_file(path, "snapshot")
    finally:
        os.seteuid(user)


def test_file_that_grows_meanwhile_is_told_apart(tmp_path: Path) -> None:
    """A file that changes while it is read is pending, whatever it seemed to hold."""
    path = tmp_path / "a.dav"
    path.write_bytes(dav() + bytes(20 << 20))
    done = threading.Event()

    def keep_writing() -> None:
        with path.open("ab", buffering=0) as file:
            while not done.is_set():
                file.write(b"x")

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        with pytest.raises(looking.MediaChanged, match="still being written"):
            looking.inspect_file(path, "clip")
    finally:
        done.set()
        writer.join()


def test_importing_costs_nothing() -> None:
    """Neither Pillow nor PyAV is loaded before a file is looked into."""
    code = "import sys, pano_analytics.inspection; print({'av', 'PIL', 'numpy'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
