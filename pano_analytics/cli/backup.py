"""`pano backup`: back up what cannot be recreated from the uploads."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pano_analytics.cli.terminal import say
from pano_analytics.errors import JournalError, SettingsError
from pano_analytics.wording import many


@click.command("backup")
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="The settings file, which is backed up too; else $PANO_CONFIG, else ./pano.toml, else "
    "none.",
)
@click.option(
    "--library", type=click.Path(path_type=Path, file_okay=False), help="The folder of the library."
)
@click.option(
    "--with-catalog",
    is_flag=True,
    help="Include rows and thumbnails, which `pano rebuild` could recreate.",
)
@click.option(
    "--without-secrets",
    is_flag=True,
    help="Leave out users, the secret that signs logins, and the settings file.",
)
@click.option(
    "--encrypt", is_flag=True, help="Encrypt the backup with a passphrase, and prompt for it."
)
@click.option(
    "--passphrase-file",
    type=click.Path(allow_dash=True),
    help="Encrypt the backup with the first line of this file (- for standard input).",
)
def command(
    target: Path,
    config: Path | None,
    library: Path | None,
    with_catalog: bool,
    without_secrets: bool,
    encrypt: bool,
    passphrase_file: str | None,
) -> None:
    """Back up what cannot be recreated from the uploads to one file.

    TARGET is a tar file, gzipped if its name ends in .gz or .tgz: the journal,
    what people decided, the library's identity, users, the secret that signs logins, the settings
    file, and the thumbnails of uploads that are gone. The uploads themselves are not
    included. The file appears only when complete, and only its owner can read it. Waits
    for a running ingest to finish. An earlier backup of that name is replaced; any other
    file is left as it is.

    There is no way to read an encrypted backup without its passphrase.

    \b
    Exit codes: 0 done, 2 settings or usage (such as a TARGET that is another
    kind of file, or in the upload tree), 4 no library, or TARGET cannot be written.

    \b
    Examples:
      pano backup /mnt/usb/pano.tar --library /var/lib/pano
      pano backup "/mnt/usb/pano-$(date +%F).tar.gz" --with-catalog
      pano backup /mnt/cloud/pano.tar.gz --passphrase-file /etc/pano.passphrase
    """
    from pano_analytics import settings as settings_module
    from pano_analytics.cli.options import resolve
    from pano_analytics.upkeep.backup import backup

    settings = resolve(config, None, library)
    is_encrypting = encrypt or passphrase_file is not None
    result = backup(
        settings.the_library(),
        target,
        settings_module.find(config),
        with_catalog,
        with_secrets=not without_secrets,
        passphrase=passphrase(passphrase_file, is_new=True) if is_encrypting else None,
    )
    for torn in result.torn:
        say(f"pano: {JournalError.of(torn.name, torn.why)}", err=True)
    notes = ["with the catalog" if result.has_catalog else "without the catalog"]
    notes += [] if result.has_secrets else ["without secrets"]
    notes += ["encrypted"] if result.is_encrypted else []
    size = f"{many(result.files, 'file')}, {result.size_bytes / 1e6:.1f} MB"
    say(f"{target}: {size}, {', '.join(notes)}")


def passphrase(file: str | None, is_new: bool) -> str:
    """Return the passphrase: from a file's first line, or from a prompt at the terminal."""
    if file is not None:
        return _first_line(file)
    if not sys.stdin.isatty():
        raise SettingsError(
            "expected a passphrase; standard input is not a terminal, so pano cannot prompt for "
            "it. Use --passphrase-file FILE, or --passphrase-file - to read it from standard "
            "input."
        )
    answer: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=is_new, err=True)
    return answer


def _first_line(file: str) -> str:
    try:
        with click.open_file(file, encoding="utf-8") as opened:
            return str(opened.readline()).rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{file}: expected a text file whose first line is the passphrase; {error}."
        ) from error
