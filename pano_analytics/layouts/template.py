"""A user's own scheme of names, written in `pano.toml` and checked when it is read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise

from pano_analytics.errors import SettingsError
from pano_analytics.layouts import amcrest, sidecars
from pano_analytics.layouts.events import trigger_of
from pano_analytics.layouts.folders import LONGEST_NAME, folder_of, plain
from pano_analytics.layouts.forms import Form
from pano_analytics.layouts.later import split
from pano_analytics.layouts.names import KIND_OF, kind_of
from pano_analytics.media import TRIGGERS, Reading

EXAMPLE = "{camera}/{date:%Y%m%d}/{start:%H%M%S}_{seq}.jpg"

# What a time may be made of: directive -> (the part it tells, its pattern).
_DIRECTIVES = {
    "Y": ("year", r"\d{4}"),
    "m": ("month", r"\d\d"),
    "d": ("day", r"\d\d"),
    "H": ("hour", r"\d\d"),
    "M": ("minute", r"\d\d"),
    "S": ("second", r"\d\d"),
    "f": ("fraction", r"\d{1,6}"),
}
# What else a path may hold: field -> (its group, its pattern).
_FREE = {
    "camera": ("camera", r"[^/]+"),
    "trigger": ("event", r"[^/]*"),
    "seq": ("sequence", r"[0-9A-Za-z]+"),
    "any": ("", r"[^/]*"),
}
_OTHER = {"length": ("length", r"\d{1,6}"), "ext": ("extension", r"\w+")}
_TIMED = ("date", "start", "end")

# With more, a hostile name of 255 characters would keep one pattern busy for seconds.
_MOST_FREE = 3

_PIECE = re.compile(r"\{(?P<name>\w*)(?::(?P<format>[^{}]*))?\}|\*|[{}]|[^{}*]+", re.ASCII)
_DIRECTIVE = re.compile(r"%.?|[^%]+", re.DOTALL)
_LITERAL_EXTENSION = re.compile(r"(.*\.)([A-Za-z0-9]+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Template:
    """A scheme of names: literal text, `{fields}`, and `*` or `{any}` for whatever else.

    `{date:…}`, `{start:…}` and `{end:…}` take the directives %Y %m %d %H %M %S
    %f; an end without a date is the first such time after the start. `{length}`
    is in seconds. A `/` separates folders, and of a path only as many of the
    last folders are looked at as the text names.
    """

    text: str
    form: Form = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Template:
        """Return the template that `text` writes down.

        Raises SettingsError where it writes none, saying what was expected.
        """
        builder = _Builder(text)
        depth = text.strip("/").count("/")
        return cls(text, Form("template", builder.build(), depth, trigger=_trigger))

    def read(self, path: str) -> Reading | None:
        """Return what `path` says, None where it does not fit the template."""
        above, _, name = plain(path).rpartition("/")
        folder = folder_of(above)
        looked_at = (*folder.parts[len(folder.parts) - self.form.depth :], name)
        if max(map(len, looked_at)) > LONGEST_NAME:
            return None
        name, later = split(name)
        reading = sidecars.read(name) or self.form.read(folder, name)
        return reading if reading is None else reading._replace(later=later)


class _Builder:
    """Turns the text of a template into a pattern, piece by piece."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._groups: set[str] = set()

    def build(self) -> re.Pattern[str]:
        body, extension = self._split_extension()
        # Atomic folders: what fails in one is never tried again through another.
        folders = [rf"(?>{self._folder(part)})" for part in _folders(body)]
        folders[-1] = folders[-1].removeprefix("(?>").removesuffix(")") + extension
        self._check_times()
        return re.compile("/".join(folders), re.ASCII)

    def _split_extension(self) -> tuple[str, str]:
        """Return the text without its extension, and the extension's pattern."""
        text = self._text.strip("/")
        if text.endswith(".{ext}"):
            return text.removesuffix("{ext}"), self._group("extension", r"\w+")
        literal = _LITERAL_EXTENSION.fullmatch(text)
        if literal is None or kind_of(literal[2]) is None:
            known = ", ".join(KIND_OF)
            raise self._error(f"expected it to end in .{{ext}} or in one of .{known}", "ends else")
        return literal[1], self._group("extension", f"(?i:{literal[2]})")

    def _folder(self, text: str) -> str:
        pieces = list(_PIECE.finditer(text))
        is_free = [piece[0] == "*" or piece["name"] in _FREE for piece in pieces]
        if sum(is_free) > _MOST_FREE or any(a and b for a, b in pairwise(is_free)):
            raise self._error(
                f"expected at most {_MOST_FREE} of {{camera}} {{trigger}} {{seq}} {{any}} * in one "
                "name, with some text between any two",
                repr(text),
            )
        return "".join(map(self._piece, pieces))

    def _piece(self, piece: re.Match[str]) -> str:
        name, form = piece["name"], piece["format"]
        if piece[0] in "{}":
            raise self._error("expected { and } in pairs around a field's name", repr(piece[0]))
        if name is None:
            return r"[^/]*" if piece[0] == "*" else re.escape(piece[0])
        if name in _TIMED:
            return self._time(name, form)
        group, pattern = _FREE.get(name) or _OTHER.get(name) or ("", "")
        if not pattern or form is not None:
            raise self._error(
                "expected the fields {date:…} {start:…} {end:…} {length} {camera} {trigger} {seq} "
                "{ext} {any}, a format after the first three alone",
                repr(piece[0]),
            )
        return self._group(group, pattern)

    def _time(self, name: str, form: str | None) -> str:
        if not form:
            raise self._error(f"expected a format such as {{{name}:%Y%m%d}}", f"{{{name}}}")
        prefix = "end_" if name == "end" else ""
        return "".join(self._directive(part, prefix) for part in _DIRECTIVE.findall(form))

    def _directive(self, part: str, prefix: str) -> str:
        if not part.startswith("%"):
            return re.escape(part)
        if part[1:] not in _DIRECTIVES:
            raise self._error("expected the directives %Y %m %d %H %M %S %f", repr(part))
        group, pattern = _DIRECTIVES[part[1:]]
        return self._group(prefix + group, pattern)

    def _group(self, group: str, pattern: str) -> str:
        """Return a group that, where its name stands a second time, must say the same again."""
        if not group:
            return pattern
        if group in self._groups:
            return f"(?P={group})"
        self._groups.add(group)
        return f"(?P<{group}>{pattern})"

    def _check_times(self) -> None:
        missing = [part for part in ("year", "month", "day", "hour") if part not in self._groups]
        if missing:
            raise self._error(
                "expected {date:…} and {start:…} to tell year, month, day and hour",
                f"nothing that tells the {missing[0]}",
            )
        dated = {"end_year", "end_month", "end_day"} & self._groups
        ended = {group for group in self._groups if group.startswith("end_")}
        if len(dated) in (1, 2) or (ended and "end_hour" not in ended):
            raise self._error("expected {end:…} to tell an hour, and a whole date or none", "less")
        if ended and "length" in self._groups:
            raise self._error("expected {end:…} or {length}", "both")

    def _error(self, expected: str, came: str) -> SettingsError:
        return SettingsError(
            f"layout {self._text!r}: {expected}; got {came}. A template looks like {EXAMPLE}"
        )


def _folders(body: str) -> list[str]:
    """Cut at each `/`, those within a time's format too, which then becomes two times."""
    return re.sub(
        r"\{(\w+):([^{}]*)\}",
        lambda timed: "/".join(f"{{{timed[1]}:{part}}}" for part in timed[2].split("/")),
        body,
    ).split("/")


def _trigger(word: str) -> str | None:
    if word.lower() in TRIGGERS:
        return word.lower()
    return amcrest.TRIGGERS.get(word.upper()) or trigger_of(word)
