"""A camera's folder as its FTP session sees it: without links, without parts, never beyond it.

Whatever is written goes through descriptors of folders that are opened one by one, no
link followed (`tree.open_folder`); what is only looked at is looked at with `lstat`.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

from pyftpdlib.exceptions import FilesystemError
from pyftpdlib.filesystems import AbstractedFS

from pano_analytics.layouts import later
from pano_analytics.layouts.sidecars import PART
from pano_analytics.receive.publish import NotAFile, Published, open_file, publish
from pano_analytics.receive.staging import Mode, Place, Shared, Upload
from pano_analytics.receive.wholeness import is_in_progress
from pano_analytics.store.tree import open_folder


class Jail(AbstractedFS):  # type: ignore[misc]
    """The file system that pyftpdlib asks; paths are absolute, as on disk."""

    def __init__(self, root: str, cmd_channel: Any) -> None:
        super().__init__(root, cmd_channel)
        self.declared: int | None = None
        """What ALLO said of the upload that begins next, in bytes."""
        service = cmd_channel.service
        self._uploads: Path = service.uploads
        self._shared: Shared = service.shared

    def place(self, path: str) -> Place:
        """Return the place of a path that a camera named."""
        return Place.of(Path(path), self._uploads)

    # --- what is written

    def open(self, filename: str, mode: str) -> Upload:
        """Return an Upload for a name that a camera may write to; the modes are pyftpdlib's."""
        kind: Mode = "append" if "a" in mode else "resume" if "+" in mode else "new"
        place = self._checked(filename)
        if kind == "resume" and place.size() < 0:
            raise FilesystemError("No such file; send it from its beginning")
        return Upload(place, kind, self.declared, self._shared)

    def _checked(self, path: str) -> Place:
        """Return the place of a name that a camera may write to. Raises FilesystemError."""
        place = self.place(path)
        if is_ours(place.name):
            raise FilesystemError("That name is not for uploads")
        try:
            with place.opened() as folder:
                if not _is_free_or_file(folder, place.name):
                    raise FilesystemError("Not a file")
                if not os.access(".", os.W_OK, dir_fd=folder):
                    raise FilesystemError("Permission denied")
        except OSError as error:
            raise FilesystemError("No such directory") from error
        return place

    def rename(self, src: str, dst: str) -> Published:
        """Give an upload in progress its final name; as long as the disk takes.

        Uploads that came later under the name in progress get later final names. Raises
        FilesystemError for any other rename, and OSError.
        """
        target, source = self._checked(dst), self.place(src)
        if source == target:
            return Published(target.name, "same")
        if not is_in_progress(source.name):
            raise FilesystemError("Only an upload in progress (as in .mp4_ or .tmp) can be renamed")
        limits = self._shared.limits
        with source.opened() as folder, target.opened() as to_folder:
            self._check_source(folder, source)
            published = [
                publish(
                    folder,
                    name,
                    to_folder,
                    target.name,
                    is_synced=limits.is_synced,
                    is_contents_checked=limits.is_contents_checked,
                )
                for name in [source.name, *_later_ones(folder, source.name)]
            ]
        if limits.is_synced:
            self._shared.folders.sync_above(target)
        return published[0]

    def _check_source(self, folder: int, source: Place) -> None:
        try:
            open_file(folder, source.name).close()
        except NotAFile as error:
            raise FilesystemError("Only an upload in progress can be renamed") from error

    def mkdir(self, path: str) -> None:
        """Make a folder that is on the disk when this returns."""
        place = self.place(path)
        if is_ours(place.name):
            raise FilesystemError("That name is not for uploads")
        with place.opened() as above:
            os.mkdir(place.name, dir_fd=above)
        if self._shared.limits.is_synced:
            self._shared.folders.sync_above(Place(place.root, (*place.folders, place.name), ""))

    # --- what is looked at

    def validpath(self, path: str) -> bool:
        """Tell whether a path lies below the camera's folder, and no link on the way to it."""
        path, root = os.path.normpath(path), os.path.normpath(self.root)
        if path == root:
            return True
        if not path.startswith(root + os.sep):
            return False
        above = Path(path).parent
        return not any(
            one.is_symlink() for one in (above, *above.parents) if len(str(one)) > len(root)
        )

    def chdir(self, path: str) -> None:
        # Not the process's own folder: all cameras share it.
        if not self.isdir(path):
            raise FilesystemError("No such directory")
        self.cwd = self.fs2ftp(path)

    def listdir(self, path: str) -> list[str]:
        """Return the names in a folder that are files and folders of the camera's own."""
        place = self.place(path)
        descriptor = open_folder(place.root, (*place.folders, place.name))
        try:
            with os.scandir(descriptor) as listing:
                return [
                    item.name for item in listing if not (item.is_symlink() or is_ours(item.name))
                ]
        finally:
            os.close(descriptor)

    def lstat(self, path: str) -> os.stat_result:
        """Look at a path; links and names of ours are not there. Raises FileNotFoundError."""
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode) or is_ours(Path(path).name):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return found

    def stat(self, path: str) -> os.stat_result:
        return self.lstat(path)

    def lexists(self, path: str) -> bool:
        return self._mode(path) is not None

    def isfile(self, path: str) -> bool:
        mode = self._mode(path)
        return mode is not None and stat.S_ISREG(mode)

    def isdir(self, path: str) -> bool:
        mode = self._mode(path)
        return mode is not None and stat.S_ISDIR(mode)

    def _mode(self, path: str) -> int | None:
        try:
            return self.lstat(path).st_mode
        except OSError:
            return None

    def getsize(self, path: str) -> int:
        return self.lstat(path).st_size

    def getmtime(self, path: str) -> float:
        return self.lstat(path).st_mtime

    def get_user_by_uid(self, uid: int) -> str:
        return "camera"

    def get_group_by_gid(self, gid: int) -> str:
        return "camera"


def is_ours(name: str) -> bool:
    """Tell whether only this server gives such a name: to parts, and to later uploads."""
    return name.lower().endswith(PART) or later.split(name)[1] is not None


def _later_ones(folder: int, name: str) -> list[str]:
    """Return the names of the uploads that came later under `name`."""
    return [
        one for one in sorted(os.listdir(folder)) if one != name and later.split(one)[0] == name
    ]


def _is_free_or_file(folder: int, name: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return True
