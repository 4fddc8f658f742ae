"""The cost of `inspection`, compared with a bare loop over the same files, on one core.

Snapshots: the bare loop reads, hashes, drafts, loads, thumbnails and saves the JPEG.
Clips: the bare loop reads, hashes and decodes the key frames with PyAV; a second one
also makes their thumbnails. Rounds alternate, and the result is the median of their
ratios. Only processor time counts, so that a busy machine changes little.

    python benchmarks/inspect_speed.py [--snapshots 24] [--clips 4] [--rounds 7]
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from statistics import median

import av
import numpy as np
from PIL import Image, ImageFilter

from pano_analytics.formats import dhav
from pano_analytics.inspection import STRIP_THUMBNAIL_WIDTH, THUMBNAIL_WIDTH, inspect_file

CLOCK = datetime(2026, 5, 17, 6, 30, 15)
SIZE = (1920, 1080)


def scene(seed: int) -> Image.Image:
    """Return a 1080p picture with detail at all scales and a sensor's noise."""
    rng = np.random.default_rng(seed)
    light = np.zeros((SIZE[1], SIZE[0], 3), np.float32)
    for shrink, strength in ((240, 60), (60, 30), (12, 18), (3, 10)):
        shape = (SIZE[1] // shrink + 2, SIZE[0] // shrink + 2, 3)
        grain = Image.fromarray(rng.integers(0, 255, shape, dtype=np.uint8))
        light += (np.asarray(grain.resize(SIZE, Image.Resampling.BICUBIC)) / 127.5 - 1) * strength
    light += 110 + rng.normal(0, 3, light.shape)
    return Image.fromarray(light.clip(0, 255).astype(np.uint8))


def make_snapshots(folder: Path, count: int) -> list[Path]:
    """Write snapshots as an Amcrest camera uploads them, about 300 KB each."""
    paths = [folder / f"{number:03}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        buffer = BytesIO()
        scene(number).save(buffer, "JPEG", quality=72)
        path.write_bytes(dhav.camera_jpeg(buffer.getvalue(), CLOCK))
    return paths


def make_clips(folder: Path, count: int, seconds: int = 16, fps: int = 10) -> list[Path]:
    """Write clips of 1080p with a key frame every 2 s, as `.dav`."""
    paths = [folder / f"{number:03}.dav" for number in range(count)]
    for number, path in enumerate(paths):
        encoder = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height, encoder.pix_fmt = *SIZE, "yuv420p"
        encoder.time_base, encoder.framerate = Fraction(1, fps), fps
        encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(2 * fps)}
        still = np.asarray(scene(number).filter(ImageFilter.GaussianBlur(1)))
        units = []
        for index in range(seconds * fps):
            frame = av.VideoFrame.from_ndarray(np.roll(still, index, 1), "rgb24")
            frame.pts = index
            units += [(bytes(unit), unit.is_keyframe) for unit in encoder.encode(frame)]
        path.write_bytes(
            dhav.video_clip(units, start=CLOCK, fps=fps, width=SIZE[0], height=SIZE[1])
        )
    return paths


def bare_snapshot(path: Path) -> None:
    """Read, hash, draft, load, thumbnail and save one snapshot."""
    data = path.read_bytes()
    hashlib.sha256(data).hexdigest()
    target = (THUMBNAIL_WIDTH, THUMBNAIL_WIDTH * SIZE[1] // SIZE[0])
    with Image.open(BytesIO(data)) as image:
        image.draft("RGB", target)
        image.load()
        image.thumbnail(target)
        image.save(BytesIO(), "JPEG")


def bare_clip(path: Path, has_thumbnails: bool) -> None:
    """Read, hash and decode the key frames of one clip; make their thumbnails if asked."""
    data = path.read_bytes()
    hashlib.sha256(data).hexdigest()
    width, height = STRIP_THUMBNAIL_WIDTH, STRIP_THUMBNAIL_WIDTH * SIZE[1] // SIZE[0]
    with av.open(BytesIO(data)) as container:
        stream = container.streams.video[0]
        stream.codec_context.skip_frame = "NONKEY"
        stream.codec_context.thread_count = 1
        for picture in container.decode(stream):
            if has_thumbnails:
                picture.to_image(width=width, height=height).save(BytesIO(), "JPEG")


def seconds(work: Callable[[Path], object], paths: list[Path]) -> float:
    """Return the processor time for all `paths`, in seconds."""
    start = time.process_time()
    for path in paths:
        work(path)
    return time.process_time() - start


def compare(
    name: str,
    ours: Callable[[Path], object],
    bare: Callable[[Path], object],
    paths: list[Path],
    rounds: int,
) -> None:
    """Print the median ratio of alternating rounds, and the time per file."""
    seconds(ours, paths[:1])
    seconds(bare, paths[:1])
    pairs = [(seconds(ours, paths), seconds(bare, paths)) for _ in range(rounds)]
    ratio = median(mine / other for mine, other in pairs)
    mine, other = (median(column) / len(paths) * 1e3 for column in zip(*pairs, strict=True))
    print(f"| {name} | {mine:.2f} ms | {other:.2f} ms | {ratio:.2f} |")


def main() -> None:
    """Make the files, compare, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--snapshots", type=int, default=24)
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        snapshots = make_snapshots(Path(folder), options.snapshots)
        clips = make_clips(Path(folder), options.clips)
        sizes = [
            sum(p.stat().st_size for p in paths) / len(paths) / 1e3 for paths in (snapshots, clips)
        ]
        print(f"snapshots of {sizes[0]:.0f} KB, clips of {sizes[1]:.0f} KB, all 1080p\n")
        print("| file | inspect | bare loop | ratio |\n|---|---|---|---|")
        compare(
            "snapshot",
            lambda p: inspect_file(p, "snapshot"),
            bare_snapshot,
            snapshots,
            options.rounds,
        )
        compare(
            "clip, against decoding alone",
            lambda p: inspect_file(p, "clip"),
            lambda p: bare_clip(p, False),
            clips,
            options.rounds,
        )
        compare(
            "clip, against decoding and thumbnails",
            lambda p: inspect_file(p, "clip"),
            lambda p: bare_clip(p, True),
            clips,
            options.rounds,
        )


if __name__ == "__main__":
    main()
