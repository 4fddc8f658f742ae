"""What pano rests on: every tool of the build pinned, every licence named."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import make_notices  # noqa: E402


def test_notices_are_those_of_what_is_installed() -> None:
    """Each distribution and each library inside a wheel, with its licence."""
    assert make_notices.PAGE.read_text(encoding="utf-8") == make_notices.page()
    assert len(make_notices.needed()) > 20


def test_the_gpl_inside_the_wheel_of_av_is_told() -> None:
    """x264 and x265 are there, FFmpeg says of itself what the page says it does."""
    from av import _core

    text = " ".join(make_notices.PAGE.read_text(encoding="utf-8").split())
    (av,) = [one for one in make_notices.needed() if one.name == "av"]
    assert {"libx264", "libx265"} <= set(make_notices.bundled_in(av))
    codec = _core.library_meta["libavcodec"]
    assert f'"{codec["license"]}"' in text
    assert "--enable-version3" in codec["configuration"]
    assert "--enable-gpl" not in codec["configuration"]


def test_tools_of_the_build_are_pinned() -> None:
    """By version where they are named, and by hash where they are fetched."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    lock = (ROOT / "requirements.lock").read_text()
    for wish in build:
        name, pinned = wish.split("==")
        assert f"{name}=={pinned} \\" in lock
    assert "editables==" in lock
    uv = (ROOT / "requirements-build.lock").read_text()
    assert re.match(r"uv==[\d.]+ \\\n    --hash=sha256:[0-9a-f]{64}", uv)
    assert "http" not in uv
    assert version("hatchling") in build[0]


def test_nothing_is_fetched_unpinned() -> None:
    """Neither by make nor into a container."""
    for name in ("Makefile", ".ci/run", "deploy/compose/pano/Dockerfile"):
        for line in (ROOT / name).read_text().replace("\\\n", " ").splitlines():
            for wish in re.findall(r"pip install (.*?)(?:;|&&|$)", line):
                assert re.search(
                    r"--require-hashes|--constraints requirements.lock|--no-deps", wish
                ), f"{name}: {wish}"


def test_images_are_built_from_one_day_of_debian() -> None:
    """The base by its digest, packages from the archive of that day; said alike in each place."""
    compose = ROOT / "deploy" / "compose"
    files = sorted(compose.rglob("Dockerfile"))
    assert len(files) == 2
    for file in files:
        text = file.read_text()
        [(image, day)] = re.findall(
            r"^ARG BASE=(\S+:trixie-(\d{8})-slim@sha256:[0-9a-f]{64})$", text, re.M
        )
        [snapshot] = re.findall(r"^ARG SNAPSHOT=(\S+)$", text, re.M)
        assert snapshot == f"{day}T000000Z"
        for name in ("compose.yaml", ".env.example"):
            other = (compose / name).read_text()
            assert image in other
            assert snapshot in other
        for stage in text.split("\nFROM ")[1:]:
            assert stage.startswith("${BASE}")
            installs = re.findall(r"^RUN .*(?:\\\n.*)*apt-get(?:.*\\\n)*.*", stage, re.M)
            assert len(installs) == 1
            assert "snapshot.debian.org/archive/\\\\1/$SNAPSHOT" in installs[0].split("update")[0]


def test_how_to_report_is_told() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    for link in re.findall(r"\]\(([^)#]+)", text):
        if link != "docs/design/security.md":  # written beside this
            assert (ROOT / link).exists(), link
    assert "Report a vulnerability" in text
