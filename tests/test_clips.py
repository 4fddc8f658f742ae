"""Clips that browsers play, and the cache that keeps them."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pano_analytics.errors import MediaError
from pano_analytics.formats import dhav
from pano_analytics.present import clips

ROOT = Path(__file__).resolve().parents[1]
MEDIA = ROOT.parent / "shared" / "media"
START = datetime(2026, 5, 17, 6, 30, 15)


def real(name: str) -> Path:
    """Return the path of a real camera file, or skip where none are at hand."""
    path = MEDIA / name
    if not path.exists():
        pytest.skip(f"the real camera file {name} is not on this machine")
    return path


@cache
def units(encoder: str, fps: int = 10, frames: int = 40) -> tuple[tuple[bytes, bool], ...]:
    """Return a scene with a moving block, 320x240, as Annex B units with their key marks."""
    context = av.CodecContext.create(encoder, "w")
    context.width, context.height, context.pix_fmt = 320, 240, "yuv420p"
    context.time_base, context.framerate = Fraction(1, fps), fps
    if encoder == "mpeg4":
        context.options, context.gop_size = {}, fps
    else:
        context.options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(fps)}
    found = []
    for index in range(frames):
        scene = np.full((240, 320, 3), 60, np.uint8)
        scene[100:140, 5 * index : 5 * index + 40] = 220
        picture = av.VideoFrame.from_ndarray(scene, "rgb24")
        picture.pts = index
        found += [(bytes(unit), unit.is_keyframe) for unit in context.encode(picture)]
    return tuple(found + [(bytes(unit), unit.is_keyframe) for unit in context.encode(None)])


def dav(codec: str = "h264", *, sound: bool = False, step_s: float = 0, frames: int = 40) -> bytes:
    """Return a 4-second `.dav`; with A-law sound, or a clock set by `step_s` in its middle."""
    encoder = {"h264": "libx264", "hevc": "libx265"}[codec]
    parts = []
    for number, (payload, is_key) in enumerate(units(encoder)[:frames]):
        clock = START + timedelta(seconds=number / 10 + (step_s if number >= 20 else 0))
        ms = number * 100
        parts.append(
            dhav.video_frame(
                payload,
                number=number,
                clock=clock,
                ms=ms,
                is_key=is_key,
                codec=codec,
                fps=10,
                width=320,
                height=240,
            )
        )
        if sound:
            parts.append(
                dhav.audio_frame(
                    b"\xd5\x80" * 400, number=number, clock=clock, ms=ms, codec="pcm_alaw"
                )
            )
    return b"".join(parts)


@cache
def mp4(sound: str | None = None, encoder: str = "libx264", container_format: str = "mp4") -> bytes:
    """Return 4 seconds that grow brighter, pictures reordered, with a sound codec or none."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", container_format) as container:
        video = container.add_stream(encoder, rate=10)
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        # An AVI cannot tell that pictures were reordered, so no camera does it there.
        reordered = "0" if container_format == "avi" else "2"
        video.options = {"preset": "ultrafast", "g": "10", "bf": reordered}
        audio = container.add_stream(sound, rate=8000, layout="mono") if sound else None
        for index in range(40):
            scene = np.full((240, 320, 3), 60 + 4 * index, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(scene, "rgb24")))
        container.mux(video.encode(None))
        if audio:
            hum = av.AudioFrame.from_ndarray(np.zeros((1, 32000), np.int16), "s16", "mono")
            hum.sample_rate = 8000
            container.mux(audio.encode(hum))
            container.mux(audio.encode(None))
    return buffer.getvalue()


@dataclass
class Played:
    """What a player finds in an MP4."""

    codec: str
    tag: str
    sound: str | None
    start_s: float
    duration_s: float
    pictures: int
    is_index_first: bool


def play(path: Path) -> Played:
    """Decode every picture of an MP4, in rising order of time."""
    data = path.read_bytes()
    with av.open(str(path)) as container:
        assert container.format.name.startswith("mov")
        video = container.streams.video[0]
        times = [picture.time for picture in container.decode(video)]
        assert times == sorted(set(times))
        sounds = [audio.codec_context.name for audio in container.streams.audio]
        return Played(
            video.codec_context.name,
            video.codec_context.codec_tag,
            sounds[0] if sounds else None,
            times[0],
            float(video.duration * video.time_base),
            len(times),
            data.index(b"moov") < data.index(b"mdat"),
        )


