"""Templates that are proposed for unknown names read those names when they are pasted."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from pano_analytics.layouts import Template, propose

FIRST = datetime(2026, 11, 27, 9, 58, 7)
MOMENTS = [FIRST + timedelta(hours=5 * n, minutes=7 * n, seconds=n) for n in range(18)]

SCHEMES = [
    "cam/%m-%d-%Y_%H.%M.%S.jpg",
    "cam/%d.%m.%Y %H-%M-%S.jpg",
    "cam/%y%m%d_%H%M%S.jpg",
    "cam/%y%m%d%H%M%S.mp4",
    "cam/%Y%m%d/%H-%M-%S_7.jpg",
    "cam/%Y/%m/%d/pic_%H%M%S.jpg",
    "cam/IMG_%Y%m%d_%H%M%S_cam3.jpg",
    "cam/%d%b%Y-%H%M.jpg",
    "cam/%B %-d, %Y at %-I.%M.%S %p.jpg",
    "cam/%d-%b-%y_%I-%M-%S%p.jpg",
    "cam/%Y-%-m-%-d_%-H-%-M-%-S.jpg",
    "cam/IMG_%Y%m%d-%-I-%-M-%-S%p.jpg",
    "cam/snap %s.jpg",
    "cam/%Q.jpg",
    "cam/%Hh%Mm%Ss_%d-%m-%Y.jpg",
    "cam/{n}_%Y-%m-%dT%H%M%S.jpg",
    "cam/%Y-%m-%d/alarm-{n}-%H%M%S.mp4",
]


def written(moment: datetime, scheme: str, number: int) -> str:
    own = {"%s": str(int(moment.replace(tzinfo=UTC).timestamp()))}
    own["%Q"] = own["%s"] + "123"
    text = re.sub(r"%-?.", lambda one: own.get(one[0], f"{moment:{one[0]}}"), scheme)
    return text.replace("{n}", str(number * 37))


@pytest.mark.parametrize("number", [18, 3, 1])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_proposed_template_reads_the_names_it_is_made_of(scheme: str, number: int) -> None:
    """Every name gives its own time, from one sample as from many."""
    paths = [written(moment, scheme, at) for at, moment in enumerate(MOMENTS)]
    window = (FIRST - timedelta(days=2), MOMENTS[-1] + timedelta(days=2))
    text = propose(paths[:number], window)
    assert text is not None
    template = Template.parse(text)
    readings = [template.read(path) for path in paths]
    has_seconds = any(one in scheme for one in ("%S", "%-S", "%s", "%Q"))
    expected = [one if has_seconds else one.replace(second=0) for one in MOMENTS]
    starts = [reading.start for reading in readings if reading and reading.start]
    assert [start.replace(microsecond=0) for start in starts] == expected


def test_an_ambiguous_date_is_the_one_nearest_to_the_arrival() -> None:
    """20.11.26 came in November 2026, though a copy weeks later changed when it arrived."""
    paths = ["yard/cam1 20.11.26 14-05-09.mp4", "yard/cam1 26.11.26 23-05-09.mp4"]
    copied = datetime(2026, 12, 20)
    text = propose(paths, (copied - timedelta(days=1), copied + timedelta(days=1)))
    assert text == "cam1 {date:%d.%m.%y} {start:%H-%M-%S}.{ext}"


def test_of_two_readings_of_one_day_the_later_time_is_not_preferred() -> None:
    """2026 in a name is the year, not 20:26, though that is nearer to the arrival."""
    folder = "porch/2026-11-20/001/jpg/14/05"
    paths = [f"{folder}/IMG 20.11.2026 14-05-0{second}.jpg" for second in (4, 5)]
    text = propose(paths, (datetime(2026, 11, 27), datetime(2026, 11, 29)))
    assert text == "IMG {date:%d.%m.%Y} {start:%H-%M-%S}.{ext}"


@pytest.mark.parametrize("paths", [[], ["cam/hello.jpg"], ["cam/0001.jpg", "cam/0002.jpg"], ["x"]])
def test_names_without_a_time_get_no_template(paths: list[str]) -> None:
    """Nothing is guessed where nothing is told."""
    assert propose(paths) is None


@pytest.mark.long
@pytest.mark.timeout(20)
def test_no_name_keeps_the_proposal_busy() -> None:
    """The longest names of digits and signs are looked at in time."""
    propose(["x/" + "12-" * 80 + ".jpg", "x/" + "1" * 250 + ".jpg", "2026/11/27/" * 20 + "1.jpg"])


@pytest.mark.parametrize(("read", "others"), [(8, 4), (6, 6)])
def test_times_that_fit_count_more_than_names_that_are_read(read: int, others: int) -> None:
    """A counter of eight digits and a number can be taken for a time long ago, of all names."""
    odd = [f"cam/2{5 + n % 4}0703_{one:%Y%m%d_%H%M%S}.jpg" for n, one in enumerate(MOMENTS[:read])]
    odd += [f"cam/2{5 + n % 4}0703_10110{n}x.jpg" for n in range(others)]
    window = (FIRST - timedelta(days=2), MOMENTS[-1] + timedelta(days=2))
    text = propose(odd, window)
    assert text is not None
    starts = [found.start for name in odd[:read] if (found := Template.parse(text).read(name))]
    assert starts == MOMENTS[:read]
