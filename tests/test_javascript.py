"""JavaScript: types and logic, with Node.js; modules joined as the page has them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from pano_analytics.dashboard.modules import joined

ROOT = Path(__file__).parent.parent
COMPONENTS = ROOT / "pano_analytics/dashboard/components"


def node(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Node.js, which `make test` asks for if it is missing."""
    found = shutil.which("node")
    assert found, "Node.js is missing. Install it with: sudo apt-get install nodejs npm"
    return subprocess.run([found, *arguments], cwd=ROOT, capture_output=True, text=True)


def test_types() -> None:
    done = node("node_modules/typescript/bin/tsc", "-p", ".")
    assert done.returncode == 0, done.stdout + done.stderr


def test_logic() -> None:
    done = node("--test", "tests/javascript/")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout


def run(entry: str, modules: dict[str, str]) -> str:
    done = node("-e", joined(entry, modules.__getitem__))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_modules_run_once_in_the_order_of_their_imports() -> None:
    modules = {
        "page": 'import { a, twice } from "./a.js"\nimport { b } from "./b.js"\n'
        "const own = 1\nconsole.log(a, b(), twice(21), typeof hidden)\n",
        "a": 'import { b } from "./b.js"\nconst own = 2\nexport const a = b()\n'
        "export function twice(x) {\n  return own * x\n}\n",
        "b": "let calls = 0\nconst hidden = 1\nexport async function wait() {}\n"
        "export const b = () => ++calls\nexport class C {}\n",
    }
    assert run("page", modules) == "1 2 42 undefined"


@pytest.mark.parametrize(
    "line",
    [
        'import * as all from "./a.js"',
        'import a from "./a.js"',
        'import { a as b } from "./a.js"',
        'import "./a.js"',
        'import { a } from "elsewhere"',
        "export default 1",
        "export { a }",
        "export let a = 1",
    ],
)
def test_other_forms_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"page.js: this import or export is not understood"):
        joined("page", {"page": line, "a": ""}.__getitem__)


def test_circles_are_refused() -> None:
    modules = {"a": 'import { b } from "./b.js"', "b": 'import { a } from "./a.js"'}
    with pytest.raises(ValueError, match="circle"):
        joined("a", modules.__getitem__)


def test_every_module_is_in_the_page() -> None:
    read: list[str] = []

    def reading(name: str) -> str:
        read.append(name)
        return (COMPONENTS / f"{name}.js").read_text("utf-8")

    joined("page", reading)
    assert sorted(read) == sorted(file.stem for file in COMPONENTS.glob("*.js"))


def test_the_lock_names_no_registry() -> None:
    locked = json.loads((ROOT / "package-lock.json").read_text("utf-8"))["packages"]
    assert all("resolved" not in one and one["integrity"] for name, one in locked.items() if name)
