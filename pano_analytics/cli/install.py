"""`pano install`: install pano as systemd services, which start with the machine."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pano_analytics.cli.terminal import say, say_text
from pano_analytics.errors import SettingsError

if TYPE_CHECKING:
    from pano_analytics.service.install import Installation, UnitFile
    from pano_analytics.settings import Settings


@click.command("install")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="The settings file of the services; else $PANO_CONFIG, else ./pano.toml.",
)
@click.option(
    "--system/--user",
    "is_system",
    default=None,
    help="Install system services (the default for root), or services of your own user.",
)
@click.option(
    "--account",
    metavar="NAME",
    help="Account that runs system services; else the owner of the library, else the user who "
    "ran sudo.",
)
@click.option(
    "--timers",
    is_flag=True,
    help="Install timers for the parts of `pano up`, and `pano serve`, instead of `pano up`.",
)
@click.option(
    "--dry-run", is_flag=True, help="Show units and commands without writing or running them."
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="Also replace changed units; the old ones are kept as .before.",
)
@click.option("--uninstall", is_flag=True, help="Stop the services and remove their units.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Only write the units to this folder; create no folders, check no accounts and start "
    "nothing.",
)
def command(
    config: Path | None,
    is_system: bool | None,
    account: str | None,
    timers: bool,
    dry_run: bool,
    overwrite: bool,
    uninstall: bool,
    folder: Path | None,
) -> None:
    """Install pano as a service that starts with this machine.

    Writes a unit for `pano up` with the paths of this installation, sandboxed so that
    it can write only to its own folders, and starts it. A unit that was changed by hand
    is shown and kept, unless --overwrite is given. Library, uploads and settings are
    never changed, not even by --uninstall.

    \b
    Exit codes: 0 done, 2 settings or usage, or a step that failed, 8 changed units
    were kept.

    \b
    Examples:
      pano install --user --dry-run
      sudo pano install --system --config /etc/pano.toml --account pano
      sudo pano install --timers --config /etc/pano.toml
      sudo pano install --uninstall --config /etc/pano.toml
    """
    from pano_analytics.service import install

    settings, path = _settings(config)
    for_machine = os.geteuid() == 0 if is_system is None else is_system
    who = _account(account, settings, folder is None) if for_machine else None
    installation = install.place(settings, path, who)
    texts = install.units(installation, _parts(settings) if timers else ("up",))
    target = folder or (install.SYSTEM_UNITS if for_machine else _users_units())
    job = _Job(installation, target, dry_run, is_whole=folder is None)
    if uninstall:
        job.undo(texts, overwrite)
    else:
        job.refuse_both(install.units(installation, ("up",) if timers else install.TIMED))
        job.do(install.compare(target, texts), overwrite)


def _settings(config: Path | None) -> tuple[Settings, Path]:
    from pano_analytics import settings

    path = settings.find(config)
    if path is None:
        raise SettingsError(
            "expected a settings file for the services; there is no ./pano.toml. "
            "`pano init` proposes one, --config names another."
        )
    return settings.load(path), path


def _account(requested: str | None, settings: Settings, is_checked: bool) -> str:
    from pano_analytics.service.install import account_of_services

    if requested and not is_checked:
        return requested
    return account_of_services(requested, settings.library)


def _parts(settings: Settings) -> list[str]:
    """Return the parts that have work to do under these settings."""
    wanted = {"cull": settings.cull.scheduled, "site": settings.site.folder is not None}
    from pano_analytics.service.install import TIMED

    return [part for part in TIMED if wanted.get(part, True)]


def _users_units() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "systemd" / "user"


class _Job:
    """Installs or uninstalls units, or shows what would be done."""

    def __init__(self, at: Installation, folder: Path, is_dry: bool, is_whole: bool) -> None:
        self.at = at
        self.folder = folder
        self.is_dry = is_dry
        self.is_whole = is_whole

    def refuse_both(self, others: dict[str, str]) -> None:
        """Raise SettingsError if `pano up` and timers for its parts would both be installed."""
        existing = [name for name in others if (self.folder / name).exists()]
        if existing:
            which = "" if "pano.service" in existing else " --timers"
            raise SettingsError(
                f"{self.folder / existing[0]}: expected either `pano up` or timers, not both; "
                f"remove the others first: pano install --uninstall{which}"
            )

    def do(self, units: list[UnitFile], overwrite: bool) -> None:
        """Create folders, write the units, and start them."""
        from pano_analytics.service import install

        if self.is_whole:
            install.check_access(self.at)
            self._run(install.folders_to_make(self.at))
        kept = [unit for unit in units if not self._write(unit, overwrite)]
        if self.is_whole:
            self._start(install.to_start(self.at, [unit.path.name for unit in units]))
        if kept:
            self._report_kept(kept)

    def undo(self, texts: dict[str, str], overwrite: bool) -> None:
        """Stop the services and remove their units."""
        from pano_analytics.service import install

        existing = [unit for unit in install.compare(self.folder, texts) if unit.state != "new"]
        if self.is_whole and existing:
            self._start(install.to_stop(self.at, [unit.path.name for unit in existing]))
        for unit in existing:
            say(f"{unit.path}: {'kept, it was changed' if _stays(unit, overwrite) else 'removed'}")
        if not self.is_dry:
            install.remove(self.folder, texts, overwrite)
        if not existing:
            say(f"{self.folder}: contains no units of pano")

    def _write(self, unit: UnitFile, overwrite: bool) -> bool:
        from pano_analytics.service.install import write

        say(f"{unit.path}: {_WORDS[unit.state, overwrite]}")
        if self.is_dry and unit.state != "same":
            say_text("\n" + unit.text)
        stays = _stays(unit, overwrite)
        if not stays and not self.is_dry:
            write(unit)
        return not stays

    def _start(self, commands: list[list[str]]) -> None:
        from pano_analytics.service.install import BOOTED

        if BOOTED.is_dir() or self.is_dry:
            self._run(commands)
            return
        say("This machine does not run systemd. On a machine that does, run:")
        for words in commands:
            say(f"  {shlex.join(words)}")

    def _run(self, commands: list[list[str]]) -> None:
        from pano_analytics.service.install import run

        for words in commands:
            say(shlex.join(words))
            if not self.is_dry:
                run(words)

    def _report_kept(self, kept: list[UnitFile]) -> None:
        from pano_analytics.errors import AttentionNeeded

        for unit in kept:
            say_text(unit.difference)
        raise AttentionNeeded(
            f"{len(kept)} changed unit{'' if len(kept) == 1 else 's'} kept, see above; "
            "--overwrite replaces and keeps a copy."
        )


def _stays(unit: UnitFile, overwrite: bool) -> bool:
    return unit.state == "changed" and not overwrite


_WORDS = {
    ("new", False): "new",
    ("new", True): "new",
    ("same", False): "up to date",
    ("same", True): "up to date",
    ("ours", False): "updated",
    ("ours", True): "updated",
    ("changed", False): "kept, since it was changed by hand",
    ("changed", True): "replaced; the changed unit is kept beside it as .before",
}
