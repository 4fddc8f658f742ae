"""The scenery keeps its promises: six views, every light, actors inside the picture."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pano_demo.scenery import (
    ASSETS,
    SCENES,
    SIZE,
    Motion,
    SceneryError,
    add_light,
    composite,
    load_scene,
)

LIGHTS = {"morning", "noon", "afternoon", "overcast", "dusk", "night_ir"}
OUTDOORS = tuple(name for name in SCENES if name != "garage")


def _motions() -> list[tuple[str, str, str]]:
    return [
        (name, entry["light"], entry["name"])
        for name in SCENES
        for entry in json.loads((ASSETS / f"{name}.json").read_text())["motions"]
    ]


def _motion(scene: str, light: str, name: str) -> Motion:
    return next(m for m in load_scene(scene).motions(light) if m.name == name)


@pytest.mark.parametrize("name", SCENES)
def test_every_scene_has_every_light(name: str) -> None:
    """Each of the six lights has a plate of the full size."""
    scene = load_scene(name)
    assert set(scene.lights) == LIGHTS
    for light in scene.lights:
        plate = scene.plate(light)
        assert plate.shape == (SIZE[1], SIZE[0], 3)
        assert plate.dtype == np.uint8


@pytest.mark.parametrize("name", SCENES)
def test_plates_show_something(name: str) -> None:
    """No plate is black, white or flat, and the infrared one has no colour."""
    scene = load_scene(name)
    for light in scene.lights:
        plate = scene.plate(light).astype(np.int16)
        assert 12 < plate.mean() < 220
        assert plate.std() > 15
    night = scene.plate("night_ir").astype(np.int16)
    assert np.abs(night[..., 0] - night[..., 2]).max() <= 12


@pytest.mark.parametrize("name", OUTDOORS)
def test_wind_moves_leaves_only(name: str) -> None:
    """A windy variant differs from the still plate, in a part of the picture only."""
    scene = load_scene(name)
    still = scene.plate("overcast").astype(np.int16)
    for variant in scene.windy_variants("overcast"):
        gap = np.abs(scene.plate("overcast", variant) - still).max(-1) > 12
        assert 0.002 < gap.mean() < 0.6


def test_a_room_has_no_wind() -> None:
    """Indoors nothing sways."""
    assert not load_scene("garage").windy_variants("noon")


@pytest.mark.parametrize("name", OUTDOORS)
def test_outdoors_somebody_comes_by_day_and_by_night(name: str) -> None:
    """Every outdoor camera has two people and an animal by day, a person and an animal by night."""
    scene = load_scene(name)
    for light in sorted(LIGHTS):
        kinds = [motion.what for motion in scene.motions(light)]
        assert kinds.count("person") >= (1 if light == "night_ir" else 2)
        assert "animal" in kinds


@pytest.mark.parametrize("name", ["driveway", "street"])
def test_cars_drive_where_there_is_a_road(name: str) -> None:
    """The two cameras that see the road see cars in every daylight."""
    for light in LIGHTS - {"night_ir"}:
        assert "car" in {motion.what for motion in load_scene(name).motions(light)}


@pytest.mark.parametrize(("scene", "light", "name"), _motions())
def test_motions_stay_within_the_picture(scene: str, light: str, name: str) -> None:
    """Every crop lies inside 1080p, has as many frames as boxes, and shows its actor."""
    motion = _motion(scene, light, name)
    seen = 0
    for i in range(len(motion.boxes)):
        layer = motion.frame(i / motion.fps)
        height, width = layer.alpha.shape
        assert layer.rgb.shape == (height, width, 3)
        assert 0 <= layer.x <= SIZE[0] - width
        assert 0 <= layer.y <= SIZE[1] - height
        seen += int((layer.alpha > 200).sum() > 30)
    assert seen >= 0.7 * len(motion.boxes)
    assert 1.0 <= motion.duration_s <= 30


@pytest.mark.parametrize(("scene", "light", "name"), _motions())
def test_a_layer_changes_the_picture_where_its_alpha_says(
    scene: str, light: str, name: str
) -> None:
    """Laid over the plate, the middle frame alters pixels under its alpha and no other."""
    motion = _motion(scene, light, name)
    plate = load_scene(scene).plate(light)
    layer = motion.frame(motion.duration_s / 2)
    out = composite(plate, layer)
    height, width = layer.alpha.shape
    gap = np.abs(out.astype(np.int16) - plate).max(-1)
    inside = gap[layer.y : layer.y + height, layer.x : layer.x + width]
    assert (inside[layer.alpha > 250] > 6).mean() > 0.35
    assert inside[layer.alpha == 0].max(initial=0) == 0
    inside[:] = 0
    assert gap.max() == 0


def test_a_borrowed_motion_takes_the_light_of_its_plate() -> None:
    """What was rendered on an overcast day is darker when it plays at dusk."""
    scene = load_scene("front_door")
    lent = [motion for motion in scene.motions("dusk") if motion.relit]
    assert lent
    motion = lent[0]
    own = _motion("front_door", motion.relit[1] if motion.relit else "", motion.name)
    t_s = motion.duration_s / 2
    assert motion.frame(t_s).rgb.mean() < own.frame(t_s).rgb.mean()


def test_frames_are_held_before_and_after() -> None:
    """Outside its own length a motion stands at its first and last frame."""
    motion = load_scene("front_door").motions("overcast")[0]
    assert motion.frame(-5).x == motion.frame(0).x
    assert motion.frame(1e6).x == motion.frame(motion.duration_s - 1e-3).x


@pytest.mark.parametrize("name", SCENES)
def test_overlays_add_light(name: str) -> None:
    """An overlay never darkens, and somewhere it brightens."""
    scene = load_scene(name)
    plate = scene.plate("night_ir")
    for overlay in scene.overlays:
        lit = add_light(plate, scene.overlay(overlay, 0.5))
        assert (lit >= plate).all()
        assert (lit > plate).any()


def test_headlights_sweep_where_the_street_is_near() -> None:
    """The cameras that look at the street have the sweep of headlights."""
    assert all("headlights" in load_scene(name).overlays for name in ("front_door", "driveway"))


def test_composite_leaves_the_plate_alone() -> None:
    """The plate is shared between pictures, so it must never be written to."""
    scene = load_scene("front_door")
    plate = scene.plate("overcast")
    before = plate.copy()
    composite(plate, scene.motions("overcast")[0].frame(1.0))
    assert (plate == before).all()
    assert not plate.flags.writeable


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: load_scene("attic"), "attic"),
        (lambda: load_scene("garden").plate("noonish"), "noonish"),
        (lambda: load_scene("garden").plate("noon", 99), "99"),
        (lambda: load_scene("garden").overlay("disco", 0.0), "disco"),
    ],
)
def test_what_does_not_exist_is_named(ask, said: str) -> None:  # type: ignore[no-untyped-def]
    """An unknown scene, light, variant or overlay is told with what there is instead."""
    with pytest.raises(SceneryError, match=said) as told:
        ask()
    assert "expected" in str(told.value)


def test_assets_stay_within_their_budget() -> None:
    """All assets together take 30 MB at most and no file more than 1.5 MB."""
    sizes = [path.stat().st_size for path in ASSETS.iterdir()]
    assert sum(sizes) <= 30_000_000
    assert max(sizes) <= 1_500_000
