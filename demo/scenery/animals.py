"""Cat, fox and dog: bodies of tapered limbs merged together, with a gait and coats."""

from __future__ import annotations

import math
from dataclasses import dataclass

import bpy
import kit
import numpy as np


@dataclass(frozen=True)
class Beast:
    """Measures in metres of a four-legged animal; z 0 is the ground, facing +x."""

    shoulder: float
    back: float
    leg: float
    body: float
    neck: float
    head: float
    muzzle: float
    tail: tuple
    ear: float
    coat: tuple
    belly: tuple
    infrared: float = 0.5
    dark_legs: bool = False
    stride: float = 0.5
    chest: float = 1.0
    stripes: bool = False
    floppy: bool = False


CAT = Beast(0.25, 0.17, 0.17, 0.074, 0.05, 0.05, 0.035, (0.33, 0.016, 0.75), 0.045, (0.2, 0.1, 0.04), (0.42, 0.3, 0.18),
            0.5, stride=0.42, stripes=True)
FOX = Beast(0.38, 0.25, 0.27, 0.088, 0.075, 0.062, 0.085, (0.42, 0.05, -0.35), 0.075, (0.24, 0.08, 0.025), (0.55, 0.45, 0.35),
            0.55, dark_legs=True, stride=0.72)
DOG = Beast(0.53, 0.33, 0.36, 0.115, 0.12, 0.088, 0.1, (0.36, 0.028, 0.5), 0.075, (0.16, 0.085, 0.035), (0.3, 0.2, 0.11),
            0.55, stride=0.95, chest=1.2, floppy=True)
BEASTS = {"cat": CAT, "fox": FOX, "dog": DOG}


