"""The routes of pictures and clips: plain files with ranges, behind the same login.

Media are never sent over the websocket. An address names a row of the catalog, never a path:
the file is the one that `library.source` returns for that row, and it is served only if it
is a regular file below the upload root after all links are resolved.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from bokeh.server.views.auth_request_handler import AuthRequestHandler
from tornado.web import HTTPError, RequestHandler, StaticFileHandler

from pano_analytics.dashboard.headers import kept_by_browsers
from pano_analytics.errors import LibraryError, MediaError, QueryError
from pano_analytics.formats.sniff import HEAD_BYTES, media_type
from pano_analytics.library import Library
from pano_analytics.model.upload import Upload, locate
from pano_analytics.present import download_name
from pano_analytics.present.clips import ClipCache
from pano_analytics.store import locators
from pano_analytics.store.home import clips_folder

T = TypeVar("T")

_MEDIA_ID = re.compile(r"[0-9a-f]{16}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_UNKNOWN = "There is no upload with this address in the catalog."


class RequestRefused(HTTPError):
    """The answer to a request is a status and one sentence instead of a file."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(status, sentence.replace("%", "%%"))
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class ServedFile:
    """One upload that can be served, and the path of its file with links resolved."""

    upload: Upload
    file: Path


class FileFinder:
    """Finds the files for addresses, in threads, so that the event loop is never blocked."""

    def __init__(self, library: Library, clips: ClipCache) -> None:
        self.library, self.clips = library, clips
        self._conversions: dict[tuple[str, bool], asyncio.Future[Path]] = {}

    @cached_property
    def _readers(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max_workers=4, thread_name_prefix="media")

    @cached_property
    def _makers(self) -> ThreadPoolExecutor:
        # Transcoding keeps a core busy for seconds; pictures must not wait for it.
        return ThreadPoolExecutor(max_workers=2, thread_name_prefix="clips")

    async def thumbnail(self, path: str) -> bytes:
        """Return the JPEG whose locator is in `path`. Raises RequestRefused."""
        locator = locators.in_url(path)
        if locator is None:
            raise RequestRefused(404, "There is no thumbnail with this address.")
        return await self._read(lambda: self._thumbnail(locator))

    def _thumbnail(self, locator: str) -> bytes:
        try:
            return self.library.thumbnail_bytes(locator)
        except (LibraryError, MediaError, QueryError, OSError) as error:
            raise RequestRefused(404, "This thumbnail is not in the library.") from error

    async def item(self, camera: str, day: str, media_id: str) -> ServedFile:
        """Return the upload that an address names. Raises RequestRefused."""
        return await self._read(lambda: self._item(camera, day, media_id))

    def _item(self, camera: str, day: str, media_id: str) -> ServedFile:
        upload = self._upload(camera, day, media_id)
        if upload.state == "culled":
            raise RequestRefused(
                410, "This upload was deleted to free space; only its catalog entry is left."
            )
        return ServedFile(upload, self._file(upload))

    def _upload(self, camera: str, day: str, media_id: str) -> Upload:
        if not (_MEDIA_ID.fullmatch(media_id) and camera.isprintable() and _DATE.fullmatch(day)):
            raise RequestRefused(404, _UNKNOWN)
        try:
            return self.library.upload(media_id, camera, date.fromisoformat(day))
        except (QueryError, ValueError) as error:
            raise RequestRefused(404, _UNKNOWN) from error

    def _file(self, upload: Upload) -> Path:
        if self.library.uploads is None:
            raise RequestRefused(404, "The upload folder is not set for this library.")
        try:
            return self.library.source(upload).resolve(strict=True)
        except (MediaError, OSError) as error:
            if os.path.lexists(locate(self.library.uploads, upload.path)):
                raise RequestRefused(
                    404, "This upload is not a file in the upload folder."
                ) from error
            raise RequestRefused(410, "This upload is no longer in the upload folder.") from error

    async def clip(self, item: ServedFile, transcode: bool) -> Path:
        """Return a clip as an MP4 for browsers; simultaneous requests share one conversion.

        Raises RequestRefused.
        """
        if not item.upload.is_moving:
            raise RequestRefused(415, "This upload is a picture, not a clip.")
        key = (item.upload.media_id, transcode)
        if key not in self._conversions:
            self._conversions[key] = self._start(item.file, *key)
            self._conversions[key].add_done_callback(lambda _: self._conversions.pop(key))
        try:
            # A visitor who leaves must not cancel it for the others.
            return await asyncio.shield(self._conversions[key])
        except MediaError as error:
            raise RequestRefused(422, str(error)) from error

    def _start(self, source: Path, key: str, transcode: bool) -> asyncio.Future[Path]:
        def make() -> Path:
            return self.clips.playable(source, key, transcode=transcode)

        return asyncio.get_running_loop().run_in_executor(self._makers, make)

    async def _read(self, read: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, read)

    def close(self) -> None:
        """Start no more work; reads and conversions that are running finish."""
        for pool in (self._readers, self._makers):
            pool.shutdown(wait=False, cancel_futures=True)


def disposition(name: str, is_download: bool) -> str:
    """Return the Content-Disposition for `name`, in ASCII and, if needed, as in RFC 5987."""
    kind = "attachment" if is_download else "inline"
    ascii_name = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)
    full_name = "" if ascii_name == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'{kind}; filename="{ascii_name}"{full_name}'


