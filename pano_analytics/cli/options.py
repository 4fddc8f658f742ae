"""Options that several commands share: --config, --uploads and --library."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

# The key under which the context of a command keeps the settings in force.
SETTINGS = "pano_analytics.settings"
_FOLDER = click.Path(path_type=Path, file_okay=False)


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --config, --uploads and --library to a command, which gets their values or None."""
    for option in reversed(_PLACE_OPTIONS):
        command = option(command)
    return command


_PLACE_OPTIONS = (
    click.option(
        "--config",
        type=click.Path(path_type=Path),
        help="The settings file; else $PANO_CONFIG, else ./pano.toml, else none.",
    ),
    click.option("--uploads", type=_FOLDER, help="The folder that the cameras upload to."),
    click.option("--library", type=_FOLDER, help="The folder of the library."),
)


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --config, --uploads and --library to a command, which gets the checked `settings`."""

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

    Folders given on the command line take precedence. A library remembers the settings of its
    last ingest; they apply if there is no settings file. Raises SettingsError.
    """
    from pano_analytics import settings as settings_module
    from pano_analytics.store.home import Home
    from pano_analytics.store.storage import Storage

    path = settings_module.find(config)
    if path is not None:
        settings = settings_module.load(path)
    else:
        home = Home.read(Storage(library)) if library is not None else None
        settings = home.settings if home else settings_module.Settings()
    settings = _with_folders(settings, uploads, library)
    if settings.library is not None:
        settings.the_library()  # raises if it is inside the upload tree
    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta[SETTINGS] = settings
    return settings


def _with_folders(settings: Any, uploads: Path | None, library: Path | None) -> Any:
    given = {
        key: value.expanduser().absolute()
        for key, value in (("uploads", uploads), ("library", library))
        if value is not None
    }
    return settings.model_copy(update=given)
