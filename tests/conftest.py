"""Fixtures that several test files share; what they are made of is in the files they come from."""

from __future__ import annotations

from serving import chromium, inside, library_folder, locked, locked_folder, served, visit

__all__ = ["chromium", "inside", "library_folder", "locked", "locked_folder", "served", "visit"]
