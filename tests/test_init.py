"""`pano init`: a tree in, settings out that load and say what lies there."""

from __future__ import annotations

import os
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import settings as settings_of_tests
from hypothesis import strategies as st

from pano_analytics import layouts, settings
from pano_analytics.cli import pano
from pano_analytics.errors import SettingsError, UploadTreeError
from pano_analytics.ingest.run import ingest
from pano_analytics.library import Library
from pano_analytics.model.upload import encode_path
from pano_analytics.proposal import propose, quoted, sample_cameras
from pano_analytics.store.home import make_library

BERLIN = "Europe/Berlin"
MORNING = datetime(2026, 11, 20, 9, 50)


def lay(root: Path, path: str | bytes, arrived: datetime | None = None) -> None:
    """Lay an empty file below `root`, arrived now or when said (aware)."""
    target = root / os.fsdecode(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch(exist_ok=False)
    if arrived is not None:
        os.utime(target, (arrived.timestamp(), arrived.timestamp()))


def lay_day(
    root: Path, camera: str, day: datetime = MORNING, late: timedelta | None = None
) -> None:
    """Lay a camera's pictures of ten minutes, arriving `late` by Berlin's clock."""
    for minute in range(10):
        said = day + timedelta(minutes=minute)
        at = said.replace(tzinfo=ZoneInfo(BERLIN)).astimezone(UTC)
        arrived = None if late is None else at + late + timedelta(seconds=4)
        lay(root, f"{camera}/AMC0/{said:%Y-%m-%d}/001/jpg/{said:%H/%M}/06[M][0@0][0].jpg", arrived)


def loaded(text: str, folder: Path) -> settings.Settings:
    """Load a proposal as `pano ingest` would."""
    file = folder / "pano.toml"
    file.write_text(text, encoding="utf-8")
    return settings.load(file)


def names(proposal: settings.Settings) -> list[str]:
    return [camera.name for camera in proposal.cameras]


def test_each_first_level_is_a_camera(tmp_path: Path) -> None:
    """Folders with uploads become cameras; the tree and a library beside it are named whole."""
    uploads = tmp_path / "ftp"
    lay_day(uploads, "front_door")
    lay_day(uploads, "garden")
    proposal = loaded(propose(uploads, BERLIN), tmp_path)
    assert names(proposal) == ["front_door", "garden"]
    assert (proposal.uploads, proposal.library) == (uploads, tmp_path / "library")
    assert proposal.zone == BERLIN


@pytest.mark.parametrize(
    ("path", "cameras"),
    [
        ("2026-11-20/001/jpg/09/50/06[M][0@0][0].jpg", ["ftp"]),
        ("AMC0028V_795UUB/2026-11-20/001/jpg/09/50/06[M][0@0][0].jpg", ["ftp"]),
        ("2026-01/05/13/front/07.21.mp4", ["front"]),
        ("porch/2022/11/15/Front Door_01_20221115233531.jpg", ["porch"]),
        ("notes/read me.txt", []),
    ],
)
def test_whose_a_tree_is(tmp_path: Path, path: str, cameras: list[str]) -> None:
    """A date or serial at the first level means one camera, named by the root; but Frigate."""
    lay(tmp_path / "ftp", path)
    assert names(loaded(propose(tmp_path / "ftp", BERLIN), tmp_path)) == cameras


def test_layouts_seen_are_told(tmp_path: Path) -> None:
    """What the newest names looked like stands beside the layout, pictures and clips alike."""
    lay_day(tmp_path / "ftp", "garden")
    lay(tmp_path / "ftp", "garden/AMC0/2026-11-20/001/dav/09/09.50.00-09.50.20[M][0@0][0].dav")
    lay(tmp_path / "ftp", "garden/AMC0/2026-11-20/odd.jpg")
    [found] = sample_cameras(tmp_path / "ftp", ZoneInfo(BERLIN))
    assert found.layouts == {"dahua-deep snapshot": 10, "dahua-deep clip": 1}
    assert "10 × dahua-deep snapshot, 1 × dahua-deep clip, 1 × of unknown layout" in propose(
        tmp_path / "ftp", BERLIN
    )


def test_the_newest_days_are_sampled(tmp_path: Path) -> None:
    """Of a camera of years a few of the newest names are read, not all."""
    for day in range(40):
        lay_day(tmp_path, "garden", MORNING - timedelta(days=day))
    lay(tmp_path, "garden/AMC0/2016-01-01/001/jpg/09/50/06[R][0@0][0].txt")
    [found] = sample_cameras(tmp_path, ZoneInfo(BERLIN))
    assert (sum(found.layouts.values()), found.unknown) == (60, 0)


@pytest.mark.parametrize(
    ("late", "hours"),
    [
        (timedelta(0), 0),
        (timedelta(hours=1), 1),
        (timedelta(hours=-7), -7),
        (timedelta(minutes=47), 0),
        (timedelta(days=400), 0),
    ],
)
def test_a_clock_in_another_zone_shows(tmp_path: Path, late: timedelta, hours: int) -> None:
    """Files that arrive whole hours beside their names are remarked on, no more."""
    lay_day(tmp_path / "ftp", "garden", late=late)
    [found] = sample_cameras(tmp_path / "ftp", ZoneInfo(BERLIN))
    assert found.hours_late == hours
    text = propose(tmp_path / "ftp", BERLIN)
    assert (f"arrive {abs(hours)} h" in text) == bool(hours)
    assert loaded(text, tmp_path).cameras[0].zone is None


def test_cameras_that_agree_are_told_of_once(tmp_path: Path) -> None:
    """Where most cameras are off by the same hours the common zone is remarked on, not each."""
    for camera, late in (("attic", 1), ("barn", 1), ("cellar", 1), ("door", -7), ("eaves", 0)):
        lay_day(tmp_path / "ftp", camera, late=timedelta(hours=late))
    text = propose(tmp_path / "ftp", BERLIN)
    common, _, cameras = text.partition("[[cameras]]")
    assert "files arrive 1 h later" in common
    assert "arrive 1 h" not in cameras
    assert cameras.count("arrive 7 h earlier") == 1
    assert names(loaded(text, tmp_path)) == ["attic", "barn", "cellar", "door", "eaves"]


def test_a_folder_of_no_known_layout_is_only_remarked(tmp_path: Path) -> None:
    """Nothing is proposed for a folder whose names say nothing, but it is named."""
    lay(tmp_path / "ftp", "attic/picture one.jpg")
    text = propose(tmp_path / "ftp", BERLIN)
    assert 'folder "attic"' in text
    assert "cameras" not in tomllib.loads(text)


def test_stray_bytes_stand_as_in_the_path_column(tmp_path: Path) -> None:
    """A folder that is no UTF-8 is written as ingest writes its paths, and so is found again."""
    lay(tmp_path / "ftp", b"caf\xe9/2026-11-20/001/jpg/09/50/06[M][0@0][0].jpg")
    assert names(loaded(propose(tmp_path / "ftp", BERLIN), tmp_path)) == ["caf%E9"]


def test_an_upload_root_of_stray_bytes_is_left_to_the_command_line(tmp_path: Path) -> None:
    """TOML cannot say such a path: it is remarked, and the file still loads."""
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/ftp\xff"))
    lay_day(root, "garden")
    text = propose(root, BERLIN)
    assert "use --uploads instead" in text
    assert loaded(text, tmp_path).uploads is None


def test_a_library_folder_that_is_something_else_is_not_taken(tmp_path: Path) -> None:
    """A `library` beside the uploads is proposed only if it is free or a library of ours."""
    (tmp_path / "ftp").mkdir()
    (tmp_path / "library").mkdir()
    assert loaded(propose(tmp_path / "ftp", BERLIN), tmp_path).library == tmp_path / "ftp-library"

    own = settings.Settings(uploads=tmp_path / "ftp", library=tmp_path / "library")
    make_library(own)
    assert loaded(propose(tmp_path / "ftp", BERLIN), tmp_path).library == tmp_path / "library"


def test_the_library_of_another_tree_is_not_proposed(tmp_path: Path) -> None:
    """A library beside the uploads that was made of other uploads stays theirs."""
    for name in ("ftp", "other"):
        (tmp_path / name).mkdir()
    make_library(settings.Settings(uploads=tmp_path / "other", library=tmp_path / "library"))
    assert loaded(propose(tmp_path / "ftp", BERLIN), tmp_path).library == tmp_path / "ftp-library"


def test_without_a_tree_there_is_a_form_to_fill_in(tmp_path: Path) -> None:
    """No uploads: a file that loads as it is, in this computer's zone."""
    assert loaded(propose(None, BERLIN), tmp_path) == settings.Settings(zone=BERLIN)


def test_links_and_endless_folders_end(tmp_path: Path) -> None:
    """Links are not followed, and a tree of folders without files is given up on."""
    deep = tmp_path / "ftp" / "deep"
    (deep / "/".join("x" * 60)).mkdir(parents=True)
    (deep / "circle").symlink_to(tmp_path / "ftp")
    lay_day(tmp_path / "ftp", "garden")
    assert [found.camera for found in sample_cameras(tmp_path / "ftp", ZoneInfo(BERLIN))] == [
        "garden"
    ]


FOLDER = (
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)
    .map(str.encode)
    .filter(lambda name: len(name) < 200 and not name.startswith(b"."))
)
STRAY = st.binary(min_size=1, max_size=40).filter(
    lambda name: not {0, ord("/")} & set(name) and not name.startswith(b".")
)


