"""The six views of one home: brick house, drive, garden, passage, garage and street.

Each builder fills the empty scene and returns a `View`: the camera's position, the
scene's compass direction and its lamps. Coordinates: x to the right, y away
from the house, z up; the camera is near the origin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import animals
import car
import kit
import numpy as np
import people
from kit import box, slab
from scenes_table import Play


@dataclass(frozen=True)
class View:
    """What the renderer needs to know about a scene."""

    title: str
    at: tuple
    look: tuple
    north: float
    ir_watts: float = 60.0
    lamps: tuple = ()
    indoor: bool = False


# ---------------------------------------------------------------- parts of a home
class Materials:
    """One home's surfaces, made once a build."""

    def __init__(self):
        self.brick = kit.brick()
        self.white = kit.mottled("upvc", (0.62, 0.62, 0.6), (0.72, 0.72, 0.7), 2, 0.35, dirt=0.0)
        self.glass = kit.glass()
        self.slabs = kit.paving("slabs", (0.17, 0.16, 0.14), (0.26, 0.24, 0.21))
        self.pavers = kit.paving("pavers", (0.22, 0.13, 0.1), (0.32, 0.2, 0.15), 0.2, 0.1, gap=0.004, shade=0.5)
        self.flags = kit.paving("flags", (0.17, 0.167, 0.155), (0.24, 0.23, 0.215), 0.9, 0.6)
        self.asphalt = kit.asphalt()
        self.kerb = kit.mottled("kerb", (0.2, 0.195, 0.18), (0.3, 0.29, 0.27), 3, 0.85, 0.4)
        self.soil = kit.mottled("soil", (0.03, 0.02, 0.012), (0.07, 0.05, 0.03), 5, 1.0, 1.0, 60, infrared=0.2)
        self.meadow = kit.mottled("meadow", (0.05, 0.075, 0.022), (0.1, 0.115, 0.045), 0.7, 1.0, 0.8, 40, infrared=0.3)
        self.concrete = kit.mottled("concrete", (0.19, 0.185, 0.17), (0.3, 0.29, 0.27), 1.4, 0.9, 0.4, 90)
        self.roof = kit.brick("tiles", (0.12, 0.055, 0.04), (0.2, 0.1, 0.07), (0.05, 0.03, 0.025), 0.19, 0.15, dirt=0)
        self.bark = kit.mottled("bark", (0.05, 0.038, 0.026), (0.14, 0.11, 0.08), 9, 0.95, 1.0, 40, infrared=0.3)
        self.leaf = kit.leaf("leaf")
        self.privet = kit.leaf("privet", (0.022, 0.06, 0.012), (0.07, 0.125, 0.025), 0.5, 0.35)
        self.dark = kit.plain("dark", (0.012, 0.012, 0.012), 0.6, 0.06)
        self.metal = kit.mottled("metal", (0.22, 0.22, 0.22), (0.3, 0.3, 0.3), 3, 0.5)
        self.black = kit.plain("gutter", (0.016, 0.016, 0.018), 0.4, 0.1)


def window(m, x0, x1, z0, z1, y, out, lit=0.0, bars=1, curtain=(0.5, 0.46, 0.4)):
    """A white casement in a wall that faces y (`out` is +1 or -1)."""
    f, d = 0.06, 0.05 * out
    pane = m.glass
    if lit:
        pane = kit.glow("lit", (1.0, 0.62, 0.3), lit)
    box("pane", (x0, y + d * 0.2, z0), (x1, y + d * 0.35, z1), pane)
    if not lit:
        cloth = kit.mottled("curtain", curtain, tuple(c * 0.7 for c in curtain), 9, 0.9)
        w = (x1 - x0) * 0.16
        for a in (x0, x1 - w):
            box("curtain", (a, y + d * 0.36, z0), (a + w, y + d * 0.4, z1), cloth)
    for a, b in (((x0, z0), (x1, z0 + f)), ((x0, z1 - f), (x1, z1)), ((x0, z0), (x0 + f, z1)), ((x1 - f, z0), (x1, z1))):
        box("frame", (a[0], y - d, a[1]), (b[0], y + d, b[1]), m.white, 0.008)
    for i in range(bars):
        c = x0 + (x1 - x0) * (i + 1) / (bars + 1)
        box("bar", (c - 0.03, y - d, z0), (c + 0.03, y + d * 0.9, z1), m.white, 0.006)
    box("sill", (x0 - 0.08, y, z0 - 0.09), (x1 + 0.08, y + 0.14 * out, z0 - 0.02), m.kerb, 0.01)
    box("lintel", (x0 - 0.12, y - 0.01, z1), (x1 + 0.12, y + 0.015 * out, z1 + 0.2), m.kerb)


def door(m, x, y, out, colour, z=0.0, lit=False):
    """A panelled front door with letter box and fanlight."""
    paint = kit.mottled("door", colour, tuple(c * 0.85 for c in colour), 2, 0.35)
    box("door", (x - 0.45, y - 0.03, z), (x + 0.45, y + 0.04 * out, z + 2.05), paint, 0.01)
    for px in (-0.2, 0.2):
        for z0, z1 in ((0.2, 0.85), (1.1, 1.55)):
            box("panel", (x + px - 0.14, y, z + z0), (x + px + 0.14, y + 0.055 * out, z + z1), paint, 0.012)
    box("fan", (x - 0.35, y, z + 1.65), (x + 0.35, y + 0.05 * out, z + 1.95), kit.glow("fan", (1, 0.65, 0.3), 1.0) if lit else m.glass)
    brass = kit.plain("brass", (0.6, 0.42, 0.15), 0.3, Metallic=0.9)
    box("letter", (x - 0.14, y, z + 0.95), (x + 0.14, y + 0.065 * out, z + 1.02), brass, 0.008)
    for a in (-0.52, 0.45):
        box("jamb", (x + a, y - 0.05, z), (x + a + 0.07, y + 0.07 * out, z + 2.15), m.white, 0.008)
    box("head", (x - 0.52, y - 0.05, z + 2.08), (x + 0.52, y + 0.07 * out, z + 2.17), m.white, 0.008)


