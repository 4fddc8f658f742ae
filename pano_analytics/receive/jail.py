"""The view that an FTP session has of its camera's folder: no links, no parts, nothing outside.

Writing uses descriptors of folders that are opened one by one without following links
(`tree.open_folder`); reading uses `lstat`.
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
from pano_analytics.receive.staging import IncomingUpload, Mode, ServerState, UploadPath
from pano_analytics.receive.wholeness import is_in_progress
from pano_analytics.store.tree import open_folder


class Jail(AbstractedFS):  # type: ignore[misc]
    """The file system that pyftpdlib uses; paths are absolute, as on disk."""

    def __init__(self, root: str, cmd_channel: Any) -> None:
        super().__init__(root, cmd_channel)
        self.declared: int | None = None
        """The size of the next upload in bytes, as announced by ALLO."""
        service = cmd_channel.service
        self._uploads: Path = service.uploads
        self._shared: ServerState = service.shared

    def place(self, path: str) -> UploadPath:
        """Return the location of a path that a camera sent."""
        return UploadPath.of(Path(path), self._uploads)

    # --- writing

    def open(self, filename: str, mode: str) -> IncomingUpload:
        """Return an Upload for a name that a camera may write to; `mode` is pyftpdlib's."""
        kind: Mode = "append" if "a" in mode else "resume" if "+" in mode else "new"
        place = self._checked(filename)
        if kind == "resume" and place.size() < 0:
            raise FilesystemError("No such file; send it from its beginning")
        return IncomingUpload(place, kind, self.declared, self._shared)

    def _checked(self, path: str) -> UploadPath:
        """Return the location of a name that a camera may write to. Raises FilesystemError."""
        place = self.place(path)
        if is_ours(place.name):
            raise FilesystemError("That name is reserved")
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
        """Give an upload in progress its final name; waits for the disk.

        Later uploads of the name in progress get later final names. Raises FilesystemError
        for any other rename, and OSError.
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
                for name in [source.name, *_later_names(folder, source.name)]
            ]
        if limits.is_synced:
            self._shared.folders.sync_path_to(target)
        return published[0]

    def _check_source(self, folder: int, source: UploadPath) -> None:
        try:
            open_file(folder, source.name).close()
        except NotAFile as error:
            raise FilesystemError("Only an upload in progress can be renamed") from error

    def mkdir(self, path: str) -> None:
        """Create a folder; it is durable when this returns."""
        place = self.place(path)
        if is_ours(place.name):
            raise FilesystemError("That name is reserved")
        with place.opened() as above:
            os.mkdir(place.name, dir_fd=above)
        if self._shared.limits.is_synced:
            self._shared.folders.sync_path_to(
                UploadPath(place.root, (*place.folders, place.name), "")
            )

    # --- reading

    def validpath(self, path: str) -> bool:
        """Return whether a path is below the camera's folder, without links on the way."""
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
        # Do not change the working directory of the process, which all cameras share.
        if not self.isdir(path):
            raise FilesystemError("No such directory")
        self.cwd = self.fs2ftp(path)

    def listdir(self, path: str) -> list[str]:
        """Return the names of the camera's files and folders in a folder."""
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
        """Return the status of a path. Raises FileNotFoundError also for links and our names."""
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode) or is_ours(Path(path).name):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return status

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
    """Return whether a name is reserved for this server: for parts and later uploads."""
    return name.lower().endswith(PART) or later.split(name)[1] is not None


def _later_names(folder: int, name: str) -> list[str]:
    """Return the names of later uploads of `name`."""
    return [
        one for one in sorted(os.listdir(folder)) if one != name and later.split(one)[0] == name
    ]


def _is_free_or_file(folder: int, name: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return True
