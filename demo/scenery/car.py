"""A hatchback: a lofted body, details drawn as elevations and projected, wheels that turn.

The car faces +x, its origin on the ground between the wheels, metres.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import bpy
import kit
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

LENGTH, WIDTH, HEIGHT = 4.25, 1.79, 1.47
AXLES, TYRE, TRACK = (-1.30, 1.32), 0.315, 0.76
PX = 420  # pixels per metre of the elevations


@dataclass(frozen=True)
class Paint:
    colour: tuple
    metal: float = 0.35
    infrared: float | None = None


SILVER = Paint((0.36, 0.37, 0.38), 0.6)
BLUE = Paint((0.012, 0.045, 0.16))
RED = Paint((0.28, 0.012, 0.012), 0.1)
WHITE = Paint((0.7, 0.7, 0.68), 0.0)
BLACK = Paint((0.008, 0.008, 0.01))
GREY = Paint((0.07, 0.075, 0.085), 0.5)


def hermite(x, knots):
    """Smooth (monotone-ish) curve through (x, y) knots."""
    k = np.array(knots, float)
    xs, ys = k[:, 0], k[:, 1]
    slope = np.gradient(ys, xs)
    i = np.clip(np.searchsorted(xs, x, "right") - 1, 0, len(xs) - 2)
    h = xs[i + 1] - xs[i]
    t = np.clip((x - xs[i]) / h, 0, 1)
    return ((2 * t**3 - 3 * t**2 + 1) * ys[i] + (t**3 - 2 * t**2 + t) * h * slope[i]
            + (3 * t**2 - 2 * t**3) * ys[i + 1] + (t**3 - t**2) * h * slope[i + 1])


# Elevation: roof and bonnet line, shoulder line, and the widths in plan.
TOP = [(-2.12, 0.62), (-2.09, 0.86), (-2.03, 1.0), (-1.93, 1.08), (-1.66, 1.30), (-1.35, 1.405), (-0.9, 1.455), (-0.3, 1.47),
       (0.15, 1.435), (0.45, 1.33), (0.8, 1.13), (1.08, 0.975), (1.4, 0.915), (1.75, 0.845), (1.98, 0.755), (2.08, 0.66), (2.12, 0.52)]
BELT = [(-2.12, 0.6), (-2.06, 0.8), (-1.9, 0.955), (-1.2, 0.945), (0.0, 0.915), (1.0, 0.885), (1.4, 0.84), (1.75, 0.78), (1.98, 0.70), (2.08, 0.62), (2.12, 0.5)]
PLAN = [(-2.12, 0.60), (-2.06, 0.74), (-1.9, 0.835), (-1.4, 0.885), (0.0, 0.895), (1.3, 0.885), (1.7, 0.86), (1.92, 0.80), (2.05, 0.70), (2.12, 0.56)]
ROOF_WIDTH = [(-2.12, 0.55), (-1.93, 0.68), (-1.66, 0.60), (-1.3, 0.565), (-0.3, 0.585), (0.15, 0.585), (0.5, 0.615), (1.0, 0.72), (1.4, 0.73), (1.75, 0.72), (2.0, 0.62), (2.12, 0.5)]


def sill(x):
    """The lower edge of the side: sill, wheel arches, bumpers' undersides."""
    low = np.where(x > 1.75, 0.2 + (x - 1.75) * 0.12, np.where(x < -1.75, 0.2 - (x + 1.75) * 0.25, 0.185))
    for axle in AXLES:
        d = np.clip(0.385**2 - (x - axle) ** 2, 0, None)
        low = np.maximum(low, np.where(d > 0, TYRE + np.sqrt(d) - 0.012, 0))
    return low


