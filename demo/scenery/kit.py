"""Materials, plants, lens and light that all scenes of the demonstration share.

Runs in Blender's Python module (`bpy`), in metres with z up. `MODE` sets how surfaces
look: by day in colour, by night as a silicon sensor sees them at 850 nm, where
leaves, cloth and skin are bright and colours mean nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Euler, Matrix, Vector


@dataclass
class Mode:
    """How materials are built: infrared or not, wet or not."""

    infrared: bool = False
    wet: bool = False


MODE = Mode()
ACTOR, FOLIAGE = 1, 2


# ---------------------------------------------------------------- node shorthand
class Nodes:
    """A thin hand on a material's node tree."""

    def __init__(self, tree):
        self.tree = tree

    def add(self, kind, **inputs):
        node = self.tree.nodes.new(kind)
        for key, value in inputs.items():
            self.put(node, key, value)
        return node

    def put(self, node, key, value):
        if key.startswith("_"):
            setattr(node, key[1:], value)
            return
        name = key.replace("__", " ")
        socket = node.inputs[int(name[1:])] if name[0] == "i" and name[1:].isdigit() else None
        socket = socket or node.inputs[name]
        if isinstance(value, bpy.types.NodeSocket):
            self.tree.links.new(value, socket)
        elif isinstance(value, tuple) and len(value) == 3 and socket.type == "RGBA":
            socket.default_value = (*value, 1)
        else:
            socket.default_value = value

    def math(self, op, a, b=0.0, c=0.0, clamp=False):
        node = self.add("ShaderNodeMath", _operation=op, _use_clamp=clamp, i0=a, i1=b)
        if op in ("MULTIPLY_ADD", "COMPARE", "SMOOTH_MIN", "SMOOTH_MAX"):
            self.put(node, "i2", c)
        return node.outputs[0]

    def mix(self, fac, a, b, blend="MIX"):
        node = self.add("ShaderNodeMix", _data_type="RGBA", _blend_type=blend)
        for i, v in ((0, fac), (6, a), (7, b)):
            self.put(node, f"i{i}", v)
        return node.outputs[2]

    def noise(self, scale, detail=4.0, vector=None, rough=0.55):
        """Fractal noise, `scale` features a metre, from a baked tile of 64 by 64 features.

        Looking it up takes a tenth of the time of Cycles' own noise node, which was
        three quarters of a plate's.
        """
        at = self.add("ShaderNodeVectorMath", _operation="SCALE", i0=vector or self.position())
        self.put(at, "Scale", scale / FEATURES)
        node = self.add("ShaderNodeTexImage", _image=noise_tile(detail > 2), _projection="BOX",
                        Vector=at.outputs[0])
        del rough
        return self.add("ShaderNodeSeparateColor", Color=node.outputs[0]).outputs[0]

    def sky_noise(self, scale, detail, vector, rough):
        node = self.add("ShaderNodeTexNoise", Scale=scale, Detail=detail, Roughness=rough, Vector=vector)
        return node.outputs[0]

    def ramp(self, fac, *stops):
        node = self.add("ShaderNodeValToRGB", Fac=fac)
        ramp = node.color_ramp
        while len(ramp.elements) < len(stops):
            ramp.elements.new(0.5)
        for element, (at, value) in zip(ramp.elements, stops, strict=True):
            element.position = at
            value = value if isinstance(value, tuple) else (value,) * 3
            element.color = (*value, 1)
        return node.outputs[0]

    def position(self):
        return self.add("ShaderNodeNewGeometry").outputs["Position"]

    def local(self):
        return self.add("ShaderNodeTexCoord").outputs["Object"]

    def xyz(self, vector):
        return self.add("ShaderNodeSeparateXYZ", Vector=vector).outputs

    def vec(self, x, y, z):
        return self.add("ShaderNodeCombineXYZ", X=x, Y=y, Z=z).outputs[0]

    def bump(self, height, strength=0.4, distance=0.01):
        node = self.add("ShaderNodeBump", Strength=strength, Distance=distance, Height=height)
        return node.outputs[0]

    def box_uv(self):
        """(u, v) on a wall or a floor from the world position: no seams, no unwrapping."""
        geometry = self.add("ShaderNodeNewGeometry")
        n, p = self.xyz(geometry.outputs["True Normal"]), self.xyz(geometry.outputs["Position"])
        side = self.math("GREATER_THAN", self.math("ABSOLUTE", n[0]), 0.6)
        flat = self.math("GREATER_THAN", self.math("ABSOLUTE", n[2]), 0.6)
        u = self.add("ShaderNodeMix", i0=side, i2=p[0], i3=p[1]).outputs[0]
        v = self.add("ShaderNodeMix", i0=flat, i2=p[2], i3=p[1]).outputs[0]
        return self.vec(u, v, 0.0)


FEATURES, TILE = 64, 1024


