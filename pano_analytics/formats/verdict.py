"""What the structure of a file says about its own end, and why a file cannot be read."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pano_analytics.errors import MediaError

Says = Literal["whole", "cut", "unbroken", "nothing"]


class Verdict(NamedTuple):
    """Whether the end of a file is there; `reason` in words where it is not.

    "unbroken" means that the file ends exactly where one of its frames, tags or packets
    does, in a format that has no mark behind the last one.
    """

    says: Says
    reason: str = ""


WHOLE, UNBROKEN, NOTHING = Verdict("whole"), Verdict("unbroken"), Verdict("nothing")


def cut(reason: str) -> Verdict:
    """Return the verdict that the end is missing, for this reason."""
    return Verdict("cut", reason)


def missing(count_bytes: int, where: str = "") -> Verdict:
    """Return the verdict that so many bytes are missing; `where` is appended to the words."""
    return cut(f"{count_bytes} bytes are missing at its end{where}")


class Undecodable(MediaError):
    """Nothing in the file decodes; the text says why, and becomes the state's reason."""


class Unsupported(MediaError):
    """The file is in a format that pano does not read, whole or not; the text says which.

    `format_name` is that of a format whose structure tells all the same whether its end is there.
    """

    def __init__(self, text: str, format_name: str = "") -> None:
        super().__init__(text)
        self.format_name = format_name
