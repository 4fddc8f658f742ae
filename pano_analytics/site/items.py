"""The data of the templates: uploads, moments and periods as texts and addresses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pano_analytics.model.upload import Upload
from pano_analytics.present import (
    STATE_BADGES,
    Badge,
    ZoneClock,
    badges,
    clip_length,
    download_name,
    facts,
)
from pano_analytics.site import names
from pano_analytics.site.made import Maker, Playable, Sheet
from pano_analytics.site.plan import PlannedMoment, PlannedUpload
from pano_analytics.wording import day_label

# The width of thumbnails, which pages use to reserve space of the right shape.
_THUMB_PX = 480
# States of pictures that are shown at full size, although not all of them may decode.
_SHOWN_WHOLE = frozenset(("complete", "partial", "unread"))


@dataclass(frozen=True, slots=True)
class KeyFrame:
    """One key frame on a clip's sheet: its time, and its position in the file."""

    time: str
    offset_s: str


@dataclass(frozen=True, slots=True)
class PageUpload:
    """One upload as pages show it. Addresses are relative to its day's folder.

    `media` is the address of the upload itself, or None if there is none. `thumb` is its
    thumbnail, `width` and `height` the size of that in pixels. `video` is the file that plays
    in the page, `trouble` the reason if none does.
    """

    id: str
    page: str
    is_clip: bool
    time: str
    title: str
    length: str
    thumb: str | None
    width: int
    height: int
    badges: tuple[Badge, ...]
    note: str
    media: str | None
    is_shown_whole: bool
    download: str
    video: str | None
    video_note: str
    trouble: str
    sheet: Sheet | None
    keys: tuple[KeyFrame, ...]
    facts: tuple[tuple[str, str], ...]
    clip_id: str


@dataclass(frozen=True, slots=True)
class Group:
    """A moment on a day's page: a clip with its pictures, or pictures without a clip."""

    clip: PageUpload | None
    pictures: tuple[PageUpload, ...]


@dataclass(frozen=True, slots=True)
class Period:
    """A period of activity on a day's page, newest moment first."""

    anchor: str
    span: str
    counts: str
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """A link: its address and text."""

    href: str
    text: str


@dataclass(frozen=True, slots=True)
class Describer:
    """Converts uploads to page data; `uploads` is the prefix of addresses, from a day's folder."""

    maker: Maker
    clock: ZoneClock
    uploads: str | None
    is_packing: bool

    def item(self, entry: PlannedUpload, frames: Sequence[tuple[float, str]]) -> PageUpload:
        """Return one upload as pages show it, creating its thumbnail, sheet and clip if needed."""
        upload, zone = entry.upload, self.clock.zone
        is_clip = upload.is_moving
        media = None if self.uploads is None else names.upload_address(self.uploads, upload.path)
        playable = self.maker.playable(entry, self.is_packing) if is_clip else None
        sheet = self.maker.sheet(entry, frames) if is_clip else None
        time = self.clock.second(entry.start)
        return PageUpload(
            id=upload.media_id,
            page=names.page_of(upload.media_id),
            is_clip=is_clip,
            time=time,
            title=f"{day_label(entry.start)}, {time}",
            length=clip_length(upload.span_s) if is_clip else "",
            thumb=self.maker.thumbnail(entry),
            width=_THUMB_PX,
            height=_thumb_height(upload),
            badges=tuple(badges(upload)),
            note=STATE_BADGES[upload.state].word if upload.state in STATE_BADGES else "No picture",
            media=media,
            is_shown_whole=not is_clip and upload.state in _SHOWN_WHOLE and media is not None,
            download=download_name(upload, zone),
            video=_video(entry, playable, media),
            video_note=playable.note if playable and playable.how != "not" else "",
            trouble=_trouble(playable, media),
            sheet=sheet,
            keys=self._keys(entry, sheet),
            facts=tuple(facts(upload, zone)),
            clip_id=upload.clip_id or "",
        )

    def _keys(self, entry: PlannedUpload, sheet: Sheet | None) -> tuple[KeyFrame, ...]:
        if sheet is None:
            return ()
        scale = entry.upload.file_s_per_s
        return tuple(
            KeyFrame(self._at(entry.upload.start, offset / scale), f"{offset:.1f}")
            for offset in sheet.offsets_s
        )

    def _at(self, start: datetime, seconds: float) -> str:
        return f"{(start + timedelta(seconds=seconds)).astimezone(self.clock.zone):%H:%M:%S}"


def _thumb_height(upload: Upload) -> int:
    width, height = upload.width, upload.height
    if not width or not height or width < 1 or height < 1:
        return _THUMB_PX * 9 // 16
    return max(1, round(_THUMB_PX * height / width))


def _video(entry: PlannedUpload, playable: Playable | None, media: str | None) -> str | None:
    if playable is None or playable.how == "not":
        return None
    own = names.clip_of(entry.upload.media_id, entry.version)
    return media if playable.how == "upload" else own


def _trouble(playable: Playable | None, media: str | None) -> str:
    if playable is None:
        return ""
    if playable.how == "upload" and media is None:
        return "The upload folder is not known here."
    return playable.note if playable.how == "not" else ""


def group_of(moment: PlannedMoment, items: dict[str, PageUpload]) -> Group:
    """Return a moment as page data: newest first, except for a clip's pictures."""
    pictures = tuple(items[entry.upload.media_id] for entry in moment.pictures)
    if moment.clip is None:
        return Group(None, pictures[::-1])
    return Group(items[moment.clip.upload.media_id], pictures)
