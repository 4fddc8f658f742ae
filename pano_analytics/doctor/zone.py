"""Checks whether this machine and DuckDB use the same time zone rules as pano."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb

from pano_analytics.doctor.findings import Finding
from pano_analytics.library import Library, zone_rules
from pano_analytics.model import zones


def check(library: Library) -> Iterator[Finding]:
    """Yield a finding for each other time zone database here, also DuckDB's, that differs."""
    newest, *others = zones.databases()
    settings = library.settings
    names = {settings.zone, *(camera.zone for camera in settings.cameras if camera.zone)}
    for database in others:
        for name in sorted(names):
            days = zone_rules.differing(name, database.folder)
            if days is not None:
                evidence = (
                    f"{name} by {database.folder} ({database.version or 'no version'}) differs "
                    f"from {newest.folder} ({newest.version or 'no version'}), which pano "
                    f"uses, from {days[0]:%Y-%m-%d} to {days[1]:%Y-%m-%d} or longer"
                )
                yield Finding(None, "zone_rules_old", "advice", "certain", evidence, _ADVICE)

    yield from _duckdb(settings.zone, newest)


def _duckdb(name: str, newest: zones.Database) -> Iterator[Finding]:
    days = zone_rules.differing_in_duckdb(name)
    if days is not None:
        evidence = (
            f"{name} by the rules of DuckDB {duckdb.__version__} differs from "
            f"{newest.folder} ({newest.version or 'no version'}), which pano uses, from "
            f"{days[0]:%Y-%m-%d} to {days[1]:%Y-%m-%d} or longer"
        )
        yield Finding(None, "zone_rules_duckdb", "advice", "certain", evidence, _DUCKDB_ADVICE)


_DUCKDB_ADVICE = (
    "pano itself is not affected: library.sql corrects the times, and rejects statements that it "
    "cannot correct. If you read the Parquet files with DuckDB yourself, it shows times by its "
    "own rules: use library.sql or pandas instead. To hide this finding, add it to `ignore`."
)
_ADVICE = (
    "Update the system package tzdata: other programs on this machine, such as its clock, may "
    "show a different hour than pano. Also check whether the cameras know the new rules."
)