@settings_of_tests(max_examples=40, deadline=None)
@given(st.sets(FOLDER | STRAY, min_size=1, max_size=6))
@example({b'"""', b"\\", b"'''\n[[cameras]]", b"a\nb", b"a b"})
@example({b" a", b"a", b"a ", b"\x7f", b"\x85", b"100%25", b"\xff"})
@example({b"Porch", b"porch", "T\u00fcr".encode(), "Tu\u0308r".encode()})
@example({b"2026-11-20", b"AMC0028V_795UUB", b"# x", b"[x]", b"~", b"~root"})
def test_no_folder_name_breaks_the_proposal(folders: set[bytes]) -> None:
    """Whatever folders are called, the proposal loads, and ingest finds by it what lies there."""
    with TemporaryDirectory() as kept:
        root = Path(kept) / "ftp"
        laid = [f"{os.fsdecode(name)}/2026-11-20/09.50.06[M][0@0][0].jpg" for name in folders]
        for path in laid:
            lay(root, path)
        proposal = loaded(propose(root, "UTC"), Path(kept))
        asked = {camera.upload_folders[0]: camera.name for camera in proposal.cameras}
        known = {layouts.camera_below(encode_path(path), asked, "ftp") for path in laid}
        assert known == set(names(proposal))


@given(st.text())
def test_a_quoted_text_is_itself_in_toml(text: str) -> None:
    """Any text but a surrogate comes back from TOML as it was."""
    told = tomllib.loads(f"key = {quoted(text)}")["key"]
    assert told == "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)


