"""Tells when this machine does not know the clock laws that pano goes by."""

from __future__ import annotations

from collections.abc import Iterator

from pano_analytics import zone_rules, zones
from pano_analytics.doctor.findings import Finding
from pano_analytics.library import Library


def check(library: Library) -> Iterator[Finding]:
    """Yield a finding for each other zone database here that shows another clock."""
    newest, *others = zones.databases()
    settings = library.settings
    names = {settings.zone, *(camera.zone for camera in settings.cameras if camera.zone)}
    for database in others:
        for name in sorted(names):
            days = zone_rules.differing(name, database.folder)
            if days is not None:
                evidence = (
                    f"{name} by {database.folder} ({database.version or 'no version'}) is another "
                    f"clock than by {newest.folder} ({newest.version or 'no version'}), which pano "
                    f"uses, from {days[0]:%Y-%m-%d} to {days[1]:%Y-%m-%d} or longer"
                )
                yield Finding(None, "zone_rules_old", "advice", "certain", evidence, _ADVICE)


_ADVICE = (
    "Update the system's package tzdata: other programs on this machine, the clock on its screen "
    "among them, may show another hour than pano. Look also whether the cameras know the new law."
)
