"""Bounded work: a hostile file costs only itself, in memory and in time, wherever it is opened."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from pathlib import Path

import bombs
import pytest
from confined_jobs import crash, sleep, speak, spin, swell, work_for
from lived_in import NOON, fresh, lay, picture
from serving import make_clip
from shared_files import clip_path, snapshot_path
from test_clips import dav

from pano_analytics.errors import MediaError
from pano_analytics.ingest import examine
from pano_analytics.ingest.run import ingest
from pano_analytics.library import Library
from pano_analytics.present import clips
from pano_analytics.receive.wholeness import contents_of
from pano_analytics.workers import confined, crew

# The limit and what a process holds before it opens anything.
MOST_MB = (confined.MEMORY_BYTES >> 20) + 150
FILES = {
    **{name: (ending, "clip", make) for name, (ending, make) in bombs.CLIPS.items()},
    **{name: ("jpg", "snapshot", make) for name, make in bombs.PICTURES.items()},
}


def peak_mb() -> int:
    """Return the most memory that this process ever held."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) >> 10


@pytest.fixture(scope="module")
def worker() -> Iterator[ProcessPoolExecutor]:
    """Return the pool that ingest opens files in."""
    with crew.pool(1) as pool:
        yield pool


@pytest.mark.parametrize("name", FILES)
def test_a_bomb_is_a_state_with_a_reason(
    name: str, worker: ProcessPoolExecutor, tmp_path: Path
) -> None:
    """However much a file claims, its worker stays within its limit and goes on."""
    ending, kind, make = FILES[name]
    path = tmp_path / f"bomb.{ending}"
    path.write_bytes(make())
    began = time.monotonic()
    task = examine.Task(path.name, kind, None)
    (outcome,) = worker.submit(examine.open_batch, tmp_path, [task]).result()
    assert outcome.inspection is not None, outcome
    assert outcome.inspection.state != "complete" or "within_the_limit" in name
    assert outcome.inspection.state_reason or outcome.inspection.state == "complete"
    assert worker.submit(peak_mb).result() < MOST_MB
    assert time.monotonic() - began < 20


def test_the_memory_of_one_file_is_no_burden_to_the_next(tmp_path: Path) -> None:
    """A worker that opened eighty clips holds hardly more memory than after the first ten."""
    clip = make_clip(tmp_path / "clip.mp4", size=(1280, 720))
    script = """
import sys
from pathlib import Path
from pano_analytics.ingest.examine import Task, _open

def held():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(status["VmData"].split()[0])

sizes = []
for _ in range(8):
    for _ in range(10):
        assert _open(Path(sys.argv[1]), Task("", "clip", None)).inspection.state == "complete"
    sizes.append(held())
print(sizes[-1] - sizes[0])
"""
    told = subprocess.run(
        [sys.executable, "-c", script, str(clip)], capture_output=True, text=True, check=True
    )
    assert int(told.stdout) < 40_000


def test_bombs_cost_only_themselves(tmp_path: Path) -> None:
    """Among them, other uploads of the same minutes are read as always."""
    settings = fresh(tmp_path)
    assert settings.uploads is not None
    at = NOON
    for ending, make in bombs.CLIPS.values():
        at += timedelta(minutes=1)
        clip = clip_path("porch", at, at + timedelta(seconds=20), ending)
        lay(make(), settings.uploads / clip)
        lay(picture(1), settings.uploads / snapshot_path("porch", at))
    ingest(settings)
    media = Library.of(settings).media()
    assert (media[media.kind == "snapshot"].state == "complete").all()
    bad = media[media.kind == "clip"]
    assert len(bad) == len(bombs.CLIPS)
    assert bad.state.isin(["damaged", "partial", "unsupported"]).all()
    assert bad.state_reason.notna().all()


# --- what is not a worker of ingest -------------------------------------------------------


_SERVING = """
import json, sys
from pathlib import Path
from pano_analytics.present.clips import ClipCache
from pano_analytics.errors import MediaError
cache = ClipCache(Path(sys.argv[1]), 1 << 30)
said = []
for source in sys.argv[2:]:
    try:
        cache.playable(Path(source), source)
        said.append("played")
    except MediaError as error:
        said.append(str(error))
assert "av" not in sys.modules, "the serving process opened a clip itself"
print(json.dumps([said, int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) >> 10]))
"""


