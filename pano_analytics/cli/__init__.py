"""`pano`: one command a module, loaded when it is called, so that a quiet run starts fast."""

from __future__ import annotations

import importlib
import io
import sys
import traceback
from typing import Any

import click

from pano_analytics.cli.options import SETTINGS
from pano_analytics.cli.terminal import say, say_text
from pano_analytics.errors import PanoError, refused

# name -> (module, one line for the list of commands). The line stands here so
# that `pano --help` imports no command; a test holds it against the command.
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("init", "Propose a settings file from an upload tree."),
    "ingest": ("ingest", "Bring the library up to date with the upload tree."),
    "up": ("up", "Run all parts in one command, and keep them at work."),
    "receive": ("receive", "Take the cameras' uploads by FTP until ended."),
    "camera": ("camera", "Say which cameras may upload here."),
    "demo": ("demo", "Make demonstration uploads in DIR: a home seen by its cameras."),
    "serve": ("serve", "Serve the dashboard until interrupted."),
    "site": ("site", "Write pages of all cameras into FOLDER, or what of them changed."),
    "user": ("user", "Say who may log in to the dashboard."),
    "install": ("install", "Make pano a service that starts with this machine."),
    "status": ("status", "Say how the library is doing, for people and monitors."),
    "doctor": ("doctor", "Say what is wrong with what arrives, and what to do."),
    "cull": ("cull", "Show which uploads were kept long enough, and delete them when told to."),
    "clock": ("clock", "Show whether this computer's clock can be right, or confirm that it is."),
    "check": ("check", "Say what disagrees between upload tree, catalog, journal and thumbnails."),
    "rebuild": ("rebuild", "Make the catalog anew of upload tree and journal."),
    "backup": ("backup", "Keep what only we know in one file."),
    "restore": ("restore", "Put a backup into a library."),
    "explain": ("explain", "Say what is read from an upload's path, or why nothing is."),
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
        """Run the command; a path of the uploads or the library that is refused is told so."""
        try:
            return super().invoke(ctx)
        except OSError as error:
            settings = ctx.meta.get(SETTINGS)
            where = (settings.uploads, settings.library) if settings else (None, None)
            raise refused(error, *where) or error from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pano-analytics", prog_name="pano")
def pano() -> None:
    """Find what happened in weeks of camera uploads, at home, without a cloud."""


INTERRUPTED = 130  # what a shell gives a command that Ctrl-C ended


def main(argv: list[str] | None = None) -> None:
    """Run `pano` and exit; an error becomes one plain line on stderr and its exit code.

    Whatever an error quotes, a name from the tree say, is made safe for the terminal.
    """
    try:
        code = pano.main(args=argv, prog_name="pano", standalone_mode=False)
    except PanoError as error:
        say(f"pano: {error}", err=True)
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
        code = _unforeseen(error)
    sys.exit(code if isinstance(code, int) else 0)


def _unforeseen(error: Exception) -> int:
    """Print an error that no command expects; with its traceback, unless a path was refused."""
    told = refused(error, None, None) if isinstance(error, OSError) else None
    if told is not None:
        say(f"pano: {told}", err=True)
        return told.exit_code
    say_text(traceback.format_exc(), err=True, nl=False)
    say("pano: an error that nobody foresaw; please report the lines above.", err=True)
    return PanoError.exit_code
