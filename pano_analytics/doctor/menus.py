"""Where to find a setting in the camera's own menus, by camera family.

The wording is that of the makers' web pages and manuals; firmware versions differ slightly.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Menu:
    """The path to each setting in the menus of one camera family."""

    clock: str
    video: str
    snapshot: str
    recording: str
    upload: str


_AMCREST = Menu(
    clock="Setup > System > General > Date & Time: tick NTP, and choose Time Zone and DST",
    video="Setup > Camera > Video > Video, Main Stream",
    snapshot="Setup > Camera > Video > Snapshot: Image Size",
    recording=(
        "Setup > Event > Video Detection > Motion Detect: tick Record and Snapshot; and in "
        "Setup > Storage > Schedule mark the hours for motion under Record and Snapshot"
    ),
    upload="Setup > Storage > Destination: tick FTP, and use its test button",
)
_REOLINK = Menu(
    clock="Settings > System > Date & Time: Time Zone, Daylight Saving Time, Auto Sync (NTP)",
    video="Settings > Camera > Stream, Clear",
    snapshot="Settings > Surveillance > FTP: the resolution of pictures",
    recording="Settings > Surveillance > FTP: upload Video and Picture, and its schedule",
    upload="Settings > Surveillance > FTP: switched on, and FTP Test",
)
_HIKVISION = Menu(
    clock="Configuration > System > System Settings > Time Settings (NTP) and DST",
    video="Configuration > Video/Audio > Video, Main Stream",
    snapshot="Configuration > Storage > Schedule Settings > Capture: Resolution",
    recording="Configuration > Event > Basic Event > Motion Detection > Linkage Method",
    upload="Configuration > Network > Advanced Settings > FTP: Upload Picture, and Test",
)
_FOSCAM = Menu(
    clock="Settings > Basic Settings > Device Time: Time Zone, Sync with NTP server, DST",
    video="Settings > Video > Video Settings, Main stream",
    snapshot="Settings > Video > Snapshot Settings",
    recording="Settings > Detector > Motion Detection: tick Take Snapshot and Recording",
    upload="Settings > Network > FTP Settings, Test",
)
_ANY = Menu(
    clock="in the camera's date and time settings: time zone, daylight saving time, NTP",
    video="in the camera's video settings, main stream",
    snapshot="in the camera's snapshot settings: size",
    recording="in the camera's motion detection: what it records, and when",
    upload="in the camera's FTP settings: switched on, and its test",
)

# The beginning of a layout's name -> the family's menus.
_FAMILIES = {
    "amcrest": _AMCREST,
    "dahua": _AMCREST,
    "reolink": _REOLINK,
    "hik": _HIKVISION,
    "foscam": _FOSCAM,
}


def menu_of(layout: str | None) -> Menu:
    """Return the menus of the family that uses `layout`, or general directions."""
    name = layout or ""
    return next((menu for start, menu in _FAMILIES.items() if name.startswith(start)), _ANY)