def test_the_serving_process_opens_no_clip(tmp_path: Path) -> None:
    """Bombs are errors in words there, or given to the browser as they are; the next one plays."""
    files = []
    for name in ("mp4_of_80_million_pictures", "mp4_of_nested_boxes", "avi_of_huge_pictures"):
        ending, make = bombs.CLIPS[name]
        files.append(tmp_path / f"{name}.{ending}")
        files[-1].write_bytes(make())
    good = tmp_path / "good.dav"
    good.write_bytes(dav())
    command = [sys.executable, "-c", _SERVING, tmp_path / "cache", *files, good]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    said, megabytes = json.loads(done.stdout)
    assert said.pop() == "played"
    assert all(words == "played" or "cannot be played" in words for words in said), said
    assert megabytes < 150
    assert not list((tmp_path / "cache").glob("*.part"))


def test_a_first_upload_is_looked_at_in_a_confined_process(tmp_path: Path) -> None:
    """`pano camera add` says what came, also of a bomb."""
    from pano_analytics.receive import arrival

    settings = fresh(tmp_path)
    assert settings.uploads is not None
    clip = clip_path("porch", NOON, NOON + timedelta(seconds=20), "mp4")
    lay(bombs.mp4_of_80_million_pictures(), settings.uploads / clip)
    before = peak_mb()
    came = arrival.examine_upload(settings, "porch", clip, NOON.astimezone())
    assert came.inspection is not None
    assert came.inspection.state == "damaged"
    assert peak_mb() < before + 100


def test_a_flood_of_markers_holds_nobody_up() -> None:
    """A JPEG of nothing but marker bytes is judged at once: an upload server waits for it."""
    import io

    began = time.process_time()
    contents_of(io.BytesIO(b"\xff\xd8" + b"\xff" * 20_000_000), "a.jpg")
    assert time.process_time() - began < 1


# --- the limits themselves ----------------------------------------------------------------


def confined_call(
    deed: object, *arguments: object, limit_s: float = 20, cpu_s: float = 20
) -> object:
    """Call a function of this module in a confined process."""
    return confined.call(deed, *arguments, limit_s=limit_s, cpu_s=cpu_s, memory_bytes=300 << 20)  # type: ignore[arg-type]


def test_limits_hold() -> None:
    """Memory, processor time, a deadline, a crash: each is told, and the next call works."""
    assert confined_call(swell, 150) == 150 << 20
    with pytest.raises(confined.Ended, match="more memory"):
        confined_call(swell, 350)
    with pytest.raises(confined.Ended, match="more than 1 s of processor time"):
        confined_call(spin, cpu_s=1)
    with pytest.raises(confined.Ended, match=r"longer than 0\.2 s"):
        confined_call(sleep, 60, limit_s=0.2)
    with pytest.raises(confined.Ended, match="Segmentation fault"):
        confined_call(crash)
    assert confined_call(speak, "\udcff\n") == "\udcff\n"


def test_processor_time_is_counted_for_each_call() -> None:
    """What a process did before is not held against the next file."""
    for _ in range(2):
        confined_call(work_for, 0.7, cpu_s=1)


def test_a_spinning_file_ends_its_worker() -> None:
    """A worker that is past its processor time for one file is ended by the kernel."""
    with crew.pool(1) as pool, pytest.raises(Exception, match="terminated abruptly"):
        pool.submit(_spin_as_a_file).result(timeout=60)


def _spin_as_a_file() -> None:
    crew.confine_worker()
    confined.allow(0.2)
    spin()


def test_what_dies_while_encoding_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A conversion that is ended: an error, no part, and no older answer."""
    source, target = tmp_path / "a.dav", tmp_path / "a.mp4"
    source.write_bytes(dav())
    target.write_bytes(b"older")
    monkeypatch.setattr(clips, "_MEMORY_BYTES", 1 << 20)
    with pytest.raises(MediaError, match="cannot be played"):
        clips.transcode(source, target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.dav"]
