"""The files of a day's pages: thumbnails, sheets of key frames, clips for browsers.

A file name contains eight digits of the upload's hash, so an existing file is always valid,
and no file is created twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import PurePosixPath
from typing import Literal

from pano_analytics.errors import MediaError
from pano_analytics.library import Library
from pano_analytics.model.upload import SHOWN_STATES, Upload
from pano_analytics.present import clips
from pano_analytics.site import names
from pano_analytics.site.folder import SiteFolder
from pano_analytics.site.plan import PlannedUpload

_SHEET_COLUMNS, _MOST_KEYS, _CELL_PX = 4, 8, 320
_PLAYED_AS_FILE = frozenset((".mp4", ".m4v", ".mov"))
# Clips are optional: they must not fill the disk that cameras upload to.
_ROOM_SHARE, _ROOM_BYTES = 0.05, 1_000_000_000

Playing = Literal["upload", "packed", "not"]


@dataclass(frozen=True, slots=True)
class Playable:
    """How a clip plays in a page: from the upload itself, from a converted file, or not.

    `note` is the reason if it does not play, unless its state says so, or a hint.
    """

    how: Playing
    note: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """The key frames of a clip in one picture: file, size in pixels, and offsets in seconds."""

    file: str
    width: int
    height: int
    offsets_s: tuple[float, ...]


@dataclass(slots=True)
class Maker:
    """Creates the files of one day's pages; `kept` are the names of all files to keep."""

    site: SiteFolder
    library: Library
    folder: str
    is_full: bool
    there: set[str]
    kept: set[str] = field(default_factory=set)
    packed: int = 0
    waiting: int = 0

    def thumbnail(self, entry: PlannedUpload) -> str | None:
        """Return the name of an upload's thumbnail, created if needed, or None."""
        upload = entry.upload
        if upload.thumb is None:
            return None
        name = names.picture_of(upload.media_id, entry.version)
        if self._needs(name):
            try:
                self._put(name, self.library.thumbnail_bytes(upload.thumb))
            except MediaError:
                return None
        self.kept.add(name)
        return name

    def _needs(self, name: str) -> bool:
        return self.is_full or name not in self.there

    def _put(self, name: str, data: bytes) -> None:
        self.site.put(f"{self.folder}/{name}", data)

    def sheet(self, entry: PlannedUpload, frames: Sequence[tuple[float, str]]) -> Sheet | None:
        """Return a clip's key frames as one picture, or None if there are fewer than two.

        `frames` are (offset in seconds, locator) pairs in order; at most eight are used.
        """
        chosen = _spread(frames, _MOST_KEYS)
        if len(chosen) < 2:
            return None
        name = names.keys_of(entry.upload.media_id, entry.version)
        wide, high = _cell(entry.upload)
        columns = min(len(chosen), _SHEET_COLUMNS)
        lines = -(-len(chosen) // columns)
        if self._needs(name):
            try:
                self._put(name, self._draw_sheet([locator for _, locator in chosen], (wide, high)))
            except (MediaError, OSError):
                return None
        self.kept.add(name)
        return Sheet(name, columns * wide, lines * high, tuple(offset for offset, _ in chosen))

    def _draw_sheet(self, locators: Sequence[str], cell: tuple[int, int]) -> bytes:
        from PIL import Image

        columns = min(len(locators), _SHEET_COLUMNS)
        lines = -(-len(locators) // columns)
        sheet = Image.new("RGB", (columns * cell[0], lines * cell[1]), (17, 20, 26))
        for at, locator in enumerate(locators):
            line, column = divmod(at, columns)
            with Image.open(BytesIO(self.library.thumbnail_bytes(locator))) as picture:
                sheet.paste(picture.convert("RGB").resize(cell), (column * cell[0], line * cell[1]))
        drawn = BytesIO()
        sheet.save(drawn, "JPEG", quality=72, progressive=True)
        return drawn.getvalue()

    def playable(self, entry: PlannedUpload, is_packing: bool) -> Playable:
        """Return how a clip plays in a page, converting it if `is_packing` and needed."""
        upload = entry.upload
        if upload.state not in SHOWN_STATES:
            return Playable("not")
        codec = upload.codec or ""
        plays = clips.browser_plays(codec)
        if plays is False:
            return Playable("not", f"Browsers do not play its codec ({codec or 'unknown'}).")
        note = "" if plays is True else _ONLY_SOME
        ending = PurePosixPath(upload.path).suffix.lower()
        if ending in _PLAYED_AS_FILE and plays is True and upload.state == "complete":
            return Playable("upload")
        if not is_packing:
            return Playable("not", _TOO_OLD)
        return self._packed(entry, note)

    def _packed(self, entry: PlannedUpload, note: str) -> Playable:
        name = names.clip_of(entry.upload.media_id, entry.version)
        if name not in self.there:
            if not self._has_room(entry.upload.size_bytes):
                self.waiting += 1
                return Playable("not", "There was no space to convert it for browsers.")
            trouble = self._pack(entry.upload, name)
            if trouble:
                return Playable("not", trouble)
        self.kept.add(name)
        return Playable("packed", note)

    def _pack(self, upload: Upload, name: str) -> str:
        """Convert a clip; return the reason if that failed, else an empty text."""
        target = self.site.storage.path(f"{self.folder}/{name}")
        try:
            source = self.library.source(upload)
            self.site.storage.make_folder(self.folder)
            clips.remux(source, target)
            self.site.storage.settle(target)
        except MediaError:
            return "It could not be converted for browsers."
        self.packed += 1
        self.site.written.append(f"{self.folder}/{name}")
        return ""

    def _has_room(self, size_bytes: int) -> bool:
        disk = self.site.storage.space()
        return disk.free_bytes - size_bytes > max(_ROOM_BYTES, disk.size_bytes * _ROOM_SHARE)


_ONLY_SOME = "It is H.265, which not every browser plays: if it stays black, download it."
_TOO_OLD = "The version for browsers is no longer kept. Download the clip to watch it."


def _spread(frames: Sequence[tuple[float, str]], most: int) -> list[tuple[float, str]]:
    """Return up to `most` of `frames`, first and last included, evenly spread."""
    if len(frames) <= most:
        return list(frames)
    return [frames[round(at * (len(frames) - 1) / (most - 1))] for at in range(most)]


def _cell(upload: Upload) -> tuple[int, int]:
    width, height = upload.width, upload.height
    if not width or not height or width < 1 or height < 1:
        return _CELL_PX, _CELL_PX * 9 // 16
    # Limit the height, for pictures of one line and for very tall ones.
    return _CELL_PX, min(2 * _CELL_PX, max(16, round(_CELL_PX * height / width)))
