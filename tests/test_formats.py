"""Every ending that layouts accept is read, or said to be of a format that pano does not read."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from datetime import datetime
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pytest
from lived_in import at, fresh, lay, run
from lived_in import picture as small_picture
from PIL import Image

from pano_analytics.formats import demux, dhav, sniff
from pano_analytics.formats.endings import ENDINGS
from pano_analytics.ingest import memory
from pano_analytics.inspection import inspect_file
from pano_analytics.layouts.names import KIND_OF
from pano_analytics.library import Library
from pano_analytics.model.upload import STATES, Inspection, is_moving
from pano_analytics.present import STATE_BADGES, STATE_COUNTS, clips
from pano_analytics.receive.wholeness import contents_of
from pano_analytics.store.catalog import Catalog
from pano_analytics.store.storage import Storage

START = datetime(2026, 5, 17, 6, 30, 15)
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
CORNERS = {"R": RED, "G": GREEN, "B": BLUE, "W": WHITE}


class Pipe:
    """Takes what is written, and cannot go back."""

    def __init__(self) -> None:
        self.data = io.BytesIO()

    def write(self, piece: bytes) -> int:
        return self.data.write(piece)


def scene(index: int = 0, width: int = 160, height: int = 120) -> np.ndarray:
    """Return a picture with a colour in each corner, noise, and a block that moves."""
    noise = np.random.default_rng(7 + index)
    picture = noise.integers(60, 90, (height, width, 3), dtype=np.uint8)
    across, down = width // 4, height // 4
    picture[:down, :across], picture[:down, -across:] = RED, GREEN
    picture[-down:, :across], picture[-down:, -across:] = BLUE, WHITE
    left = (index * 7) % (width - 30)
    picture[height // 2 : height // 2 + 20, left : left + 30] = 200
    return picture


def sound_stream(container: Any, codec: str) -> Any:
    stream = container.add_stream(codec, rate=8000 if codec.startswith("pcm") else 44100)
    stream.codec_context.layout = "mono"
    return stream


def add_sound(container: Any, stream: Any, seconds: int) -> None:
    rate = stream.codec_context.sample_rate
    for second in range(seconds):
        samples = np.random.default_rng(second).integers(-900, 900, (1, rate)).astype("<i2")
        sound = av.AudioFrame.from_ndarray(samples, "s16", "mono")
        sound.sample_rate, sound.pts = rate, second * rate
        container.mux(stream.encode(sound))
    container.mux(stream.encode(None))


@cache
def clip(
    container_format: str,
    codec: str = "libx264",
    *,
    fps: int = 25,
    frames: int = 30,
    size: tuple[int, int] = (160, 120),
    pixels: str = "yuv420p",
    sound: str | None = None,
    is_piped: bool = False,
    orientation: int | None = None,
    options: tuple[tuple[str, str], ...] = (),
) -> bytes:
    """Return a clip of the scene, a key frame every 10 pictures."""
    target = Pipe() if is_piped else io.BytesIO()
    with av.open(target, "w", format=container_format, options=dict(options)) as container:
        stream: Any = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        stream.codec_context.gop_size = 10
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "g": "10"}
        if codec == "libx265":
            stream.options = {"preset": "ultrafast", "x265-params": "keyint=10:log-level=none"}
        if orientation is not None:
            stream.set_display_matrix(demux.matrix_of(orientation))
        heard = sound_stream(container, sound) if sound else None
        for index in range(frames):
            picture = av.VideoFrame.from_ndarray(scene(index, *size), "rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        if heard:
            add_sound(container, heard, 2)
    return (target.data if isinstance(target, Pipe) else target).getvalue()


@cache
def dav(frames: int = 30, fps: int = 10) -> bytes:
    """Return a `.dav` of the scene, a key frame a second."""
    context: Any = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = 160, 120, "yuv420p"
    context.time_base, context.framerate = Fraction(1, fps), fps
    context.options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(fps)}
    units = []
    for index in range(frames):
        picture = av.VideoFrame.from_ndarray(scene(index), "rgb24")
        picture.pts = index
        units += [(bytes(unit), unit.is_keyframe) for unit in context.encode(picture)]
    units += [(bytes(unit), unit.is_keyframe) for unit in context.encode(None)]
    return dhav.video_clip(units, start=START, fps=fps, width=160, height=120)


@cache
def picture(
    format_name: str,
    *,
    mode: str = "RGB",
    orientation: int | None = None,
    is_progressive: bool = False,
) -> bytes:
    """Return the scene as a picture."""
    out, more = io.BytesIO(), {}
    if orientation is not None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        more["exif"] = exif.tobytes()
    if is_progressive:
        more["progressive"] = True
    Image.fromarray(scene()).convert(mode).save(out, format_name, **more)
    return out.getvalue()


def jpegs() -> bytes:
    return clip("mjpeg", "mjpeg", pixels="yuvj420p")


MADE: dict[str, Callable[[], bytes]] = {
    **dict.fromkeys(("jpg", "jpeg", "jpe", "jfif"), lambda: picture("JPEG")),
    "png": lambda: picture("PNG"),
    "bmp": lambda: picture("BMP"),
    "gif": lambda: picture("GIF"),
    "webp": lambda: picture("WEBP"),
    **dict.fromkeys(("tif", "tiff"), lambda: picture("TIFF")),
    "avif": lambda: picture("AVIF"),
    **dict.fromkeys(("mp4", "m4v"), lambda: clip("mp4")),
    "mov": lambda: clip("mov", sound="pcm_s16le"),
    **dict.fromkeys(("3gp", "3g2"), lambda: clip("3gp", "h263", size=(176, 144))),
    "dav": dav,
    "avi": lambda: clip("avi", "mpeg4"),
    "mkv": lambda: clip("matroska"),
    "webm": lambda: clip("webm", "libvpx"),
    **dict.fromkeys(("ts", "mts"), lambda: clip("mpegts")),
    "m2ts": lambda: clip("mpegts", options=(("mpegts_m2ts_mode", "1"),)),
    "mpg": lambda: clip("mpeg", "mpeg1video"),
    "mpeg": lambda: clip("mpeg", "mpeg2video"),
    "vob": lambda: clip("vob", "mpeg2video"),
    "m2v": lambda: clip("mpeg2video", "mpeg2video"),
    "asf": lambda: clip("asf", "msmpeg4"),
    "wmv": lambda: clip("asf", "wmv2"),
    "flv": lambda: clip("flv", "flv"),
    **dict.fromkeys(("h264", "264"), lambda: clip("h264")),
    **dict.fromkeys(("h265", "265", "hevc"), lambda: clip("hevc", "libx265")),
    **dict.fromkeys(("mjpeg", "mjpg"), jpegs),
}
PICTURE_ENDINGS = [e for e in MADE if ENDINGS[e].kind == "snapshot"]
CLIP_ENDINGS = [e for e in MADE if ENDINGS[e].kind == "clip"]
UNREAD_ENDINGS = [e for e, ending in ENDINGS.items() if not ending.formats]


def look(folder: Path, data: bytes, name: str, expected_s: float | None = None) -> Inspection:
    """Inspect `data` as a file called `name`."""
    path = folder / name
    path.write_bytes(data)
    return inspect_file(path, KIND_OF[name.rpartition(".")[2]], expected_s)


def thumbnail(found: Inspection) -> Image.Image:
    return Image.open(io.BytesIO(found.frames[0].thumbnail)).convert("RGB")


def corners(found: Inspection) -> str:
    """Return which colours stand in the corners: top left, top right, bottom left, right."""
    image = thumbnail(found)
    right, bottom = image.width - 9, image.height - 9
    points = [image.getpixel(at) for at in ((8, 8), (right, 8), (8, bottom), (right, bottom))]
    return "".join(map(nearest, points))


def nearest(colour: Any) -> str:
    """Return the corner's colour that this one is most like."""
    return min(CORNERS, key=lambda name: np.abs(np.subtract(CORNERS[name], colour)).sum())


