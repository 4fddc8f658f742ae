"""The templates and their environment, which escapes every text in a page."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pano_analytics.site import names

_HERE = Path(__file__).parent
# Characters in names that could break lines or change the layout of other text.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@cache
def asset(name: str) -> tuple[str, bytes]:
    """Return the name in a site and the content of `pano.css` or `pano.js`."""
    content = (_HERE / "assets" / name).read_bytes()
    stem, ending = name.split(".")
    return f"{stem}-{names.digest(content.decode())}.{ending}", content


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_printable,
    )
    environment.globals |= {"css": asset("pano.css")[0], "js": asset("pano.js")[0]}
    return environment


def _printable(value: Any) -> Any:
    return _UNPRINTABLE.sub("\ufffd", value) if type(value) is str else value


def render(template: str, **variables: Any) -> bytes:
    """Return a page as UTF-8."""
    return _environment().get_template(template).render(**variables).encode()
