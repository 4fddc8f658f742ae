"""Everything at once: kills, clocks that leap, failing disks, other disks, overwrites, power cuts.

What happens and what the model holds against it is in `mixed.py`. A run that fails prints
its seed and the last steps. `PANO_MIXED_SEED=123 pytest tests/test_mixed.py -m long` lives another
life, `PANO_MIXED_STEPS` makes it shorter or longer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mixed import Home, environment

pytest.importorskip("pyftpdlib")

STEPS = int(os.environ.get("PANO_MIXED_STEPS", "520"))


def lived(folder: Path, seed: int, steps: int) -> dict[str, int]:
    """Let a home live; return how often what happened."""
    command = [sys.executable, str(Path(__file__).with_name("mixed.py"))]
    command += [str(folder), str(seed), str(steps)]
    env = environment(folder)
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return dict(json.loads(done.stdout))


def test_a_few_days(tmp_path: Path) -> None:
    """A short run, so that the long one is not found broken years later."""
    counts = lived(tmp_path, 7, 12)
    assert counts["stored"]
    assert counts["rows looked at"]


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_a_long_life(tmp_path: Path) -> None:
    """Nothing acknowledged is lost but by a culling that may; every run heals; nobody is puzzled.

    After each step every acknowledged file is there, by its SHA-256; after each ingest that
    is well each has one row, in its right state.
    """
    seed = int(os.environ.get("PANO_MIXED_SEED", "52"))
    counts = lived(tmp_path, seed, STEPS)
    if STEPS >= 500:
        # That nothing was lost says little unless all of it happened.
        wanted = {name for name, _ in Home.STEPS} | {"power cuts", "killed", "disk failed"}
        wanted |= {"culled on the way", "refused", "renamed", "sessions ended", "doubted", "capped"}
        assert {name for name in wanted if not counts.get(name)} == set(), f"seed {seed}: {counts}"
