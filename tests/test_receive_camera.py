"""`pano camera`: accounts, what to type in, and the first upload."""

from __future__ import annotations

import json
import os
import re
import stat
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner, Result
from receiving import (
    PASSWORD,
    TINY_JPEG,
    Running,
    let_in,
    login,
    serving,
    settings_of,
    store,
    until,
)
from shared_files import MEDIA, needs_media, snapshot_path
from test_ingest import picture

from pano_analytics.cli import camera as commands
from pano_analytics.cli import pano
from pano_analytics.errors import AttentionNeeded, PanoError
from pano_analytics.formats.dhav import camera_jpeg
from pano_analytics.receive import arrival
from pano_analytics.receive.accounts import Account, AccountError, Accounts, new_account
from pano_analytics.settings import check, load

pytest.importorskip("pyftpdlib")


@pytest.fixture
def where(tmp_path: Path) -> list[str]:
    (tmp_path / "uploads").mkdir()
    return ["--uploads", str(tmp_path / "uploads"), "--library", str(tmp_path / "library")]


def run(*arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(pano, ["camera", *arguments], input=typed)


def accounts(tmp_path: Path) -> list[Account]:
    return Accounts(tmp_path / "library").all()


# --- accounts -----------------------------------------------------------------------------


def test_add_says_what_to_type_in(where: list[str], tmp_path: Path) -> None:
    """Address, port, user, password, folder and encryption; kept is a hash, in a private file."""
    done = run("add", "front_door", "--no-wait", *where)
    assert done.exit_code == 0, done.output
    said = dict(re.findall(r"^  (server address|port|user|password)\s+(\S+)$", done.output, re.M))
    assert said["port"] == "2121"
    assert said["user"] == "front_door"
    assert re.fullmatch(r"[\d.]+", said["server address"])
    assert "folder           /" in done.output
    [account] = accounts(tmp_path)
    assert (account.camera, account.folder) == ("front_door", "front_door")
    assert (tmp_path / "uploads" / "front_door").is_dir()
    kept = tmp_path / "library" / "uploaders.json"
    assert said["password"] not in kept.read_text()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_what_was_typed_in_lets_the_camera_in(tmp_path: Path) -> None:
    """The very words that add prints open the door; those of before a new password do not."""
    here = settings_of(tmp_path)
    where = ["--uploads", str(here.uploads), "--library", str(here.library), "--no-wait"]
    with serving(here) as running:
        for command in ("add", "password"):
            done = run(command, "Back yard", *where)
            said = dict(re.findall(r"^  (port|user|password)\s+(\S+)$", done.output, re.M))
            assert int(said["port"]) == running.port
            with login(running, said["user"], said["password"]) as ftp:
                store(ftp, f"{command}.jpg", TINY_JPEG)
        assert sorted(path.name for path in running.folder("Back yard").iterdir()) == [
            "add.jpg",
            "password.jpg",
        ]


def test_a_given_password_is_not_shown(where: list[str], tmp_path: Path) -> None:
    """--password-stdin takes one line, and never says it again."""
    done = run("add", "porch", "--password-stdin", "--no-wait", *where, typed=f"{PASSWORD}\n")
    assert done.exit_code == 0
    assert PASSWORD not in done.output
    done = run("add", "barn", "--password-stdin", "--no-wait", *where, typed="short\n")
    assert isinstance(done.exception, AccountError)
    assert "short" not in str(done.exception)


def test_list_remove(where: list[str], tmp_path: Path) -> None:
    """What is added is listed with what came of it; what is removed is not, its folder stays."""
    run("add", "porch", "--no-wait", *where)
    told = json.loads(run("list", "--json", *where).stdout)
    assert [(one["camera"], one["user"], one["last"]) for one in told["cameras"]] == [
        ("porch", "porch", None)
    ]
    assert not told["is_receiving"]
    assert "no uploads yet" in run("list", *where).output
    assert run("remove", "porch", *where).exit_code == 0
    assert accounts(tmp_path) == []
    assert (tmp_path / "uploads" / "porch").is_dir()
    assert isinstance(run("remove", "porch", *where).exception, AccountError)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["porch"], "already has an account"),
        (["Porch 2", "--user", "PORCH"], "the user"),
        (["porch/2"], "overlaps"),
        (["x", "--user", "a b"], "plain letters"),
        (["../x"], "not hidden"),
        ([".hidden"], "not hidden"),
        (["@eaDir"], "not hidden"),
        (["a\nb"], "on one line"),
        (["2026-11-22"], "would not be assigned"),
        (["AMC0028V_795UUB"], "would not be assigned"),
        (["yard", "--folder", "other"], "would not be assigned"),
    ],
)
def test_what_cannot_be(where: list[str], tmp_path: Path, arguments: list[str], words: str) -> None:
    """A camera twice, a user of another, a folder inside another's or out of the tree: refused."""
    run("add", "porch", "--no-wait", *where)
    done = run("add", *arguments, "--no-wait", *where)
    assert isinstance(done.exception, PanoError), done.output
    assert words in str(done.exception)
    assert [one.camera for one in accounts(tmp_path)] == ["porch"]
    assert [path.name for path in (tmp_path / "uploads").iterdir()] == ["porch"]


