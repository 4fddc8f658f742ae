"""The smallest figure that the luminance grid detects at night, for grids of several sizes.

A night scene is drawn at 1080p with the noise of an infrared camera, stored as the JPEG
that a camera would upload, decoded as `inspection` decodes it, and reduced to each grid. A
grid is evaluated at every scale that it holds, single cells and blocks of cells. The
threshold is the value that no empty picture exceeds; a figure is detected if it exceeds
the threshold in nine of ten places. The model's noise over cells of several sizes is
printed with that of real clips, if they are available.

    python benchmarks/grid_sensitivity.py [--seed 1] [--places 40]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw, ImageFilter
from PIL.Image import Resampling

from pano_analytics.inspection import luminance_grid

WIDTH, HEIGHT = 1920, 1080
SIZES = ((16, 9), (32, 18), (48, 27), (64, 36), (96, 54))
HEIGHTS_PX = (16, 24, 32, 40, 50, 60, 80, 100, 130, 160, 200)
CONTRASTS = (12, 24)
EMPTY_PICTURES = 160
# As a multiple of the noise by day: with a good lamp, and in the dark with rain or gain.
NIGHTS = {"good night": 1.0, "bad night": 2.0}
# Blocks of (rows, columns) cells: a person stands, a car lies.
BLOCKS = ((1, 1), (2, 1), (2, 2), (3, 2), (4, 2), (6, 3), (2, 4))
# The least usual change of a cell: storing a mean loses half a level.
FINEST_LEVEL = 0.5
MEDIA = Path(__file__).resolve().parents[1].parent / "shared" / "media"
CELLS_PX = (12, 24, 48, 96, 192)
REAL_CLIPS = ("1591028951.mp4", "car-detection.mp4", "one-by-one-person-detection.mp4")
CONTENTS = ("mean", "mean + deviation")


@dataclass(frozen=True)
class Camera:
    """A night camera: its scene, and fields of noise for taking pictures."""

    scene: np.ndarray
    noise: tuple[np.ndarray, ...]
    rng: np.random.Generator

    def picture(self, figure: np.ndarray | float = 0.0) -> Image.Image:
        """Take one picture, decoded from the camera's JPEG at a quarter of its size."""
        noise = self.noise[self.rng.integers(len(self.noise))]
        noise = np.roll(noise, self.rng.integers(0, 1000, 2), (0, 1))
        gain = self.rng.normal(1, 0.01)
        light = np.clip((self.scene + figure) * gain + noise, 0, 255).astype(np.uint8)
        buffer = BytesIO()
        Image.fromarray(light).save(buffer, "JPEG", quality=60)
        reduced = Image.open(buffer)
        reduced.draft("L", (480, 270))
        reduced.load()
        return reduced


def night_camera(seed: int, night: float) -> Camera:
    """Return a yard lit by the camera's own infrared lamp: bright in the middle, textured."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    distance = np.hypot((columns - WIDTH / 2) / WIDTH, (rows - HEIGHT * 0.6) / HEIGHT)
    lamp = 25 + 75 * np.exp(-((distance / 0.45) ** 2))
    texture = field(rng, 6) * 8
    noise = tuple(sensor_noise(rng, night) for _ in range(8))
    return Camera((lamp + texture).astype(np.float32), noise, rng)


def sensor_noise(rng: np.random.Generator, night: float) -> np.ndarray:
    """Return noise that is blotchy at all scales, like that of compressed video.

    Real clips have 1.0 level of it over cells of 24 px (at 1080p), 0.75 over 48 px, 0.5
    over 96 px and 0.45 over 192 px by day; a night has so many times as much, and grain.
    """
    return field(rng, 1.2) * 3.5 + night * (field(rng, 12) * 1.2 + field(rng, 120) * 0.45)


def field(rng: np.random.Generator, radius_px: float) -> np.ndarray:
    """Return a random field of unit deviation that varies over about `radius_px` pixels."""
    shrink = max(1, int(radius_px / 2))
    # Larger than the picture, which is cut from it, so that the corners are like the middle.
    rows, columns = HEIGHT // shrink + 8, WIDTH // shrink + 8
    grain = rng.normal(128, 40, (rows, columns)).clip(0, 255).astype(np.uint8)
    smooth = Image.fromarray(grain).filter(ImageFilter.GaussianBlur(radius_px / shrink))
    values = np.asarray(smooth, np.float32)
    values = (values - values.mean()) / values.std()
    whole = Image.fromarray(values).resize((WIDTH, HEIGHT), Resampling.BICUBIC)
    return np.asarray(whole, np.float32)


def figure(camera: Camera, height_px: int, contrast: int) -> np.ndarray:
    """Return a standing person, brighter or darker than the yard, anywhere in the picture."""
    width_px = max(4, round(height_px * 0.36))
    left = int(camera.rng.integers(0, WIDTH - width_px))
    top = int(camera.rng.integers(HEIGHT // 6, HEIGHT - height_px))
    mask = Image.new("L", (WIDTH, HEIGHT))
    draw = ImageDraw.Draw(mask)
    head = height_px * 0.15
    middle = left + width_px / 2
    draw.ellipse((middle - head / 2, top, middle + head / 2, top + head), 255)
    draw.rounded_rectangle(
        (left, top + head, left + width_px, top + height_px * 0.6), width_px * 0.3, 255
    )
    draw.rectangle(
        (left + width_px * 0.2, top + height_px * 0.6, left + width_px * 0.8, top + height_px), 255
    )
    sign = camera.rng.choice((-1, 1))
    return np.asarray(mask, np.float32) / 255 * contrast * sign


def planes(picture: Image.Image, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the planes that `inspection` would keep with cells of this size."""
    mean, deviation = luminance_grid(picture, size[1], size[0])
    return np.asarray(mean, np.float32), np.asarray(deviation, np.float32)


