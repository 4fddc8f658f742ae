"""Every command ends bad situations with the code of the one table, and without a traceback."""

from __future__ import annotations

import ast
import importlib
import os
import pkgutil
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import pano_analytics
from pano_analytics.cli import main
from pano_analytics.errors import EXIT_CODES, PanoError

ROOT = Path(pano_analytics.__file__).parent
# Each command as it is called where all is well; those that serve end at once where it is not.
COMMANDS = {
    "ingest": "ingest --quiet",
    "up": "up",
    "receive": "receive",
    "camera add": "camera add porch",
    "camera list": "camera list",
    "camera password": "camera password porch",
    "camera remove": "camera remove porch",
    "serve": "serve --port 0",
    "site": "site pages",
    "user list": "user list",
    "user remove": "user remove anna",
    "status": "status",
    "doctor": "doctor",
    "events": "events",
    "sessions": "sessions",
    "mark": "mark reviewed 5f0c1d2e3a4b5c6d",
    "undo": "undo 5f0c1d2e3a4b5c6d",
    "cull": "cull",
    "cull --adopt": "cull --adopt",
    "cull --delete": "cull --delete",
    "check": "check",
    "rebuild": "rebuild",
    "backup": "backup kept.tar",
}


def settings(uploads: str | None, library: str | None) -> None:
    """Write a pano.toml here that names these folders."""
    said = {"uploads": uploads, "library": library, "zone": "UTC"}
    lines = [f'{key} = "{value}"' for key, value in said.items() if value]
    Path("pano.toml").write_text("\n".join(lines))


def upload() -> None:
    """Lay one upload below `uploads`."""
    Path("uploads").mkdir()
    Path("uploads/a.jpg").write_bytes(b"x")


def nothing() -> None:
    """Leave the folder empty: neither settings nor options."""


def no_library() -> None:
    upload()
    settings("uploads", None)


def bad_settings() -> None:
    Path("pano.toml").write_text("zone = 3")


def no_text() -> None:
    Path("pano.toml").write_bytes(b"\xff\xfe\x00")


def odd_zone() -> None:
    upload()
    Path("pano.toml").write_text(
        'uploads = "uploads"\nlibrary = "library"\nzone = "posix/Europe/Berlin"'
    )


def inside() -> None:
    upload()
    settings("uploads", "uploads/library")


def file_as_library() -> None:
    upload()
    Path("library").write_text("x")
    settings("uploads", "library")


def refused_place() -> None:
    upload()
    settings("uploads", "/sys/pano")


SITUATIONS: dict[Callable[[], None], int] = {
    nothing: 2,
    no_library: 2,
    bad_settings: 2,
    no_text: 2,
    odd_zone: 2,
    inside: 2,
    file_as_library: 4,
    refused_place: 4,
}