def house(m, x0, x1, y, z=0.0, depth=7.0, wall=None, lit=False, colour=(0.05, 0.09, 0.06), flip=False, bay=True):
    """A semi across the street: two storeys, hipped tiles, chimney, facing -y."""
    wall = wall or m.brick
    top = z + 5.1
    box("house", (x0, y, z), (x1, y + depth, top), wall)
    w = x1 - x0
    mx = (x0 + x1) / 2
    e, ridge = 0.35, top + 2.4
    verts = [(x0 - e, y - e, top), (x1 + e, y - e, top), (x1 + e, y + depth, top), (x0 - e, y + depth, top),
             (x0 + w * 0.22, y + depth / 2, ridge), (x1 - w * 0.22, y + depth / 2, ridge)]
    kit.mesh("roof", verts, [(0, 1, 5, 4), (1, 2, 5, 5), (2, 3, 4, 5), (3, 0, 4, 4)], m.roof)
    box("fascia", (x0 - e, y - e, top - 0.16), (x1 + e, y - e + 0.03, top + 0.03), m.white)
    kit.tube("gutter", [(x0 - e, y - e - 0.05, top), (x1 + e, y - e - 0.05, top)], 0.055, m.black)
    box("chimney", (mx - 0.45, y + depth / 2 - 0.3, ridge - 1.2), (mx + 0.45, y + depth / 2 + 0.3, ridge + 0.9), wall)
    for px in (-0.2, 0.2):
        kit.tube("pot", [(mx + px, y + depth / 2, ridge + 0.9), (mx + px, y + depth / 2, ridge + 1.25)], 0.11, m.roof)
    s = -1 if flip else 1
    d = mx + s * w * 0.28
    door(m, d, y, -1, colour, z + 0.15, lit)
    box("step", (d - 0.7, y - 0.6, z), (d + 0.7, y, z + 0.15), m.concrete, 0.02)
    wx = mx - s * w * 0.2
    if bay:
        box("bay", (wx - 1.35, y - 0.55, z), (wx + 1.35, y, z + 2.6), wall)
        box("bayroof", (wx - 1.45, y - 0.65, z + 2.6), (wx + 1.45, y, z + 2.72), m.roof)
        window(m, wx - 1.1, wx + 1.1, z + 0.85, z + 2.35, y - 0.55, -1, 0.55 if lit else 0, 2)
    else:
        window(m, wx - 1.0, wx + 1.0, z + 0.85, z + 2.25, y, -1, 0.55 if lit else 0, 2)
    window(m, wx - 0.95, wx + 0.95, z + 3.3, z + 4.6, y, -1, 0, 2)
    window(m, d - 0.5, d + 0.5, z + 3.4, z + 4.6, y, -1, 0.4 if lit and flip else 0, 1)


def street_bed(m, y, x0=-32, x1=32, far=True):
    """Pavement, kerb, road and the other side, from y on; the road lies 10 cm lower."""
    slab("pave", x0, x1, y, y + 1.9, 0.0, m.flags)
    box("kerb", (x0, y + 1.9, -0.2), (x1, y + 2.04, 0.005), m.kerb, 0.015)
    slab("road", x0, x1, y + 2.04, y + 8.2, -0.1, m.asphalt)
    for k in (y + 2.3, y + 7.95):
        line = kit.mottled("line", (0.5, 0.36, 0.03), (0.14, 0.11, 0.05), 14, 0.8)
        box("line", (x0, k - 0.035, -0.1), (x1, k + 0.035, -0.096), line)
    box("kerb2", (x0, y + 8.2, -0.2), (x1, y + 8.34, 0.005), m.kerb, 0.015)
    if far:
        slab("pave2", x0, x1, y + 8.34, y + 10.2, 0.0, m.flags)
        slab("yards", x0, x1, y + 10.2, y + 26, 0.0, m.concrete)
    grate = kit.plain("grate", (0.03, 0.03, 0.03), 0.6)
    box("drain", (x0 * 0.1, y + 2.1, -0.1), (x0 * 0.1 + 0.45, y + 2.5, -0.094), grate)
    cover = kit.mottled("cover", (0.07, 0.065, 0.06), (0.13, 0.12, 0.11), 9, 0.6, 0.8, 30)
    box("cover", (2.2, y + 0.8, 0.0), (2.75, y + 1.3, 0.004), cover)


def far_side(m, rng, y, lit=False, span=(-30, 30), hedges=True):
    """Terraces of pairs with front walls, hedges and trees between them."""
    cream = kit.mottled("cream", (0.5, 0.46, 0.38), (0.58, 0.54, 0.46), 0.9, 0.9, 0.4, dirt=0.5)
    pebble = kit.mottled("pebble", (0.36, 0.33, 0.29), (0.44, 0.41, 0.36), 1.1, 0.95, 0.9, 70, dirt=0.6)
    walls = (m.brick, cream, m.brick, pebble, cream, m.brick)
    doors = ((0.05, 0.09, 0.06), (0.25, 0.03, 0.03), (0.03, 0.05, 0.14), (0.3, 0.3, 0.28))
    skyline(m, rng, y + 19, span[0] * 1.6, span[1] * 1.6)
    x, i = span[0], 0
    while x < span[1]:
        w = 7.6
        house(m, x, x + w, y + 4.2, 0, wall=walls[i % 6], lit=lit and i % 3 == 1, colour=doors[i % 4], flip=i % 2 == 1, bay=i % 3 != 2)
        if i % 2 == 0 or not hedges:
            box("wall", (x, y, 0), (x + w * 0.62, y + 0.22, 0.75), walls[i % 6])
            box("cope", (x - 0.02, y - 0.03, 0.75), (x + w * 0.62, y + 0.25, 0.81), m.kerb, 0.01)
        else:
            kit.hedge("far_hedge", (x, y, 0), (x + w * 0.66, y + 0.7, 1.25), rng, m.privet, 420, 0.12, 0.1)
        x, i = x + w + (0.0 if i % 2 == 0 else 2.2), i + 1


def lamp_post(m, x, y, on, height=5.2, reach=0.9, turn=0.0):
    c, s = math.cos(turn), math.sin(turn)
    kit.tube("post", [(x, y, 0), (x, y, 1.1), (x, y, 1.12), (x, y, height)], [0.085, 0.085, 0.055, 0.045], m.metal)
    arm = [(x + c * reach * t, y + s * reach * t, height + 0.25 * math.sin(t * math.pi / 2)) for t in np.linspace(0, 1, 7)]
    kit.tube("arm", arm, 0.032, m.metal)
    tip = arm[-1]
    head = box("head", (-0.3, -0.1, -0.05), (0.3, 0.1, 0.05), m.metal, 0.03, turn)
    head.location = (tip[0] + c * 0.2, tip[1] + s * 0.2, tip[2])
    lens = box("lens", (-0.22, -0.08, -0.012), (0.22, 0.08, 0.012), kit.glow("lampglow", (1, 0.7, 0.38), 40) if on else m.white, 0, turn)
    lens.location = (tip[0] + c * 0.2, tip[1] + s * 0.2, tip[2] - 0.06)
    if on:
        kit.lamp((tip[0] + c * 0.2, tip[1] + s * 0.2, tip[2] - 0.3), on, (1.0, 0.66, 0.34), 0.15)


def wheelie_bin(m, x, y, turn, colour, z=0.0):
    body = kit.mottled("bin", colour, tuple(c * 0.7 for c in colour), 3, 0.5)
    verts = [(sx * (0.24 if zz else 0.2), sy * (0.29 if zz else 0.23), zz) for zz in (0, 0.95) for sx in (-1, 1) for sy in (-1, 1)]
    o = kit.mesh("bin", verts, [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)], body)
    o.modifiers.new("b", "BEVEL").width = 0.03
    parts = [o, box("lid", (-0.27, -0.33, 0.95), (0.27, 0.33, 1.01), body, 0.025),
             box("rim", (-0.26, -0.31, 0.88), (0.26, 0.31, 0.93), body, 0.015),
             kit.tube("bar", [(-0.25, 0.36, 0.97), (0.25, 0.36, 0.97)], 0.018, body),
             box("label", (-0.09, -0.285, 0.6), (0.09, -0.262, 0.72), m.white)]
    for sx in (-0.22, 0.22):
        parts.append(kit.tube("wheel", [(sx - 0.03, 0.26, 0.1), (sx + 0.03, 0.26, 0.1)], 0.1, m.dark, 20))
    kit.group("bin", parts, (x, y, z), turn)


