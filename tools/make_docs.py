"""Generate pages from the code: the columns of the tables, and the commands with their help.

`make docs` writes them; a test fails if they are out of date.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click
import pyarrow as pa

from pano_analytics import errors
from pano_analytics.analysis.events import EVENTS
from pano_analytics.analysis.marks import MARKS
from pano_analytics.analysis.sessions import SESSION_ID, SESSIONS, UNSEEN
from pano_analytics.cli import pano
from pano_analytics.model.tables import TABLES
from pano_analytics.model.upload import SCHEMA_VERSION

DOCS = Path(__file__).resolve().parents[1] / "docs"
WIDTH = 88

_EVENTS = (
    "One row per event, sorted by `start`: `library.events()`. Computed from `media`, not stored "
    "(see [dataframe.md](dataframe.md#events))."
)
_SESSIONS = (
    "One row per visit, sorted by `start`: `library.sessions()`. Computed from `media`, not stored "
    "(see [dataframe.md](dataframe.md#sessions))."
)
_PARTITIONS = (
    (
        "camera",
        pa.string(),
        "the camera that made the upload; in Parquet the folder `camera=…`",
    ),
    (
        "date",
        pa.date32(),
        "the calendar day on the camera's clock; in Parquet the folder `date=…`",
    ),
)


# --- columns ----------------------------------------------------------------


def columns_page() -> str:
    """Return `docs/columns.md`."""
    head = f"""\
# The columns

Generated from `pano_analytics/model/tables.py` by `make docs`. The schema version is
{SCHEMA_VERSION}; the metadata of each Parquet file contains it. Columns are stable: new ones may be
added, none is changed or removed, and columns that an older file lacks are returned as null.

The types are those in Parquet. In DataFrames, times with a zone are in the library's zone
(`library.zone`); times without a zone are the time on the camera's own clock.
"""
    events = _table("events", _EVENTS, (*EVENTS, *MARKS, *SESSION_ID))
    marks = ((name, kind, _of_session(what)) for name, kind, what in MARKS)
    sessions = _table("sessions", _SESSIONS, (*SESSIONS, *marks, *UNSEEN))
    return "\n".join([head, *map(_stored, TABLES), events, sessions])


def _of_session(text: str) -> str:
    """Return the meaning of a mark of an event as one of a session."""
    text = text.replace("the latest note about", "a note about")
    return text.replace("number of its uploads that", "the sum of its events: uploads that")


def _stored(name: str) -> str:
    table = TABLES[name]
    partitions = _PARTITIONS if table.is_by_day else ()
    return _table(name, table.about, [*table.columns[:1], *partitions, *table.columns[1:]])


def _table(name: str, about: str, rows: Iterable[tuple[str, pa.DataType, str]]) -> str:
    lines = [f"| `{column}` | {kind} | {_cell(what)} |" for column, kind, what in rows]
    head = [f"## {name}", "", about, "", "| column | type | meaning |", "|---|---|---|"]
    return "\n".join([*head, *lines, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


# --- commands ---------------------------------------------------------------


def cli_page() -> str:
    """Return `docs/cli.md`."""
    head = """\
# The commands

Generated from the commands' help by `make docs`. Settings are read from `--config`, else from
`PANO_CONFIG`, else from `./pano.toml`; options on the command line take precedence.
"""
    return "\n".join([head, *(_section(*one) for one in commands()), _exit_codes()])


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its full name: `pano` first, groups before their commands."""
    yield "pano", pano
    yield from _below("pano", pano)


def _below(name: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group, info_name=name)
    for own in group.list_commands(context):
        command = group.get_command(context, own)
        assert command is not None, own
        yield f"{name} {own}", command
        if isinstance(command, click.Group):
            yield from _below(f"{name} {own}", command)


def help_of(name: str, command: click.Command) -> str:
    """Return what `NAME --help` prints on a terminal of WIDTH columns."""
    context = click.Context(
        command,
        info_name=name,
        max_content_width=WIDTH,
        terminal_width=WIDTH,
        help_option_names=["-h", "--help"],
    )
    return command.get_help(context)


def _section(name: str, command: click.Command) -> str:
    return f"## {name}\n\n```text\n{help_of(name, command)}\n```\n"


def _exit_codes() -> str:
    lines = [f"| {code} | {what} |" for code, what in errors.EXIT_CODES.items()]
    head = """\
## Exit codes

All commands use the same exit codes.

| code | meaning |
|---|---|"""
    return "\n".join([head, *lines, ""])


PAGES: dict[str, Callable[[], str]] = {"columns.md": columns_page, "cli.md": cli_page}


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
