"""The addresses of pictures and clips: plain files with ranges, behind the same login.

Media never travel over the websocket. An address names a row of the catalog,
never a path: what is served is what `library.source` finds for that row, and
only if it is a regular file below the upload root once every link is followed.
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

T = TypeVar("T")

_MEDIA_ID = re.compile(r"[0-9a-f]{16}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_UNKNOWN = "There is no upload with this address in the catalog."


class RequestRefused(HTTPError):
    """A request that gets a status and one plain sentence instead of a file."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(status, sentence.replace("%", "%%"))
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class ServedFile:
    """One upload that can be served, and its file, links followed."""

    upload: Upload
    file: Path


class FileFinder:
    """Finds what the addresses mean, in threads, so that the event loop is never held up."""

    def __init__(self, library: Library, clips: ClipCache) -> None:
        self.library, self.clips = library, clips
        self._making: dict[tuple[str, bool], asyncio.Future[Path]] = {}

    @cached_property
    def _readers(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max_workers=4, thread_name_prefix="media")

    @cached_property
    def _makers(self) -> ThreadPoolExecutor:
        # A transcode takes a core for seconds; pictures must not queue behind it.
        return ThreadPoolExecutor(max_workers=2, thread_name_prefix="clips")

    async def thumbnail(self, path: str) -> bytes:
        """Return the JPEG whose locator is in an address; raises Refused."""
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
        """Return the upload that an address names; raises Refused."""
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
        """Return a clip as MP4 that browsers play, made once however many ask; raises Refused."""
        if not item.upload.is_moving:
            raise RequestRefused(415, "This upload is a picture, not a clip.")
        asked = (item.upload.media_id, transcode)
        if asked not in self._making:
            self._making[asked] = self._start(item.file, *asked)
            self._making[asked].add_done_callback(lambda _: self._making.pop(asked))
        try:
            # One visitor who goes away must not cancel it for the others.
            return await asyncio.shield(self._making[asked])
        except MediaError as error:
            raise RequestRefused(422, str(error)) from error

    def _start(self, source: Path, key: str, transcode: bool) -> asyncio.Future[Path]:
        def make() -> Path:
            return self.clips.playable(source, key, transcode=transcode)

        return asyncio.get_running_loop().run_in_executor(self._makers, make)

    async def _read(self, deed: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, deed)

    def close(self) -> None:
        """Start nothing more; what is being read or made is finished."""
        for pool in (self._readers, self._makers):
            pool.shutdown(wait=False, cancel_futures=True)


def disposition(name: str, is_download: bool) -> str:
    """Return the Content-Disposition for `name`: plain ASCII, and in full after RFC 5987."""
    kind = "attachment" if is_download else "inline"
    plain = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)
    in_full = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'{kind}; filename="{plain}"{in_full}'


def _is_asked(handler: RequestHandler, name: str) -> bool:
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
        # A picture that is gone is told to who asked for it; the log has other readers.
        if not isinstance(value, RequestRefused):
            super().log_exception(typ, value, tb)


class _Member(_Plain, AuthRequestHandler):
    """Asks for the login itself, though nobody without one should get here."""

    async def prepare(self) -> None:
        if self.current_user is None:
            raise RequestRefused(401, "Please log in.")


class ThumbnailHandler(_Member):
    """`/thumb/<locator>.jpg`: a browser that has it is told so, without reading it again."""

    def initialize(self, shelf: FileFinder) -> None:
        self.shelf = shelf

    async def get(self, _path: str) -> None:
        asked = self.request.path
        # Packs never change, so what a browser has is still right; whether it may show it is not.
        self.set_header("Etag", f'"{hashlib.blake2b(asked.encode(), digest_size=12).hexdigest()}"')
        self.set_header("Cache-Control", kept_by_browsers(self.request))
        if self.check_etag_header():
            self.set_status(304)
            return
        self.write(await self.shelf.thumbnail(asked))
        self.set_header("Content-Type", "image/jpeg")

    def compute_etag(self) -> None:
        return None

    head = get


