"""The page: its parts are drawn from data in the HTML, then kept up to date."""

from __future__ import annotations

import logging
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import jinja2
import panel as pn

from pano_analytics.dashboard.answers import Answers
from pano_analytics.dashboard.headers import nonce_of
from pano_analytics.dashboard.modules import joined
from pano_analytics.dashboard.selection import Selection
from pano_analytics.dashboard.views import VIEWS, PageSocket

if TYPE_CHECKING:
    from pano_analytics.library import Library

log = logging.getLogger(__name__)

POLL_MS = 500
_HERE = Path(__file__).parent


def build(library: Library) -> pn.Template:
    """Return the dashboard of `library` for the current session."""
    selection = Selection()  # type: ignore[no-untyped-call]
    selection.follow(_search(), library.camera_names())
    answers = Answers(library, selection)
    wire = PageSocket()
    views = [view(wire, library, answers) for view in VIEWS]
    template = pn.Template(_template())
    template.add_panel("wire", wire)
    template.add_variable("first", _first({view.part: view.first for view in views}))
    template.add_variable("style", _style())
    template.add_variable("script", _script())
    request = _request()
    template.add_variable("nonce", nonce_of(request) if request is not None else "")
    template.add_variable("who", request.visitor if getattr(request, "login", "") else "")
    _start_polling(answers)
    return template


def _search() -> str:
    """Return the query string of the request that started this session."""
    arguments = pn.state.session_args if pn.state.curdoc else {}
    pairs = [
        (name, value.decode("utf-8", "replace"))
        for name, values in (arguments or {}).items()
        for value in values
    ]
    return f"?{urlencode(pairs)}" if pairs else ""


def _start_polling(answers: Answers) -> None:
    if pn.state.curdoc is None or pn.state.curdoc.session_context is None:
        return

    async def poll() -> None:
        try:
            await answers.poll()
        except Exception:
            # Keep polling if the catalog cannot be read for a moment.
            log.exception("the dashboard could not look for new uploads")

    # Panel accepts a coroutine function; its annotation says coroutine.
    pn.state.add_periodic_callback(poll, period=POLL_MS)  # type: ignore[arg-type]


def _first(texts: dict[str, str]) -> str:
    """Return one JSON object of all parts' data, safe inside a script element."""
    body = ",".join(f'"{part}":{text}' for part, text in texts.items())
    # A camera's name may contain "</script>" or "<!--", which would end the element.
    return f"{{{body}}}".replace("<", "\\u003c").replace("\u2028", "\\u2028")


def _request() -> Any:
    """Return the request that started this session, or None."""
    context = pn.state.curdoc.session_context if pn.state.curdoc else None
    return getattr(context, "request", None)


def _nonced(markup: str, nonce: str) -> str:
    """Return Panel's own script elements with the nonce; none of them contains user data.

    The shim for browsers that cannot import modules is left out: it needs eval.
    """
    scripts = re.sub(r"<script[^>]*(esms-options|/es-module-shims)[^>]*>.*?</script>", "", markup)
    return re.sub(r"<script(?=[ >])", f'<script nonce="{nonce}"', scripts)


@cache
def _template() -> jinja2.Template:
    # Compiled once: Panel would do so for each visitor.
    environment = jinja2.Environment()
    environment.filters["nonced"] = _nonced
    return environment.from_string((_HERE / "page.html").read_text(encoding="utf-8"))


@cache
def _style() -> str:
    return (_HERE / "components" / "page.css").read_text(encoding="utf-8")


@cache
def _script() -> str:
    return joined("page", _read)


def _read(name: str) -> str:
    return (_HERE / "components" / f"{name}.js").read_text(encoding="utf-8")