def put(folder: Path, data: bytes, name: str = "source.dav") -> Path:
    """Write `data` as an upload."""
    path = folder / name
    path.write_bytes(data)
    return path


# --- packing anew -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec", "tag", "sound", "duration_s", "pictures"),
    [
        ("dav/amcrest_h264_aac.dav", "h264", "avc1", "aac", 25.1, 251),
        ("dav/amcrest_h264_video_only.dav", "h264", "avc1", None, 25.1, 251),
        ("dav/ntp_back.dav", "h264", "avc1", None, 25.1, 251),
        ("dav/trunc_half.dav", "h264", "avc1", None, 10.1, 101),
        ("dav/hevc.dav", "hevc", "hvc1", None, 10.0, 100),
        ("offline_h265.mp4", "hevc", "hvc1", None, 1.0, 30),
        ("1591028951.mp4", "h264", "avc1", "aac", 25.1, 251),
    ],
)
def test_real_clip_is_packed_anew(
    name: str,
    codec: str,
    tag: str,
    sound: str | None,
    duration_s: float,
    pictures: int,
    tmp_path: Path,
) -> None:
    """Every picture is kept, from 0, at its real length, under the tag players want."""
    clips.remux(real(name), tmp_path / "a.mp4")
    played = play(tmp_path / "a.mp4")
    assert (played.codec, played.tag, played.sound) == (codec, tag, sound)
    assert (played.start_s, played.pictures, played.is_index_first) == (0, pictures, True)
    assert played.duration_s == pytest.approx(duration_s, abs=0.15)


def test_real_stub_leaves_no_file(tmp_path: Path) -> None:
    """A stub gives an error in words, and an older answer does not survive it."""
    target = put(tmp_path, b"stale", "a.mp4")
    with pytest.raises(MediaError, match="no complete picture"):
        clips.remux(real("dav/stub_156.dav"), target)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("step_s", [0, -3600, 3600, 0.95, -0.35])
def test_clock_step_neither_breaks_nor_stretches(codec: str, step_s: float, tmp_path: Path) -> None:
    """Set back or ahead in the middle, the clock changes the clip's length by little."""
    clips.remux(put(tmp_path, dav(codec, step_s=step_s)), tmp_path / "a.mp4")
    played = play(tmp_path / "a.mp4")
    assert (played.codec, played.start_s, played.pictures) == (codec, 0, 40)
    assert played.duration_s == pytest.approx(4.0, abs=1.2)


