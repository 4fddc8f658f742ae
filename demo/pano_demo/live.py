"""Cameras that keep uploading while one looks: the demonstration's stock again, as if it were now.

What once happened before a camera in the light of this hour happens again: its
snapshots are taken anew, with the clock of now in picture and file, its clip is
given that clock. Both are uploaded by FTP in the way the cameras do it, each
when it is over.
"""

from __future__ import annotations

import ftplib
import io
import json
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq

from pano_analytics.errors import UploadTreeError
from pano_analytics.wording import many
from pano_demo import clip, habits
from pano_demo.cameras import CAMERAS, camera_named
from pano_demo.habits import LEAD_S, DemoUpload, Event
from pano_demo.make import snapshot_of
from pano_demo.plan import DemoPlan, make_plan
from pano_demo.story import INCIDENT
from pano_demo.truth import truth_path

log = logging.getLogger("pano.demo")

PAUSE_S = (12.0, 30.0)
"""How long it is quiet between two events, at least and at most."""
_PATIENCE_S = 20.0
_AGAIN_S = 3.0
_CHUNK = 1 << 15
# A camera on a wifi sends about so much a second.
_BYTES_PER_S = 2_000_000
# What they send must not be refused for its age, nor lost to a restart of the server.
_MOST_TRIES = 10


@dataclass(frozen=True, slots=True)
class DemoServer:
    """Where the cameras upload to, and the password of each camera's account."""

    host: str
    port: int
    passwords: Mapping[str, str]


def upload_for_ever(
    root: Path,
    server: DemoServer,
    pause_s: tuple[float, float] = PAUSE_S,
    told: Callable[[str], object] = log.info,
) -> None:
    """Let one camera after another see something, and upload it; until ended.

    `root` is a tree that `make_demo` made. `told` is given a line an event.
    Raises UploadTreeError where it is none, or has no clip left.
    """
    plan = plan_of(root)
    dice = random.Random()
    while True:
        event, stock = again(plan, root, datetime.now(UTC), dice)
        told(_line(event))
        for upload, content in contents(plan, event, stock):
            time.sleep(max(0.0, (upload.arrived - datetime.now(UTC)).total_seconds()))
            _send_surely(server, event.moment.camera, upload.path, content)
        time.sleep(dice.uniform(*pause_s))


def plan_of(root: Path) -> DemoPlan:
    """Return the plan that the tree at `root` was made by; raises UploadTreeError."""
    try:
        facts = json.loads(pq.read_schema(truth_path(root)).metadata[b"pano_demo"])
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise UploadTreeError(
            f"expected a tree that `pano demo` made at {root}, with its truth beside it; "
            f"{error!r}. Make one: pano demo {root}"
        ) from error
    end = datetime.fromisoformat(facts["end"]).astimezone(ZoneInfo(facts["zone"]))
    return make_plan(seed=facts["seed"], end=end, days=facts["days"], cameras=len(facts["cameras"]))


def again(plan: DemoPlan, root: Path, now: datetime, dice: random.Random) -> tuple[Event, Path]:
    """Return an event that begins at `now` (aware), and the clip that is its stock.

    One in the light of `now` where the plan has any; cameras that fell silent stay so.
    """
    able = [(event, path) for event in plan.events if (path := _stock(event, root)) is not None]
    if not able:
        raise UploadTreeError(f"expected clips of the demonstration in {root}; none is left.")
    light = replace(plan, end=now.astimezone(plan.zone)).look_of(_moved(able[0][0], now)).light
    alike = [one for one in able if plan.look_of(one[0]).light == light]
    camera = dice.choice(sorted({event.moment.camera for event, _ in alike or able}))
    event, path = dice.choice([one for one in alike or able if one[0].moment.camera == camera])
    return _recorded(plan, event, now), path


def _stock(event: Event, root: Path) -> Path | None:
    """Return where the whole clip of `event` lies; None where it has none, or nobody is there."""
    if camera_named(event.moment.camera).goes_silent or event.moment.what == "nothing":
        return None
    whole = [upload for upload in event.uploads if upload.kind == "clip" and not upload.fault]
    found = root / whole[0].path if whole else None
    return found if found is not None and found.is_file() else None


def _moved(event: Event, now: datetime) -> Event:
    at = now + timedelta(seconds=LEAD_S)
    return replace(event, moment=replace(event.moment, at=at, kind=INCIDENT), start=now)


def _recorded(plan: DemoPlan, event: Event, now: datetime) -> Event:
    """Return `event` as its camera records it if it begins at `now`."""
    never = datetime.max.replace(tzinfo=UTC)
    return habits.record(
        [_moved(event, now).moment],
        lambda *_: event.act,
        seed=plan.seed,
        zone=plan.zone,
        end=never,
        silent_from=never,
        # As long as the stock, whatever the act.
        longest_s=event.length_s,
    )[0]


def contents(plan: DemoPlan, event: Event, stock: Path) -> Iterator[tuple[DemoUpload, bytes]]:
    """Yield the uploads of `event` in their order, each with its bytes."""
    suffix = camera_named(event.moment.camera).clip_suffix
    for upload in event.uploads:
        if upload.kind == "snapshot":
            yield upload, snapshot_of(plan, event, upload)
        else:
            yield upload, clip.at_clock(stock.read_bytes(), suffix, upload.wall_start)


def _line(event: Event) -> str:
    uploads = many(len(event.uploads), "upload")
    return f"{event.moment.camera}: {event.moment.story} {uploads}"


# --- FTP, as cameras speak it -----------------------------------------------------------


def _send_surely(server: DemoServer, camera: str, path: str, content: bytes) -> None:
    """Upload, again where it fails: a camera has a few tries in it, too."""
    for _ in range(_MOST_TRIES):
        try:
            send(server, camera, path, content)
            return
        except (*ftplib.all_errors,) as error:
            log.warning("%s: the upload failed (%s); once more", camera, error)
            time.sleep(_AGAIN_S)


def send(server: DemoServer, camera: str, path: str, content: bytes) -> None:
    """Log in as `camera` and upload `content` to `path` (from the upload root), then log out.

    As Amcrest firmware does: folder by folder, `ALLO`, `STOR` under a name that
    ends in `_`, then the rename. Raises what `ftplib` raises.
    """
    inside = PurePosixPath(path).relative_to(camera)
    with ftplib.FTP(timeout=_PATIENCE_S) as line:
        line.connect(server.host, server.port)
        line.login(camera, server.passwords[camera])
        for folder in inside.parent.parts:
            with suppress(ftplib.error_perm):  # it is there already
                line.mkd(folder)
            line.cwd(folder)
        line.sendcmd(f"ALLO {len(content)}")
        unfinished = f"{inside.name}_"
        line.storbinary(f"STOR {unfinished}", _Slowly(content), blocksize=_CHUNK)
        line.rename(unfinished, inside.name)


class _Slowly(io.BytesIO):
    """Bytes that come no faster than a camera's wifi is."""

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        time.sleep(len(data) / _BYTES_PER_S)
        return data


def everyone(password: str) -> dict[str, str]:
    """Return `password` for each camera of the demonstration."""
    return {camera.name: password for camera in CAMERAS}
