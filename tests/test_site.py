"""The static site on disk: what is on its pages, links that hold, and only changes written."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from serving import DEADLINE_S, PANO
from shared_files import snapshot_path
from site_home import (
    CROWD,
    EVIL,
    GATE,
    NOON,
    PORCH,
    Home,
    crawl,
    files_of,
    home,
    later,
    lay_picture,
    parsed,
)
from test_hostile import CAMERAS

from pano_analytics.cli import pano
from pano_analytics.errors import LibraryError, SettingsError
from pano_analytics.model.upload import Upload, decode_path, encode_path
from pano_analytics.site import names, plan
from pano_analytics.site.folder import LIST, SiteBusy, SiteFolder
from pano_analytics.site.run import update

__all__ = ["home"]

SECRET = "secret"


@pytest.fixture
def own(tmp_path: Path, home: Home) -> Home:
    """A home of the same uploads that a test may change."""
    shutil.copytree(home.uploads, tmp_path / "uploads")
    mine = Home(tmp_path)
    mine.ingest()
    mine.update()
    return mine


# --- pages and links


def test_every_link_leads_somewhere_and_nothing_lies_about(home: Home) -> None:
    """Every page is reached from the first, each address is a file, each anchor is there."""
    pages, shown = crawl(home.site)
    lying = {path for path in home.site.rglob("*") if path.is_file()}
    own = {home.site / LIST, home.site / ".pano-site.lock"}
    assert lying - own == set(pages) | {path for path in shown if path.is_relative_to(home.site)}
    assert {path for path in shown if not path.is_relative_to(home.site)} <= {
        path for path in home.uploads.rglob("*") if path.is_file()
    }


def test_every_upload_has_its_page_and_stands_on_its_day(home: Home) -> None:
    """One page an upload, linked from one page of its day, with all that is known of it."""
    pages, _ = crawl(home.site)
    anchors = [anchor for page in pages.values() for anchor in page.anchors]
    media = home.library.media()
    assert sorted(anchor for anchor in anchors if anchor.startswith("u-")) == sorted(
        f"u-{media_id}" for media_id in media["media_id"]
    )
    for path, media_id in zip(media["path"], media["media_id"], strict=True):
        [page] = [page for name, page in pages.items() if name.name == f"{media_id}.html"]
        assert path in page.text
        assert any(decode_path(path) in unquote_to_bytes(href) for href in page.links)


def test_nothing_is_asked_of_anybody_else(home: Home) -> None:
    """The only addresses with a host are the camera's own pages, without their password."""
    pages, _ = crawl(home.site)
    assert {href for page in pages.values() for href in page.outside} == {
        "http://192.168.1.20/?a=1&b=2",
        "rtsp://192.168.1.20/live",
    }
    assert not any(SECRET in text for text in home.pages().values())
    assert all("default-src 'none'" in page.policy for page in pages.values())
    assert all(text.count("<script") == 1 for text in home.pages().values())


def test_names_are_text(home: Home) -> None:
    """A camera may be called like a tag: no page has an element or attribute of it."""
    pages, _ = crawl(home.site)
    assert sum(EVIL in page.text for page in pages.values()) >= 4
    assert "x" not in {href for page in pages.values() for href in page.files}
    [first] = [page for path, page in pages.items() if path == home.site / "index.html"]
    assert "Above <the> bell & path" in first.text


def test_a_crowded_day_has_pages_of_a_hundred(home: Home) -> None:
    """The oldest hundred are on 1.html, the rest on index.html, each leading to the other."""
    folder = home.site / GATE / "2026-11-20"
    one, rest = parsed(folder / "1.html"), parsed(folder / "index.html")
    sizes = [sum(anchor.startswith("u-") for anchor in page.anchors) for page in (one, rest)]
    assert sizes == [100, CROWD - 100]
    assert "index.html" in one.links
    assert "1.html" in rest.links
    assert not (folder / "2.html").exists()


