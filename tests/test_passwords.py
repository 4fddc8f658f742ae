"""Passwords that are guessed first are refused, and those that people should use are not."""

from __future__ import annotations

import pytest

from pano_analytics.access.passwords import common, weakness


@pytest.mark.parametrize(
    "password",
    [
        *("password", "12345678", "qwertyuiop", "iloveyou", "sunshine", "PASSWORD", "football"),
        *("password1", "Passw0rd!", "P@ssw0rd2026", "letmein123", "Dragon!!", "monkey-2024"),
        *("aaaaaaaa", "abababab", "abcabcabc", "abcdefgh", "98765432", "asdfghjkl", "11223311"),
        *("anna2026!", "annaanna", "Anna_1234"),
    ],
)
def test_what_is_guessed_first_is_weak(password: str) -> None:
    """Common words, with digits behind or for letters, rows of keys, and the user's own name."""
    assert weakness(password, "anna")


@pytest.mark.parametrize(
    "password",
    [
        *("correct horse battery", "café au lait", "another long one", "three-small-words"),
        *("of-anna-too", "wAtCh-the-door7", "Zr8$kLq2", "test-password-123"),
    ],
)
def test_what_nobody_lists_is_not(password: str) -> None:
    """A few words in a row, or signs without a pattern, may be used."""
    assert weakness(password, "anna") is None


def test_the_list_is_compact_and_carries_its_notice() -> None:
    """Tens of thousands of passwords, none of them a line of the licence."""
    assert 20_000 < len(common()) < 40_000
    assert not [entry for entry in common() if entry.startswith("#") and " " in entry]
