"""A real nginx in front of a server of ours, for tests."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from serving import DEADLINE_S, wait_until

CONFIG = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    {text}
}}
"""


@contextmanager
def nginx(folder: Path, text: str, port: int) -> Iterator[None]:
    """Run nginx with `text` inside its http block, until the block ends; it answers at `port`."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("nginx is missing: apt-get install nginx-light")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nginx.conf").write_text(CONFIG.format(folder=folder, text=text))
    process = subprocess.Popen([program, "-p", str(folder), "-c", str(folder / "nginx.conf")])
    try:
        wait_until(lambda: process.poll() is not None or _listens(port), "nginx is slow")
        assert process.poll() is None, (folder / "error.log").read_text()
        yield
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