def test_what_is_wrong_is_said(home: Home) -> None:
    """A cut picture, an empty one and a clip that is none say so, with the reason."""
    for path, words in (
        (snapshot_path(PORCH, later(1500)), ("Partial", "cut off")),
        (snapshot_path(PORCH, later(1510)), ("Empty", "0 bytes")),
    ):
        page = parsed(home.page_of(path))
        assert all(word in page.text for word in words)
    [clip] = [text for text in home.pages().values() if "12.20.00-12.20.04" in text]
    assert "Unreadable: no clip: the file begins with" in clip
    assert "<video" not in clip
    assert "Download" in clip


def test_clips_play(home: Home) -> None:
    """An MP4 plays from the uploads, a .dav from an MP4 beside the page, with its key frames."""
    clips = [text for text in home.pages().values() if "<video" in text]
    assert len(clips) == 3
    assert sum('src="../../../uploads/porch/' in text for text in clips) == 1
    assert sum(bool(re.search(r'src="[0-9a-f-]+\.mp4"', text)) for text in clips) == 2
    assert all("data-at=" in text for text in clips if ".dav" in text)


def test_a_camera_never_heard_of_has_a_page(home: Home) -> None:
    """It says so, and that the camera is silent."""
    assert "No uploads" in parsed(home.site / "never" / "index.html").text
    assert "Silent" in parsed(home.site / "never" / "index.html").text


def test_unread_uploads_have_pages(tmp_path: Path) -> None:
    """What is only listed so far is shown as it lies there, without a thumbnail."""
    mine = Home(tmp_path)
    lay_picture(mine.uploads, PORCH, NOON)
    mine.ingest(is_inspecting=False)
    mine.update()
    pages, shown = crawl(mine.site)
    assert any("Not opened yet" in page.text for page in pages.values())
    assert [path for path in shown if path.suffix == ".jpg"] == [
        mine.uploads / snapshot_path(PORCH, NOON)
    ]
    mine.ingest()
    mine.update()
    assert "Not opened yet" not in "".join(mine.pages().values())


def test_no_upload_at_all_is_a_page(tmp_path: Path) -> None:
    """An empty library has a first page that says what will come."""
    mine = Home(tmp_path)
    lay_picture(mine.uploads, PORCH, NOON)
    mine.ingest()
    (mine.uploads / snapshot_path(PORCH, NOON)).unlink()
    lay_picture(mine.uploads, GATE, NOON)
    mine.ingest(accept_tree=True)
    assert mine.update().days == 1
    crawl(mine.site)


# --- hostile names


def test_hostile_cameras_have_folders_of_their_own(tmp_path: Path) -> None:
    """Whatever cameras are called, all links hold, and folders fit any file system."""
    mine = Home(tmp_path)
    for number, camera in enumerate(CAMERAS):
        rest = snapshot_path("x", NOON).removeprefix("x/")
        target = Path(os.fsdecode(os.fsencode(mine.uploads) + b"/" + camera)) / rest
        target.parent.mkdir(parents=True)
        shutil.copyfile(SAMPLE, target)
        os.utime(target, (NOON.timestamp() + number, NOON.timestamp() + number))
    mine.ingest()
    mine.update()
    pages, _ = crawl(mine.site)
    folders = [path.name for path in mine.site.iterdir() if path.is_dir()]
    assert len(folders) == len(mine.library.camera_names())
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,39}", name) for name in folders)
    assert all(ord(char) >= 32 or char in "\n\t" for page in pages.values() for char in page.text)


SAMPLE = next((Path(__file__).parents[1] / "data/sample/uploads").rglob("*.jpg"))


@given(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=60))
def test_folders_of_cameras_fit_everywhere_and_differ(one: str, other: str) -> None:
    """Small letters, digits, - and _; two cameras never share one, not even by case."""
    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,39}", names.folder_of(one))
    assert (names.folder_of(one) == names.folder_of(other)) == (one == other)


