"""A user's own file name scheme, written in `pano.toml` and checked when it is read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

from pano_analytics.errors import SettingsError
from pano_analytics.layouts import amcrest, sidecars
from pano_analytics.layouts.events import trigger_of
from pano_analytics.layouts.folders import LONGEST_NAME, folder_of, plain
from pano_analytics.layouts.forms import Form
from pano_analytics.layouts.later import split
from pano_analytics.layouts.names import KIND_OF, kind_of
from pano_analytics.layouts.spelled import DIRECTIVES, Directive, problem_of, to_form_groups
from pano_analytics.model import alike
from pano_analytics.model.upload import TRIGGERS, Reading

EXAMPLE = "{camera}/{date:%Y%m%d}/{start:%H%M%S}_{seq}.jpg"

# What else a path may contain: field -> (its group, its pattern).
_FREE = {
    "camera": ("camera", r"[^/]+"),
    "trigger": ("event", r"[^/]*"),
    "seq": ("sequence", r"[0-9A-Za-z]+"),
    "any": ("", r"[^/]*"),
}
_OTHER = {"length": ("length", r"\d{1,6}"), "channel": ("channel", r"\d{1,3}")}
_TIMED = ("date", "start", "end")

# With more, matching a hostile name of 255 characters would take seconds.
_MOST_FREE = 3

_PIECE = re.compile(r"\{(?P<name>\w*)(?::(?P<format>[^{}]*))?\}|\*|[{}]|[^{}*]+", re.ASCII)
_DIRECTIVE = re.compile(r"%-?.?|[^%]+", re.DOTALL)
_LITERAL_EXTENSION = re.compile(r"(.*\.)([A-Za-z0-9]+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Template:
    """A file name scheme: literal text, `{fields}`, and `*` or `{any}` for anything else.

    `{date:…}`, `{start:…}` and `{end:…}` accept the directives of `spelled.DIRECTIVES`; an
    end without a date is the first such time after the start. `{length}` is in seconds.
    A `/` separates folders; only as many folders at the end of a path are compared as the
    template contains. Letters may be composed or not (see `alike`).
    """

    text: str
    form: Form = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Template:
        """Return the template for `text`.

        Raises SettingsError, with what was expected, if it is not a template or if no path
        can match it.
        """
        return cls(text, _form(text))

    @property
    def names_cameras(self) -> bool:
        """Whether the template contains the camera's name."""
        return "camera" in self.form.pattern.groupindex

    def read(self, path: str) -> Reading | None:
        """Return what `path` says, or None if it does not match the template."""
        above, _, name = alike.normal(plain(path)).rpartition("/")
        folder = folder_of(above)
        compared = (*folder.parts[len(folder.parts) - self.form.depth :], name)
        if max(map(len, compared)) > LONGEST_NAME:
            return None
        name, later = split(name)
        reading = sidecars.read(name) or self.form.read(folder, name)
        return reading if reading is None else reading._replace(later=later)


@lru_cache(maxsize=256)
def _form(text: str) -> Form:
    builder = _Builder(text)
    return Form(
        "template",
        builder.build(),
        depth=text.strip("/").count("/"),
        zone="utc" if builder.is_in_utc else "camera",
        trigger=_trigger,
        spelled=to_form_groups,
    )


