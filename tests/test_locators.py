"""Locators of thumbnails: one format, read and written in one place."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pano_analytics.errors import MediaError
from pano_analytics.store import locators
from pano_analytics.store.locators import Locator

_PACK = "%C3%A4%2F1/2026-11-20/0018a1-0b.pack"
_TEXT = f"{_PACK}/120-4096"


def test_a_locator_is_read_as_it_was_made() -> None:
    """Whatever the camera is called, the text names the same bytes of the same file."""
    named = Locator(f"thumbs/{_PACK}", 120, 4096)
    assert locators.parse(_TEXT) == named
    assert locators.make(named) == _TEXT


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", 5, "a/b", "a/1-2"),
        *(f"{_PACK}/{span}" for span in ("1", "-1-5", "x-y", "²-1", f"0-{'9' * 12}")),
    ],
)
def test_other_text_is_refused(text: object) -> None:
    """What is not from the column is an error that shows it."""
    with pytest.raises(MediaError, match="expected a locator"):
        locators.parse(text)


@pytest.mark.parametrize("camera", ["front", "thumb", "%C3%A4"])
@pytest.mark.parametrize("prefix", ["", "/cameras", "/thumb"])
def test_an_address_gives_its_locator_back(camera: str, prefix: str) -> None:
    """Also where a camera or the path of the dashboard is itself called `thumb`."""
    text = f"{camera}/2026-11-20/a1.pack/0-10"
    assert locators.in_url(f"{prefix}/thumb/{text}.jpg") == text


def test_files_are_those_that_a_column_points_into() -> None:
    """Each pack once, nulls left out."""
    column = pa.chunked_array([[_TEXT, None, f"{_PACK}/0-120"], ["a/2026-11-20/b.pack/0-1"]])
    assert locators.files(column) == {f"thumbs/{_PACK}", "thumbs/a/2026-11-20/b.pack"}
    assert locators.files(column.filter(pa.chunked_array([[False] * 4]))) == set()


def test_what_is_packed_for_pages_is_whole_again_there() -> None:
    """Pack and span, joined by a slash, are the locator; a missing one is 0."""
    given = [_TEXT, None, float("nan"), "a/2026-11-20/b.pack/0-1", f"{_PACK}/0-120"]
    packs, short = locators.packed(given)
    assert len(packs) == 2
    whole = [f"{packs[one[0]]}/{one[1]}" if isinstance(one, list) else None for one in short]  # type: ignore[call-overload]
    assert whole == [_TEXT, None, None, given[3], given[4]]