def pooled(change: np.ndarray, block: tuple[int, int]) -> np.ndarray:
    """Return the mean change of every block of (rows, columns) cells."""
    rows, columns = block
    total = np.pad(change, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    sums = (
        total[rows:, columns:]
        - total[:-rows, columns:]
        - total[rows:, :-columns]
        + total[:-rows, :-columns]
    )
    return sums / (rows * columns)


class Detector:
    """The change of a grid from empty pictures, in units of its usual change."""

    def __init__(self, empty: list[np.ndarray], is_mean: bool) -> None:
        stack = np.stack(empty)
        self.usual, self.is_mean = np.median(stack, 0), is_mean
        self.blocks = [b for b in BLOCKS if b[0] < stack.shape[1] and b[1] < stack.shape[2]]
        changes = [self.change(grid) for grid in empty]
        self.spreads = [
            self._spread([pooled(c, block) for c in changes], block) for block in self.blocks
        ]

    def _spread(self, changes: list[np.ndarray], block: tuple[int, int]) -> np.ndarray:
        finest = FINEST_LEVEL / (block[0] * block[1]) ** 0.5
        return np.maximum(1.4826 * np.median(np.abs(np.stack(changes)), 0), finest)

    def change(self, grid: np.ndarray) -> np.ndarray:
        """Return each cell's change, without the common change of exposure."""
        gain = np.median((grid + 1) / (self.usual + 1)) if self.is_mean else 1.0
        change: np.ndarray = grid - self.usual * gain
        return change - np.median(change)

    def scores(self, grid: np.ndarray) -> np.ndarray:
        """Return, for each size of block, the largest deviation in units of the usual one."""
        change = self.change(grid)
        return np.array(
            [
                (np.abs(pooled(change, block)) / spread).max()
                for block, spread in zip(self.blocks, self.spreads, strict=True)
            ]
        )


@dataclass(frozen=True)
class Judge:
    """Two detectors and the thresholds that no empty picture exceeds."""

    mean: Detector
    deviation: Detector
    limits_mean: np.ndarray
    limits_deviation: np.ndarray

    def sees(self, grids: tuple[np.ndarray, np.ndarray], content: str) -> bool:
        """Return whether a picture is detected as different, for each stored content."""
        by_mean = bool((self.mean.scores(grids[0]) > self.limits_mean).any())
        if content == "mean" or by_mean:
            return by_mean
        return bool((self.deviation.scores(grids[1]) > self.limits_deviation).any())


def judge(camera: Camera) -> dict[tuple[int, int], Judge]:
    """Return a detector for each size: half of the pictures to learn, half for thresholds."""
    pictures = [camera.picture() for _ in range(EMPTY_PICTURES)]
    judges = {}
    for size in SIZES:
        grids = [planes(picture, size) for picture in pictures]
        learn, test = grids[: EMPTY_PICTURES // 2], grids[EMPTY_PICTURES // 2 :]
        mean, deviation = (Detector([g[plane] for g in learn], plane == 0) for plane in (0, 1))
        limits = [
            np.max([detector.scores(grid[plane]) for grid in test], 0)
            for plane, detector in ((0, mean), (1, deviation))
        ]
        judges[size] = Judge(mean, deviation, *limits)
    return judges


def shares_seen(camera: Camera, places: int) -> dict[tuple[tuple[int, int], str, int, int], float]:
    """Return the share of places with a detection: by size, content, contrast, height."""
    judges = judge(camera)
    seen: dict[tuple[tuple[int, int], str, int, int], float] = {}
    for contrast in CONTRASTS:
        for height_px in HEIGHTS_PX:
            pictures = [camera.picture(figure(camera, height_px, contrast)) for _ in range(places)]
            for size in SIZES:
                grids = [planes(picture, size) for picture in pictures]
                for content in CONTENTS:
                    hits = [judges[size].sees(grid, content) for grid in grids]
                    seen[size, content, contrast, height_px] = sum(hits) / places
    return seen


def smallest_seen(
    seen: dict[tuple[tuple[int, int], str, int, int], float],
    size: tuple[int, int],
    content: str,
    contrast: int,
) -> str:
    """Return the height from which a figure is detected in nine of ten places."""
    smallest = None
    for height_px in reversed(HEIGHTS_PX):
        if seen[size, content, contrast, height_px] < 0.9:
            break
        smallest = height_px
    return f"{smallest} px" if smallest else f"> {HEIGHTS_PX[-1]} px"


def stored_bytes(camera: Camera, size: tuple[int, int], content: str) -> tuple[int, float]:
    """Return bytes per frame, and bytes per frame in a column compressed with zstd."""
    kept = 1 if content == "mean" else 2
    grids = [
        b"".join(plane.astype(np.uint8).tobytes() for plane in planes(picture, size)[:kept])
        for picture in (camera.picture() for _ in range(40))
    ]
    return len(grids[0]), len(pa.compress(b"".join(grids), codec="zstd")) / len(grids)


def cell_noise(pictures: list[np.ndarray]) -> list[float]:
    """Return a robust estimate of the noise of means over cells of CELLS_PX, in levels."""
    stack = np.stack(pictures).astype(np.float32)
    change = np.diff(stack, axis=0)
    change -= np.median(change, axis=(1, 2), keepdims=True)
    noise = []
    for cell_px in CELLS_PX:
        side = max(1, round(cell_px * stack.shape[2] / WIDTH))
        high, wide = (length // side * side for length in change.shape[1:])
        cells = change[:, :high, :wide].reshape(len(change), high // side, side, -1, side)
        noise.append(float(1.4826 * np.median(np.abs(cells.mean((2, 4)))) / 2**0.5))
    return noise


def real_pictures(name: str) -> list[np.ndarray]:
    """Return the brightness of a real clip's key frames, none if it is not available."""
    import av

    if not (MEDIA / name).exists():
        return []
    with av.open(str(MEDIA / name)) as container:
        stream = container.streams.video[0]
        stream.codec_context.skip_frame = "NONKEY"
        return [frame.to_ndarray(format="gray") for frame in container.decode(stream)][1:12]


def print_noise(cameras: dict[str, Camera]) -> None:
    """Print the noise over cells of several sizes, of the model and of real clips."""
    rows = {
        night: [np.asarray(camera.picture()) for _ in range(12)]
        for night, camera in cameras.items()
    }
    rows |= {name: real_pictures(name) for name in REAL_CLIPS}
    print("\n| noise of the mean over cells of | " + " | ".join(f"{c} px" for c in CELLS_PX) + " |")
    print("|---|" + "---|" * len(CELLS_PX))
    for name, pictures in rows.items():
        if pictures:
            print(f"| {name} | " + " | ".join(f"{n:.2f}" for n in cell_noise(pictures)) + " |")


def print_curve(cameras: dict[str, Camera], places: int) -> None:
    """Print the smallest detected figure, by grid, content, night and contrast."""
    seen = {night: shares_seen(camera, places) for night, camera in cameras.items()}
    columns = [(night, contrast) for night in cameras for contrast in CONTRASTS]
    heads = " | ".join(f"{night}, {contrast} levels" for night, contrast in columns)
    print(f"| grid | content | {heads} | bytes | zstd |")
    print("|---|---|" + "---|" * (len(columns) + 2))
    for size in SIZES:
        for content in CONTENTS:
            raw, packed = stored_bytes(next(iter(cameras.values())), size, content)
            cells = " | ".join(smallest_seen(seen[n], size, content, c) for n, c in columns)
            print(f"| {size[0]}x{size[1]} | {content} | {cells} | {raw} | {packed:.0f} |")


def main() -> None:
    """Print the curve and the noise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--places", type=int, default=40)
    options = parser.parse_args()
    cameras = {night: night_camera(options.seed, noise) for night, noise in NIGHTS.items()}
    print_curve(cameras, options.places)
    print_noise(cameras)


if __name__ == "__main__":
    main()
