"""The camera of an upload: by the table of its folder, its channel, or a name in the path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial

from pano_analytics import layouts
from pano_analytics.model.upload import Reading
from pano_analytics.settings import Camera, Settings

_ANY_LAYOUT: str = Camera.model_fields["layout"].default


@dataclass(frozen=True, slots=True)
class Owner:
    """The camera of the uploads directly in one folder.

    `camera` is the folder's camera, `layout` how names in it are read. `by_channel` maps
    channels to the cameras that have a table for them; `is_split` is True if a template with
    {camera} names the cameras.
    """

    camera: str
    layout: str | Sequence[str] = "auto"
    by_channel: Mapping[int, str] = field(default_factory=dict)
    is_split: bool = False

    def of(self, reading: Reading) -> str:
        """Return the camera of one upload in the folder, from what its path says."""
        if reading.channel is not None and reading.channel in self.by_channel:
            return self.by_channel[reading.channel]
        if self.is_split and reading.layout == "template" and reading.camera:
            return reading.camera
        return self.camera


def owner_of(settings: Settings, folder: str, root_name: str) -> Owner:
    """Return the owner of files in `folder` (relative to the upload root, "" for the root)."""
    inside = f"{folder}/" if folder else ""
    tables = tables_of(settings, inside)
    whole = [table for table in tables if table.channel is None]
    by_level = layouts.camera_below(inside, {}, root_name)
    camera = whole[0].name if whole else settings.called(by_level)
    table = tables[0] if tables else settings.table(camera)
    # Not `settings.camera`: to make a table of defaults for each folder costs more than reading it.
    layout = _ANY_LAYOUT if table is None else table.layout
    by_channel = {table.channel: table.name for table in tables if table.channel is not None}
    return Owner(camera, layout, by_channel, names_cameras(layout))


class Owners:
    """The owners of many folders; those that agree in the levels that decide are read once.

    The first level and the configured folders decide, if the first level names a camera.
    """

    def __init__(self, settings: Settings, root_name: str) -> None:
        configured = [folder for table in settings.cameras for folder in table.upload_folders]
        self._levels = max((1, *(folder.count("/") + 1 for folder in configured)))
        self._owner_of = lru_cache(maxsize=4096)(partial(_owner, settings, root_name))

    def of(self, folder: str) -> Owner:
        """Return the same as `owner_of`; `folder` has no doubled slash and no `.` in it."""
        levels = folder.split("/", self._levels)
        if layouts.names_a_camera(levels[0]):
            return self._owner_of("/".join(levels[: self._levels]))
        return self._owner_of(folder)


def _owner(settings: Settings, root_name: str, folder: str) -> Owner:
    return owner_of(settings, folder, root_name)


def tables_of(settings: Settings, path: str) -> list[Camera]:
    """Return the tables with the longest folder that contains `path`; several if by channel."""
    folders = {folder: table for table in settings.cameras for folder in table.upload_folders}
    holder = layouts.folder_holding(path, folders)
    if holder is None:
        return []
    return [
        table
        for table in settings.cameras
        if any(layouts.same_folder(folder, holder) for folder in table.upload_folders)
    ]


def names_cameras(layout: str | Sequence[str]) -> bool:
    """Return whether a layout setting has templates, and all of them contain {camera}."""
    several = [layout] if isinstance(layout, str) else layout
    templates = [layouts.Template.parse(one) for one in several if "{" in one]
    return bool(templates) and all(one.names_cameras for one in templates)
