"""`pano init --from`: what the original system was told is taken over, its passwords are not."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import settings as settings_of_tests
from hypothesis import strategies as st

from pano_analytics import settings
from pano_analytics.cli import pano
from pano_analytics.errors import SettingsError, UploadTreeError
from pano_analytics.proposal import propose, read_original

# Two generations of its settings, with the keys that each had.
LATE: dict[str, Any] = {
    "@comment": "kept on the mini-PC",
    "baseline_datetime": "now",
    "database_fname": "/home/pano/panodb.sqlite",
    "base_data_dir": "/var/FTP",
    "www_dir": "/var/www",
    "derived_dir": "/var/derived",
    "delta_min": 30,
    "max_age_days": 21.0,
    "ffmpeg": "/usr/bin/ffmpeg",
    "skip_cull_old_files": 0,
    "num_worker_threads": 2,
    "@camera_list": [{"name": "cam-99", "live_url": "rtsp://admin:hunter2@10.0.0.99/"}],
    "camera_list": [
        {
            "name": "cam-01",
            "model": "amcrest-ip2m-842",
            "live_url": "rtsp://admin:hunter2@10.0.0.21:80/cam/realmonitor?channel=1&subtype=0",
            "admin_url": "http://10.0.0.21",
            "description": "porch",
        },
        {
            "name": "cam-07",
            "model": "amcrest-ip3m-943",
            "live_url": "rtsp://admin:hun/ter#2@10.0.0.27:80/cam/realmonitor?channel=1&subtype=0",
            "admin_url": "http://10.0.0.27/?user=admin&password=hunter2",
            "description": "front/look-north/2021",
        },
    ],
    "watchdog_check_ftpd": 1,
}
EARLY: dict[str, Any] = {
    "database_file": "panodb.sqlite",
    "base_data_dir": "testdata/FTP",
    "delta_min": 10,
    "max_age_days": 14,
    "www_dir": "www",
    "cull_old_files": 1,
    "camera_list": [{"name": "b0", "live_url": "http://10.0.0.1", "description": "porch"}],
}


def written(folder: Path, said: Any, name: str = "pano-docker.json") -> Path:
    """Write the original's settings; a text as it is."""
    file = folder / name
    file.write_text(said if isinstance(said, str) else json.dumps(said), encoding="utf-8")
    return file


def taken_over(folder: Path, said: Any, uploads: Path | None = None) -> settings.Settings:
    """Load the proposal that the original's settings lead to."""
    target = folder / "pano.toml"
    target.write_text(propose(uploads, "UTC", read_original(written(folder, said))))
    return settings.load(target)


def lay(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def test_cameras_folders_days_and_links_are_taken_over(tmp_path: Path) -> None:
    """Names, descriptions, links, the upload folder and the days to keep come out of the JSON."""
    told = taken_over(tmp_path, LATE)
    assert (told.uploads, told.keep_days) == (Path("/var/FTP"), 21)
    assert told.site.period_gap_s == 1800
    assert [
        (one.name, one.upload_folders, one.description, one.admin_url, one.live_url)
        for one in told.cameras
    ] == [
        (
            "cam-01",
            ("cam-01",),
            "porch",
            "http://10.0.0.21",
            "rtsp://10.0.0.21:80/cam/realmonitor?channel=1&subtype=0",
        ),
        (
            "cam-07",
            ("cam-07",),
            "front/look-north/2021",
            "http://10.0.0.27/",
            "rtsp://10.0.0.27:80/cam/realmonitor?channel=1&subtype=0",
        ),
    ]


def test_no_password_is_written(tmp_path: Path) -> None:
    """Neither keys nor remarks of the proposal hold any credentials, commented cameras included."""
    text = propose(None, "UTC", read_original(written(tmp_path, LATE)))
    assert not [word for word in ("hunter2", "hun/ter", "admin:", "user=") if word in text]


def test_an_early_file_is_read_too(tmp_path: Path) -> None:
    """Keys of the first years mean what they meant; relative folders start beside the file."""
    told = taken_over(tmp_path, EARLY)
    assert (told.uploads, told.keep_days) == (tmp_path / "testdata" / "FTP", 14)
    assert [one.name for one in told.cameras] == ["b0"]


@pytest.mark.parametrize(
    ("said", "keep_days"),
    [
        ({}, 14),
        ({"max_age_days": 0.5}, 1),
        ({"max_age_days": 3}, 3),
        ({"max_age_days": 3, "cull_old_files": 0}, None),
        ({"max_age_days": 3, "skip_cull_old_files": 1}, None),
    ],
)
def test_days_are_kept_as_the_original_kept_them(
    tmp_path: Path, said: dict[str, Any], keep_days: int | None
) -> None:
    """Its default counts where nothing was said; part of a day is a day; no culling stays none."""
    told = taken_over(tmp_path, {"camera_list": EARLY["camera_list"], **said})
    assert told.keep_days == keep_days
    assert not told.cull.scheduled


def test_pages_are_written_beside_the_old_ones(tmp_path: Path) -> None:
    """Where its folders are here, new pages go into one of their own in its web folder."""
    said = {**LATE, "base_data_dir": str(tmp_path / "ftp"), "www_dir": str(tmp_path / "www")}
    assert taken_over(tmp_path, said).site.folder is None
    (tmp_path / "www").mkdir()
    (tmp_path / "ftp").mkdir()
    assert taken_over(tmp_path, said).site.folder == tmp_path / "www" / "pano"


def test_the_tree_adds_what_the_list_lacks(tmp_path: Path) -> None:
    """Layouts seen stand beside the listed cameras; folders nobody listed follow them."""
    lay(
        tmp_path / "ftp",
        "cam-01/AMC0/2026-11-20/001/jpg/09/50/06[M][0@0][0].jpg",
        "barn/AMC1/2026-11-20/09hour/jpg/09.50.06[M][0@0][0].jpg",
    )
    text = propose(tmp_path / "ftp", "UTC", read_original(written(tmp_path, LATE)))
    assert "# amcrest-ip2m-842; seen: 1 × dahua-deep snapshot" in text
    assert "# amcrest-ip3m-943; no files seen here" in text
    told = taken_over(tmp_path, LATE, tmp_path / "ftp")
    assert told.uploads == tmp_path / "ftp"
    assert [one.name for one in told.cameras] == ["cam-01", "cam-07", "barn"]


def test_what_is_left_behind_is_named(tmp_path: Path) -> None:
    """Strange keys and links that are none are told of by name, never with what they held."""
    said = {
        "smtp_login": "hunter2",
        "camera_list": [{"name": "a", "pin": "hunter2", "live_url": "ftp://u:hunter2@cam"}],
    }
    text = propose(None, "UTC", read_original(written(tmp_path, said)))
    assert "smtp_login" in text
    assert "camera_list[0]: pin" in text
    assert "camera_list[0].live_url" in text
    assert "hunter2" not in text


CAMERA = {"name": "a"}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("{,}", "expected JSON"),
        ("[]", "expected a JSON object"),
        ({}, "camera_list: expected a list of at least one camera; got nothing"),
        ({"camera_list": {}}, "camera_list: expected a list"),
        ({"camera_list": [CAMERA, "rtsp://u:hunter2@c"]}, r"camera_list\[1\]: expected an object"),
        ({"camera_list": [{"description": "x"}]}, r"camera_list\[0\].name: expected the name"),
        ({"camera_list": [{"name": "../x"}]}, r"camera_list\[0\].name: expected the name"),
        ({"camera_list": [CAMERA, CAMERA]}, r"camera_list\[1\].name: expected a unique name"),
        ({"camera_list": [{**CAMERA, "description": 1}]}, r"camera_list\[0\].description"),
        ({"camera_list": [CAMERA], "max_age_days": -1}, "max_age_days: expected a number of days"),
        ({"camera_list": [CAMERA], "max_age_days": "21"}, "max_age_days: expected a number"),
        ({"camera_list": [CAMERA], "delta_min": 0}, "delta_min: expected a number of minutes"),
        ({"camera_list": [CAMERA], "base_data_dir": 7}, "base_data_dir: expected a folder"),
    ],
)
def test_an_error_names_the_key(tmp_path: Path, said: Any, told: str) -> None:
    """What cannot be taken over is said with its key, and shows no password."""
    with pytest.raises(SettingsError, match=told) as error:
        read_original(written(tmp_path, said))
    assert "hunter2" not in str(error.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*LATE, *LATE["camera_list"][0], "@x", "other"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)
