"""Turn renders into the assets: `python pack.py RENDERS ASSETS`.

A motion's matte is found by comparing each frame with the empty plate under the same
exposure: whatever differs (the actor, its shadow, its reflection in a car) belongs to it,
so occlusion is correct automatically. The object index adds the actor's own pixels.
"""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import scenes_table
from develop import Exposure, develop, read, settle
from PIL import Image, ImageFilter

LIGHTS = ("morning", "noon", "afternoon", "overcast", "dusk", "night_ir")
FOLIAGE_INDEX = 2
WIDTH = 1280


def save(picture, path, quality=86):
    Image.fromarray(picture).save(path, quality=quality, method=6)


def pack_plates(renders: Path, assets: Path, name: str) -> dict[str, Exposure]:
    """Write plates, cloud plates and the foliage mask; returns each light's exposure."""
    exposures = {}
    for light in LIGHTS:
        path = renders / f"{name}_{light}.exr"
        if not path.exists():
            continue
        rgb, index = read(path)
        exposures[light] = settle(rgb, light)
        save(develop(rgb, exposures[light]), assets / f"{name}_{light}.webp")
        shade = renders / f"{name}_{light}_shade.exr"
        if shade.exists():
            save(develop(read(shade)[0], exposures[light]), assets / f"{name}_{light}_shade.webp", 80)
        if light == "noon":
            pack_foliage(index, assets / f"{name}_foliage.png")
    return exposures


def pack_foliage(index, path):
    loose = Image.fromarray(np.where(np.rint(index) == FOLIAGE_INDEX, 255, 0).astype(np.uint8))
    loose = loose.filter(ImageFilter.MedianFilter(5)).filter(ImageFilter.GaussianBlur(3))
    if np.asarray(loose).max() > 60:
        loose.resize((480, 270), Image.Resampling.BOX).save(path, optimize=True)


def transplant(frame, bare, true, index):
    """Move an actor from the bare scene it was rendered in to the true one.

    Round the actor only a ratio counts: how much its shadow dims the bare ground there.
    """
    actor = Image.fromarray(np.where(np.rint(index) == 1, 255, 0).astype(np.uint8))
    share = np.asarray(actor.filter(ImageFilter.GaussianBlur(0.7)), np.float32)[..., None] / 255
    smooth = [box_blur(x) for x in (frame, bare)]
    floor = 0.02 * float(bare.mean()) + 1e-6
    ratio = np.clip((smooth[0] + floor) / (smooth[1] + floor), 0.02, 1.6)
    return frame * share + true * ratio * (1 - share)


def placed(rgb, bare, x0, y0):
    """Where a frame really lies: Blender may round a border by a pixel either way."""
    h, w = rgb.shape[:2]

    def miss(shift):
        y, x = y0 + shift[0], x0 + shift[1]
        if y < 0 or x < 0 or y + h > bare.shape[0] or x + w > bare.shape[1]:
            return np.inf
        gap = np.abs(rgb - bare[y : y + h, x : x + w])
        return float(np.minimum(gap, np.median(gap) * 4 + 1e-9).mean())

    dy, dx = min(((dy, dx) for dy in (0, -1, 1) for dx in (0, -1, 1)), key=miss)
    return np.s_[y0 + dy : y0 + dy + h, x0 + dx : x0 + dx + w]


def fitted(rgb, shape):
    """A linear picture brought to another's size."""
    if rgb.shape == shape:
        return rgb
    size = (shape[1], shape[0])
    return np.stack([np.asarray(Image.fromarray(np.ascontiguousarray(rgb[..., k])).resize(
        size, Image.Resampling.BOX if size[0] < rgb.shape[1] else Image.Resampling.BILINEAR))
        for k in range(3)], -1)


