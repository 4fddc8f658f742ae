"""Arrow without pandas: a process that makes no frame need not load it."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from typing import Any

import pyarrow as pa


class _NoPandas(MetaPathFinder):
    """Says that there is no pandas, to whoever asks."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        if fullname == "pandas":
            raise ImportError(fullname)


def spare_pandas() -> None:
    """Let Arrow's first look for pandas in this process, at its first array, find none.

    It costs as long as all else that starts here, and some 30 MB. A frame that
    is asked for later loads it after all. For the begin of a process, while
    nothing else in it imports.
    """
    if "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.scalar(0)
    finally:
        sys.meta_path.remove(finder)
