"""Changes to a settings file that somebody wrote: all else in it stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pano_analytics.errors import SettingsError

if TYPE_CHECKING:
    from tomlkit.items import AoT, Array


def with_camera(text: str, name: str, folder: str) -> str:
    """Return the TOML `text` with one more camera; comments, order and line ends stay.

    The camera is added in the form that the file uses, tables or inline tables. Raises
    SettingsError if `text` is not TOML, or its `cameras` are neither.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError
    from tomlkit.items import AoT, Array

    try:
        document = tomlkit.parse(text)
    except TOMLKitError as error:
        raise SettingsError(f"expected TOML: {error}") from error
    cameras = document.get("cameras")
    if cameras is None:
        cameras = tomlkit.aot()
        document.add("cameras", cameras)
    if isinstance(cameras, AoT):
        _add_table(cameras, name, folder)
    elif isinstance(cameras, Array):
        _add_inline(cameras, name, folder)
    else:
        raise SettingsError("expected cameras as [[cameras]] tables or as a list of tables")
    return _with_line_ends_of(text, _apart(tomlkit.dumps(document), name, folder))


def _add_table(cameras: AoT, name: str, folder: str) -> None:
    import tomlkit

    table = tomlkit.table()
    table.update({"name": name, "folder": folder})
    cameras.append(table)


def _add_inline(cameras: Array, name: str, folder: str) -> None:
    import tomlkit

    table = tomlkit.inline_table()
    table.update({"name": name, "folder": folder})
    cameras.append(table)


def _apart(text: str, name: str, folder: str) -> str:
    """Return `text` with an empty line around the camera's table, as people write tables."""
    import tomlkit

    table = f"[[cameras]]\n{tomlkit.dumps({'name': name, 'folder': folder})}"
    before, found, after = text.rpartition(table)
    if not found:
        return text
    gap = "\n" if before and not before.endswith(("\n\n", "\r\n\r\n")) else ""
    rest = "\n" if after and not after.startswith(("\n", "\r\n")) else ""
    return f"{before}{gap}{table}{rest}{after}"


def _with_line_ends_of(text: str, changed: str) -> str:
    if "\r\n" not in text:
        return changed
    return changed.replace("\r\n", "\n").replace("\n", "\r\n")