def noise_tile(is_rough):
    """A tile of power-law noise that joins itself on all sides, mean 0.5."""
    name = "noise_rough" if is_rough else "noise_soft"
    if name in bpy.data.images:
        return bpy.data.images[name]
    rng = np.random.default_rng(11)
    f = np.hypot(np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)[None]) * TILE
    slope = 1.75 if is_rough else 3.2
    gain = np.where(f < FEATURES * 0.35, 0, np.maximum(f, 1.0) ** -slope)
    field = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(TILE, TILE))) * gain, s=(TILE, TILE))
    field = np.clip(0.5 + 0.145 * field / field.std(), 0, 1)
    image = bpy.data.images.new(name, TILE, TILE, float_buffer=True)
    image.colorspace_settings.name = "Non-Color"
    pixels = np.ones((TILE, TILE, 4), np.float32)
    pixels[..., :3] = field[..., None]
    image.pixels.foreach_set(pixels.ravel())
    image.pack()
    return image


def luminance(colour):
    return 0.25 * colour[0] + 0.6 * colour[1] + 0.15 * colour[2]


def seen(colour, infrared=None):
    """The colour as this mode's sensor sees it; `infrared` is the albedo at 850 nm."""
    if not MODE.infrared:
        return colour
    value = infrared if infrared is not None else min(0.9, 0.08 + 0.9 * luminance(colour))
    return (value, value, value)


def material(name, colour=(0.5, 0.5, 0.5), rough=0.8, infrared=None, **inputs):
    """A principled material, its node hand and its shader."""
    mat = bpy.data.materials.new(name)
    mat.use_nodes = True
    nodes = Nodes(mat.node_tree)
    shader = mat.node_tree.nodes["Principled BSDF"]
    nodes.put(shader, "Base Color", seen(colour, infrared))
    nodes.put(shader, "Roughness", rough)
    for key, value in inputs.items():
        nodes.put(shader, key, value)
    return mat, nodes, shader


def plain(name, colour, rough=0.7, infrared=None, **inputs):
    return material(name, colour, rough, infrared, **inputs)[0]


def mottled(name, a, b, scale=3.0, rough=0.85, bump=0.0, fine=120.0, infrared=None, dirt=0.0):
    """Two colours in patches with a fine grain: render, concrete, soil, cloth."""
    mat, n, s = material(name, a, rough)
    a, b = seen(a, infrared), seen(b, infrared)
    at = n.position()
    patch = n.ramp(n.noise(scale, 4, at), (0.35, 0.0), (0.65, 1.0))
    colour = n.mix(patch, a, b)
    grain = n.noise(fine, 3, at, 0.7)
    colour = n.mix(0.55, colour, n.ramp(grain, (0.3, 0.35), (0.7, 0.65)), "OVERLAY")
    if dirt:
        z = n.xyz(at)[2]
        edge = n.math("MULTIPLY_ADD", n.noise(2.5, 4, at), 0.7, -0.1)
        low = n.math("SUBTRACT", 1.0, n.math("DIVIDE", z, edge), clamp=True)
        colour = n.mix(n.math("MULTIPLY", low, dirt), colour, seen((0.06, 0.06, 0.045)))
    n.put(s, "Base Color", colour)
    if bump:
        n.put(s, "Normal", n.bump(grain, bump, 0.004))
    return mat


def asphalt(name="asphalt", tone=0.055):
    """Worn tarmac: aggregate, patches, cracks, oil; wet it mirrors in its hollows."""
    mat, n, s = material(name)
    at = n.position()
    base = n.ramp(n.noise(0.45, 4, at), (0.3, tone * 0.75), (0.7, tone * 1.35))
    grit = n.ramp(n.noise(110, 6, at), (0.2, 0.28), (0.8, 0.72))
    colour = n.mix(0.75, base, grit, "OVERLAY")
    worn = n.ramp(n.noise(6, 4, at), (0.3, 0.42), (0.7, 0.58))
    colour = n.mix(0.7, colour, worn, "OVERLAY")
    stain = n.ramp(n.noise(0.9, 3, at), (0.6, 0.0), (0.75, 0.6))
    colour = n.mix(stain, colour, (tone * 0.4,) * 3)
    n.put(s, "Base Color", colour)
    n.put(s, "Roughness", 0.9)
    n.put(s, "Normal", n.bump(grit, 0.5, 0.004))
    if MODE.wet:
        wetness(n, s, at, colour)
    return mat


def wetness(n, s, at, colour):
    pools = n.ramp(n.noise(0.7, 4, at), (0.42, 0.42), (0.56, 0.04))
    n.put(s, "Roughness", pools)
    n.put(s, "Base Color", n.mix(1.0, colour, (0.45,) * 3, "MULTIPLY"))


