"""A storage in memory: code that works on it makes no local path of a library."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NoReturn

import pyarrow as pa

from pano_analytics.errors import LibraryBusy
from pano_analytics.store.storage import Stamp, Storage


class MemoryStorage(Storage):
    """Files as bytes by name; `synced` are the names and folders passed to `sync`, in order.

    Any use of a local path raises AssertionError.
    """

    def __init__(self) -> None:
        super().__init__(Path("/none"))
        self.content: dict[str, bytes] = {}
        self.synced: list[str] = []
        self._versions: dict[str, int] = {}
        self._held: set[str] = set()
        self._mutex = threading.Lock()

    def path(self, name: str) -> NoReturn:
        raise AssertionError(f"{name}: expected no use of a local path")

    def address(self, name: str = "") -> str:
        return f"memory:{name}"

    def exists(self, name: str) -> bool:
        return name in self.content or any(one.startswith(f"{name}/") for one in self.content)

    def stamp(self, name: str) -> Stamp | None:
        if name not in self.content:
            return None
        return self._versions[name], 0, len(self.content[name])

    def size_bytes(self, name: str) -> int:
        return len(self.read(name))

    def read(self, name: str) -> bytes:
        try:
            return self.content[name]
        except KeyError:
            raise FileNotFoundError(2, "no such file", self.address(name)) from None

    def read_range(self, name: str, offset: int, size_bytes: int) -> bytes:
        return self.read(name)[offset : offset + size_bytes]

    def open(self, name: str) -> IO[bytes]:
        return io.BytesIO(self.read(name))

    def source(self, name: str) -> pa.NativeFile:
        return pa.BufferReader(self.read(name))

    def put(
        self, name: str, write: Callable[[IO[bytes]], object], *, is_synced: bool = False
    ) -> None:
        buffer = io.BytesIO()
        write(buffer)
        self._keep(name, buffer.getvalue())
        if is_synced:
            self.synced.append(name)

    def replace(self, name: str, data: bytes, mode: int | None = None) -> None:
        self._keep(name, data)
        self.synced.append(name)

    def _keep(self, name: str, data: bytes) -> None:
        with self._mutex:
            self.content[name] = data
            self._versions[name] = self._versions.get(name, 0) + 1

    def sync(self, names: Iterable[str]) -> None:
        self.synced += names

    def sync_folders(self, names: Iterable[str]) -> None:
        return None

    def unlink(self, name: str) -> None:
        self.content.pop(name, None)

    def remove(self, name: str) -> None:
        self.unlink(name)

    def remove_folders(self, names: Iterable[str]) -> None:
        return None

    def move(self, name: str, to: str) -> bool:
        with self._mutex:
            if name not in self.content:
                return False
            self.content[to] = self.content.pop(name)
            self._versions[to] = self._versions.get(to, 0) + 1
            return True

    def files(self, name: str) -> Iterator[str]:
        yield from [one for one in sorted(self.content) if one.startswith(f"{name}/")]

    @contextmanager
    def lock(self, name: str, wait: bool = False) -> Iterator[None]:
        if name in self._held:
            raise LibraryBusy(f"{self.address(name)}: held")
        self._held.add(name)
        try:
            yield
        finally:
            self._held.remove(name)

    def is_locked(self, name: str) -> bool:
        return name in self._held
