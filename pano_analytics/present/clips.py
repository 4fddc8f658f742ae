"""Clips for browsers: convert any camera's clip to MP4 on first request, and cache it.

Usually the pictures are only repackaged, which takes milliseconds. They are encoded again
if the caller asks for it, or if browsers cannot show them from an MP4. Times in a clip follow
`formats.demux.steady_times`, so a clip survives a change of its camera's clock.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol

from pano_analytics.errors import MediaError
from pano_analytics.formats import demux, sniff
from pano_analytics.formats.opening import open_media
from pano_analytics.formats.structure import verdict_of
from pano_analytics.formats.verdict import Undecodable, Unsupported
from pano_analytics.store.storage import sync_path
from pano_analytics.workers import confined

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

_PLAYED_EVERYWHERE = frozenset(("h264", "vp8", "vp9", "av1"))
_PLAYED_BY_SOME = frozenset(("hevc",))
# Codecs that browsers show from an MP4; all others are encoded as H.264.
_COPIED = frozenset(("h264", "hevc", "vp9", "av1"))
# Hardly any browser plays H.264 with more bits or finer chroma.
_PLAYED_PIXELS = frozenset(("yuv420p", "yuvj420p"))
# Mirrored clips are encoded the right way round: browsers treat mirroring differently.
_MIRRORED = frozenset((2, 4, 5, 7))
_TURNS = {
    2: ("hflip",),
    3: ("hflip", "vflip"),
    4: ("vflip",),
    5: ("transpose=cclock_flip",),
    6: ("transpose=clock",),
    7: ("transpose=clock_flip",),
    8: ("transpose=cclock",),
}
# Audio codecs that browsers play from an MP4; all others are encoded as AAC.
_PLAYED_AUDIO = frozenset(("aac", "mp3"))
_TICKS = 90_000
_TICK = Fraction(1, _TICKS)
# Coarser than the time base of any track, so that no two packets share a tick.
_SMALLEST_STEP = 12
_FARTHEST_START_S = 10.0
_LONGEST_DELAY_S = 2.0
_KEY_EVERY_S = 2
_LEFTOVER_S = 3600.0
_LOCKS = 64
# The memory limit per clip: encoding 12 megapixels takes 720 MB, the rest below 100 MB.
_MEMORY_BYTES = 1 << 30
_LIMIT_S, _CPU_S = 300.0, 60.0
_ENCODE_LIMIT_S, _ENCODE_CPU_S = 3600.0, 3600.0
_ENCODE_THREADS = 2


def browser_plays(codec: str | None) -> bool | Literal["maybe"]:
    """Return whether browsers play the video codec; "maybe" if only some do (HEVC)."""
    return "maybe" if codec in _PLAYED_BY_SOME else codec in _PLAYED_EVERYWHERE


def codec_of(path: Path) -> str:
    """Return FFmpeg's name of a clip's video codec. Raises MediaError."""
    return str(_confined(_codec_of, path))


def needs_remux(path: Path) -> bool:
    """Return whether a clip must be repackaged before a browser can play it.

    A complete MP4 with H.264, and with sound that browsers support, can be played as it is,
    wherever its index is: browsers request the ranges they need. Raises MediaError if it is
    not a clip.
    """
    return bool(_confined(_needs_remux, path))


def _codec_of(path: str) -> str:
    with _clip_at(Path(path)) as clip, clip.opened() as container:
        return _codec_name(_video(container))


def _codec_name(video: Any) -> str:
    # For AV1, the name of the decoder differs from that of the codec.
    return str(video.codec_context.codec.canonical_name)


def _needs_remux(path: str) -> bool:
    with _clip_at(Path(path)) as clip, clip.opened() as container:
        if clip.format_name != "mov" or clip.is_cut:
            return True
        sounds = {audio.codec_context.name for audio in _audios(container)}
        video = _video(container)
        if _codec_name(video) != "h264" or not sounds <= _PLAYED_AUDIO:
            return True
        return _needs_encoding(container, video)


def _must_encode(path: str) -> bool:
    """Return whether browsers would show copied pictures wrongly or not at all."""
    with _clip_at(Path(path)) as clip, clip.opened() as container:
        return _needs_encoding(container, _video(container))


def _needs_encoding(container: InputContainer, video: Any) -> bool:
    codec = _codec_name(video)
    if codec not in _COPIED:
        return True
    picture = _first_picture(container, video)
    if picture is None:
        return False
    if codec == "h264" and picture.format.name not in _PLAYED_PIXELS:
        return True
    return demux.orientation_of(picture) in _MIRRORED


def _first_picture(container: InputContainer, video: Any) -> Any:
    video.codec_context.thread_count = 1
    for packet in _packets(container):
        if packet.stream_index == video.index and packet.is_keyframe:
            picture = demux.decode_key(video.codec_context, packet)
            if picture is not None:
                return picture
    return None


def remux(source: Path, target: Path) -> None:
    """Repackage the clip `source` as an MP4 at `target` that starts at 0, index first.

    Pictures are copied if browsers show them from an MP4, else encoded as by `transcode`
    (MPEG-2, Motion JPEG, WMV, mirrored pictures, ...). Sound is copied too, or encoded as
    AAC. A partial clip results in the part that can be read. `target` is written completely
    or not at all, and an existing one is removed on failure. The clip is opened in a separate
    process with limits of memory and time. Raises MediaError.
    """
    _make(source, target, lambda: _transcode if _confined(_must_encode, source) else _remux)


def transcode(source: Path, target: Path) -> None:
    """Encode the clip `source` as H.264 and AAC into an MP4 that every browser plays.

    On a small machine this takes up to about the length of the clip. In all other respects
    it works like `remux`.
    """
    _make(source, target, lambda: _transcode)


# --- limits -------------------------------------------------------------------------------


def _confined(function: Callable[..., Any], source: Path, *arguments: str) -> Any:
    """Return `function(source, ...)`, called in a confined process. Raises MediaError."""
    is_encoding = function is _transcode
    try:
        return confined.call(
            function,
            str(source.absolute()),
            *arguments,
            limit_s=_ENCODE_LIMIT_S if is_encoding else _LIMIT_S,
            cpu_s=_ENCODE_CPU_S if is_encoding else _CPU_S,
            memory_bytes=_MEMORY_BYTES,
        )
    except confined.Ended as ended:
        raise MediaError(
            f"{source.name} cannot be played: converting it {ended}; it may be damaged"
        ) from ended


def _remux(source: str, part: str) -> None:
    _write_at(Path(source), Path(part), _Copied)


def _transcode(source: str, part: str) -> None:
    _write_at(Path(source), Path(part), _Pictures)


# --- reading ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Clip:
    """An open clip, which can be read more than once."""

    content: BinaryIO
    format_name: str
    is_cut: bool

    def opened(self) -> InputContainer:
        return demux.open_clip(self.content, self.format_name)


@contextmanager
def _clip_at(path: Path) -> Iterator[_Clip]:
    with open_media(path) as (content, status), _media_errors(path):
        format_name = sniff.format_of(content, status.st_size, "clip")
        verdict = verdict_of(content, format_name, status.st_size)
        yield _Clip(content, format_name, verdict.says == "cut")


@contextmanager
def _media_errors(path: Path) -> Iterator[None]:
    """Convert errors of FFmpeg and the disk to a MediaError that names the clip."""
    import av

    try:
        with _disk_errors(path):
            yield
    except (Undecodable, Unsupported) as error:
        raise MediaError(f"{path.name} cannot be played: {error}") from error
    except (av.FFmpegError, MemoryError, ValueError) as error:
        raise _unplayable(path, error) from error


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unplayable(path, error) from error


def _unplayable(path: Path, error: Exception) -> MediaError:
    if getattr(error, "errno", None) == errno.ENOSPC:
        return MediaError(
            f"not enough space to convert {path.name}: free some, or move the library to a larger "
            f"disk"
        )
    words = demux.error_words(error)
    return MediaError(f"{path.name} cannot be played: {words}; it may be cut off or damaged")


def _video(container: InputContainer) -> Any:
    for stream in container.streams.video:
        if stream.codec_context is not None:
            return stream
    raise Undecodable("it has no pictures in a known codec")


def _audios(container: InputContainer) -> list[Any]:
    return [stream for stream in container.streams.audio if stream.codec_context is not None]


# --- time ---------------------------------------------------------------------------------


@dataclass(slots=True)
class _Track:
    """The times of one stream's packets: as in the file in seconds, then `settled` in ticks."""

    fallback_s: float
    decoded_s: list[float | None] = field(default_factory=list)
    shown_s: list[float | None] = field(default_factory=list)
    settled: list[tuple[int, int]] = field(default_factory=list)
    period: int = 0

    def add(self, packet: Packet[Any]) -> None:
        tick_s = float(packet.time_base or 0)
        self.decoded_s.append(None if packet.dts is None else packet.dts * tick_s)
        self.shown_s.append(None if packet.pts is None else packet.pts * tick_s)

    def start_s(self) -> float:
        """Return the decoding time of the first packet, by the container's clock, in seconds."""
        return demux.filled_times(self._clock())[0]

    def settle(self, start_s: float) -> None:
        """Set the ticks (decoding, display) of each packet; the first is decoded at `start_s`."""
        clock = self._clock()
        steady_s, period_s = demux.steady_times(demux.filled_times(clock), self.fallback_s)
        self.period = max(_SMALLEST_STEP, round(period_s * _TICKS))
        last = -_SMALLEST_STEP
        for delay_s, new_s in zip(self._delays(clock, steady_s), steady_s, strict=True):
            last = max(round((start_s + new_s) * _TICKS), last + _SMALLEST_STEP)
            self.settled.append((last, last + round(delay_s * _TICKS)))

    def _delays(self, clock: Sequence[float | None], steady_s: list[float]) -> Iterator[float]:
        """Yield the seconds from decoding to display of each picture: they may be reordered."""
        moved = [new - own for own, new in zip(clock, steady_s, strict=True) if own is not None]
        moves = iter(moved)
        move_s = moved[0] if moved else 0.0
        for own_s, shown_s, new_s in zip(clock, self.shown_s, steady_s, strict=True):
            move_s = move_s if own_s is None else next(moves)
            delay_s = 0.0 if shown_s is None else shown_s + move_s - new_s
            yield min(max(delay_s, 0.0), _LONGEST_DELAY_S)

    def _clock(self) -> list[float | None]:
        return self.shown_s if all(s is None for s in self.decoded_s) else self.decoded_s


