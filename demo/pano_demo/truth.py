"""What truly happened, written beside the tree: one row an event."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pano_demo.habits import Event

_TIME = pa.timestamp("us", tz="UTC")
_WALL = pa.timestamp("us")

# `files` and the next three columns go together, element by element.
SCHEMA = pa.schema(
    [
        ("event_id", pa.int32()),
        ("camera", pa.string()),
        ("start", _TIME),
        ("end", _TIME),
        ("wall_start", _WALL),
        ("kind", pa.string()),
        ("what", pa.string()),
        ("story", pa.string()),
        ("is_false_alarm", pa.bool_()),
        ("false_sort", pa.string()),
        ("files", pa.list_(pa.string())),
        ("file_kinds", pa.list_(pa.string())),
        ("file_arrived", pa.list_(_TIME)),
        ("file_faults", pa.list_(pa.string())),
        ("visit", pa.string()),
    ]
)


def truth_path(root: Path) -> Path:
    """Return where the truth of the tree `root` lies: beside it, as `root.truth.parquet`."""
    return root.with_name(f"{root.name}.truth.parquet")


def write_truth(path: Path, events: Sequence[Event], facts: dict[str, object]) -> None:
    """Write one row for each of `events` (SCHEMA), and `facts` into the file's metadata."""
    metadata = {"pano_demo": json.dumps(facts, sort_keys=True)}
    table = pa.Table.from_pylist(list(_rows(events)), schema=SCHEMA.with_metadata(metadata))
    unfinished = path.with_name(f".{path.name}.unfinished")
    pq.write_table(table, unfinished)
    unfinished.replace(path)


def _rows(events: Iterable[Event]) -> Iterable[dict[str, object]]:
    for number, event in enumerate(events):
        moment, uploads = event.moment, event.uploads
        yield {
            "event_id": number,
            "camera": moment.camera,
            "start": event.start,
            "end": event.end,
            "wall_start": event.wall_start,
            "kind": moment.kind,
            "what": moment.what,
            "story": moment.story,
            "is_false_alarm": moment.false_sort is not None,
            "false_sort": moment.false_sort,
            "files": [upload.path for upload in uploads],
            "file_kinds": [upload.kind for upload in uploads],
            "file_arrived": [upload.arrived for upload in uploads],
            "file_faults": [upload.fault for upload in uploads],
            "visit": moment.visit or None,
        }