def plant_pot(m, rng, x, y, size, flowers=None, z=0.0):
    clay = kit.mottled("clay", (0.3, 0.12, 0.06), (0.4, 0.2, 0.12), 6, 0.9)
    kit.tube("pot", [(x, y, z), (x, y, z + size * 0.85), (x, y, z + size * 0.86), (x, y, z + size)],
             [size * 0.32, size * 0.45, size * 0.5, size * 0.5], clay, 24)
    kit.tube("earth", [(x, y, z + size * 0.5), (x, y, z + size * 0.93)], [0.01, size * 0.45], m.soil, 20)
    kit.bush("plant", (x, y, z + size * 0.9), (size * 0.75, size * 0.75, size * 0.9), rng, m.leaf, 700, 0.05)
    if flowers:
        mat = kit.plain("petal", flowers, 0.6, 0.7)
        kit.bush("bloom", (x, y, z + size * 0.98), (size * 0.8, size * 0.8, size * 0.95), rng, mat, 110, 0.045)


def downpipe(m, x, y, top, foot=0.1):
    kit.tube("pipe", [(x, y, foot), (x, y, top)], 0.037, m.black)
    for z in np.arange(0.6, top, 1.6):
        box("clip", (x - 0.06, y - 0.03, z), (x + 0.06, y + 0.03, z + 0.04), m.black)


def skyline(m, rng, y, x0=-60, x1=60):
    """Treetops and roofs behind everything, so that no horizon lies bare."""
    for x in np.arange(x0, x1, 5.5):
        r = rng.uniform(2.6, 4.2)
        kit.bush("far", (x + rng.normal(), y + rng.uniform(0, 14), rng.uniform(-0.5, 1.0)), (r, r, r * rng.uniform(1.4, 2.1)), rng, (m.leaf, m.privet)[rng.integers(2)], 1500, 0.5)