@dataclass(frozen=True, slots=True)
class _Plan:
    """The results of a first pass over a clip: times by stream, and where the pictures begin.

    `first` is the number of video packets before the first key frame that decodes on its
    own. `key` is that packet unless it is the very first one; its headers then replace those
    of the first packet, which FFmpeg uses for the whole clip. `turn` is the orientation of
    its picture (`demux.orientation_of`).
    """

    tracks: dict[int, _Track]
    first: int
    key: bytes
    turn: int


def _make_plan(container: InputContainer) -> _Plan:
    """Read a clip's packets and set their times, with the pictures starting at 0."""
    video = _video(container)
    # Starting a decoder's threads takes longer than decoding one picture.
    video.codec_context.thread_count = 1
    tracks = {video.index: _Track(demux.declared_period_s(video))}
    first, key, turn = 0, b"", demux.UPRIGHT
    for packet in _packets(container):
        if packet.stream_index == video.index and not key:
            picture = packet.is_keyframe and demux.decode_key(video.codec_context, packet)
            if picture:
                key, turn = bytes(packet), demux.orientation_of(picture)
            else:
                first += 1
        tracks.setdefault(packet.stream_index, _Track(0.1)).add(packet)
    if not key:
        raise Undecodable("it has no complete picture")
    _settle(tracks, video.index)
    return _Plan(tracks, first, key if first else b"", turn)


