"""Making the tree: pictures and clips by two processes, the newest day first."""

from __future__ import annotations

import io
import os
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from zlib import crc32

from pano_analytics.formats import dhav
from pano_demo import clip
from pano_demo.cameras import camera_named
from pano_demo.habits import LEAD_S, DemoUpload, Event
from pano_demo.picture import Shot, take
from pano_demo.plan import DemoPlan, event_rng
from pano_demo.planes import Planes
from pano_demo.sensor import Exposure
from pano_demo.sun import Look

Progress = Callable[[int, int], None]

_QUALITY = 78
_MARKER = "DVRWorkDirectory"
# A clip's light is that of the middle of its time of day.
_DUSK_DIMMING = 0.93


@dataclass(frozen=True, slots=True)
class Film:
    """A clip that is encoded once: who is seen where, in which light and weather."""

    camera: str
    light: str
    act: str
    length_s: int
    is_raining: bool
    width: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What one process makes in one go: snapshots or films of one camera."""

    order: tuple[object, ...]
    shots: tuple[tuple[DemoUpload, Shot], ...] = ()
    films: tuple[tuple[Film, tuple[DemoUpload, ...]], ...] = ()

    @property
    def files(self) -> int:
        """How many uploads the batch makes."""
        return len(self.shots) + sum(len(places) for _, places in self.films)


# --- batches --------------------------------------------------------------------------------


def batches(plan: DemoPlan) -> list[Batch]:
    """Return all the work of `plan` in the order in which it is best done.

    First the snapshots of the newest day, then all clips, then the other snapshots by
    camera and week, so that a process seldom has to fetch another scene.
    """
    work = [*_snapshot_batches(plan), *_film_batches(plan)]
    return sorted(work, key=lambda batch: batch.order)


def _all_events(plan: DemoPlan) -> tuple[Event, ...]:
    return (*plan.events, plan.unfinished) if plan.unfinished else plan.events


def _snapshot_batches(plan: DemoPlan) -> Iterator[Batch]:
    groups: dict[tuple[object, ...], list[tuple[DemoUpload, Shot]]] = defaultdict(list)
    for event in plan.events:
        days_ago = (plan.end.date() - event.start.astimezone(plan.zone).date()).days
        stage = 0 if days_ago < 1 else 2
        groups[stage, (days_ago + 6) // 7, event.moment.camera] += [
            (upload, _shot(plan, event, upload))
            for upload in event.uploads
            if upload.kind == "snapshot"
        ]
    for order, shots in groups.items():
        yield Batch(order, shots=tuple(shots))


def _film_batches(plan: DemoPlan) -> Iterator[Batch]:
    groups: dict[tuple[object, ...], list[tuple[Film, tuple[DemoUpload, ...]]]] = defaultdict(list)
    for film, uploads in _films(plan).items():
        groups[1, 0, f"{film.camera} {film.light}"].append((film, tuple(uploads)))
    for order, films in groups.items():
        yield Batch(order, films=tuple(films))


def _films(plan: DemoPlan) -> dict[Film, list[DemoUpload]]:
    """Return which films are needed, and the clips that are made of each.

    A small tree makes do with two a camera, something and nothing, by day and by night.
    """
    films: dict[Film, list[DemoUpload]] = defaultdict(list)
    alike: dict[tuple[object, ...], Film] = {}
    for event in _all_events(plan):
        clips = [upload for upload in event.uploads if upload.kind == "clip"]
        if not clips:
            continue
        film = _film(plan, event)
        if plan.is_small:
            is_night = film.light == "night_ir"
            is_false = event.moment.false_sort is not None
            film = alike.setdefault((film.camera, is_night, is_false), film)
        films[film] += clips
    return films


def _film(plan: DemoPlan, event: Event) -> Film:
    light = plan.look_of(event).light
    return Film(
        event.moment.camera, light, event.act.name, event.length_s, plan.is_rainy(event), plan.width
    )


def _shot(plan: DemoPlan, event: Event, upload: DemoUpload) -> Shot:
    rng = event_rng(plan, event, "exposure")
    look = plan.look_of(event)
    # In infrared there is no colour to get wrong.
    tints = (0, 0) if look.light == "night_ir" else (rng.randint(-1, 1), rng.randint(-1, 1))
    exposure = Exposure(rng.gauss(1.0, 0.018), *tints)
    return Shot(
        event.moment.camera,
        look,
        event.act.name,
        upload.offset_s - LEAD_S,
        exposure,
        crc32(upload.path.encode()) % 997,
        plan.is_rainy(event),
        plan.is_windy(event),
        wall=upload.wall_start,
        width=plan.width,
    )


# --- making ---------------------------------------------------------------------------------


def make_all(plan: DemoPlan, root: Path, workers: int, progress: Progress | None) -> int:
    """Make every file of `plan` below `root`; return their number."""
    work = batches(plan)
    total = sum(batch.files for batch in work)
    done = 0
    for count in _run(work, root, workers):
        done += count
        if progress is not None:
            progress(done, total)
    _markers(plan, root)
    _date_folders(root)
    return done


def _run(work: list[Batch], root: Path, workers: int) -> Iterator[int]:
    if workers <= 1:
        yield from (make_batch(batch, root) for batch in work)
        return
    # Spawned, not forked: the parent may run threads that a fork would copy half-way.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(make_batch, batch, root) for batch in work}
        while waiting:
            ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in ready)


def make_batch(batch: Batch, root: Path) -> int:
    """Make the files of `batch` below `root`; return their number."""
    for upload, shot in batch.shots:
        _write(root, upload, _snapshot(upload, shot))
    for film, places in batch.films:
        _place_all(film, places, root)
    return batch.files


def snapshot_of(plan: DemoPlan, event: Event, upload: DemoUpload) -> bytes:
    """Return the picture that `upload` of `event` is, as its camera sends it."""
    return _snapshot(upload, _shot(plan, event, upload))


def _snapshot(upload: DemoUpload, shot: Shot) -> bytes:
    if upload.fault == "empty":
        return b""
    buffer = io.BytesIO()
    take(shot).image().save(buffer, "JPEG", quality=_QUALITY, subsampling="4:2:0")
    whole = dhav.camera_jpeg(buffer.getvalue(), upload.wall_start)
    return _cut(whole, upload) if upload.fault == "truncated" else whole


def _place_all(film: Film, places: Iterable[DemoUpload], root: Path) -> None:
    suffix = camera_named(film.camera).clip_suffix
    encoded = clip.encode(_pictures(film), suffix)
    for upload in places:
        _write(root, upload, _clip(encoded, suffix, upload))
        if upload.has_idx:
            _write_bytes(root / upload.path.replace(".dav", ".idx"), _idx(encoded), upload.arrived)


def _clip(encoded: bytes, suffix: str, upload: DemoUpload) -> bytes:
    if upload.fault == "empty":
        return b""
    if upload.fault == "stub":
        return clip.stub(upload.wall_start)
    whole = clip.at_clock(encoded, suffix, upload.wall_start)
    return _cut(whole, upload) if upload.fault in ("truncated", "unfinished") else whole


def _pictures(film: Film) -> Iterator[Planes]:
    look = Look(film.light, dimming=_DUSK_DIMMING if film.light == "dusk" else 1.0)
    for number in range(film.length_s * clip.FPS):
        yield take(
            Shot(
                film.camera,
                look,
                film.act,
                number / clip.FPS - LEAD_S,
                Exposure(),
                number,
                film.is_raining,
                film.act == "wind",
                is_video=True,
                width=film.width,
            )
        )


def _cut(whole: bytes, upload: DemoUpload) -> bytes:
    """Return the part of `whole` that arrived before the camera gave up."""
    share = 0.35 + crc32(upload.path.encode()) % 50 / 100
    return whole[: int(len(whole) * share)]


def _idx(encoded: bytes) -> bytes:
    """Return a small index: where each key picture begins (the real format is not public)."""
    keys = [frame.offset for frame in dhav.frames(encoded) if frame.is_key]
    return struct.pack(f"<{len(keys)}I", *keys)


# --- files ----------------------------------------------------------------------------------


def _write(root: Path, upload: DemoUpload, content: bytes) -> None:
    _write_bytes(root / upload.path, content, upload.arrived)


def _write_bytes(path: Path, content: bytes, arrived: datetime) -> None:
    """Write a file as cameras do: under a name that ends in `_`, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}_")
    unfinished.write_bytes(content)
    stamp_ns = _nanoseconds(arrived)
    os.utime(unfinished, ns=(stamp_ns, stamp_ns))
    unfinished.replace(path)


def _nanoseconds(moment: datetime) -> int:
    past = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (past.days * 86400 + past.seconds) * 10**9 + past.microseconds * 1000


def _markers(plan: DemoPlan, root: Path) -> None:
    for camera in plan.cameras:
        arrivals = [
            upload.arrived
            for event in plan.events
            for upload in event.uploads
            if event.moment.camera == camera.name
        ]
        if arrivals:
            _write_bytes(root / camera.name / camera.serial / _MARKER, b"", min(arrivals))


def _date_folders(root: Path) -> None:
    """Give each folder the time of the newest thing in it, the deepest first."""
    for folder, _, _ in os.walk(root, topdown=False):
        with os.scandir(folder) as entries:
            newest = max((entry.stat().st_mtime_ns for entry in entries), default=None)
        if newest is not None:
            os.utime(folder, ns=(newest, newest))
