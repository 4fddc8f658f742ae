"""The pages of one camera's day: pages with many uploads, and one page per upload."""

from __future__ import annotations

from datetime import timedelta

from pano_analytics.present import counts, short_day
from pano_analytics.site import names, plan
from pano_analytics.site.items import Describer, Link, PageUpload, Period, group_of
from pano_analytics.site.made import Maker
from pano_analytics.site.shown import Shown, SiteRun
from pano_analytics.wording import day_label

# How many neighbours are shown before and after an upload.
_NEIGHBOURS = 4


class DayPages:
    """The content of one camera's day; `write` writes its pages, and `cuts` are their bounds."""

    def __init__(self, work: SiteRun, camera: Shown, day: str, maker: Maker) -> None:
        self.work, self.camera, self.day, self.maker = work, camera, day, maker
        self.entries = camera.entries_of(day)
        self.pages = plan.pages_of(plan.moments_of(self.entries))
        self.cuts = plan.cuts_of(self.pages)
        self.names = [names.page_name(at, len(self.pages)) for at in range(len(self.pages))]
        self.items = self._items()

    def _items(self) -> dict[str, PageUpload]:
        settings, site = self.work.settings, self.work.site
        uploads = names.uploads_from_day(site.root, settings.uploads, settings.site.media_url)
        is_packing = self.camera.is_packing(self.day, settings.site.clip_days)
        describer = Describer(self.maker, self.work.clock, uploads, is_packing)
        frames = self._frames()
        return {
            entry.upload.media_id: describer.item(entry, frames.get(entry.upload.media_id, []))
            for entry in self.entries
        }

    def _frames(self) -> dict[str, list[tuple[float, str]]]:
        """Return (offset in seconds, thumbnail locator) of each clip's key frames, by media_id."""
        uploads = [entry.upload for entry in self.entries]
        clips = [upload.media_id for upload in uploads if upload.kind == "clip"]
        if not clips:
            return {}
        start = min(upload.start for upload in uploads)
        # Clips start within the day, and their key frames follow within one more day.
        end = max(upload.start for upload in uploads) + timedelta(days=1)
        frames = self.work.library.frames(clips, self.camera.name, start, end)
        frames = frames[frames["thumb"].notna()].sort_values(["media_id", "offset_s"])
        return {
            str(media_id): list(zip(rows["offset_s"].tolist(), rows["thumb"].tolist(), strict=True))
            for media_id, rows in frames.groupby("media_id")
        }

    def write(self) -> set[str]:
        """Write all pages of the day, and return their names."""
        written = {}
        place = self._places()
        ordered = [self.items[entry.upload.media_id] for entry in self.entries]
        for at, item in enumerate(ordered):
            written[item.page] = self._upload_page(item, at, ordered, place[item.id])
        for at in range(len(self.pages)):
            written[self.names[at]] = self._day_page(at)
        # New pages first, so that existing pages never link to a missing one.
        for name in sorted(written, key=lambda name: name in self.maker.there):
            self.work.site.put(f"{self.camera.folder}/{self.day}/{name}", written[name])
        return set(written)

    def _places(self) -> dict[str, str]:
        return {
            entry.upload.media_id: name
            for name, page in zip(self.names, self.pages, strict=True)
            for moment in page
            for entry in moment.entries
        }

    # --- links to neighbouring days

    def _day_link(self, step: int) -> Link | None:
        day = self.camera.day_beside(self.day, step)
        if day is None:
            return None
        return Link(f"../{day}/{names.INDEX}", short_day(plan.day_of(day)))

    def _neighbour_link(self, step: int) -> Link | None:
        """Return the link to the last upload of the day before, or the first of the day after."""
        day = self.camera.day_beside(self.day, step)
        if day is None:
            return None
        first, last = self.camera.ends_of(day)
        page = names.page_of(last if step < 0 else first)
        return Link(f"../{day}/{page}", short_day(plan.day_of(day)))

    # --- single

    def _upload_page(
        self, item: PageUpload, at: int, ordered: list[PageUpload], place: str
    ) -> bytes:
        earlier = (
            Link(ordered[at - 1].page, ordered[at - 1].time) if at else self._neighbour_link(-1)
        )
        is_last = at + 1 == len(ordered)
        later = (
            self._neighbour_link(1) if is_last else Link(ordered[at + 1].page, ordered[at + 1].time)
        )
        low = max(0, min(at - _NEIGHBOURS, len(ordered) - 2 * _NEIGHBOURS - 1))
        return self.work.render(
            "one.html",
            up="../../",
            camera=self.camera.name,
            item=item,
            clip=self._clip_of(item),
            back=f"{place}#u-{item.id}",
            earlier=earlier,
            later=later,
            near=ordered[low : low + 2 * _NEIGHBOURS + 1],
            middle=at - low,
        )

    def _clip_of(self, item: PageUpload) -> PageUpload | None:
        clip = self.items.get(item.clip_id)
        return clip if clip and clip.is_clip else None

    # --- together

    def _day_page(self, at: int) -> bytes:
        earlier = Link(self.names[at - 1], "this day") if at else self._day_link(-1)
        is_newest = at + 1 == len(self.pages)
        later = self._day_link(1) if is_newest else Link(self.names[at + 1], "this day")
        return self.work.render(
            "day.html",
            up="../../",
            camera=self.camera.name,
            label=day_label(plan.day_of(self.day)),
            # Full pages show their number instead: they must not change with each upload.
            counts=self.camera.counts(self.day) if is_newest else f"page {at + 1}",
            periods=self._periods(self.pages[at]),
            earlier=earlier,
            later=later,
            others=self._others(),
        )

    def _others(self) -> list[Link]:
        """Return links to all cameras with pages for this day, including this one."""
        return [
            Link(f"../../{other.folder}/{self.day}/{names.INDEX}", other.name)
            for other in self.work.shown
            if self.day in other.days
        ]

    def _periods(self, page: list[plan.PlannedMoment]) -> list[Period]:
        first = self.camera.periods.set_index(["day", "period"])["first_id"]
        groups: dict[int, list[plan.PlannedMoment]] = {}
        for moment in plan.joined(page):
            groups.setdefault(moment.period, []).append(moment)
        return [
            self._period(first[self.day, number], moments)
            for number, moments in sorted(groups.items(), reverse=True)
        ]

    def _period(self, first_id: str, moments: list[plan.PlannedMoment]) -> Period:
        """Return the part of a period on this page, so that a full page never changes."""
        uploads = [entry.upload for moment in moments for entry in moment.entries]
        clips = sum(upload.kind == "clip" for upload in uploads)
        starts = [upload.start for upload in uploads]
        ends = [upload.end for upload in uploads if upload.end is not None]
        return Period(
            f"p-{first_id}",
            self.work.clock.span(min(starts), max(starts + ends)),
            counts(len(uploads) - clips, clips),
            tuple(group_of(moment, self.items) for moment in reversed(moments)),
        )
