"""The folder of a site: its owner and its content; only changed files are written.

A list, `.pano-site.json`, contains the folders that belong to the site and a digest of the
inputs of each day's pages. It is replaced before a new folder is filled and at the end of a
run, so the next run recognises all files that a killed run leaves. Other files are never
touched.
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
# Files that a file system or a file manager creates in any folder.
_ALWAYS_THERE = frozenset(("lost+found", ".DS_Store", LOCK))
# Up to this number, files are synced one by one; each costs a file system commit.
_FEW = 64


class SiteBusy(PanoError):
    """Another run is writing the same pages."""

    exit_code = 0


class SiteFull(PanoError):
    """The disk of the site has no space left."""

    exit_code = 9


@dataclass(frozen=True, slots=True)
class BuiltDay:
    """The entry of one camera's day in the list.

    `inputs` is a digest of everything its pages were made from, empty if they must be
    written again. `files` is the number of files in its folder. `cuts` are the first uploads
    of its pages, oldest first: start in microseconds, media_id.
    """

    inputs: str = ""
    files: int = 0
    cuts: tuple[tuple[int, str], ...] = ()


@dataclass(slots=True)
class BuiltDays:
    """The list: `days` by `camera folder/date`; `fingerprints` identify the last inputs."""

    root_id: str | None = None
    fingerprints: Mapping[str, Any] = field(default_factory=dict)
    days: dict[str, BuiltDay] = field(default_factory=dict)
    cameras: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, text: bytes) -> BuiltDays:
        """Parse a list. Raises ValueError, KeyError, TypeError or AttributeError if invalid."""
        document = json.loads(text)
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']!r}")
        invalid = [key for key in document["days"] if not names.DAY_FOLDER.fullmatch(key)]
        if invalid:
            raise ValueError(f"the folder {invalid[0]!r}")
        days = {
            key: BuiltDay(inputs, files, tuple((us, first) for us, first in cuts))
            for key, (inputs, files, cuts) in document["days"].items()
        }
        return cls(document["root_id"], document["looked"], days, document["cameras"])

    def encode(self) -> bytes:
        document = {
            "about": "Written by `pano site`, which replaces and removes pages in this folder.",
            "format": FORMAT,
            "root_id": self.root_id,
            "looked": self.fingerprints,
            "cameras": self.cameras,
            "days": {
                key: [day.inputs, day.files, day.cuts] for key, day in sorted(self.days.items())
            },
        }
        return json.dumps(document, indent=0).encode()


class SiteFolder:
    """A folder that is, or will be, a site; `written` and `removed` record changed files."""

    def __init__(self, root: Path, readers: Readers = "group") -> None:
        self.root = root
        self.storage = Storage(root, readers)
        self.written: list[str] = []
        self.removed = 0

    def known(self) -> BuiltDays:
        """Return the list, empty for a new folder. Raises SettingsError if it is not a site."""
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
        names_there = set(self.storage.names()) - _ALWAYS_THERE
        # A run killed while it wrote its first list leaves only this file.
        others = sorted(name for name in names_there if not names.LEFT_LIST.fullmatch(name))
        if others:
            raise SettingsError(
                f"{self.root}: expected a new or empty folder, or a site that pano wrote; found "
                f"{others[0]!r}. Choose a folder that is used only for the site, since pages in it "
                f"are replaced and removed."
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder. Raises SiteBusy if another run has it, SiteFull if the disk is full."""
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
        """Replace the list, after syncing all written files to the disk."""
        if len(self.written) <= _FEW:
            self.storage.sync(name for name in self.written if self.storage.exists(name))
        else:
            os.sync()
        self.storage.replace(LIST, known.encode())

    def put(self, name: str, data: bytes) -> None:
        """Write the file `name` atomically, unless it already has this content."""
        if self._holds(name, data):
            return
        self.storage.put(name, lambda file: _write(file, data))
        self.written.append(name)

    def _holds(self, name: str, data: bytes) -> bool:
        try:
            is_as_long = self.storage.size_bytes(name) == len(data)
            return is_as_long and self.storage.read(name) == data
        except FileNotFoundError:
            return False

    def own(self, folder: str, pattern: re.Pattern[str]) -> set[str]:
        """Return the file names in `folder` that match `pattern`; empty if there is no folder."""
        try:
            file_names = self.storage.names(folder)
        except (FileNotFoundError, NotADirectoryError):
            return set()
        return {name for name in file_names if pattern.fullmatch(name)}

    def remove(self, folder: str, file_names: Iterable[str]) -> None:
        """Remove files of the site from `folder`, and the folder if it is then empty."""
        for name in file_names:
            self.storage.remove(f"{folder}/{name}" if folder else name)
            self.removed += 1

    def clear(self, folder: str, pattern: re.Pattern[str]) -> None:
        """Remove all of the site's files from a folder, and the folder if it is then empty."""
        self.remove(folder, self.own(folder, pattern))
        self.storage.remove_folders([f"{folder}/{names.INDEX}"])

    def is_whole(self, known: BuiltDays) -> bool:
        """Return whether all days are complete, by their number of files."""
        return self.storage.exists(names.INDEX) and all(
            day.inputs and len(self.own(key, names.IN_DAY)) == day.files
            for key, day in known.days.items()
        )


def _write(file: IO[bytes], data: bytes) -> None:
    file.write(data)


def refuse_place(folder: Path, uploads: Path | None, library: Path | None) -> None:
    """Raise SettingsError if `folder` is in the uploads, or in or around the library.

    Also raises it if `folder` exists but is not a folder, such as a broken link.
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
