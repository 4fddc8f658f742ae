"""`pano restore`: restore a backup into a library."""

from __future__ import annotations

from pathlib import Path

import click

from pano_analytics.cli.terminal import say
from pano_analytics.wording import many


@click.command("restore")
@click.argument("source", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("library", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--passphrase-file",
    type=click.Path(allow_dash=True),
    help="Read the passphrase of an encrypted backup from the first line of this file (- for "
    "standard input); prompts by default.",
)
def command(source: Path, library: Path, passphrase_file: str | None) -> None:
    """Restore a backup into a library.

    SOURCE is a file written by `pano backup`; it is verified completely first. LIBRARY
    is a new or empty folder, or the library that was backed up: its journal and its
    decisions are then merged with the backup's, users and settings are replaced by those of the
    backup, and an existing catalog is kept.

    \b
    Exit codes: 0 done, 2 no passphrase for an encrypted backup, 4 the backup is
    damaged or of another library, or the passphrase is wrong.

    \b
    Examples:
      pano restore /mnt/usb/pano.tar /var/lib/pano
      pano restore pano.tar.gz /var/lib/pano && pano rebuild --library /var/lib/pano
    """
    from pano_analytics.cli.backup import passphrase
    from pano_analytics.upkeep.backup import SETTINGS, is_encrypted, restore

    words = passphrase(passphrase_file, is_new=False) if is_encrypted(source) else None
    result = restore(source, library, words)
    say(f"{library}: {many(len(result.files), 'file')} restored, {len(result.left)} left unchanged")
    if SETTINGS in result.files:
        say(
            f"the settings file was restored to {library / SETTINGS}; move it to where pano "
            f"looks for it"
        )
    if not result.has_catalog:
        say(f"next, rebuild the catalog: pano rebuild --library {library}")
    if not result.has_secrets:
        say(
            "the backup has no secrets: add users with `pano user add`, and copy your settings "
            "file yourself"
        )
