"""The packets of a clip: their times, what is missing, and some key packets."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from pano_analytics.formats.demux import MAX_PACKETS, error_words, filled_times, packets_of, refusal
from pano_analytics.inspection.limits import MAX_PIXELS, STRIP_FRAMES
from pano_analytics.workers.confined import is_out_of_memory

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

_HELD_KEYS = 8 * STRIP_FRAMES
_MOST_TAIL_PACKETS = 600
_SLICES = re.compile(b"\0\0\1([\1-\xaf])")


class Packets:
    """The times of a clip's pictures, and some key packets spread evenly over it.

    Memory is bounded: few key packets are held, whatever the length of the clip.
    """

    def __init__(self, stream: VideoStream, *, has_tail: bool = False) -> None:
        self.stream_index = stream.index
        self.codec = stream.codec_context.name
        self.has_tail = has_tail
        self.is_too_many = False
        self._tail: list[Packet[Any]] = []
        self._ticks: list[tuple[int | None, int | None]] = []
        self._tick_s = 0.0
        self._counts: Counter[int] = Counter()
        self._held: list[tuple[int, Packet[Any]]] = []
        self._last_key: tuple[int, Packet[Any]] | None = None
        self._keys = 0
        self._stride = 1
        self._has_hole = False

    def gather(self, container: InputContainer) -> str | None:
        """Read all packets; return what is wrong with them, or None."""
        import av

        is_cut = False
        try:
            for packet in packets_of(container):
                is_cut = is_cut or packet.is_corrupt
                self._add(packet)
                if self._counts.total() >= MAX_PACKETS:
                    self.is_too_many = True
                    return self._damage(is_cut)
        except (av.FFmpegError, MemoryError, EOFError, ValueError, OSError) as error:
            if is_out_of_memory(error):
                raise refusal(error) from error
            return f"the rest cannot be read: {error_words(error)}"
        return self._missing(container) or self._damage(is_cut)

    def _damage(self, is_cut: bool) -> str | None:
        if is_cut:
            return "its last packet is cut off"
        return "part of it is filled with zeros" if self._has_hole else None

    def _add(self, packet: Packet[Any]) -> None:
        if packet.is_corrupt:
            return
        self._counts[packet.stream_index] += 1
        if packet.stream_index != self.stream_index:
            return
        # No coded picture begins with zeros: here the upload has left a hole in the file.
        self._has_hole = self._has_hole or (
            self.codec != "rawvideo" and not any(memoryview(packet)[:16])
        )
        self._ticks.append((packet.dts, packet.pts))
        self._tick_s = float(packet.time_base or 0)
        if packet.is_keyframe:
            self._hold(len(self._ticks) - 1, packet)
            self._tail.clear()
        if self.has_tail and len(self._tail) < _MOST_TAIL_PACKETS:
            self._tail.append(packet)

    def times_s(self) -> list[float]:
        """Return the decoding time of each picture in seconds, in file order.

        Without decoding times, these are the display times. A picture without a time repeats
        the previous one, a step of 0 that steady_times replaces.
        """
        which = 0 if any(ticks[0] is not None for ticks in self._ticks) else 1
        clock = (ticks[which] for ticks in self._ticks)
        return filled_times([None if t is None else self._tick_s * t for t in clock])

    def _hold(self, index: int, packet: Packet[Any]) -> None:
        self._last_key = (index, packet)
        if self._keys % self._stride == 0:
            self._held.append((index, packet))
        self._keys += 1
        if len(self._held) > _HELD_KEYS:
            self._held = self._held[::2]
            self._stride *= 2

    def strip(self) -> list[tuple[int, Packet[Any]]]:
        """Return at most STRIP_FRAMES (index of the picture, key packet), evenly spread."""
        held = self._held
        if self._last_key and held[-1][0] != self._last_key[0]:
            held = [*held, self._last_key]
        count = min(STRIP_FRAMES, len(held))
        if count < 2:
            return held
        return [held[round(i * (len(held) - 1) / (count - 1))] for i in range(count)]

    def _missing(self, container: InputContainer) -> str | None:
        """Compare the number of packets with the samples that an MP4 declares."""
        if not container.format.name.startswith("mov"):
            return None
        for stream in container.streams:
            counted, declared = self._counts[stream.index], stream.frames
            # PCM sound declares each tick as a sample, and one packet contains many.
            if declared == stream.duration and stream.type == "audio":
                continue
            if stream.type in ("video", "audio") and counted < declared:
                sort = "pictures" if stream.type == "video" else "packets of sound"
                return f"holds {counted} of the {declared} {sort} it declares"
        return None

    def tail_trouble(self) -> str | None:
        """Decode what follows the last key frame, and return whether the last picture is cut off.

        Returns a text or None. If the picture before the last one does not decode either,
        this decoder has problems with the whole stream, and the result is None.
        """
        if not self._tail or len(self._tail) == _MOST_TAIL_PACKETS:
            return None
        if self.codec.startswith("mpeg") and _lacks_slices(self._tail):
            return "its last picture is cut off"
        context = _strict_decoder(self.codec)
        are_whole = [_decodes(context, packet) for packet in self._tail]
        is_only_last = not are_whole[-1] and all(are_whole[-2:-1])
        return "its last picture is cut off" if is_only_last else None


def _lacks_slices(packets: Sequence[Packet[Any]]) -> bool:
    """Return whether the last picture of MPEG-1 or MPEG-2 has fewer rows than the previous one.

    Its decoder silently fills missing rows from the previous picture.
    """
    last_rows = [max(_SLICES.findall(bytes(packet)), default=b"") for packet in packets[-2:]]
    return last_rows[-1] < last_rows[0]


def _strict_decoder(codec: str) -> VideoCodecContext:
    """Return a decoder that rejects incomplete pictures."""
    from av.codec import CodecContext

    context = cast("VideoCodecContext", CodecContext.create(codec, "r"))
    context.thread_count = 1
    context.options = {"err_detect": "explode", "max_pixels": str(MAX_PIXELS)}
    return context


def _decodes(context: VideoCodecContext, packet: Packet[Any]) -> bool:
    import av

    try:
        return not any(picture.is_corrupt for picture in context.decode(packet))
    except (av.FFmpegError, MemoryError, EOFError, ValueError, OSError):
        return False
