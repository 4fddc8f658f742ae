"""The command `pano`: one module per subcommand, imported when called, so that it starts fast."""

from __future__ import annotations

import importlib
import io
import os
import sys
import traceback
from concurrent.futures import BrokenExecutor
from typing import Any

import click

from pano_analytics.cli.options import SETTINGS
from pano_analytics.cli.terminal import say, say_text
from pano_analytics.errors import NoProcess, PanoError, SettingsError, as_pano_error

# pano does no linear algebra, but importing NumPy makes OpenBLAS start a thread per core; where
# threads are limited, that would end the process.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# name -> (module, line in the list of commands). The line is repeated here so that
# `pano --help` imports no command; a test compares it with the command's own help.
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("init", "Propose a settings file from an upload tree."),
    "ingest": ("ingest", "Bring the library up to date with the upload tree."),
    "up": ("up", "Run all parts with one command, and restart those that fail."),
    "receive": ("receive", "Run the FTP server that cameras upload to."),
    "camera": ("camera", "Manage the upload accounts of cameras."),
    "demo": ("demo", "Generate demo uploads in DIR, as the cameras of a home would send them."),
    "serve": ("serve", "Serve the dashboard."),
    "site": ("site", "Write static pages of all cameras to FOLDER, or update them."),
    "user": ("user", "Manage the users of the dashboard."),
    "install": ("install", "Install pano as a service that starts with this machine."),
    "status": ("status", "Show the state of the library, for people and monitoring tools."),
    "doctor": ("doctor", "Find problems with the cameras and their uploads, and suggest fixes."),
    "events": (
        "events",
        "List the events of cameras, and which of them are reviewed, pinned or dismissed.",
    ),
    "sessions": (
        "sessions",
        "List visits: events of several cameras that follow each other, as one line.",
    ),
    "mark": ("mark", "Store what somebody decided about events."),
    "undo": (
        "undo",
        "Take back what somebody decided about events, or a correction of a camera's clock.",
    ),
    "cull": ("cull", "Show which uploads are past their retention time; --delete removes them."),
    "clock": (
        "clock",
        "Check whether this computer's clock is plausible, or confirm that it is right.",
    ),
    "parts": ("parts", "List the Parquet files of a table, for other tools."),
    "check": ("check", "Report differences between upload tree, catalog, journal and thumbnails."),
    "rebuild": ("rebuild", "Rebuild the catalog from the upload tree and the journal."),
    "backup": ("backup", "Back up what cannot be recreated from the uploads to one file."),
    "restore": ("restore", "Restore a backup into a library."),
    "explain": ("explain", "Show what pano reads from an upload's path, or why it reads nothing."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported only when one of them is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"pano_analytics.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn an OSError into the PanoError that explains it, if there is one."""
        try:
            return super().invoke(ctx)
        except OSError as error:
            settings = ctx.meta.get(SETTINGS)
            where = (settings.uploads, settings.library) if settings else (None, None)
            raise as_pano_error(error, *where) or error from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pano-analytics", prog_name="pano")
def pano() -> None:
    """Find what happened in weeks of camera uploads, at home, without a cloud."""


INTERRUPTED = 130  # the exit code in a shell of a command that Ctrl-C ended


def main(argv: list[str] | None = None) -> None:
    """Run `pano` and exit; an error becomes plain text on stderr and its exit code.

    That is one line, or for settings one line per key that is wrong. Whatever an error
    quotes, such as a name from the upload tree, is made safe for the terminal.
    """
    try:
        code = pano.main(args=argv, prog_name="pano", standalone_mode=False)
    except PanoError as error:
        _say_error(error)
        code = error.exit_code
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        say_text(shown.getvalue(), err=True, nl=False)
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        say("pano: interrupted", err=True)
        code = INTERRUPTED
    except Exception as error:
        code = _unexpected(error)
    sys.exit(code if isinstance(code, int) else 0)


def _say_error(error: PanoError) -> None:
    lines = error.lines if isinstance(error, SettingsError) else (str(error),)
    for indent, line in zip(["pano: ", *["  "] * len(lines)], lines, strict=False):
        say(f"{indent}{line}", err=True)


def _unexpected(error: Exception) -> int:
    """Print an unexpected error, with a traceback if its cause is unknown; return the exit code."""
    known = as_pano_error(error, None, None) if isinstance(error, OSError) else None
    if isinstance(error, BrokenExecutor) or NoProcess.matches(error):
        known = NoProcess.of(error)
    if known is not None:
        say(f"pano: {known}", err=True)
        return known.exit_code
    say_text(traceback.format_exc(), err=True, nl=False)
    say("pano: unexpected error; please report the lines above.", err=True)
    return PanoError.exit_code
