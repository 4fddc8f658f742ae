"""The result of checking whether a file is complete, and errors for unreadable files."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pano_analytics.errors import MediaError

Says = Literal["whole", "cut", "unbroken", "nothing"]


class Verdict(NamedTuple):
    """Whether a file is complete: "whole", or "cut" with a `reason`.

    "unbroken" means that the file ends exactly after one of its frames, tags or packets, in a
    format without an end mark. "nothing" means that the structure does not tell.
    """

    says: Says
    reason: str = ""


WHOLE, UNBROKEN, NOTHING = Verdict("whole"), Verdict("unbroken"), Verdict("nothing")


def cut(reason: str) -> Verdict:
    """Return the verdict that the end is missing, for this reason."""
    return Verdict("cut", reason)


def missing(count_bytes: int, where: str = "") -> Verdict:
    """Return the verdict that `count_bytes` are missing; `where` is appended to the reason."""
    return cut(f"{count_bytes} bytes are missing at its end{where}")


class Undecodable(MediaError):
    """Nothing in the file can be decoded; the message becomes the upload's `state_reason`."""


class Unsupported(MediaError):
    """The file has a format that pano does not read; the message says which.

    `format_name` is set if the structure of the format still shows whether the file is complete.
    """

    def __init__(self, text: str, format_name: str = "") -> None:
        super().__init__(text)
        self.format_name = format_name