def brick(name="brick", a=(0.28, 0.095, 0.06), b=(0.42, 0.17, 0.1), mortar=(0.42, 0.39, 0.34),
          width=0.225, height=0.075, dirt=0.5):
    """Coursed brick with bowed joints, a different firing for each brick, damp at the foot."""
    mat, n, s = material(name, rough=0.88)
    uv = n.box_uv()
    tex = n.add("ShaderNodeTexBrick", Vector=uv, Color1=seen(a), Color2=seen(b),
                Mortar=seen(mortar), Scale=1.0)
    for key, value in (("Mortar Size", 0.006), ("Mortar Smooth", 0.3), ("Bias", 0.0),
                       ("Brick Width", width), ("Row Height", height)):
        tex.inputs[key].default_value = value
    at = n.position()
    grain = n.noise(60, 4, at, 0.7)
    colour = n.mix(0.7, tex.outputs["Color"], n.ramp(grain, (0.25, 0.3), (0.75, 0.7)), "OVERLAY")
    patch = n.ramp(n.noise(0.8, 4, at), (0.3, 0.35), (0.7, 0.65))
    colour = n.mix(0.6, colour, patch, "OVERLAY")
    if dirt:
        z = n.xyz(at)[2]
        low = n.math("SUBTRACT", 0.75, n.math("MULTIPLY_ADD", n.noise(3, 4, at), -0.8, z), clamp=True)
        colour = n.mix(n.math("MULTIPLY", low, dirt), colour, seen((0.05, 0.055, 0.035)))
    n.put(s, "Base Color", colour)
    joint = n.math("SUBTRACT", 1.0, tex.outputs["Fac"])
    n.put(s, "Normal", n.bump(n.math("MULTIPLY_ADD", grain, 0.35, joint), 0.7, 0.008))
    return mat


def paving(name="paving", a=(0.3, 0.28, 0.25), b=(0.4, 0.38, 0.34), width=0.6, height=0.6,
           joint=(0.09, 0.09, 0.06), gap=0.008, offset=0.5, shade=0.45):
    """Slabs, setts or block paving: unequal stones, mossy joints, lichen and chewing-gum spots."""
    mat, n, s = material(name, rough=0.85)
    at = n.position()
    tex = n.add("ShaderNodeTexBrick", Vector=at, Color1=seen(a), Color2=seen(b),
                Mortar=seen(joint), Scale=1.0, _offset=offset)
    for key, value in (("Mortar Size", gap), ("Mortar Smooth", 0.2), ("Brick Width", width),
                       ("Row Height", height)):
        tex.inputs[key].default_value = value
    grain = n.noise(70, 4, at, 0.75)
    colour = n.mix(shade, tex.outputs["Color"], n.ramp(grain, (0.25, 0.3), (0.75, 0.7)), "OVERLAY")
    patch = n.ramp(n.noise(0.9, 4, at), (0.3, 0.3), (0.7, 0.68))
    colour = n.mix(0.8, colour, patch, "OVERLAY")
    moss = n.math("MULTIPLY", n.ramp(n.noise(1.3, 4, at), (0.52, 0.0), (0.72, 0.75)),
                  n.ramp(n.noise(25, 3, at), (0.4, 0.0), (0.6, 1.0)))
    colour = n.mix(moss, colour, seen((0.06, 0.075, 0.03), 0.3))
    n.put(s, "Base Color", colour)
    hollow = n.math("MULTIPLY_ADD", grain, 0.3, n.math("SUBTRACT", 1.0, tex.outputs["Fac"]))
    n.put(s, "Normal", n.bump(hollow, 0.6, 0.008))
    if MODE.wet:
        wetness(n, s, at, colour)
    return mat


def timber(name="timber", colour=(0.26, 0.16, 0.085), rough=0.75, along="z", weather=0.5):
    """Sawn boards: grain along an axis, grey where the weather got at it."""
    mat, n, s = material(name, rough=rough)
    p = n.xyz(n.position())
    k = {"x": (1.2, 22.0, 22.0), "y": (22.0, 1.2, 22.0), "z": (22.0, 22.0, 1.2)}[along]
    stretched = n.vec(*(n.math("MULTIPLY", p[i], k[i]) for i in range(3)))
    grain = n.noise(1.6, 6, stretched, 0.65)
    each = n.add("ShaderNodeObjectInfo").outputs["Random"]
    base = seen(colour)
    dark, grey = tuple(c * 0.5 for c in base), seen((0.3, 0.28, 0.25))
    tint = n.mix(n.ramp(grain, (0.35, 0.0), (0.65, 1.0)), dark, base)
    tint = n.mix(n.math("MULTIPLY", n.noise(0.8, 4, n.position()), weather), tint, grey)
    value = n.math("MULTIPLY_ADD", each, 0.5, 0.75)
    tint = n.mix(1.0, tint, n.vec(value, value, value), "MULTIPLY")
    n.put(s, "Base Color", tint)
    n.put(s, "Normal", n.bump(grain, 0.35, 0.004))
    return mat