# --- one list of endings ------------------------------------------------------------------


def test_layouts_accept_the_endings_that_are_tried_here() -> None:
    """One list: each of its endings is read, or known as a format that is not."""
    assert set(KIND_OF) == set(ENDINGS) == {*MADE, *UNREAD_ENDINGS}


@pytest.mark.parametrize("ending", PICTURE_ENDINGS)
def test_whole_picture_of_each_ending(ending: str, tmp_path: Path) -> None:
    """It is complete, with its measures and a thumbnail; its first half is not."""
    data = MADE[ending]()
    found = look(tmp_path, data, f"a.{ending}")
    assert (found.state, found.state_reason) == ("complete", None)
    assert (found.width, found.height, corners(found)) == (160, 120, "RGBW")
    assert not is_moving("snapshot", found.codec)
    assert look(tmp_path, data[: len(data) // 2], f"a.{ending}").state in ("partial", "damaged")


@pytest.mark.parametrize("ending", CLIP_ENDINGS)
def test_whole_clip_of_each_ending(ending: str, tmp_path: Path) -> None:
    """It is complete, at its own rate and length, with upright pictures."""
    found = look(tmp_path, MADE[ending](), f"a.{ending}")
    fps = 10 if ending == "dav" else 25
    assert (found.state, found.state_reason) == ("complete", None)
    assert found.fps == pytest.approx(fps, abs=0.2)
    assert found.duration_s == pytest.approx(30 / fps, abs=0.1)
    assert (corners(found), len(found.frames) >= 3) == ("RGBW", True)


@pytest.mark.parametrize("ending", CLIP_ENDINGS)
@pytest.mark.parametrize("share", [0.45, 0.8])
def test_cut_clip_of_each_ending(ending: str, share: float, tmp_path: Path) -> None:
    """Cut inside a picture it is never complete, and nobody at the door calls it whole."""
    data = MADE[ending]()
    part = data[: int(len(data) * share) - 3]
    found = look(tmp_path, part, f"a.{ending}")
    assert found.state in ("partial", "damaged")
    assert found.state_reason
    assert contents_of(io.BytesIO(part), f"a.{ending}").says in ("cut", "nothing")


SAME = {"m4v", "3g2", "264", "265", "h265", "mjpg", "mts"}


@pytest.mark.parametrize("ending", sorted({*CLIP_ENDINGS} - SAME))
def test_clip_of_each_ending_plays_in_browsers(ending: str, tmp_path: Path) -> None:
    """What comes out of the conversion is H.264 or another codec that browsers play."""
    source, made = tmp_path / f"a.{ending}", tmp_path / "made.mp4"
    source.write_bytes(MADE[ending]())
    clips.remux(source, made)
    found = inspect_file(made, "clip")
    assert (found.state, corners(found)) == ("complete", "RGBW")
    assert clips.browser_plays(found.codec)
    assert found.duration_s == pytest.approx(3.0 if ending == "dav" else 1.2, abs=0.2)


@pytest.mark.parametrize("ending", MADE)
def test_the_door_calls_no_whole_upload_cut(ending: str) -> None:
    """`receive` asks the same modules as `inspection`."""
    assert contents_of(io.BytesIO(MADE[ending]()), f"a.{ending}").says != "cut"


# --- not supported ------------------------------------------------------------------------


@pytest.mark.parametrize("ending", UNREAD_ENDINGS)
def test_unread_endings_are_unsupported(ending: str, tmp_path: Path) -> None:
    """Whatever is in it: the format is said, and that pano does not read it."""
    found = look(tmp_path, bytes(range(1, 250)) * 40, f"a.{ending}")
    assert (found.state, found.frames) == ("unsupported", ())
    assert "does not read this format" in str(found.state_reason)


def heic() -> bytes:
    """Return the first boxes of a picture as phones and some cameras write it."""
    kind = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"heic", 0, b"mif1", b"heic")
    return kind + struct.pack(">I4s", 400, b"meta") + bytes(392)


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (heic(), "a.jpg", "HEIC"),
        (b"RIFF\x24\x08\0\0WAVEfmt " + bytes(2000), "a.mp4", "sound"),
        (b"ID3\x04" + bytes(2000), "a.mp4", "sound"),
        (b"PK\x03\x04" + bytes(2000), "a.jpg", "ZIP"),
        (b"II*\0\x10\0\0\0CR\x02" + bytes(2000), "a.jpg", "raw picture"),
    ],
)
def test_other_formats_are_unsupported(data: bytes, name: str, words: str, tmp_path: Path) -> None:
    """What is known by its first bytes, and not read, is no damage."""
    found = look(tmp_path, data, name)
    assert found.state == "unsupported"
    assert words in str(found.state_reason)


