"""Where the system starts no more processes or threads: one line, the code of the table."""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from pano_analytics.errors import NoProcess
from pano_analytics.work.crew import Crew

SAMPLE = Path(__file__).parents[1] / "data/sample/uploads"
# The limit does not hold for root: somebody else's number, who may read what root may.
OTHER = [
    *("setpriv", "--reuid", "65534", "--clear-groups"),
    *("--inh-caps", "+dac_override,+dac_read_search"),
    *("--ambient-caps", "+dac_override,+dac_read_search"),
]
COMMANDS = {
    "ingest": ["ingest"],
}


def limited(home: Path, most: int | None, words: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command while the system allows `most` processes and threads to its user."""

    def limit() -> None:
        if most is not None:
            resource.setrlimit(resource.RLIMIT_NPROC, (most, most))

    own = OTHER if os.geteuid() == 0 and most is not None else []
    return subprocess.run(
        [*own, sys.executable, "-m", "pano_analytics.cli", *words],
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
        timeout=50,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a library that another user may write to."""
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("the limit of processes does not hold for root, and there is no setpriv")
    folder = tmp_path_factory.mktemp("home")
    shutil.copytree(SAMPLE, folder / "uploads")
    (folder / "pano.toml").write_text('uploads = "uploads"\nlibrary = "library"\n')
    assert limited(folder, None, COMMANDS["ingest"]).returncode == 0
    return folder


@pytest.mark.timeout(60)
@pytest.mark.parametrize("most", [1, 4])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_ends_with_one_line(name: str, most: int, home: Path, tmp_path: Path) -> None:
    """Or does without; no file is blamed, and the next run finds all as it was."""
    here = tmp_path / "home"
    shutil.copytree(home, here)
    if "ingest" in COMMANDS[name]:
        shutil.rmtree(here / "library")
    done = limited(here, most, COMMANDS[name])
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode in (0, 8, NoProcess.exit_code), done.stderr
    if done.returncode == NoProcess.exit_code:
        assert done.stderr.splitlines()[-1].startswith("pano: expected to start another process")
    assert limited(here, None, COMMANDS["ingest"]).returncode == 0
    again = limited(here, None, ["check"])
    assert again.returncode == 0, again.stdout


def _die() -> None:
    os._exit(1)


def test_a_pool_whose_processes_all_end_at_once_blames_no_task() -> None:
    """What never began was not stopped by a file."""

    def make() -> ProcessPoolExecutor:
        context = multiprocessing.get_context("forkserver")
        return ProcessPoolExecutor(1, mp_context=context, initializer=_die)

    blamed: list[object] = []
    with (
        Crew(make, 1, list, lambda task, _: blamed.append(task), 1) as crew,
        pytest.raises(NoProcess, match="ulimit -u"),
    ):
        list(crew.run([1, 2]))
    assert not blamed
