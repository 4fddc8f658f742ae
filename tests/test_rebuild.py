"""Rebuild: catalog = upload tree + journal, exactly, and nothing lost on the way there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq
import pytest
from lived_in import NOON, assert_same, at, fresh, lay, live, picture, renew, run, told
from power import Disk
from shared_files import snapshot_path

from pano_analytics.errors import LibraryBusy, LibraryError, UploadTreeError
from pano_analytics.library import Library
from pano_analytics.settings import Settings
from pano_analytics.store.catalog import MANIFEST
from pano_analytics.store.journal import Journal
from pano_analytics.store.locks import LOCK
from pano_analytics.store.storage import Storage


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Return the settings of a library that has lived; only to be copied."""
    settings = fresh(tmp_path_factory.mktemp("lived"))
    live(settings)
    return settings


@pytest.fixture
def settings(lived: Settings, tmp_path: Path) -> Settings:
    """Return the settings of a copy of that library and its tree."""
    assert lived.uploads is not None
    assert lived.library is not None
    shutil.copytree(lived.uploads, tmp_path / "uploads")
    shutil.copytree(lived.library, tmp_path / "library")
    return lived.model_copy(
        update={"uploads": tmp_path / "uploads", "library": tmp_path / "library"}
    )


@pytest.fixture
def uploads(settings: Settings) -> Path:
    assert settings.uploads is not None
    return settings.uploads


def test_what_has_lived_has_every_state(library: Library) -> None:
    """The library that the other tests compare holds what makes a rebuild hard."""
    media = library.media()
    assert set(media.state) == {"complete", "partial", "damaged", "empty", "missing"}
    assert (media.state == "missing").sum() == 4
    assert set(media.time_source) == {"name", "arrival"}
    gone = media[media.state == "missing"]
    assert gone.thumb.notna().sum() == 3
    assert set(gone.kind) == {"snapshot", "clip"}
    assert media.clip_id.isin(gone.media_id).any()


def test_the_new_catalog_equals_the_old(settings: Settings, library: Library) -> None:
    """Every column of every row and frame, and every thumbnail's bytes, are as they were."""
    before, generation = told(library), library.generation
    made = renew(settings)
    assert_same(before, told(library))
    assert library.generation == made.generation == generation + 1
    assert (made.rows, made.gone) == (len(before[0]), 4)


def test_the_journal_alone_brings_back_what_went(settings: Settings, library: Library) -> None:
    """Without any catalog, rebuild and plain ingest make the same of tree and journal."""
    before = told(library)
    for make in (renew, run):
        for name in (MANIFEST, "parts", "state"):
            path = library.folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        make(settings)
        assert_same(before, told(Library.of(settings)))


@pytest.mark.parametrize("damage", ["manifest", "part"])
def test_a_damaged_catalog_is_made_whole(settings: Settings, library: Library, damage: str) -> None:
    """Neither a torn manifest nor an unreadable part keeps a row from coming back."""
    before, generation = told(library), library.generation
    where = library.folder / MANIFEST if damage == "manifest" else Path(library.parts()[0])
    where.write_bytes(b"torn")
    made = renew(settings)
    assert bool(made.unreadable_parts) == (damage == "part")
    assert_same(before, told(Library.of(settings)))
    assert made.generation == generation + 1


def test_the_journal_grows_by_nothing_known(settings: Settings, library: Library) -> None:
    """A rebuild that finds what was known notes nothing, however often it is called."""
    journal = Journal(library.storage)
    before = journal.seen(), [journal.read_gone(name) for name in journal.gone_files()]
    renew(settings)
    assert before == (journal.seen(), [journal.read_gone(name) for name in journal.gone_files()])


def test_what_went_since_the_last_run_is_kept_whole(
    settings: Settings, library: Library, uploads: Path
) -> None:
    """A file that vanished unseen is missing afterwards, with all that was known of it."""
    (uploads / at(1)).unlink()
    before = library.media().set_index("path").loc[at(1)]
    renew(settings)
    after = library.media().set_index("path").loc[at(1)]
    assert after["state"] == "missing"
    same = [name for name in after.index if name not in ("state", "state_reason")]
    assert after[same].equals(before[same])