class MediaHandler(_Member, StaticFileHandler):
    """`/media/<camera>/<date>/<media_id>`: the upload itself, byte for byte."""

    item: ServedFile
    file: Path
    kind: str

    def initialize(self, shelf: FileFinder) -> None:  # type: ignore[override]
        self.shelf, self.root, self.default_filename = shelf, "", None

    async def get(self, path: str, include_body: bool = True) -> None:
        camera, day, media_id = path.rsplit("/", 2)
        self.item = await self.shelf.item(camera, day, media_id)
        self.file = await self.find()
        self.kind = media_type(_head(self.file))
        self._drop_stale_range()
        await super().get(path, include_body)

    async def find(self) -> Path:
        """Return the file to serve for the item."""
        return self.item.file

    def _drop_stale_range(self) -> None:
        # A range of another version would be glued to what the browser already has.
        condition = self.request.headers.get("If-Range")
        if condition is not None and condition != self.compute_etag():
            self.request.headers.pop("Range", None)

    @classmethod
    def get_absolute_path(cls, root: str, path: str) -> str:
        return path

    def validate_absolute_path(self, root: str, absolute_path: str) -> str:
        return str(self.file)

    def compute_etag(self) -> str | None:
        # Tornado would hash the whole file, and keep that hash when the file changes.
        if not hasattr(self, "file"):
            return None
        found = self.file.stat()
        return f'"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}"'

    def get_content_type(self) -> str:
        return self.kind

    def get_cache_time(self, path: str, modified: Any, mime_type: str) -> int:
        return 0

    def set_extra_headers(self, path: str) -> None:
        self.set_header("Cache-Control", kept_by_browsers(self.request))
        is_download = _is_asked(self, "download") or self.kind == "application/octet-stream"
        name = download_name(self.item.upload, self.shelf.library.zone, _ENDINGS.get(self.kind))
        self.set_header("Content-Disposition", disposition(name, is_download))


# Of a file whose content is known; of any other the name's own.
_ENDINGS = {"image/jpeg": ".jpg", "image/png": ".png", "video/mp4": ".mp4"}


class ClipHandler(MediaHandler):
    """`/clip/<camera>/<date>/<media_id>.mp4`: the clip as browsers and players play it."""

    async def find(self) -> Path:
        return await self.shelf.clip(self.item, _is_asked(self, "transcode"))


def _head(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(HEAD_BYTES)
    except OSError as error:
        raise RequestRefused(410, "This upload can no longer be read.") from error


class LivenessHandler(_Plain):
    """`/liveness`: that the server answers, and nothing else."""

    async def get(self) -> None:
        self.set_header("Cache-Control", "no-store")
        self.write({"live": True})

    head = get


class NotServed(_Plain):
    """An address that Panel brings along and that has no use here."""

    async def prepare(self) -> None:
        raise RequestRefused(404, "There is no page at this address.")


def routes(
    shelf: FileFinder, prefix: str
) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    """Return the rules of all addresses of this module, below `prefix`."""
    three = r"([^/]+/[^/]+/[^/]+)"
    return [
        (rf"{prefix}/liveness", LivenessHandler, {}),
        (rf"{prefix}/thumb/(.+)\.jpg", ThumbnailHandler, {"shelf": shelf}),
        (rf"{prefix}/media/{three}", MediaHandler, {"shelf": shelf}),
        (rf"{prefix}/clip/{three}\.mp4", ClipHandler, {"shelf": shelf}),
        # It lets pages of other sites embed the dashboard, with a token to its session.
        (r".*/autoload\.js", NotServed, {}),
    ]


def library_shelf(library: Library) -> FileFinder:
    """Return the shelf of `library`, with its cache of playable clips."""
    folder = library.folder / "cache" / "clips"
    return FileFinder(library, ClipCache(folder, library.settings.cache_limit_mb * 1_000_000))