def leaf(name, a=(0.05, 0.12, 0.02), b=(0.12, 0.2, 0.035), infrared=0.5, gloss=0.45):
    """A leaf: light through it as well as on it, no two of quite the same green."""
    mat, n, s = material(name, rough=gloss)
    random = n.noise(2.3, 2, n.position())
    each = n.add("ShaderNodeNewGeometry").outputs["Random Per Island"]
    fac = n.math("MULTIPLY_ADD", each, 0.75, n.math("MULTIPLY_ADD", random, 0.9, -0.35), clamp=True)
    tint = n.mix(fac, seen(a, infrared * 0.75), seen(b, infrared))
    n.put(s, "Base Color", tint)
    translucent = n.add("ShaderNodeBsdfTranslucent", Color=n.mix(0.35, tint, seen((0.3, 0.4, 0.02), infrared)))
    mixed = n.add("ShaderNodeMixShader", i0=0.35, i1=s.outputs[0], i2=translucent.outputs[0])
    out = next(x for x in mat.node_tree.nodes if x.type == "OUTPUT_MATERIAL")
    mat.node_tree.links.new(mixed.outputs[0], out.inputs[0])
    return mat


def glass(name="glass", tint=(0.02, 0.025, 0.03)):
    """A window pane from outside: dark room behind, sky in front; cheap and without caustics."""
    mat, n, s = material(name, tint, 0.04, infrared=0.02)
    wavy = n.noise(1.4, 2, n.position())
    n.put(s, "Normal", n.bump(wavy, 0.05, 0.03))
    n.put(s, "Specular IOR Level", 0.8)
    return mat


def glow(name, colour, strength):
    mat, n, s = material(name, (0.8, 0.8, 0.8), 0.5)
    n.put(s, "Emission Color", colour)
    n.put(s, "Emission Strength", strength)
    return mat


# ---------------------------------------------------------------- geometry
def link(obj):
    bpy.context.scene.collection.objects.link(obj)
    return obj


def mesh(name, verts, faces, mat=None, smooth=False):
    """An object from arrays: verts (n, 3), faces (m, 3 or 4) of one size."""
    data = bpy.data.meshes.new(name)
    verts, faces = np.asarray(verts, np.float32), np.asarray(faces, np.int32)
    size = faces.shape[1]
    data.vertices.add(len(verts))
    data.vertices.foreach_set("co", verts.ravel())
    data.loops.add(faces.size)
    data.loops.foreach_set("vertex_index", faces.ravel())
    data.polygons.add(len(faces))
    data.polygons.foreach_set("loop_start", np.arange(0, faces.size, size, dtype=np.int32))
    # Without the attribute a new mesh is smooth, which rounds the light off every box.
    data.polygons.foreach_set("use_smooth", np.full(len(faces), smooth))
    data.update(calc_edges=True)
    obj = link(bpy.data.objects.new(name, data))
    if mat is not None:
        data.materials.append(mat)
    return obj


def box(name, lo, hi, mat, bevel=0.0, turn=0.0):
    """A box between two corners, its edges broken so that they catch light."""
    lo, hi = np.array(lo, float), np.array(hi, float)
    mid, half = (lo + hi) / 2, np.abs(hi - lo) / 2
    corners = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * half
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    obj = mesh(name, corners, faces, mat)
    obj.location, obj.rotation_euler = mid, (0, 0, turn)
    if bevel:
        mod = obj.modifiers.new("bevel", "BEVEL")
        mod.width, mod.segments = bevel, 2
    return obj


def slab(name, x0, x1, y0, y1, z, mat):
    """A flat ground piece; a little thickness hides light leaks at its edge."""
    return box(name, (x0, y0, z - 0.12), (x1, y1, z), mat)


def tube(name, path, radius, mat, sides=12, smooth=True, caps=True):
    """A round tube along points; radius one number or one for each point."""
    path = np.asarray(path, float)
    radius = np.broadcast_to(np.asarray(radius, float), (len(path),))
    rings = []
    for i, p in enumerate(path):
        t = path[min(i + 1, len(path) - 1)] - path[max(i - 1, 0)]
        t = t / (np.linalg.norm(t) + 1e-9)
        u = np.cross(t, (0.0, 0.0, 1.0) if abs(t[2]) < 0.9 else (1.0, 0.0, 0.0))
        u /= np.linalg.norm(u)
        a = np.linspace(0, 2 * np.pi, sides, endpoint=False)[:, None]
        rings.append(p + radius[i] * (np.cos(a) * u + np.sin(a) * np.cross(t, u)))
    verts = np.concatenate(rings)
    k = np.arange(sides)
    faces = [np.stack([i * sides + k, i * sides + (k + 1) % sides,
                       (i + 1) * sides + (k + 1) % sides, (i + 1) * sides + k], 1)
             for i in range(len(path) - 1)]
    obj = mesh(name, verts, np.concatenate(faces), mat, smooth)
    return obj


def sphere(name, at, radius, mat, squash=(1, 1, 1), rings=16):
    u, v = np.meshgrid(np.linspace(0, 2 * np.pi, rings * 2 + 1), np.linspace(0, np.pi, rings + 1))
    verts = np.stack([np.cos(u) * np.sin(v), np.sin(u) * np.sin(v), np.cos(v)], -1).reshape(-1, 3)
    verts = verts * np.array(squash) * radius + np.array(at)
    w = rings * 2 + 1
    i, j = np.meshgrid(np.arange(rings), np.arange(rings * 2), indexing="ij")
    a = (i * w + j).ravel()
    return mesh(name, verts, np.stack([a, a + w, a + w + 1, a + 1], 1), mat, True)


