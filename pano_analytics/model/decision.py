"""What people decided about uploads, and the state that follows from all decisions.

The state is a function of the set of decisions, whatever order they are read in: they are
applied in the order of `Decision.place`, without those that were taken back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from pano_analytics.model.corrections import ClockCorrection

# decision -> what it means for the uploads that it names.
DECISIONS: dict[str, str] = {
    "reviewed": "this person has seen them",
    "unreviewed": "this person wants to see them again",
    "dismissed": "of no interest, to everybody",
    "restored": "no longer dismissed",
    "pinned": "important, to everybody",
    "unpinned": "no longer pinned",
    "noted": "has a note and changes nothing else",
}
# A decision about the clock of a camera; it names no uploads.
CLOCK_CORRECTED = "clock_corrected"
# A decision that takes another one back; it names that one, and no uploads.
UNDO = "undo"


class Decision(NamedTuple):
    """One decision of one person, never changed.

    `order` is greater than that of every decision that the writer knew; `decided` is aware,
    in UTC, by the writer's clock, and does not determine the order. `undoes` is the id of the
    decision that an undo takes back; `clock` is what `CLOCK_CORRECTED` says about a clock.
    """

    decision_id: str
    order: int
    decided: datetime
    who: str
    decision: str
    media_ids: tuple[str, ...] = ()
    note: str | None = None
    undoes: str | None = None
    clock: ClockCorrection | None = None

    @property
    def place(self) -> tuple[int, str]:
        """Its place among all decisions, on which all readers agree."""
        return self.order, self.decision_id


class Mark(NamedTuple):
    """The state of one upload: the result of all decisions about it.

    `noted` is the place of the decision that its latest note is from.
    """

    media_id: str
    is_reviewed: bool = False
    is_pinned: bool = False
    is_dismissed: bool = False
    note: str | None = None
    noted: tuple[int, str] | None = None


class DecisionSet:
    """A set of decisions, indexed by id and by upload."""

    def __init__(self, decisions: Iterable[Decision] = ()) -> None:
        self._by_id: dict[str, Decision] = {}
        self._of_upload: dict[str, list[Decision]] = defaultdict(list)
        self._undoers: dict[str, list[Decision]] = defaultdict(list)
        self._about_clocks: list[Decision] = []
        self.last_order = 0
        self.update(decisions)

    def __len__(self) -> int:
        return len(self._by_id)

    def update(self, decisions: Iterable[Decision]) -> None:
        """Add decisions; each counts once, however often it is added."""
        for one in decisions:
            if one.decision_id not in self._by_id:
                self._add(one)

    def _add(self, one: Decision) -> None:
        self._by_id[one.decision_id] = one
        self.last_order = max(self.last_order, one.order)
        for media_id in one.media_ids:
            self._of_upload[media_id].append(one)
        if one.clock is not None:
            self._about_clocks.append(one)
        if one.undoes is not None:
            self._undoers[one.undoes].append(one)

    def get(self, decision_id: str) -> Decision | None:
        """Return the decision with this id, or None."""
        return self._by_id.get(decision_id)

    def in_order(self) -> list[Decision]:
        """Return all decisions, including those that were taken back, in their order."""
        return sorted(self._by_id.values(), key=lambda one: one.place)

    def about_clocks(self) -> list[Decision]:
        """Return the decisions in force about clocks of cameras, the latest first."""
        valid = (one for one in self._about_clocks if not self.is_undone(one.decision_id))
        return sorted(valid, key=lambda one: one.place, reverse=True)

    def is_undone(self, decision_id: str) -> bool:
        """Return whether an undo that is itself in force takes this decision back."""
        if decision_id not in self._undoers:
            return False
        undone: set[str | None] = set()
        # An undo has a higher place than what it takes back: the last one is in force.
        for one in sorted(self._undos_above(decision_id), key=lambda one: one.place, reverse=True):
            if one.decision_id not in undone:
                undone.add(one.undoes)
        return decision_id in undone

    def _undos_above(self, decision_id: str) -> set[Decision]:
        """Return the undos of a decision, the undos of these, and so on."""
        found: set[Decision] = set()
        waiting = [decision_id]
        while waiting:
            new = set(self._undoers.get(waiting.pop(), ())) - found
            found |= new
            waiting += [one.decision_id for one in new]
        return found

    def pinned(self) -> frozenset[str]:
        """Return the ids of the uploads that are pinned."""
        marks = (self.mark(media_id) for media_id in self._of_upload)
        return frozenset(one.media_id for one in marks if one is not None and one.is_pinned)

    def mark(self, media_id: str, who: str | None = None) -> Mark | None:
        """Return the state of an upload; None if no decision in force names it.

        `is_reviewed` is whether the person `who` has reviewed it; for None, whether anybody
        has.
        """
        named = self._of_upload.get(media_id)
        valid = [one for one in named or () if not self.is_undone(one.decision_id)]
        if not valid:
            return None
        valid.sort(key=lambda one: one.place)
        return _replayed(media_id, valid, who)


def _replayed(media_id: str, decisions: Iterable[Decision], who: str | None) -> Mark:
    """Return the state after `decisions`, which are in order and in force."""
    reviewers: set[str] = set()
    mark = Mark(media_id)
    for one in decisions:
        match one.decision:
            case "reviewed":
                reviewers.add(one.who)
            case "unreviewed":
                reviewers.discard(one.who)
            case "pinned" | "unpinned":
                mark = mark._replace(is_pinned=one.decision == "pinned")
            case "dismissed" | "restored":
                mark = mark._replace(is_dismissed=one.decision == "dismissed")
        if one.note is not None:
            mark = mark._replace(note=one.note, noted=one.place)
    return mark._replace(is_reviewed=bool(reviewers) if who is None else who in reviewers)
