"""Which complete uploads have different content now, because another FTP server allowed it."""

from __future__ import annotations

from collections.abc import Iterator

from pano_analytics.doctor.findings import Finding
from pano_analytics.library import Library
from pano_analytics.store.journal import Journal
from pano_analytics.wording import many

_ADVICE = (
    "The earlier content may exist in a copy of the uploads. Let the cameras upload to `pano "
    "receive`, which keeps both versions. `pano check` lists each upload with the SHA-256 of "
    "both."
)


def check(library: Library) -> Iterator[Finding]:
    """Yield, for each camera, how many of its complete uploads were overwritten."""
    overwritten = {one.media_id: one for one in Journal(library.storage).overwritten()}
    if not overwritten:
        return
    id_list = ", ".join(f"'{one}'" for one in overwritten)
    rows = library.sql(
        f"SELECT camera, media_id FROM media WHERE media_id IN ({id_list}) "
        "AND state NOT IN ('missing', 'culled')"
    )
    for camera, ids in rows.groupby("camera", observed=True)["media_id"]:
        replaced = sorted((overwritten[one] for one in ids), key=lambda one: one.noted)
        evidence = (
            f"{many(len(replaced), 'upload')} were complete and now have different content, the "
            f"last: {replaced[-1].path}, seen {replaced[-1].noted:%Y-%m-%d %H:%M} UTC"
        )
        fields = (str(camera), "overwritten", "problem", "certain", evidence, _ADVICE)
        yield Finding(*fields, len(replaced), 0, replaced[0].noted)
