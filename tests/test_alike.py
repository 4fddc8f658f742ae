"""Names that look alike are one camera: composed or decomposed, and in whatever letter case."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from clocks import box_at, seen_as_they_arrived
from hypothesis import given
from hypothesis import strategies as st
from lived_in import picture, run
from shared_files import lay, snapshot_path

from pano_analytics import layouts, status
from pano_analytics.dashboard.selection import Selection
from pano_analytics.errors import SettingsError
from pano_analytics.ingest.camera_names import respell
from pano_analytics.ingest.run import ingest
from pano_analytics.library import Library
from pano_analytics.model import alike
from pano_analytics.model.upload import as_on_disk
from pano_analytics.receive.accounts import AccountError, Accounts, make_folder, new_account
from pano_analytics.settings import Settings, check
from pano_analytics.store.catalog import Catalog
from pano_analytics.store.storage import Storage
from pano_analytics.upkeep.culling import adopt, cull, plan
from pano_analytics.upkeep.culling.places import tops

COMPOSED = unicodedata.normalize("NFC", "Türe")
DECOMPOSED = unicodedata.normalize("NFD", "Türe")
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
PASSWORD = "quite-long-enough"


def settings_in(folder: Path, **said: Any) -> Settings:
    (folder / "uploads").mkdir(exist_ok=True)
    checked = check({"zone": "UTC", **said})
    return checked.model_copy(update={"uploads": folder / "uploads", "library": folder / "library"})


def lay_days(folder: Path, camera: str, *ages: int) -> None:
    for days in ages:
        wall = (NOW - timedelta(days=days)).replace(tzinfo=None)
        lay(picture(days, (64, 36)), folder / "uploads" / snapshot_path(camera, wall), wall)


@given(st.text(max_size=30))
def test_every_spelling_of_a_name_has_one_key(name: str) -> None:
    """Composition and letter case change nothing in what names are compared by."""
    spellings = [unicodedata.normalize(form, name) for form in ("NFC", "NFD")]
    assert len({alike.key(one) for one in spellings}) == 1
    assert alike.key(alike.key(name)) == alike.key(name)


@pytest.mark.parametrize("spelled", [DECOMPOSED, "TÜRE", DECOMPOSED.lower()])
@pytest.mark.parametrize("folder", [None, COMPOSED])
def test_a_camera_kept_forever_is_kept_however_its_folder_is_spelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelled: str, folder: str | None
) -> None:
    """The rule of the table holds, and the common rule takes nothing of that camera."""
    camera = {"name": COMPOSED, "keep_days": "forever", **({"folder": folder} if folder else {})}
    settings = settings_in(tmp_path, keep_days=3, cameras=[camera])
    lay_days(tmp_path, spelled, 30, 1)
    lay_days(tmp_path, "barn", 30, 1)
    box_at(monkeypatch, NOW)
    run(settings)
    seen_as_they_arrived(settings)
    adopt(settings)
    assert {one.camera for one in plan(settings).due} == {"barn"}
    cull(settings)
    assert len(list((tmp_path / "uploads" / spelled).rglob("*.jpg"))) == 2
    assert set(Library.of(settings).media()["camera"]) == {COMPOSED, "barn"}


def test_a_library_that_knows_the_camera_decomposed_is_safe_before_its_next_ingest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Culling finds the rule of the camera; the next ingest moves all rows, gone ones too."""
    settings = settings_in(
        tmp_path, keep_days=3, cameras=[{"name": COMPOSED, "keep_days": "forever"}]
    )
    box_at(monkeypatch, NOW)
    lay_days(tmp_path, DECOMPOSED, 30, 20, 1)
    lay_days(tmp_path, "barn", 30, 1)
    run(settings)
    gone = next((tmp_path / "uploads" / DECOMPOSED).rglob("*.jpg"))
    gone.unlink()
    run(settings)
    catalog = Catalog(Storage(tmp_path / "library"))
    change = catalog.begin()
    respell(change, lambda name: unicodedata.normalize("NFD", name))
    change.commit()
    assert DECOMPOSED in Library.of(settings).catalog.manifest().cameras()
    seen_as_they_arrived(settings)
    adopt(settings)
    assert {one.camera for one in plan(settings).due} == {"barn"}
    assert len(Library.of(settings).media(camera=COMPOSED)) == 3

    run(settings)
    library = Library.of(settings)
    assert set(library.catalog.manifest().cameras()) == {COMPOSED, "barn"}
    states = library.media(camera=COMPOSED)["state"]
    assert sorted(states) == ["complete", "complete", "missing"]
    assert len(library.frames(camera=COMPOSED)) == 3