def ended(call: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Return the exit code of `pano CALL`, and what it said of an error."""
    with pytest.raises(SystemExit) as ending:
        main(call.split())
    code = ending.value.code
    return (code if isinstance(code, int) else 1), capsys.readouterr().err


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PANO_CONFIG", raising=False)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda one: one.__name__)
def test_each_command_says_the_same_of_a_situation(
    command: str, situation: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong decides the code, not the command that meets it."""
    if situation is refused_place and command == "serve":
        pytest.skip("it serves what somebody else may still make")
    situation()
    code, told = ended(COMMANDS[command], capsys)
    assert (code, "Traceback" in told) == (SITUATIONS[situation], False), told
    assert code in EXIT_CODES
    assert "expected" in told or "cannot be used" in told


@pytest.mark.parametrize("command", ["ingest", "receive", "rebuild", "cull", "check", "init"])
def test_a_missing_tree_is_code_3(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """For all commands that read or write it, once there is a library."""
    upload()
    settings("uploads", "library")
    ended("ingest --quiet", capsys)
    Path("uploads").rename("elsewhere")
    call = "init --uploads uploads --output new.toml" if command == "init" else COMMANDS[command]
    code, told = ended(call, capsys)
    assert (code, "Traceback" in told) == (3, False), told


@pytest.mark.parametrize(
    "command",
    [
        one
        for one in COMMANDS
        if one.split()[0] not in ("ingest", "up", "receive", "camera", "rebuild")
    ],
)
def test_a_missing_library_is_code_4(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """For all commands that do not make one."""
    places = "--library nowhere" + (" --uploads empty" if command == "check" else "")
    Path("empty").mkdir()
    code, told = ended(f"{COMMANDS[command]} {places}", capsys)
    assert (code, "Traceback" in told) == (4, False), told


def test_every_error_has_its_code_in_the_table() -> None:
    """No error class and no sys.exit() ends with a code that the table does not have."""
    for module in pkgutil.walk_packages([str(ROOT)], "pano_analytics."):
        if not re.search(r"\.(plots|dashboard|__main__|demo)\b", module.name):
            importlib.import_module(module.name)
    kinds = [PanoError]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        assert kind.exit_code in EXIT_CODES, kind
    for path in ROOT.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "sys.exit":
                codes = [one.value for one in ast.walk(call) if isinstance(one, ast.Constant)]
                known = [one for one in codes if isinstance(one, int)]
                assert set(known) <= set(EXIT_CODES), (path, known)


def test_codes_in_the_help_of_commands_are_in_the_table() -> None:
    """And the page of commands shows the table once."""
    page = (ROOT.parent / "docs" / "cli.md").read_text(encoding="utf-8")
    for text in re.findall(r"Exit codes: (.*?)\n\n", page, re.DOTALL):
        said = re.findall(r"(?:^|[,;]\s+)(\d+) ", text)
        assert {int(one) for one in said} <= set(EXIT_CODES)
    for code in EXIT_CODES:
        assert page.count(f"\n| {code} | ") == 1


def test_what_nobody_foresaw_is_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks for a report, after the lines that a report needs."""
    monkeypatch.setattr("pano_analytics.settings.find", lambda _: 1 / 0)
    code, told = ended("status", capsys)
    assert code == 1
    assert told.rstrip().endswith("please report the lines above.")


# --- paths that are links to nowhere, to themselves, or files -------------------------------


def loop() -> None:
    Path("odd").symlink_to("odd")


def dangling() -> None:
    Path("odd").symlink_to("nowhere")


def file() -> None:
    Path("odd").write_bytes(b"x")


ODD_PATHS = {
    "ingest --quiet --uploads odd": 3,
    "rebuild --uploads odd": 3,
    "receive --uploads odd": 3,
    "check --uploads odd": 3,
    "cull --uploads odd": 3,
    "cull --adopt --uploads odd": 3,
    "cull --delete --uploads odd": 3,
    "init --uploads odd --output new.toml": 3,
    "explain --uploads odd a.jpg": 3,
    "ingest --quiet --library odd": 4,
    "status --library odd": 4,
    "status --config odd": 2,
    "site odd": 2,
    "backup odd": 2,
}


# Others leave a file that the command line names to click, which exits with 2.
TAKES_FILES = ("explain", "init", "site", "backup")


@pytest.mark.parametrize(
    ("call", "lay"),
    [
        (call, lay)
        for call in ODD_PATHS
        for lay in (loop, dangling, file)
        if lay is not file or call.split()[0] in TAKES_FILES
    ],
)
def test_a_path_that_is_no_folder_ends_by_the_table(
    call: str, lay: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """A link loop or a dangling link is an error in words, as a file is; it stays as it is."""
    upload()
    settings("uploads", "library")
    ended("ingest --quiet", capsys)
    lay()
    code, told = ended(call, capsys)
    assert (code, "Traceback" in told) == (ODD_PATHS[call], False), told
    assert os.path.lexists("odd")
    assert not Path("nowhere").exists()


# --- what serves, over trees and libraries that are there and of no use ---------------------


def empty_tree() -> None:
    Path("uploads").mkdir()
    settings("uploads", "library")


def missing_tree() -> None:
    settings("uploads", "library")


def read_only_library() -> None:
    """A library in a place of which the kernel lets nobody write, root included."""
    upload()
    settings("uploads", "/proc/pano")


SERVING = {
    ("up", missing_tree): None,
    ("receive", missing_tree): 3,
    ("up", read_only_library): 4,
    ("receive", read_only_library): 4,
    ("serve --port 0", missing_tree): None,
    ("up", empty_tree): None,
    ("receive", empty_tree): None,
    ("serve --port 0", empty_tree): None,
}


@pytest.mark.parametrize(
    ("call", "situation"), SERVING, ids=lambda one: getattr(one, "__name__", one)
)
def test_what_serves_ends_by_the_table(call: str, situation: Callable[[], None]) -> None:
    """One line, no traceback; an empty tree, or one that is to come, is served until SIGTERM."""
    situation()
    with Path("pano.toml").open("a") as file:
        file.write("\n[dashboard]\nport = 0\n[receive]\nport = 0\n[up]\nhealth_port = 0\n")
    code = SERVING[call, situation]
    command = [sys.executable, "-m", "pano_analytics.cli", *call.split()]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )
    assert process.stdout is not None
    told = ""
    deadline = threading.Timer(60, process.kill)
    deadline.start()
    for line in process.stdout:
        told += line
        # Its last word before it serves: from then on it ends in order.
        if code is None and re.search(r"Dashboard: http|Accepting uploads at", line):
            process.terminate()
    deadline.cancel()
    assert process.wait(30) == (code or 0), told
    assert "Traceback" not in told
    if code:
        assert len(told.strip().splitlines()) == 1, told
