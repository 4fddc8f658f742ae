"""Backup and restore: what only we know comes back, whole, verified and where it belongs."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from lived_in import assert_same, at, fresh, lay, live, picture, renew, run, told

from pano_analytics.access.users import Users, login_secret
from pano_analytics.cli import pano
from pano_analytics.errors import LibraryError, SettingsError
from pano_analytics.library import Library
from pano_analytics.settings import Settings
from pano_analytics.store.journal import Journal
from pano_analytics.store.storage import Storage
from pano_analytics.upkeep.backup import INDEX, backup, restore


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Return the settings of a library that has lived, with a user; only to be copied."""
    settings = fresh(tmp_path_factory.mktemp("lived"))
    library = live(settings)
    Users(library.folder).add("anna", "correct horse")
    login_secret(library.folder)
    return settings


@pytest.fixture
def settings(lived: Settings, tmp_path: Path) -> Settings:
    for name, folder in (("uploads", lived.uploads), ("library", lived.library)):
        shutil.copytree(str(folder), tmp_path / name)
    return lived.model_copy(
        update={"uploads": tmp_path / "uploads", "library": tmp_path / "library"}
    )


@pytest.fixture
def kept(library: Library, tmp_path: Path) -> Path:
    """Return a backup without the catalog."""
    backup(library.folder, tmp_path / "kept.tar")
    return tmp_path / "kept.tar"


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("make", [renew, run], ids=["rebuild", "ingest"])
@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
def test_backup_delete_restore_rebuild_is_as_before(
    settings: Settings, library: Library, tmp_path: Path, ending: str, make: Callable[..., object]
) -> None:
    """Rows, arrivals, hashes, frames, thumbnails of what is gone, users: all as they were."""
    before, secret = told(library), login_secret(library.folder)
    backup(library.folder, tmp_path / f"kept.{ending}")
    shutil.rmtree(library.folder)
    restore(tmp_path / f"kept.{ending}", library.folder)
    make(settings)
    again = Library.of(settings)
    assert_same(before, told(again))
    assert Users(again.folder).verify("anna", "correct horse")
    assert login_secret(again.folder) == secret


def test_with_the_catalog_nothing_need_be_made_anew(
    settings: Settings, library: Library, tmp_path: Path
) -> None:
    """A backup with the catalog answers at once, and the next run finds nothing to do."""
    before, generation = told(library), library.generation
    kept = backup(library.folder, tmp_path / "kept.tar", with_catalog=True)
    shutil.rmtree(library.folder)
    done = restore(kept.target, library.folder)
    assert kept.has_catalog
    assert done.has_catalog
    assert library.folder.joinpath("manifest.json").exists()
    again = Library.of(settings)
    assert_same(before, told(again))
    assert run(settings).tally.total == 0
    assert again.generation == generation


def test_what_is_derived_is_left_out(kept: Path) -> None:
    """Rows, memory and lock are not in; thumbnails only where their uploads are gone."""
    with tarfile.open(kept) as tar:
        names = tar.getnames()
    assert {name.split("/")[0] for name in names} == {
        *("library.json", "clock.json", "users.json", "login.secret", "journal", "thumbs", INDEX)
    }


