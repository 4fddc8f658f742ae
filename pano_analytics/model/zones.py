"""One zone database for the whole process: the system's or the shipped one, whichever is newer.

Python uses the folders of the system first, and the package `tzdata` only for zones that are
missing there. A system without updates would then apply outdated rules although newer ones are
installed. `use_newest()` puts the newest database first, for everything in this process that
uses `zoneinfo`, including pandas.
"""

from __future__ import annotations

import re
import zoneinfo
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

_PACKAGE = find_spec("tzdata")
SHIPPED = Path((_PACKAGE and _PACKAGE.origin) or "").parent / "zoneinfo"
# Where a database states its version: most systems, then macOS and the BSDs.
_VERSION_FILES = ("tzdata.zi", "+VERSION")
# In the database, but not zones.
_NO_PLACE = ("Factory", "localtime", "posixrules")
_VARIANTS = ("posix/", "right/")
_POSIX = re.compile(r"(<[^>]+>|[A-Za-z]{3,})[+-]?\d.*")
# As people and camera menus write it: plus means ahead of UTC.
_OFFSET = re.compile(r"(?:GMT|UTC|Z)? ?([+-])(\d{1,2})(?::?([0-5]\d))?", re.IGNORECASE)
# Well-known places, suggested before others with the same rules.
_KNOWN = (
    "Europe/Berlin",
    "Europe/London",
    "Europe/Lisbon",
    "Europe/Helsinki",
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Los_Angeles",
    "America/Anchorage",
    "America/Halifax",
    "America/Sao_Paulo",
    "Europe/Moscow",
    "Asia/Dubai",
    "Asia/Kolkata",
    "Asia/Shanghai",
    "Asia/Tokyo",
    "Australia/Sydney",
    "Pacific/Auckland",
)


class Database(NamedTuple):
    """A folder of zone files, and its version (such as `2026f`; None if it states none)."""

    folder: Path
    version: str | None

    @property
    def age(self) -> tuple[int, int, str]:
        """A key that is larger for newer databases; a database without a version is oldest."""
        match = re.match(r"(\d{4})([a-z]*)", self.version or "")
        return (int(match[1]), len(match[2]), match[2]) if match else (0, 0, "")


def databases() -> list[Database]:
    """Return the zone databases that this process uses, in the order of their use."""
    folders = [Path(folder) for folder in zoneinfo.TZPATH if Path(folder).is_dir()]
    if SHIPPED.is_dir() and SHIPPED not in folders:
        folders.append(SHIPPED)
    return [Database(folder, _version(folder)) for folder in folders]


def use_newest() -> None:
    """Put the newest database first; databases of the same version keep their order."""
    current = databases()
    newest_first = sorted(current, key=lambda one: one.age, reverse=True)
    if newest_first != current:
        zoneinfo.reset_tzpath(to=[str(one.folder) for one in newest_first])
        ZoneInfo.clear_cache()


def _version(folder: Path) -> str | None:
    for name in _VERSION_FILES:
        try:
            with (folder / name).open(encoding="utf-8", errors="replace") as file:
                match = re.search(r"\d{4}[a-z]+", file.readline(200))
        except OSError:
            continue
        if match:
            return match[0]
    return None


@cache
def names() -> frozenset[str]:
    """Return the zone names that settings may use: those that every part of pano knows."""
    listed = (SHIPPED.parent / "zones").read_text(encoding="utf-8").split()
    return frozenset(listed).difference(_NO_PLACE)


def places() -> list[str]:
    """Return the zone names that are of a place, such as `Europe/Berlin`, sorted."""
    return sorted(name for name in names() if "/" in name and not name.startswith("Etc/"))


def plain_name(name: str) -> str:
    """Return the name of the zone file that `name`, a value of TZ or a path, stands for."""
    name = name.lstrip(":").rpartition("zoneinfo/")[2]
    for variant in _VARIANTS:
        name = name.removeprefix(variant)
    return name


def instead_of(name: str) -> list[str]:
    """Return at most three zone names to suggest in place of `name`."""
    plain = plain_name(name)
    if plain in names():
        return [plain]
    same = [known for known in names() if known.lower() == plain.lower().replace(" ", "_")]
    if same:
        return same
    if _POSIX.fullmatch(plain):
        return _with_rule(plain)
    if re.fullmatch("[A-Z]{3,5}", plain):
        # An abbreviation such as CEST: other places may use the same letters.
        return [one for one in _KNOWN if plain in re.findall("[A-Z]+", _rule(one)[:12])][:3]
    city = plain.rpartition("/")[2].lower().replace(" ", "_")
    return sorted(known for known in names() if known.rpartition("/")[2].lower() == city)[:3]


def offset_of(name: str) -> str | None:
    """Return advice for an offset from UTC such as `GMT+1`; None for other names."""
    match = _OFFSET.fullmatch(name.strip())
    if match is None or name in names():
        return None
    sign, hours, minutes = match[1], int(match[2]), int(match[3] or 0)
    side, opposite, most = ("ahead of", "-", 14) if sign == "+" else ("behind", "+", 12)
    if hours > most:
        return f"no place is {hours} hours {side} UTC"
    if minutes:
        return _uneven(sign, hours, minutes, f"{hours}:{minutes:02} hours {side} UTC")
    if not hours:
        return "did you mean 'UTC'?"
    return (
        f"for a clock {hours} {'hour' if hours == 1 else 'hours'} {side} UTC all year, use "
        f"'Etc/GMT{opposite}{hours}': these names count the other way round. For a clock with "
        f"summer time use a place such as 'Europe/Berlin'"
    )


def _uneven(sign: str, hours: int, minutes: int, where: str) -> str:
    rule = f"{'-' if sign == '+' else ''}{hours}:{minutes:02}"
    places = [one for one in sorted(names()) if "/" in one and _unnamed(_rule(one)) == rule]
    known = [one for one in _KNOWN if one in places] or places
    use = " or ".join(map(repr, known[:2])) or "a place such as 'Europe/Berlin'"
    return f"for a clock {where} use {use}"


def _unnamed(rule: str) -> str:
    return re.sub(r"<[^>]*>|[A-Za-z]+", "", rule, count=1)


def _with_rule(rule: str) -> list[str]:
    """Return zones whose rule for future years is the POSIX TZ string `rule`.

    A rule with summer time but without its dates, such as `CET-1CEST`, matches every zone
    with the same abbreviations and offsets.
    """
    alike = [
        name
        for name in sorted(names())
        if "/" in name and (_rule(name) == rule or _rule(name).startswith(f"{rule},"))
    ]
    known = [name for name in alike if name.startswith(("Europe/", "America/", "Asia/"))]
    well_known = [name for name in _KNOWN if name in alike]
    return [*well_known, *(name for name in known or alike if name not in well_known)][:3]


def _rule(name: str) -> str:
    try:
        return (SHIPPED / name).read_bytes().rstrip(b"\n").rpartition(b"\n")[2].decode("ascii")
    except (OSError, UnicodeDecodeError):
        return ""
