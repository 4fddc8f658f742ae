"""The bytes of DHAV clips and of the clock in Amcrest snapshots."""

from __future__ import annotations

import io
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pano_analytics.errors import MediaError
from pano_analytics.formats import dhav

MEDIA = Path(__file__).resolve().parents[1].parent / "shared" / "media"
WHOLE = ["amcrest_h264_aac.dav", "amcrest_h264_video_only.dav", "hevc.dav", "ntp_back.dav"]
START = datetime(2026, 11, 1, 23, 59, 58)

clocks = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2063, 12, 31, 23, 59, 59))


def real(name: str) -> bytes:
    """Return a real camera file, or skip where none are at hand."""
    path = MEDIA / "dav" / name if name.endswith(".dav") else MEDIA / name
    if not path.exists():
        pytest.skip(f"the real camera file {name} is not on this machine")
    return path.read_bytes()


def encode(fps: int = 10, frames: int = 40, codec: str = "libx264") -> list[tuple[bytes, bool]]:
    """Return a small moving picture, 320x240, as Annex B units with their key marks."""
    context = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = 320, 240, "yuv420p"
    context.time_base, context.framerate = Fraction(1, fps), fps
    context.options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(fps)}
    context.thread_count = 1
    units = []
    for index in range(frames):
        picture = np.full((240, 320, 3), 60 + index, np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        frame.pts = index
        units += [(bytes(unit), unit.is_keyframe) for unit in context.encode(frame)]
    return units + [(bytes(unit), unit.is_keyframe) for unit in context.encode(None)]


@pytest.fixture(scope="module")
def clip() -> bytes:
    """Return a 4-second clip that our own writer made across midnight."""
    return dhav.video_clip(encode(), start=START, fps=10, width=320, height=240)


@given(clocks)
def test_clock_survives_packing(clock: datetime) -> None:
    """Every second from 2000 to 2063 comes back from its 32-bit word."""
    assert dhav.unpack_clock(dhav.pack_clock(clock)) == clock.replace(microsecond=0)


@given(st.integers(0, 0xFFFFFFFF))
def test_any_word_is_a_clock_or_none(word: int) -> None:
    """A word is either a moment that packs to the same word, or None."""
    clock = dhav.unpack_clock(word)
    assert clock is None or dhav.pack_clock(clock) == word


@pytest.mark.parametrize("year", [1999, 2064])
def test_clock_outside_its_range_is_an_error(year: int) -> None:
    """Six bits hold the years 2000 to 2063, and the error says so."""
    with pytest.raises(MediaError, match="2000 to 2063"):
        dhav.pack_clock(datetime(year, 1, 1))


@pytest.mark.parametrize("name", WHOLE)
def test_real_clip_is_rebuilt_byte_for_byte(name: str) -> None:
    """Frames taken out of a real clip and written by us give the same bytes."""
    data = real(name)
    codec, width, height = ("hevc", 768, 576) if name == "hevc.dav" else ("h264", 640, 480)
    rebuilt = []
    for header in dhav.frames(data):
        clock, payload = header.clock, data[header.payload]
        assert clock is not None
        if header.is_video:
            rebuilt.append(
                dhav.video_frame(
                    payload,
                    number=header.number,
                    clock=clock,
                    ms=header.ms,
                    is_key=header.is_key,
                    codec=codec,
                    fps=10,
                    width=width,
                    height=height,
                )
            )
        else:
            rebuilt.append(
                dhav.audio_frame(payload, number=header.number, clock=clock, ms=header.ms)
            )
    assert b"".join(rebuilt) == data


@pytest.mark.parametrize(
    ("name", "is_whole"),
    [*((name, True) for name in WHOLE), ("trunc_half.dav", False), ("stub_156.dav", False)],
)
def test_tail_tells_whole_from_cut(name: str, is_whole: bool) -> None:
    """The last 8 bytes of a whole clip point back to its last frame's header."""
    data = real(name)
    assert dhav.is_whole_tail(data) is is_whole
    assert all(header.is_whole for header in dhav.frames(data)) is is_whole


def test_tail_that_does_not_reach_the_frame_is_no_proof(clip: bytes) -> None:
    """A tail shorter than the last frame proves nothing; one of its length does."""
    length = dhav.last_frame_bytes(clip[-8:])
    assert length is not None
    assert dhav.is_whole_tail(clip[-length:])
    assert not dhav.is_whole_tail(clip[-length + 1 :])


@pytest.mark.parametrize(("encoder", "codec"), [("libx264", "h264"), ("libx265", "hevc")])
def test_what_we_write_ffmpeg_reads(encoder: str, codec: str) -> None:
    """A clip of ours opens as DHAV with its codec, size, rate, start and every frame."""
    units = encode(codec=encoder, frames=30)
    data = dhav.video_clip(units, start=START, fps=10, width=320, height=240, codec=codec)
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        assert (container.format.name, stream.codec_context.name) == ("dhav", codec)
        assert stream.average_rate == 10
        pictures = list(container.decode(stream))
    assert [(p.width, p.height) for p in pictures] == [(320, 240)] * 30
    assert pictures[0].time == pytest.approx((START - datetime(1970, 1, 1)).total_seconds())
    assert pictures[-1].time - pictures[0].time == pytest.approx(2.9)


def test_audio_that_we_write_ffmpeg_reads(clip: bytes) -> None:
    """A-law frames of ours come out as one A-law stream at 8 kHz."""
    sound = b"".join(
        dhav.audio_frame(b"\xd5" * 320, number=n, clock=START, ms=n * 40, codec="pcm_alaw")
        for n in range(25)
    )
    with av.open(io.BytesIO(clip + sound)) as container:
        packets = [bytes(p) for p in container.demux() if p.stream.type == "audio" and p.size]
        stream = container.streams.audio[0]
        assert (stream.codec_context.name, stream.codec_context.sample_rate) == ("pcm_alaw", 8000)
    assert packets == [b"\xd5" * 320] * 25


@given(start=clocks.filter(lambda clock: clock.year < 2063))
def test_shifted_clip_begins_when_told(clip: bytes, start: datetime) -> None:
    """Only clocks and checksums change, every frame moves alike, and back gives the same bytes."""
    shifted = dhav.shift_clock(clip, start)
    before, after = list(dhav.frames(clip)), list(dhav.frames(shifted))
    shift = start.replace(microsecond=0) - START
    assert [h.clock for h in after] == [h.clock + shift for h in before if h.clock]
    assert all(
        sum(shifted[h.offset : h.offset + 23]) & 255 == shifted[h.offset + 23] for h in after
    )
    assert dhav.shift_clock(shifted, START) == clip


def test_real_clip_with_a_step_keeps_it_when_shifted() -> None:
    """A clock that stepped back inside the clip still steps back by as much."""
    data = real("ntp_back.dav")
    clocks = [header.clock for header in dhav.frames(dhav.shift_clock(data, START))]
    known = [clock for clock in clocks if clock is not None]
    assert known[0] == START
    assert (max(known) - min(known)).total_seconds() > 3500


@pytest.mark.parametrize("data", [b"", b"DHAV", b"no clip at all" * 10])
def test_shifting_what_is_no_clip_is_an_error(data: bytes) -> None:
    """Without a frame there is no clock to shift."""
    with pytest.raises(MediaError, match="no such frame"):
        dhav.shift_clock(data, START)


@given(st.binary(max_size=300), st.integers(0, 5000))
def test_garbage_between_frames_is_skipped(clip: bytes, noise: bytes, cut: int) -> None:
    """Frames behind garbage are found, and of a cut clip only the last is not whole."""
    found = list(dhav.frames(noise.replace(b"DHAV", b"") + clip))
    assert [h.number for h in found if h.is_whole] == list(range(40))
    rest = list(dhav.frames(clip[:cut]))
    assert all(header.is_whole for header in rest[:-1])


def test_word_in_the_noise_is_no_frame(clip: bytes) -> None:
    """The four letters alone, before a type that no frame has, begin nothing."""
    stranger = dhav.HEADER.pack(b"DHAV", 7, 0, 0, 0, 99, 40, 0, 0, 0, 0)
    found = list(dhav.frames(stranger + b"DHAV" + clip))
    assert [header.number for header in found] == list(range(40))


def test_frame_with_a_wrong_length_hides_no_other(clip: bytes) -> None:
    """A length that leads nowhere costs one frame, not all behind it."""
    broken = bytearray(clip)
    tenth = list(dhav.frames(clip))[10]
    broken[tenth.offset + 12 : tenth.offset + 16] = (len(clip) - 100).to_bytes(4, "little")
    found = list(dhav.frames(broken))
    assert [header.number for header in found] == list(range(40))
    assert [header.number for header in found if not header.is_whole] == [10]


@pytest.mark.parametrize("name", ["1591027084.jpg", "1593216147.jpg"])
def test_real_snapshot_is_rebuilt_byte_for_byte(name: str) -> None:
    """A real snapshot stripped of comments and trailer gets exactly them back."""
    data = real(name)
    comment = Image.open(io.BytesIO(data)).info["comment"]
    clock = dhav.read_comment(comment)
    assert clock is not None
    assert dhav.jpeg_comment(clock, int.from_bytes(comment[20:22], "little")) == comment
    first = data.index(b"\xff\xfe")
    plain = data[:first] + data[first + 4096 + 256 : -8]
    rebuilt = bytearray(dhav.camera_jpeg(plain, clock))
    place = data.index(b"DHAV\xfb")
    rebuilt[place : place + 252] = comment  # its millisecond counter is the camera's own
    assert bytes(rebuilt) == data
    assert dhav.stamp_jpeg(data, clock) == data


@given(clocks)
def test_stamped_snapshot_tells_its_time(clock: datetime) -> None:
    """A picture dressed as a camera's, then stamped, is still a picture and tells the clock."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), "grey").save(buffer, "JPEG")
    stamped = dhav.stamp_jpeg(dhav.camera_jpeg(buffer.getvalue(), START), clock)
    with Image.open(io.BytesIO(stamped)) as picture:
        picture.load()
        assert dhav.read_comment(picture.info["comment"]) == clock.replace(microsecond=0)


@given(clocks, st.integers(0, 22), st.integers(1, 255))
def test_comment_with_a_changed_byte_tells_nothing(
    clock: datetime, place: int, change: int
) -> None:
    """The checksum covers the 23 bytes before it."""
    comment = bytearray(dhav.jpeg_comment(clock))
    comment[place] = (comment[place] + change) & 255
    assert dhav.read_comment(bytes(comment)) is None


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"\x89PNG\r\n"])
def test_stamping_what_has_no_comment_is_an_error(data: bytes) -> None:
    """There must be a camera's comment to set, and a picture to put one into."""
    with pytest.raises(MediaError):
        dhav.stamp_jpeg(data, START)
    with pytest.raises(MediaError):
        dhav.camera_jpeg(data, START)