@given(st.binary(min_size=1, max_size=60).filter(lambda raw: b"\0" not in raw))
def test_addresses_of_uploads_are_their_bytes(raw: bytes) -> None:
    """Any name a disk can hold comes back from its address, and nothing in it ends the address."""
    address = names.upload_address("../up/", encode_path(os.fsdecode(raw)))
    assert re.fullmatch(r"[A-Za-z0-9._~/%-]+", address)
    assert unquote_to_bytes(address) == b"../up/" + raw


@pytest.mark.parametrize(
    ("media_url", "beginning"),
    [
        ("/uploads", "/uploads/"),
        ("media", "../../media/"),
        ("../ftp", "../../../ftp/"),
        ("https://nas.home:8443/up", "https://nas.home:8443/up/"),
    ],
)
def test_uploads_may_be_served_elsewhere(home: Home, media_url: str, beginning: str) -> None:
    """`media_url` begins the address of every upload, and the policy of pages allows its host."""
    said = home.settings(media_url=media_url).site.media_url
    assert names.uploads_from_day(home.site, home.uploads, said) == beginning
    assert ("https://nas.home:8443" in names.policy(said)) == media_url.startswith("https")


# --- only what changed


def test_a_second_run_writes_nothing(own: Home) -> None:
    """Neither does one that makes every page again: the same library gives the same bytes."""
    before = list(files_of(own.site))
    assert own.update().written == 0
    assert list(files_of(own.site)) == before
    done = own.update(is_full=True)
    assert (done.written, done.removed) == (0, 0)
    kept = [one for one in files_of(own.site) if one[0] != LIST]
    assert kept == [one for one in before if one[0] != LIST]


def test_a_quiet_run_loads_little(home: Home) -> None:
    """Where nothing changed no table is opened: neither pandas nor DuckDB is imported."""
    script = (
        "import sys; from pano_analytics.cli import pano; "
        "pano.main(sys.argv[1:], standalone_mode=False); "
        "heavy = {'pandas', 'duckdb', 'pyarrow', 'jinja2', 'av'} & set(sys.modules); "
        "sys.exit(' '.join(heavy) or 0)"
    )
    where = home.settings()
    command = [sys.executable, "-c", script, "site", "--library", str(where.library)]
    twice = [
        subprocess.run([*command, str(home.folder / "twin")], capture_output=True, text=True)
        for _ in range(2)
    ]
    assert (twice[0].returncode, twice[1].stderr, twice[1].returncode) == (1, "", 0)


def test_one_new_upload_changes_its_own_pages(own: Home) -> None:
    """Its page and thumbnail are new; its neighbours, day, camera and the first page change."""
    before = {name: inode for name, inode, _ in files_of(own.site)}
    lay_picture(own.uploads, GATE, later(CROWD * 11 + 5))
    own.ingest()
    done = own.update()
    after = {name: inode for name, inode, _ in files_of(own.site)}
    new = set(after) - set(before)
    changed = {name for name in before if after.get(name) != before[name]}
    assert sorted(Path(name).suffix for name in new) == [".html", ".jpg"]
    singles = {name for name in changed if re.search(r"[0-9a-f]{16}\.html$", name)}
    others = changed - singles - {LIST}
    assert others == {f"{GATE}/2026-11-20/index.html", f"{GATE}/index.html", "index.html"}
    assert len(singles) <= 8
    assert all(name.startswith(f"{GATE}/2026-11-20/") for name in singles)
    assert done.days_made == 1
    crawl(own.site)


