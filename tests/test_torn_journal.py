"""A file of the journal that a power cut left empty or cut: named in one line, nothing is lost."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from lived_in import fresh, picture, run
from shared_files import lay, snapshot_path

from pano_analytics import doctor, status
from pano_analytics.errors import JournalError
from pano_analytics.ingest.run import ingest
from pano_analytics.library import Library
from pano_analytics.settings import Settings
from pano_analytics.store.journal import Journal
from pano_analytics.store.storage import Storage
from pano_analytics.upkeep import culling
from pano_analytics.upkeep.backup import backup, restore
from pano_analytics.upkeep.check import check
from pano_analytics.upkeep.rebuild import rebuild

NOW = datetime.now().replace(microsecond=0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return the settings of a library with an upload that is there and one that went."""
    settings = fresh(tmp_path).model_copy(update={"keep_days": 1})
    for minutes in range(3):
        moment = NOW - timedelta(minutes=minutes, days=9)
        lay(picture(minutes), tmp_path / "uploads" / snapshot_path("porch", moment))
    run(settings)
    (tmp_path / "uploads" / snapshot_path("porch", NOW - timedelta(days=9))).unlink()
    run(settings)
    culling.adopt(settings)
    return settings


def storage_of(settings: Settings) -> Storage:
    return Storage(settings.the_library())


def tear(settings: Settings, kind: str, share: float) -> Path:
    """Cut the first file of a kind, as a power cut does; return it."""
    path = next(storage_of(settings).path("journal").glob(f"{kind}-*.parquet"))
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    return path


def pano(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    where = ["--library", str(settings.library)]
    if words[0] != "backup":
        where += ["--uploads", str(settings.uploads)]
    command = [sys.executable, "-m", "pano_analytics.cli", *words, *where]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["seen", "gone"])
def test_no_command_ends_with_a_traceback(settings: Settings, kind: str, tmp_path: Path) -> None:
    """Each names the file in one line, or does without it, and the file stays as it is."""
    torn = tear(settings, kind, 0)
    commands: dict[str, tuple[int, ...]] = {
        "ingest --full": (0,),
        "check": (8,),
        "status": (8,),
        "doctor": (8,),
        "rebuild": (4,),
        "cull": (4,),
        "cull --delete": (4,),
        f"backup {tmp_path}/new.tar": (0,),
        f"site {tmp_path}/site": (0,),
        "clock": (0,),
    }
    for command, codes in commands.items():
        done = pano(settings, *command.split())
        assert "Traceback" not in done.stderr, command
        assert done.returncode in codes, (command, done.stderr)
        if codes != (0,) or command.startswith(("ingest", "backup")):
            assert torn.name in done.stdout + done.stderr, command
    assert torn.read_bytes() == b""
    assert len(list((tmp_path / "uploads").rglob("*.jpg"))) == 2


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.7, 0.999])
@pytest.mark.parametrize("kind", ["seen", "gone"])
def test_any_length_is_found_and_nothing_is_deleted(
    settings: Settings, kind: str, share: float
) -> None:
    """Check and status tell it; culling and rebuild refuse; the library opens as before."""
    before = Library.of(settings).media()
    torn = tear(settings, kind, share)
    [one] = Journal(storage_of(settings)).torn()
    assert one.name == f"journal/{torn.name}"
    assert [one["what"] for one in status.collect(settings)["problems"]].count("journal_torn") == 1
    assert "journal_torn" in set(doctor.examine(Library.of(settings))["word"])
    found = check(Library.of(settings))
    assert found["what"].tolist() == ["journal_torn"]
    assert found["part"].tolist() == [one.name]
    for refused in (culling.cull, culling.plan, rebuild):
        with pytest.raises(JournalError, match=re.escape(torn.name)):
            refused(settings)
    ingest(settings)
    assert Library.of(settings).media().equals(before)


def test_a_torn_plan_waits_and_nothing_is_culled(settings: Settings) -> None:
    """What it named is not known: it stays, and culling says so."""
    journal = Journal(storage_of(settings))
    name = f"journal/plan-{1:020d}-abcdef.parquet"
    storage_of(settings).put(name, lambda file: None)
    assert [one.name for one in journal.torn()] == [name]
    with pytest.raises(JournalError, match="it is empty"):
        culling.cull(settings)
    ingest(settings)
    assert journal.open_plans() == [name]
    assert set(check(Library.of(settings))["what"]) == {"journal_torn"}


def test_a_file_damaged_within_is_named_too(settings: Settings) -> None:
    """Its end is there, but not what the end speaks of."""
    path = next(storage_of(settings).path("journal").glob("seen-*.parquet"))
    data = path.read_bytes()
    path.write_bytes(data[:4] + bytes(len(data) // 2) + data[4 + len(data) // 2 :])
    with pytest.raises(JournalError, match=re.escape(path.name)):
        rebuild(settings)
    assert set(check(Library.of(settings))["what"]) == {"journal_torn"}
    for words in ("doctor", "cull", "ingest"):
        assert "Traceback" not in pano(settings, words).stderr


def test_a_backup_brings_it_back(settings: Settings, tmp_path: Path) -> None:
    """A backup that may have the file whole is not replaced by one that lacks it."""
    target = tmp_path / "pano.tar"
    backup(settings.the_library(), target)
    torn = tear(settings, "gone", 0.5)
    with pytest.raises(JournalError, match=re.escape(torn.name)):
        backup(settings.the_library(), target)
    restore(target, settings.the_library())
    assert not Journal(storage_of(settings)).torn()
    assert check(Library.of(settings)).empty


def test_nothing_is_joined_while_a_file_is_torn(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folding would take what the others say of it for all there is."""
    from pano_analytics.store import journal as room

    monkeypatch.setattr(room, "FOLD_ABOVE", 0)
    tear(settings, "seen", 0.5)
    names = sorted(storage_of(settings).files("journal"))
    assert ingest(settings).torn
    assert sorted(storage_of(settings).files("journal")) == names