def limb(a, b, ra, rb, sides=10, rings=7):
    """A closed tapered capsule from a to b."""
    a, b = np.array(a, float), np.array(b, float)
    axis = b - a
    length = np.linalg.norm(axis) + 1e-9
    t = axis / length
    u = np.cross(t, (0, 0, 1.0) if abs(t[2]) < 0.9 else (1.0, 0, 0))
    u /= np.linalg.norm(u)
    v = np.cross(t, u)
    rows = []
    for q in np.linspace(-math.pi / 2, 0, rings // 2 + 1):
        rows.append((math.sin(q) * ra, math.cos(q) * ra))
    for q in np.linspace(0, math.pi / 2, rings // 2 + 1):
        rows.append((length + math.sin(q) * rb, math.cos(q) * rb))
    k = np.linspace(0, 2 * math.pi, sides, endpoint=False)
    verts = np.concatenate([a + t * h + r * (np.cos(k)[:, None] * u + np.sin(k)[:, None] * v) for h, r in rows])
    i, j = np.meshgrid(np.arange(len(rows) - 1), np.arange(sides), indexing="ij")
    f = np.stack([i * sides + j, i * sides + (j + 1) % sides, (i + 1) * sides + (j + 1) % sides, (i + 1) * sides + j], -1)
    return verts, f.reshape(-1, 4)


def skeleton(s: Beast, phase: float, look: float = 0.0, crouch: float = 0.0):
    """Limbs as (a, b, radius a, radius b, tag) at a phase of the walk."""
    half = s.back / 2 + s.body * 0.6
    rise = s.shoulder - s.body * 0.9 - crouch
    bob = 0.006 * math.sin(4 * math.pi * phase)
    hip, shoulder = np.array((-half, 0, rise + bob)), np.array((half, 0, rise - bob + 0.01))
    parts = []
    mid = (hip + shoulder) / 2 + (0, 0, 0.004)
    parts.append((hip, mid, s.body * 0.95, s.body * 0.9, 0))
    parts.append((mid, shoulder, s.body * 0.92, s.body * s.chest * 1.05, 0))
    parts.append((shoulder - (0, 0, s.body * 0.35), mid - (0, 0, s.body * 0.2), s.body * 0.75, s.body * 0.6, 1))
    head = shoulder + np.array((s.neck + s.body * 0.9, 0, s.neck * 0.75 + s.body * 0.55 - crouch * 0.5 + 0.004 * math.sin(4 * math.pi * phase + 1)))
    yaw = np.array((math.cos(look), math.sin(look), 0))
    side = np.array((-yaw[1], yaw[0], 0))
    parts.append((shoulder + (s.body * 0.3, 0, s.body * 0.2), head - yaw * s.head * 0.3, s.body * 0.78, s.head * 0.82, 0))
    parts.append((head, head + yaw * s.head * 0.35, s.head, s.head * 0.82, 0))
    nose = head + yaw * (s.head * 0.75 + s.muzzle) - np.array((0, 0, s.head * 0.38))
    parts.append((head + yaw * s.head * 0.5 - (0, 0, s.head * 0.25), nose, s.head * 0.52, s.head * 0.26, 1))
    for sign in (-1, 1):
        root = head + side * sign * s.head * 0.62 + np.array((0, 0, s.head * 0.6))
        if s.floppy:
            tip = root + side * sign * s.ear * 0.35 - np.array((0, 0, s.ear)) - yaw * 0.01
            parts.append((root, tip, s.ear * 0.28, s.ear * 0.34, 2))
        else:
            tip = root + np.array((0, 0, s.ear * 1.0)) + side * sign * s.ear * 0.25 - yaw * 0.006
            parts.append((root, tip, s.ear * 0.42, s.ear * 0.07, 2))
    eyes = [head + yaw * s.head * 0.93 + side * sign * s.head * 0.45 + np.array((0, 0, s.head * 0.22)) for sign in (-1, 1)]
    length, thick, lift = s.tail
    at = hip - (s.body * 0.7, 0, -s.body * 0.35)
    angle = math.pi - lift * 0.6
    for i in range(5):
        angle += -lift * 0.16 + 0.06 * math.sin(2 * math.pi * phase + i)
        sway = 0.14 * math.sin(2 * math.pi * phase - i * 0.6)
        d = np.array((math.cos(angle), sway, math.sin(angle) * (1 if lift > 0 else 1)))
        nxt = at + d / np.linalg.norm(d) * length / 5
        bush = 1 + (0.9 * math.sin(math.pi * (i + 0.5) / 5) if thick > 0.03 else 0)
        parts.append((at, nxt, thick * bush, thick * (1 + (0.9 * math.sin(math.pi * (i + 1.4) / 5) if thick > 0.03 else 0)) * (0.8 if i == 4 else 1), 3 if i > 2 else 0))
        at = nxt
    for front in (True, False):
        for sign in (-1, 1):
            lag = {(True, 1): 0.0, (False, 1): 0.75, (True, -1): 0.5, (False, -1): 0.25}[(front, sign)]
            parts += leg(s, shoulder if front else hip, sign, (phase + lag) % 1, front, crouch)
    return parts, eyes


def leg(s, root, sign, p, front, crouch):
    """Three bones down to a paw that keeps still while it stands."""
    top = root + np.array((0.0 if front else -s.body * 0.2, sign * s.body * 0.62, -s.body * 0.1))
    swing = s.stride * 0.5 * 0.65
    if p < 0.65:
        x, z = swing * (1 - 2 * p / 0.65), 0.0
    else:
        q = (p - 0.65) / 0.35
        x, z = swing * (-1 + 2 * (3 * q * q - 2 * q**3)), s.leg * 0.32 * math.sin(math.pi * q)
    paw = np.array((root[0] + x * 0.9 + (0.02 if front else -0.01), sign * s.body * 0.55, s.body * 0.17 + z))
    wrist = paw + np.array((-0.012 if front else -s.leg * 0.14, 0, s.leg * (0.28 if front else 0.36)))
    bend = -0.5 if front else 0.55
    span = wrist - top
    reach = np.linalg.norm(span)
    bones = s.leg * 0.82
    slack = math.sqrt(max(0.0, (bones / 2) ** 2 - (min(reach, bones) / 2) ** 2)) * 1.0
    joint = (top + wrist) / 2 + np.array((math.copysign(slack + 0.012, bend), 0, 0))
    thigh = s.body * (0.52 if front else 0.68)
    thin = s.body * 0.24
    return [(top, joint, thigh, thin * 1.25, 0), (joint, wrist, thin * 1.25, thin * 0.9, 4),
            (wrist, paw, thin * 0.9, thin * 0.95, 4), (paw, paw + (thin * 1.1, 0, -thin * 0.05), thin, thin * 0.85, 4)]


class Animal:
    """An animal in the scene; `place` sets it in mid-step."""

    def __init__(self, kind: str):
        self.shape = BEASTS[kind]
        self.mat = self.fur()
        data = bpy.data.meshes.new(kind)
        self.obj = kit.link(bpy.data.objects.new(kind, data))
        self.obj.pass_index = kit.ACTOR
        data.materials.append(self.mat)
        melt = self.obj.modifiers.new("melt", "REMESH")
        melt.mode, melt.voxel_size, melt.use_smooth_shade = "VOXEL", self.shape.body * 0.105, True
        soft = self.obj.modifiers.new("soft", "SMOOTH")
        soft.factor, soft.iterations = 0.6, 7
        shine = kit.glow("eyeshine", (1, 1, 1), 14.0) if kit.MODE.infrared else kit.plain("eye", (0.02, 0.018, 0.01), 0.1)
        dark = kit.plain("nose", (0.012, 0.01, 0.01), 0.4)
        r = self.shape.head * 0.17
        self.eyes = [kit.sphere("eye", (0, 0, 0), r, shine, rings=8) for _ in range(2)]
        self.nose = kit.sphere("nose", (0, 0, 0), self.shape.head * 0.17, dark, rings=8)
        for obj in (*self.eyes, self.nose):
            obj.pass_index = kit.ACTOR

    def fur(self):
        s = self.shape
        mat, n, sh = kit.material("fur", s.coat, 0.75, s.infrared)
        at = n.local()
        p = n.xyz(at)
        hairs = n.vec(n.math("MULTIPLY", p[0], 60.0), n.math("MULTIPLY", p[1], 160.0), n.math("MULTIPLY", p[2], 160.0))
        line = n.noise(1.0, 4, hairs)
        low = n.ramp(n.math("MULTIPLY_ADD", n.noise(12, 2, at), 0.04, p[2]),
                     (max(0.0, s.shoulder - s.body * 2.0), 1.0), (min(1.0, s.shoulder - s.body * 1.0), 0.0))
        colour = n.mix(low, kit.seen(s.coat, s.infrared * 0.75), kit.seen(s.belly, s.infrared))
        if s.stripes:
            wave = n.add("ShaderNodeTexWave", Scale=11.0, Distortion=5.0, Detail=2.0, Vector=at)
            colour = n.mix(n.ramp(wave.outputs[1], (0.5, 0.0), (0.8, 0.5)), colour, kit.seen((0.05, 0.025, 0.012), 0.3))
        if s.dark_legs:
            sock = n.ramp(p[2], (s.leg * 0.45, 1.0), (s.leg * 0.85, 0.0))
            colour = n.mix(sock, colour, kit.seen((0.02, 0.014, 0.01), 0.2))
        colour = n.mix(0.8, colour, n.ramp(line, (0.3, 0.3), (0.7, 0.7)), "OVERLAY")
        n.put(sh, "Base Color", colour)
        n.put(sh, "Normal", n.bump(line, 0.8, 0.01))
        n.put(sh, "Sheen Weight", 0.35)
        n.put(sh, "Specular IOR Level", 0.2)
        return mat

    def place(self, x, y, heading, phase, look=0.0, crouch=0.0, z=0.0):
        parts, eyes = skeleton(self.shape, phase, look, crouch)
        verts, faces, base = [], [], 0
        for a, b, ra, rb, _ in parts:
            v, f = limb(a, b, ra, rb)
            verts.append(v)
            faces.append(f + base)
            base += len(v)
        verts, faces = np.concatenate(verts), np.concatenate(faces)
        old = self.obj.data
        data = bpy.data.meshes.new("beast")
        data.from_pydata(verts.tolist(), [], faces.tolist())
        data.materials.append(self.mat)
        self.obj.data = data
        bpy.data.meshes.remove(old)
        c, s = math.cos(heading), math.sin(heading)
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        self.obj.location, self.obj.rotation_euler = (x, y, z), (0, 0, heading)
        for obj, at in zip(self.eyes, eyes, strict=True):
            obj.location = turn @ at + (x, y, z)
        nose = parts[5][1]
        obj = self.nose
        obj.location = turn @ (np.array(nose) + (self.shape.head * 0.2, 0, 0)) + (x, y, z)
        return verts @ turn.T + (x, y, z)

    @property
    def stride(self):
        """The way of one whole cycle: what a standing paw goes back in its 0.65, made whole."""
        return self.shape.stride * 0.65 * 0.9 / 0.65

    def hide(self, hidden):
        for obj in (self.obj, *self.eyes, self.nose):
            obj.hide_render = hidden
