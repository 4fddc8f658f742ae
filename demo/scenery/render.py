"""Render plates and motions to EXR: `python render.py OUT plates SCENE LIGHT... 
| motions SCENE LIGHT [FILE...] | headlights SCENE`.

Environment: BODY_DATA (see people.py), WIDTH (1280), SPP (32), MOTION_SPP (10), SKIES (a folder
that keeps the baked skies).
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import bpy
import car
import kit
import numpy as np
import scenes
import scenes_table

WIDTH = int(os.environ.get("WIDTH", "1280"))
HEIGHT = WIDTH * 9 // 16
SPP = int(os.environ.get("SPP", "32"))
MOTION_SPP = int(os.environ.get("MOTION_SPP", "10"))
SKIES = Path(os.environ.get("SKIES", "skies")).resolve()
SHADOW_REACH = {"morning": 2.0, "noon": 0.75, "afternoon": 3.2, "overcast": 0.3, "dusk": 0.3, "night_ir": 0.9}


def stage(name, light, samples, shade=False):
    """Build a scene in a light, camera mounted."""
    kit.MODE.infrared = light == "night_ir"
    scene = kit.reset(samples, WIDTH, HEIGHT)
    # Two real bounces, then ambient light: outdoors nobody can tell, and it halves the time.
    scene.cycles.use_fast_gi = not kit.MODE.infrared and name != "garage"
    scene.cycles.ao_bounces = scene.cycles.ao_bounces_render = 1
    scene.world = bpy.data.worlds.new("fast") if scene.world is None else scene.world
    if kit.MODE.infrared:
        scene.cycles.max_bounces = scene.cycles.diffuse_bounces = 1
    view = scenes.BUILD[name](light, np.random.default_rng(sum(name.encode())))
    kit.camera(view.at, view.look, WIDTH, HEIGHT)
    kit.light_world(light, view.north, SKIES, shade)
    if view.indoor and not kit.MODE.infrared:
        scene.cycles.diffuse_bounces = scene.cycles.max_bounces = 6
    if kit.MODE.infrared:
        kit.illuminator(view.ir_watts)
    return view


def shoot(path):
    scene = bpy.context.scene
    scene.render.filepath = str(path)
    start = time.time()
    bpy.ops.render.render(write_still=True)
    print(f"SHOT {path} {time.time() - start:.1f}s", flush=True)


BY_DAY = ("overcast", "noon", "morning", "afternoon")


def plates(out, name, lights):
    """Render the empty scene; the daylights share one build and only change the sky."""
    built = None
    for light in lights:
        base = light.removesuffix("_shade")
        if built is not None and base in BY_DAY:
            relight(base, built, light.endswith("_shade"))
        else:
            view = stage(name, base, SPP, light.endswith("_shade"))
            built = view if base in BY_DAY else None
        shoot(out / f"{name}_{light}.exr")


def relight(light, view, shade):
    for obj in [o for o in bpy.data.objects if o.name.startswith("sun")]:
        bpy.data.objects.remove(obj)
    kit.light_world(light, view.north, SKIES, shade)


def window_of(points, light, sun):
    """The picture box (even numbers) that holds an actor and the shadow it throws."""
    reach = SHADOW_REACH[light]
    thrown = points.copy()
    thrown[:, 2] = np.minimum(thrown[:, 2], 0.02)
    if sun is not None:
        away = -np.array(sun[:2]) / max(sun[2], 0.15)
        lifted = points[:, :2] + away * np.maximum(points[:, 2:3], 0)
        limit = points[:, :2] + np.clip(lifted - points[:, :2], -3.2, 3.2)
        thrown[:, :2] = limit
    elif light == "night_ir":
        cam = np.array(bpy.context.scene.camera.location)
        ray = points - cam
        t = np.minimum(cam[2] / np.maximum(cam[2] - points[:, 2:3], 0.15), 1.5)
        thrown = cam + ray * t
    pad = np.array([(dx, dy, 0) for dx in (-0.1, 0.1) for dy in (-0.1, 0.1)]) * reach * 2
    every = np.concatenate([points, thrown, points.mean(0) * (1, 1, 0) + pad])
    px = kit.project(every, WIDTH, HEIGHT)
    px = px[np.isfinite(px).all(1)]
    x0, y0 = np.clip(px.min(0) - 12, 0, (WIDTH, HEIGHT))
    x1, y1 = np.clip(px.max(0) + 12, 0, (WIDTH, HEIGHT))
    even = [int(x0) // 2 * 2, int(y0) // 2 * 2, -(-int(x1) // 2) * 2, -(-int(y1) // 2) * 2]
    return even


def border(box):
    render = bpy.context.scene.render
    render.use_border = render.use_crop_to_border = box is not None
    if box is None:
        return
    x0, y0, x1, y1 = box
    render.border_min_x, render.border_max_x = x0 / WIDTH, x1 / WIDTH
    render.border_min_y, render.border_max_y = 1 - y1 / HEIGHT, 1 - y0 / HEIGHT


def sun_direction():
    lamp = bpy.data.objects.get("sun")
    return None if lamp is None else lamp.matrix_world.to_3x3() @ kit.Vector((0, 0, 1))


def lay_bare(name):
    """Take away leaves and grass: they cost most of the time and an actor hardly needs them."""
    for obj in list(bpy.data.objects):
        if obj.pass_index == kit.FOLIAGE or obj.name.startswith("grass"):
            bpy.data.objects.remove(obj)


def motions(out, name, light, only=()):
    stage(name, light, MOTION_SPP)
    lay_bare(name)
    bare = out / f"{name}_{light}_bare.exr"
    if not bare.exists():
        shoot(bare)
    bpy.context.view_layer.update()
    sun = sun_direction()
    night = light == "night_ir"
    for play in scenes_table.PLAYS[name]:
        if not (play.by_night if night else play.by_day) or (only and play.file not in only):
            continue
        actor = scenes.Actor(play)
        folder = out / f"{name}_{play.file}_{light}"
        folder.mkdir(parents=True, exist_ok=True)
        boxes = []
        for i in range(actor.count):
            points = actor.set(i)
            box = window_of(points, light, sun)
            if box[2] - box[0] < 8 or box[3] - box[1] < 8:
                continue
            border(box)
            shoot(folder / f"{len(boxes):03d}.exr")
            boxes.append(box)
        (folder / "boxes.json").write_text(json.dumps({"boxes": boxes, "size": [WIDTH, HEIGHT]}))
        actor.hide(True)
        border(None)


def headlights(out, name):
    """A car's beams swinging through the view, alone in the dark: light to be added."""
    stage(name, "night_ir", 8)
    bpy.data.objects.remove(bpy.data.objects["ir"])
    bpy.context.scene.world.node_tree.nodes["Background"].inputs[1].default_value = 0.0
    visitor = car.Car(car.GREY, 0.0, beams=900.0)
    points, headings, _ = scenes.along(scenes_table.BEAMS[name], 6)
    for i, ((x, y), heading) in enumerate(zip(points, headings, strict=True)):
        visitor.place(x, y, heading, z=-0.1)
        visitor.hide(True)
        for obj in visitor.root.children:
            obj.hide_render = obj.type != "LIGHT"
        shoot(out / f"{name}_headlights_{i}.exr")


def main(argv):
    SKIES.mkdir(parents=True, exist_ok=True)
    for light in kit.LIGHTS:
        path = SKIES / f"sky_{light}.exr"
        if light != "night_ir" and not path.exists():
            kit.bake_sky(light, path)
    out, deed, name, *rest = argv
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    if deed == "plates":
        plates(out, name, rest)
    elif deed == "headlights":
        headlights(out, name)
    else:
        motions(out, name, rest[0], rest[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
