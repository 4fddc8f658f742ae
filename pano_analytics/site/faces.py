"""The pages above the days: one per camera, and the first page, which links to everything."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pandas as pd

from pano_analytics.present import counts, short_day
from pano_analytics.site import names, plan
from pano_analytics.site.folder import BuiltDays
from pano_analytics.site.items import Link
from pano_analytics.site.shown import Shown, SiteRun
from pano_analytics.wording import day_label, many, safe_link

_LATEST = 12
# Periods of the newest days have a picture each, older ones only text.
_PICTURED_DAYS = 3
# Shades of an hour: each stands for twice as many files as the previous one.
_LEVELS = 6


@dataclass(frozen=True, slots=True)
class PeriodLink:
    """A link to a period of activity: its address, time, counts and a picture."""

    camera: str
    href: str
    span: str
    day: str
    counts: str
    picture: str | None
    start: pd.Timestamp


@dataclass(frozen=True, slots=True)
class HourLink:
    """One hour of a day: the number of uploads, also as level 0 to 6, and the address."""

    hour: int
    number: int
    level: int
    href: str


@dataclass(frozen=True, slots=True)
class DayLink:
    """One day of a camera: its address, counts in total and by hour, and periods, newest first."""

    href: str
    label: str
    short: str
    counts: str
    hours: tuple[HourLink, ...]
    periods: tuple[PeriodLink, ...]
    is_pictured: bool


def _period_links(
    work: SiteRun, camera: Shown, known: BuiltDays, periods: pd.DataFrame
) -> list[PeriodLink]:
    """Return links to `periods` (rows of `camera.periods`), relative to the camera's folder."""
    pictures = _pictures_of(camera, periods)
    columns = ["day", "period", "start", "end", "snapshots", "clips", "first_id"]
    links = []
    for day, period, start, end, snapshots, clips, first_id in periods[columns].itertuples(
        index=False
    ):
        cuts = known.days[f"{camera.folder}/{day}"].cuts
        page = plan.page_holding(cuts, (start.value // 1000, first_id))
        picture = pictures.get((day, period))
        links.append(
            PeriodLink(
                camera.name,
                f"{day}/{page}#p-{first_id}",
                work.clock.span(start, end),
                short_day(plan.day_of(day)),
                counts(snapshots, clips),
                f"{day}/{picture}" if picture else None,
                start,
            )
        )
    return links


def _pictures_of(camera: Shown, periods: pd.DataFrame) -> dict[tuple[str, int], str]:
    """Return a thumbnail for each period, of its middle upload, by (day, period number)."""
    rows = camera.uploads
    rows = rows[rows["day"].isin(periods["day"].unique()) & rows["thumb"].notna()]
    grouped = rows.groupby(["day", "period"])
    middle = rows[grouped.cumcount() == grouped["thumb"].transform("size") // 2]
    chosen = middle[["day", "period", "media_id", "version"]].itertuples(index=False)
    return {
        (day, period): names.picture_of(media_id, version)
        for day, period, media_id, version in chosen
    }


def camera_page(work: SiteRun, camera: Shown, known: BuiltDays) -> bytes:
    """Return one camera's page."""
    return _CameraPage(work, camera, known).render()


class _CameraPage:
    """One camera's page: its latest picture, its days by hour, its periods of activity."""

    def __init__(self, work: SiteRun, camera: Shown, known: BuiltDays) -> None:
        self.work, self.camera, self.known = work, camera, known

    def render(self) -> bytes:
        """Return the page."""
        return self.work.render(
            "camera.html",
            up="../",
            card=_card(self.work, self.camera),
            days=self._days(),
            others=[
                Link(f"../{other.folder}/{names.INDEX}", other.name) for other in self.work.shown
            ],
            gap=f"{self.work.settings.site.period_gap_s / 60:g}",
        )

    def _days(self) -> list[DayLink]:
        newest_first = self.camera.days[::-1]
        links = _period_links(self.work, self.camera, self.known, self.camera.periods)
        by_day: dict[str, list[PeriodLink]] = {}
        for day, link in zip(self.camera.periods["day"], links, strict=True):
            by_day.setdefault(day, []).append(link)
        return [
            self._day(day, by_day[day], at < _PICTURED_DAYS) for at, day in enumerate(newest_first)
        ]

    def _day(self, day: str, links: list[PeriodLink], is_pictured: bool) -> DayLink:
        label = plan.day_of(day)
        return DayLink(
            f"{day}/{names.INDEX}",
            day_label(label),
            short_day(label),
            self.camera.counts(day),
            tuple(_hours(self.camera.of_day(day), links)),
            tuple(reversed(links)),
            is_pictured,
        )


def _hours(rows: pd.DataFrame, links: list[PeriodLink]) -> Iterable[HourLink]:
    """Yield a day's 24 hours; a repeated autumn hour counts as one."""
    hours = rows["start"].dt.hour
    numbers = hours.value_counts()
    periods = rows["period"].astype(int).groupby(hours).first()
    for hour in range(24):
        number = int(numbers.get(hour, 0))
        href = links[int(periods[hour])].href if number else ""
        yield HourLink(hour, number, min(_LEVELS, number.bit_length()), href)


@dataclass(frozen=True, slots=True)
class Card:
    """One camera: latest picture, newest upload, links; addresses are relative to the root."""

    name: str
    href: str
    description: str
    picture: str | None
    picture_href: str
    when: str
    is_silent: bool
    counts: str
    days: str
    live: str | None
    admin: str | None


def _card(work: SiteRun, camera: Shown) -> Card:
    settings, rows = work.settings.camera(camera.name), camera.uploads
    picture, page = _latest_of(camera)
    return Card(
        name=camera.name,
        href=f"{camera.folder}/{names.INDEX}",
        description=settings.description,
        picture=picture,
        picture_href=page,
        when=work.clock.when(rows["start"].iloc[-1]) if len(rows) else "",
        is_silent=camera.is_silent(work.now),
        counts=camera.counts(),
        days=many(len(camera.days), "day"),
        live=safe_link(settings.live_url or ""),
        admin=safe_link(settings.admin_url or ""),
    )


def _latest_of(camera: Shown) -> tuple[str | None, str]:
    """Return the addresses of a camera's newest picture and its page, relative to the root."""
    rows = camera.uploads
    with_picture = rows[rows["thumb"].notna()]
    for at in (with_picture if len(with_picture) else rows).index[-1:]:
        day, media_id, version, thumb = rows.loc[at, ["day", "media_id", "version", "thumb"]]
        folder = f"{camera.folder}/{day}/"
        picture = None if pd.isna(thumb) else folder + names.picture_of(media_id, version)
        return picture, folder + names.page_of(media_id)
    return None, ""


@dataclass(frozen=True, slots=True)
class Line:
    """One day on the first page: for each camera a link with the number of uploads, or None."""

    label: str
    cells: tuple[tuple[str, Link | None], ...]


def first_page(work: SiteRun, known: BuiltDays) -> bytes:
    """Return the first page, which links to everything else."""
    return work.render(
        "index.html",
        up="",
        cards=[_card(work, camera) for camera in work.shown],
        latest=_latest(work, known),
        lines=_lines(work),
        unread=work.notices,
        zone=work.library.zone.key,
    )


def _latest(work: SiteRun, known: BuiltDays) -> list[PeriodLink]:
    """Return links to the newest periods of all cameras, relative to the root."""
    links = []
    for camera in work.shown:
        for link in _period_links(work, camera, known, camera.periods.tail(_LATEST)):
            picture = f"{camera.folder}/{link.picture}" if link.picture else None
            links.append(replace(link, href=f"{camera.folder}/{link.href}", picture=picture))
    return sorted(links, key=lambda link: (link.start, link.camera), reverse=True)[:_LATEST]


def _lines(work: SiteRun) -> list[Line]:
    days = sorted({day for camera in work.shown for day in camera.days}, reverse=True)
    return [
        Line(
            short_day(plan.day_of(day)),
            tuple((camera.name, _day_cell(camera, day)) for camera in work.shown),
        )
        for day in days
    ]


def _day_cell(camera: Shown, day: str) -> Link | None:
    if day not in camera.days:
        return None
    return Link(f"{camera.folder}/{day}/{names.INDEX}", f"{len(camera.of_day(day)):,}")