def group(name, objects, location=(0, 0, 0), turn=0.0):
    """Hang objects on one empty, so that they move as one."""
    empty = link(bpy.data.objects.new(name, None))
    for obj in objects:
        if obj.parent is None:
            obj.parent = empty
    empty.location, empty.rotation_euler = location, (0, 0, turn)
    return empty


# ---------------------------------------------------------------- plants
def cards(points, normals, size, rng, aspect=0.55, fold=0.25):
    """Leaves as folded diamonds, one at each point: (4n verts, 2n triangles-as-quads)."""
    n = len(points)
    size = size * rng.uniform(0.6, 1.3, (n, 1))
    normals = normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9)
    random = rng.normal(size=(n, 3))
    along = np.cross(normals, random)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    across = np.cross(normals, along)
    base = points - along * size * 0.5
    tip = points + along * size * 0.5 - normals * size * 0.15
    wing = normals * size * fold
    left, right = points + across * size * aspect * 0.5 + wing, points - across * size * aspect * 0.5 + wing
    verts = np.stack([base, left, tip, right], 1).reshape(-1, 3)
    k = np.arange(n)[:, None] * 4
    return verts, np.concatenate([k + (0, 1, 2), k + (0, 2, 3)], 1).reshape(-1, 3)


def foliage(name, points, normals, size, mat, rng, **kw):
    verts, faces = cards(points, normals, size, rng, **kw)
    obj = mesh(name, verts, faces, mat)
    obj.pass_index = FOLIAGE
    return obj


def branch_walk(rng, start, direction, length, radius, depth, out, tips):
    """Grow one branch as a wandering polyline, then its children."""
    steps = 5
    points, radii = [start], [radius]
    d = direction / np.linalg.norm(direction)
    for i in range(steps):
        d = d + rng.normal(size=3) * 0.16 + np.array((0, 0, 0.06))
        d /= np.linalg.norm(d)
        points.append(points[-1] + d * length / steps)
        radii.append(radius * (1 - 0.45 * (i + 1) / steps))
        if depth <= 1:
            tips.append(points[-1])
    out.append((points, radii))
    if depth == 0:
        return
    for _ in range(4 if depth > 1 else 5):
        at = points[rng.integers(2, steps + 1)]
        side = rng.normal(size=3)
        side[2] = abs(side[2]) * 0.6
        branch_walk(rng, at, d * 0.55 + side * 0.6, length * rng.uniform(0.55, 0.75),
                    radii[-1] * 0.75, depth - 1, out, tips)


def tree(name, at, height, rng, bark, leaves, leaf_size=0.09, density=70, spread=0.32, trunk=0.0):
    """A broad-leaved tree: grown branches, leaves in clouds round the twigs."""
    out, tips = [], []
    root = np.array(at, float)
    length = height * 0.45
    branch_walk(rng, root + (0, 0, trunk), np.array((0.0, 0.0, 1.0)), length, height * 0.022, 3, out, tips)
    if trunk:
        tube(name + "_bole", [root, root + (0, 0, trunk)], [height * 0.032, height * 0.022], bark)
    for i, (points, radii) in enumerate(out):
        tube(f"{name}_b{i}", points, radii, bark, sides=7)
    tips = np.array(tips)
    centres = np.repeat(tips, density, 0)
    offset = rng.normal(size=centres.shape) * spread
    points = centres + offset
    up = offset * 0.8 + rng.normal(size=points.shape) * 0.5 * spread + np.array((0, 0, 0.5 * spread))
    return foliage(name, points, up, leaf_size, leaves, rng)


def hedge(name, lo, hi, rng, mat, density=2600, size=0.055, ragged=0.07):
    """A clipped hedge: a dark heart and a ragged skin of leaves."""
    lo, hi = np.array(lo, float), np.array(hi, float)
    dims = hi - lo
    heart = plain(name + "_heart", (0.012, 0.02, 0.006), 1.0, 0.06)
    box(name + "_heart", lo + 0.12, hi - 0.12, heart)
    points, normals = [], []
    for axis in range(3):
        for end in (0, 1):
            if axis == 2 and end == 0:
                continue
            others = [a for a in range(3) if a != axis]
            count = int(density * dims[others[0]] * dims[others[1]])
            p = rng.uniform(lo, hi, (count, 3))
            wave = 0.05 * np.sin(p[:, others[0]] * 2.1) + 0.04 * np.sin(p[:, others[1]] * 5.3 + 1)
            depth = np.abs(rng.normal(size=count)) * ragged
            p[:, axis] = (hi[axis] - depth + wave + 0.04) if end else (lo[axis] + depth - wave - 0.04)
            d = np.zeros((count, 3))
            d[:, axis] = 1 if end else -1
            points.append(p)
            normals.append(d + rng.normal(size=(count, 3)) * 0.7)
    return foliage(name, np.concatenate(points), np.concatenate(normals), size, mat, rng)


