"""Write THIRD-PARTY-NOTICES.md from the installed distributions.

A library that is not in the table of bundled libraries is an error, so that a new wheel cannot
add one unnoticed. A test compares the page with the installed distributions.
"""

from __future__ import annotations

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "THIRD-PARTY-NOTICES.md"

# Libraries inside wheels, by the beginning of their names: the SPDX licence of each.
BUNDLED = {
    "libSvtAv1Enc": "BSD-3-Clause-Clear",
    "libXau": "MIT",
    "libasound": "LGPL-2.1-or-later",
    "libavcodec": "GPL-3.0-or-later (FFmpeg, built with x264 and x265)",
    "libavdevice": "GPL-3.0-or-later (FFmpeg, as above)",
    "libavfilter": "GPL-3.0-or-later (FFmpeg, as above)",
    "libavformat": "GPL-3.0-or-later (FFmpeg, as above)",
    "libavif": "BSD-2-Clause",
    "libavutil": "GPL-3.0-or-later (FFmpeg, as above)",
    "libbrotlicommon": "MIT",
    "libbrotlidec": "MIT",
    "libdav1d": "BSD-2-Clause",
    "libdrm": "MIT",
    "libfreetype": "FTL OR GPL-2.0-or-later",
    "libgfortran": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libgmp": "LGPL-3.0-or-later OR GPL-2.0-or-later",
    "libgnutls": "LGPL-2.1-or-later",
    "libharfbuzz": "MIT",
    "libhogweed": "LGPL-3.0-or-later OR GPL-2.0-or-later",
    "libjpeg": "IJG AND BSD-3-Clause AND Zlib (libjpeg-turbo)",
    "liblcms2": "MIT",
    "liblzma": "0BSD",
    "libmp3lame": "LGPL-2.0-or-later",
    "libnettle": "LGPL-3.0-or-later OR GPL-2.0-or-later",
    "libopenblas": "BSD-3-Clause",
    "libopencore": "Apache-2.0",
    "libopenjp2": "BSD-2-Clause",
    "libopus": "BSD-3-Clause",
    "libpng16": "libpng-2.0",
    "libquadmath": "LGPL-2.1-or-later",
    "libscipy_openblas": "BSD-3-Clause",
    "libsharpyuv": "BSD-3-Clause",
    "libsodium": "ISC",
    "libswresample": "GPL-3.0-or-later (FFmpeg, as above)",
    "libswscale": "GPL-3.0-or-later (FFmpeg, as above)",
    "libtiff": "libtiff",
    "libunistring": "LGPL-3.0-or-later OR GPL-2.0-or-later",
    "libvpl": "MIT",
    "libvpx": "BSD-3-Clause",
    "libwebp": "BSD-3-Clause",
    "libx264": "GPL-2.0-or-later",
    "libx265": "GPL-2.0-or-later",
    "libxcb": "MIT",
    "libz": "Zlib",
    "libzmq": "MPL-2.0",
    "libzstd": "BSD-3-Clause",
}

HEAD = (ROOT / "tools" / "notices_head.md").read_text(encoding="utf-8")


def needed() -> list[Distribution]:
    """Return what `pano-analytics[receive]` installs here, itself excluded, by name."""
    found: dict[str, Distribution] = {}
    waiting = [Requirement("pano-analytics[receive]")]
    seen: set[tuple[str, str]] = set()
    while waiting:
        wish = waiting.pop()
        for extra in ("", *wish.extras):
            if (wish.name.lower(), extra) in seen:
                continue
            seen.add((wish.name.lower(), extra))
            try:
                one = distribution(wish.name)
            except PackageNotFoundError:
                continue
            found[re.sub(r"[-_.]+", "-", wish.name).lower()] = one
            for text in one.requires or []:
                more = Requirement(text)
                if more.marker is None or more.marker.evaluate({"extra": extra}):
                    waiting.append(more)
    found.pop("pano-analytics", None)
    return [found[name] for name in sorted(found)]


def licence_of(one: Distribution) -> str:
    """Return the shortest licence statement in the metadata of a distribution."""
    said = one.metadata
    text = str(said["License-Expression"] or said["License"] or "").strip()
    classes = [str(c) for c in said.get_all("Classifier", []) if str(c).startswith("License ::")]
    if (not text or "\n" in text or len(text) > 60) and classes:
        return ", ".join(c.rpartition(" :: ")[2] for c in classes)
    return text.splitlines()[0].replace("|", "/") if text else "see its licence file"


def bundled_in(one: Distribution) -> dict[str, str]:
    """Return the libraries inside a wheel with their licences; KeyError for an unknown one."""
    files = [file.name for file in one.files or [] if ".libs/" in str(file) and ".so" in file.name]
    names = {re.split(r"[-.]", file)[0]: file for file in files}
    found = {}
    for name in sorted(names):
        known = max((k for k in BUNDLED if name.startswith(k)), key=len, default=None)
        if known is None:
            raise KeyError(f"{names[name]} in the wheel of {one.name}: add its licence to BUNDLED")
        found[name] = BUNDLED[known]
    return found


def page() -> str:
    """Return the page for the installed distributions."""
    every = needed()
    lines = ["## Distributions", "", "| distribution | licence |", "|---|---|"]
    lines += [f"| {one.name} | {licence_of(one)} |" for one in every]
    for one in every:
        inside = bundled_in(one)
        if inside:
            lines += [
                "",
                f"## Libraries inside the wheel of {one.name}",
                "",
                "| library | licence |",
            ]
            lines += ["|---|---|", *(f"| {name} | {licence} |" for name, licence in inside.items())]
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
