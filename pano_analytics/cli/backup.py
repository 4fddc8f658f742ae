"""`pano backup`: keep what only we know in one file."""

from __future__ import annotations

from pathlib import Path

import click

from pano_analytics.cli.terminal import say


@click.command("backup")
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="The settings file; else $PANO_CONFIG, else ./pano.toml, else none. It goes in too.",
)
@click.option(
    "--library", type=click.Path(path_type=Path, file_okay=False), help="The folder of the library."
)
@click.option(
    "--with-catalog",
    is_flag=True,
    help="Also rows and thumbnails, which `pano rebuild` could make anew.",
)
def command(target: Path, config: Path | None, library: Path | None, with_catalog: bool) -> None:
    """Keep what only we know in one file.

    TARGET is a tar file, gzipped where it ends in .gz or .tgz: the journal,
    the library's identity, users, the secret that signs logins, the settings
    file, and the thumbnails of uploads that are gone. The upload tree is not
    in it. It appears whole or not at all, and only its owner can read it.
    Waits for a run that is at work.

    \b
    Exit codes: 0 done, 2 settings or usage, 4 no library, or TARGET cannot be
    written.

    \b
    Examples:
      pano backup /mnt/usb/pano.tar --library /var/lib/pano
      pano backup "/mnt/usb/pano-$(date +%F).tar.gz" --with-catalog
    """
    from pano_analytics import settings as room
    from pano_analytics.backup import backup
    from pano_analytics.cli.options import resolve
    from pano_analytics.errors import LibraryError

    settings = resolve(config, None, library)
    if settings.library is None:
        raise LibraryError("expected a library: give --library LIB or `library` in pano.toml.")
    kept = backup(settings.library, target, room.find(config), with_catalog)
    what = "with the catalog" if kept.has_catalog else "without the catalog"
    say(f"{target}: {kept.files} files, {kept.size_bytes / 1e6:.1f} MB, {what}")
