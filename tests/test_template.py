"""Templates: every way to write a time reads back, and what no path can fit is refused."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pano_analytics.errors import SettingsError
from pano_analytics.layouts import Template
from pano_analytics.settings import check

MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2068, 12, 31)).map(
    lambda moment: moment.replace(microsecond=0)
)
_YEARS, _MONTHS = ["%Y", "%y"], ["%m", "%-m", "%b", "%B"]
_DAYS, _HOURS = ["%d", "%-d"], ["%H", "%-H", "%I%p", "%-I%p", "%I %p", "%p%I"]
_GAPS = st.sampled_from(["-", "_", ".", " ", "h", "T", "~", "+", "ü", "(", "["])


def written(moment: datetime, form: str) -> str:
    """Return what a camera that knows `form` writes."""
    own = {"%s": int(moment.replace(tzinfo=UTC).timestamp())}
    own["%Q"] = own["%s"] * 1000 + moment.microsecond // 1000
    return re.sub(r"%-?.", lambda one: str(own.get(one[0], f"{moment:{one[0]}}")), form)


@st.composite
def forms(draw: st.DrawFn) -> str:
    """Return a format of a whole time, its parts in any order and spelling."""
    date = [draw(st.sampled_from(one)) for one in (_YEARS, _MONTHS, _DAYS)]
    time = [
        draw(st.sampled_from(_HOURS)),
        *(draw(st.sampled_from([o, f"%-{o[1]}"])) for o in ("%M", "%S")),
    ]
    ordered = [*draw(st.permutations(date)), *time]
    text = ordered[0]
    for part in ordered[1:]:
        text += draw(_GAPS) + part
    return text


@given(forms(), MOMENTS, st.sampled_from(["jpg", "mp4"]))
def test_what_a_format_writes_the_template_reads(form: str, moment: datetime, ending: str) -> None:
    """Two-digit years, month names, hours of twelve, numbers without leading zeros."""
    reading = Template.parse(f"cam_{{start:{form}}}.{{ext}}").read(
        f"x/cam_{written(moment, form)}.{ending}"
    )
    expected = moment if "%y" not in form else moment.replace(year=_posix(moment.year))
    assert reading is not None
    assert reading.start == expected


def _posix(year: int) -> int:
    short = year % 100
    return short + (1900 if short >= 69 else 2000)


@given(MOMENTS, st.integers(0, 999), st.integers(0, 3600))
def test_times_counted_since_1970_are_instants(moment: datetime, ms: int, length: int) -> None:
    """Unix seconds and milliseconds are read in UTC, whatever the camera's zone."""
    start, end = moment + timedelta(milliseconds=ms), moment + timedelta(seconds=length)
    by_ms = Template.parse("{start:%Q}.jpg").read(f"{written(start, '%Q')}.jpg")
    by_s = Template.parse("v-{start:%s}-{end:%s}.mp4").read(
        f"v-{written(moment, '%s')}-{written(end, '%s')}.mp4"
    )
    assert by_ms is not None
    assert by_s is not None
    assert (by_ms.start, by_ms.zone) == (start, "utc")
    assert (by_s.start, by_s.end, by_s.zone) == (moment, end, "utc")


@pytest.mark.parametrize(
    ("text", "path", "start"),
    [
        ("{date:%Y-%m-%d}/{start:%y%m%d_%H%M%S}.jpg", "2026-11-27/261127_140509.jpg", "14:05:09"),
        ("{date:%d %B %Y}/{start:%-I.%M %p}.jpg", "27 november 2026/2.05 pm.jpg", "14:05:00"),
        ("{date:%d%b%Y}/{start:%I%M%S%p}.jpg", "27NOV2026/120509AM.jpg", "00:05:09"),
        ("{date:%Y%m%d}/{start:%I%M%S%p}.jpg", "20261127/120509PM.jpg", "12:05:09"),
        ("{date:%Y%%%m%%%d}/{start:%H%M%S}.jpg", "2026%11%27/140509.jpg", "14:05:09"),
    ],
)
def test_spellings_of_one_time(text: str, path: str, start: str) -> None:
    """A part that folder and name spell differently must mean the same."""
    reading = Template.parse(text).read(path)
    assert reading is not None
    assert f"{reading.start}" == f"2026-11-27 {start}"


