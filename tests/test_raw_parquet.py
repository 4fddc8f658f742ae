"""Raw Parquet: what others read without pano is exact between commits."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import duckdb
import killing
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
from click.testing import CliRunner
from killing import in_child, run, wait
from lived_in import NOON, at, picture
from older import with_one_manifest
from shared_files import lay, snapshot_path
from test_catalog import rows

from pano_analytics.cli import pano
from pano_analytics.library import Library
from pano_analytics.settings import Settings, check
from pano_analytics.store.catalog import CameraDay, Catalog
from pano_analytics.store.storage import Storage
from pano_analytics.upkeep.check import check as check_library

INGESTS = 100


def counted(library: Library, table: str = "media") -> list[tuple[int, int]]:
    """Return rows and distinct uploads of the tree, as other tools find them."""
    found = []
    pattern = f"{library.folder}/parts/{table}/**/*.parquet"
    [both] = duckdb.sql(
        f"SELECT count(*), count(DISTINCT media_id) FROM read_parquet('{pattern}')"
    ).fetchall()
    found.append(both)
    whole = ds.dataset(library.folder / "parts" / table, partitioning="hive").to_table()
    found.append((whole.num_rows, pc.count_distinct(whole["media_id"]).as_py()))
    if shutil.which("duckdb"):
        asked = f"SELECT count(*) n, count(DISTINCT media_id) m FROM read_parquet('{pattern}')"
        said = subprocess.run(["duckdb", "-json", "-c", asked], capture_output=True, check=True)
        [row] = json.loads(said.stdout)
        found.append((row["n"], row["m"]))
    try:
        import polars
    except ImportError:
        return found
    frame = polars.scan_parquet(pattern).select("media_id").collect()
    return [*found, (frame.height, frame["media_id"].n_unique())]


def assert_exact(library: Library) -> None:
    """The tree holds every upload once, and what the library says it holds."""
    rows = len(library.media())
    assert set(counted(library)) == {(rows, rows)}
    tree = {str(library.folder / name) for name in library.storage.files("parts/media")}
    assert set(library.parts()) == tree
    frames = set(library.storage.files("parts/frames"))
    assert {str(library.folder / name) for name in frames} == set(library.parts("frames"))


def change_some(root: Path, chance: random.Random, number: int) -> None:
    """Lay a picture or two on some day, replace one, or delete one."""
    there = sorted(path for path in root.rglob("*.jpg"))
    if len(there) > 5 and chance.random() < 0.3:
        chosen = chance.choice(there)
        if chance.random() < 0.5:
            chosen.unlink()
        else:
            chosen.write_bytes(picture(number + 1000, (640, 360)))
    for extra in range(chance.randint(1, 2)):
        when = NOON + timedelta(days=chance.randint(0, 3), seconds=2 * number + extra)
        lay(picture(number % 7), root / snapshot_path(chance.choice(["porch", "barn"]), when))


def test_nothing_counts_twice_while_commits_move_files(tmp_path: Path) -> None:
    """Days are written again at full speed: a pattern fails, or misses some, and no more."""
    catalog = Catalog(Storage(tmp_path))
    days = [CameraDay("a", date(2026, 1, number)) for number in range(1, 9)]
    seen, done = list[int](), threading.Event()

    def count() -> None:
        database = duckdb.connect()
        pattern = f"{tmp_path}/parts/media/**/*.parquet"
        while not done.is_set():
            with suppress(duckdb.IOException):
                asked = f"SELECT count(*) FROM read_parquet('{pattern}')"
                seen.append(int(database.sql(asked).fetchall()[0][0]))

    reader = threading.Thread(target=count)
    for number in range(40):
        change = catalog.begin()
        for day in days:
            change.write(day, rows(3, str(number)))
        change.commit()
        if number == 0:
            reader.start()
    done.set()
    reader.join()
    assert seen
    assert max(seen) == 3 * len(days)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "uploads").mkdir()
    places = {"uploads": tmp_path / "uploads", "library": tmp_path / "library"}
    return check({"zone": "Europe/Berlin"}).model_copy(update=places)


def victim(settings: Settings, deadly: int) -> None:
    """Ingest, each camera-day a commit of its own, and die at a step."""
    killing.run_room.COMMIT_EVERY_S = 0.0
    steps = killing.Steps(settings.library, deadly)  # type: ignore[arg-type]
    steps.listen()
    run(settings)


@pytest.mark.long
def test_a_hundred_ingests_some_of_them_killed(settings: Settings, tmp_path: Path) -> None:
    """After each that ended, also where it healed what a killed one left, all counts agree."""
    seed = random.randrange(10**6)
    chance, killed = random.Random(seed), 0
    assert settings.uploads is not None
    library = Library.of(settings)
    for number in range(INGESTS):
        change_some(settings.uploads, chance, number)
        if number == INGESTS // 2:
            with_one_manifest(library.storage)
        if number % 4 == 3:
            deadly = chance.randint(1, 160)
            code = wait(in_child(partial(victim, settings, deadly), tmp_path / "victim.json"))
            killed += code == -9
            len(library.media())  # whatever was left, it can be read
        run(settings)
        try:
            assert_exact(library)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, ingest {number}: {error}") from error
    assert killed > INGESTS // 10


def test_one_that_was_killed_between_swap_and_tree_is_read_and_healed(
    settings: Settings, tmp_path: Path
) -> None:
    """The swap is made, its parts are aside: pano reads them, and the next run moves them in."""
    assert settings.uploads is not None
    for second in (1, 2):
        lay(picture(second), settings.uploads / at(second))
    run(settings)
    lay(picture(3), settings.uploads / at(3))
    # The first step after a swap: the old part leaves the tree.
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from pano_analytics.store.storage import Storage\n"
        "Storage.move = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from pano_analytics.cli import main; main(sys.argv[1:])"
    )
    where = ["--uploads", str(settings.uploads), "--library", str(settings.library)]
    command = [sys.executable, "-c", program, "ingest", "--quiet", *where]
    assert subprocess.run(command, check=False).returncode == -9
    library = Library.of(settings)
    assert len(library.media()) == len(library.sql("SELECT * FROM media")) == 3
    assert set(library.sql("SELECT camera, date FROM media").camera) == {"porch"}
    assert set(counted(library)) == {(2, 2)}
    assert set(check_library(library).what) == {"run_unfinished"}
    run(settings)
    assert_exact(library)
    assert check_library(library).empty


def test_a_tree_without_its_manifest_is_exact_after_the_next_ingest(settings: Settings) -> None:
    """Parts that nothing names any more do not count beside the new ones."""
    assert settings.uploads is not None
    lay(picture(1), settings.uploads / at(1))
    run(settings)
    assert settings.library is not None
    (settings.library / "manifest.json").unlink()
    run(settings)
    assert_exact(Library.of(settings))


def test_what_one_manifest_for_all_had_replaced_leaves_the_tree(settings: Settings) -> None:
    """In libraries of before it lay there for minutes and longer."""
    assert settings.uploads is not None
    lay(picture(1), settings.uploads / at(1))
    run(settings)
    library = Library.of(settings)
    storage = Storage(library.folder)
    for path, _ in library.catalog.manifest().retired:
        if path.startswith("parts/"):
            assert storage.move(library.catalog.where(path), path)
    with_one_manifest(storage)
    assert set(counted(library)) == {(2, 1)}
    lay(picture(2), settings.uploads / at(2))
    run(settings)
    assert_exact(library)


def test_the_command_prints_one_generation(settings: Settings) -> None:
    """One path per line; an unknown table is an error that lists the known ones."""
    assert settings.uploads is not None
    lay(picture(1), settings.uploads / at(1))
    run(settings)
    where = ["--library", str(settings.library)]
    for table in ("media", "frames"):
        said = CliRunner().invoke(pano, ["parts", table, *where], catch_exceptions=False)
        assert said.stdout.splitlines() == Library.of(settings).parts(table)
    wrong = CliRunner().invoke(pano, ["parts", "events", *where])
    assert "expected media or frames; got 'events'" in str(wrong.exception)
