"""Every document is walked: what it tells a person to type is typed, on an empty machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from walking import ROOT, Machine, machine

PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "deploy").glob("*/README.md")),
    ROOT / "data" / "README.md",
]
# Typed by the reader, not by this test; each with the reason.
NOT_TYPED = {
    r"make (demo|test)": "CI runs both",
    r"docker |\./account\.sh|cp \.env|…": "deploy/compose/try.sh types these",
    r"pip install|\.venv/bin/(uv )?pip|python3 -m venv": "the wheels come from the network",
    r"\$EDITOR|^nano ": "opens an editor",
}
# Read by somebody who has no pano yet; the next by one who has no settings yet.
BEFORE_INSTALL = {"docs/first-evening.md", "docs/install.md"}
BEFORE_SETTINGS = {*BEFORE_INSTALL, "README.md", "docs/up.md"}
SETTINGS = 'uploads = "/srv/ftp"\nlibrary = "/var/lib/pano"\nzone = "UTC"\n'
ORIGINAL = '{"base_data_dir": "/var/FTP", "camera_list": [{"name": "b0"}]}'
# What a page builds on besides that.
BEFORE = {
    "docs/https.md": ["pano serve --tls own"],
    "README.md": ["cd /opt/pano"],
    "docs/doctor.md": ["echo secret > password.txt"],
    "docs/operations.md": [
        "sudo install -d -o anna /mnt/cloud",
        "sudo sh -c 'echo correct horse battery > /etc/pano.passphrase'",
    ],
    "docs/site.md": ["sudo useradd --system pano"],
}
# What one line builds on: an alternative to what stands above it, or a thing of the reader's own.
NEEDED = {
    "curl -si http://127.0.0.1:5007/healthz": ["pano up"],
    ".venv/bin/pano ingest --uploads data/sample/uploads --library data/sample-library": [
        "cd /opt/pano",
    ],
    "pano init --from pano-docker.json --uploads /mnt/HD2/pano/FTP": [
        "rm pano.toml",
        "sudo install -d -o anna /mnt/HD2/pano/FTP",
        "cp original.json pano-docker.json",
    ],
}
# Codes that say something about the data, not about the command.
FINDINGS = frozenset({0, 8})
MAY_FIND = re.compile(r"pano (doctor|status|check|up\b.*)")


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield the language and the text of each fenced block."""
    for found in re.finditer(r"^```(\w+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        yield found[1], found[2]


def lines(text: str) -> Iterator[list[str]]:
    """Yield the lines that a person types, of each block of a document."""
    for language, block in blocks(text):
        if language == "cron":
            yield [re.sub(r"^(\S+ ){5}", "", line) for line in block.splitlines()]
        elif language == "sh":
            yield block.splitlines()
        elif language == "console":
            yield re.findall(r"^\$ (.*)", block, re.MULTILINE) or block.splitlines()


def typed(page: Path) -> list[list[str]]:
    """Return the blocks of a page that are typed, each as its lines."""
    blocks = [typed_in("\n".join(block)) for block in lines(page.read_text("utf-8"))]
    return [block for block in blocks if block]


def typed_in(block: str) -> list[str]:
    found = (re.sub(r"\s+#.*", "", line).strip() for line in block.splitlines())
    # Where somebody goes to is remembered by the machine, so it is a line of its own.
    apart = chain.from_iterable(re.split(r" && (?=cd )", line) for line in found)
    return [one for one in apart if one]


def reason_not_to_type(line: str) -> str | None:
    return next((why for what, why in NOT_TYPED.items() if re.search(what, line)), None)


def with_commands() -> list[Path]:
    others = [page for page in PAGES if page.name != "first-evening.md"]
    return [page for page in others if not all(map(reason_not_to_type, chain(*typed(page))))]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def cases() -> list[object]:
    return [
        pytest.param(page, id=name_of(page), marks=pytest.mark.long) for page in with_commands()
    ]


@pytest.mark.parametrize("page", cases())
def test_what_a_page_says_can_be_typed(page: Path, tmp_path: Path) -> None:
    """Each command of the page ends as it should, in the order in which they stand."""
    name = name_of(page)
    with machine(tmp_path, is_installed=name not in BEFORE_INSTALL) as box:
        box.write("/etc/pano.toml", SETTINGS)
        box.write("~/cameras/original.json", ORIGINAL)
        if name not in BEFORE_SETTINGS:
            box.write("~/cameras/pano.toml", SETTINGS)
            box.type("cd ~/cameras")
            box.type("pano ingest")
        walk(box, BEFORE.get(name, []))
        for block in typed(page):
            walk(box, block)


def walk(box: Machine, script: list[str]) -> None:
    """Type one block of a page; what it started and did not end is ended after it."""
    for line in script:
        for needed in NEEDED.get(line, []):
            box.type(needed)
        if not reason_not_to_type(line):
            box.type(line, accept=FINDINGS if MAY_FIND.search(line) else frozenset({0}))
    box.stop_services()


def test_the_first_evening_ends_with_a_picture(tmp_path: Path) -> None:
    """From an empty machine to a page that shows what the first camera uploaded."""
    page = (ROOT / "docs" / "first-evening.md").read_text("utf-8")
    with machine(tmp_path, is_installed=False) as box:
        said = {}
        for language, block in blocks(page):
            if language == "toml":
                box.write("~/cameras/pano.toml", block, is_append=True)
            elif language == "sh":
                for line in typed_in(block):
                    accept = FINDINGS if MAY_FIND.search(line) else frozenset({0})
                    said[line] = box.type(line, accept=accept)
        assert "first upload arrived, complete, clock right" in said["pano camera add front_door"]
        assert "front_door" in box.type("pano status", accept=FINDINGS)
        shown = box.root("curl --silent --insecure --location https://127.0.0.1:5006/")
        assert "Password" in shown
