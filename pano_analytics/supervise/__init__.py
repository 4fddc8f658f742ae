"""All parts in one command: kept at work, their words in one log, their health told."""

from pano_analytics.supervise.child import end_with_supervisor
from pano_analytics.supervise.parts import Errand, Part, errands_of, parts_of
from pano_analytics.supervise.run import SuperviseError, up
from pano_analytics.supervise.state import LOCK, NAME, read_state

__all__ = [
    "LOCK",
    "NAME",
    "Errand",
    "Part",
    "SuperviseError",
    "end_with_supervisor",
    "errands_of",
    "parts_of",
    "read_state",
    "up",
]
