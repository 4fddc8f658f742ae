"""`pano explain`: show what pano reads from an upload's path, or why it reads nothing."""

from __future__ import annotations

import json
import os
import posixpath
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click

from pano_analytics.cli.terminal import say_text, shown
from pano_analytics.errors import UploadTreeError
from pano_analytics.layouts import plain, read, reader_of
from pano_analytics.model.upload import Reading
from pano_analytics.settings import Settings
from pano_analytics.settings.owners import Owner, owner_of

_NOT_UTF8 = re.compile("[\udc80-\udcff]")

EXAMPLES = """\b
Examples:
  pano explain 'cam/2021-03-06/001/jpg/09/50/04[M][0@0][0].jpg'
  pano explain --uploads /srv/ftp /srv/ftp/front/2021-03-06/001/jpg/09/50/04[M]*.jpg
  pano explain --config /etc/pano.toml '/srv/ftp/Front Door/2021-03-06/x.jpg'
  find /srv/ftp -type f | pano explain --json -
"""


@click.command(epilog=EXAMPLES)
@click.argument("paths", nargs=-1, metavar="PATH...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.option(
    "--stdin",
    "from_stdin",
    is_flag=True,
    help="Read paths from standard input; a PATH of - does the same.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="The settings file; else $PANO_CONFIG, else ./pano.toml, else none.",
)
@click.option(
    "--uploads",
    metavar="DIR",
    help="Treat paths as being below this upload root; the folder then determines the camera.",
)
def command(
    paths: tuple[str, ...],
    as_json: bool,
    from_stdin: bool,
    config: Path | None,
    uploads: str | None,
) -> None:
    """Show what pano reads from an upload's path, or why it reads nothing.

    Only the text of the path is used and no file is opened, so any path can be tried.
    For paths below `uploads` of the settings, the camera is the one that ingest
    assigns. Times are local times as given in the name.

    \b
    Exit codes: 0 done, 2 settings or usage, 3 uploads is not a folder.
    """
    if not paths and not from_stdin:
        raise click.UsageError("expected a PATH, or - or --stdin to read one path per line")
    root = _root(config, uploads)
    for path in _all_paths(paths, from_stdin):
        reading = root.read(path) if root else read(path)
        camera = root.camera(path, reading) if root else reading.camera
        text = _as_json(path, camera, reading) if as_json else _in_words(path, camera, reading)
        say_text(text)


def _all_paths(paths: Iterable[str], from_stdin: bool) -> Iterator[str]:
    for path in (*paths, "-") if from_stdin else paths:
        if path == "-":
            yield from _lines()
        else:
            yield path


def _lines() -> Iterator[str]:
    for line in sys.stdin.buffer:
        path = os.fsdecode(line.removesuffix(b"\n").removesuffix(b"\r"))
        if path:
            yield path


@dataclass(frozen=True, slots=True)
class _TreeRoot:
    """A known upload root: its path, and the settings that apply to it.

    `is_given` is True if the root was given on the command line: every relative path then
    counts as below it. Otherwise, relative paths start in the current folder.
    """

    path: str
    is_given: bool
    settings: Settings | None = None

    def read(self, path: str) -> Reading:
        """Return what the path says, read by the layout that the settings give its camera."""
        below = self._below(path)
        if below is None or self.settings is None:
            return read(path)
        folder, _, name = below.rpartition("/")
        return reader_of(folder, self._owner(folder).layout)(name)

    def camera(self, path: str, reading: Reading) -> str | None:
        """Return the camera that ingest assigns below the root, else the one the path suggests."""
        if reading.kind not in ("snapshot", "clip"):
            return None
        below = self._below(path)
        if below is None:
            return reading.camera
        owner = self._owner(below.rpartition("/")[0])
        return (self.settings or Settings()).called(owner.of(reading))

    def _owner(self, folder: str) -> Owner:
        root_name = Path(self.path).absolute().name or "camera"
        return owner_of(self.settings or Settings(), folder, root_name)

    def _below(self, path: str) -> str | None:
        """Return `path` relative to the root; None if it is not below the root."""
        text = _normal(plain(path))
        here = text if self.is_given or text.startswith("/") else _normal(f"{Path.cwd()}/{text}")
        for root in (_normal(self.path), _normal(str(Path(self.path).absolute()))):
            start = root.rstrip("/") + "/"
            if here.startswith(start):
                return here[len(start) :]
        is_elsewhere = not self.is_given or text.startswith(("/", "../"))
        return None if is_elsewhere else text