def _settle(tracks: dict[int, _Track], video: int) -> None:
    zero_s = tracks[video].start_s()
    for track in tracks.values():
        start_s = track.start_s() - zero_s
        # If sound seems to start much earlier or later, its clock is wrong.
        track.settle(start_s if abs(start_s) <= _FARTHEST_START_S else 0.0)


def _packets(container: InputContainer) -> Iterator[Packet[Any]]:
    """Yield the complete packets of a clip, as far as it can be read."""
    import av

    try:
        for number, packet in enumerate(demux.packets_of(container)):
            if number >= demux.MAX_PACKETS:
                return
            if not packet.is_corrupt:
                yield packet
    except (av.FFmpegError, EOFError):
        return


# --- writing ------------------------------------------------------------------------------


class _Sink(Protocol):
    """Writes the packets of one stream; `count` of them are in the MP4."""

    count: int

    def put(self, packet: Packet[Any], ticks: tuple[int, int], period: int) -> None: ...
    def finish(self) -> None: ...


class _Copied:
    """A stream whose packets are copied."""

    def __init__(
        self,
        output: OutputContainer,
        stream: Any,
        key: bytes = b"",
        turn: int = demux.UPRIGHT,
    ) -> None:
        self.output, self.count = output, 0
        self.stream: Any = output.add_stream_from_template(stream, opaque=True)
        if key and (stream.codec_context.extradata or b"\0").startswith(b"\0"):
            # The headers are in the stream, and the first ones may be broken: FFmpeg's muxer
            # spends minutes on headers that its decoder rejects at once.
            self.stream.codec_context.extradata = key
        if turn != demux.UPRIGHT:
            self.stream.set_display_matrix(demux.matrix_of(turn))
        if stream.codec_context.name == "hevc":
            # Apple's players accept HEVC in an MP4 only with this tag.
            self.stream.codec_context.codec_tag = "hvc1"

    def put(self, packet: Packet[Any], ticks: tuple[int, int], period: int) -> None:
        _set_time(packet, ticks, period)
        packet.stream = self.stream
        self.output.mux(packet)
        self.count += 1

    def finish(self) -> None:
        """Do nothing: copied packets are not buffered."""