def test_what_went_with_the_catalog_comes_back_by_its_name(
    settings: Settings, library: Library, uploads: Path
) -> None:
    """File and catalog both lost: the journal still knows name, size, arrival and hash."""
    before = library.media().set_index("path").loc[at(1)]
    (uploads / at(1)).unlink()
    (library.folder / MANIFEST).unlink()
    renew(settings)
    after = Library.of(settings).media().set_index("path").loc[at(1)]
    assert after["state"] == "missing"
    same = ["media_id", "start", "arrived", "size_bytes", "mtime", "sha256", "clip_id"]
    assert after[same].equals(before[same])


def test_what_came_since_the_last_run_is_in(
    settings: Settings, library: Library, uploads: Path
) -> None:
    """A rebuild is an ingest too; a run after it finds nothing to do and opens nothing."""
    lay(picture(200), uploads / at(200))
    renew(settings)
    assert library.media().set_index("path").loc[at(200), "state"] == "complete"
    found = run(settings)
    assert (found.tally.total, found.opened) == (0, {})
    sha256 = library.media().set_index("path").loc[at(200), "sha256"]
    assert sha256 in Journal(library.storage).seen()["sha256"].to_pylist()


def test_nothing_is_left_beside_and_old_parts_wait(settings: Settings, library: Library) -> None:
    """What readers may be at stays under its name for the grace period; the rest is gone."""
    old = library.parts()
    packs = [str(path) for path in (library.folder / "thumbs").rglob("*.pack")]
    renew(settings)
    names = [os.path.relpath(path, library.folder) for path in old]
    assert all(library.storage.exists(library.catalog.where(name)) for name in names)
    assert all(Path(path).exists() for path in packs)
    assert set(library.storage.files("parts/media")).isdisjoint(names)
    assert not (library.folder / "rebuild").exists()
    retired = {path for path, _ in library.catalog.manifest().retired}
    assert {os.path.relpath(path, library.folder) for path in old} <= retired
    named = {str(thumb).rpartition("/")[0] for thumb in library.frames().thumb}
    assert not {f"thumbs/{name}" for name in named} & retired


def test_an_empty_root_is_an_unmounted_disk(
    settings: Settings, library: Library, uploads: Path
) -> None:
    """Nothing is taken for gone because a disk is not mounted."""
    before = told(library)
    uploads.rename(uploads.with_name("elsewhere"))
    uploads.mkdir()
    with pytest.raises(UploadTreeError, match="mounted"):
        renew(settings)
    (library.folder / MANIFEST).rename(library.folder / "kept")
    with pytest.raises(UploadTreeError, match="mounted"):
        run(settings)
    (library.folder / "kept").rename(library.folder / MANIFEST)
    assert_same(before, told(Library.of(settings)))


def test_another_librarys_journal_is_refused(settings: Settings, library: Library) -> None:
    """Identities that differ would make every upload a stranger."""
    page = library.folder / "library.json"
    page.write_text(page.read_text().replace('"root_id": "', '"root_id": "0'))
    with pytest.raises(LibraryError, match="the same library"):
        renew(settings)


def test_a_second_one_is_told_who_is_at_work(settings: Settings, library: Library) -> None:
    """The library's lock excludes runs and rebuilds alike."""
    program = (
        "import sys; from pathlib import Path; from pano_analytics.store.storage import Storage\n"
        f"with Storage(Path(sys.argv[1])).lock({LOCK!r}): print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(library.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(LibraryBusy):
            renew(settings)
        other.communicate()


# A process that may not be root and lives until its nth touch of the disk.
KILLED = """
import os, signal, sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from pano_analytics.upkeep.rebuild import rebuild
from pano_analytics.settings import check
import pano_analytics.store.storage as storage

left = int(sys.argv[3])

def counted(deed):
    def do(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return deed(*args, **kwargs)
    return do

for name in ("rename", "replace", "unlink", "hardlink_to"):
    setattr(Path, name, counted(getattr(Path, name)))
os.fsync = counted(os.fsync)
settings = check({"zone": "Europe/Berlin"}).model_copy(
    update={"uploads": Path(sys.argv[1]), "library": Path(sys.argv[2])}
)
start = left
rebuild(settings, make_executor=partial(ThreadPoolExecutor, 1))
print(start - left)
"""


def _until(settings: Settings, touches: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(KILLED),
            str(settings.uploads),
            str(settings.library),
            str(touches),
        ],
        capture_output=True,
        text=True,
        check=False,
    )