def test_the_index_holds_the_hash_of_every_member(kept: Path) -> None:
    """`sha256sum` can verify a backup without us."""
    with tarfile.open(kept) as tar:
        members = {one.name: tar.extractfile(one) for one in tar}
        said = json.loads(members.pop(INDEX).read())["files"]  # type: ignore[union-attr]
        assert list(said) == list(members)
        for name, file in members.items():
            assert file is not None
            data = file.read()
            assert said[name] == {
                "size_bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }


def test_secrets_stay_their_owners(kept: Path, library: Library) -> None:
    """Neither the backup nor what is restored of it can be read by others."""
    shutil.rmtree(library.folder)
    restore(kept, library.folder)
    for path in (kept, library.folder / "users.json", library.folder / "login.secret"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_damaged_byte_is_found_before_anything_is_written(
    kept: Path, library: Library, tmp_path: Path
) -> None:
    """Every quarter of a backup is verified; a cut one is told as well."""
    whole = kept.read_bytes()
    shutil.rmtree(library.folder)
    for part in range(1, 5):
        data = bytearray(whole)
        with tarfile.open(kept) as tar:
            members = [one for one in tar if one.size > 64]
        data[members[len(members) * part // 5].offset_data + 32] ^= 1
        kept.write_bytes(data)
        with pytest.raises(LibraryError, match="damaged"):
            restore(kept, library.folder)
    for cut in (0, 100, len(whole) // 2, len(whole) - 30_000):
        kept.write_bytes(whole[:cut])
        with pytest.raises(LibraryError):
            restore(kept, library.folder)
    assert not library.folder.exists()


def _planted(kept: Path, member: tarfile.TarInfo, data: bytes = b"") -> None:
    """Put a member before the others of a backup, its index fitting."""
    with tarfile.open(kept) as tar:
        members = {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]
    index = json.loads(members.pop(INDEX))
    said = {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    index["files"][member.name] = said
    member.size = len(data)
    with tarfile.open(kept, "w") as tar:
        tar.addfile(member, io.BytesIO(data))
        for name, own in {**members, INDEX: json.dumps(index).encode()}.items():
            info = tarfile.TarInfo(name)
            info.size = len(own)
            tar.addfile(info, io.BytesIO(own))


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "/etc/outside",
        "journal/../../outside.parquet",
        "thumbs/../../outside",
        "thumbs//outside",
        "parts/./outside",
        "state/lock",
        "journal/outside.sh",
        "journal/seen\n.parquet",
        "authorized_keys",
    ],
)
def test_names_that_lead_elsewhere_are_refused(
    kept: Path, library: Library, tmp_path: Path, name: str
) -> None:
    """Only what backups have is restored, and nothing of one that has more."""
    _planted(kept, tarfile.TarInfo(name), b"evil")
    shutil.rmtree(library.folder)
    before = set(tmp_path.iterdir())
    with pytest.raises(LibraryError, match=r"does not belong in a backup|damaged"):
        restore(kept, library.folder)
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_pipes_are_refused(kept: Path, library: Library, kind: bytes) -> None:
    """A member that is no regular file is none of ours, whatever its name."""
    member = tarfile.TarInfo("thumbs/link")
    member.type, member.linkname = kind, "/etc"
    _planted(kept, member)
    shutil.rmtree(library.folder)
    with pytest.raises(LibraryError, match="does not belong in a backup"):
        restore(kept, library.folder)
    assert not library.folder.exists()


def test_a_member_twice_is_refused(kept: Path, library: Library) -> None:
    """The second of two members of one name would be written without having been verified."""
    with tarfile.open(kept) as tar:
        data = tar.extractfile("users.json").read()  # type: ignore[union-attr]
    _planted(kept, tarfile.TarInfo("users.json"), data)
    shutil.rmtree(library.folder)
    with pytest.raises(LibraryError, match="does not belong in a backup"):
        restore(kept, library.folder)


def test_somebody_elses_folder_is_refused(kept: Path, tmp_path: Path) -> None:
    """Neither a folder of other things nor another library is written into."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/one.jpg").write_bytes(b"x")
    (tmp_path / "other").mkdir()
    other = fresh(tmp_path / "other")
    lay(picture(1), tmp_path / "other/uploads" / at(1))
    run(other)
    for folder in (tmp_path / "photos", tmp_path / "other/library"):
        before = content(folder)
        with pytest.raises(LibraryError, match="it has other content"):
            restore(kept, folder)
        assert content(folder) == before


def test_its_own_library_is_joined_not_thrown_back(
    settings: Settings, library: Library, kept: Path
) -> None:
    """What was learnt after the backup stays; what was lost comes back."""
    assert settings.uploads is not None
    lay(picture(500), settings.uploads / at(500))
    run(settings)
    before = told(library)
    for path in (library.folder / "journal").glob("gone-*"):
        path.unlink()
    (library.folder / "users.json").unlink()
    (library.folder / "library.json").write_bytes(b"torn")
    done = restore(kept, library.folder)
    assert done.has_catalog
    assert Users(library.folder).verify("anna", "correct horse")
    assert_same(before, told(library))
    renew(settings)
    assert_same(before, told(library))
    assert picture(500) == (settings.uploads / at(500)).read_bytes()
    hashes = Journal(library.storage).seen()["sha256"].to_pylist()
    assert hashlib.sha256(picture(500)).hexdigest() in hashes


def test_an_older_copy_of_a_folded_journal_says_nothing_twice(
    settings: Settings, library: Library, kept: Path
) -> None:
    """Notes that come back beside what they were folded into are one row each."""
    before = told(library)
    journal = Journal(library.storage)
    for kind, facts in (("seen", journal.seen()), ("gone", _gone(journal))):
        for path in (library.folder / "journal").glob(f"{kind}-*"):
            path.unlink()
        journal.note_seen(facts) if kind == "seen" else journal.note_gone(facts)
    restore(kept, library.folder)
    assert len(_gone(journal)) > before[0].state.eq("missing").sum()
    renew(settings)
    assert_same(before, told(library))


def _gone(journal: Journal) -> object:
    import pyarrow as pa

    return pa.concat_tables([journal.read_gone(name) for name in journal.gone_files()])


def test_a_backup_is_there_whole_or_not_at_all(library: Library, tmp_path: Path) -> None:
    """A target that cannot be written is told, and no half file is left."""
    with pytest.raises(LibraryError, match="cannot write the backup"):
        backup(library.folder, tmp_path / "nowhere/kept.tar")
    backup(library.folder, tmp_path / "old.tar")
    before = (tmp_path / "old.tar").read_bytes()
    (library.folder / "journal/unreadable.parquet").symlink_to(tmp_path / "nowhere")
    with pytest.raises(LibraryError, match="cannot write the backup"):
        backup(library.folder, tmp_path / "old.tar")
    assert (tmp_path / "old.tar").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"uploads", "library", "old.tar"}


@pytest.mark.parametrize("name", ["pano.toml", "photo.jpg", "other.tar", "other.tar.gz", "pipe"])
def test_nothing_but_a_backup_is_replaced(library: Library, tmp_path: Path, name: str) -> None:
    """A name typed wrong costs nobody a file; an earlier backup and an empty file make room."""
    target, note = tmp_path / name, tmp_path / "note.txt"
    note.write_text("of somebody else")
    if name == "pipe":
        os.mkfifo(target)
    elif ".tar" in name:
        with tarfile.open(target, "w:gz" if name.endswith("gz") else "w") as tar:
            tar.add(note, "note.txt")
    else:
        target.write_bytes(picture(1))
    before = None if name == "pipe" else target.read_bytes()
    with pytest.raises(SettingsError, match="an earlier backup"):
        backup(library.folder, target)
    assert target.is_fifo() if before is None else target.read_bytes() == before
    for again in ("kept.tar", "kept.tar.gz", "kept.tgz"):
        (tmp_path / again).touch()
        for passphrase in (None, "several words for it", None):
            assert backup(library.folder, tmp_path / again, passphrase=passphrase).files


def test_no_backup_lies_among_the_uploads(settings: Settings, tmp_path: Path) -> None:
    """Neither in the place of an upload nor beside it, nor by way of a link."""
    assert settings.uploads is not None
    run(settings)
    (tmp_path / "link").symlink_to(settings.uploads)
    before = content(settings.uploads)
    for place in (
        *settings.uploads.rglob("*.jpg"),
        settings.uploads / "a.tar",
        tmp_path / "link/b",
    ):
        with pytest.raises(SettingsError, match="outside the upload tree"):
            backup(settings.the_library(), place)
    assert content(settings.uploads) == before


def test_no_library_is_told(tmp_path: Path) -> None:
    """A folder that is no library is not made one by asking for its backup."""
    with pytest.raises(LibraryError, match="there is none"):
        backup(tmp_path / "nowhere", tmp_path / "kept.tar")
    assert os.listdir(tmp_path) == []


def test_the_commands_keep_the_settings_file_too(
    settings: Settings, library: Library, tmp_path: Path
) -> None:
    """backup with --config takes the file along; restore says where it put it, and what is next."""
    config = tmp_path / "pano.toml"
    config.write_text(
        f'zone = "Europe/Berlin"\nuploads = "{settings.uploads}"\nlibrary = "{settings.library}"\n'
    )
    target, anew = str(tmp_path / "kept.tgz"), tmp_path / "anew"
    made = CliRunner().invoke(pano, ["backup", target, "--config", str(config)])
    assert made.exit_code == 0, made.output
    assert "without the catalog" in made.output
    put = CliRunner().invoke(pano, ["restore", target, str(anew)])
    assert put.exit_code == 0, put.output
    assert f"pano rebuild --library {anew}" in put.output
    assert (anew / "pano.toml").read_bytes() == config.read_bytes()
    assert Storage(anew).exists("library.json")
