"""Options that several commands share: which settings, uploads and library are meant."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

# Where a command finds in its context which settings are in force.
SETTINGS = "pano_analytics.settings"
_FOLDER = click.Path(path_type=Path, file_okay=False)


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --config, --uploads and --library, as they were written or None."""
    for option in reversed(_PLACES):
        command = option(command)
    return command


_PLACES = (
    click.option(
        "--config",
        type=click.Path(path_type=Path),
        help="The settings file; else $PANO_CONFIG, else ./pano.toml, else none.",
    ),
    click.option("--uploads", type=_FOLDER, help="The folder that the cameras upload to."),
    click.option("--library", type=_FOLDER, help="The folder of the library."),
)


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --config, --uploads and --library, and hand it the checked `settings`."""

    @place_options
    @wraps(command)
    def with_settings(
        *args: Any, config: Path | None, uploads: Path | None, library: Path | None, **kwargs: Any
    ) -> Any:
        settings = resolve(config, uploads, library)
        return command(*args, settings=settings, **kwargs)

    return with_settings


def resolve(config: Path | None, uploads: Path | None, library: Path | None) -> Any:
    """Return the settings in force: the file's, else the library's own, else defaults.

    What is given on the command line wins. A library that was once ingested
    with settings keeps them when it is named alone.
    """
    from pano_analytics import settings as room
    from pano_analytics.store.home import Home
    from pano_analytics.store.storage import Storage

    path = room.find(config)
    if path is not None:
        settings = room.load(path)
    else:
        home = Home.read(Storage(library)) if library is not None else None
        settings = home.settings if home else room.Settings()
    settings = _given(settings, uploads, library)
    if settings.library is not None:
        settings.the_library()  # refuses one that lies within the uploads
    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta[SETTINGS] = settings
    return settings


def _given(settings: Any, uploads: Path | None, library: Path | None) -> Any:
    given = {
        key: value.expanduser().absolute()
        for key, value in (("uploads", uploads), ("library", library))
        if value is not None
    }
    return settings.model_copy(update=given)