SECRET = "".join(["tr0ub", "4dor"])
SIGNS = st.text("ab1:/#?&;@%[]. \\\"'", max_size=6)


def outcome(folder: Path, said: Any) -> str:
    """Return the words in which it is refused, or the proposal, which loads."""
    file = written(folder, said)
    try:
        original = read_original(file)
    except SettingsError as error:
        return str(error)
    (folder / "pano.toml").write_text(propose(None, "UTC", original), encoding="utf-8")
    settings.load(folder / "pano.toml")
    return (folder / "pano.toml").read_text(encoding="utf-8")


@settings_of_tests(max_examples=150, deadline=None)
@given(JSON, st.text(max_size=6), SIGNS, SIGNS)
def test_whatever_it_holds_it_loads_or_is_refused(
    value: Any, text: str, before: str, after: str
) -> None:
    """Any JSON is refused in words or leads to settings that load, without the password in it."""
    link = f"rtsp://admin:{before}{SECRET}{after}@10.0.0.7/live"
    camera = {"name": "a" + text, "description": text, "admin_url": value, "live_url": link}
    for said in (value, {"max_age_days": value, "camera_list": [camera]}):
        with TemporaryDirectory() as folder:
            assert SECRET not in outcome(Path(folder), said)


# --- the command ------------------------------------------------------------


def pano_init(*arguments: Any) -> Any:
    return CliRunner(catch_exceptions=False).invoke(
        pano, ["init", *(str(one) for one in arguments)]
    )


def test_the_command_takes_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--from` writes a file that loads, and says when the folder of uploads is not here."""
    monkeypatch.chdir(tmp_path)
    said = {**LATE, "base_data_dir": str(tmp_path / "gone")}
    told = pano_init("--from", written(tmp_path, said))
    assert "2 cameras;" in told.output
    assert "base_data_dir is not on this computer" in told.output
    assert settings.load(tmp_path / "pano.toml").keep_days == 21


def test_the_folder_of_uploads_can_be_elsewhere_now(tmp_path: Path) -> None:
    """`--uploads` wins over base_data_dir, and must be there."""
    lay(tmp_path / "ftp", "cam-01/AMC0/2026-11-20/001/jpg/09/50/06[M][0@0][0].jpg")
    file = written(tmp_path, LATE)
    told = pano_init("--from", file, "--uploads", tmp_path / "ftp", "--output", "-")
    assert tomllib.loads(told.output)["uploads"] == str(tmp_path / "ftp")
    with pytest.raises(UploadTreeError, match="expected the folder that cameras upload to"):
        pano_init("--from", file, "--uploads", tmp_path / "none", "--output", "-")


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    """A wrong path is a plain error."""
    with pytest.raises(SettingsError, match="expected the original's settings"):
        pano_init("--from", tmp_path / "none.json", "--output", "-")
