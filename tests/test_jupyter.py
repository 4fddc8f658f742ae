"""The notebook in JupyterLab, in a real browser without internet: its figures are there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from demo_library import DemoHome, demo_home
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, Route, expect
from serving import free_port

from pano_analytics import plots

__all__ = ["demo_home"]

pytestmark = pytest.mark.long

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "investigate_incident.ipynb"
START_S, RUN_MS = 60.0, 120_000
# Colours of figures, as drawn: the shades of the heatmap, and the bars of clips.
SHADES = plots.COLOURS[1:]
BARS = ["#b45309"]


@contextmanager
def jupyter_lab(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """Run JupyterLab on `folder` and give its address."""
    port = free_port()
    command = [
        *(str(Path(sys.executable).parent / "jupyter"), "lab", "--no-browser", "--allow-root"),
        *(f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token="),
        *(f"--ServerApp.root_dir={folder}", "--LabApp.news_url=None"),
    ]
    env = {**os.environ, "HOME": str(folder), "JUPYTER_PLATFORM_DIRS": "1", **environment}
    with (folder / "jupyter.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)
        try:
            _wait_for(f"http://127.0.0.1:{port}/api", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(START_S)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        assert process.poll() is None
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
        else:
            return
    raise AssertionError(f"{url} did not answer in time")


@contextmanager
def offline(browser: Browser) -> Iterator[tuple[Page, list[str]]]:
    """A page that reaches this machine only, and the list of all else that it asked for."""
    asked: list[str] = []
    context = browser.new_context(viewport={"width": 1400, "height": 1000})

    def refuse(route: Route) -> None:
        host = urlsplit(route.request.url).hostname
        if host in ("127.0.0.1", "localhost", None):
            route.continue_()
        else:
            asked.append(route.request.url)
            route.abort()

    context.route("**/*", refuse)
    try:
        yield context.new_page(), asked
    finally:
        context.close()


def run_all(page: Page, url: str) -> None:
    """Open the notebook and run it to its end."""
    page.goto(f"{url}/lab/tree/{NOTEBOOK.name}")
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=RUN_MS)
    # Until the list of kernels has come, JupyterLab asks which one is meant.
    kernel = page.get_by_role("button", name="Select", exact=True)
    page.add_locator_handler(kernel, lambda button: button.click())
    page.get_by_text("(ipykernel) | Idle").wait_for(timeout=RUN_MS)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    for cell in page.locator(".jp-CodeCell .jp-InputPrompt").all():
        expect(cell).to_have_text(re.compile(r"\[\d+\]:"), timeout=RUN_MS)


def output_of(page: Page, source: str) -> Locator:
    """Return the output of the cell whose code holds `source`, in view."""
    cell = page.locator(".jp-CodeCell", has_text=source).first
    cell.scroll_into_view_if_needed()
    return cell.locator(".jp-Cell-outputWrapper")


def share_of(picture: bytes, colours: list[str]) -> float:
    """Return the share of pixels that have one of the colours, give or take 8 of 255."""
    pixels = np.asarray(Image.open(BytesIO(picture)).convert("RGB")).astype(int)
    wanted = [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in colours]
    near = [np.abs(pixels - colour).max(axis=-1) <= 8 for colour in wanted]
    return float(np.any(near, axis=0).mean())


def test_figures_are_drawn_and_nobody_else_is_asked(
    chromium: Browser, demo_home: DemoHome, tmp_path: Path
) -> None:
    """Heatmaps and timeline show their colours; no request leaves this machine."""
    shutil.copy(NOTEBOOK, tmp_path)
    where = {"PANO_LIBRARY": str(demo_home.folder), "PANO_EVIDENCE": str(tmp_path / "evidence")}
    with jupyter_lab(tmp_path, where) as url, offline(chromium) as (page, asked):
        run_all(page, url)
        heatmap = output_of(page, "plots.activity(")
        heatmap.locator("canvas").first.wait_for(timeout=RUN_MS)
        page.wait_for_timeout(1000)
        shown = heatmap.screenshot(path=tmp_path / "heatmap.png")
        timeline = output_of(page, "plots.timeline(")
        timeline.locator("canvas").first.wait_for(timeout=RUN_MS)
        page.wait_for_timeout(1000)
        bars = timeline.screenshot(path=tmp_path / "timeline.png")
    assert asked == []
    assert share_of(shown, SHADES) > 0.02
    assert share_of(bars, BARS) > 0.002