def test_sound_alone_is_unsupported(tmp_path: Path) -> None:
    """An MP4 without pictures is whole, and nothing to look at."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        add_sound(container, sound_stream(container, "aac"), 1)
    found = look(tmp_path, out.getvalue(), "a.mp4")
    assert (found.state, found.state_reason) == ("unsupported", "it has sound but no pictures")


def test_a_picture_over_the_limit_is_too_large_not_damaged(tmp_path: Path) -> None:
    """A whole picture of 90 megapixels is said to be too large to look at; half of it is cut."""
    out = io.BytesIO()
    Image.new("L", (10_000, 9_000)).save(out, "JPEG")
    found = look(tmp_path, out.getvalue(), "a.jpg")
    assert found.state == "unsupported"
    assert "too large to look at" in str(found.state_reason)
    half = look(tmp_path, out.getvalue()[: len(out.getvalue()) // 2], "a.jpg")
    assert half.state == "damaged"


def test_every_state_has_its_words() -> None:
    """A state that no face names would be shown as nothing."""
    assert set(STATE_COUNTS) == set(STATES)
    assert set(STATE_BADGES) == {*STATES} - {"complete"}


# --- whole, though it does not look so ----------------------------------------------------


@pytest.mark.parametrize(
    ("container_format", "codec", "pixels", "sound"),
    [
        ("avi", "mpeg4", "yuv420p", None),
        ("avi", "mjpeg", "yuvj420p", "pcm_s16le"),
        ("matroska", "libx264", "yuv420p", None),
        ("flv", "libx264", "yuv420p", None),
        ("asf", "wmv2", "yuv420p", None),
        ("mpegts", "libx264", "yuv420p", None),
    ],
)
def test_clip_written_through_a_pipe_is_whole(
    container_format: str, codec: str, pixels: str, sound: str | None, tmp_path: Path
) -> None:
    """Nobody went back to fill in its lengths; cut, it is still told."""
    data = clip(container_format, codec, pixels=pixels, sound=sound, is_piped=True)
    found = look(tmp_path, data, "a.avi")
    assert (found.state, found.state_reason) == ("complete", None)
    assert found.duration_s == pytest.approx(1.2, abs=0.1)
    assert look(tmp_path, data[: len(data) // 2 - 3], "a.avi").state in ("partial", "damaged")


def test_fragmented_clip_is_whole(tmp_path: Path) -> None:
    """Its index begins empty, and comes in pieces."""
    data = clip("mp4", options=(("movflags", "frag_keyframe+empty_moov"),))
    assert look(tmp_path, data, "a.mp4").state == "complete"
    assert look(tmp_path, data[: len(data) * 2 // 3], "a.mp4").state == "partial"


def foreign(where: str) -> bytes:
    """Return a clip with bytes that are none of its frames."""
    data, junk = dav(), b"HTTP/1.0 200 OK\r\n\r\n" * 50
    middle = list(dhav.frames(data))[15].offset
    return {
        "before": junk + data,
        "zeros before": bytes(5000) + data,
        "between": data[:middle] + junk + data[middle:],
        "behind": data + bytes(700),
    }[where]


@pytest.mark.parametrize("where", ["before", "zeros before", "between", "behind"])
def test_dav_with_foreign_bytes_is_whole(where: str, tmp_path: Path) -> None:
    """All its frames are there: catalog, door and conversion see each of them."""
    data = foreign(where)
    found = look(tmp_path, data, "a.dav", 3)
    assert (found.state, found.duration_s, found.fps) == ("complete", 3.0, 10.0)
    assert found.camera_clock == START
    assert contents_of(io.BytesIO(data), "a.dav").says in ("unbroken", "nothing")
    clips.remux(tmp_path / "a.dav", tmp_path / "made.mp4")
    assert inspect_file(tmp_path / "made.mp4", "clip").duration_s == pytest.approx(3.0, abs=0.1)
    assert look(tmp_path, data[: len(data) // 2], "a.dav").state == "partial"


def test_stream_without_a_rate_fills_the_time_of_its_name(tmp_path: Path) -> None:
    """Motion JPEG tells no rate: 30 pictures of 6 seconds are 5 a second."""
    found = look(tmp_path, jpegs(), "a.mjpeg", 6.0)
    assert (found.state, found.fps, found.duration_s) == ("complete", 5.0, 6.0)
    assert found.frames[-1].offset_s < 6


# --- by content, whatever the name says ---------------------------------------------------


@pytest.mark.parametrize(
    ("data", "name", "codec"),
    [
        (lambda: picture("JPEG"), "a.mp4", "jpeg"),
        (lambda: picture("PNG"), "a.dav", "png"),
        (lambda: picture("WEBP"), "a.jpg", "webp"),
        (lambda: clip("mp4"), "a.avi", "h264"),
        (lambda: clip("mp4"), "a.dav", "h264"),
        (lambda: clip("mp4"), "a.jpg", "h264"),
        (lambda: clip("h264"), "a.dav", "h264"),
        (dav, "a.mp4", "h264"),
        (jpegs, "a.avi", "mjpeg"),
    ],
)
def test_contents_decide(data: Callable[[], bytes], name: str, codec: str, tmp_path: Path) -> None:
    """What is in the file is read; its codec tells faces how to show it."""
    found = look(tmp_path, data(), name)
    assert (found.state, found.codec, corners(found)) == ("complete", codec, "RGBW")
    assert is_moving("snapshot", found.codec) == (codec in ("h264", "mjpeg"))


# --- upright ------------------------------------------------------------------------------

# What stands in the corners once the scene (RGBW) is turned as EXIF counts it.
UPRIGHT = {1: "RGBW", 2: "GRWB", 3: "WBGR", 4: "BWRG", 5: "RBGW", 6: "BRWG", 7: "WGBR", 8: "GWRB"}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_picture_is_upright(orientation: int, format_name: str, tmp_path: Path) -> None:
    """By its EXIF orientation: thumbnail and catalog's size are as browsers show it."""
    data = picture(format_name, orientation=orientation)
    found = look(tmp_path, data, "a.jpg")
    assert corners(found) == UPRIGHT[orientation]
    assert (found.width, found.height) == ((120, 160) if orientation >= 5 else (160, 120))
    assert thumbnail(found).size == (found.width, found.height)


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_clip_is_upright_in_catalog_and_copies(orientation: int, tmp_path: Path) -> None:
    """By its display matrix: key frames, size, and both ways of conversion agree."""
    source, made = tmp_path / "a.mov", tmp_path / "made.mp4"
    source.write_bytes(clip("mov", orientation=orientation))
    size = (120, 160) if orientation >= 5 else (160, 120)
    shown = [inspect_file(source, "clip")]
    for make in (clips.remux, clips.transcode):
        make(source, made)
        shown.append(inspect_file(made, "clip"))
    assert [corners(one) for one in shown] == [UPRIGHT[orientation]] * 3
    assert [(one.width, one.height) for one in shown] == [size] * 3
    # Browsers turn by quarters; mirrored clips are given to them encoded.
    assert clips.needs_remux(source) == (orientation in (2, 4, 5, 7))


