"""Arguments from notebooks: names, rows, numbers and ids in the many types that pandas has.

Each function returns one plain type, or raises QueryError, which states what was expected
and what it got.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from pano_analytics.errors import QueryError
from pano_analytics.model import alike
from pano_analytics.model.upload import Upload

# DuckDB's largest integer: a larger limit has the same effect.
_MOST = (1 << 63) - 1


def names(value: Any, what: str, known: Sequence[str] | None = None) -> list[str] | None:
    """Return one name or several as a list without duplicates; None for None.

    Accepts text, any collection of texts (a list, a Series, an Index, an array, a
    categorical), and a row or a frame that has a column `what`. With `known`, each name
    must match one of them and is returned in that spelling. Raises QueryError.
    """
    if value is None:
        return None
    wanted = [_name(one, what) for one in _each(value, what)]
    if known is None:
        return list(dict.fromkeys(wanted))
    matches = {name: alike.find(name, known) for name in wanted}
    unknown = [name for name, match in matches.items() if match is None]
    if unknown:
        raise QueryError(_unknown(unknown, what, known))
    return list(dict.fromkeys(name for name in matches.values() if name is not None))


def _each(value: Any, what: str) -> Iterable[Any]:
    fields = value if isinstance(value, pd.DataFrame) else _fields(value)
    if fields is not None and what in fields:
        value = fields[what]
    if isinstance(value, np.ndarray) and not value.ndim:
        value = value.item()
    if isinstance(value, str):
        return [value]
    is_several = isinstance(value, Iterable) and not isinstance(value, (bytes, Mapping))
    if not is_several or isinstance(value, pd.DataFrame):
        raise QueryError(f"{what}: expected one or more names; got {shown(value)}.")
    return list(value)


def _name(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise QueryError(f"{what}: expected names, which are text; got {shown(value)}.")
    return str(value)


def _unknown(unknown: Sequence[str], what: str, known: Sequence[str]) -> str:
    got = ", ".join(map(repr, unknown))
    hint = alike.hint(unknown, known)
    return f"{what}: expected one of {', '.join(known)}; got {got}.{hint}"


def row(value: Any, what: str = "row") -> Mapping[str, object] | str:
    """Return a row as a mapping of its columns, or the media_id that was given instead.

    Accepts a row of `iterrows()`, `itertuples()` or `iloc`, a dictionary, a frame or a
    column with one row, and a media_id. Raises QueryError for anything else.
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (pd.DataFrame, pd.Index)) or _is_column(value):
        if len(value) != 1:
            raise QueryError(
                f"{what}: expected one row; got {len(value)}. Choose one, for example with "
                f".iloc[0]."
            )
        return row(value.iloc[0] if hasattr(value, "iloc") else value[0], what)
    fields = _fields(value)
    if fields is None:
        raise QueryError(
            f"{what}: expected a row of the library or a media_id; got {shown(value)}."
        )
    return dict(fields)


def _is_column(value: Any) -> bool:
    return isinstance(value, pd.Series) and value.name == "media_id"


def _fields(value: Any) -> Mapping[str, object] | None:
    """Return the fields of a row by name; None if `value` is not a row."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, Upload):
        return value.to_row()
    if isinstance(value, pd.Series) and len(value) and all(isinstance(k, str) for k in value.index):
        return dict(value.items())  # type: ignore[arg-type]
    as_dict = getattr(value, "_asdict", None)
    return as_dict() if isinstance(value, tuple) and as_dict else None


def identity(value: Any) -> str:
    """Return the media_id of an id or of a row. Raises QueryError if there is none."""
    fields = row(value, "media_id")
    media_id = fields if isinstance(fields, str) else fields.get("media_id")
    if not isinstance(media_id, str):
        raise QueryError(
            f"media_id: expected the media_id of an upload, 16 hex digits, or a row with it; "
            f"got {shown(value)}."
        )
    return media_id


def whole(value: Any, what: str, least: int = 0) -> int | None:
    """Return a whole number of at least `least`, at most `_MOST`; None for None.

    Raises QueryError for anything else.
    """
    if value is None:
        return None
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, (bool, np.bool_)) or number < least:
        raise QueryError(
            f"{what}: expected a whole number of at least {least}; got {shown(value)}."
        )
    return min(number, _MOST)


def frame(value: Any, columns: Sequence[str], source: str) -> pd.DataFrame:
    """Return `value` if it is a frame with `columns`, otherwise raise QueryError.

    `source` names, for the message, the call that returns such frames.
    """
    if not isinstance(value, pd.DataFrame):
        raise QueryError(f"expected a frame as {source} gives it; got {shown(value)}.")
    missing = [name for name in columns if name not in value.columns]
    if missing:
        raise QueryError(
            f"expected a frame as {source} gives it, with the columns {', '.join(columns)}; "
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing."
        )
    return value


def aware_times(value: pd.DataFrame, columns: Sequence[str], source: str) -> None:
    """Raise QueryError unless each of `columns` holds aware times."""
    for name in columns:
        if not isinstance(value[name].dtype, pd.DatetimeTZDtype):
            raise QueryError(
                f"{name}: expected aware times, as {source} gives them; got {value[name].dtype}."
            )


def length(value: Any, what: str) -> pd.Timedelta:
    """Return a length of time of at least 0 as a Timedelta.

    Accepts text such as "10 min" and timedeltas of Python, NumPy and pandas. Raises
    QueryError.
    """
    try:
        result = pd.Timedelta(value) if isinstance(value, _LENGTHS) else pd.NaT
    except ValueError:
        result = pd.NaT
    if not isinstance(result, pd.Timedelta) or result < pd.Timedelta(0):
        raise QueryError(
            f"{what}: expected a length of time of at least 0, such as timedelta(minutes=10) or "
            f"'10 min'; got {shown(value)}."
        )
    return result


_LENGTHS = (str, timedelta, np.timedelta64)


def yes_or_no(value: Any, what: str) -> bool:
    """Return a truth value as a Python bool. Raises QueryError for anything else."""
    if not isinstance(value, (bool, np.bool_)):
        raise QueryError(f"{what}: expected True or False; got {shown(value)}.")
    return bool(value)


def sql_value(value: Any) -> Any:
    """Return a parameter of a statement as a type that DuckDB accepts."""
    if isinstance(value, (pd.Series, pd.Index, np.ndarray, pd.api.extensions.ExtensionArray)):
        return [sql_value(one) for one in value]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [sql_value(one) for one in value]
    if value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, np.datetime64):
        return sql_value(pd.Timestamp(value))
    if isinstance(value, np.timedelta64):
        return sql_value(pd.Timedelta(value))
    if isinstance(value, pd.Timestamp):
        utc = value.tz_convert("UTC") if value.tz else value
        return utc.to_pydatetime(warn=False)
    if isinstance(value, pd.Timedelta):
        return value.to_pytimedelta()
    if isinstance(value, np.str_):
        return str(value)
    return value.item() if isinstance(value, np.generic) else value


def shown(value: Any) -> str:
    """Return a value for an error message: short, on one line, with its type."""
    text = " ".join(repr(value).split())
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"
