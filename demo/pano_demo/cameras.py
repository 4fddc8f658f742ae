"""The six cameras of the demonstration home, and how each one behaves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class DemoCamera:
    """One camera: its folder, model and habits.

    `clock_offset` is what its clock is wrong by (its time minus the true time);
    `snapshots_per_event` the usual length of a burst, one picture a second;
    `goes_silent` says that it uploads nothing in the last days, `is_indoors` that it sees
    no weather.
    """

    name: str
    model: str
    serial: str
    snapshots_per_event: int
    clock_offset: timedelta = timedelta(0)
    goes_silent: bool = False
    is_indoors: bool = False

    @property
    def clip_suffix(self) -> str:
        """The container of its clips: `.dav` on an IP2M-842, `.mp4` on an IP3M-943."""
        return ".mp4" if self.model == "IP3M-943" else ".dav"


CAMERAS: tuple[DemoCamera, ...] = (
    DemoCamera("front_door", "IP2M-842", "AMC00K3D_7T9P2Q", 5),
    DemoCamera("driveway", "IP3M-943", "AMC018A7_F4N61B", 9),
    DemoCamera("garden", "IP2M-842", "AMC00K3D_2R5W8M", 4),
    DemoCamera("side_gate", "IP2M-842", "AMC00K1F_9H4C3X", 3),
    DemoCamera(
        "garage",
        "IP2M-842",
        "AMC0028V_6J1K5D",
        3,
        clock_offset=timedelta(minutes=-47),
        is_indoors=True,
    ),
    DemoCamera("street", "IP3M-943", "AMC018A7_F4N93T", 9, goes_silent=True),
)


def camera_named(name: str) -> DemoCamera:
    """Return the camera whose folder is `name`; KeyError where there is none."""
    return {camera.name: camera for camera in CAMERAS}[name]
