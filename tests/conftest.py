"""Fixtures that several test files share; what they are made of is in the files they come from."""

from __future__ import annotations

from hypothesis import settings
from serving import chromium, inside, library_folder, locked, locked_folder, served, visit

__all__ = ["chromium", "inside", "library_folder", "locked", "locked_folder", "served", "visit"]

# How long an example takes is the machine's affair, not a fact about the project.
settings.register_profile("pano", deadline=None)
settings.load_profile("pano")