def _is_killed_well(settings: Settings, folder: Path, touches: int) -> None:
    """Kill a rebuild of a copy, and hold what is left against what was there."""
    shutil.copytree(str(settings.library), folder / "library", symlinks=True)
    copy = settings.model_copy(update={"library": folder / "library"})
    library = Library.of(copy)
    before = told(library)
    (folder / "library/state/at-work").unlink(missing_ok=True)
    assert _until(copy, touches).returncode == -signal.SIGKILL
    assert_same(before, told(Library.of(copy)))
    run(copy)
    assert_same(before, told(Library.of(copy)))
    assert not (library.folder / "rebuild").exists()
    manifest = Library.of(copy).catalog.manifest()
    named = {part.path for _, _, part in manifest.everything()}
    assert set(library.storage.files("parts")) == named
    renew(copy)
    assert_same(before, told(Library.of(copy)))


def _touches(settings: Settings, folder: Path) -> int:
    shutil.copytree(str(settings.library), folder / "whole")
    done = _until(settings.model_copy(update={"library": folder / "whole"}), 10**9)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_what_a_killed_one_left_is_not_built_on(settings: Settings, tmp_path: Path) -> None:
    """Where a disk refuses to remove it, the next rebuild says so and does not begin."""
    assert settings.library is not None
    left = settings.library / "rebuild/journal"
    left.mkdir(parents=True)
    for name in os.listdir(settings.library / "journal"):
        os.link(settings.library / "journal" / name, left / name)
    disk = Disk.made(left.parent, tmp_path / "device")
    command = [sys.executable, "-m", "pano_analytics.cli", "rebuild"]
    command += ["--uploads", str(settings.uploads), "--library", str(settings.library)]
    first = subprocess.run(
        command, env=disk.env(fail_at=1), capture_output=True, text=True, check=False
    )
    assert (first.returncode, len(first.stderr.splitlines())) == (4, 1), first.stderr
    assert f"{left.parent}: " in first.stderr
    assert subprocess.run(command, check=False).returncode == 0
    assert not left.exists()