def test_pages_go_with_their_media(own: Home) -> None:
    """Missing uploads, culled ones, days and cameras leave no page and no picture behind."""
    gone = snapshot_path(PORCH, NOON)
    media_id = own.page_of(gone).stem
    (own.uploads / gone).unlink()
    shutil.rmtree(own.uploads / PORCH / "AMC0001_F01N44/2026-11-18")
    own.ingest(is_full=True)
    cull(own, GATE)
    (own.site / GATE / "mine.txt").write_text("kept")
    done = own.update()
    assert not list(own.site.rglob(f"{media_id}*"))
    assert not (own.site / PORCH / "2026-11-18").exists()
    assert not (own.site / GATE / "2026-11-20").exists()
    assert (own.site / GATE / "mine.txt").read_text() == "kept"
    assert done.removed > 2 * CROWD
    crawl(own.site)


def cull(home: Home, camera: str) -> None:
    """Mark a camera's uploads as culled, as retention does: rows and thumbnails stay."""
    change = home.library.catalog.begin()
    for day in change.days():
        if day.camera == camera:
            rows = change.read(day)
            assert rows is not None
            at = rows.schema.get_field_index("state")
            culled = pa.array(["culled"] * rows.num_rows)
            change.write(day, rows.set_column(at, rows.field(at), culled))
            assert pc.all(pc.is_valid(rows["thumb"])).as_py()
    change.commit()


def test_a_camera_that_is_no_more_leaves_nothing(tmp_path: Path) -> None:
    """Its folder goes when no row and no setting names it any more."""
    mine = Home(tmp_path)
    lay_picture(mine.uploads, PORCH, NOON)
    mine.ingest()
    mine.update()
    bare = mine.settings().model_copy(update={"cameras": ()})
    update(bare, mine.site)
    assert not (mine.site / "never").exists()
    assert (mine.site / PORCH / "index.html").exists()


def test_what_is_lost_is_made_again(own: Home) -> None:
    """A page or thumbnail that somebody removed is there again after the next run."""
    before = {name for name, _, _ in files_of(own.site)}
    for name in ("index.html", f"{GATE}/2026-11-20/1.html"):
        (own.site / name).unlink()
        own.update()
        assert {name for name, _, _ in files_of(own.site)} == before
    next((own.site / PORCH / "2026-11-19").glob("*.jpg")).unlink()
    own.update()
    assert {name for name, _, _ in files_of(own.site)} == before


def test_the_same_library_gives_the_same_site(own: Home) -> None:
    """Another folder at the same depth gets the same bytes."""
    update(own.settings(), own.folder / "twin")
    for name, _, _ in files_of(own.site):
        if name != LIST:
            assert (own.folder / "twin" / name).read_bytes() == (own.site / name).read_bytes(), name


def test_settings_count(own: Home) -> None:
    """Fewer days, no clips, another gap: the pages follow, and nothing else stays."""
    done = own.update(days=1, clip_days=0, period_gap_s=6)
    assert not (own.site / PORCH / "2026-11-19").exists()
    assert not list(own.site.rglob("*.mp4"))
    assert done.removed
    crawl(own.site)
    text = "".join(own.pages().values())
    assert "Download the clip to watch it." in text
    assert "separated by more than 0.1 minutes" in text
    own.update()
    assert len(list(own.site.rglob("*.mp4"))) == 2


def test_silence_shows_when_it_comes(tmp_path: Path) -> None:
    """A camera that falls silent is shown so, though the catalog is as it was."""
    mine = Home(tmp_path)
    now = datetime.now()
    lay_picture(mine.uploads, PORCH, now - timedelta(minutes=1))
    os.utime(mine.uploads / snapshot_path(PORCH, now - timedelta(minutes=1)))
    mine.ingest()
    mine.update()
    assert "Silent" not in parsed(mine.site / PORCH / "index.html").text
    said = json.loads((mine.site / LIST).read_text())
    due = datetime.fromisoformat(said["looked"]["due"])
    assert timedelta(hours=23) < due - datetime.now(UTC) <= timedelta(hours=24)
    said["looked"]["due"] = datetime.now(UTC).isoformat()
    (mine.site / LIST).write_text(json.dumps(said))
    settings = mine.settings().model_copy(update={"silent_after_hours": 1e-6})
    update(settings, mine.site)
    assert "Silent" in parsed(mine.site / PORCH / "index.html").text