def bush(name, at, radii, rng, mat, count=3500, size=0.06):
    """A round shrub."""
    d = rng.normal(size=(count, 3))
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    d[:, 2] = np.abs(d[:, 2])
    lumps = 1 + 0.22 * np.sin(d[:, 0:1] * 5 + d[:, 1:2] * 4) + 0.12 * np.sin(d[:, 2:3] * 11 + d[:, 1:2] * 9)
    r = rng.uniform(0.55, 1.0, (count, 1)) ** 0.5 * lumps
    points = d * r * np.array(radii) + np.array(at)
    return foliage(name, points, d + rng.normal(size=d.shape) * 0.6, size, mat, rng)


def grass_tuft(rng, mat, reach=0.42, blades=4200, height=0.05):
    """A round patch of lawn that thins to its rim, to be laid many times without a seam."""
    angle, away = rng.uniform(0, 2 * np.pi, blades), np.abs(rng.normal(size=blades)) * reach
    root = np.stack([away * np.cos(angle), away * np.sin(angle), np.zeros(blades)], 1)
    lean = np.concatenate([rng.normal(size=(blades, 2)) * 0.55, np.ones((blades, 1))], 1)
    long = height * rng.uniform(0.4, 1.4, (blades, 1))
    tip = root + lean * long
    turn = rng.uniform(0, np.pi, blades)
    across = np.stack([np.cos(turn), np.sin(turn), np.zeros(blades)], 1) * 0.004
    mid = root + lean * long * 0.5 + np.array((0, 0, 0.006))
    verts = np.stack([root - across, root + across, mid + across * 0.8, tip], 1).reshape(-1, 3)
    k = np.arange(blades)[:, None] * 4
    faces = np.concatenate([k + (0, 1, 2), k + (0, 2, 3)], 1).reshape(-1, 3)
    obj = mesh("tuft", verts, faces, mat)
    bpy.context.scene.collection.objects.unlink(obj)
    return obj


def lawn(name, x0, x1, y0, y1, rng, z=0.0, height=0.05):
    """Grass blades over thatch, in an irregular scatter."""
    green = leaf(name + "_blade", (0.05, 0.095, 0.018), (0.15, 0.19, 0.05), 0.42, 0.6)
    soil = mottled(name + "_soil", (0.05, 0.075, 0.02), (0.11, 0.12, 0.045), 0.8, 1.0, 0.5, 50, infrared=0.3)
    slab(name, x0, x1, y0, y1, z, soil)
    tufts = [grass_tuft(rng, green, height=height * k) for k in (0.75, 0.9, 1.1)]
    step = 0.47
    for cx in np.arange(x0, x1 + step, step):
        for cy in np.arange(y0, y1 + step, step):
            px, py = cx + rng.normal() * 0.12, cy + rng.normal() * 0.12
            room = min(px - x0, x1 - px, py - y0, y1 - py)
            if room < 0.02:
                continue
            obj = link(bpy.data.objects.new("grass", tufts[rng.integers(3)].data))
            s = min(1.0, max(0.16, room / 0.6))
            obj.location, obj.rotation_euler = (px, py, z), (0, 0, rng.uniform(0, 6.28))
            obj.scale = (s, s, rng.uniform(0.75, 1.2) * (0.6 + 0.4 * s))


def fence(name, start, end, rng, height=1.8, board=0.14, z=0.0):
    """Close-boarded fence on posts with a gravel board, boards not quite plumb."""
    wood = timber(name, (0.3, 0.175, 0.09), weather=0.6)
    concrete = mottled(name + "_post", (0.32, 0.31, 0.28), (0.42, 0.4, 0.37), 4, dirt=0.5)
    a, b = np.array(start, float), np.array(end, float)
    length = np.linalg.norm(b - a)
    turn = math.atan2(b[1] - a[1], b[0] - a[0])
    at = lambda s, off=0.0: a + (b - a) * s / length + off * np.array((-math.sin(turn), math.cos(turn)))  # noqa: E731
    for s in np.arange(board / 2, length, board * 0.93):
        p, h = at(s, rng.normal() * 0.004), height + rng.normal() * 0.008
        o = box(name, (-board / 2, -0.009, 0.16), (board / 2, 0.009, h), wood, turn=turn)
        o.location = (p[0], p[1], z + (0.16 + h) / 2)
        o.rotation_euler = (rng.normal() * 0.004, rng.normal() * 0.006, turn + rng.normal() * 0.03)
    for s in np.arange(0, length + 0.5, 1.83):
        p = at(min(s, length))
        o = box(name + "_post", (-0.05, -0.06, 0), (0.05, 0.06, height + 0.06), concrete, 0.006, turn)
        o.location = (p[0], p[1], z + (height + 0.06) / 2)
    p = at(length / 2)
    o = box(name + "_foot", (-length / 2, -0.025, 0), (length / 2, 0.025, 0.16), concrete, turn=turn)
    o.location = (p[0], p[1], z + 0.08)


