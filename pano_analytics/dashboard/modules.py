"""Bundle the page's JavaScript modules into one script, so that it needs no build step.

Modules are files with `import { a, b } from "./name.js"` and `export` before a function, a
class or a constant. Each becomes a function that is called once, in the order of imports;
its exports are passed to the modules that import it. Other forms of import and export
are refused, as are circular imports.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from graphlib import CycleError, TopologicalSorter

_IMPORT = re.compile(r'^import \{ (\w+(?:, \w+)*) \} from "\./(\w+)\.js"$', re.M)
_EXPORT = re.compile(r"^export (?=(?:async function\*?|function\*?|class|const) (\w+))", re.M)
_OTHER = re.compile(r"^(?:import|export)\b.*", re.M)


def joined(entry: str, read: Callable[[str], str]) -> str:
    """Return one classic script that runs the module `entry` and everything it imports.

    `read` returns the text of a module by its name. Raises ValueError for a form of import
    or export that is not understood, and for circular imports.
    """
    sources: dict[str, str] = {}
    imports: dict[str, list[tuple[str, str]]] = {}
    waiting = [entry]
    while waiting:
        name = waiting.pop()
        if name in sources:
            continue
        sources[name] = read(name)
        imports[name] = [(m[2], m[1]) for m in _IMPORT.finditer(sources[name])]
        waiting += [other for other, _ in imports[name]]
    graph = {name: [other for other, _ in pairs] for name, pairs in imports.items()}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise ValueError(f"modules import each other in a circle: {error.args[1]}") from None
    bodies = [_wrapped(name, sources[name]) for name in order]
    return "(() => {\n'use strict';\nconst modules = {};\n" + "".join(bodies) + "})();"


def _wrapped(name: str, source: str) -> str:
    exported = [match[1] for match in _EXPORT.finditer(source)]
    body = _IMPORT.sub(r"const { \1 } = modules.\2", _EXPORT.sub("", source))
    if unsupported := _OTHER.search(body):
        raise ValueError(f"{name}.js: this import or export is not understood: {unsupported[0]}")
    return f"modules.{name} = (() => {{\n{body}\nreturn {{ {', '.join(exported)} }}\n}})();\n"