class _Sound:
    """A stream of sound encoded as AAC, with continuous sample times."""

    def __init__(self, output: OutputContainer, stream: Any) -> None:
        self.output, self.context, self.count = output, stream.codec_context, 0
        self.rate = self.context.sample_rate
        self.stream: Any = output.add_stream("aac", rate=self.rate)
        self.stream.codec_context.layout = "mono" if self.context.channels == 1 else "stereo"
        self.next_sample: int | None = None

    def put(self, packet: Packet[Any], ticks: tuple[int, int], period: int) -> None:
        if self.next_sample is None:
            self.next_sample = max(0, ticks[0] * self.rate // _TICKS)
        for sound in self.context.decode(packet):
            sound.pts, sound.time_base = self.next_sample, Fraction(1, self.rate)
            self.next_sample += sound.samples
            self._mux(self.stream.encode(sound))

    def _mux(self, packets: list[Packet[Any]]) -> None:
        self.output.mux(packets)
        self.count += len(packets)

    def finish(self) -> None:
        if self.next_sample is not None:
            self._mux(self.stream.encode(None))


class _Pictures:
    """A stream of pictures encoded as H.264."""

    def __init__(self, output: OutputContainer, stream: Any, _key: bytes, turn: int) -> None:
        self.output, self.context, self.count = output, stream.codec_context, 0
        self.context.thread_count = _ENCODE_THREADS
        fps = Fraction(1 / demux.declared_period_s(stream)).limit_denominator(1000)
        self.stream: Any = output.add_stream("libx264", rate=fps)
        encoder = self.stream.codec_context
        # Chroma at half the size needs even dimensions.
        self.turns = _TURNS.get(turn, ())
        wide, high = demux.upright_size(self.context.width, self.context.height, turn)
        encoder.width, encoder.height = wide & ~1 or 2, high & ~1 or 2
        encoder.pix_fmt, encoder.time_base = "yuv420p", _TICK
        aspect = self.context.sample_aspect_ratio or Fraction(1)
        encoder.sample_aspect_ratio = 1 / aspect if turn >= 5 else aspect
        # Pictures for look-ahead and as references stay in memory, so keep their number small.
        encoder.options = {
            "preset": "veryfast",
            "crf": "23",
            "bf": "0",
            "rc-lookahead": "5",
            "threads": str(_ENCODE_THREADS),
        }
        encoder.gop_size = max(1, round(_KEY_EVERY_S * fps))
        self.last = -1

    def put(self, packet: Packet[Any], ticks: tuple[int, int], period: int) -> None:
        _set_time(packet, ticks, period)
        for picture in self.context.decode(packet):
            self._encode(picture)

    def _encode(self, picture: Any) -> None:
        encoder = self.stream.codec_context
        frame = _turned(picture, self.turns).reformat(encoder.width, encoder.height, "yuv420p")
        self.last = max(self.last + _SMALLEST_STEP, picture.pts or 0)
        frame.pts, frame.time_base, frame.pict_type = self.last, _TICK, 0
        self._mux(self.stream.encode(frame))

    def _mux(self, packets: list[Packet[Any]]) -> None:
        self.output.mux(packets)
        self.count += len(packets)

    def finish(self) -> None:
        for picture in self.context.decode(None):
            self._encode(picture)
        if self.last >= 0:
            self._mux(self.stream.encode(None))


def _turned(picture: Any, turns: tuple[str, ...]) -> Any:
    """Return a picture turned by FFmpeg's filters `turns`."""
    if not turns:
        return picture
    from av.filter import Graph

    graph = Graph()
    steps = [
        graph.add_buffer(
            width=picture.width,
            height=picture.height,
            format=picture.format,
            time_base=picture.time_base or _TICK,
        )
    ]
    for turn in turns:
        name, _, argument = turn.partition("=")
        steps.append(graph.add(name, argument or None))
    steps.append(graph.add("buffersink"))
    graph.link_nodes(*steps).configure()
    graph.push(picture)
    return graph.pull()


def _set_time(packet: Packet[Any], ticks: tuple[int, int], period: int) -> None:
    packet.time_base = _TICK
    packet.dts, packet.pts = ticks
    packet.duration = period


_PictureSink = Callable[[Any, Any, bytes, int], _Sink]


def _make(
    source: Path, target: Path, choose_function: Callable[[], Callable[[str, str], None]]
) -> None:
    """Write the clip under a temporary name beside `target`, then rename it."""
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        _confined(choose_function(), source, str(part.absolute()))
        with _disk_errors(source):
            sync_path(part)
            part.replace(target)
    except MediaError:
        # An older file would be of another version of the clip.
        target.unlink(missing_ok=True)
        raise
    finally:
        part.unlink(missing_ok=True)


def _write_at(source: Path, part: Path, picture_sink: _PictureSink) -> None:
    with _clip_at(source) as clip:
        _write(clip, part, picture_sink)


def _write(clip: _Clip, part: Path, picture_sink: _PictureSink) -> None:
    with clip.opened() as container:
        plan = _make_plan(container)
    if not _mux_clip(clip, part, plan, picture_sink, has_sound=True) and not _mux_clip(
        clip, part, plan, picture_sink, has_sound=False
    ):
        raise Undecodable("none of its pictures can be stored in an MP4")
    if not _shows_a_picture(part):
        raise Undecodable("nothing decodes in the MP4 made from it")


def _shows_a_picture(part: Path) -> bool:
    """Return whether a key frame of the MP4 decodes: the muxer accepts broken headers."""
    with part.open("rb") as content, demux.open_clip(content, "mov") as container:
        stream = _video(container)
        stream.codec_context.thread_count = 1
        keys = (packet for packet in container.demux(stream) if packet.size and packet.is_keyframe)
        return any(demux.decode_key(stream.codec_context, packet) for packet in keys)


def _mux_clip(
    clip: _Clip, part: Path, plan: _Plan, picture_sink: _PictureSink, *, has_sound: bool
) -> int:
    """Write the MP4 and return the number of its video packets.

    Broken sound can spoil the header of the whole file, so the caller retries without sound.
    """
    import av

    with (
        clip.opened() as container,
        av.open(str(part), "w", "mp4", container_options={"movflags": "faststart"}) as output,
    ):
        video = _video(container)
        sinks = {video.index: picture_sink(output, video, plan.key, plan.turn)}
        if has_sound:
            sinks.update(_sound_sinks(container, output))
        return _mux_packets(container, plan, sinks, video.index)


def _sound_sinks(container: InputContainer, output: OutputContainer) -> dict[int, _Sink]:
    """Return the sink of the first audio stream with known parameters, by stream index."""
    for stream in _audios(container):
        context = stream.codec_context
        if context.sample_rate and context.channels:
            sink = _Copied if context.name in _PLAYED_AUDIO else _Sound
            return {stream.index: sink(output, stream)}
    return {}


def _mux_packets(
    container: InputContainer, plan: _Plan, sinks: dict[int, _Sink], video: int
) -> int:
    import av

    seen = dict.fromkeys(plan.tracks, 0)
    for packet in _packets(container):
        index = packet.stream_index
        number, track = seen.get(index, 0), plan.tracks.get(index)
        seen[index] = number + 1
        if track is None or number >= len(track.settled) or index not in sinks:
            continue
        if index != video or number >= plan.first:
            # Skip packets that cannot be written.
            with suppress(av.FFmpegError, ValueError):
                sinks[index].put(packet, track.settled[number], track.period)
    for sink in sinks.values():
        with suppress(av.FFmpegError, ValueError):
            sink.finish()
    return sinks[video].count


# --- the cache ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClipCache:
    """A cache of playable clips in `folder`, of at most `limit_bytes` in total.

    Clips are converted on first request. Safe for any number of threads and processes: a
    second request waits for the first. The least recently used clips are evicted; an open one
    stays readable.
    """

    folder: Path
    limit_bytes: int

    def playable(self, source: Path, key: str, *, transcode: bool = False) -> Path:
        """Return the path of an MP4 of `source` for a browser: `source` itself if it plays.

        `key` identifies the clip (a `media_id`); if its file was replaced, it is converted
        again. With `transcode`, pictures that not every browser plays are encoded as H.264.
        Raises MediaError if nothing can be played.
        """
        status = _status(source)
        target = self._place(key, status, transcode)
        if _mark_used(target):
            return target
        if _plays_as_it_is(str(source), status.st_size, status.st_mtime_ns):
            return source
        with self._locked(target.name):
            if not _mark_used(target):
                self._make(source, target, transcode)
        return target

    def _place(self, key: str, status: os.stat_result, transcode: bool) -> Path:
        version = f"{status.st_size}.{status.st_mtime_ns}.{'h264' if transcode else 'own'}"
        return self.folder / f"{_digest(key)}-{_digest(version)}.mp4"

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Hold one of a fixed number of lock files; each open file descriptor locks separately."""
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        lock = self.folder / f".lock-{int(name[:8], 16) % _LOCKS:02}"
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _make(self, source: Path, target: Path, is_transcode: bool) -> None:
        before = _status(source)
        encode = is_transcode and browser_plays(codec_of(source)) is not True
        (transcode if encode else remux)(source, target)
        after = _status(source)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            target.unlink(missing_ok=True)
            raise MediaError(f"{source.name} is still being converted: try again in a moment")
        self._evict(target)

    def _evict(self, newest: Path) -> None:
        """Remove the least recently used clips over the limit, and leftovers of killed runs."""
        kept = []
        for path in self.folder.iterdir():
            with suppress(OSError):
                status = path.stat()
                if path.suffix == ".mp4":
                    kept.append((status.st_atime_ns, status.st_size, path))
                elif path.suffix == ".part" and time.time() - status.st_mtime > _LEFTOVER_S:
                    path.unlink()
        total = sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if total <= self.limit_bytes:
                return
            if path != newest:
                path.unlink(missing_ok=True)
                total -= size


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def _status(source: Path) -> os.stat_result:
    try:
        return source.stat()
    except OSError as error:
        raise MediaError(f"{source} cannot be played: {error.strerror}") from error


def _mark_used(path: Path) -> bool:
    """Set the access time of `path` only: browser caches depend on the modification time."""
    try:
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
    except FileNotFoundError:
        return False
    return True


@lru_cache(maxsize=4096)
def _plays_as_it_is(path: str, _size_bytes: int, _mtime_ns: int) -> bool:
    """Cache the result per version of a file: a player requests many ranges of it."""
    return not needs_remux(Path(path))