def test_a_folder_of_another_name_goes_into_the_settings(tmp_path: Path) -> None:
    """Told in pano.toml, ingest takes the folder for the camera's; what stood there stays."""
    (tmp_path / "uploads").mkdir()
    config = tmp_path / "pano.toml"
    config.write_text('# mine\nuploads = "uploads"\nlibrary = "library"\n\n[[cameras]]\nname = "a"')
    done = run("add", "b", "--folder", "cam/2", "--no-wait", "--config", str(config))
    assert done.exit_code == 0, done.exception
    assert config.read_text().startswith("# mine\n")
    assert [(one.name, one.folder) for one in load(config).cameras] == [("a", None), ("b", "cam/2")]
    assert (tmp_path / "uploads" / "cam" / "2").is_dir()
    done = run("add", "a", "--folder", "other", "--no-wait", "--config", str(config))
    assert "in the settings" in str(done.exception)


def test_no_upload_root_is_no_folder_made(tmp_path: Path) -> None:
    """Where the disk of the uploads is not mounted, nothing is made in its place."""
    where = ["--uploads", str(tmp_path / "none"), "--library", str(tmp_path / "library")]
    done = run("add", "porch", "--no-wait", *where)
    assert isinstance(done.exception, PanoError)
    assert done.exception.exit_code == 3
    assert list(tmp_path.iterdir()) == []


# --- the first upload ---------------------------------------------------------------------


@pytest.fixture
def waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Running, list[str]]]:
    monkeypatch.setattr(commands, "POLL_S", 0.02)
    here = settings_of(tmp_path)
    let_in(here, "barn")
    with serving(here) as running:
        yield running, ["--uploads", str(here.uploads), "--library", str(here.library)]


