"""Uploads that a pin protects from culling: those that are pinned, and all others of their events.

A pin names the uploads that its event had at that moment. Uploads that joined the event later
are protected, too.
"""

from __future__ import annotations

from dataclasses import dataclass

from pano_analytics.settings import Settings
from pano_analytics.store.decisions import Decisions


@dataclass(frozen=True, slots=True)
class Pins:
    """What was pinned at one moment, and what is protected because of that, as `media_id`s."""

    pinned: frozenset[str] = frozenset()
    protected: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: Settings, decisions: Decisions) -> Pins:
        """Return the pins in force. Raises DecisionsError if a decision cannot be read."""
        decisions.require()
        pinned = decisions.pinned()
        return cls(pinned, pinned | _of_their_events(settings)) if pinned else cls()

    def are_current(self, decisions: Decisions) -> bool:
        """Return whether nothing was pinned or unpinned since."""
        return decisions.pinned() == self.pinned


def _of_their_events(settings: Settings) -> frozenset[str]:
    # Imported late: it needs pandas, which a scheduled culling without pins does without.
    from pano_analytics.library import Library

    library = Library.of(settings)
    pinned = library.events(is_pinned=True, columns=["event_id", "camera", "start", "end"])
    return frozenset(library.members(pinned)["media_id"]) if len(pinned) else frozenset()
