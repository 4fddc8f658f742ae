"""Periods of activity: what follows closely is one story, by whatever order it comes in."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pano_analytics.analysis.periods import COLUMNS, period_numbers, periods

GAP = timedelta(minutes=10)
ZERO = pd.Timestamp("2026-10-25 00:30", tz="UTC")

Upload = tuple[str, float, float | None]


def frame(uploads: list[Upload], zone: str = "Europe/Berlin") -> pd.DataFrame:
    """Return uploads of camera, start and length in minutes (None: a snapshot)."""
    found = pd.DataFrame(
        {
            "media_id": [f"{number:016x}" for number in range(len(uploads))],
            "camera": pd.Series([camera for camera, _, _ in uploads], dtype="str"),
            "kind": ["snapshot" if length is None else "clip" for _, _, length in uploads],
            "start": [ZERO + timedelta(minutes=start) for _, start, _ in uploads],
            "end": [
                pd.NaT if length is None else ZERO + timedelta(minutes=start + length)
                for _, start, length in uploads
            ],
        }
    )
    for column in ("start", "end"):
        found[column] = pd.to_datetime(found[column], utc=True).dt.tz_convert(zone)
    return found


@pytest.mark.parametrize(
    ("uploads", "numbers"),
    [
        ([], []),
        ([("a", 0, None)], [0]),
        ([("a", 0, None), ("a", 10, None)], [0, 0]),
        ([("a", 0, None), ("a", 10.1, None)], [0, 1]),
        ([("a", 0, None), ("b", 1, None), ("a", 2, None)], [0, 0, 0]),
        ([("a", 0, 30), ("a", 5, None), ("a", 39, None)], [0, 0, 0]),
        ([("a", 0, 30), ("a", 5, 1), ("a", 41, None)], [0, 0, 1]),
        ([("a", 50, None), ("a", 0, None)], [1, 0]),
        ([("a", 0, -5), ("a", 9, None)], [0, 0]),
        ([("a", 59, None), ("a", 61, None)], [0, 0]),
    ],
)
def test_a_period_ends_where_nothing_follows_within_the_gap(
    uploads: list[Upload], numbers: list[int]
) -> None:
    """The gap counts from the latest end so far, per camera, also over the hour that repeats."""
    assert period_numbers(frame(uploads), GAP).tolist() == numbers


def test_an_upload_without_a_start_lies_in_no_period() -> None:
    """Its number is null, and it neither joins nor parts others."""
    uploads = frame([("a", 0, None), ("a", 5, None), ("a", 9, None)])
    uploads.loc[1, "start"] = pd.NaT
    assert period_numbers(uploads, GAP).isna().tolist() == [False, True, False]
    assert periods(uploads, GAP)["snapshots"].tolist() == [2]


MINUTES = st.integers(0, 300).map(lambda tenth: tenth / 2)
UPLOADS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]), MINUTES, st.one_of(st.none(), st.integers(0, 40).map(float))
    ),
    max_size=25,
)


def slowly(uploads: list[Upload]) -> list[tuple[str, float, float, int, int]]:
    """Return camera, start, end, snapshots and clips of each period, one upload after another."""
    found: list[list] = []
    for camera, start, length in sorted(uploads, key=lambda one: (one[0], one[1])):
        end = start + (length or 0)
        if not found or found[-1][0] != camera or start - found[-1][2] > 10:
            found.append([camera, start, end, 0, 0])
        found[-1][2] = max(found[-1][2], end)
        found[-1][3 if length is None else 4] += 1
    return [tuple(one) for one in found]


@given(UPLOADS, st.randoms(use_true_random=False))
def test_periods_are_those_found_one_by_one(uploads: list[Upload], chance: object) -> None:
    """In any order of rows; each upload lies in the period that its number names."""
    rows = frame(uploads)
    order = list(range(len(rows)))
    chance.shuffle(order)  # type: ignore[attr-defined]
    found = periods(rows.iloc[order], GAP)
    assert tuple(found.columns) == COLUMNS
    minutes = [
        (found[column] - ZERO).dt.total_seconds().div(60).tolist() for column in ("start", "end")
    ]
    told = zip(found["camera"], *minutes, found["snapshots"], found["clips"], strict=True)
    assert list(told) == slowly(uploads)
    numbers = period_numbers(rows, GAP)
    for camera, number, start, end, first_id in found[
        ["camera", "period", "start", "end", "first_id"]
    ].itertuples(index=False):
        members = rows[(rows["camera"] == camera) & (numbers == number)]
        assert members["start"].min() == start
        assert members["start"].max() <= end
        assert first_id == members[members["start"] == start]["media_id"].min()


def test_times_keep_their_zone() -> None:
    """What comes in local time comes back in it."""
    found = periods(frame([("a", 0, 1)]), GAP)
    assert str(found["start"].dt.tz) == "Europe/Berlin"
    assert found["end"].iloc[0].hour == 2
