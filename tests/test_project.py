"""The project as a whole: its files agree with each other, and every check of the code passes."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import pytest
import rattler
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent

# What PyPI and conda-forge call differently.
CONDA_NAMES = {"duckdb": "python-duckdb", "tzdata": "python-tzdata"}

LAYOUT = (
    ".ci/run",
    "LICENSE",
    "Makefile",
    "README.md",
    "apps/dashboard.py",
    "benchmarks",
    "data/README.md",
    "data/sample",
    "demo/pano_demo",
    "demo/pyproject.toml",
    "docs",
    "environment.yml",
    "notebooks/investigate_incident.ipynb",
    "pano_analytics",
    "pyproject.toml",
    "requirements.lock",
    "tests",
)

# Spelled in two pieces, for this file is looked at as well.
HOSTS = tuple(
    name.replace("_", ".")
    for name in ("pypi_org", "pythonhosted_org", "anaconda_org", "npmjs_org", "debian_org")
)
HOMES = ("/ro" + "ot/", "/wo" + "rk/", f"{Path.home()}/", f"{ROOT}/")


@cache
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@cache
def tracked() -> tuple[Path, ...]:
    """Return the files that belong to the project."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout: which files belong to the project is not known")
    paths = (ROOT / name for name in listed.stdout.split("\0") if name)
    return tuple(path for path in paths if path.is_file())


def requirements(group: str) -> list[Requirement]:
    """Return what pyproject.toml wants: group "core", or another of its groups."""
    told = {"core": project()["project"]["dependencies"], **project()["dependency-groups"]}
    return [Requirement(one) for one in told[group]]


# --- dependencies -----------------------------------------------------------


def conda_dependencies() -> list[Any]:
    return list(yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"])


def conda_specs() -> dict[str, str]:
    """Return conda name -> versions, each line parsed strictly as conda does."""
    specs = [
        rattler.MatchSpec(line, strict=True)
        for line in conda_dependencies()
        if line != "pip" and isinstance(line, str)
    ]
    return {spec.name.normalized: str(spec.version or "*") for spec in specs}


def extras() -> dict[str, list[str]]:
    return dict(project()["project"]["optional-dependencies"])


def wanted_of_conda() -> dict[str, str]:
    # Whoever lives in conda opens the notebooks there.
    told = [*requirements("core"), *map(Requirement, extras()["notebook"])]
    wanted = {CONDA_NAMES.get(one.name, one.name): str(one.specifier) for one in told}
    return {"python": project()["project"]["requires-python"], **wanted}


def around(versions: str) -> set[str]:
    """Return versions at, just below and just above each bound of `versions`."""
    found = set()
    for bound in re.findall(r"\d+(?:\.\d+)*", versions):
        *front, last = bound.split(".")
        below = [*front, str(int(last) - 1), "9999"] if int(last) else [*front, "0"]
        found |= {bound, f"{bound}.1", ".".join(below), ".".join([*front, str(int(last) + 1)])}
    return found


def means_the_same(conda: str, pip: str) -> bool:
    samples = around(f"{conda} {pip}")
    ours, theirs = SpecifierSet(pip), rattler.VersionSpec(conda)
    return all(ours.contains(one) == theirs.matches(rattler.Version(one)) for one in samples)


def test_environment_names_what_pyproject_does() -> None:
    """environment.yml and pyproject.toml want the same packages, by their names in each world."""
    assert set(conda_specs()) == set(wanted_of_conda())


@pytest.mark.parametrize("name", sorted(wanted_of_conda()))
def test_environment_means_the_same_versions(name: str) -> None:
    """The same versions fit, however the range is spelled."""
    conda, pip = conda_specs()[name], wanted_of_conda()[name]
    assert means_the_same(conda, pip), f"{name}: conda {conda}, pip {pip}"


@pytest.mark.parametrize(
    ("conda", "pip"), [(">=2,<3", ">=2"), (">=1.9", ">=1.9.4"), ("==3", ">=3"), ("*", ">=3")]
)
def test_other_ranges_are_told_apart(conda: str, pip: str) -> None:
    """The comparison sees a bound that lacks or lies elsewhere."""
    assert not means_the_same(conda, pip)


def test_environment_installs_the_package_itself() -> None:
    """The packages come from the checkout, the upload server too, by lines that pip takes."""
    [pip] = [line["pip"] for line in conda_dependencies() if isinstance(line, dict)]
    assert pip == ["-e .[receive]", "-e ./demo"]


def test_the_demonstration_needs_nothing_that_the_lock_lacks() -> None:
    """It has the version of pano-analytics, which asks for it and for all that it imports."""
    own = tomllib.loads((ROOT / "demo" / "pyproject.toml").read_text())["project"]
    version = project()["project"]["version"]
    needed = {Requirement(one).name for one in own["dependencies"]}
    assert own["version"] == version
    assert extras()["demo"] == [f"{own['name']}=={version}"]
    assert f"pano-analytics=={version}" in own["dependencies"]
    assert needed - {"pano-analytics"} <= {one.name for one in requirements("core")}


def locked() -> list[tuple[str, str]]:
    """Return name and version of each pin in requirements.lock; one a platform may differ."""
    text = (ROOT / "requirements.lock").read_text()
    pinned = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE)
    return [(canonicalize_name(name), version) for name, version in pinned]