def test_the_hour_that_comes_twice_is_told_apart(tmp_path: Path) -> None:
    """Times of the repeated autumn hour carry their zone's name; others do not."""
    mine = Home(tmp_path)
    for hour, arrived in ((2, "2026-10-25T00:30:20"), (2, "2026-10-25T01:31:20"), (12, None)):
        minute = 31 if arrived and "01:31" in arrived else 30
        when = datetime(2026, 10, 25, hour, minute)
        path = lay_picture(mine.uploads, PORCH, when)
        if arrived:
            moment = datetime.fromisoformat(f"{arrived}+00:00").timestamp()
            os.utime(path, (moment, moment))
    mine.ingest()
    mine.update()
    text = parsed(mine.site / PORCH / "2026-10-25" / "index.html").text
    assert "02:30:00 CEST" in text
    assert "02:31:00 CET" in text
    assert "12:30:00 " in text


def test_days_are_those_of_the_library(tmp_path: Path) -> None:
    """A camera whose clock is set to UTC: half past midnight at home is on the new day."""
    mine = Home(tmp_path)
    path = lay_picture(mine.uploads, "barn", datetime(2026, 11, 19, 23, 30))
    arrived = datetime(2026, 11, 19, 23, 30, 10, tzinfo=UTC).timestamp()
    os.utime(path, (arrived, arrived))
    said = mine.settings().model_dump() | {"cameras": [{"name": "barn", "zone": "UTC"}]}
    settings = type(mine.settings()).model_validate(said)
    from pano_analytics.ingest.run import ingest

    ingest(settings)
    update(settings, mine.site)
    assert (mine.site / "barn" / "2026-11-20" / "index.html").exists()
    assert "00:30:00" in parsed(mine.site / "barn" / "2026-11-20" / "index.html").text


# --- pages of a day


def moments(sizes: list[int]) -> list[plan.PlannedMoment]:
    found, second = [], 0
    for number, size in enumerate(sizes):
        rows = []
        for _ in range(size):
            second += 1
            start = datetime.fromtimestamp(second, UTC)
            upload = Upload.of({"media_id": f"{second:016x}", "start": start})
            rows.append(plan.PlannedUpload(upload, start, "", number))
        found.append(plan.PlannedMoment(number, rows[0], tuple(rows[1:])))
    return found


@given(st.lists(st.integers(1, 61), max_size=40), st.lists(st.integers(1, 61), max_size=5))
def test_full_pages_stay(sizes: list[int], more: list[int]) -> None:
    """Every moment is on one page, in order; a page that is not among the newest two stays."""
    pages = plan.pages_of(moments(sizes))
    assert [one for page in pages for one in page] == moments(sizes)
    grown = plan.pages_of(moments(sizes + more))
    assert grown[: max(0, len(pages) - 2)] == pages[:-2]
    assert all(sum(len(one.entries) for one in page) < 220 for page in pages)


@given(st.lists(st.integers(1, 61), min_size=1, max_size=40))
def test_each_moment_is_found_on_its_page(sizes: list[int]) -> None:
    """The cuts between pages tell where a moment is."""
    pages = plan.pages_of(moments(sizes))
    cuts = plan.cuts_of(pages)
    for at, page in enumerate(pages):
        for one in page:
            assert plan.page_holding(cuts, one.key) == names.page_name(at, len(pages))


# --- the folder