# ---------------------------------------------------------------- lens
SENSOR = 36.0


@dataclass(frozen=True)
class Lens:
    """A 2.8 mm security lens: between rectilinear and stereographic, so lines bow a little."""

    half_angle: float = math.radians(48)
    bow: float = 0.55

    def radius(self, theta):
        def shape(t):
            return (1 - self.bow) * np.tan(t) + self.bow * 2 * np.tan(t / 2)
        return SENSOR / 2 * shape(theta) / shape(self.half_angle)

    def polynomial(self):
        theta = np.linspace(0, self.half_angle * 1.2, 200)
        r = self.radius(theta)
        powers = np.stack([r, r**2, r**3, r**4], 1)
        return np.linalg.lstsq(powers, theta, rcond=None)[0]


LENS = Lens()


def camera(at, look, width=1280, height=720):
    """Mount the camera at a point, looking at another."""
    data = bpy.data.cameras.new("camera")
    data.type, data.panorama_type = "PANO", "FISHEYE_LENS_POLYNOMIAL"
    data.sensor_width, data.sensor_fit = SENSOR, "HORIZONTAL"
    data.fisheye_fov = math.radians(170)
    data.fisheye_polynomial_k0 = 0.0
    for key, value in zip(("k1", "k2", "k3", "k4"), LENS.polynomial(), strict=True):
        setattr(data, f"fisheye_polynomial_{key}", -float(value))
    obj = link(bpy.data.objects.new("camera", data))
    obj.location = at
    obj.rotation_euler = (Vector(look) - Vector(at)).to_track_quat("-Z", "Y").to_euler()
    scene = bpy.context.scene
    scene.camera = obj
    scene.render.resolution_x, scene.render.resolution_y = width, height
    bpy.context.view_layer.update()
    return obj


def project(points, width, height):
    """World points (n, 3) to pixels (n, 2) of the picture, y down; behind the lens is NaN."""
    cam = bpy.context.scene.camera
    inverse = np.array(cam.matrix_world.inverted())
    p = np.asarray(points) @ inverse[:3, :3].T + inverse[:3, 3]
    side = np.hypot(p[:, 0], p[:, 1])
    theta = np.arctan2(side, -p[:, 2])
    r = LENS.radius(np.minimum(theta, 1.35)) * width / SENSOR
    k = r / np.maximum(side, 1e-9)
    out = np.stack([width / 2 + p[:, 0] * k, height / 2 - p[:, 1] * k], 1)
    out[theta > 1.35] = np.nan
    return out


# ---------------------------------------------------------------- light
LIGHTS = {
    # name: (sun height, azimuth offset, sun watts, sun colour, sky strength, cloud cover)
    "morning": (24, -60, 2.9, (1.0, 0.86, 0.68), 0.13, 0.45),
    "noon": (54, 15, 3.4, (1.0, 0.95, 0.88), 0.14, 0.5),
    "afternoon": (15, 62, 2.7, (1.0, 0.74, 0.47), 0.12, 0.4),
    "overcast": (40, 0, 0.0, (1, 1, 1), 0.10, 1.0),
    "dusk": (1.2, 80, 0.0, (1, 1, 1), 0.10, 0.55),
    "night_ir": (0, 0, 0.0, (1, 1, 1), 0.0, 0.0),
}


def sky_nodes(n, back, name):
    """Clear sky with clouds drawn on a flat ceiling, hazy towards the horizon."""
    height, azimuth, _, _, _, cover = LIGHTS[name]
    direction = n.add("ShaderNodeTexCoord").outputs["Generated"]
    sky = n.add("ShaderNodeTexSky", _sky_type="MULTIPLE_SCATTERING", _sun_disc=False,
                _sun_elevation=math.radians(max(height, 1.2)), _sun_rotation=math.radians(azimuth))
    d = n.xyz(direction)
    up = n.math("MAXIMUM", d[2], 0.03)
    flat = n.vec(n.math("DIVIDE", d[0], up), n.math("DIVIDE", d[1], up), 0.0)
    low = n.math("MULTIPLY", n.math("SUBTRACT", d[2], 0.03), 9.0, clamp=True)
    clouds = n.sky_noise(0.75, 8, flat, 0.62)
    if cover >= 1:
        tone = n.ramp(n.sky_noise(0.5, 7, flat, 0.55), (0.25, (0.52, 0.55, 0.6)), (0.75, (0.86, 0.88, 0.9)))
        colour = n.mix(low, (6.6, 6.8, 7.0), n.mix(1.0, tone, (9.0, 9.0, 9.0), "MULTIPLY"))
    else:
        white = {"dusk": (1.6, 1.2, 1.25), "afternoon": (9, 7.6, 6.4)}.get(name, (10, 10, 10.4))
        veil = n.ramp(clouds, (0.62 - cover * 0.3, 0.0), (0.9 - cover * 0.3, 0.9))
        haze = n.math("SUBTRACT", 1.0, n.math("MULTIPLY", d[2], 5.0), clamp=True)
        cloudy = n.mix(n.math("MULTIPLY", veil, low), sky.outputs[0], white)
        colour = n.mix(n.math("MULTIPLY", haze, 0.35), cloudy, white)
    n.put(back, "Color", colour)


