"""The folder of a site: whose it is, what is in it, and that only what changed is written.

A list, `.pano-site.json`, names the folders that are the site's own and what
each day's pages were made of. It is swapped before a new folder is filled and
after all is done, so that a killed run leaves nothing that the next one would
not know as its own. Other people's files are never touched.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from pano_analytics.errors import LibraryBusy, PanoError, SettingsError
from pano_analytics.model.readers import Readers
from pano_analytics.model.upload import resolved
from pano_analytics.site import names
from pano_analytics.store.storage import Storage, StorageFull

LIST, LOCK = ".pano-site.json", ".pano-site.lock"
FORMAT = 1
# What a file system or a file manager lays into any folder.
_ALWAYS_THERE = frozenset(("lost+found", ".DS_Store", LOCK))
# Syncing file by file costs a commit of the file system each.
_FEW = 64


class SiteBusy(PanoError):
    """Another run is writing the same pages."""

    exit_code = 0


class SiteFull(PanoError):
    """The disk of the site has no space left."""

    exit_code = 9


@dataclass(frozen=True, slots=True)
class BuiltDay:
    """What the list knows of one camera's day.

    `inputs` stands for all that its pages were made of, empty where they are
    to be made again; `files` counts what lies in its folder; `cuts` are the
    first uploads of its pages, oldest first: start in microseconds, media_id.
    """

    inputs: str = ""
    files: int = 0
    cuts: tuple[tuple[int, str], ...] = ()


@dataclass(slots=True)
class BuiltDays:
    """The list: `days` by `camera folder/date`; `looked` says what was last looked at."""

    root_id: str | None = None
    looked: Mapping[str, Any] = field(default_factory=dict)
    days: dict[str, BuiltDay] = field(default_factory=dict)
    cameras: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, text: bytes) -> BuiltDays:
        """Read a list; ValueError, KeyError, TypeError or AttributeError where it is none."""
        said = json.loads(text)
        if said["format"] != FORMAT:
            raise ValueError(f"format {said['format']!r}")
        strange = [key for key in said["days"] if not names.DAY_FOLDER.fullmatch(key)]
        if strange:
            raise ValueError(f"the folder {strange[0]!r}")
        days = {
            key: BuiltDay(inputs, files, tuple((us, first) for us, first in cuts))
            for key, (inputs, files, cuts) in said["days"].items()
        }
        return cls(said["root_id"], said["looked"], days, said["cameras"])

    def encode(self) -> bytes:
        document = {
            "about": "Written by `pano site`, which replaces and removes pages in this folder.",
            "format": FORMAT,
            "root_id": self.root_id,
            "looked": self.looked,
            "cameras": self.cameras,
            "days": {
                key: [day.inputs, day.files, day.cuts] for key, day in sorted(self.days.items())
            },
        }
        return json.dumps(document, indent=0).encode()


class SiteFolder:
    """A folder that is a site, or is to become one; `written` and `removed` count files."""

    def __init__(self, root: Path, readers: Readers = "group") -> None:
        self.root = root
        self.storage = Storage(root, readers)
        self.written: list[str] = []
        self.removed = 0

    def known(self) -> BuiltDays:
        """Return the list; an empty one where there is none. SettingsError if it is not ours."""
        try:
            return BuiltDays.of(self.storage.read(LIST))
        except FileNotFoundError:
            self._refuse_other_content()
            return BuiltDays()
        except NotADirectoryError:
            raise SettingsError(
                f"{self.root}: expected a folder for the site, got a file."
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SettingsError(
                f"{self.root / LIST}: expected a file list written by this version of pano; "
                f"{error}. Empty the folder, or choose another."
            ) from error

    def _refuse_other_content(self) -> None:
        if not self.root.exists():
            return
        there = set(os.listdir(self.root)) - _ALWAYS_THERE
        # A list that was being written when its run was killed: nothing else is there then.
        found = sorted(name for name in there if not names.LEFT_LIST.fullmatch(name))
        if found:
            raise SettingsError(
                f"{self.root}: expected a new or empty folder, or a site that pano wrote; found "
                f"{found[0]!r}. Choose a folder that is used only for the site, since pages in it "
                f"are replaced and removed."
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder; SiteBusy where another run does, SiteFull where the disk is full."""
        try:
            with self.storage.lock(LOCK):
                yield
        except LibraryBusy:
            raise SiteBusy(
                f"{self.root}: another run is writing these pages; nothing was done."
            ) from None
        except StorageFull as error:
            raise SiteFull(
                f"{self.root}: expected free space; the disk or the quota is full. Existing pages "
                f"are intact; free some space and run the command again."
            ) from error

    def save(self, known: BuiltDays) -> None:
        """Swap the list, after all that was written is on the disk."""
        if len(self.written) <= _FEW:
            self.storage.sync(name for name in self.written if self.storage.exists(name))
        else:
            os.sync()
        self.storage.replace(LIST, known.encode())

    def put(self, name: str, data: bytes) -> None:
        """Let the file `name` appear, or be another, in one step; nothing if it is that already."""
        if self._holds(name, data):
            return
        self.storage.put(name, lambda file: _write(file, data))
        self.written.append(name)

    def _holds(self, name: str, data: bytes) -> bool:
        path = self.storage.path(name)
        try:
            return path.stat().st_size == len(data) and path.read_bytes() == data
        except FileNotFoundError:
            return False

    def own(self, folder: str, pattern: re.Pattern[str]) -> set[str]:
        """Return the names in `folder` that only the site itself gives; none where it is not."""
        try:
            found = os.listdir(self.storage.path(folder))
        except (FileNotFoundError, NotADirectoryError):
            return set()
        return {name for name in found if pattern.fullmatch(name)}

    def remove(self, folder: str, found: Iterable[str]) -> None:
        """Remove files of the site's own, and the folder if that leaves it empty."""
        for name in found:
            self.storage.remove(f"{folder}/{name}" if folder else name)
            self.removed += 1

    def clear(self, folder: str, pattern: re.Pattern[str]) -> None:
        """Remove all of the site's own from a folder, and the folder if nothing else is in it."""
        self.remove(folder, self.own(folder, pattern))
        try:
            self.storage.path(folder).rmdir()
        except OSError:
            return

    def is_whole(self, known: BuiltDays) -> bool:
        """Tell whether all that the list promises lies there, by number."""
        return (self.root / names.INDEX).exists() and all(
            day.inputs and len(self.own(key, names.IN_DAY)) == day.files
            for key, day in known.days.items()
        )


def _write(file: IO[bytes], data: bytes) -> None:
    file.write(data)


def refuse_place(folder: Path, uploads: Path | None, library: Path | None) -> None:
    """Raise SettingsError where pages do not belong: in the uploads, in or around the library.

    Also where something other than a folder is there, such as a link that leads nowhere.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        what = "a link to no folder" if folder.is_symlink() else "a file"
        raise SettingsError(
            f"{folder}: expected a folder for the site, got {what}. Choose another folder."
        )
    place = resolved(folder)
    if uploads is not None and place.is_relative_to(resolved(uploads)):
        raise SettingsError(
            f"{folder}: expected a folder outside the upload tree ({uploads}), which is only "
            f"read. Choose another for the site."
        )
    if library is None:
        return
    home = resolved(library)
    if place.is_relative_to(home) or home.is_relative_to(place):
        raise SettingsError(
            f"{folder}: expected a folder outside the library ({library}), which must not be "
            f"published by a web server. Choose another for the site."
        )