def test_questions_take_any_spelling(tmp_path: Path) -> None:
    """`camera=` arguments and addresses of the dashboard mean the camera that looks the same."""
    settings = settings_in(tmp_path)
    lay_days(tmp_path, DECOMPOSED, 1)
    run(settings)
    library = Library.of(settings)
    for spelled in (COMPOSED, DECOMPOSED, "TÜRE"):
        assert len(library.media(camera=spelled)) == 1
        assert set(library.activity(camera=spelled)["camera"]) == {COMPOSED}
        assert len(library.frames(camera=spelled)) == 1
        selection = Selection()
        selection.follow(f"?camera={spelled}", library.camera_names())
        assert selection.cameras == (COMPOSED,)
    assert len(library.media(camera=[COMPOSED, DECOMPOSED])) == 1


def test_status_names_a_camera_once(tmp_path: Path) -> None:
    """A table and a folder that look alike are one line, and it is not silent."""
    settings = settings_in(tmp_path, cameras=[{"name": "Porch"}], silent_after_hours=1e6)
    lay_days(tmp_path, "porch", 1)
    run(settings)
    told = status.collect(settings)
    assert [(one["camera"], one["rows"]) for one in told["cameras"]] == [("Porch", 1)]


def test_two_folders_that_differ_in_case_alone_stay_two_where_no_table_joins_them(
    tmp_path: Path,
) -> None:
    """On a disk that tells cases apart both are there; a question for one gets that one."""
    settings = settings_in(tmp_path)
    lay_days(tmp_path, "Porch", 1)
    if (tmp_path / "uploads/porch").exists():
        pytest.skip("this disk does not tell letter cases apart")
    lay_days(tmp_path, "porch", 1, 2)
    ingest(settings)
    library = Library.of(settings)
    assert len(library.media(camera="porch")) == 2
    assert len(library.media(camera="Porch")) == 1


@pytest.mark.parametrize("other", [DECOMPOSED, "TÜRE"])
def test_two_tables_that_look_alike_are_refused(other: str) -> None:
    """Nobody could say which of the two a folder belongs to."""
    with pytest.raises(SettingsError, match="more than once"):
        check({"cameras": [{"name": COMPOSED}, {"name": other, "folder": "x"}]})
    with pytest.raises(SettingsError, match="more than once"):
        check({"cameras": [{"name": "a", "folder": COMPOSED}, {"name": "b", "folder": other}]})


def test_an_account_takes_the_folder_that_is_there(tmp_path: Path) -> None:
    """No second folder is made beside the one that a Mac spelled; the account is found by both."""
    settings = settings_in(tmp_path)
    (tmp_path / "uploads" / DECOMPOSED).mkdir()
    account = new_account(settings, COMPOSED, None, None, PASSWORD)
    assert account.folder == DECOMPOSED
    make_folder(account, tmp_path / "uploads")
    assert [one.name for one in (tmp_path / "uploads").iterdir()] == [DECOMPOSED]
    (tmp_path / "library").mkdir()
    accounts = Accounts(tmp_path / "library")
    accounts.add(account)
    assert accounts.of_camera(DECOMPOSED).camera == COMPOSED
    assert accounts.of_camera("TÜRE").camera == COMPOSED
    with pytest.raises(AccountError, match="already has an account"):
        accounts.add(new_account(settings, "türE", "another", None, PASSWORD))


def test_paths_keep_their_own_bytes(tmp_path: Path) -> None:
    """The path column spells a folder as the disk does; its top folder for culling as well."""
    settings = settings_in(tmp_path, cameras=[{"name": COMPOSED}])
    lay_days(tmp_path, DECOMPOSED, 1)
    run(settings)
    path = Library.of(settings).media()["path"].iloc[0]
    assert path.split("/")[0] == DECOMPOSED
    assert tops(settings)(path).split("/")[0] == DECOMPOSED
    assert as_on_disk(tmp_path / "uploads", COMPOSED) == DECOMPOSED
    assert layouts.camera_below(path, {}, "root") == COMPOSED
