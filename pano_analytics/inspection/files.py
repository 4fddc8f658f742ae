"""Read one file once: its SHA-256, its format, and whether it changed meanwhile."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

from pano_analytics.errors import MediaError
from pano_analytics.formats import sniff
from pano_analytics.formats.demux import refusal
from pano_analytics.formats.opening import open_media
from pano_analytics.formats.verdict import Undecodable, Unsupported
from pano_analytics.inspection.clips import inspect_clip
from pano_analytics.inspection.opened import Opened
from pano_analytics.inspection.pictures import inspect_picture
from pano_analytics.model.upload import KINDS, Inspection, Kind

_IN_MEMORY_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 20


class MediaChanged(MediaError):
    """The file changed while it was being read: it is still being written."""


def inspect_file(path: Path, kind: str, expected_duration_s: float | None = None) -> Inspection:
    """Return what the file at `path` really contains, reading it once.

    `kind` is "snapshot" or "clip", according to the name; contents of the other kind are
    inspected as what they are. `expected_duration_s` is the length in a clip's name, in
    seconds. Raises MediaChanged if the file changed meanwhile, and MediaError if `path` is
    not a readable regular file; bad contents never raise.
    """
    if kind not in KINDS:
        raise MediaError(f"expected the kind snapshot or clip, got {kind!r}")
    with open_media(path) as (file, before):
        content, sha256 = _read(path, file, before.st_size)
        upload = Opened(content, before.st_size, path.suffix.lower(), cast(Kind, kind))
        inspection = _inspect(upload, expected_duration_s)
        _check_unchanged(path, before, os.fstat(file.fileno()))
    return replace(inspection, sha256=sha256)


def _inspect(upload: Opened, expected_s: float | None) -> Inspection:
    if upload.size_bytes == 0:
        return Inspection("empty", "0 bytes: the upload has no content")
    try:
        format_name = sniff.format_of(upload.content, upload.size_bytes, upload.kind, upload.ending)
        if format_name in sniff.PICTURES:
            return inspect_picture(upload, format_name)
        return inspect_clip(upload, format_name, expected_s)
    except Unsupported as reason:
        return Inspection("unsupported", str(reason))
    except Undecodable as reason:
        return Inspection("damaged", str(reason))
    except MemoryError as error:
        return Inspection("unsupported", str(refusal(error)))


def _read(path: Path, file: BinaryIO, size_bytes: int) -> tuple[BinaryIO, str]:
    """Return the contents, in memory if they are small, and the SHA-256 of the whole file."""
    try:
        if size_bytes <= _IN_MEMORY_BYTES:
            # Read one byte more than expected, to notice a file that has grown.
            data = file.read(size_bytes + 1) or b""
            return BytesIO(data), hashlib.sha256(data).hexdigest()
        digest = hashlib.sha256()
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
        file.seek(0)
    except OSError as error:
        raise MediaError(
            f"{path} cannot be read completely: {error.strerror}; check its disk"
        ) from error
    return file, digest.hexdigest()


def _check_unchanged(path: Path, before: os.stat_result, after: os.stat_result) -> None:
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise MediaChanged(
            f"{path} changed while it was read ({before.st_size} bytes, then "
            f"{after.st_size}): it is still being written; look again later"
        )