def body_mesh():
    xs = np.unique(np.concatenate([np.linspace(-2.12, 2.12, 150)]
                                  + [a + 0.386 * np.cos(np.linspace(0, math.pi, 40)) for a in AXLES]))
    top, belt, plan, roof, low = (hermite(xs, k) for k in (TOP, BELT, PLAN, ROOF_WIDTH, [(-9, 0), (9, 0)]))
    low = sill(xs)
    belt = np.minimum(belt, top - 0.02)
    cabin = np.clip((top - belt - 0.06) / 0.25, 0, 1)
    rows = []
    for i in range(len(xs)):
        bulge, z0, z1, zt = plan[i], low[i], belt[i], top[i]
        section = []
        mid = z0 + (z1 - z0) * 0.5
        for t in np.linspace(0, 1, 16):
            z = z0 + (z1 - z0) * t
            body = min(0.62, z1 - 0.05)
            crease = 0.012 * math.exp(-((z - 0.72) / 0.03) ** 2) * (1 if abs(xs[i]) < 1.7 else 0.3)
            inset = 0.055 * abs((z - body) / 0.45) ** 2.2 + crease * -0.6
            section.append((bulge - inset, z))
        y1 = section[-1][0]
        # From the shoulder inward to the foot of the glass, up the glass, over the roof.
        foot = y1 - 0.045 * cabin[i] - 0.02
        for t in np.linspace(0.2, 1, 5):
            section.append((y1 + (foot - y1) * t, z1 + 0.012 * math.sin(t * math.pi / 2)))
        edge = max(0.05, min(roof[i], foot - 0.02))
        zg = z1 + 0.012
        crown = 0.07 * cabin[i] + 0.045 * (1 - cabin[i])
        ze = max(zg + 0.003, zt - crown)
        for t in np.linspace(0.1, 1, 12):
            bow = 0.03 * math.sin(math.pi * t) * cabin[i]
            section.append((foot + (edge - foot) * t + bow, zg + (ze - zg) * t))
        for t in np.linspace(0.12, 1, 10):
            section.append((edge * (1 - t), ze + (zt - ze) * (1 - (1 - t) ** 2.2)))
        rows.append([(xs[i], y, z) for y, z in section])
        del mid
    half = np.array(rows)
    n, m = half.shape[:2]
    other = half[:, -2::-1] * (1, -1, 1)
    full = np.concatenate([half, other], 1)
    w = full.shape[1]
    i, j = np.meshgrid(np.arange(n - 1), np.arange(w - 1), indexing="ij")
    a = (i * w + j).ravel()
    faces = np.stack([a, a + w, a + w + 1, a + 1], 1)
    verts = full.reshape(-1, 3)
    # Close both ends with the fan of their own section.
    caps = []
    for row, flip in ((0, False), (n - 1, True)):
        for j in range((w - 1) // 2):
            quad = [row * w + j, row * w + j + 1, row * w + w - 2 - j, row * w + w - 1 - j]
            caps.append(quad[::-1] if not flip else quad)
    return verts, np.concatenate([faces, np.array(caps)])


def picture(size_m, draw_on):
    """A drawing in metres: (paint mask image) with helper that scales."""
    w, h = (int(s * PX) for s in size_m)
    image = Image.new("RGB", (w, h), (0, 0, 0))
    draw_on(ImageDraw.Draw(image), lambda x, z: (x * PX, h - z * PX))
    return image.filter(ImageFilter.GaussianBlur(0.8))


def side_drawing():
    """Red: glass. Green: dark trim and shut lines. Blue: lamps. x from -2.2, z from 0."""
    def draw(d, at):
        def p(*pts):
            return [at(x + 2.2, z) for x, z in pts]
        d.rectangle([(0, 0), (9999, 9999)], fill=(0, 0, 0))
        d.polygon(p((-1.78, 1.0), (-1.52, 1.27), (-1.2, 1.37), (-0.3, 1.43), (0.15, 1.395), (0.42, 1.29), (0.86, 0.985), (0.9, 0.93), (-1.72, 0.96)), fill=(0, 255, 0))
        d.polygon(p((-1.66, 1.0), (-1.47, 1.24), (-1.22, 1.335), (-1.13, 1.345), (-1.3, 0.99)), fill=(255, 0, 0))
        d.polygon(p((-1.24, 0.985), (-1.07, 1.35), (-0.27, 1.4), (-0.27, 0.965)), fill=(255, 0, 0))
        d.polygon(p((-0.18, 0.963), (-0.18, 1.4), (0.12, 1.37), (0.38, 1.265), (0.76, 0.985), (0.76, 0.945)), fill=(255, 0, 0))
        lw = 3
        for x0, x1 in ((-0.22, -0.22), (0.85, 0.92)):
            d.line(p((x0, 0.95), (x1, 0.32)), fill=(0, 255, 0), width=lw)
        d.line(p((-1.28, 0.96), (-1.18, 0.72), (-0.98, 0.5), (-0.93, 0.3)), fill=(0, 255, 0), width=lw)
        d.line(p((-0.95, 0.3), (0.92, 0.3)), fill=(0, 255, 0), width=lw)
        d.rectangle([*p((-0.9, 0.25))[0], *p((0.9, 0.17))[0]], fill=(0, 255, 0))
        d.line(p((1.72, 0.46), (1.69, 0.6)), fill=(0, 255, 0), width=lw)
        d.line(p((-1.74, 0.52), (-1.92, 0.66)), fill=(0, 255, 0), width=lw)
        for x in (-0.52, 0.42):
            pass
        for x in (-1.03, -0.05):
            d.rounded_rectangle([*p((x, 0.84))[0], *p((x + 0.19, 0.805))[0]], 6, fill=(0, 200, 0))
        d.polygon(p((1.66, 0.70), (2.05, 0.62), (2.05, 0.55), (1.85, 0.56)), fill=(0, 0, 255))
        d.polygon(p((-2.1, 0.94), (-1.86, 0.92), (-1.83, 0.8), (-2.1, 0.76)), fill=(0, 0, 255))
    return picture((4.4, 1.6), draw)


def front_drawing():
    """Nose, y from -1, z from 0."""
    def draw(d, at):
        def p(*pts):
            return [at(y + 1, z) for y, z in pts]
        d.polygon(p((-0.80, 0.985), (-0.5, 0.99), (0.5, 0.99), (0.80, 0.985), (0.7, 0.93), (0.3, 0.915), (-0.3, 0.915), (-0.7, 0.93)), fill=(0, 255, 0))
        d.polygon(p((-0.71, 0.99), (-0.55, 1.33), (-0.3, 1.39), (0.3, 1.39), (0.55, 1.33), (0.71, 0.99), (0.3, 0.965), (-0.3, 0.965)), fill=(255, 0, 0))
        d.line(p((-0.68, 0.74), (-0.3, 0.715), (0.3, 0.715), (0.68, 0.74)), fill=(0, 255, 0), width=3)
        d.polygon(p((-0.42, 0.67), (0.42, 0.67), (0.36, 0.58), (-0.36, 0.58)), fill=(0, 255, 0))
        d.rounded_rectangle([*p((-0.55, 0.44))[0], *p((0.55, 0.24))[0]], 14, fill=(0, 255, 0))
        for s in (-1, 1):
            d.polygon(p((s * 0.42, 0.67), (s * 0.82, 0.745), (s * 0.86, 0.66), (s * 0.64, 0.565), (s * 0.46, 0.585)), fill=(0, 0, 255))
        d.rectangle([*p((-0.26, 0.545))[0], *p((0.26, 0.435))[0]], fill=(255, 255, 255))
        for k, (y, w) in enumerate(((-0.2, 0.04), (-0.13, 0.04), (-0.06, 0.03), (0.03, 0.04), (0.1, 0.04), (0.17, 0.03))):
            d.rectangle([*p((y, 0.525))[0], *p((y + w, 0.455 + 0.002 * k))[0]], fill=(0, 255, 0))
    return picture((2.0, 1.6), draw)


def rear_drawing():
    def draw(d, at):
        def p(*pts):
            return [at(y + 1, z) for y, z in pts]
        d.polygon(p((-0.60, 1.0), (-0.50, 1.31), (-0.3, 1.345), (0.3, 1.345), (0.50, 1.31), (0.60, 1.0)), fill=(255, 0, 0))
        d.line(p((-0.64, 1.0), (-0.62, 0.55), (0.62, 0.55), (0.64, 1.0)), fill=(0, 255, 0), width=3)
        d.rounded_rectangle([*p((-0.7, 0.36))[0], *p((0.7, 0.2))[0]], 14, fill=(0, 255, 0))
        for s in (-1, 1):
            d.polygon(p((s * 0.52, 0.92), (s * 0.84, 0.93), (s * 0.82, 0.76), (s * 0.56, 0.76)), fill=(0, 0, 255))
        d.rectangle([*p((-0.26, 0.74))[0], *p((0.26, 0.63))[0]], fill=(255, 255, 255))
        for y, w in ((-0.2, 0.04), (-0.13, 0.04), (-0.06, 0.03), (0.03, 0.04), (0.1, 0.04), (0.17, 0.03)):
            d.rectangle([*p((y, 0.72))[0], *p((y + w, 0.65))[0]], fill=(0, 255, 0))
    return picture((2.0, 1.6), draw)


def as_image(name, drawing):
    w, h = drawing.size
    image = bpy.data.images.new(name, w, h, float_buffer=False)
    image.colorspace_settings.name = "Non-Color"
    pixels = np.ones((h, w, 4), np.float32)
    pixels[..., :3] = np.asarray(drawing, np.float32)[::-1] / 255
    image.pixels.foreach_set(pixels.ravel())
    image.pack()
    return image


def coat(paint: Paint, lit: float):
    mat, n, s = kit.material("paint", paint.colour, 0.35, paint.infrared, Metallic=paint.metal)
    local = n.add("ShaderNodeAttribute", _attribute_name="at").outputs["Vector"]
    normal = n.xyz(n.add("ShaderNodeAttribute", _attribute_name="way").outputs["Vector"])
    p = n.xyz(local)

    def sampled(name, drawing, u, v):
        tex = n.add("ShaderNodeTexImage", _image=as_image(name, drawing), _extension="EXTEND",
                    Vector=n.vec(u, v, 0.0))
        return n.add("ShaderNodeSeparateColor", Color=tex.outputs[0]).outputs

    v = n.math("DIVIDE", p[2], 1.6)
    side = sampled("side", side_drawing(), n.math("DIVIDE", n.math("ADD", p[0], 2.2), 4.4), v)
    across = n.math("DIVIDE", n.math("ADD", p[1], 1.0), 2.0)
    front, rear = sampled("front", front_drawing(), across, v), sampled("rear", rear_drawing(), across, v)
    is_side = n.math("GREATER_THAN", n.math("ABSOLUTE", normal[1]), 0.66)
    ends = n.math("MULTIPLY", n.math("SUBTRACT", 1.0, is_side), n.math("GREATER_THAN", n.math("ABSOLUTE", normal[0]), 0.12))
    is_front = n.math("MULTIPLY", ends, n.math("GREATER_THAN", p[0], 0.0))
    is_rear = n.math("SUBTRACT", ends, is_front)

    def pick(i):
        parts = [n.math("MULTIPLY", m, t[i]) for m, t in ((is_side, side), (is_front, front), (is_rear, rear))]
        return n.math("ADD", n.math("ADD", parts[0], parts[1]), parts[2], clamp=True)

    r, g, b = pick(0), pick(1), pick(2)
    # The bonnet's shut lines, seen from above.
    y = n.math("ABSOLUTE", p[1])
    edge = n.math("LESS_THAN", n.math("ABSOLUTE", n.math("SUBTRACT", y, n.math("MULTIPLY_ADD", p[0], -0.09, 0.80))), 0.005)
    nose = n.math("MULTIPLY", n.math("GREATER_THAN", p[0], 1.02), n.math("GREATER_THAN", normal[2], 0.6))
    g = n.math("MAXIMUM", g, n.math("MULTIPLY", edge, nose))
    plate = n.math("MULTIPLY", n.math("MULTIPLY", r, g), b)
    keep = n.math("SUBTRACT", 1.0, plate)
    pane, trim, glassy = (n.math("MULTIPLY", x, keep) for x in (r, g, b))
    red = n.math("MULTIPLY", glassy, n.math("LESS_THAN", p[0], 0.0))
    colour = kit.seen(paint.colour, paint.infrared)
    dust = n.math("SUBTRACT", 0.75, n.math("MULTIPLY_ADD", n.noise(5, 4, local), 0.25, n.math("MULTIPLY", p[2], 1.8)), clamp=True)
    colour = n.mix(n.math("MULTIPLY", dust, 0.5), colour, kit.seen((0.16, 0.14, 0.12)))
    colour = n.mix(pane, colour, (0.012, 0.014, 0.015))
    colour = n.mix(trim, colour, (0.014, 0.014, 0.015))
    colour = n.mix(glassy, colour, kit.seen((0.5, 0.5, 0.5)))
    colour = n.mix(red, colour, kit.seen((0.2, 0.004, 0.003), 0.35))
    yellow = n.math("MULTIPLY", plate, n.math("LESS_THAN", p[0], 0.0))
    colour = n.mix(plate, colour, kit.seen((0.75, 0.75, 0.72), 0.95))
    colour = n.mix(yellow, colour, kit.seen((0.75, 0.5, 0.03), 0.95))
    n.put(s, "Base Color", colour)
    some = n.math("MAXIMUM", n.math("MAXIMUM", pane, trim), n.math("MAXIMUM", glassy, plate))
    n.put(s, "Metallic", n.math("MULTIPLY", n.math("SUBTRACT", 1.0, some), paint.metal))
    rough = n.math("MULTIPLY_ADD", trim, 0.25, n.math("MULTIPLY_ADD", pane, -0.31, 0.36))
    n.put(s, "Roughness", n.math("MULTIPLY_ADD", glassy, -0.25, rough))
    n.put(s, "Coat Weight", n.math("SUBTRACT", 1.0, n.math("MAXIMUM", trim, plate)))
    n.put(s, "Coat Roughness", 0.03)
    if lit:
        white = n.math("MULTIPLY", n.math("SUBTRACT", glassy, red, clamp=True), n.math("GREATER_THAN", b, 0.7))
        n.put(s, "Emission Color", n.mix(red, (1.0, 0.93, 0.8), kit.seen((1.0, 0.03, 0.015))))
        n.put(s, "Emission Strength", n.math("MULTIPLY", n.math("MULTIPLY_ADD", red, 0.12, white), lit))
    return mat


def wheel(paint_dark=False):
    """A tyre and a five-spoke rim, its axle along y, at the origin."""
    rubber = kit.mottled("rubber", (0.014, 0.014, 0.014), (0.03, 0.028, 0.026), 8, 0.9)
    alloy = kit.plain("alloy", (0.36, 0.36, 0.37), 0.3, Metallic=0.85)
    dark = kit.plain("brake", (0.012, 0.012, 0.012), 0.8)
    profile = [(0.215, -0.09), (0.285, -0.105), (0.308, -0.085), (TYRE, -0.05), (TYRE, 0.05), (0.308, 0.085), (0.285, 0.105), (0.215, 0.09)]
    parts = [spin("tyre", profile, rubber), spin("rim", [(0.22, 0.085), (0.205, 0.088), (0.195, 0.05), (0.19, -0.06)], alloy),
             spin("disc", [(0.001, 0.0), (0.19, 0.0)], dark)]
    for i in range(5):
        a = 2 * math.pi * i / 5
        spoke = kit.box("spoke", (0.02, 0.045, -0.026), (0.2, 0.068, 0.026), alloy, 0.008)
        spoke.location = (0.11 * math.cos(a), 0.058, 0.11 * math.sin(a))
        spoke.rotation_euler = (0, -a, 0)
        parts.append(spoke)
    parts.append(spin("hub", [(0.001, 0.074), (0.04, 0.072), (0.045, 0.05)], alloy))
    return parts


def spin(name, profile, mat, turns=40):
    a = np.linspace(0, 2 * np.pi, turns, endpoint=False)
    verts = np.array([(r * math.cos(t), y, r * math.sin(t)) for t in a for r, y in profile])
    k = len(profile)
    i, j = np.meshgrid(np.arange(turns), np.arange(k - 1), indexing="ij")
    b = ((i + 1) % turns)
    faces = np.stack([i * k + j, i * k + j + 1, b * k + j + 1, b * k + j], -1).reshape(-1, 4)
    return kit.mesh(name, verts, faces, mat, True)


class Car:
    """A car in the scene; `place` parks it and turns the wheels by the way gone."""

    def __init__(self, paint: Paint, lit: float = 0.0, actor=False, beams: float = 0.0):
        verts, faces = body_mesh()
        body = kit.mesh("body", verts, faces, coat(paint, lit), True)
        for key, data in (("at", verts), ("way", self.normals(verts, faces))):
            attribute = body.data.attributes.new(key, "FLOAT_VECTOR", "POINT")
            attribute.data.foreach_set("vector", np.asarray(data, np.float32).ravel())
        dark = kit.plain("well", (0.006, 0.006, 0.006), 1.0, 0.02)
        self.objects = [body,
                        kit.box("floor", (-1.95, -0.74, 0.2), (1.9, 0.74, 0.5), dark),
                        kit.box("cabin", (-1.5, -0.6, 0.5), (1.6, 0.6, 0.8), dark)]
        self.mirrors(paint)
        self.wheels = []
        for x in AXLES:
            for side in (-1, 1):
                hub = kit.group("hub", wheel(), (x, side * TRACK, TYRE), 0 if side > 0 else math.pi)
                self.wheels.append((hub, side, x > 0))
                self.objects.append(hub)
        self.root = kit.group("car", [o for o in self.objects if o.parent is None])
        if beams:
            self.lamps(beams)
        if actor:
            for obj in (*self.root.children, *(c for h, *_ in self.wheels for c in h.children)):
                obj.pass_index = kit.ACTOR

    @staticmethod
    def normals(verts, faces):
        n = np.zeros_like(verts)
        f = np.cross(verts[faces[:, 2]] - verts[faces[:, 0]], verts[faces[:, 3]] - verts[faces[:, 1]])
        for k in range(4):
            np.add.at(n, faces[:, k], f)
        n /= np.linalg.norm(n, axis=1, keepdims=True) + 1e-12
        outward = np.sign((n * (verts - (0, 0, 0.6))).sum(1).mean()) or 1
        return n * outward

    def mirrors(self, paint):
        mat = kit.plain("mirror", paint.colour, 0.25, paint.infrared, **{"Coat Weight": 1.0})
        for side in (-1, 1):
            self.objects.append(kit.sphere("mirror", (0.62, side * 0.97, 0.98), 0.1, mat, (0.55, 1.0, 0.65)))

    def lamps(self, watts):
        for side in (-1, 1):
            data = bpy.data.lights.new("beam", "SPOT")
            data.energy, data.spot_size, data.spot_blend = watts, math.radians(62), 0.6
            data.color, data.shadow_soft_size = (1.0, 0.94, 0.82), 0.05
            obj = kit.link(bpy.data.objects.new("beam", data))
            obj.location, obj.parent = (2.16, side * 0.62, 0.64), self.root
            obj.rotation_euler = (0, math.radians(-86), 0)

    def place(self, x, y, heading, gone=0.0, steer=0.0, z=0.0):
        """Stand at (x, y) facing `heading`; returns the corners of what it fills."""
        self.root.location, self.root.rotation_euler = (x, y, z), (0, 0, heading)
        for hub, side, is_front in self.wheels:
            turn = gone / TYRE
            yaw = (0 if side > 0 else math.pi) + (steer if is_front else 0)
            hub.rotation_mode = "ZYX"
            hub.rotation_euler = (0, turn * side, yaw)
        c, s = math.cos(heading), math.sin(heading)
        return np.array([(x + c * a - s * b, y + s * a + c * b, z + h)
                         for a in (-2.15, 2.15) for b in (-1.05, 1.05) for h in (0, 1.5)])

    def hide(self, hidden):
        for obj in self.root.children_recursive:
            obj.hide_render = hidden