@needs_media
def test_add_waits_and_confirms(waiting: tuple[Running, list[str]]) -> None:
    """A refused login, a cut upload and a test file are told on the way; then the first upload."""
    running, where = waiting
    came: list[Result] = []

    def wait() -> None:
        options = ["--timeout", "60", "--password-stdin", *where]
        came.append(run("add", "porch", *options, typed=f"{PASSWORD}\n"))

    asking = threading.Thread(target=wait)
    asking.start()
    until(lambda: running.receiver.service.gate.has_user("porch"))
    running.receiver.server.handler.auth_failed_timeout = 0.01
    until(lambda: running.folder().is_dir())
    name = snapshot_path("porch", datetime(2020, 6, 1, 16, 31, 24)).rpartition("/")[2]
    # So that it waits before anything comes.
    until(lambda: asking.is_alive() and not running.told()["refused"])
    with pytest.raises(Exception, match="530"):
        login(running, "porch", "wrong-password")
    data = (MEDIA / "1591027084.jpg").read_bytes()
    with login(running) as ftp:
        store(ftp, "test.txt", b"test")
        running.told()
        threading.Event().wait(0.3)
        with pytest.raises(Exception, match="426"):
            store(ftp, name, data[:9000])
        store(ftp, f"{name}_", data)
        ftp.rename(f"{name}_", name)
    asking.join(60)
    [done] = came
    assert done.exit_code == 0, done.output
    assert "Refused: porch from 127.0.0.1: wrong password" in done.output
    assert "pano camera password NAME" in done.output
    assert "neither a picture nor a clip: porch/test.txt" in done.output
    assert "was cut off" in done.output
    assert re.search(
        r"first upload arrived, complete, clock [\d,]+ days off \(behind\)", done.output
    )


def test_nothing_comes(waiting: tuple[Running, list[str]]) -> None:
    """After the time that was given it says so, and exits 8; the account stays."""
    _, where = waiting
    done = run("add", "porch", "--timeout", "0.1", *where)
    assert isinstance(done.exception, AttentionNeeded)
    assert "in time" in str(done.exception)


def told(clock: datetime, arrived: datetime, tmp_path: Path) -> list[str]:
    """Return what is said of a snapshot that shows `clock` (Berlin) and arrived at `arrived`."""
    settings = check({"zone": "Europe/Berlin"}).model_copy(update={"uploads": tmp_path})
    path = snapshot_path("porch", clock)
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_bytes(camera_jpeg(picture(), clock))
    return arrival.in_words(
        arrival.examine_upload(settings, "porch", path, arrived), settings, "porch"
    )


@pytest.mark.parametrize(
    ("off", "words"),
    [
        (timedelta(seconds=-20), "clock right"),
        (timedelta(seconds=100), "clock right"),
        (timedelta(minutes=3), "clock 3 minutes off (ahead)"),
        (timedelta(minutes=-3), "clock 3 minutes off (behind)"),
        (timedelta(hours=-1), "clock 1 hour off (behind)"),
        (timedelta(minutes=90), "clock 90 minutes off (ahead)"),
        (timedelta(days=-300), "clock 300 days off (behind)"),
    ],
)
def test_how_far_the_clock_is_off(off: timedelta, words: str, tmp_path: Path) -> None:
    """Held against the arrival, in the camera's zone; whole hours point to a zone."""
    arrived = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
    clock = (arrived + off).astimezone(ZoneInfo("Europe/Berlin")).replace(tzinfo=None)
    lines = told(clock, arrived, tmp_path)
    assert lines[0].startswith("first upload arrived, ")
    assert lines[0].endswith(words)
    assert ("A whole number of hours" in lines[-1]) == (off == timedelta(hours=-1))
    assert len(lines) == (2 if "right" in words else 3)


def test_what_root_makes_belongs_to_the_service(where: list[str], tmp_path: Path) -> None:
    """`sudo pano camera add` leaves nothing that the service, another user, could not open."""
    if os.geteuid():
        pytest.skip("only root can make things for others")
    (tmp_path / "library").mkdir()
    for name in ("library", "uploads"):
        os.chown(tmp_path / name, 65534, 65534)
    run("add", "porch", "--no-wait", *where)
    made = (tmp_path / "library" / "uploaders.json", tmp_path / "uploads" / "porch")
    assert [path.stat().st_uid for path in made] == [65534, 65534]


def test_an_account_holds_what_it_must(tmp_path: Path) -> None:
    """A camera's name in any script has a user that every camera's page takes."""
    for camera in ("Haustür", "玄関", "Back yard (north)", "x" * 90):
        account = new_account(check({}), camera, None, None, PASSWORD)
        assert re.fullmatch(r"[a-z0-9_]{1,20}", account.name)
        assert account.jail(tmp_path).parent == tmp_path