# --- the command ------------------------------------------------------------


def pano_init(*arguments: Any) -> Any:
    """Run `pano init`, its errors as raised."""
    return CliRunner(catch_exceptions=False).invoke(
        pano, ["init", *(str(one) for one in arguments)]
    )


def test_the_proposal_is_written_once(tmp_path: Path) -> None:
    """A new file is written; one that is there is an error and stays as it was."""
    lay_day(tmp_path / "ftp", "garden")
    target = tmp_path / "mine.toml"
    told = pano_init("--uploads", tmp_path / "ftp", "--output", target)
    assert told.exit_code == 0
    assert "1 camera;" in told.output
    assert names(settings.load(target)) == ["garden"]
    target.write_text("kept")
    with pytest.raises(SettingsError, match="not overwritten"):
        pano_init("--uploads", tmp_path / "ftp", "--output", target)
    assert target.read_text() == "kept"


def test_a_dash_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--output -` writes nothing but to standard output, which is TOML."""
    lay_day(tmp_path / "ftp", "garden")
    monkeypatch.chdir(tmp_path)
    told = pano_init("--uploads", "ftp", "--output", "-")
    assert tomllib.loads(told.output)["uploads"] == str(tmp_path / "ftp")
    assert [path.name for path in tmp_path.iterdir()] == ["ftp"]


def test_nothing_is_written_into_the_upload_tree(tmp_path: Path) -> None:
    """An --output below the uploads is refused: that tree is only read."""
    lay_day(tmp_path / "ftp", "garden")
    with pytest.raises(SettingsError, match="outside the upload tree"):
        pano_init("--uploads", tmp_path / "ftp", "--output", tmp_path / "ftp" / "pano.toml")
    assert [path.name for path in (tmp_path / "ftp").iterdir()] == ["garden"]


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    """A missing tree and a place that cannot be written to are plain errors."""
    with pytest.raises(UploadTreeError, match="expected the folder that cameras upload to"):
        pano_init("--uploads", tmp_path / "none", "--output", tmp_path / "pano.toml")
    (tmp_path / "ftp").mkdir()
    with pytest.raises(SettingsError, match="expected a file that can be written"):
        pano_init("--uploads", tmp_path / "ftp", "--output", tmp_path / "none" / "pano.toml")
    assert [path.name for path in tmp_path.iterdir()] == ["ftp"]


def test_without_a_tree_it_is_asked_for(tmp_path: Path) -> None:
    """Neither --uploads nor --from: a matter of usage, and nothing is written."""
    told = pano_init("--output", tmp_path / "pano.toml")
    assert told.exit_code == 2
    assert "expected --uploads DIR" in told.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("uploads", "came"),
    [("file", "it is a file"), ("file/below", "part of its path"), ("no", "it does not exist")],
)
def test_what_is_no_folder_is_told_as_it_is(tmp_path: Path, uploads: str, came: str) -> None:
    """A file, what would lie below one, and nothing at all are told apart."""
    (tmp_path / "file").touch()
    with pytest.raises(UploadTreeError, match=f"expected the folder.*{came}"):
        pano_init("--uploads", tmp_path / uploads, "--output", "-")


@pytest.mark.parametrize("folder", [".hidden", "..hidden", "#recycle", "@eaDir", "Größe 1"])
def test_cameras_are_those_of_ingest(tmp_path: Path, folder: str) -> None:
    """A first level that ingest makes a camera of is proposed as one, whatever it is called."""
    lay_day(tmp_path / "ftp", folder)
    proposal = loaded(propose(tmp_path / "ftp", BERLIN), tmp_path)
    ingest(proposal, is_inspecting=False)
    assert names(proposal) == Library.of(proposal).catalog.manifest().cameras() == [folder]