def _has_flag(handler: RequestHandler, name: str) -> bool:
    return handler.get_query_argument(name, "0") not in ("0", "", "false")


class _Plain(RequestHandler):
    """Answers errors with one plain sentence."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        sentence = error.sentence if isinstance(error, RequestRefused) else f"{self._reason}."
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.finish(sentence + "\n")

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        # Refused requests are not logged: the response already says why.
        if not isinstance(value, RequestRefused):
            super().log_exception(typ, value, tb)


class _Member(_Plain, AuthRequestHandler):
    """Requires a login a second time, although `Unadmitted` already does."""

    async def prepare(self) -> None:
        if self.current_user is None:
            raise RequestRefused(401, "Please log in.")


class ThumbnailHandler(_Member):
    """`/thumb/<locator>.jpg`: answers 304 without reading it if the browser has it."""

    def initialize(self, files: FileFinder) -> None:
        self.files = files

    async def get(self, _path: str) -> None:
        asked = self.request.path
        # Packs never change, so a cached picture stays valid; the login may not.
        self.set_header("Etag", f'"{hashlib.blake2b(asked.encode(), digest_size=12).hexdigest()}"')
        self.set_header("Cache-Control", kept_by_browsers(self.request))
        if self.check_etag_header():
            self.set_status(304)
            return
        self.write(await self.files.thumbnail(asked))
        self.set_header("Content-Type", "image/jpeg")

    def compute_etag(self) -> None:
        return None

    head = get


class MediaHandler(_Member, StaticFileHandler):
    """`/media/<camera>/<date>/<media_id>`: the upload itself, byte for byte."""

    item: ServedFile
    file: Path
    kind: str

    def initialize(self, files: FileFinder) -> None:  # type: ignore[override]
        self.files, self.root, self.default_filename = files, "", None

    async def get(self, path: str, include_body: bool = True) -> None:
        camera, day, media_id = path.rsplit("/", 2)
        self.item = await self.files.item(camera, day, media_id)
        self.file = await self.find()
        self.kind = media_type(_head(self.file))
        self._drop_stale_range()
        await super().get(path, include_body)

    async def find(self) -> Path:
        """Return the file to serve for the item."""
        return self.item.file

    def _drop_stale_range(self) -> None:
        # The browser would append a range of another version to the bytes it already has.
        condition = self.request.headers.get("If-Range")
        if condition is not None and condition != self.compute_etag():
            self.request.headers.pop("Range", None)

    @classmethod
    def get_absolute_path(cls, root: str, path: str) -> str:
        return path

    def validate_absolute_path(self, root: str, absolute_path: str) -> str:
        return str(self.file)

    def compute_etag(self) -> str | None:
        # Tornado would hash the whole file, and keep the hash after the file changes.
        if not hasattr(self, "file"):
            return None
        status = self.file.stat()
        return f'"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"'

    def get_content_type(self) -> str:
        return self.kind

    def get_cache_time(self, path: str, modified: Any, mime_type: str) -> int:
        return 0

    def set_extra_headers(self, path: str) -> None:
        self.set_header("Cache-Control", kept_by_browsers(self.request))
        is_download = _has_flag(self, "download") or self.kind == "application/octet-stream"
        name = download_name(self.item.upload, self.files.library.zone, _SUFFIXES.get(self.kind))
        self.set_header("Content-Disposition", disposition(name, is_download))


# By detected content; other files keep the suffix of their name.
_SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png", "video/mp4": ".mp4"}


class ClipHandler(MediaHandler):
    """`/clip/<camera>/<date>/<media_id>.mp4`: the clip as an MP4 that browsers can play."""

    async def find(self) -> Path:
        return await self.files.clip(self.item, _has_flag(self, "transcode"))


def _head(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(HEAD_BYTES)
    except OSError as error:
        raise RequestRefused(410, "This upload can no longer be read.") from error


class LivenessHandler(_Plain):
    """`/liveness`: shows only that the server responds."""

    async def get(self) -> None:
        self.set_header("Cache-Control", "no-store")
        self.write({"live": True})

    head = get


class NotServed(_Plain):
    """A route of Panel that is not used here."""

    async def prepare(self) -> None:
        raise RequestRefused(404, "There is no page at this address.")


def routes(
    files: FileFinder, prefix: str
) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    """Return the routes of this module, below `prefix`."""
    three = r"([^/]+/[^/]+/[^/]+)"
    return [
        (rf"{prefix}/liveness", LivenessHandler, {}),
        (rf"{prefix}/thumb/(.+)\.jpg", ThumbnailHandler, {"files": files}),
        (rf"{prefix}/media/{three}", MediaHandler, {"files": files}),
        (rf"{prefix}/clip/{three}\.mp4", ClipHandler, {"files": files}),
        # It would let other sites embed the dashboard, with a token for its session.
        (r".*/autoload\.js", NotServed, {}),
    ]


def library_files(library: Library) -> FileFinder:
    """Return the file finder of `library`, with its cache of playable clips."""
    limit_bytes = library.settings.cache_limit_mb * 1_000_000
    return FileFinder(library, ClipCache(clips_folder(library.storage), limit_bytes))