@pytest.mark.parametrize("make", [clips.remux, clips.transcode])
def test_sound_that_mp4_cannot_hold_is_encoded(
    make: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    """A-law comes out as AAC of the same length."""
    make(put(tmp_path, dav(sound=True)), tmp_path / "a.mp4")
    assert play(tmp_path / "a.mp4").sound == "aac"
    with av.open(str(tmp_path / "a.mp4")) as container:
        audio = container.streams.audio[0]
        assert audio.rate == 8000
        assert float(audio.duration * audio.time_base) == pytest.approx(4.0, abs=0.3)


def test_sound_by_another_clock_begins_with_the_pictures(tmp_path: Path) -> None:
    """Sound that seems an hour away from its pictures does not make an hour's clip."""
    parts = []
    for header in dhav.frames(data := dav(sound=True)):
        frame = data[header.offset : header.offset + header.length]
        late = START + timedelta(hours=1, milliseconds=100 * header.number)
        parts.append(frame if header.is_video else dhav.shift_clock(frame, late))
    clips.remux(put(tmp_path, b"".join(parts)), tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.duration / 1e6 == pytest.approx(4.0, abs=0.3)
        assert len(container.streams) == 2


def test_stream_cut_at_its_front_begins_with_a_key_frame(tmp_path: Path) -> None:
    """A transport stream may begin anywhere; what goes before a key frame shows nothing."""
    data = mp4(None, "libx264", "mpegts")
    clips.remux(put(tmp_path, data[188 * (len(data) // 188 // 3) :]), tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert next(iter(container.demux(video=0))).is_keyframe


@pytest.mark.parametrize("container_format", ["matroska", "avi", "mpegts"])
def test_other_containers_are_packed_anew(container_format: str, tmp_path: Path) -> None:
    """Foscam's Matroska and old AVIs play too, reordered pictures in their right order."""
    data = mp4(None, "libx264", container_format)
    clips.remux(put(tmp_path, data), tmp_path / "a.mp4")
    played = play(tmp_path / "a.mp4")
    assert (played.codec, played.pictures) == ("h264", 40)
    assert played.duration_s == pytest.approx(4.0, abs=0.11)
    with av.open(str(tmp_path / "a.mp4")) as container:
        light = [int(picture.to_ndarray()[0, 0]) for picture in container.decode(video=0)]
    assert light == sorted(light)


def test_partial_clip_gives_what_there_is(tmp_path: Path) -> None:
    """A clip cut in a picture plays up to the picture before."""
    data = dav()
    third = list(dhav.frames(data))[30]
    clips.remux(put(tmp_path, data[: third.offset + 40]), tmp_path / "a.mp4")
    assert play(tmp_path / "a.mp4").pictures == 30


def test_clip_that_begins_without_a_key_frame(tmp_path: Path) -> None:
    """Pictures that nothing decodes are left out; the rest plays from its first key frame."""
    data = dav()
    clips.remux(put(tmp_path, data[list(dhav.frames(data))[5].offset :]), tmp_path / "a.mp4")
    assert play(tmp_path / "a.mp4").pictures == 30


@pytest.mark.parametrize(
    "data", [b"", b"no clip", b"DHAV" + bytes(20), b"\0\0\0\x18ftypisom" + bytes(50), bytes(9999)]
)
@pytest.mark.parametrize("make", [clips.remux, clips.transcode])
def test_no_clip_is_an_error_and_leaves_nothing(
    make: Callable[[Path, Path], None], data: bytes, tmp_path: Path
) -> None:
    """Whatever is no clip is an error that names it, without a file or a leftover."""
    source, target = put(tmp_path, data, "what.dav"), put(tmp_path, b"stale", "a.mp4")
    with pytest.raises(MediaError, match=r"what\.dav cannot be played"):
        make(source, target)
    assert list(tmp_path.iterdir()) == [source]


def test_missing_clip_is_an_error(tmp_path: Path) -> None:
    """A clip that was culled is an error, and so is asking what is in it."""
    for ask in (lambda p: clips.remux(p, tmp_path / "a.mp4"), clips.codec_of, clips.needs_remux):
        with pytest.raises(MediaError):
            ask(tmp_path / "gone.dav")


@given(
    st.sampled_from([dav, lambda: dav("hevc"), lambda: dav(sound=True), lambda: mp4("aac")]),
    st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=64)), max_size=6
    ),
    st.floats(0.02, 1),
)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)
def test_any_bytes_give_a_playable_file_or_an_error(
    tmp_path: Path, make: Callable[[], bytes], changes: list[tuple[float, bytes]], share: float
) -> None:
    """Cut or overwritten, a clip becomes an MP4 that opens with pictures, or a MediaError."""
    data = bytearray(make())
    for place, change in changes:
        data[int(place * len(data)) : int(place * len(data)) + len(change)] = change
    target = tmp_path / "a.mp4"
    try:
        clips.remux(put(tmp_path, bytes(data[: int(share * len(data))])), target)
    except MediaError:
        assert not target.exists()
    else:
        with av.open(str(target)) as container:
            video = container.streams.video[0]
            assert video.start_time >= 0
            keys = (packet for packet in container.demux(video) if packet.is_keyframe)
            assert any(shows(packet) for packet in keys)


def shows(packet: av.Packet) -> bool:
    """Return whether a packet decodes on its own."""
    context = packet.stream.codec_context
    try:
        return bool(context.decode(packet) or context.decode(None))
    except av.FFmpegError:
        return False
    finally:
        context.flush_buffers()


def spoilt(number: int, payload: bytes) -> bytes:
    """Return the first picture with its headers overwritten, as a bad upload may leave them."""
    noise = bytes.fromhex("fffe0000acffff00ffff36030010ffff0a08")
    place = payload.index(b"\x42\x01") + 3 if number == 0 else len(payload)
    return payload[:place] + noise[: max(0, len(payload) - place)] + payload[place + len(noise) :]


@pytest.mark.parametrize(("frames", "pictures"), [(10, None), (40, 30)])
def test_broken_headers_cost_only_their_own_pictures(
    frames: int, pictures: int | None, tmp_path: Path
) -> None:
    """A clip begins at its first key frame that decodes, and without one it is an error."""
    parts = [
        dhav.video_frame(
            spoilt(number, payload),
            number=number,
            clock=START + timedelta(seconds=number / 10),
            ms=100 * number,
            is_key=is_key,
            codec="hevc",
            fps=10,
            width=320,
            height=240,
        )
        for number, (payload, is_key) in enumerate(units("libx265")[:frames])
    ]
    source, target = put(tmp_path, b"".join(parts)), tmp_path / "a.mp4"
    if pictures is None:
        with pytest.raises(MediaError, match="no complete picture"):
            clips.remux(source, target)
        assert not target.exists()
    else:
        clips.remux(source, target)
        assert play(target).pictures == pictures


# --- encoding anew ------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["dav/hevc.dav", "offline_h265.mp4"])
def test_real_hevc_is_encoded_for_every_browser(source: str, tmp_path: Path) -> None:
    """HEVC comes out as H.264 with chroma at half the size, of the same length."""
    clips.transcode(real(source), tmp_path / "a.mp4")
    before, played = clips.codec_of(real(source)), play(tmp_path / "a.mp4")
    assert (before, played.codec, played.is_index_first) == ("hevc", "h264", True)
    clips.remux(real(source), tmp_path / "b.mp4")
    packed = play(tmp_path / "b.mp4")
    assert played.pictures == packed.pictures
    assert played.duration_s == pytest.approx(packed.duration_s, abs=0.05)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


def test_encoded_clip_shows_the_same_scene(tmp_path: Path) -> None:
    """The block stands where it stood, at the second where it stood there."""
    clips.transcode(put(tmp_path, dav("hevc", step_s=-3600)), tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as container:
        pictures = [(p.time, p.to_ndarray(format="gray")) for p in container.decode(video=0)]
    assert len(pictures) == 40
    for index in (0, 15, 39):
        time_s, light = pictures[index]
        assert time_s == pytest.approx(index / 10, abs=0.15)
        bright = np.flatnonzero(light[120] > 150)
        assert bright[0] == pytest.approx(5 * index, abs=3)


# --- what browsers play -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "answer"),
    [
        ("h264", True),
        ("av1", True),
        ("hevc", "maybe"),
        ("mpeg4", False),
        ("mjpeg", False),
        (None, False),
    ],
)
def test_browser_plays(codec: str | None, answer: object) -> None:
    """H.264 plays everywhere, HEVC in some, what old cameras wrote in none."""
    assert clips.browser_plays(codec) == answer


@pytest.mark.parametrize(
    ("make", "answer"),
    [
        (mp4, False),
        (lambda: mp4("aac"), False),
        (dav, True),
        (lambda: dav("hevc"), True),
        (lambda: mp4(None, "libx265"), True),
        (lambda: mp4("alac"), True),
        (lambda: mp4()[:-60], True),
    ],
)
def test_needs_remux(make: Callable[[], bytes], answer: bool, tmp_path: Path) -> None:
    """Only a whole MP4 of H.264, silent or with sound that browsers hear, may go as it is."""
    assert clips.needs_remux(put(tmp_path, make())) is answer


# --- the cache ----------------------------------------------------------------------------


def cache_in(folder: Path, limit_bytes: int = 1 << 30) -> clips.ClipCache:
    """Return a cache beside the uploads."""
    return clips.ClipCache(folder / "clips", limit_bytes)


def kept_in(folder: Path) -> list[str]:
    """Return the names of the clips kept."""
    return sorted(path.name for path in (folder / "clips").glob("*.mp4"))


def test_clip_is_made_once(tmp_path: Path) -> None:
    """The second request gets the same file, unchanged."""
    source, kept = put(tmp_path, dav()), cache_in(tmp_path)
    first = kept.playable(source, "a1")
    made = first.stat()
    assert kept.playable(source, "a1") == first
    assert (first.stat().st_ino, first.stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
    assert play(first).pictures == 40
    assert kept_in(tmp_path) == [first.name]


def test_mp4_that_plays_is_given_as_it_is(tmp_path: Path) -> None:
    """Nothing is copied where the upload itself will do, asked for H.264 or not."""
    source = put(tmp_path, mp4("aac"), "a.mp4")
    assert cache_in(tmp_path).playable(source, "a1") == source
    assert cache_in(tmp_path).playable(source, "a1", transcode=True) == source


def test_replaced_clip_is_made_anew(tmp_path: Path) -> None:
    """A clip uploaded again under the same name is another version."""
    kept = cache_in(tmp_path)
    first = kept.playable(put(tmp_path, dav()), "a1")
    second = kept.playable(put(tmp_path, dav(frames=20)), "a1")
    assert (play(first).pictures, play(second).pictures) == (40, 20)


def test_transcode_only_where_it_helps(tmp_path: Path) -> None:
    """HEVC is encoded when asked for, and kept beside the packed one; H.264 never is."""
    kept = cache_in(tmp_path)
    hevc = put(tmp_path, dav("hevc"), "hevc.dav")
    assert play(kept.playable(hevc, "a1")).codec == "hevc"
    assert play(kept.playable(hevc, "a1", transcode=True)).codec == "h264"
    h264 = put(tmp_path, dav(), "h264.dav")
    clips.remux(h264, tmp_path / "packed.mp4")
    made = kept.playable(h264, "b2", transcode=True)
    assert made.read_bytes() == (tmp_path / "packed.mp4").read_bytes()


def test_least_recently_used_goes_first(tmp_path: Path) -> None:
    """Above the limit the clip used longest ago goes, and never the one just made."""
    one = cache_in(tmp_path).playable(put(tmp_path, dav(), "a.dav"), "a1")
    kept = cache_in(tmp_path, limit_bytes=int(one.stat().st_size * 2.5))
    two = kept.playable(put(tmp_path, dav(), "b.dav"), "b2")
    for path, age_s in ((one, 100), (two, 200)):
        os.utime(path, (time.time() - age_s, path.stat().st_mtime))
    assert kept.playable(tmp_path / "b.dav", "b2") == two  # used now, so no longer the oldest
    three = kept.playable(put(tmp_path, dav(), "c.dav"), "c3")
    assert kept_in(tmp_path) == sorted((two.name, three.name))
    tiny = cache_in(tmp_path, limit_bytes=1)
    four = tiny.playable(put(tmp_path, dav(), "d.dav"), "d4")
    assert kept_in(tmp_path) == [four.name]


def test_leftover_of_a_killed_run_goes(tmp_path: Path) -> None:
    """A part that nobody finished goes after a while; a fresh one may still be written."""
    kept = cache_in(tmp_path)
    kept.folder.mkdir()
    old, fresh = kept.folder / ".old.mp4.part", kept.folder / ".fresh.mp4.part"
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    kept.playable(put(tmp_path, dav()), "a1")
    assert (old.exists(), fresh.exists()) == (False, True)


def test_failure_is_told_each_time(tmp_path: Path) -> None:
    """What cannot be played is an error again and again, and the cache stays empty."""
    kept = cache_in(tmp_path)
    for _ in range(2):
        with pytest.raises(MediaError, match="cannot be played"):
            kept.playable(put(tmp_path, dav()[:156]), "a1")
    assert kept_in(tmp_path) == []


@pytest.mark.parametrize("key", ["../../escape", "a/b", "", "ü\udcff", "x" * 5000])
def test_any_key_stays_in_the_folder(key: str, tmp_path: Path) -> None:
    """A key names a clip and never a place."""
    kept = cache_in(tmp_path)
    assert kept.playable(put(tmp_path, dav()), key).parent == kept.folder


def test_threads_make_a_clip_once(tmp_path: Path) -> None:
    """Many requests at once get one file, made once."""
    source, kept = put(tmp_path, dav("hevc")), cache_in(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: inode(kept.playable(source, "a1")), range(16)))
    assert len(made) == 1


def inode(path: Path) -> int:
    """Return what tells one making of a file from another."""
    return path.stat().st_ino


def test_processes_make_a_clip_once(tmp_path: Path) -> None:
    """Two servers on one library wait for each other."""
    source = put(tmp_path, dav("hevc"))
    code = (
        "import sys; from pathlib import Path; from pano_analytics.present.clips import ClipCache\n"
        "made = ClipCache(Path(sys.argv[1]), 1 << 30).playable(Path(sys.argv[2]), 'a1',"
        " transcode=True)\n"
        "print(made.stat().st_ino)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "clips"), str(source)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) for _ in range(3)]
    answers = {run.communicate()[0].strip() for run in runs}
    assert len(answers) == 1
    assert b"" not in answers
