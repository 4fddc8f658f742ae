"""`pano`: one command a module, loaded when it is called, so that a quiet run starts fast."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from pano_analytics.errors import PanoError

# name -> (module, one line for the list of commands). The line stands here so
# that `pano --help` imports no command; a test holds it against the command.
COMMANDS: dict[str, tuple[str, str]] = {
    "ingest": ("ingest", "Bring the library up to date with the upload tree."),
    "demo": ("demo", "Make the uploads of a home of six cameras, to try pano with."),
    "serve": ("serve", "Serve the dashboard."),
    "user": ("user", "Say who may see the dashboard."),
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

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pano-analytics", prog_name="pano")
def pano() -> None:
    """Find what happened in weeks of camera uploads, at home, without a cloud."""


def main(argv: list[str] | None = None) -> Any:
    """Run `pano`; a `PanoError` becomes one plain line on stderr and its exit code."""
    try:
        return pano.main(args=argv, prog_name="pano", standalone_mode=True)
    except PanoError as error:
        click.echo(f"pano: {error}", err=True)
        sys.exit(error.exit_code)
