"""Arrow without pandas: a process that needs no frames does not have to import it."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from typing import Any

import pyarrow as pa


class _NoPandas(MetaPathFinder):
    """An import finder that pretends that pandas is not installed."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        if fullname == "pandas":
            raise ImportError(fullname)


def spare_pandas() -> None:
    """Keep Arrow from importing pandas when it creates its first array in this process.

    The import takes as long as the rest of the start, and about 30 MB. pandas can still be
    imported later. Call this at the start of a process, while nothing else imports.
    """
    if "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.scalar(0)
    finally:
        sys.meta_path.remove(finder)