def bake_sky(name, path):
    """Draw a light's sky once as a panorama, since its noise would cost more than the scene."""
    scene = reset(1, 1536, 768)
    bpy.context.view_layer.use_pass_object_index = False
    scene.cycles.use_denoising = False
    world = bpy.data.worlds.new("sky")
    scene.world = world
    world.use_nodes = True
    sky_nodes(Nodes(world.node_tree), world.node_tree.nodes["Background"], name)
    data = bpy.data.cameras.new("pano")
    data.type, data.panorama_type = "PANO", "EQUIRECTANGULAR"
    obj = link(bpy.data.objects.new("pano", data))
    obj.rotation_euler = (math.pi / 2, 0, -math.pi / 2)
    scene.camera = obj
    scene.render.image_settings.media_type = "IMAGE"
    scene.render.image_settings.file_format = "OPEN_EXR"
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)


def light_world(name, north, skies, shade=False):
    """Sky, clouds and sun; `north` is the scene's compass (degrees), `shade` hides the sun."""
    height, azimuth, watts, colour, strength, _ = LIGHTS[name]
    world = bpy.data.worlds.new("world")
    bpy.context.scene.world = world
    world.use_nodes = True
    n = Nodes(world.node_tree)
    back = world.node_tree.nodes["Background"]
    if name == "night_ir":
        back.inputs[0].default_value = (1, 1, 1, 1)
        back.inputs[1].default_value = 0.0006
        return
    turned = n.add("ShaderNodeVectorRotate", _rotation_type="Z_AXIS", Angle=math.radians(north),
                   Vector=n.add("ShaderNodeTexCoord").outputs["Generated"])
    image = bpy.data.images.load(str(skies / f"sky_{name}.exr"), check_existing=True)
    sky = n.add("ShaderNodeTexEnvironment", _image=image, Vector=turned.outputs[0])
    n.put(back, "Color", sky.outputs[0])
    n.put(back, "Strength", strength)
    if watts and not shade:
        lamp = bpy.data.lights.new("sun", "SUN")
        lamp.energy, lamp.color, lamp.angle = watts, colour, math.radians(0.6)
        obj = link(bpy.data.objects.new("sun", lamp))
        h, turn = math.radians(height), math.radians(north + azimuth)
        # The sky texture turns clockwise from north (+y).
        to_sun = Vector((math.sin(turn) * math.cos(h), math.cos(turn) * math.cos(h), math.sin(h)))
        obj.rotation_euler = to_sun.to_track_quat("Z", "Y").to_euler()


def illuminator(watts=60.0):
    """The camera's own ring of infrared diodes: bright near, soft edge, gone in the distance."""
    cam = bpy.context.scene.camera
    lamp = bpy.data.lights.new("ir", "SPOT")
    lamp.energy, lamp.spot_size, lamp.spot_blend = watts, math.radians(118), 0.85
    lamp.shadow_soft_size = 0.02
    obj = link(bpy.data.objects.new("ir", lamp))
    offset = cam.matrix_world.to_3x3() @ Vector((0.03, 0.055, 0.0))
    obj.location = cam.location + offset
    obj.rotation_euler = cam.rotation_euler
    return obj


def lamp(at, watts, colour=(1.0, 0.72, 0.42), radius=0.06):
    data = bpy.data.lights.new("lamp", "POINT")
    data.energy, data.color, data.shadow_soft_size = watts, colour, radius
    obj = link(bpy.data.objects.new("lamp", data))
    obj.location = at
    return obj


def reset(samples, width, height):
    """An empty Cycles scene."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    cycles = scene.cycles
    cycles.samples, cycles.use_adaptive_sampling, cycles.adaptive_threshold = samples, True, 0.04
    cycles.use_denoising, cycles.denoiser = True, "OPENIMAGEDENOISE"
    cycles.denoising_prefilter = "FAST"
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 4, 2, 2
    cycles.transmission_bounces, cycles.transparent_max_bounces = 4, 8
    cycles.sample_clamp_indirect, cycles.sample_clamp_direct = 6.0, 30.0
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.use_light_tree = True
    cycles.seed = 7
    scene.render.use_persistent_data = True
    scene.render.threads_mode = "FIXED"
    scene.render.threads = 2
    scene.render.resolution_x, scene.render.resolution_y = width, height
    bpy.context.view_layer.use_pass_object_index = True
    settings = scene.render.image_settings
    settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format = "OPEN_EXR_MULTILAYER"
    settings.color_depth = "16"
    return scene


__all__ = ["Euler", "Matrix", "Vector"]