def box_blur(x):
    """Mean of 3 by 3 of a float picture."""
    p = np.pad(x, ((1, 1), (1, 1), (0, 0)), mode="edge")
    rows = p[:-2] + p[1:-1] + p[2:]
    return (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9


def matte(frame, plate, index):
    """uint8 alpha (h, w): what differs from the empty plate, softened."""
    near = [np.asarray(Image.fromarray(p).filter(ImageFilter.GaussianBlur(1.6)), np.float32) for p in (frame, plate)]
    gap = np.abs(near[0] - near[1]).max(-1)
    core = np.clip((gap - 7) / 9, 0, 1)
    solid = Image.fromarray((core * 255).astype(np.uint8))
    solid = solid.filter(ImageFilter.MedianFilter(5)).filter(ImageFilter.MaxFilter(5))
    actor = Image.fromarray(np.where(np.rint(index) == 1, 255, 0).astype(np.uint8)).filter(ImageFilter.MaxFilter(3))
    both = Image.fromarray(np.maximum(np.asarray(solid), np.asarray(actor)))
    alpha = np.asarray(both.filter(ImageFilter.GaussianBlur(1.8)), np.float32)
    return edged(np.clip(alpha * 1.15, 0, 255)).astype(np.uint8)


def edged(alpha):
    """Fade to nothing at the crop's own rim, where a shadow may be cut off."""
    h, w = alpha.shape
    y, x = np.minimum(np.arange(h), np.arange(h)[::-1]), np.minimum(np.arange(w), np.arange(w)[::-1])
    return alpha * np.clip(np.minimum(y[:, None], x[None]) / 6, 0, 1)


def pack_motion(folder: Path, play, plate, exposure, assets, name, light):
    """One mp4: colours above, matte below; returns its entry for the scene's table."""
    about = json.loads((folder / "boxes.json").read_text())
    true, bare = plate
    shown = develop(true, exposure)
    frames, boxes = [], []
    for i, (x0, y0, _, _) in enumerate(about["boxes"]):
        rgb, index = read(folder / f"{i:03d}.exr")
        there = placed(rgb, bare, x0, y0)
        seen, alpha = shown.copy(), np.zeros(shown.shape[:2], np.uint8)
        seen[there] = develop(transplant(rgb, bare[there], true[there], index), exposure)
        alpha[there] = matte(seen[there], shown[there], index)
        seen, alpha, box = trimmed(*full_size(seen, alpha))
        if seen is not None:
            frames.append((seen, alpha))
            boxes.append(box)
    if not frames:
        return None
    file = f"{name}_{play.file}_{light}.mp4"
    write_video(frames, assets / file, play.fps)
    return {"name": play.name, "what": play.what, "label": play.label, "light": light,
            "fps": play.fps, "file": file, "boxes": boxes}


def full_size(seen, alpha):
    """Bring a whole picture to the grid that the loader knows."""
    if seen.shape[1] == WIDTH:
        return seen, alpha
    size = (WIDTH, WIDTH * 9 // 16)
    return (np.asarray(Image.fromarray(seen).resize(size, Image.Resampling.LANCZOS)),
            np.asarray(Image.fromarray(alpha).resize(size, Image.Resampling.BILINEAR)))


def trimmed(seen, alpha):
    """Cut to what the matte shows; the box is x, y, width, height on even numbers."""
    ys, xs = np.nonzero(alpha > 20)
    if len(ys) < 40:
        return None, None, None
    h, w = alpha.shape
    y0, x0 = max(0, ys.min() - 6) // 2 * 2, max(0, xs.min() - 6) // 2 * 2
    y1, x1 = min(h, ys.max() + 8) // 2 * 2, min(w, xs.max() + 8) // 2 * 2
    return seen[y0:y1, x0:x1], alpha[y0:y1, x0:x1], [int(x0), int(y0), int(x1 - x0), int(y1 - y0)]


def calm(seen, alpha):
    """Blur what the matte hides: it costs bytes and is never seen."""
    soft = Image.fromarray(seen).filter(ImageFilter.GaussianBlur(12))
    keep = Image.fromarray(np.where(alpha > 0, 255, 0).astype(np.uint8)).filter(ImageFilter.MaxFilter(7))
    return np.asarray(Image.composite(Image.fromarray(seen), soft, keep))


def write_video(frames, path, fps):
    w = -(-max(f.shape[1] for f, _ in frames) // 16) * 16
    h = -(-max(f.shape[0] for f, _ in frames) // 16) * 16
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(100))
        stream.width, stream.height, stream.pix_fmt = w, h * 2, "yuv420p"
        stream.options = {"crf": "21", "preset": "slow", "threads": "1"}
        for seen, alpha in frames:
            canvas = np.zeros((h * 2, w, 3), np.uint8)
            canvas[: seen.shape[0], : seen.shape[1]] = calm(seen, alpha)
            canvas[: seen.shape[0], seen.shape[1] :] = seen[:, -1:].mean(0, keepdims=True).astype(np.uint8)
            canvas[h : h + alpha.shape[0], : alpha.shape[1]] = (16 + alpha * (223 / 255)).astype(np.uint8)[..., None]
            for packet in stream.encode(av.VideoFrame.from_ndarray(canvas, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def pack_overlays(renders, assets, name):
    """The sweep of headlights: grey, small and soft is enough for added light."""
    files = sorted(renders.glob(f"{name}_headlights_*.exr"))
    if len(files) < 2:
        return {}
    for i, path in enumerate(files):
        rgb, _ = read(path)
        grey = np.clip(rgb.mean(-1) * 0.9, 0, None)
        grey = (255 * np.clip(grey / (0.35 + grey), 0, 1) ** 0.7).astype(np.uint8)
        image = Image.fromarray(grey).convert("RGB").filter(ImageFilter.GaussianBlur(0.8))
        image.save(assets / f"{name}_headlights_{i}.webp", quality=75, method=6)
    return {"headlights": len(files)}


def pack(renders: Path, assets: Path, name: str):
    exposures = pack_plates(renders, assets, name)
    plays = {p.file: p for p in scenes_table.PLAYS[name]}
    entries = []
    for light, exposure in exposures.items():
        plate = None
        for file, play in plays.items():
            folder = renders / f"{name}_{file}_{light}"
            if not (folder / "boxes.json").exists():
                continue
            if plate is None:
                bare = read(renders / f"{name}_{light}_bare.exr")[0]
                plate = fitted(read(renders / f"{name}_{light}.exr")[0], bare.shape), bare
            entry = pack_motion(folder, play, plate, exposure, assets, name, light)
            if entry:
                entries.append(entry)
    about = {"title": scenes_table.TITLES[name], "lights": [x for x in LIGHTS if x in exposures],
             "shade": [x for x in LIGHTS if (assets / f"{name}_{x}_shade.webp").exists()],
             "foliage": (assets / f"{name}_foliage.png").exists(),
             "overlays": pack_overlays(renders, assets, name), "motions": entries}
    text = json.dumps(about, separators=(",", ":"), sort_keys=True)
    (assets / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    source, target, *names = sys.argv[1:]
    for scene in names or scenes_table.TITLES:
        pack(Path(source), Path(target), scene)
        print("packed", scene)
