"""`pano.toml`: an error names the key, what was expected and what came."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from pano_analytics import settings
from pano_analytics.errors import SettingsError

_CLOCK = '[[cameras]]\nname = "a"\n[[cameras.clock]]\n'
_TWICE = f"{_CLOCK}start = 2026-11-03\nseconds = 9\n[[cameras.clock]]\n"


@pytest.mark.parametrize(
    ("text", "key", "expected", "came"),
    [
        ('zone = "Berlin"', "zone", "IANA time zone", "'Berlin'"),
        ("zone = 3", "zone", "text in quotes", "3"),
        ("uploads = 3", "uploads", "a folder in quotes", "3"),
        ("bogus = 1", "bogus", "a known key", ""),
        ("silent_after_hours = 0", "silent_after_hours", "greater than 0", "0"),
        ('[ingest]\nrecheck_days = "x"', "ingest.recheck_days", "a whole number", "'x'"),
        ("[dashboard]\nport = 99999", "dashboard.port", "less than or equal to 65535", "99999"),
        ('[[cameras]]\nfolder = "a"', "cameras[0].name", "a value", "it is missing"),
        ('cameras = "a"', "cameras", "tables, each under a line [[cameras]]", "'a'"),
        ('[doctor]\nignore = "x"', "doctor.ignore", "a list in brackets", "'x'"),
        ('[[cameras]]\nname = "a"\nfolder = "../b"', "cameras[0].folder", "below", "'../b'"),
        ('[[cameras]]\nname = "a"\nlayout = "x"', "cameras[0].layout", "'auto'", "'x'"),
        ('[[cameras]]\nname = "a"\n[[cameras]]\nname = "a"', "", "a different name", "a"),
        (f"{_CLOCK}start = 3\nseconds = 9", "cameras[0].clock[0].start", "camera's own clock", "3"),
        (f'{_CLOCK}start = "2026-11-03T00:00Z"\nseconds = 9', "start", "without a time zone", "Z"),
        (f"{_CLOCK}start = 2026-11-03T00:00:00Z\nseconds = 9", "start", "without a time zone", ""),
        (f"{_CLOCK}start = 2026-11-03", "cameras[0].clock[0].seconds", "a value", "it is missing"),
        (f"{_CLOCK}start = 2026-11-03\nseconds = 0", "seconds", "not 0", "0"),
        (f"{_CLOCK}start = 2026-11-03\nseconds = nan", "seconds", "a number of seconds", "nan"),
        (f'{_CLOCK}start = 2026-11-03\nseconds = "9"', "seconds", "a number of seconds", "'9'"),
        (f"{_CLOCK}start = 2026-11-03\nseconds = true", "seconds", "a number of seconds", "True"),
        (f"{_CLOCK}start = 2026-11-03\nend = 2026-11-03\nseconds = 9", "clock[0]", "after", "11"),
        (f"{_CLOCK}start = 2026-11-03\nsecond = 9", "clock[0].second", "known key", "'seconds'"),
        (f"{_TWICE}start = 2026-11-04\nseconds = 8", "cameras[0]", "not overlap", "9 s ahead"),
    ],
)
def test_an_error_names_key_expected_and_came(
    tmp_path: Path, text: str, key: str, expected: str, came: str
) -> None:
    """A wrong value is told with its key, what was expected and what came."""
    file = tmp_path / "pano.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as error:
        settings.load(file)
    told = str(error.value)
    assert key in told
    assert expected in told
    assert came in told
    assert str(file) in told


def test_text_that_is_no_toml_is_told_with_its_line(tmp_path: Path) -> None:
    """A slip of the pen is told with the line it is on."""
    file = tmp_path / "pano.toml"
    file.write_text('zone = "UTC"\nuploads = oops\n')
    with pytest.raises(SettingsError, match="line 2"):
        settings.load(file)


def test_relative_folders_start_beside_the_file(tmp_path: Path) -> None:
    """Folders in pano.toml do not depend on where pano is called."""
    file = tmp_path / "pano.toml"
    file.write_text('uploads = "ftp"\nlibrary = "/var/lib/pano"\n')
    loaded = settings.load(file)
    assert loaded.uploads == tmp_path / "ftp"
    assert loaded.library == Path("/var/lib/pano")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://admin:secret@10.0.0.2:80/page", "http://10.0.0.2:80/page"),
        ("rtsp://u:p%40ss@cam/live?channel=1", "rtsp://cam/live?channel=1"),
        ("http://cam/x?user=a&channel=1&password=z", "http://cam/x?channel=1"),
        ("http://cam/x?channel=1;loginuse=a;loginpas=z#z", "http://cam/x?channel=1"),
        (
            "rtsp://admin:p/a#s?s@w@10.0.0.7:554/live?channel=1",
            "rtsp://10.0.0.7:554/live?channel=1",
        ),
        ("rtsp://10.0.0.7/user=a_password=z_z_channel=1.sdp?real", "rtsp://10.0.0.7/?real"),
        ("https://cam/", "https://cam/"),
    ],
)
def test_passwords_in_links_are_forgotten_at_once(url: str, shown: str) -> None:
    """A link keeps its address and loses its credentials, so that nothing can show them."""
    camera = settings.check({"cameras": [{"name": "a", "admin_url": url}]}).camera("a")
    assert camera.admin_url == shown


def test_a_wrong_link_does_not_show_its_password() -> None:
    """Even an address that is none may hold a password: the error shows none of it."""
    with pytest.raises(SettingsError) as error:
        settings.check({"cameras": [{"name": "a", "live_url": "admin:secret@cam"}]})
    assert "secret" not in str(error.value)


def test_the_file_is_found_in_the_told_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--config wins over PANO_CONFIG, which wins over ./pano.toml; none is no error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(settings.ENVIRONMENT, raising=False)
    assert settings.find() is None
    (tmp_path / "pano.toml").touch()
    assert settings.find() == Path("pano.toml")
    monkeypatch.setenv(settings.ENVIRONMENT, "/etc/pano.toml")
    assert settings.find() == Path("/etc/pano.toml")
    assert settings.find("/other.toml") == Path("/other.toml")


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    """A settings file that is named but not there points to `pano init`."""
    with pytest.raises(SettingsError, match="pano init"):
        settings.load(tmp_path / "none.toml")


def test_the_old_name_of_the_interval_of_the_site_still_works(tmp_path: Path) -> None:
    """`gap_minutes` counts minutes, the new name seconds; both at once are refused."""
    file = tmp_path / "pano.toml"
    file.write_text("[site]\ngap_minutes = 2.5\n")
    assert settings.load(file).site.period_gap_s == 150
    for text, expected in (
        ("gap_minutes = 2\nperiod_gap_s = 120", "period_gap_s without gap_minutes"),
        ("gap_minutes = 0", "a number of minutes above 0"),
        ('gap_minutes = "2"', "a number of minutes above 0"),
    ):
        file.write_text(f"[site]\n{text}\n")
        with pytest.raises(SettingsError, match=f"site: expected .*{expected}"):
            settings.load(file)


def test_limits_of_events_are_set_for_all_or_for_one() -> None:
    """A camera's own limit wins, 0 included."""
    cameras = [{"name": "a", "event_gap_s": 0}, {"name": "b", "event_max_s": 90}]
    told = settings.check({"event_gap_s": 30, "cameras": cameras})
    assert [told.event_gap_s_of(name) for name in "abc"] == [0, 30, 30]
    assert [told.event_max_s_of(name) for name in "abc"] == [3600, 90, 3600]
    for wrong in ({"event_gap_s": -1}, {"event_max_s": 59}, {"event_gap_s": "1 min"}):
        with pytest.raises(SettingsError, match=f"{next(iter(wrong))}: expected"):
            settings.check(wrong)


def test_corrections_of_a_clock_come_back_from_the_library() -> None:
    """A library remembers its settings as JSON; spans that only touch are no overlap."""
    spans = [
        {"start": "2026-11-03 00:00", "end": "2026-11-17 18:30", "seconds": -2820},
        {"start": datetime(2026, 11, 17, 18, 30), "seconds": 61.5},
    ]
    given = settings.check({"cameras": [{"name": "garage", "clock": spans}]})
    assert settings.check(given.model_dump(mode="json", exclude_none=True)) == given
    first, second = given.cameras[0].clock_corrections
    assert first == ("garage", datetime(2026, 11, 3), datetime(2026, 11, 17, 18, 30), -2820.0)
    assert str(second) == "61.5 s ahead from 2026-11-17 18:30:00"
