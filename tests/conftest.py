"""Fixtures that several test files share; what they are made of is in the files they come from."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings as effort
from serving import chromium, inside, library_folder, locked, locked_folder, served, visit

from pano_analytics.library import Library
from pano_analytics.settings import Settings

__all__ = ["chromium", "inside", "library_folder", "locked", "locked_folder", "served", "visit"]

# How long an example takes is the machine's affair, not a fact about the project.
effort.register_profile("pano", deadline=None)
effort.load_profile("pano")


@pytest.fixture
def root(settings: Settings) -> Path:
    """Return the upload root of the `settings` of a test file."""
    assert settings.uploads is not None
    return settings.uploads


@pytest.fixture
def library(settings: Settings) -> Library:
    """Return the library of the `settings` of a test file."""
    return Library.of(settings)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 2 MB; who may not mount skips."""
    yield from mounted(tmp_path / "disk", "2m")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 8 MB, for tree and library; who may not mount skips."""
    yield from mounted(tmp_path / "disk", "8m")


def mounted(place: Path, size: str) -> Iterator[Path]:
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can only be mounted by root, where mounting is allowed")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)
