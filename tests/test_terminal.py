"""Terminal output: no name from the tree moves a cursor, turns a line around or forges one."""

from __future__ import annotations

import ast
import io
import logging
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from lived_in import NOON, lay, picture
from shared_files import snapshot_path

import pano_analytics
from pano_analytics.cli import COMMANDS, main
from pano_analytics.cli.terminal import say, say_text, shown
from pano_analytics.logs import on_stderr

# Clear the screen, set its title, turn the line around (marks, isolates, embeddings), C1's
# CSI, invisible marks, line ends of every sort, a letter that no encoding has, a tab.
FORGED = "porch: all is well"
EVIL = (
    "evil\x1b[2J\x1b]0;title\x07\u202e\u2066\u200f\u061c\x9b31m\u200b\ufeff"
    f"\r\n{FORGED}\n\x0b\x0c\u2028\u2029\x85\udcff\t\b\x7f"
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay out a tree in which cameras, files and folders have hostile names, and go there."""
    folder = tmp_path_factory.mktemp("home")
    uploads = folder / "uploads"
    for number in range(3):
        start = NOON + timedelta(minutes=number)
        lay(picture(number), uploads / snapshot_path(EVIL, start))
    lay(b"no picture", uploads / snapshot_path(EVIL, NOON + timedelta(minutes=5)))
    lay(b"x", uploads / f"{EVIL}.exe")
    (uploads / EVIL / f"link{EVIL}").symlink_to("/nowhere")
    (folder / f"not{EVIL}.toml").write_text(f"[[cameras]]\nname = {EVIL!a}\n")
    (folder / "pano.toml").write_text('zone = "Europe/Berlin"\nkeep_days = 1\n')
    return folder


IN_ORDER: list[list[str]] = [
    ["explain", snapshot_path(EVIL, NOON), f"{EVIL}.exe"],
    ["explain", "--json", snapshot_path(EVIL, NOON)],
    ["init", "UPLOADS"],
    ["status", "HOME"],
    ["ingest", "HOME", "--log", "log.txt"],
    ["ingest", "--unknown", "HOME"],
    ["status", "HOME"],
    ["parts", "HOME"],
    ["doctor", "HOME"],
    ["check", "--depth", "decode", "HOME"],
    ["site", "site", "HOME"],
    ["cull", "--list", "HOME"],
    ["cull", "HOME"],
    ["clock", "HOME"],
    ["mark", "noted", "HOME", "--start", "2020-01-01", "--note", EVIL, "--who", "anna"],
    ["mark", "pinned", EVIL, "HOME", "--who", EVIL],
    ["events", "HOME"],
    ["events", "HOME", "--csv"],
    ["sessions", "HOME"],
    ["sessions", "HOME", "--csv"],
    ["events", "HOME", "--json", "--who", EVIL],
    ["undo", EVIL, "HOME"],
    ["backup", "one.tar", "--library", "library"],
    ["backup", f"no/{EVIL}.tar", "--library", "library"],
    ["restore", "one.tar", f"library{EVIL}"],
    ["restore", f"{EVIL}.tar", "library"],
    ["rebuild", "HOME"],
    ["camera", "list", "HOME"],
    ["camera", "add", EVIL, "--no-wait", "HOME"],
    ["camera", "remove", EVIL, "HOME"],
    ["user", "add", EVIL, "HOME"],
    ["user", "remove", EVIL, "HOME"],
    ["user", "list", "HOME"],
    ["ingest", "--config", f"not{EVIL}.toml"],
    ["ingest", "--uploads", EVIL, "--library", EVIL],
    ["serve", "--config", f"lacks{EVIL}"],
    ["up", "--config", f"not{EVIL}.toml"],
    ["receive", "--config", f"not{EVIL}.toml"],
    ["install", "--config", f"not{EVIL}.toml", "--show"],
    ["demo", f"uploads/{EVIL}", "--days", EVIL],
    [EVIL],
    ["status", f"--{EVIL}"],
]


def test_every_command_is_asked() -> None:
    assert {words[0] for words in IN_ORDER} >= set(COMMANDS)


@pytest.mark.parametrize("words", IN_ORDER, ids=lambda words: ascii(" ".join(words))[1:25])
def test_no_command_prints_what_a_terminal_obeys(
    words: list[str],
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every command, on a tree of hostile names and with hostile arguments."""
    monkeypatch.chdir(home)
    asked: list[str] = []
    for word in words:
        if word == "HOME":
            asked += ["--library", "library"]
            asked += [] if words[0] in ("user",) else ["--uploads", "uploads"]
        else:
            asked.append("uploads" if word == "UPLOADS" else word)
    with pytest.raises(SystemExit):
        main(asked)
    told = capsys.readouterr()
    check_safe(told.out)
    check_safe(told.err)
    assert "Traceback" not in told.err


def check_safe(text: str) -> None:
    """Hold what was printed against what a terminal may be given."""
    bad = {char for char in text if not char.isprintable()} - {"\n", "\t"}
    assert not bad, (bad, text)
    assert not any(line.strip().startswith(FORGED) for line in text.splitlines()), text


def test_log_files_are_safe(home: Path) -> None:
    """What a run writes into its log file."""
    log = str(home / "log.txt")
    where = ["--uploads", str(home / "uploads"), "--library", str(home / "library")]
    with pytest.raises(SystemExit):
        main(["ingest", "--full", "--log", log, *where])
    text = (home / "log.txt").read_text(encoding="utf-8")
    assert text
    check_safe(text)


def test_logs_on_stderr_are_safe(capsys: pytest.CaptureFixture[str]) -> None:
    """Messages and tracebacks are one safe line each."""
    handler = on_stderr()
    handler.stream = sys.stderr  # type: ignore[attr-defined]
    try:
        raise ValueError(EVIL)
    except ValueError:
        record = logging.LogRecord("x", 30, "x", 1, "%s", (EVIL,), sys.exc_info())
    handler.handle(record)
    told = capsys.readouterr().err
    check_safe(told)
    assert told.count("\n") == 1


def test_an_error_nobody_foresaw_is_safe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its traceback quotes what it stumbled over."""
    from pano_analytics import cli

    def stumble(**_: object) -> None:
        raise ValueError(EVIL)

    monkeypatch.setattr(cli.pano, "main", stumble)
    with pytest.raises(SystemExit) as ended:
        main(["status"])
    assert ended.value.code == 1
    told = capsys.readouterr().err
    bad = {char for char in told if not char.isprintable()} - {"\n", "\t"}
    assert not bad
    assert "ValueError" in told


def test_each_wrong_key_has_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As docs/settings.md shows it; a key that contains a line end still forges none."""
    (tmp_path / "pano.toml").write_text('zone = "Berlin"\n"a\\nb" = 1\n')
    with pytest.raises(SystemExit) as ended:
        main(["status", "--config", str(tmp_path / "pano.toml")])
    assert ended.value.code == 2
    first, *rest = capsys.readouterr().err.splitlines()
    assert first == f"pano: {tmp_path / 'pano.toml'} cannot be used:"
    assert len(rest) == 2
    assert rest[0].startswith("  zone: expected an IANA time zone")
    assert rest[1].startswith("  a\\nb: expected a known key")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_any_encoding_takes_any_name(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the terminal cannot show is escaped, and nothing is an error."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, write_through=True))
    say(f"caf\u00e9 \u6f22 {EVIL}")
    say_text(f"{shown(EVIL)}\tis well\nand so on")
    lines = raw.getvalue().decode(encoding).splitlines()
    assert len(lines) == 3
    check_safe("\n".join(lines))


def test_there_is_one_way_to_print() -> None:
    """Commands print by `say` and `say_text`; nothing else reaches a terminal."""
    package = Path(pano_analytics.__file__).parent
    for file in package.rglob("*.py"):
        if file.name in ("terminal.py", "confined.py"):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in (
                    "print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write",
                    "logging.Formatter", "logging.basicConfig(format",
                ), f"{file}:{node.lineno}"  # fmt: skip
