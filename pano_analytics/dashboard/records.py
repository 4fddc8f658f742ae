"""Query results as records, which Answers passes to the views."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import pandas as pd

from pano_analytics.model.upload import Upload


@dataclass(frozen=True)
class Block:
    """The uploads of one day as JSON, with a digest that changes with the content."""

    day: str
    text: str
    digest: bytes


@dataclass(frozen=True)
class Uploads:
    """The uploads of a selection, newest first, and the same as one block of JSON per day.

    `has_more` is True if older ones were left out.
    """

    frame: pd.DataFrame
    has_more: bool = False
    blocks: tuple[Block, ...] = ()

    @property
    def warnings(self) -> list[str]:
        """Sentences about cameras whose times are shown wrong."""
        return list(self.frame.attrs.get("warnings", ()))


@dataclass(frozen=True)
class Heat:
    """Counts per camera and hour from `first` to `last`, both included.

    `earlier` and `later` are the last days of the ranges before and after, None at the ends.
    """

    frame: pd.DataFrame
    first: date
    last: date
    earlier: date | None = None
    later: date | None = None


@dataclass(frozen=True)
class UploadRecord:
    """One upload with its clip, and the clip's key frames and snapshots."""

    media_id: str
    upload: Upload | None = None
    clip: Upload | None = None
    frames: pd.DataFrame | None = None
    snapshots: pd.DataFrame | None = None
    error: str = ""


@dataclass(frozen=True)
class Near:
    """The uploads just before and after an empty range (naive wall-clock times)."""

    before: datetime | None = None
    after: datetime | None = None
