"""A Raspberry Pi can have it: every locked package exists for 64-bit ARM on Linux."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from packaging.requirements import Requirement

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
LOCK = ROOT / "requirements.lock"
# glibc 2.28 is Debian 10: every Raspberry Pi OS that is still looked after has it.
PLATFORM = "aarch64-manylinux_2_28"
PYTHONS = ("3.11", "3.12", "3.13")
# Published as source alone. That is as good as a wheel where nothing is compiled.
SOURCE_ONLY = ("pyftpdlib",)


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in words], capture_output=True, text=True)


@pytest.fixture(scope="module")
def uv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return uv, which unlike pip resolves for another machine and another Python."""
    known = shutil.which("uv", path=str(BIN)) or shutil.which("uv")
    if known:
        return Path(known)
    folder = tmp_path_factory.mktemp("uv")
    venv.create(folder, with_pip=True)
    if run(folder / "bin" / "pip", "install", "--quiet", "uv").returncode:
        pytest.skip("no uv here, and the package index cannot be reached to get it")
    return folder / "bin" / "uv"


def resolve(uv: Path, lock: Path, python: str, *wishes: str) -> subprocess.CompletedProcess[str]:
    """Let uv say what it would install of `lock`; nothing is downloaded, so no hash is compared."""
    return run(
        *(uv, "pip", "install", "--dry-run", "--no-config", "--no-cache", "--no-deps"),
        *("--require-hashes", "--only-binary", ":all:", "--python-version", python),
        *("--target", lock.parent / "nothing", *wishes, "-r", lock),
    )


@pytest.fixture(scope="module")
def index(uv: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip where the package index cannot be reached: one package that is everywhere tells."""
    lock = tmp_path_factory.mktemp("one") / "click.lock"
    lock.write_text(block("click"))
    told = resolve(uv, lock, PYTHONS[0])
    if told.returncode:
        pytest.skip(f"the package index cannot be reached: {told.stderr.strip()[-200:]}")


def wanted(python: str) -> list[str]:
    """Return the pins whose markers hold on a Raspberry Pi with this Python."""
    there = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_machine": "aarch64",
    }
    pins = re.findall(r"^([A-Za-z0-9._-]+==.*?) \\$", LOCK.read_text(), re.MULTILINE)
    told = map(Requirement, pins)
    return [one.name for one in told if one.marker is None or one.marker.evaluate(there)]


def block(name: str) -> str:
    """Return the pin of `name` in the lock, with its hashes."""
    [found] = re.findall(rf"^{name}==.*(?:\n    --hash.*)+\n", LOCK.read_text(), re.MULTILINE)
    return str(found)


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize("python", PYTHONS)
def test_every_locked_package_exists_for_aarch64(uv: Path, tmp_path: Path, python: str) -> None:
    """Each pin, tools for development too, has a wheel that runs there, or is plain source."""
    lock = tmp_path / "requirements.lock"
    shutil.copyfile(LOCK, lock)
    sources = [word for name in SOURCE_ONLY for word in ("--no-binary", name)]
    told = resolve(uv, lock, python, "--python-platform", PLATFORM, *sources)
    assert told.returncode == 0, told.stderr
    found = re.search(r"Would install (\d+) packages", told.stderr)
    assert found is not None
    assert int(found[1]) == len(wanted(python))


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize("name", SOURCE_ONLY)
def test_what_is_source_alone_compiles_nothing(name: str, tmp_path: Path) -> None:
    """Its source becomes one wheel for any machine."""
    lock = tmp_path / f"{name}.lock"
    lock.write_text(block(name))
    told = run(
        *(BIN / "python", "-m", "pip", "wheel", "--quiet", "--no-deps", "--require-hashes"),
        *("--wheel-dir", tmp_path, "-r", lock),
    )
    assert told.returncode == 0, told.stderr
    [wheel] = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-none-any.whl")


@pytest.mark.usefixtures("index")
def test_a_package_without_a_wheel_there_is_seen(uv: Path, tmp_path: Path) -> None:
    """Arrow has a wheel for the platform asked for, and none for systems ten years older."""
    lock = tmp_path / "pyarrow.lock"
    lock.write_text(block("pyarrow"))
    told = [
        resolve(uv, lock, "3.11", "--python-platform", there)
        for there in (PLATFORM, "aarch64-manylinux_2_17")
    ]
    assert [one.returncode for one in told] == [0, 1]