def _root(config: Path | None, uploads: str | None) -> _TreeRoot | None:
    """Return the root given on the command line, else the one in the settings, else None."""
    from pano_analytics import settings as settings_module

    file = settings_module.find(config)
    settings = None if file is None else settings_module.load(file)
    if uploads is not None:
        _check_is_folder(uploads)
        return _TreeRoot(uploads, True, settings)
    if settings is None or settings.uploads is None:
        return None
    return _TreeRoot(str(settings.uploads), False, settings)


def _check_is_folder(uploads: str) -> None:
    # A root that is not on this computer is fine: only the text of paths is used.
    if os.path.lexists(uploads) and not Path(uploads).is_dir():
        raise UploadTreeError(
            f"{shown(uploads)}: expected the folder that the cameras upload to, got a file, or "
            f"a link that does not lead to a folder. Give that folder with --uploads."
        )


def _normal(path: str) -> str:
    return re.sub("^//", "/", posixpath.normpath(path))


def _as_json(path: str, camera: str | None, reading: Reading) -> str:
    has_time = reading.start is not None
    return json.dumps(
        {
            "path": _spelled(path),
            "camera": None if camera is None else _spelled(camera),
            "layout": reading.layout,
            "kind": reading.kind,
            "trigger": reading.trigger,
            "start": _iso(reading.start),
            "end": _iso(reading.end),
            "zone": reading.zone if has_time else None,
        }
    )


def _in_words(path: str, camera: str | None, reading: Reading) -> str:
    lines = [_printable(path), f"  {_what(reading)}"]
    if reading.layout:
        lines.append(f"  layout   {reading.layout}")
    if reading.kind in ("snapshot", "clip"):
        lines.append(f"  camera   {_printable(camera) if camera else 'not given by the path'}")
        if reading.channel is not None:
            lines.append(f"  channel  {reading.channel}")
        lines.extend(_event_and_times(reading))
    if reading.reason:
        lines.append(f"  because  {_printable(reading.reason)}")
    return "\n".join(lines)


def _what(reading: Reading) -> str:
    return {
        "snapshot": "a snapshot",
        "clip": "a clip",
        "ignore": "not an upload: ignored",
        "unknown": "not recognized",
    }[reading.kind]


def _event_and_times(reading: Reading) -> Iterator[str]:
    if reading.trigger:
        raw = f" ({_printable(reading.trigger_raw)})" if reading.trigger_raw else ""
        yield f"  trigger  {reading.trigger}{raw}"
    if reading.start is None:
        yield "  start    not given by the path"
        return
    whose = "UTC" if reading.zone == "utc" else "the camera's clock"
    fold = ", marked as summer time" if reading.fold == 0 else ""
    yield f"  start    {_iso(reading.start)} ({whose}{fold})"
    if reading.end is not None:
        yield f"  end      {_iso(reading.end)}"


def _iso(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    is_whole = moment.microsecond % 1000 == 0
    unit = "seconds" if moment.microsecond == 0 else "milliseconds" if is_whole else "auto"
    return moment.isoformat(timespec=unit)


def _spelled(text: str) -> str:
    """Return `text` with bytes that are not UTF-8 as `%XX`."""
    return _NOT_UTF8.sub(lambda byte: f"%{ord(byte[0]) - 0xDC00:02X}", text)


def _printable(text: str) -> str:
    """Return `text` for a terminal, with bytes that are not UTF-8 as `%XX`."""
    return shown(_spelled(text))