def test_a_folder_with_something_else_is_refused(home: Home, tmp_path: Path) -> None:
    """Nothing is written into a folder that is not empty and not a site."""
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(SettingsError, match=r"photo\.jpg"):
        update(home.settings(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]
    with pytest.raises(SettingsError, match="got a file"):
        update(home.settings(), tmp_path / "photo.jpg")


@pytest.mark.parametrize("place", ["uploads/site", "library", "library/site", "."])
def test_places_where_no_pages_belong_are_refused(home: Home, place: str) -> None:
    """In the uploads, in the library, or around the library with its users and secrets."""
    with pytest.raises(SettingsError):
        update(home.settings(), home.folder / place)
    assert not (home.folder / place / LIST).exists()


STRANGE = (
    '{"format": 1, "root_id": null, "looked": {}, "cameras": [], "days": {"../x": ["", 0, []]}}'
)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "days": 3}', STRANGE]
)
def test_a_list_that_is_none_is_refused(home: Home, tmp_path: Path, text: str) -> None:
    """A list that cannot be read is no leave to remove anything."""
    (tmp_path / LIST).write_text(text)
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(SettingsError, match="expected a file list"):
        update(home.settings(), tmp_path)
    assert (tmp_path / "index.html").read_text() == "mine"


def test_the_site_of_another_library_is_refused(own: Home, tmp_path: Path) -> None:
    """Two libraries cannot take turns at one folder, each removing the other's pages."""
    other = Home(tmp_path / "other")
    lay_picture(other.uploads, PORCH, NOON)
    other.ingest()
    with pytest.raises(SettingsError, match="of another"):
        update(other.settings(), own.site)


def test_two_runs_do_not_meet(own: Home) -> None:
    """The second says that another is running; as a command it exits 0."""
    site = SiteFolder(own.site)
    with site.locked(), pytest.raises(SiteBusy, match="another run"):
        own.update()
    assert SiteBusy.exit_code == 0


def test_no_library_is_said(tmp_path: Path) -> None:
    """Without a library there is nothing to show, and no folder is made."""
    mine = Home(tmp_path)
    with pytest.raises(LibraryError, match="pano ingest"):
        mine.update()
    assert not mine.site.exists()


# --- the command


def call(*arguments: str) -> str:
    done = CliRunner().invoke(pano, ["site", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_command_says_what_it_did(home: Home) -> None:
    """One line for people, one object for machines; the settings may name the folder."""
    library = str(home.settings().library)
    twin = str(home.folder / "told")
    assert "files written" in call("--library", library, twin)
    told = json.loads(call("--library", library, twin, "--json"))
    assert (told["written"], told["removed"], told["folder"]) == (0, 0, twin)
    assert call("--library", library, twin, "--quiet") == ""
    config = home.folder / "pano.toml"
    config.write_text(f'library = "{library}"\n[site]\nfolder = "told"\n')
    assert json.loads(call("--config", str(config), "--json"))["folder"] == twin


def test_without_a_folder_the_command_says_so(home: Home) -> None:
    """The error names both ways of saying where."""
    done = CliRunner().invoke(pano, ["site", "--library", str(home.settings().library)])
    assert isinstance(done.exception, SettingsError)
    assert "[site]" in str(done.exception)


def ended(folder: Path, library: Path, when: Callable[[], bool]) -> int:
    """Start `pano site`, send SIGTERM once `when`, and return the exit code."""
    command = [*PANO, "site", "--quiet", "--library", str(library), str(folder)]
    process = subprocess.Popen(command)
    while process.poll() is None and not when():
        pass
    process.send_signal(signal.SIGTERM)
    return process.wait(DEADLINE_S)


def test_sigterm_ends_it_and_the_next_run_goes_on(own: Home, tmp_path: Path) -> None:
    """It exits 143 in the middle of its work; afterwards the site is as if nothing had been."""
    library = own.settings().library
    assert library is not None
    folder = own.folder / "twin"
    assert ended(folder, library, lambda: len(list(folder.rglob("*.jpg"))) > 20) == 143
    update(own.settings(), folder)
    assert [name for name, _, _ in files_of(folder)] == [name for name, _, _ in files_of(own.site)]
    crawl(folder)
