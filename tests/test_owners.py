"""The owners of folders: those that share the levels that decide have the same owner."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from pano_analytics.settings import Settings, check
from pano_analytics.settings.owners import Owners, owner_of

PARTS = st.sampled_from(
    ["porch", "Porch", "garden", "AMC0028V_795UUB", "2026-11-22", "2026-11", "001", "jpg", "09",
     "Porch\N{COMBINING ACUTE ACCENT}", "00-18-ae-a8-da-2a", "side gate", "12"],
)  # fmt: skip
FOLDERS = st.lists(PARTS, max_size=6).map("/".join)
TABLES: list[list[dict[str, object]]] = [
    [],
    [
        {"name": "front", "folder": "porch"},
        {"name": "back", "folder": "garden/AMC0028V_795UUB"},
    ],
    [{"name": "front", "folder": "2026-11-22"}, {"name": "all", "folder": "001/jpg"}],
    [
        {"name": "one", "folder": "porch", "channel": 1},
        {"name": "two", "folder": "porch", "channel": 2},
    ],
]
SETTINGS = [check({"cameras": tables}) for tables in TABLES]


@given(st.sampled_from(SETTINGS), st.lists(FOLDERS, min_size=1, max_size=8))
@example(SETTINGS[1], ["garden", "garden/AMC0028V_795UUB/2026-11-22", "garden/other/09"])
@example(SETTINGS[2], ["001", "001/jpg/09", "001/dav", ""])
@example(SETTINGS[0], ["2026-11/12/09/porch", "2026-11/12/09/garden", "2026-11-22/09/porch"])
def test_owners_of_many_folders_are_those_of_each(settings: Settings, folders: list[str]) -> None:
    owners = Owners(settings, "root")
    assert [owners.of(folder) for folder in folders] == [
        owner_of(settings, folder, "root") for folder in folders
    ]
