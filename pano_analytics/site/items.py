"""What templates are given: uploads, moments and periods in words and addresses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pano_analytics.model.upload import is_moving
from pano_analytics.site import names, words
from pano_analytics.site.made import Maker, Playable, Sheet
from pano_analytics.site.plan import Moment
from pano_analytics.wording import STATE_BADGES, Badge, day_label

Row = dict[str, Any]
# The width of kept thumbnails; pages only need it to keep a place of the right shape.
_THUMB_PX = 480
# Shown as they are, though nothing or not all of them was decoded.
_SHOWN_STATES = frozenset(("complete", "partial", "unread"))


@dataclass(frozen=True, slots=True)
class Key:
    """One key frame on a clip's sheet: when, and where in the file."""

    time: str
    offset_s: str


@dataclass(frozen=True, slots=True)
class Item:
    """One upload as pages show it. Addresses are relative to its day's folder.

    `media` is the upload itself, None where no address leads to it; `thumb` its
    thumbnail, `width` and `height` the thumbnail's shape. `video` is what plays
    in a page, `trouble` why nothing does.
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
    keys: tuple[Key, ...]
    facts: tuple[tuple[str, str], ...]
    clip_id: str


@dataclass(frozen=True, slots=True)
class Group:
    """A moment as a day's page shows it: a clip with its pictures, or pictures of none."""

    clip: Item | None
    pictures: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Period:
    """A period of activity on a day's page, newest moment first."""

    anchor: str
    span: str
    counts: str
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """Where a page leads: the address, and in words what is there."""

    href: str
    text: str


@dataclass(frozen=True, slots=True)
class Describer:
    """Turns rows into items; `uploads` begins addresses of uploads, from a day's folder."""

    maker: Maker
    clock: words.Clock
    uploads: str | None
    is_packing: bool

    def item(self, row: Row, frames: Sequence[tuple[float, str]]) -> Item:
        """Return one upload as pages show it, its thumbnail, sheet and clip made if need be."""
        is_clip = is_moving(row["kind"], words.text(row["codec"]))
        media = None if self.uploads is None else names.upload_address(self.uploads, row["path"])
        playable = self.maker.playable(row, self.is_packing) if is_clip else None
        sheet = self.maker.sheet(row, frames) if is_clip else None
        badges = tuple(words.badges(row))
        zone = self.maker.library.zone
        return Item(
            id=row["media_id"],
            page=names.page_of(row["media_id"]),
            is_clip=is_clip,
            time=self.clock.second(row["start"]),
            title=f"{day_label(row['start'])}, {self.clock.second(row['start'])}",
            length=words.clip_length(words.span_s(row)) if is_clip else "",
            thumb=self.maker.thumbnail(row),
            width=_THUMB_PX,
            height=_thumb_height(row),
            badges=badges,
            note=STATE_BADGES[row["state"]][0] if row["state"] in STATE_BADGES else "No picture",
            media=media,
            is_shown_whole=not is_clip and row["state"] in _SHOWN_STATES and media is not None,
            download=words.download_name(row),
            video=_video(row, playable, media),
            video_note=playable.note if playable and playable.how != "not" else "",
            trouble=_trouble(playable, media),
            sheet=sheet,
            keys=self._keys(row, sheet),
            facts=tuple(words.facts(row, self.clock, zone)),
            clip_id=words.text(row["clip_id"]),
        )

    def _keys(self, row: Row, sheet: Sheet | None) -> tuple[Key, ...]:
        if sheet is None:
            return ()
        scale = _clock_per_second(row)
        return tuple(
            Key(f"{row['start'] + words.seconds(offset * scale):%H:%M:%S}", f"{offset:.1f}")
            for offset in sheet.offsets_s
        )


def _thumb_height(row: Row) -> int:
    width, height = row["width"], row["height"]
    if words.is_null(width) or words.is_null(height) or width < 1 or height < 1:
        return _THUMB_PX * 9 // 16
    return max(1, round(_THUMB_PX * float(height) / float(width)))


def _clock_per_second(row: Row) -> float:
    """Return seconds by its times in a second of the file: names and files disagree a little.

    Of a clip that was cut off only the beginning is there, and that runs as it was.
    """
    decoded, span_s = row["duration_s"], words.span_s(row)
    if row["state"] == "partial" or words.is_null(decoded) or not decoded or not span_s:
        return 1.0
    return span_s / float(decoded)


def _video(row: Row, playable: Playable | None, media: str | None) -> str | None:
    if playable is None or playable.how == "not":
        return None
    return media if playable.how == "upload" else names.clip_of(row["media_id"], row["version"])


def _trouble(playable: Playable | None, media: str | None) -> str:
    if playable is None:
        return ""
    if playable.how == "upload" and media is None:
        return "The upload folder is not known here."
    return playable.note if playable.how == "not" else ""


def group_of(moment: Moment, items: dict[str, Item]) -> Group:
    """Return a moment in items: newest first as on the whole page, but for a clip's pictures."""
    pictures = tuple(items[row["media_id"]] for row in moment.pictures)
    if moment.clip is None:
        return Group(None, pictures[::-1])
    return Group(items[moment.clip["media_id"]], pictures)
