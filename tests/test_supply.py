"""What pano rests on: every tool of the build pinned, every licence named."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
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


def wheel_of(folder: Path, target: Path) -> zipfile.ZipFile:
    """Build the wheel of the distribution in `folder`, as `pip wheel` does, and open it."""
    build = [Path(sys.executable).with_name("hatchling"), "build", "-t", "wheel", "-d", target]
    subprocess.run(build, cwd=folder, check=True, capture_output=True)
    [wheel] = target.iterdir()
    return zipfile.ZipFile(wheel)


def test_the_wheel_is_small(tmp_path: Path) -> None:
    """It has the package alone, each module of it, without the pictures of the demonstration."""
    wheel = wheel_of(ROOT, tmp_path)
    names = set(wheel.namelist())
    assert Path(str(wheel.filename)).stat().st_size < 2_000_000
    assert {name.split("/")[0] for name in names} == {
        "pano_analytics",
        f"pano_analytics-{version('pano-analytics')}.dist-info",
    }
    code = (ROOT / "pano_analytics").rglob("*.py")
    assert {path.relative_to(ROOT).as_posix() for path in code} <= names
    assert {"pano_analytics/py.typed", "pano_analytics/dashboard/page.html"} <= names


def test_the_wheel_of_the_demonstration_has_its_pictures(tmp_path: Path) -> None:
    """Code and scenery, and where the scenery comes from."""
    names = set(wheel_of(ROOT / "demo", tmp_path).namelist())
    files = [path for path in (ROOT / "demo" / "pano_demo").rglob("*") if path.is_file()]
    wanted = {path.relative_to(ROOT / "demo").as_posix() for path in files if path.suffix != ".pyc"}
    assert wanted <= names
    assert "pano_demo/assets/CREDITS.md" in wanted


def test_nothing_is_fetched_unpinned() -> None:
    """Neither by make nor into a container."""
    for name in ("Makefile", ".ci/run", "deploy/compose/pano/Dockerfile"):
        for line in (ROOT / name).read_text().replace("\\\n", " ").splitlines():
            for wish in re.findall(r"pip install (.*?)(?:;|&&|$)", line):
                assert re.search(
                    r"--require-hashes|--constraints requirements.lock|--no-deps", wish
                ), f"{name}: {wish}"


SOURCES = """\
Types: deb
# http://old.example/archive/{name}/20261005T000000Z
URIs: http://new.example/{name}
Suites: trixie
"""


def test_images_are_built_from_one_day_of_debian(tmp_path: Path) -> None:
    """The base by its digest, the same in each place; packages from the archive that it names."""
    compose = ROOT / "deploy" / "compose"
    files = sorted(compose.rglob("Dockerfile"))
    assert len(files) == 2
    for file in files:
        text = file.read_text()
        base = r"^ARG BASE=(\S+:trixie-\d{8}-slim@sha256:[0-9a-f]{64})$"
        [image] = re.findall(base, text, re.M)
        assert "ARG PACKAGES=fixed\n" in text
        assert all(
            image in (compose / name).read_text() for name in ("compose.yaml", ".env.example")
        )
        for stage in text.split("\nFROM ")[1:]:
            assert stage.startswith("${BASE}")
            [before] = re.findall(
                r"^RUN (if (?:.*\\\n)*?.*fi) \\\n +&& apt-get .*update", stage, re.M
            )
            assert "apt-get" not in stage.split("RUN ")[0]
            for packages, host in (("fixed", "old"), ("newest", "new")):
                _assert_from(before, tmp_path / "debian.sources", packages, host)


def _assert_from(script: str, sources: Path, packages: str, host: str) -> None:
    """Run what the image runs before it installs; each source is then of `host` alone."""
    sources.write_text("\n".join(SOURCES.format(name=n) for n in ("debian", "debian-security")))
    script = script.replace("/etc/apt/sources.list.d/debian.sources", str(sources))
    subprocess.run(["sh", "-c", script], env={**os.environ, "PACKAGES": packages}, check=True)
    used = [line for line in sources.read_text().splitlines() if line.startswith("URIs: ")]
    assert len(used) == 2
    assert all(f"//{host}.example/" in line for line in used)


def test_how_to_report_is_told() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    for link in re.findall(r"\]\(([^)#]+)", text):
        if link != "docs/design/security.md":  # written beside this
            assert (ROOT / link).exists(), link
    assert "Report a vulnerability" in text
