"""The documents say what is so: examples run, pages are up to date, links and options exist."""

from __future__ import annotations

import doctest
import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest
from demo_library import DemoHome, demo_home
from pydantic import BaseModel

from pano_analytics import settings
from pano_analytics.cli import COMMANDS
from pano_analytics.doctor import WORDS
from pano_analytics.ingest.run import ingest
from pano_analytics.model.upload import STATES, TRIGGERS
from pano_analytics.settings import Settings
from pano_demo import make_demo

__all__ = ["demo_home"]

ROOT = Path(__file__).resolve().parents[1]
# Design pages may also speak of commands to come.
FOR_USERS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [*FOR_USERS, *sorted((ROOT / "docs" / "design").glob("*.md"))]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL


def load_make_docs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "tools" / "make_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_docs = load_make_docs()


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# --- examples ---------------------------------------------------------------


WITH_EXAMPLES = ["README.md", "docs/dataframe.md"]


@pytest.fixture
def beside_data(demo_home: DemoHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the demonstration at data/library, as in the examples."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "library").symlink_to(demo_home.folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("beside_data")
@pytest.mark.parametrize("page", WITH_EXAMPLES)
def test_the_examples_run(page: str) -> None:
    """Every `>>>` of the page gives what the page shows."""
    run_examples(page)


@pytest.mark.long
@pytest.mark.parametrize("zone", ["America/St_Johns", "UTC"])
def test_the_examples_hold_on_what_was_made_today(
    zone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They hold on a demonstration that ends now, in the zone of whatever machine made it."""
    monkeypatch.setenv("TZ", zone)
    monkeypatch.chdir(tmp_path)
    make_demo(tmp_path / "data" / "uploads", days=2)
    ingest(Settings(uploads=tmp_path / "data" / "uploads", library=tmp_path / "data" / "library"))
    for page in WITH_EXAMPLES:
        run_examples(page)


def run_examples(page: str) -> None:
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    text = (ROOT / page).read_text(encoding="utf-8")
    test = doctest.DocTestParser().get_doctest(text, {}, page, page, 0)
    assert len(test.examples) > 5
    failed, _ = runner.run(test, out=told.append)
    assert not failed, "".join(told)


# --- pages made from the code -------------------------------------------------


@pytest.mark.parametrize("name", sorted(make_docs.PAGES))
def test_made_pages_are_up_to_date(name: str) -> None:
    """The page is what the code makes now; `make docs` writes it anew."""
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == make_docs.PAGES[name]()


# --- commands -----------------------------------------------------------------


def commands() -> list[tuple[str, click.Command]]:
    return list(make_docs.commands())


ALL_COMMANDS = dict(commands())
LEAVES = [name for name, command in ALL_COMMANDS.items() if name != "pano"]


def test_every_module_of_commands_is_a_command() -> None:
    """What lies in cli/ and has a command can be called."""
    modules = {
        path.stem
        for path in (ROOT / "pano_analytics" / "cli").glob("[a-z]*.py")
        if "\ncommand" in (text := path.read_text()) or "\ndef command(" in text
    }
    assert modules == {module for module, _ in COMMANDS.values()}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_list_says_what_the_command_says(name: str) -> None:
    """The line in `pano --help`, kept apart so that nothing is imported, is the command's own."""
    assert COMMANDS[name][1] == ALL_COMMANDS[f"pano {name}"].get_short_help_str(limit=200)


@pytest.mark.parametrize("name", LEAVES)
def test_every_command_has_help_and_examples(name: str) -> None:
    """Help says what the command does, what each option means, and shows how it is used."""
    command = ALL_COMMANDS[name]
    assert command.help
    options = [one for one in command.params if isinstance(one, click.Option)]
    assert [one.name for one in options if not one.help] == []
    text = make_docs.help_of(name, command)
    assert "Examples:" in text
    assert f"  {' '.join(name.split()[:2])} " in text.partition("Examples:")[2]


def calls(text: str) -> Iterator[list[str]]:
    """Yield the `pano …` calls in code blocks and in code among words, cut into words."""
    fenced = re.findall(r"```(?:sh|cron|text)\n(.*?)```", text, re.DOTALL)
    inline = re.findall(r"`(pano [^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    lines = [line for block in fenced for line in block.splitlines()]
    for line in [*lines, *inline]:
        found = re.search(r"(?:^|bin/|\| |&& )(pano [a-z].*)", line)
        if found and not found[1].startswith("pano:"):
            yield shlex.split(re.split(r" \| | && |#", found[1].replace("…", ""))[0])[1:]


def misfit(words: list[str]) -> str | None:
    """Return what in a call does not exist, None if all does."""
    name, left = "pano", list(words)
    while left and f"{name} {left[0]}" in ALL_COMMANDS:
        name = f"{name} {left.pop(0)}"
    if name == "pano" and words[:1] not in (["--help"], ["--version"]):
        return f"pano {words[0]}"
    known = {opt for one in ALL_COMMANDS[name].params for opt in (*one.opts, *one.secondary_opts)}
    options = [word for word in left if re.match(r"-(?!$|\d)", word)]  # -2820 is a value
    unknown = [word for word in options if word not in {*known, "--help"}]
    return f"{name} {unknown[0]}" if unknown else None


@pytest.mark.parametrize("page", FOR_USERS, ids=name_of)
def test_calls_in_the_documents_exist(page: Path) -> None:
    """Commands and options that a page speaks of are there."""
    found = [misfit(words) for words in calls(page.read_text(encoding="utf-8"))]
    assert [one for one in found if one] == []


def test_the_comparison_of_calls_sees_what_is_not_there() -> None:
    """A call with an unknown command or option does not pass."""
    text = "```sh\npano ingest --nothing\n```\nand `pano nothing`, but `pano user add anna`"
    assert [misfit(words) for words in calls(text)] == [
        "pano ingest --nothing",
        "pano nothing",
        None,
    ]


# --- settings -----------------------------------------------------------------


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield a model of settings and all that stand in it."""
    yield model
    for field in model.model_fields.values():
        for inner in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from models(inner)


def test_the_sample_loads() -> None:
    """docs/pano.toml is taken as it is, and says nothing that it does not say."""
    loaded = settings.load(ROOT / "docs" / "pano.toml")
    assert [camera.name for camera in loaded.cameras] == ["front_door", "barn", "gate"]


def test_the_sample_names_every_key() -> None:
    """Each key of each table of the settings is in docs/pano.toml."""
    said = tomllib.loads((ROOT / "docs" / "pano.toml").read_text(encoding="utf-8"))
    cameras = {key: value for camera in said["cameras"] for key, value in camera.items()}
    tables = [said, cameras, *(table for table in said.values() if isinstance(table, dict))]
    tables += cameras["clock"]
    told = {frozenset(table) for table in tables}
    for model in models(settings.Settings):
        assert frozenset(model.model_fields) in told, model.__name__


def test_the_sample_gives_the_defaults() -> None:
    """A key with a default stands in the sample with that default, or says what it is."""
    sample, default = settings.load(ROOT / "docs" / "pano.toml"), settings.Settings()
    for table in ("dashboard", "ingest"):
        for key, value in getattr(default, table):
            assert value in (None, getattr(getattr(sample, table), key)), f"{table}.{key}"
    for key in ("silent_after_hours", "cache_limit_mb"):
        assert getattr(sample, key) == getattr(default, key)


# --- words and links ------------------------------------------------------------


@pytest.mark.parametrize("word", [*STATES, *TRIGGERS])
def test_states_and_triggers_are_explained(word: str) -> None:
    """Every value that the columns can hold is told in docs/dataframe.md."""
    text = (ROOT / "docs" / "dataframe.md").read_text(encoding="utf-8")
    assert re.search(rf"\b{word}\b", text)


def test_every_kind_of_time_is_explained() -> None:
    """Every `time_source` that ingest writes is told in docs/dataframe.md."""
    folder = ROOT / "pano_analytics" / "ingest"
    code = "\n".join((folder / name).read_text() for name in ("clock.py", "listing.py"))
    written = set(re.findall(r'"(name|name\+\w+|guess|gap|arrival)"', code))
    text = (ROOT / "docs" / "dataframe.md").read_text(encoding="utf-8")
    assert written >= {"name", "arrival", "guess"}
    assert [one for one in written if f"`{one}`" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file of the project finds it."""
    targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [one for one in targets if not (page.parent / one).exists()] == []


# --- troubleshooting --------------------------------------------------------------


SYMPTOMS = [
    *("cannot connect", "login refused", "425", "426", "421", "530", "550", "552", "hour off"),
    *("no thumbnails", "H.265", "disk full", "missing after a reboot", "clock", "unread"),
    *("nothing reads these files", "not local", "forgot the password", "blank plots", "DuckDB"),
    *("zone", "two cameras in one", "snapshots without a clip", "deleted too early"),
    *("nothing is deleted", "too large to look at", "not supported", "certificate", "port in use"),
]


@pytest.mark.parametrize("symptom", SYMPTOMS)
def test_troubleshooting_has_what_people_search_for(symptom: str) -> None:
    """Each symptom, as somebody would type it, is in a row that names a command or a setting."""
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    told = [row for row in rows if symptom.lower() in row.lower()]
    answers = [row.split("|", 2)[2] for row in told]
    assert any("`" in one or "](" in one for one in answers), symptom


def test_troubleshooting_knows_every_finding() -> None:
    """Each word of the doctor and each problem of status is there, with what to do."""
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    room = ROOT / "pano_analytics"
    code = "".join(
        path.read_text() for path in (room / "status.py", room / "service/supervise/problems.py")
    )
    problems = set(re.findall(r'_problem\(\s*"(\w+)"', code))
    assert len(problems) > 8
    assert sorted(word for word in {*WORDS, *problems} if f"`{word}`" not in text) == []