@pytest.mark.parametrize("one", [*requirements("core"), *requirements("dev")], ids=str)
def test_the_lock_satisfies_pyproject(one: Requirement) -> None:
    """The dependency is pinned, everywhere to a version that pyproject.toml allows."""
    pins = [version for name, version in locked() if name == canonicalize_name(one.name)]
    assert pins
    assert all(one.specifier.contains(version) for version in pins), pins


def test_the_lock_has_a_hash_for_each_package_and_no_host() -> None:
    """Each pin is followed by SHA-256 hashes, and nothing says where to download from."""
    blocks = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text().strip())
    pin = re.compile(
        r"[A-Za-z0-9._-]+==\S+( ; [^\\\n]+)? \\(\n    --hash=sha256:[0-9a-f]{64}( \\)?)+"
    )
    assert len(blocks) == len(locked())
    assert [block[:60] for block in blocks if not pin.fullmatch(block)] == []


# --- files ------------------------------------------------------------------


@pytest.mark.parametrize("path", LAYOUT)
def test_the_top_level_is_there(path: str) -> None:
    """The places that the documents promise exist."""
    assert (ROOT / path).exists()


def test_the_runner_can_be_run() -> None:
    """.ci/run is executable."""
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_no_file_tells_of_a_machine_or_a_registry() -> None:
    """No tracked text names somebody's folders or the host of a package registry."""
    told = []
    for path in tracked():
        text = path.read_bytes().decode("utf-8", "replace")
        if "\0" not in text:
            told += [(path.name, one) for one in (*HOSTS, *HOMES) if one in text]
    assert told == []


def modules() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py"]


def test_every_module_has_a_caption() -> None:
    """A module's docstring begins with one whole sentence on one line."""
    bare = []
    for path in modules():
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        if not text or not re.match(r"\S.{5,110}\.($|\s)", text.splitlines()[0]):
            bare.append(path.relative_to(ROOT).as_posix())
    assert bare == []


def notebooks() -> list[Path]:
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_notebooks_are_stored_without_outputs(path: Path) -> None:
    """A notebook is valid, its cells were never run, and it names no machine."""
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.source for cell in cells if cell.outputs or cell.execution_count] == []
    assert "widgets" not in book.metadata


# --- checks of the code -----------------------------------------------------


@pytest.mark.parametrize(
    "check",
    [
        ["ruff", "check", "--no-fix", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["lint-imports", "--no-logo"],
    ],
    ids=lambda check: " ".join(check[:2]),
)
def test_the_code_passes(check: list[str]) -> None:
    """Style, format, types and the import contract hold in the whole project."""
    ran = subprocess.run(
        [str(BIN / check[0]), *check[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


# --- the design pages ---------------------------------------------------------------------


def test_the_architecture_names_each_room() -> None:
    """A fresh reader finds every room in the table, and no room that is not there."""
    text = (ROOT / "docs" / "design" / "architecture.md").read_text()
    table = text.split("## Rooms, top to bottom")[1].split("\n\nIn `store`")[0]
    rows = [row.split("|")[2] for row in table.splitlines() if row.startswith("| ")][1:]
    named = {name for cell in rows for name in re.findall(r"`([a-z_]+)`", cell)}
    package = ROOT / "pano_analytics"
    there = {path.parent.name for path in package.glob("*/__init__.py")}
    there |= {path.stem for path in package.glob("*.py")} - {"__init__", "clips", "demo"}
    assert named == there | {"pano_demo"}


def test_what_the_contracts_page_names_exists() -> None:
    text = (ROOT / "docs" / "design" / "contracts.md").read_text().split("## The library")[0]
    rows = re.findall(r"^\| `([a-z_.]+)` \| (.*?) \|", text, re.MULTILINE)
    assert len(rows) > 8
    for room, offers in rows:
        name = room if room == "pano_demo" else f"pano_analytics.{room}"
        module = importlib.import_module(name)
        for name in re.findall(r"`([A-Za-z_]+)`", offers):
            assert hasattr(module, name), f"{room}.{name}"


DESIGN = sorted((ROOT / "docs" / "design").glob("*.md"))


@pytest.mark.parametrize("page", DESIGN, ids=lambda page: page.stem)
def test_a_design_page_names_modules_that_exist(page: Path) -> None:
    """What the line of the status names as `room/module` or as a test is there."""
    status = page.read_text().partition("tatus")[2].partition("\n\n")[0]
    for name in re.findall(r"`([a-z_]+(?:/[a-z_]*)+|test_[a-z0-9_]+)`", status):
        of_test = name.startswith("test_")
        places = (ROOT / "tests",) if of_test else (ROOT / "pano_analytics", ROOT / "demo", ROOT)
        assert any((one / name).is_dir() or (one / f"{name}.py").is_file() for one in places), name