# --- sorts of pictures and clips ----------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
@pytest.mark.parametrize("is_progressive", [False, True])
def test_sorts_of_jpeg(mode: str, is_progressive: bool, tmp_path: Path) -> None:
    """Grey, CMYK and progressive pictures are complete, and show what they hold."""
    found = look(tmp_path, picture("JPEG", mode=mode, is_progressive=is_progressive), "a.jpg")
    assert found.state == "complete"
    assert thumbnail(found).getpixel((150, 110)) > (200, 200, 200)


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    """A grey picture of 16 bits is not white all over."""
    out = io.BytesIO()
    steps = np.linspace(0, 65535, 160, dtype=np.uint16)
    Image.fromarray(np.tile(steps, (120, 1))).save(out, "PNG")
    found = look(tmp_path, out.getvalue(), "a.png")
    levels = [thumbnail(found).getpixel((at, 60))[0] for at in (4, 80, 155)]
    assert levels == pytest.approx([6, 128, 248], abs=4)


@pytest.mark.parametrize(
    ("made", "size"),
    [
        (lambda: clip("mp4", "libx265", pixels="yuv420p10le"), (160, 120)),
        (lambda: clip("mp4", pixels="yuv444p", size=(161, 121)), (161, 121)),
        (lambda: clip("mp4", pixels="yuv420p10le"), (160, 120)),
        (lambda: clip("mp4", frames=1), (160, 120)),
    ],
)
def test_sorts_of_clips(made: Callable[[], bytes], size: tuple[int, int], tmp_path: Path) -> None:
    """10 bits, odd sizes and a single picture are whole, and play everywhere when encoded."""
    found = look(tmp_path, made(), "a.mp4")
    assert (found.state, found.width, found.height) == ("complete", *size)
    clips.transcode(tmp_path / "a.mp4", tmp_path / "made.mp4")
    assert inspect_file(tmp_path / "made.mp4", "clip").codec == "h264"


