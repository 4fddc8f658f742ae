"""`pano init`: propose a settings file from an upload tree."""

from __future__ import annotations

from pathlib import Path

import click

from pano_analytics.cli.terminal import say, say_text
from pano_analytics.errors import SettingsError
from pano_analytics.model.upload import resolved

_STDOUT = "-"


@click.command("init")
@click.option(
    "--uploads",
    type=click.Path(path_type=Path),
    help="The folder that the cameras upload to; only its file names are read.",
)
@click.option(
    "--from",
    "original",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="JSON",
    help="Settings of the original system (pano-docker.json) to import.",
)
@click.option(
    "--output",
    default="pano.toml",
    show_default=True,
    help="The new settings file; - prints it.",
)
def command(uploads: Path | None, original: Path | None, output: str) -> None:
    """Propose a settings file from an upload tree.

    Detects the cameras, the layouts of their file names and whether their clocks match
    this computer's time zone, from a sample of the newest names. An existing file is
    never changed. Needs --uploads or --from.

    With --from, imports cameras, folders, days to keep and links of the original
    system; credentials are removed from the links. Use --uploads if its upload folder is no
    longer where that file says.

    \b
    Exit codes: 0 done, 2 settings or usage (such as an --output that exists),
    3 upload tree missing or not a folder.

    \b
    Examples:
      pano init --uploads /srv/ftp
      pano init --uploads /srv/ftp --output -
      pano init --from pano-docker.json --uploads /mnt/HD2/pano/FTP
    """
    if uploads is None and original is None:
        raise click.UsageError("expected --uploads DIR, the folder that the cameras upload to.")
    from pano_analytics.model.times import system_zone
    from pano_analytics.proposal import propose, read_original

    old = None if original is None else read_original(original)
    text = propose(uploads, system_zone(), old)
    if output == _STDOUT:
        say_text(text, nl=False)
        return
    _write(Path(output), uploads if uploads is not None or old is None else old.uploads, text)
    if uploads is None and old is not None and not (old.uploads and old.uploads.is_dir()):
        say(f"{original}: its base_data_dir is not on this computer: give --uploads", err=True)
    cameras = text.count("\n[[cameras]]\n")
    say(f"{output}: {cameras} camera{'' if cameras == 1 else 's'}; review it, then run")
    say(f"pano ingest{'' if output == 'pano.toml' else f' --config {output}'}")


def _write(target: Path, uploads: Path | None, text: str) -> None:
    if uploads is not None and resolved(target).is_relative_to(resolved(uploads)):
        raise SettingsError(
            f"{target}: expected a path outside the upload tree, which pano only reads; "
            "choose another with --output."
        )
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise SettingsError(
            f"{target}: the file already exists and is not overwritten; choose another with "
            "--output, or print the proposal with --output -."
        ) from None
    except OSError as error:
        raise SettingsError(
            f"{target}: expected a file that can be written; {error.strerror or error}. "
            "Choose another with --output."
        ) from error