def litter_leaves(rng, x0, x1, y0, y1, count, z=0.004):
    """Fallen leaves in drifts: small things that make a ground real."""
    mat = kit.leaf("fallen", (0.12, 0.06, 0.015), (0.2, 0.13, 0.03), 0.35)
    centre = rng.uniform((x0, y0), (x1, y1), (max(3, count // 40), 2))
    p = centre[rng.integers(len(centre), size=count)] + rng.normal(size=(count, 2)) * 0.5
    p = p[(p[:, 0] > x0) & (p[:, 0] < x1) & (p[:, 1] > y0) & (p[:, 1] < y1)]
    points = np.concatenate([p, np.full((len(p), 1), z + 0.012)], 1)
    verts, faces = kit.cards(points, rng.normal(size=points.shape) * 0.25 + (0, 0, 1), 0.06, rng)
    kit.mesh("litter", verts, faces, mat)


# ---------------------------------------------------------------- the six views
def front_door(light, rng):
    m, dark = Materials(), light in ("dusk",)
    slab("base", -150, 150, -60, 6.8, -0.02, m.soil)
    slab("path", -0.75, 0.75, 0.9, 6.9, 0.01, kit.paving("path", (0.19, 0.14, 0.105), (0.29, 0.23, 0.18), 0.45, 0.45, gap=0.007))
    box("edgeL", (-0.83, 0.9, -0.1), (-0.75, 6.9, 0.05), m.kerb, 0.012)
    box("edgeR", (0.75, 0.9, -0.1), (0.83, 6.9, 0.05), m.kerb, 0.012)
    box("step", (-1.0, -0.5, 0), (1.0, 0.95, 0.14), m.slabs, 0.015)
    mat = kit.mottled("coir", (0.1, 0.07, 0.035), (0.16, 0.11, 0.06), 3, 1, 1.0, 200)
    box("doormat", (-0.42, 0.2, 0.14), (0.42, 0.75, 0.158), mat, 0.005)
    kit.lawn("lawnL", -6.2, -0.95, 1.6, 5.8, rng)
    kit.lawn("lawnR", 0.95, 6.4, 1.2, 5.8, rng)
    # The house's own bay on the left, brick with its window, in the picture's edge.
    box("bay", (-4.6, -1, 0), (-1.75, 1.15, 2.75), m.brick)
    box("bayroof", (-4.7, -1, 2.75), (-1.62, 1.28, 2.9), m.roof)
    window(m, -4.2, -2.1, 0.9, 2.4, 1.15, 1, 0.7 if dark else 0, 2)
    downpipe(m, -1.68, 0.3, 2.75)
    plant_pot(m, rng, -1.28, 0.75, 0.42, (0.5, 0.05, 0.1))
    plant_pot(m, rng, 1.45, 0.55, 0.34, (0.6, 0.45, 0.05))
    for x, y, r in ((-1.6, 1.7, 0.38), (-2.5, 1.6, 0.45), (-3.5, 1.75, 0.4), (2.1, 0.7, 0.5), (3.1, 0.8, 0.42), (4.3, 0.9, 0.6)):
        kit.bush("border", (x, y, 0), (r, r * 0.8, r * 1.1), rng, m.leaf if x < 0 else m.privet, 1900, 0.05)
    bloom = kit.plain("lavender", (0.16, 0.07, 0.3), 0.7, 0.6)
    kit.bush("lav", (1.15, 1.9, 0), (0.3, 0.9, 0.45), rng, m.privet, 1500, 0.035)
    kit.bush("lav2", (1.15, 1.9, 0.06), (0.32, 0.95, 0.5), rng, bloom, 420, 0.03)
    kit.hedge("hedgeL", (-7.5, 6.0, 0), (-0.95, 6.65, 1.15), rng, m.privet, 2300, 0.05)
    kit.hedge("hedgeR", (0.95, 6.0, 0), (8.5, 6.65, 1.15), rng, m.privet, 2300, 0.05)
    for x in (-0.85, 0.85):
        box("pier", (x - 0.17, 6.1, 0), (x + 0.17, 6.45, 1.2), m.brick)
        box("cap", (x - 0.22, 6.05, 1.2), (x + 0.22, 6.5, 1.27), m.kerb, 0.015)
    street_bed(m, 6.9)
    far_side(m, rng, 17.1, dark)
    kit.tree("birch", (4.9, 4.3, 0), 5.2, rng, m.bark, kit.leaf("birch", (0.06, 0.13, 0.02), (0.15, 0.2, 0.04)), 0.075, 36, 0.3, 0.9)
    kit.tree("far1", (-9, 19.0, 0), 8, rng, m.bark, m.leaf, 0.16, 40, 0.5, 1.4)
    kit.tree("far2", (9.5, 19.3, 0), 7, rng, m.bark, m.privet, 0.16, 40, 0.5, 1.4)
    lamp_post(m, -6.2, 8.5, 260 if dark else 0, turn=math.pi / 2)
    car.Car(car.GREY).place(-7.0, 14.1, math.pi, z=-0.1)
    car.Car(car.RED).place(5.3, 14.1, 0, z=-0.1)
    litter_leaves(rng, -0.7, 6, 1.0, 8.5, 130)
    if dark:
        kit.lamp((0.3, -0.1, 2.3), 28)
    return View("Front door", (0.62, 0.12, 2.72), (-0.1, 4.0, 0.35), 200, 55)


def driveway(light, rng):
    m, dark = Materials(), light in ("dusk",)
    slab("base", -150, 150, -60, 9.8, -0.02, m.soil)
    slab("drive", -3.4, 3.3, -2, 10.0, 0.01, m.pavers)
    # The garage stands forward on the left; its door looks across the drive.
    box("garage", (-8, -1, 0), (-3.4, 5.6, 2.75), m.brick)
    verts = [(-8.3, -1, 2.75), (-3.05, -1, 2.75), (-3.05, 5.95, 2.75), (-8.3, 5.95, 2.75), (-5.7, -1, 4.4), (-5.7, 4.2, 4.4)]
    kit.mesh("groof", verts, [(1, 2, 5, 4), (2, 3, 5, 5), (3, 0, 4, 5)], m.roof)
    box("fascia", (-3.08, -1, 2.58), (-3.02, 5.95, 2.78), m.white)
    kit.tube("gutter", [(-2.97, -1, 2.74), (-2.97, 5.95, 2.74)], 0.055, m.black)
    downpipe(m, -3.33, 5.45, 2.7)
    panel = kit.mottled("garagedoor", (0.5, 0.5, 0.48), (0.56, 0.56, 0.54), 1.5, 0.45, dirt=0.25)
    for i in range(5):
        box("leaf", (-3.42, 1.5, 0.02 + i * 0.42), (-3.35, 4.3, 0.43 + i * 0.42), panel, 0.012)
        for j in range(4):
            box("cassette", (-3.36, 1.62 + j * 0.68, 0.1 + i * 0.42), (-3.325, 2.18 + j * 0.68, 0.35 + i * 0.42), panel, 0.012)
    box("doorframe", (-3.43, 1.38, 0), (-3.32, 1.5, 2.24), m.white, 0.006)
    box("doorframe", (-3.43, 4.3, 0), (-3.32, 4.42, 2.24), m.white, 0.006)
    box("doorhead", (-3.43, 1.38, 2.12), (-3.32, 4.42, 2.26), m.white, 0.006)
    box("light", (-3.33, 4.75, 2.0), (-3.2, 4.87, 2.25), m.black, 0.01)
    if dark:
        kit.sphere("bulb", (-3.2, 4.81, 1.98), 0.05, kit.glow("bulb", (1, 0.75, 0.45), 60))
        kit.lamp((-3.05, 4.81, 1.95), 45)
    kit.lawn("front", 3.5, 9.5, 0.5, 8.6, rng)
    box("edge", (3.3, -1, -0.1), (3.42, 9.7, 0.06), m.kerb, 0.012)
    kit.hedge("hedge", (3.7, 8.75, 0), (10.5, 9.4, 1.1), rng, m.privet, 2000, 0.055)
    kit.hedge("hedgeL", (-9, 8.75, 0), (-3.8, 9.4, 1.1), rng, m.privet, 2000, 0.055)
    for x in (-3.55, 3.5):
        box("pier", (x - 0.19, 8.8, 0), (x + 0.19, 9.2, 1.3), m.brick)
        box("cap", (x - 0.24, 8.75, 1.3), (x + 0.24, 9.25, 1.38), m.kerb, 0.015)
    kit.lawn("gfront", -8.5, -3.6, 6.0, 8.6, rng)
    for x, y, r in ((3.9, 1.2, 0.5), (4.7, 1.0, 0.6), (5.8, 1.3, 0.55), (-4.2, 6.2, 0.4), (-5.2, 6.1, 0.45)):
        kit.bush("shrub", (x, y, 0), (r, r, r * 1.1), rng, m.leaf, 2200, 0.055)
    kit.tree("cherry", (6.9, 5.2, 0), 5.0, rng, m.bark, kit.leaf("cherry", (0.06, 0.035, 0.03), (0.13, 0.1, 0.04), 0.5), 0.085, 40, 0.33, 1.0)
    street_bed(m, 9.9)
    slab("drop", -3.4, 3.3, 9.85, 11.8, 0.006, m.asphalt)
    far_side(m, rng, 20.1, dark)
    kit.tree("far1", (-2.5, 21.5, 0), 7.5, rng, m.bark, m.leaf, 0.17, 40, 0.5, 1.4)
    kit.tree("far2", (13, 21.8, 0), 8.5, rng, m.bark, m.privet, 0.17, 40, 0.5, 1.4)
    lamp_post(m, 8.2, 11.5, 260 if dark else 0, turn=math.pi / 2)
    car.Car(car.SILVER).place(1.75, 4.6, -math.pi / 2 + 0.03, z=0.01)
    car.Car(car.BLUE).place(-9.5, 17.1, 0, z=-0.1)
    car.Car(car.WHITE).place(8.4, 17.1, math.pi, z=-0.1)
    wheelie_bin(m, -2.95, 0.75, math.pi / 2, (0.02, 0.07, 0.03))
    litter_leaves(rng, -3, 3.2, 1, 9.5, 90)
    return View("Driveway", (0.9, 0.1, 3.1), (-0.5, 6.4, 0.2), 90, 85)


def garden(light, rng):
    m, dark = Materials(), light in ("dusk",)
    slab("base", -150, 150, -4, 250, -0.03, m.meadow)
    slab("terrace", -6, 6.5, -2, 3.0, 0.02, m.slabs)
    kit.lawn("lawn", -5.0, 5.4, 3.1, 13.2, rng)
    fence = kit.fence
    fence("left", (-6.2, 0.0), (-6.2, 15.0), rng)
    fence("back", (-6.2, 15.0), (7.0, 15.0), rng)
    fence("right", (7.0, 15.0), (7.0, 0.0), rng)
    # A shed at the back on the right.
    wood = kit.timber("shed", (0.2, 0.13, 0.075), along="x", weather=0.5)
    for i in range(14):
        z0 = 0.1 + i * 0.145
        o = box("clad", (3.6, 11.6, z0), (6.4, 11.63, z0 + 0.155), wood)
        o.rotation_euler = (0.06, 0, 0)
    box("shedbody", (3.62, 11.63, 0.05), (6.38, 13.8, 2.1), wood)
    verts = [(3.35, 11.35, 2.08), (6.65, 11.35, 2.08), (6.65, 14.0, 2.08), (3.35, 14.0, 2.08), (5.0, 11.35, 2.75), (5.0, 14.0, 2.75)]
    felt = kit.mottled("felt", (0.05, 0.055, 0.05), (0.09, 0.09, 0.08), 4, 0.95, 0.8, 120)
    kit.mesh("shedroof", verts, [(0, 4, 5, 3), (1, 2, 5, 4)], felt).modifiers.new("t", "SOLIDIFY").thickness = 0.05
    kit.mesh("gable", [(3.6, 11.62, 2.05), (6.4, 11.62, 2.05), (5.0, 11.62, 2.66)], [(0, 1, 2)], wood)
    sheddoor = kit.timber("sheddoor", (0.16, 0.105, 0.06))
    box("sheddoor", (4.0, 11.56, 0.12), (4.85, 11.6, 1.95), sheddoor, 0.005)
    for z in (0.4, 1.6):
        box("hinge", (4.0, 11.54, z), (4.4, 11.57, z + 0.05), m.black)
    window(m, 5.2, 6.1, 1.0, 1.65, 11.6, -1, 0, 1)
    # Borders, shrubs, trees.
    for i in range(15):
        y = 3.4 + i * 0.78
        r = rng.uniform(0.35, 0.65)
        kit.bush("borderL", (-5.6 + rng.normal() * 0.1, y, 0), (r * 0.8, r, r * rng.uniform(0.9, 1.6)), rng, (m.leaf, m.privet)[i % 2], 1500, 0.06)
    for i in range(10):
        x = -5.2 + i * 0.9
        r = rng.uniform(0.4, 0.7)
        kit.bush("borderB", (x, 14.2 + rng.normal() * 0.15, 0), (r, r * 0.8, r * rng.uniform(1.0, 1.8)), rng, (m.privet, m.leaf)[i % 2], 1500, 0.07)
    for i in range(7):
        r = rng.uniform(0.35, 0.6)
        kit.bush("borderR", (6.35, 3.8 + i * 1.0, 0), (r * 0.8, r, r * rng.uniform(0.9, 1.5)), rng, (m.leaf, m.privet)[i % 2], 1500, 0.06)
    for x, y, c in ((-5.1, 5.0, (0.55, 0.08, 0.2)), (-5.0, 8.6, (0.6, 0.5, 0.06)), (5.8, 6.2, (0.45, 0.4, 0.5))):
        kit.bush("flowers", (x, y, 0.0), (0.5, 0.7, 0.75), rng, kit.plain("petal", c, 0.6, 0.7), 190, 0.055)
    kit.tree("apple", (-2.9, 9.4, 0), 4.8, rng, m.bark, m.leaf, 0.09, 62, 0.33, 1.0)
    kit.tree("nb1", (-9.5, 19, 0), 8.5, rng, m.bark, m.privet, 0.17, 50, 0.5, 1.5)
    kit.tree("nb2", (10.5, 12, 0), 7.5, rng, m.bark, kit.leaf("copper", (0.07, 0.03, 0.02), (0.12, 0.07, 0.03)), 0.16, 45, 0.5, 1.4)
    kit.tree("nb3", (2.0, 22, 0), 9, rng, m.bark, m.leaf, 0.18, 45, 0.55, 1.5)
    skyline(m, rng, 33)
    house(m, -5.5, 2.2, 27, -0.3, lit=dark)
    house(m, 2.3, 10.5, 27.2, -0.3, wall=kit.mottled("cream", (0.5, 0.46, 0.38), (0.58, 0.54, 0.46), 0.9, 0.9, dirt=0.4), flip=True)
    house(m, -17, -9, 26, -0.3)
    # Table and chairs, grill, hose, pots, washing line.
    teak = kit.timber("teak", (0.28, 0.16, 0.08), along="x", weather=0.35)
    for i in range(7):
        box("slat", (2.0 + i * 0.145, 0.9, 0.7), (2.13 + i * 0.145, 2.3, 0.735), teak, 0.006)
    for x in (2.08, 2.92):
        for y in (1.0, 2.2):
            box("leg", (x - 0.03, y - 0.03, 0.02), (x + 0.03, y + 0.03, 0.7), teak)
    for x, y, t in ((1.35, 1.6, 0.1), (3.7, 1.5, math.pi - 0.15), (2.5, 2.85, -1.5)):
        chair(teak, x, y, t)
    plant_pot(m, rng, -2.6, 2.5, 0.5, (0.55, 0.06, 0.08))
    plant_pot(m, rng, -3.4, 2.3, 0.36, (0.6, 0.6, 0.55))
    plant_pot(m, rng, 5.6, 2.3, 0.45)
    coil = [(-4.6 + 0.3 * math.cos(a), 1.2 + 0.3 * math.sin(a), 0.05 + a * 0.003) for a in np.linspace(0, 25, 160)]
    kit.tube("hose", coil, 0.011, kit.plain("hose", (0.02, 0.15, 0.03), 0.5), 6)
    ball = kit.mottled("ball", (0.5, 0.5, 0.48), (0.05, 0.05, 0.05), 22, 0.5)
    kit.sphere("ball", (1.4, 6.6, 0.13), 0.11, ball)
    for i in range(7):
        box("stone", (0.2 + i * 0.18 - 0.2, 3.5 + i * 1.15, -0.03), (0.62 + i * 0.18 - 0.2, 3.95 + i * 1.15, 0.02), m.slabs, 0.02, rng.normal() * 0.06)
    litter_leaves(rng, -5, 5, 2, 13, 160)
    if dark:
        kit.lamp((0.0, 0.1, 2.4), 30)
    return View("Garden", (0.5, 0.1, 3.05), (0.15, 5.6, 0.3), 20, 95)


def chair(mat, x, y, turn):
    parts = [box("seat", (-0.22, -0.22, 0.42), (0.22, 0.22, 0.45), mat, 0.006)]
    for sx in (-0.19, 0.19):
        parts += [box("leg", (sx - 0.02, 0.17, 0), (sx + 0.02, 0.21, 0.42), mat), box("leg", (sx - 0.02, -0.21, 0), (sx + 0.02, -0.17, 0.9), mat)]
    parts += [box("back", (-0.2, -0.21, 0.55 + i * 0.12), (0.2, -0.19, 0.63 + i * 0.12), mat) for i in range(3)]
    kit.group("chair", parts, (x, y, 0.02), turn + math.pi / 2)


def side_gate(light, rng):
    m, dark = Materials(), light in ("dusk",)
    slab("base", -30, 30, -4, 40, -0.04, m.soil)
    slab("path", -1.35, 1.3, -2, 9.0, 0.0, m.slabs)
    gravel = kit.mottled("gravel", (0.18, 0.16, 0.14), (0.36, 0.33, 0.29), 60, 0.95, 1.0, 35)
    slab("gravel", 0.95, 1.5, -2, 9.0, 0.006, gravel)
    box("wall", (-5, -3, 0), (-1.35, 9.6, 5.2), m.brick)
    box("plinth", (-1.36, -3, 0), (-1.33, 9.6, 0.16), m.concrete)
    kit.fence("fence", (1.5, -2.5), (1.5, 9.6), rng, 1.85)
    # The gate: ledged boards between posts, a latch, light through the gaps.
    wood = kit.timber("gate", (0.2, 0.12, 0.06), weather=0.5)
    for i in range(8):
        x = -0.62 + i * 0.152
        box("board", (x, 8.5, 0.08), (x + 0.144, 8.525, 1.85 + 0.05 * math.sin(i * 0.45)), wood, 0.004)
    for z in (0.4, 1.0, 1.6):
        box("ledge", (-0.6, 8.46, z), (0.58, 8.5, z + 0.11), wood, 0.004)
    for x in (-0.78, 0.63):
        box("gpost", (x, 8.43, 0), (x + 0.13, 8.56, 2.05), wood, 0.01)
    box("infill", (-1.35, 8.47, 0), (-0.78, 8.52, 1.95), wood)
    box("infill2", (0.76, 8.47, 0), (1.5, 8.52, 1.9), wood)
    box("latch", (0.42, 8.43, 1.05), (0.62, 8.47, 1.1), m.black)
    for y, c in ((3.9, (0.018, 0.06, 0.025)), (4.65, (0.03, 0.03, 0.032)), (5.4, (0.02, 0.04, 0.12))):
        wheelie_bin(m, -0.98, y, math.pi / 2 + rng.normal() * 0.05, c)
    downpipe(m, -1.28, 2.6, 5.2)
    downpipe(m, -1.28, 7.6, 5.2)
    box("meter", (-1.36, 6.3, 0.5), (-1.2, 6.75, 1.15), m.white, 0.015)
    side_window(m, 2.0, 3.4, 1.1, 2.2, -1.35, 0.7 if dark else 0)
    side_window(m, 5.9, 6.9, 3.2, 4.3, -1.35, 0)
    box("vent", (-1.36, 4.2, 1.9), (-1.31, 4.5, 2.1), m.white, 0.006)
    kit.tube("flue", [(-1.4, 5.0, 2.35), (-1.15, 5.0, 2.35)], 0.06, m.white)
    box("tap", (-1.34, 3.1, 0.55), (-1.2, 3.16, 0.61), m.metal, 0.01)
    coil = [(-1.2 + 0.02 * math.sin(a * 3), 3.45 + 0.21 * math.cos(a), 0.75 + 0.21 * math.sin(a)) for a in np.linspace(0, 38, 220)]
    kit.tube("hose", coil, 0.011, kit.plain("hose", (0.02, 0.15, 0.03), 0.5), 6)
    ladder = kit.plain("alu", (0.4, 0.4, 0.4), 0.35, Metallic=0.8)
    for x in (1.2, 1.32):
        kit.tube("rail", [(x, 4.2, 0.35), (x, 7.6, 0.35)], 0.025, ladder)
    for i in range(11):
        kit.tube("rung", [(1.2, 4.4 + i * 0.3, 0.35), (1.32, 4.4 + i * 0.3, 0.35)], 0.014, ladder, 8)
    ivy = kit.leaf("ivy", (0.02, 0.05, 0.012), (0.06, 0.1, 0.025), 0.5, 0.3)
    p = np.stack([np.abs(rng.normal(size=2600)) * -0.07 + 1.44, rng.uniform(0.2, 3.6, 2600), 1.9 - np.abs(rng.normal(size=2600)) * 0.5], 1)
    kit.foliage("ivy", p, np.tile((-1.0, 0, 0.3), (2600, 1)) + rng.normal(size=(2600, 3)) * 0.5, 0.085, ivy, rng)
    for y in (1.3, 2.2, 6.3, 7.3, 8.0):
        r = rng.uniform(0.14, 0.26)
        kit.bush("weed", (1.25, y, 0), (r, r, r * 1.4), rng, m.leaf, 420, 0.05)
    kit.tree("next", (4.6, 6.8, 0), 6.0, rng, m.bark, m.leaf, 0.11, 60, 0.42, 1.2)
    kit.bush("nextshrub", (2.6, 2.5, 0), (0.9, 1.3, 2.5), rng, m.privet, 5200, 0.08)
    box("neighbour", (7.2, -3, 0), (12, 9.6, 5.4), kit.mottled("cream", (0.5, 0.46, 0.38), (0.58, 0.54, 0.46), 0.9, 0.9, 0.4, dirt=0.5))
    slab("front", -30, 30, 9.6, 13.2, 0.0, m.pavers)
    kit.hedge("fronthedge", (-6, 12.4, 0), (-1.2, 13, 1.1), rng, m.privet, 1200, 0.07)
    kit.hedge("fronthedge2", (1.8, 12.4, 0), (6, 13, 1.1), rng, m.privet, 1200, 0.07)
    street_bed(m, 13.2)
    far_side(m, rng, 23.4, dark, (-18, 18))
    car.Car(car.RED).place(1.5, 20.4, 0, z=-0.1)
    litter_leaves(rng, -1.2, 1.4, 0, 8.4, 150)
    if dark:
        kit.lamp((-0.9, 2.6, 2.5), 26)
    return View("Side gate", (-0.55, 0.0, 2.75), (0.12, 4.4, 0.35), 60, 42)


def side_window(m, y0, y1, z0, z1, x, lit):
    """A window in a wall that faces +x."""
    box("pane", (x - 0.02, y0, z0), (x + 0.012, y1, z1), kit.glow("lit", (1, 0.62, 0.3), lit) if lit else m.glass)
    f = 0.06
    for a, b in (((y0, z0), (y1, z0 + f)), ((y0, z1 - f), (y1, z1)), ((y0, z0), (y0 + f, z1)), ((y1 - f, z0), (y1, z1))):
        box("frame", (x - 0.03, a[0], a[1]), (x + 0.045, b[0], b[1]), m.white, 0.008)
    box("sill", (x, y0 - 0.06, z0 - 0.08), (x + 0.13, y1 + 0.06, z0 - 0.01), m.kerb, 0.01)


def garage(light, rng):
    m = Materials()
    floor = kit.mottled("floor", (0.17, 0.165, 0.155), (0.27, 0.26, 0.245), 1.1, 0.55, 0.25, 80)
    wall = kit.brick("block", (0.42, 0.41, 0.39), (0.5, 0.49, 0.46), (0.36, 0.35, 0.33), 0.44, 0.215, dirt=0.4)
    ceiling = kit.mottled("ceiling", (0.5, 0.49, 0.47), (0.56, 0.55, 0.53), 1.2, 0.9)
    slab("floor", -2.9, 2.9, -0.3, 6.6, 0, floor)
    box("wl", (-3.1, -0.3, 0), (-2.9, 6.6, 2.6), wall)
    box("wn", (-3.1, 6.5, 0), (-2.45, 6.7, 2.6), wall)
    box("wn2", (2.45, 6.5, 0), (3.1, 6.7, 2.6), wall)
    box("wn3", (-2.45, 6.5, 2.15), (2.45, 6.7, 2.6), wall)
    box("ws", (-3.1, -0.5, 0), (3.1, -0.3, 2.6), wall)
    # The right wall has the window.
    box("wr", (2.9, -0.3, 0), (3.1, 2.4, 2.6), wall)
    box("wr2", (2.9, 4.0, 0), (3.1, 6.6, 2.6), wall)
    box("wr3", (2.9, 2.4, 0), (3.1, 4.0, 1.1), wall)
    box("wr4", (2.9, 2.4, 2.05), (3.1, 4.0, 2.6), wall)
    for y in (2.4, 3.17, 3.94):
        box("mullion", (2.96, y, 1.1), (3.02, y + 0.06, 2.05), m.white, 0.005)
    for z in (1.1, 1.99):
        box("rail", (2.96, 2.4, z), (3.02, 4.0, z + 0.06), m.white, 0.005)
    box("ceiling", (-3.1, -0.5, 2.58), (3.1, 6.7, 2.7), ceiling)
    joist = kit.timber("joist", (0.3, 0.21, 0.12), along="x", weather=0.2)
    for y in np.arange(1.1, 6.5, 0.6):
        box("joist", (-2.9, y, 2.45), (2.9, y + 0.05, 2.58), joist)
    panel = kit.mottled("sect", (0.5, 0.5, 0.49), (0.56, 0.56, 0.55), 1, 0.5)
    for i in range(5):
        box("sect", (-2.42, 6.5, 0.01 + i * 0.43), (2.42, 6.56, 0.435 + i * 0.43), panel, 0.012)
        for k in range(5):
            box("ribs", (-2.3 + k * 0.95, 6.47, 0.06 + i * 0.43), (-1.5 + k * 0.95, 6.51, 0.38 + i * 0.43), panel, 0.01)
    for x in (-2.47, 2.43):
        box("track", (x, 6.42, 0), (x + 0.05, 6.5, 2.2), m.metal)
        box("track", (x, 3.6, 2.2), (x + 0.05, 6.5, 2.25), m.metal)
    box("opener", (-0.16, 3.4, 2.24), (0.16, 3.9, 2.43), m.black, 0.02)
    box("rail", (-0.03, 3.6, 2.3), (0.03, 6.4, 2.34), m.metal)
    workbench(m, rng)
    shelves(m, rng)
    car.Car(car.WHITE if light == "night_ir" else car.BLUE).place(0.45, 3.75, math.pi / 2 + 0.02)
    clutter(m, rng)
    on = {"night_ir": 0, "dusk": 1.0}.get(light, 0.55)
    for x in (-1.5, 1.4):
        box("batten", (x - 0.05, 2.2, 2.38), (x + 0.05, 3.7, 2.44), m.white)
        tube = kit.glow("tube", (1.0, 0.96, 0.9), 55 * on) if on else m.white
        kit.tube("tube", [(x, 2.25, 2.35), (x, 3.65, 2.35)], 0.016, tube)
    slab("outside", 3.2, 14, -6, 12, -0.05, m.concrete)
    kit.hedge("outhedge", (5.5, -2, 0), (6.2, 9, 1.8), rng, m.privet, 500, 0.1)
    return View("Garage", (2.55, 0.0, 2.22), (-0.4, 3.5, 0.45), 300, 30, indoor=True)


def workbench(m, rng):
    wood = kit.timber("bench", (0.34, 0.22, 0.12), along="y", weather=0.15)
    box("top", (-2.88, 1.2, 0.86), (-2.2, 3.6, 0.92), wood, 0.006)
    for y in (1.28, 2.4, 3.5):
        for x in (-2.82, -2.28):
            box("leg", (x - 0.04, y - 0.04, 0), (x + 0.04, y + 0.04, 0.86), wood)
    box("under", (-2.85, 1.25, 0.25), (-2.25, 3.55, 0.28), wood)
    peg = kit.mottled("pegboard", (0.3, 0.2, 0.11), (0.36, 0.25, 0.14), 2, 0.8)
    box("peg", (-2.9, 1.2, 1.15), (-2.87, 3.6, 2.05), peg)
    red, steel = kit.plain("toolred", (0.4, 0.03, 0.02), 0.4), kit.plain("steel", (0.4, 0.4, 0.4), 0.3, Metallic=0.9)
    for i in range(9):
        y = 1.35 + i * 0.25
        long = rng.uniform(0.18, 0.42)
        box("handle", (-2.86, y, 1.85 - long * 0.45), (-2.83, y + 0.035, 1.85), (red, m.dark, wood)[i % 3], 0.006)
        box("blade", (-2.86, y - 0.01, 1.85 - long), (-2.845, y + 0.045, 1.85 - long * 0.45), steel, 0.003)
    box("toolbox", (-2.7, 1.4, 0.92), (-2.4, 1.9, 1.14), red, 0.02)
    box("vice", (-2.42, 3.2, 0.92), (-2.2, 3.35, 1.08), kit.plain("vice", (0.03, 0.06, 0.14), 0.4), 0.02)
    for i in range(5):
        kit.tube("tin", [(-2.75 + 0.13 * (i % 2), 2.2 + i * 0.17, 0.92), (-2.75 + 0.13 * (i % 2), 2.2 + i * 0.17, 1.06 + 0.03 * (i % 3))], 0.055, (m.white, steel, red)[i % 3], 20)
        kit.tube("lid", [(-2.75 + 0.13 * (i % 2), 2.2 + i * 0.17, 1.06 + 0.03 * (i % 3)), (-2.75 + 0.13 * (i % 2), 2.2 + i * 0.17, 1.061 + 0.03 * (i % 3))], [0.055, 0.001], steel, 20)


def shelves(m, rng):
    steel = kit.plain("rack", (0.12, 0.13, 0.14), 0.5)
    colours = [(0.36, 0.23, 0.12), (0.42, 0.28, 0.16), (0.1, 0.12, 0.3), (0.3, 0.3, 0.29), (0.06, 0.16, 0.1), (0.4, 0.1, 0.05), (0.5, 0.5, 0.48)]
    mats = [kit.mottled("box", c, tuple(x * 0.85 for x in c), 3, 0.8) for c in colours]
    for y in (4.1, 6.2):
        for x in (-2.85, -2.35):
            box("upright", (x, y, 0), (x + 0.04, y + 0.04, 2.1), steel)
    for z in (0.15, 0.7, 1.25, 1.8):
        box("shelf", (-2.88, 4.1, z), (-2.3, 6.24, z + 0.03), steel)
        y = 4.18
        while y < 5.95:
            w, h = rng.uniform(0.2, 0.5), rng.uniform(0.16, 0.42)
            box("carton", (-2.82, y, z + 0.03), (-2.42 + rng.normal() * 0.03, min(y + w, 6.15), z + 0.03 + h), mats[rng.integers(len(mats))], 0.008, rng.normal() * 0.03)
            y += w + rng.uniform(0.02, 0.12)


def clutter(m, rng):
    """A bicycle's wheels, a mower, cans and a ladder: what every garage has."""
    frame = kit.plain("bike", (0.25, 0.02, 0.03), 0.3)
    for y in (4.5, 5.55):
        ring = [(2.66, y + 0.33 * math.cos(a), 0.34 + 0.33 * math.sin(a)) for a in np.linspace(0, 2 * math.pi, 40)]
        kit.tube("tyre", ring, 0.018, m.dark, 8)
        for a in np.linspace(0, math.pi, 9):
            kit.tube("spoke", [(2.66, y - 0.32 * math.cos(a), 0.34 - 0.32 * math.sin(a)), (2.66, y + 0.32 * math.cos(a), 0.34 + 0.32 * math.sin(a))], 0.003, m.metal, 4)
    bb, seat, head = (2.66, 5.0, 0.32), (2.66, 4.85, 0.78), (2.66, 5.38, 0.8)
    for a, b in ((bb, seat), (seat, head), (bb, head), ((2.66, 4.5, 0.34), seat), ((2.66, 4.5, 0.34), bb), ((2.66, 5.55, 0.34), (2.66, 5.36, 0.95))):
        kit.tube("frame", [a, b], 0.018, frame, 8)
    box("saddle", (2.6, 4.72, 0.86), (2.72, 4.98, 0.91), m.dark, 0.02)
    kit.tube("bars", [(2.4, 5.3, 1.0), (2.66, 5.38, 0.98), (2.86, 5.3, 1.0)], 0.014, m.dark, 8)
    green = kit.plain("mower", (0.02, 0.16, 0.04), 0.4)
    box("mower", (-1.95, 5.3, 0.08), (-1.45, 5.9, 0.34), green, 0.05)
    for a in ((-1.9, 5.35), (-1.5, 5.35)):
        kit.tube("handle", [(a[0], a[1], 0.3), (a[0], a[1] - 0.62, 0.95)], 0.013, m.dark, 8)
    kit.tube("handle", [(-1.9, 4.73, 0.95), (-1.5, 4.73, 0.95)], 0.015, m.dark, 8)
    for i, c in enumerate(((0.35, 0.03, 0.02), (0.02, 0.1, 0.03))):
        box("can", (2.3 + 0.0 * i, 0.6 + i * 0.35, 0), (2.62, 0.8 + i * 0.35, 0.36), kit.plain("can", c, 0.45), 0.03)
    for x in (-0.3, 0.12):
        kit.tube("ladder", [(x - 1.6, 6.42, 0), (x - 1.6, 6.4, 2.1)], 0.025, m.metal, 8)
    for z in np.arange(0.3, 2.1, 0.28):
        kit.tube("rung", [(-1.9, 6.41, z), (-1.48, 6.41, z)], 0.014, m.metal, 8)
    stain = kit.mottled("oil", (0.03, 0.028, 0.025), (0.05, 0.048, 0.045), 5, 0.3)
    ring = [(0, 0, 0.002)] + [((0.25 + 0.07 * math.sin(3 * a)) * math.cos(a), (0.2 + 0.05 * math.sin(5 * a)) * math.sin(a), 0.002) for a in np.linspace(0, 2 * math.pi, 30, endpoint=False)]
    o = kit.mesh("oil", ring, [(0, i + 1, (i + 1) % 30 + 1) for i in range(30)], stain)
    o.location = (-1.2, 2.6, 0.0)


def street(light, rng):
    m, dark = Materials(), light in ("dusk",)
    slab("base", -150, 150, -60, 2.4, -0.02, m.soil)
    kit.lawn("verge", -14, 12, 0.4, 2.0, rng)
    kit.hedge("hedge", (-14, 1.55, 0), (-1.6, 2.2, 0.95), rng, m.privet, 1900, 0.05)
    kit.hedge("hedge2", (0.4, 1.55, 0), (12, 2.2, 0.95), rng, m.privet, 1900, 0.05)
    slab("path", -1.3, 0.1, -1, 2.4, 0.01, m.slabs)
    street_bed(m, 2.35, -45, 45)
    far_side(m, rng, 12.6, dark, (-42, 42))
    for x, paint, way in ((-9.2, car.WHITE, 0), (-3.6, car.BLUE, 0), (2.6, car.RED, math.pi), (9.4, car.GREY, 0), (15.5, car.BLACK, 0), (-17, car.SILVER, 0), (-23.5, car.RED, 0)):
        car.Car(paint).place(x + rng.normal() * 0.2, 9.55, way, z=-0.1)
    lamp_post(m, -7.4, 3.9, 330 if dark else 0, 5.6, 1.2, math.pi / 2)
    lamp_post(m, 16, 11.2, 330 if dark else 0, 5.6, 1.2, -math.pi / 2)
    for x, y, h, leaves in ((-13, 11.6, 7.5, m.leaf), (6.3, 11.5, 6.5, m.privet), (24, 11.6, 8, m.leaf), (-29, 11.6, 8.5, m.privet)):
        kit.tree("street", (x, y, 0), h, rng, m.bark, leaves, 0.14, 48, 0.45, 2.0)
    for x in (1.3, 3.3):
        kit.bush("shrub", (x, 0.9, 0), (0.5, 0.4, 0.6), rng, m.leaf, 1800, 0.05)
    wheelie_bin(m, 3.9, 12.1, 0.1, (0.03, 0.03, 0.032))
    wheelie_bin(m, -12.1, 12.2, -0.2, (0.018, 0.06, 0.025))
    post = kit.plain("postbox", (0.35, 0.015, 0.012), 0.35)
    kit.tube("postbox", [(-5.6, 11.4, 0), (-5.6, 11.4, 1.35), (-5.6, 11.4, 1.36), (-5.6, 11.4, 1.46), (-5.6, 11.4, 1.52)], [0.23, 0.23, 0.27, 0.24, 0.02], post, 28)
    litter_leaves(rng, -10, 8, 2.4, 4.2, 160)
    return View("Street", (0.4, 0.1, 3.6), (-2.1, 6.6, 0.0), 330, 130)


BUILD = {"front_door": front_door, "driveway": driveway, "garden": garden,
         "side_gate": side_gate, "garage": garage, "street": street}


# ---------------------------------------------------------------- who comes by
PAINTS = {"white": car.WHITE, "black": car.BLACK, "silver": car.SILVER, "red": car.RED, "blue": car.BLUE}


def along(path, count):
    """`count` points and headings evenly along a smoothed polyline."""
    p = np.array(path, float)
    for _ in range(4):
        cut = np.concatenate([p[:-1] * 0.75 + p[1:] * 0.25, p[:-1] * 0.25 + p[1:] * 0.75], 1).reshape(-1, 2)
        p = np.concatenate([p[:1], cut, p[-1:]])
    step = np.linalg.norm(np.diff(p, axis=0), axis=1)
    s = np.concatenate([[0], np.cumsum(step)])
    at = np.linspace(0, s[-1], count)
    points = np.stack([np.interp(at, s, p[:, i]) for i in (0, 1)], 1)
    d = np.gradient(points, axis=0)
    return points, np.unwrap(np.arctan2(d[:, 1], d[:, 0])), at


class Actor:
    """Whoever plays a part: made once, set for each frame."""

    def __init__(self, play: Play):
        self.play = play
        length = along(play.path, 200)[2][-1]
        self.count = max(8, round(length / play.speed * play.fps))
        self.points, self.headings, self.way = along(play.path, self.count)
        self.dog = None
        if play.actor.startswith("car:"):
            lit = 1.5
            self.body = car.Car(PAINTS[play.actor[4:]], lit, actor=True)
        elif play.actor in animals.BEASTS:
            self.body = animals.Animal(play.actor)
        else:
            self.body = people.Person(people.LOOKS[play.actor])
            if play.extra.get("dog"):
                self.dog = animals.Animal("dog")

    def set(self, i):
        """Take the pose of frame i; returns points that the actor fills."""
        (x, y), h, gone = self.points[i], self.headings[i], self.way[i]
        z = self.play.z
        if isinstance(self.body, car.Car):
            z = z if z else (0.01 if y < 10 else -0.1 + 0.11 * np.clip((12.2 - y) / 1.2, 0, 1))
            last = max(0, min(i, self.count - 2))
            steer = float(np.clip((self.headings[last + 1] - self.headings[last]) * 4, -0.5, 0.5))
            return self.body.place(x, y, h, gone, steer, z)
        if isinstance(self.body, animals.Animal):
            return self.body.place(x, y, h, gone / self.body.stride, 0.25 * math.sin(i * 0.35), z=z)
        points = self.body.place(x, y, h, gone / self.body.stride, z)
        if self.dog:
            c, s = math.cos(h), math.sin(h)
            points = np.concatenate([points, self.dog.place(x + 1.0 * c - 0.45 * s, y + 1.0 * s + 0.45 * c, h, gone / self.dog.stride)])
        return points

    def hide(self, hidden):
        self.body.hide(hidden)
        if self.dog:
            self.dog.hide(hidden)