def test_ten_bits_of_h264_are_encoded_for_browsers(tmp_path: Path) -> None:
    """Hardly any browser plays them, though the codec's name is the same."""
    source = tmp_path / "a.mp4"
    source.write_bytes(clip("mp4", pixels="yuv420p10le"))
    assert clips.needs_remux(source)
    clips.remux(source, tmp_path / "made.mp4")
    with av.open(str(tmp_path / "made.mp4")) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


def test_names_of_pictures_are_codecs() -> None:
    """Faces tell pictures by the codec that `inspection` gives them."""
    assert not any(is_moving("clip", name.lower()) for name in sniff.PICTURES)


def test_what_an_older_version_could_not_read_is_opened_again(tmp_path: Path) -> None:
    """Once, at the first run of a version that reads more: whole files lose the old verdict."""
    settings = fresh(tmp_path)
    assert settings.uploads is not None
    lay(small_picture(1), settings.uploads / at(0))
    lay(small_picture(2)[:-200], settings.uploads / at(1))
    run(settings)
    storage = Library.of(settings).storage
    _say_damaged_as_before(storage)
    assert set(Library.of(settings).media()["state"]) == {"damaged"}
    assert run(settings).opened == {"complete": 1, "partial": 1}
    after = Library.of(settings).media().sort_values("path")
    assert after["state"].tolist() == ["complete", "partial"]
    assert run(settings).opened == {}


def _say_damaged_as_before(storage: Storage) -> None:
    change = Catalog(storage).begin()
    for day in change.days():
        rows = change.read(day)
        assert rows is not None
        told = pa.array(["damaged"] * rows.num_rows)
        change.write(day, rows.set_column(rows.schema.get_field_index("state"), "state", told))
    change.commit()
    known = memory.load(storage)
    known.reading -= 1
    memory.save(storage, known)
