"""How a template describes a time: each directive, and what several of them mean together."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pano_analytics.layouts.forms import Groups

_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip


class Directive(NamedTuple):
    """What one directive matches; `is_open` means a number without a fixed length."""

    group: str
    pattern: str
    is_number: bool = True
    is_open: bool = False


DIRECTIVES: dict[str, Directive] = {
    "%Y": Directive("year", r"\d{4}"),
    "%y": Directive("short_year", r"\d\d"),
    "%m": Directive("month", r"\d\d"),
    "%-m": Directive("unpadded_month", r"\d{1,2}", is_open=True),
    "%b": Directive("short_month_name", rf"(?i:{'|'.join(m[:3] for m in _MONTHS)})", False),
    "%B": Directive("month_name", rf"(?i:{'|'.join(_MONTHS)})", False),
    "%d": Directive("day", r"\d\d"),
    "%-d": Directive("unpadded_day", r"\d{1,2}", is_open=True),
    "%H": Directive("hour", r"\d\d"),
    "%-H": Directive("unpadded_hour", r"\d{1,2}", is_open=True),
    "%I": Directive("hour_of_12", r"\d\d"),
    "%-I": Directive("unpadded_hour_of_12", r"\d{1,2}", is_open=True),
    "%p": Directive("half", r"(?i:[ap]m)", False),
    "%M": Directive("minute", r"\d\d"),
    "%-M": Directive("unpadded_minute", r"\d{1,2}", is_open=True),
    "%S": Directive("second", r"\d\d"),
    "%-S": Directive("unpadded_second", r"\d{1,2}", is_open=True),
    "%f": Directive("fraction", r"\d{1,6}"),
    "%s": Directive("unix", r"\d{1,10}", is_open=True),
    "%Q": Directive("unix_ms", r"\d{1,13}", is_open=True),
}
"""As in strftime; %-m and the like are numbers without leading zeros, %s counts seconds and %Q
milliseconds since 1970 in UTC. Month names are English, in any letter case."""

_PARTS = ("year", "month", "day", "hour", "minute", "second", "fraction")
_SPELLINGS = {
    "year": ("year", "short_year"),
    "month": ("month", "unpadded_month", "short_month_name", "month_name"),
    "day": ("day", "unpadded_day"),
    "hour": ("hour", "unpadded_hour", "hour_of_12", "unpadded_hour_of_12"),
    "minute": ("minute", "unpadded_minute"),
    "second": ("second", "unpadded_second"),
    "fraction": ("fraction",),
}
_OF_12 = ("hour_of_12", "unpadded_hour_of_12")
_UNIX = ("unix", "unix_ms")
_HOW = {
    "year": "{date:%Y} or {date:%y}",
    "month": "{date:%m} or {date:%b}",
    "day": "{date:%d}",
    "hour": "{start:%H}, or {start:%I} with {start:%p}",
}


# --- what a template must contain ---------------------------------------------------------


def problem_of(groups: Collection[str]) -> tuple[str, str] | None:
    """Return what is wrong with the times of a template: (expected, got), or None."""
    start, end = set(_time_groups(groups, "")), set(_time_groups(groups, "end_"))
    problems = (*_of_start(start), *_of_end(start, end, "length" in groups))
    return next(iter((*problems, *_of_both(start, ""), *_of_both(end, "end "))), None)


def _time_groups(groups: Collection[str], prefix: str) -> Iterator[str]:
    known = {one.group for one in DIRECTIVES.values()}
    return (group for group in known if prefix + group in groups)


def _parts_of(spelled: set[str]) -> set[str]:
    return {part for part, spellings in _SPELLINGS.items() if spelled & set(spellings)}


def _of_start(start: set[str]) -> Iterator[tuple[str, str]]:
    if start & set(_UNIX):
        return
    missing = [part for part in ("year", "month", "day", "hour") if part not in _parts_of(start)]
    if missing:
        yield (
            f"expected year, month, day and hour in {{date:…}} and {{start:…}}, in the name "
            f"or in the folders above it: add {_HOW[missing[0]]} at its position",
            f"no directive for the {missing[0]}",
        )


def _of_end(start: set[str], end: set[str], has_length: bool) -> Iterator[tuple[str, str]]:
    if not end:
        return
    if has_length:
        yield "expected {end:…} or {length}", "both"
    if bool(start & set(_UNIX)) != bool(end & set(_UNIX)):
        yield "expected start and end both counted from 1970 (%s, %Q), or neither", "one of them"
    elif not end & set(_UNIX):
        parts = _parts_of(end)
        if len(parts & {"year", "month", "day"}) in (1, 2) or "hour" not in parts:
            yield "expected an hour in {end:…}, and either a whole date or none", "less"


def _of_both(spelled: set[str], which: str) -> Iterator[tuple[str, str]]:
    parts = _parts_of(spelled)
    if spelled & set(_UNIX) and (parts or len(spelled) > 1):
        yield (
            "expected %s or %Q alone, which is the whole time; {any} skips other parts",
            "more directives with it",
        )
    if spelled & set(_OF_12) and "half" not in spelled:
        yield "expected AM or PM (%p) with a 12-hour clock (%I)", f"no %p for the {which}hour"
    if "half" in spelled and not spelled & set(_OF_12):
        yield "expected a 12-hour clock (%I) with AM or PM (%p)", f"no %I for the {which}hour"
    for finer, coarser in (("minute", "hour"), ("second", "minute"), ("fraction", "second")):
        if finer in parts and coarser not in parts:
            yield f"expected the {which}{coarser} with the {which}{finer}", f"no {coarser}"


# --- what a name contains -----------------------------------------------------------------


def to_form_groups(groups: Groups) -> Groups | None:
    """Return the groups of a template as those of a `Form`; None if two contradict each other.

    Invalid numbers (month 13) are left in, and rejected by the form.
    """
    plain = dict(groups)
    for prefix in ("", "end_"):
        for name, divisor in (("unix", 1), ("unix_ms", 1000)):
            if plain.get(prefix + name):
                plain |= _since_1970(prefix, int(plain[prefix + name] or 0), divisor)
        for part in _PARTS:
            values = set(_values(plain, prefix, part))
            if len(values) > 1:
                return None
            plain[prefix + part] = next(iter(values), None)
    return plain


def _values(groups: Groups, prefix: str, part: str) -> Iterator[str]:
    if part == "fraction":
        text = groups.get(f"{prefix}fraction")
        yield from (text,) if text else ()
        return
    for spelling in _SPELLINGS[part]:
        text = groups.get(prefix + spelling)
        if text:
            half = (groups.get(f"{prefix}half") or "").lower()
            yield f"{_number(text, spelling, half):02d}"


def _number(text: str, spelling: str, half: str) -> int:
    if spelling.endswith("month_name"):
        return next(at for at, month in enumerate(_MONTHS, 1) if month[:3] == text[:3].lower())
    number = int(text)
    if spelling == "short_year":
        # As in POSIX; a clock that was never set says 70.
        return number + (1900 if number >= 69 else 2000)
    if spelling in _OF_12:
        # 0 and 13 are not valid on a 12-hour clock; 99 makes the form reject them.
        return number % 12 + 12 * (half == "pm") if 1 <= number <= 12 else 99
    return number


def _since_1970(prefix: str, count: int, divisor: int) -> dict[str, str | None]:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=1) * count / divisor
    values = f"{moment:%Y %m %d %H %M %S %f}".split()
    return {prefix + part: value for part, value in zip(_PARTS, values, strict=True)}
