"""Propose a template for names that no layout matches, derived from the names themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import product, takewhile
from typing import NamedTuple

from pano_analytics.errors import SettingsError
from pano_analytics.layouts.spelled import DIRECTIVES
from pano_analytics.layouts.template import Template

Window = tuple[datetime, datetime]

_MONTH = DIRECTIVES["%b"].pattern
_FULL_MONTH = DIRECTIVES["%B"].pattern
# Text between the parts of a date or time: nothing, one or two signs, or letters (14h05m09s).
_GAP = r"([^\d/%{}*]{0,3})"
_SIGN = r"([^\d/%{}*]{1,3})"
# Of those that read most names the first wins; of the same shape, the rarer order is last.
_DATES = (
    (rf"(?:19|20)\d\d{_GAP}\d\d{_GAP}\d\d", ("%Y", "%m", "%d")),
    (r"(?:19|20)\d\d(/)\d\d(/)\d\d", ("%Y", "%m", "%d")),
    (rf"\d\d{_GAP}\d\d{_GAP}(?:19|20)\d\d", ("%d", "%m", "%Y")),
    (rf"\d\d{_GAP}\d\d{_GAP}(?:19|20)\d\d", ("%m", "%d", "%Y")),
    (rf"\d{{1,2}}{_GAP}{_FULL_MONTH}{_GAP}(?:19|20)\d\d", ("%-d", "%B", "%Y")),
    (rf"\d{{1,2}}{_GAP}{_MONTH}{_GAP}(?:19|20)\d\d", ("%-d", "%b", "%Y")),
    (rf"(?:19|20)\d\d{_GAP}{_FULL_MONTH}{_GAP}\d{{1,2}}", ("%Y", "%B", "%-d")),
    (rf"(?:19|20)\d\d{_GAP}{_MONTH}{_GAP}\d{{1,2}}", ("%Y", "%b", "%-d")),
    (rf"{_FULL_MONTH}{_GAP}\d{{1,2}}{_SIGN}(?:19|20)\d\d", ("%B", "%-d", "%Y")),
    (rf"{_MONTH}{_GAP}\d{{1,2}}{_SIGN}(?:19|20)\d\d", ("%b", "%-d", "%Y")),
    (rf"\d{{1,2}}{_GAP}{_MONTH}{_GAP}\d\d", ("%-d", "%b", "%y")),
    (rf"(?:19|20)\d\d{_SIGN}\d{{1,2}}{_SIGN}\d{{1,2}}", ("%Y", "%-m", "%-d")),
    (rf"\d{{1,2}}{_SIGN}\d{{1,2}}{_SIGN}(?:19|20)\d\d", ("%-d", "%-m", "%Y")),
    (rf"\d{{1,2}}{_SIGN}\d{{1,2}}{_SIGN}(?:19|20)\d\d", ("%-m", "%-d", "%Y")),
    (rf"\d\d{_GAP}\d\d{_GAP}\d\d", ("%y", "%m", "%d")),
    (rf"\d\d{_GAP}\d\d{_GAP}\d\d", ("%d", "%m", "%y")),
    (rf"\d\d{_GAP}\d\d{_GAP}\d\d", ("%m", "%d", "%y")),
)
# Not the beginning of a word: 095807_cam3 has no "am".
_HALF = rf"([ ._-]?){DIRECTIVES['%p'].pattern}(?![A-Za-z0-9])"
_TIMES = (
    (rf"\d{{1,2}}{_SIGN}\d\d{_SIGN}\d\d{_HALF}", ("%-I", "%M", "%S", "%p")),
    (rf"\d\d{_GAP}\d\d{_GAP}\d\d{_HALF}", ("%I", "%M", "%S", "%p")),
    (rf"\d\d{_GAP}\d\d{_GAP}\d\d", ("%H", "%M", "%S")),
    (rf"\d{{1,2}}{_SIGN}\d{{1,2}}{_SIGN}\d{{1,2}}{_HALF}", ("%-I", "%-M", "%-S", "%p")),
    (rf"\d{{1,2}}{_SIGN}\d{{1,2}}{_SIGN}\d{{1,2}}", ("%-H", "%-M", "%-S")),
    (rf"\d{{1,2}}{_SIGN}\d\d{_HALF}", ("%-I", "%M", "%p")),
    (rf"\d\d{_GAP}\d\d", ("%H", "%M")),
)
_COUNTED = ((r"1\d{12}", "%Q"), (r"1\d{9}", "%s"))
_MOST_TRIED = 400
# The longest time between recording and arrival, when a tree was copied.
_COPIED = timedelta(days=366)


class _Time(NamedTuple):
    """A section of a path that may be a date, a time or both: its position and its format."""

    start: int
    end: int
    field: str


class _Score(NamedTuple):
    """How well a template fits, by descending weight: plausible times before many times."""

    inside: int
    plausible: int
    possible: int
    nearness: int


def propose(paths: Sequence[str], window: Window | None = None) -> str | None:
    """Return a template, for the setting `layout`, that reads most of `paths`, or None.

    Half of the paths are enough if their times match the time of arrival. `paths` are as in
    the column `path`. `window` (naive, any zone) is when the files arrived: of several
    possible templates, the one whose times are nearest to it is returned.
    """
    tried: dict[str, _Score] = {}
    for base in dict.fromkeys((paths[0], paths[-1]) if paths else ()):
        for times in _all_times(_stem(base)):
            text = _text(base, times, paths)
            if text is not None and text not in tried and len(tried) < _MOST_TRIED:
                tried[text] = _score(text, paths, window)
    best = max(tried, key=lambda text: tried[text], default=None)
    if best is None:
        return None
    score = tried[best]
    is_read = 2 * score.possible > len(paths) or (
        score.plausible and 2 * score.plausible >= len(paths)
    )
    return best if is_read else None


def _stem(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    stem, dot, _ = name.rpartition(".")
    return folder + slash + (stem if dot else name)


def _all_times(stem: str) -> Iterator[tuple[_Time, ...]]:
    """Yield possible dates and times of a path, the most likely first: those in the name."""
    dates = [*_candidates(stem, _DATES, "date")]
    times = [one for one in _candidates(stem, _TIMES, "start") if one.start > stem.rfind("/")]
    pairs = [(date, time) for date, time in product(dates, times) if _are_apart(stem, date, time)]
    name = stem.rfind("/") + 1
    yield from sorted(pairs, key=lambda pair: (pair[0].start < name, _is_mixed(*pair)))
    for pattern, directive in _COUNTED:
        for one in re.finditer(rf"(?<!\d){pattern}(?!\d)", stem[name:]):
            yield (_Time(name + one.start(), name + one.end(), f"{{start:{directive}}}"),)


def _candidates(
    stem: str, forms: Iterable[tuple[str, tuple[str, ...]]], field: str
) -> Iterator[_Time]:
    for pattern, directives in forms:
        # Matches may overlap: the end of 2026-11-27 may be a shorter date.
        for at in range(len(stem)):
            match = re.compile(pattern).match(stem, at)
            if match is not None:
                gaps = [*match.groups(), ""]
                text = "".join(a + b for a, b in zip(directives, gaps, strict=False))
                yield _Time(at, match.end(), f"{{{field}:{text}}}")


def _are_apart(stem: str, date: _Time, time: _Time) -> bool:
    """Return whether both are apart, and neither begins or ends within another number."""
    first, last = sorted((date, time))
    if first.end > last.start:
        return False
    edges = {first.start, last.end} | ({first.end, last.start} if first.end < last.start else set())
    return not any(_is_within_number(stem, edge) for edge in edges)


def _is_mixed(date: _Time, time: _Time) -> bool:
    """Return whether only one is padded with zeros: a camera pads both, or neither."""
    has_name = "%b" in date.field or "%B" in date.field or "%I" in time.field
    return not has_name and ("%-" in date.field) != ("%-" in time.field)


def _is_within_number(stem: str, at: int) -> bool:
    return 0 < at < len(stem) and stem[at - 1].isdigit() and stem[at].isdigit()


def _text(base: str, times: Sequence[_Time], paths: Sequence[str]) -> str | None:
    """Return a template with `times` at their positions and {any} where `paths` differ."""
    stem, ordered = _stem(base), sorted(times)
    begin = stem.rfind("/", 0, ordered[0].start) + 1
    pieces: list[str] = []
    for one, after in zip(ordered, [*ordered[1:], None], strict=True):
        pieces += [stem[begin : one.start], one.field]
        begin = one.end
        if after is None:
            pieces.append(stem[begin:])
    depth = sum(piece.count("/") for piece in pieces)
    tails = ["/".join(_stem(path).split("/")[-depth - 1 :]) for path in paths]
    gaps = _gaps(pieces, tails)
    return "".join(gaps.get(at, piece) for at, piece in enumerate(pieces)) + ".{ext}"


def _gaps(pieces: Sequence[str], tails: Sequence[str]) -> dict[int, str]:
    """Return what the template has instead of the text between times, by index of the piece."""
    pattern = re.compile("".join(_loosely(at, piece) for at, piece in enumerate(pieces)))
    matches = [match for tail in tails if (match := pattern.fullmatch(tail))]
    gaps = {}
    for at in range(0, len(pieces), 2):
        values = [match[f"gap{at}"] for match in matches] or [pieces[at]]
        gaps[at] = "/".join(map(_common, zip(*(one.split("/") for one in values), strict=True)))
    return gaps


def _loosely(at: int, piece: str) -> str:
    if at % 2 == 0:
        inner = "/".join(r"[^/]*?" for _ in piece.split("/"))
        return f"(?P<gap{at}>{inner})"
    form = piece.partition(":")[2].removesuffix("}")
    return re.sub(
        r"%-?.|[^%]+",
        lambda one: DIRECTIVES[one[0]].pattern if one[0] in DIRECTIVES else re.escape(one[0]),
        form,
    )


def _common(values: Sequence[str]) -> str:
    """Return the text if all values are the same, else their common signs and {any}."""
    first = values[0]
    is_known = len(set(values)) == 1 and not re.search(r"[{}*]", first)
    # With only one value, a number may be a counter.
    if is_known and (len(values) > 1 or not re.search(r"\d", first)):
        return first
    return f"{_sign_before(values)}{{any}}"


def _sign_before(values: Sequence[str]) -> str:
    """Return the signs that all values begin with, such as the _ of _0001."""
    same = takewhile(lambda chars: len(set(chars)) == 1, zip(*values, strict=False))
    start = "".join(chars[0] for chars in same)
    return re.sub(r"[{}*\w].*", "", start.replace("_", "\0"), flags=re.DOTALL).replace("\0", "_")


def _score(text: str, paths: Sequence[str], window: Window | None) -> _Score:
    """Return how many paths the template reads, and how well their times fit the window."""
    try:
        template = Template.parse(text)
    except SettingsError:
        return _Score(0, 0, 0, 0)
    readings = [reading for path in paths if (reading := template.read(path))]
    starts = [reading.start for reading in readings if reading.start]
    possible = [start for start in starts if 2000 <= start.year < 2100]
    if window is None:
        return _Score(0, 0, len(possible), 0)
    inside = sum(window[0] <= one <= window[1] for one in possible)
    # They may have been copied later, but cannot be in the future.
    plausible = sum(window[0] - _COPIED <= one <= window[1] for one in possible)
    nearness = -sum(_days_apart(one, window) for one in possible)
    return _Score(inside, plausible, len(possible), nearness)


def _days_apart(moment: datetime, window: Window) -> int:
    """Return the distance in whole days: the time of day must not decide between two dates."""
    early, late = window[0].date() - moment.date(), moment.date() - window[1].date()
    return max(early.days, late.days, 0)
