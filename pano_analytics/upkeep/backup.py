"""Backup and restore of what the uploads cannot recreate: journal, decisions, users, settings.

The catalog is left out by default, since it can be rebuilt from tree and journal. The thumbnails
of uploads that are gone are included, since they cannot be recreated. A backup is one tar file
(gzipped if its name ends so) whose last member, `backup.json`, has the size and SHA-256 of every
other. It can be encrypted with a passphrase (`sealed`), or leave out secrets.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any

import pyarrow.compute as pc

from pano_analytics.access.users import FILE_NAME as USERS
from pano_analytics.access.users import SECRET_NAME as SECRET
from pano_analytics.errors import LibraryError, SettingsError
from pano_analytics.ingest import memory
from pano_analytics.model.upload import media_id, resolved
from pano_analytics.store import locators
from pano_analytics.store.catalog import MANIFEST, Catalog
from pano_analytics.store.decisions import FOLDER as DECISIONS
from pano_analytics.store.home import NAME as HOME_PAGE
from pano_analytics.store.home import Home
from pano_analytics.store.journal import FOLDER as JOURNAL
from pano_analytics.store.journal import Journal, Torn
from pano_analytics.store.locks import writing
from pano_analytics.store.storage import TEMPORARY, Storage, sync_path
from pano_analytics.store.timekeeping import PAGE as CLOCK_PAGE
from pano_analytics.store.tree import ADOPTED
from pano_analytics.upkeep import sealed

FORMAT = 1
INDEX = "backup.json"
SETTINGS = "pano.toml"
# Settings too: addresses and commands in them may contain keys.
_PRIVATE = (USERS, SECRET, SETTINGS)
_SINGLE = (HOME_PAGE, ADOPTED, CLOCK_PAGE, *_PRIVATE)
_ALLOWED = re.compile(
    rf"(?:{'|'.join(map(re.escape, (*_SINGLE, MANIFEST)))}"
    rf"|{JOURNAL}/[\w-]+\.parquet|{DECISIONS}/[\w-]+\.(?:jsonl|parquet)"
    r"|(?:parts|manifests|thumbs)/.+)"
)
_CHUNK_BYTES = 1 << 20
# Opens a file of the backup for reading.
Source = Callable[[], IO[bytes]]
_MAX_INDEX_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class BackedUp:
    """The contents of a backup that was written.

    `torn` are files of the journal that are cut off; the backup contains them unchanged.
    """

    target: Path
    files: int
    size_bytes: int
    has_catalog: bool
    has_secrets: bool = True
    is_encrypted: bool = False
    torn: tuple[Torn, ...] = ()


@dataclass(frozen=True, slots=True)
class Restored:
    """The result of a restore: `files` were restored, `left` are files that the library kept."""

    files: tuple[str, ...]
    left: tuple[str, ...]
    has_catalog: bool
    has_secrets: bool = True


# --- backup -----------------------------------------------------------------


def backup(
    folder: Path,
    target: Path,
    settings_file: Path | None = None,
    with_catalog: bool = False,
    *,
    with_secrets: bool = True,
    passphrase: str | None = None,
) -> BackedUp:
    """Write a backup of the library in `folder` to the tar file `target`.

    Without secrets it contains neither users nor the login secret nor the settings file;
    with a `passphrase` it is encrypted. Waits for a run to finish. `target` appears complete
    or not at all, is readable by its owner only, and replaces an earlier backup. Raises
    LibraryError if there is no library, JournalError if a file of the journal is torn and an
    earlier backup, which may have it complete, would be replaced, SettingsError for a short
    passphrase, a target below the upload root, and a target that is another kind of file.
    """
    if passphrase is not None:
        sealed.check_passphrase(passphrase)
    storage = Storage(folder)
    home = Home.read(storage)
    if home is None:
        raise LibraryError(f"{folder}: expected a library to back up; there is none.")
    _check_target(target, home.settings.uploads)
    with writing(storage, wait=True), _atomic_file(target) as file:
        torn = tuple(Journal(storage).torn())
        if target.exists() and target.stat().st_size:
            Journal(storage).require()
        names = _names(storage, with_catalog)
        catalog = Catalog(storage)
        sources: dict[str, Source] = {
            name: partial(storage.open, catalog.where(name)) for name in names
        }
        if settings_file is not None:
            sources[SETTINGS] = lambda: settings_file.open("rb")
        if not with_secrets:
            sources = {name: one for name, one in sources.items() if name not in _PRIVATE}
        properties = {
            "root_id": home.root_id,
            "has_catalog": MANIFEST in sources,
            "has_secrets": with_secrets,
        }
        with _encrypting(file, passphrase) as out:
            files = _write(out, sources, properties, target.name.endswith((".gz", ".tgz")))
    size_bytes = sum(one["size_bytes"] for one in files.values())
    is_encrypted, has_catalog = passphrase is not None, MANIFEST in sources
    return BackedUp(target, len(files), size_bytes, has_catalog, with_secrets, is_encrypted, torn)


def _check_target(target: Path, uploads: Path | None) -> None:
    """Raise SettingsError for a target in the upload tree, or one that is not a backup."""
    if uploads is not None and resolved(target).is_relative_to(resolved(uploads)):
        raise SettingsError(
            f"{target}: expected a path outside the upload tree, which pano only reads; "
            f"choose another. Nothing was written."
        )
    if os.path.lexists(target) and not _is_replaceable(target):
        raise SettingsError(
            f"{target}: expected a new file, or an earlier backup to replace; there is "
            f"another file, which was not changed. Choose another name."
        )


def _is_replaceable(target: Path) -> bool:
    """Return whether a file is empty or begins like a backup, even one that is cut off."""
    if not target.is_file():
        return False
    try:
        if target.stat().st_size == 0 or is_encrypted(target):
            return True
        with tarfile.open(target, mode="r|*") as tar:
            first = tar.next()
    except (tarfile.TarError, EOFError, zlib.error, OSError, LibraryError):
        return False
    return first is not None and _is_ours(first)


@contextmanager
def _encrypting(file: IO[bytes], passphrase: str | None) -> Iterator[Any]:
    """Yield the file to write to: `file`, or a writer that encrypts into it."""
    if passphrase is None:
        yield file
        return
    writer = sealed.Writer(file, passphrase)
    yield writer
    writer.close()


def _names(storage: Storage, with_catalog: bool) -> list[str]:
    """Return the names of the files to back up; the manifest after the files that it names."""
    single = [
        name for name in (HOME_PAGE, ADOPTED, CLOCK_PAGE, USERS, SECRET) if storage.exists(name)
    ]
    journal = [name for name in storage.files(JOURNAL) if not name.endswith(TEMPORARY)]
    # Writers may go on: of each file, the bytes that it has when it is packed.
    decisions = [name for name in storage.files(DECISIONS) if not name.endswith(TEMPORARY)]
    packs = _packs_of_gone(storage)
    parts: list[str] = []
    manifest = Catalog(storage).manifest() if with_catalog else None
    if manifest is not None and manifest.generation:
        parts = [part.path for _, _, part in manifest.everything()]
        parts += manifest.files()
        packs |= {name for name in storage.files(locators.FOLDER) if not name.endswith(TEMPORARY)}
    facts = [*sorted(journal), *sorted(decisions)]
    return [*single, *facts, *sorted(packs), *parts, *([MANIFEST] if parts else [])]


def _packs_of_gone(storage: Storage) -> set[str]:
    journal = Journal(storage)
    if journal.torn():
        # The packs of rows that cannot be read are unknown, so take all of them.
        return {name for name in storage.files(locators.FOLDER) if not name.endswith(TEMPORARY)}
    packs: set[str] = set()
    for name in journal.gone_files():
        frames = pc.list_flatten(journal.read_gone(name, ("frames",))["frames"])
        packs |= locators.files(pc.struct_field(frames, "thumb"))
    return {name for name in packs if storage.exists(name)}


@contextmanager
def _atomic_file(target: Path) -> Iterator[IO[bytes]]:
    """Yield a file that becomes `target`, synced to disk, unless the block raises."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}{TEMPORARY}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        sync_path(target.parent)
    except OSError as error:
        raise LibraryError(
            f"{target}: cannot write the backup; {error}. Check the disk, or choose another "
            f"target; an existing file is unchanged."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _write(
    file: Any, sources: Mapping[str, Source], about: Mapping[str, Any], is_gzip: bool
) -> dict[str, dict[str, Any]]:
    files: dict[str, dict[str, Any]] = {}
    with (
        gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1)
        if is_gzip
        else nullcontext(file) as out,
        tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, source in sources.items():
            files[name] = _add(tar, name, source)
        made = datetime.now(UTC).isoformat(timespec="seconds")
        index = {"format": FORMAT, "made": made, **about, "files": files}
        data = json.dumps(index, indent=1).encode()
        tar.addfile(_member(INDEX, len(data)), io.BytesIO(data))
    return files


def _add(tar: tarfile.TarFile, name: str, source: Source) -> dict[str, Any]:
    with source() as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        hashing = _Hashing(file)
        tar.addfile(_member(name, size), hashing)
    return {"size_bytes": size, "sha256": hashing.digest.hexdigest()}


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o600, int(time.time())
    return member


class _Hashing:
    """A file wrapper that hashes the bytes read through it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data


# --- restore ----------------------------------------------------------------


def is_encrypted(source: Path) -> bool:
    """Return whether the backup at `source` needs a passphrase. Raises LibraryError."""
    with _readable(source), source.open("rb") as file:
        return sealed.is_sealed(file.read(len(sealed.MAGIC)))


def restore(source: Path, folder: Path, passphrase: str | None = None) -> Restored:
    """Restore a backup into the library `folder`, after verifying every byte of it.

    The folder must be new, empty, or the same library: then the journals and the decisions are
    merged, users and settings are replaced by those of the backup (if it has them), and an
    existing catalog is kept. Raises LibraryError if the backup is damaged, not a backup, or of
    another library, or if `passphrase` is wrong; nothing is written then.
    """
    index = _verified(source, passphrase)
    storage = Storage(folder)
    _check_folder(storage, index)
    with writing(storage, wait=True):
        has_catalog = storage.exists(MANIFEST)
        files = index["files"]
        restored = [name for name in files if _is_wanted(storage, name, files[name], has_catalog)]
        with _opened(source, passphrase) as tar:
            _put_all(storage, tar, set(restored))
    left = tuple(name for name in index["files"] if name not in restored)
    has_secrets = index.get("has_secrets", True)
    return Restored(tuple(restored), left, storage.exists(MANIFEST), has_secrets)


@contextmanager
def _opened(source: Path, passphrase: str | None) -> Iterator[tarfile.TarFile]:
    """Open a backup for reading its members in order."""
    if is_encrypted(source) and passphrase is None:
        raise sealed.SealError(
            f"{source}: this backup is encrypted, and no passphrase was given. Nothing was "
            f"restored; use --passphrase-file."
        )
    with _readable(source), source.open("rb") as file:
        content: Any = file
        if is_encrypted(source):
            content = sealed.SealedReader(file, str(passphrase), str(source))
        with tarfile.open(fileobj=content, mode="r|*") as tar:
            yield tar


@contextmanager
def _readable(source: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise LibraryError(
            f"{source}: expected a readable backup, and enough space to restore it; {error}."
        ) from error


def _verified(source: Path, passphrase: str | None) -> dict[str, Any]:
    """Return the backup's index after comparing every member with it."""
    measured: dict[str, dict[str, Any]] = {}
    index: dict[str, Any] | None = None
    with _opened(source, passphrase) as tar:
        for member in tar:
            if not _is_ours(member) or member.name in measured or index is not None:
                raise _not_a_backup(
                    source, f"the member {member.name!r}, which does not belong in a backup"
                )
            file = tar.extractfile(member)
            assert file is not None, "a regular member has content"
            if member.name == INDEX:
                index = _index(source, file.read(_MAX_INDEX_BYTES))
            else:
                measured[member.name] = _measured(file)
    if index is None:
        raise _not_a_backup(source, f"no {INDEX} at its end: it is cut off")
    _check_members(source, index["files"], measured)
    return index


def _is_ours(member: tarfile.TarInfo) -> bool:
    """Return whether a member belongs in a backup; others are never read.

    Its link, owner, mode and path are never used for extraction either.
    """
    parts = member.name.split("/")
    is_named = member.name == INDEX or _ALLOWED.fullmatch(member.name) is not None
    return member.isreg() and is_named and not {"", ".", ".."} & set(parts)


def _index(source: Path, data: bytes) -> dict[str, Any]:
    try:
        index = json.loads(data)
        if index["format"] == FORMAT and isinstance(index["root_id"], str) and index["files"]:
            return dict(index)
    except (ValueError, KeyError, TypeError):
        pass
    raise _not_a_backup(source, f"an {INDEX} of another format; it may be from a newer pano")


def _measured(file: IO[bytes]) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    while data := file.read(_CHUNK_BYTES):
        digest.update(data)
        size += len(data)
    return {"size_bytes": size, "sha256": digest.hexdigest()}


def _check_members(source: Path, listed: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    for name in sorted(set(listed) | set(found)):
        if listed.get(name) != found.get(name):
            raise LibraryError(
                f"{source}: expected {name} as its {INDEX} says; it is damaged or missing. "
                f"Nothing was restored; use another backup."
            )


def _not_a_backup(source: Path, found: str) -> LibraryError:
    return LibraryError(
        f"{source}: expected a backup that `pano backup` wrote; got {found}. Nothing was restored."
    )


def _check_folder(storage: Storage, index: Mapping[str, Any]) -> None:
    """Raise LibraryError if a folder contains anything but this library or parts of this backup."""
    root_id = index["root_id"]
    if _is_partly_restored(storage, index["files"]) or _identity(storage, root_id) == root_id:
        return
    raise LibraryError(
        f"{storage.address()}: expected a new or empty folder, or the library that the backup is "
        f"of; it has other content. Choose another folder; nothing was restored."
    )


def _is_partly_restored(storage: Storage, files: Mapping[str, Any]) -> bool:
    """Return whether all files there are from an interrupted restore of this backup."""
    names = (name.removeprefix("./") for name in storage.files("."))
    rest = (
        name for name in names if not name.startswith("state/") and not name.endswith(TEMPORARY)
    )
    return all(name in files and _measured_at(storage, name) == files[name] for name in rest)


def _measured_at(storage: Storage, name: str) -> dict[str, Any]:
    with storage.open(name) as file:
        return _measured(file)


def _identity(storage: Storage, root_id: str) -> str | None:
    """Return the library's identity, from its page, or `root_id` if its journal matches that."""
    try:
        home = Home.read(storage)
    except LibraryError:
        home = None
    if home is not None:
        return home.root_id
    facts = Journal(storage).seen().slice(0, 1).to_pylist()
    is_own = any(media_id(root_id, fact["path"]) == fact["media_id"] for fact in facts)
    return root_id if is_own else None


def _is_wanted(storage: Storage, name: str, measured: Mapping[str, Any], has_catalog: bool) -> bool:
    """Return whether a file of the backup, with the size and hash `measured`, is restored."""
    if name in _SINGLE:
        return True
    if name == MANIFEST or name.startswith(("parts/", "manifests/")):
        return not has_catalog
    if name.startswith(f"{DECISIONS}/") and storage.exists(name):
        return _is_damaged(storage, name, measured)
    # Journal files and packs never change, except those that a power cut has torn.
    is_torn = name.startswith(f"{JOURNAL}/") and Journal(storage).is_torn(name)
    return is_torn or not storage.exists(name)


def _is_damaged(storage: Storage, name: str, measured: Mapping[str, Any]) -> bool:
    """Return whether a file of decisions has lost what the backup has of it.

    These files only grow. One that a process has open is never replaced.
    """
    is_shorter = storage.size_bytes(name) <= measured["size_bytes"]
    return is_shorter and storage.is_unlocked(name) and _measured_at(storage, name) != measured


def _put_all(storage: Storage, tar: tarfile.TarFile, names: set[str]) -> None:
    """Restore immutable files first and sync them; then the others, and the manifest last."""
    later: dict[str, bytes] = {}
    for member in tar:
        file = tar.extractfile(member) if member.name in names else None
        if file is None:
            continue
        if member.name in _SINGLE or member.name == MANIFEST:
            later[member.name] = file.read()
        else:
            storage.put(member.name, partial(shutil.copyfileobj, file))
    storage.sync(names - set(later))
    for name, data in later.items():
        if name in _PRIVATE:
            storage.replace(name, data, mode=0o600)
        elif name != MANIFEST:
            storage.replace(name, data)
    if MANIFEST in later:
        # The last run's memory of the tree belongs to another catalog.
        storage.remove(memory.NAME)
        storage.replace(MANIFEST, later[MANIFEST])
        # Remove parts of a catalog whose manifest was lost: tools that read the folder would see
        # their rows twice.
        Catalog(storage).sweep()