def test_killed_it_leaves_the_old_catalog(settings: Settings, tmp_path: Path) -> None:
    """SIGKILL half-way, while moving in, at the swap and after it: no reader sees it."""
    touches = _touches(settings, tmp_path)
    for number, left in enumerate((touches // 2, touches - 30, touches - 9, touches - 4)):
        (tmp_path / str(number)).mkdir()
        _is_killed_well(settings, tmp_path / str(number), left)


@pytest.mark.long
def test_killed_anywhere_it_leaves_the_old_catalog(settings: Settings, tmp_path: Path) -> None:
    """SIGKILL at every fifth touch of the disk from the first to the last."""
    touches = _touches(settings, tmp_path)
    for left in range(1, touches, 5):
        (tmp_path / str(left)).mkdir()
        _is_killed_well(settings, tmp_path / str(left), left)
        shutil.rmtree(tmp_path / str(left))


def test_an_upload_noted_as_gone_and_back_is_not_gone(tmp_path: Path) -> None:
    """The last word counts: a file that came back after its note is read from the tree."""
    settings = fresh(tmp_path)
    assert settings.uploads is not None
    path = settings.uploads / at(1)
    lay(picture(0), settings.uploads / at(0))
    for number in (1, 2, 3):
        lay(picture(number), path)
        run(settings)
        path.unlink()
        run(settings)
    library = Library.of(settings)
    before = told(library)
    notes = [Journal(library.storage).read_gone(n) for n in Journal(library.storage).gone_files()]
    assert sum(map(len, notes)) == 3
    renew(settings)
    assert_same(before, told(library))


def test_what_was_seen_after_its_note_is_not_brought_back_by_it(tmp_path: Path) -> None:
    """Gone, back with other content, then lost with the catalog: the last that was seen counts."""
    settings = fresh(tmp_path)
    assert settings.uploads is not None
    path = settings.uploads / at(1)
    lay(picture(0), settings.uploads / at(0))
    lay(picture(1), path)
    run(settings)
    path.unlink()
    run(settings)
    lay(picture(2, (640, 360)), path)
    run(settings)
    seen = Library.of(settings).media().set_index("path").loc[at(1)]
    path.unlink()
    shutil.rmtree(tmp_path / "library/parts")
    renew(settings)
    again = Library.of(settings).media().set_index("path").loc[at(1)]
    assert (again["state"], again["sha256"]) == ("missing", seen["sha256"])
    assert again["size_bytes"] == seen["size_bytes"]


def test_many_notes_are_folded_and_say_the_same(tmp_path: Path) -> None:
    """Folding joins the files of gone rows; a fold that was killed counts none twice."""
    storage = Storage(tmp_path)
    journal = Journal(storage)
    settings = fresh(tmp_path)
    assert settings.uploads is not None
    lay(picture(0), settings.uploads / at(0))
    lay(picture(1), settings.uploads / at(1))
    run(settings)
    (settings.uploads / at(1)).unlink()
    run(settings)
    note = Journal(Storage(tmp_path / "library"))
    [name] = note.gone_files()
    rows = note.read_gone(name)
    for _ in range(65):
        journal.note_gone(rows)
    kept = {one: storage.path(one).read_bytes() for one in journal.gone_files()}
    journal.fold()
    assert len(journal.gone_files()) == 1
    for one, data in kept.items():
        storage.path(one).write_bytes(data)
    assert sum(len(journal.read_gone(one)) for one in journal.gone_files()) == 65
    assert pq.read_table(storage.path(journal.gone_files()[0])).schema.names == rows.schema.names


@pytest.fixture
def no_root(settings: Settings) -> Iterator[Settings]:
    """Return settings below a folder that anybody may use, and be nobody while they are used."""
    with TemporaryDirectory() as folder:
        for name in ("uploads", "library"):
            shutil.copytree(str(getattr(settings, name)), Path(folder) / name)
        if os.geteuid() == 0:
            for path in (Path(folder), *Path(folder).rglob("*")):
                os.chown(path, 65534, 65534)
        before = os.geteuid()
        if before == 0:
            os.seteuid(65534)
        try:
            yield settings.model_copy(
                update={"uploads": Path(folder) / "uploads", "library": Path(folder) / "library"}
            )
        finally:
            os.seteuid(before)


def test_a_folder_that_cannot_be_read_stops_it(no_root: Settings) -> None:
    """Uploads that only seem gone are neither taken nor noted for it."""
    library = Library.of(no_root)
    journal = Journal(library.storage)
    before, notes = told(library), sum(len(journal.read_gone(n)) for n in journal.gone_files())
    garden = library.settings.uploads
    assert garden is not None
    (garden / "garden").chmod(0)
    try:
        with pytest.raises(UploadTreeError, match="garden"):
            renew(no_root)
    finally:
        (garden / "garden").chmod(0o755)
    assert_same(before, told(library))
    assert sum(len(journal.read_gone(name)) for name in journal.gone_files()) == notes
    renew(no_root)
    assert_same(before, told(library))


def test_a_rebuilt_duplicate_day_is_one(settings: Settings, uploads: Path) -> None:
    """No upload has two rows, whatever day its corrected time fell on."""
    lay(picture(9), uploads / snapshot_path("porch", NOON + timedelta(days=2)))
    run(settings)
    renew(settings)
    assert Library.of(settings).media().media_id.is_unique
