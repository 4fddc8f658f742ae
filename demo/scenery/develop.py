"""From linear light to the camera's picture: exposure, tone, sharpening, the look of a small sensor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import OpenEXR
from PIL import Image, ImageFilter


def read(path: Path):
    """Return (rgb as float (h, w, 3), object index (h, w)) of a multilayer EXR."""
    with OpenEXR.File(str(path)) as file:
        parts = [p.channels for p in file.parts]
        channels = {k: np.asarray(c.pixels, np.float32) for part in parts for k, c in part.items()}
    rgb = next(v for k, v in channels.items() if "Combined" in k and v.ndim == 3)[..., :3] if any(
        "Combined" in k and v.ndim == 3 for k, v in channels.items()) else np.stack(
        [next(v for k, v in channels.items() if k.endswith(f"Combined.{c}")) for c in "RGB"], -1)
    index = next((v for k, v in channels.items() if "Index" in k), np.zeros(rgb.shape[:2], np.float32))
    return np.nan_to_num(rgb), index if index.ndim == 2 else index[..., 0]


@dataclass(frozen=True)
class Exposure:
    """The camera's exposure for a light; the same for plate and motions."""

    gain: float
    warmth: tuple = (1.0, 1.0, 1.0)
    mono: bool = False
    saturation: float = 1.1


AIM = {"morning": 0.16, "noon": 0.19, "afternoon": 0.15, "overcast": 0.165, "dusk": 0.085, "night_ir": 0.125}


def settle(rgb, light: str) -> Exposure:
    """Meter like a camera: mean of the middle, highlights given half a say."""
    lum = rgb @ np.array((0.25, 0.6, 0.15), np.float32)
    cap = np.percentile(lum, 97)
    mean = np.minimum(lum, cap).mean()
    gain = AIM[light] / max(float(mean), 1e-6)
    mono = light == "night_ir"
    if mono:
        return Exposure(gain, mono=True)
    grey = np.minimum(rgb, cap).reshape(-1, 3).mean(0)
    cast = (grey.mean() / grey) ** (0.25 if light in ("dusk", "afternoon") else 0.45)
    return Exposure(gain, tuple(float(c) for c in cast), saturation=1.1 if light != "dusk" else 0.8)


def tone(x):
    """A cheap camera's curve: gamma with a short shoulder and lifted contrast."""
    x = np.maximum(x, 0)
    shoulder = np.where(x < 0.5, x, 0.5 + (1 - np.exp(-(x - 0.5) / 0.55)) * 0.5)
    g = np.where(shoulder <= 0.0031308, 12.92 * shoulder, 1.055 * np.maximum(shoulder, 1e-8) ** (1 / 2.4) - 0.055)
    g = np.clip(g, 0, 1)
    return g + 0.06 * np.sin(2 * np.pi * (g - 0.5)) / np.pi * 1.0


def develop(rgb, e: Exposure):
    """uint8 (h, w, 3) as the camera's processor would show it."""
    x = rgb * e.gain
    if e.mono:
        x = np.repeat((x @ np.array((0.34, 0.33, 0.33), np.float32))[..., None], 3, -1)
    else:
        x = x * np.array(e.warmth, np.float32)
        lum = (x @ np.array((0.25, 0.6, 0.15), np.float32))[..., None]
        x = lum + (x - lum) * e.saturation
    y = Image.fromarray((np.clip(tone(x), 0, 1) * 255 + 0.5).astype(np.uint8))
    return np.asarray(y.filter(ImageFilter.UnsharpMask(1.4, 70, 2)))


if __name__ == "__main__":
    import sys
    rgb, _ = read(Path(sys.argv[1]))
    Image.fromarray(develop(rgb, settle(rgb, sys.argv[3]))).save(sys.argv[2])