def test_spellings_that_disagree_do_not_fit() -> None:
    """A folder of one year and a name of another is no upload of this scheme."""
    template = Template.parse("{date:%Y}/{start:%y%m%d%H%M}.jpg")
    assert template.read("2026/2611271405.jpg") is not None
    assert template.read("2025/2611271405.jpg") is None


@pytest.mark.parametrize("hour", ["00", "13", "99"])
def test_an_hour_that_twelve_hours_do_not_have_is_no_time(hour: str) -> None:
    """The reason says so; nothing is guessed."""
    reading = Template.parse("{start:%Y%m%d%I%M%p}.jpg").read(f"20261127{hour}05PM.jpg")
    assert reading is not None
    assert reading.kind == "unknown"


def test_letters_of_a_template_may_be_composed_or_not() -> None:
    """A Mac spells the folder with the accent apart."""
    template = Template.parse("Türe/{start:%Y%m%d%H%M%S}.jpg")
    for form in ("NFC", "NFD"):
        assert template.read(unicodedata.normalize(form, "x/Türe/20261127140509.jpg")) is not None


NEVER = [
    ("{start:%Y%m%d%I%M}.jpg", "%p"),
    ("{start:%Y%m%d%H%p}.jpg", "%I"),
    ("{start:%Y%m%d%H%S}.jpg", "minute"),
    ("{start:%Y%m%d%H%M%f}.jpg", "second"),
    ("{start:%s}_{date:%Y%m%d}.jpg", "%s or %Q alone"),
    ("{start:%s}-{end:%H%M}.mp4", "or neither"),
    ("{start:%H%M%S}.jpg", "year"),
    ("{start:%y%m}/{start:%H}.jpg", "day"),
    ("{start:%Y%m%d%H%M%S}_{start:%Y%m%d%H%M%S}.mp4", "twice in one name"),
    ("{camera}_{camera}_{start:%Y%m%d%H}.jpg", "twice in one name"),
    ("{ext}/{start:%Y%m%d%H}.jpg", "{ext} at the end"),
    ("{brand}/{start:%Y%m%d%H}.jpg", "{brand}"),
    ("cam//{start:%Y%m%d%H}.jpg", "one /"),
    ("../{start:%Y%m%d%H}.jpg", "one /"),
    ("ftp://nas/{start:%Y%m%d%H}.jpg", "one /"),
    ("cam\\{start:%Y%m%d%H}.jpg", "backslash"),
    ("cam\n{start:%Y%m%d%H}.jpg", "line break"),
    (".{start:%Y%m%d%H}.jpg", "dot"),
    ("x" * 300 + "{start:%Y%m%d%H}.jpg", "255 bytes"),
    ("{start:%Y%-m%-d%H}.jpg", "where the first one ends"),
    ("{any}{start:%-H}_{date:%Y%m%d}.jpg", "where the first one ends"),
    ("7{start:%s}.jpg", "where the first one ends"),
    ("{start:%Y%m%d%H%j}.jpg", "%j"),
    ("{start:noon}.jpg", "year"),
]


@pytest.mark.parametrize(("text", "said"), NEVER)
def test_what_no_path_can_fit_is_refused_when_settings_are_read(text: str, said: str) -> None:
    """The message names the template, what was expected and what came."""
    with pytest.raises(SettingsError) as refused:
        check({"cameras": [{"name": "porch", "layout": text}]})
    assert said in str(refused.value)
    assert "cameras[0].layout" in str(refused.value)


def test_a_camera_may_have_several_layouts() -> None:
    """They are tried in order; each is checked."""
    said = ["auto", "{start:%Y%m%d-%H%M%S}.jpg"]
    assert check({"cameras": [{"name": "a", "layout": said}]}).camera("a").layout == tuple(said)
    for wrong in ([], [3], 3, ["auto", "nonsense"]):
        with pytest.raises(SettingsError, match=r"cameras\[0\].layout: expected"):
            check({"cameras": [{"name": "a", "layout": wrong}]})