class _Builder:
    """Convert the text of a template to a pattern, piece by piece."""

    def __init__(self, text: str) -> None:
        self._text = alike.normal(text)
        self._groups: set[str] = set()
        self._in_name: set[str] = set()

    @property
    def is_in_utc(self) -> bool:
        """Whether times are counted from 1970, and therefore in UTC."""
        return bool({"unix", "unix_ms"} & self._groups)

    def build(self) -> re.Pattern[str]:
        body, extension = self._split_extension()
        # Folders are atomic groups, so that a mismatch causes no backtracking across them.
        folders = [rf"(?>{self._folder(part)})" for part in self._folders(body)]
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
            raise self._error(
                f"expected it to end in .{{ext}} or in one of .{known}", "another ending"
            )
        return literal[1], self._group("extension", f"(?i:{literal[2]})")

    def _folders(self, body: str) -> list[str]:
        """Split at each `/`, and reject folders and names that no file can have."""
        folders = _split(body)
        for part in folders[:-1]:
            if part in ("", ".", ".."):
                raise self._error(
                    "expected the names of folders with one / between any two", repr(f"{part}/")
                )
        if "\\" in self._text:
            raise self._error("expected / between folders", "a backslash")
        if not self._text.isprintable():
            raise self._error("expected printable text", "a line break or control character")
        if folders[-1].startswith("."):
            raise self._error(
                "expected a name that does not begin with a dot: hidden files are never read",
                repr(folders[-1]),
            )
        return folders

    def _folder(self, text: str) -> str:
        self._in_name = set()
        pieces = list(_PIECE.finditer(text))
        is_free = [piece[0] == "*" or piece["name"] in _FREE for piece in pieces]
        if sum(is_free) > _MOST_FREE or any(a and b for a, b in pairwise(is_free)):
            raise self._error(
                f"expected at most {_MOST_FREE} of {{camera}} {{trigger}} {{seq}} {{any}} * in one "
                "name, with some text between any two",
                repr(text),
            )
        self._check_lengths(text, pieces)
        self._check_neighbours(pieces)
        return "".join(map(self._piece, pieces))

    def _check_lengths(self, text: str, pieces: Sequence[re.Match[str]]) -> None:
        literal = "".join(one[0] for one in pieces if one["name"] is None and one[0] != "*")
        if len(literal.encode()) > LONGEST_NAME:
            raise self._error(
                f"expected names of at most {LONGEST_NAME} bytes, the limit of file systems",
                f"{len(literal.encode())} bytes of text in {text[:20]!r}…",
            )

    def _check_neighbours(self, pieces: Sequence[re.Match[str]]) -> None:
        """Reject a number of unknown length if its beginning or end is ambiguous."""
        atoms = [atom for piece in pieces for atom in _atoms(piece)]
        for left, right in pairwise(atoms):
            if (left.is_open and right.may_begin_with_digit) or (
                right.is_open and left.may_end_with_digit
            ):
                raise self._error(
                    "expected other text beside a number that has no fixed length",
                    f"{left.text + right.text!r}: it is unclear where the first one ends",
                )

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
                "expected the fields {date:…} {start:…} {end:…} {length} {camera} {channel} "
                "{trigger} {seq} {any}, a format only in the first three, and {ext} at the end",
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
        if part == "%%":
            return "%"
        directive = DIRECTIVES.get(part)
        if directive is None:
            raise self._error(f"expected the directives {' '.join(DIRECTIVES)}", repr(part))
        return self._group(prefix + directive.group, directive.pattern)

    def _group(self, group: str, pattern: str) -> str:
        """Return a group, which must have the same value if a folder above has it, too."""
        if not group:
            return pattern
        if group in self._in_name:
            raise self._error(
                "expected each part only once in a name; {end:…} is the end of a clip, {any} "
                "skips what is not needed",
                f"the {group.replace('_', ' ')} twice in one name",
            )
        self._in_name.add(group)
        if group in self._groups:
            return f"(?P={group})"
        self._groups.add(group)
        return f"(?P<{group}>{pattern})"

    def _check_times(self) -> None:
        problem = problem_of(self._groups)
        if problem is not None:
            raise self._error(*problem)

    def _error(self, expected: str, got: str) -> SettingsError:
        return SettingsError(
            f"layout {self._text!r}: {expected}; got {got}. A template looks like {EXAMPLE}"
        )


@dataclass(frozen=True, slots=True)
class _Atom:
    """One directive, field or literal text, and whether it may begin or end with a digit."""

    text: str
    is_open: bool
    may_begin_with_digit: bool
    may_end_with_digit: bool


def _atoms(piece: re.Match[str]) -> list[_Atom]:
    name, form = piece["name"], piece["format"]
    if name in _TIMED and form:
        return [_timed_atom(part) for part in _DIRECTIVE.findall(form)]
    if name is None and piece[0] != "*":
        return [_literal_atom(piece[0])]
    return [_Atom(piece[0], False, True, True)]


def _timed_atom(part: str) -> _Atom:
    directive: Directive | None = DIRECTIVES.get(part)
    if directive is None:
        return _literal_atom(part.replace("%%", "%"))
    return _Atom(part, directive.is_open, directive.is_number, directive.is_number)


def _literal_atom(text: str) -> _Atom:
    return _Atom(text, False, text[:1].isdigit(), text[-1:].isdigit())


def _split(body: str) -> list[str]:
    """Split at each `/`, also within the format of a time, which then becomes two times."""
    return re.sub(
        r"\{(\w+):([^{}]*)\}",
        lambda timed: "/".join(f"{{{timed[1]}:{part}}}" for part in timed[2].split("/")),
        body,
    ).split("/")


def _trigger(word: str) -> str | None:
    if word.lower() in TRIGGERS:
        return word.lower()
    return amcrest.TRIGGERS.get(word.upper()) or trigger_of(word)
