"""`deploy/compose`: the file means what Compose takes it for, and locks what it says it locks."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pano_analytics import settings

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "deploy" / "compose"
SERVICES = ("ftp", "pano", "web")


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with accounts and .env, as the README begins."""
    folder = tmp_path_factory.mktemp("compose") / "compose"
    shutil.copytree(HERE, folder, ignore=shutil.ignore_patterns("secrets", ".env"))
    shutil.copy(folder / ".env.example", folder / ".env")
    account(folder, "people", "anna", "pass-word")
    return folder


def account(folder: Path, kind: str, name: str, password: str = "") -> subprocess.CompletedProcess:
    return subprocess.run(
        [folder / "account.sh", kind, name], input=password, capture_output=True, text=True
    )


def config(folder: Path, **environment: str) -> dict[str, Any]:
    """Return what Compose itself makes of the file."""
    compose = Path(sys.executable).with_name("docker-compose")
    told = subprocess.run(
        [compose, "-f", folder / "compose.yaml", "config", "--format", "json"],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert told.returncode == 0, told.stderr
    assert told.stderr == ""
    return dict(json.loads(told.stdout))


def test_three_services_that_come_back(beside: Path) -> None:
    """Upload server, pano, web server: restarted, checked, read-only, without rights to gain."""
    services = config(beside)["services"]
    assert tuple(sorted(services)) == SERVICES
    for one in services.values():
        assert one["restart"] == "unless-stopped"
        assert one["read_only"]
        assert one["cap_drop"] == ["ALL"]
        assert one["security_opt"] == ["no-new-privileges:true"]
        assert one["healthcheck"]["test"][:2] == ["CMD", "healthy"]
        assert one["mem_limit"]


def test_nothing_is_roots(beside: Path) -> None:
    """All run as uid 1000 without any right of root."""
    services = config(beside)["services"]
    assert {one.get("user") for one in services.values()} == {"1000:1000"}
    assert {one.get("cap_add") for one in services.values()} == {None}


def test_uploads_come_by_pano_receive_alone(beside: Path) -> None:
    """The server that never replaces a whole upload, on the ports that its settings tell."""
    ftp = config(beside)["services"]["ftp"]
    assert (ftp["image"], ftp["command"]) == ("localhost/pano", ["receive"])
    loaded = settings.load(HERE / "pano.toml")
    first, last = loaded.receive.passive_ports
    published = {int(one["published"]) for one in ftp["ports"]}
    assert published == {2121, *range(first, last + 1)}
    assert {one["target"] for one in ftp["ports"]} == published
    assert loaded.receive.port == 2121
    assert loaded.receive.masquerade
    assert not loaded.up.receive
    assert not list(HERE.rglob("vsftpd*"))


def test_the_health_of_the_upload_server() -> None:
    """Healthy while somebody greets at its port, and not otherwise."""
    command = [sys.executable, HERE / "pano" / "healthy", "ftp"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1
    with socket.create_server(("127.0.0.1", 2121)) as door:
        for greeting, code in ((b"220 Hello\r\n", 0), (b"421 Full\r\n", 1)):
            with subprocess.Popen(command, stderr=subprocess.DEVNULL) as asking:
                connection, _ = door.accept()
                with connection:
                    connection.sendall(greeting)
                assert asking.wait(20) == code


def test_only_ftp_writes_uploads(beside: Path) -> None:
    """pano and web have the uploads read-only; pano writes there only where .env says so."""

    def writers(**environment: str) -> set[str]:
        services = config(beside, **environment)["services"]
        return {
            name
            for name, one in services.items()
            for volume in one["volumes"]
            if volume["target"] == "/srv/ftp" and not volume.get("read_only")
        }

    assert writers() == {"ftp"}
    assert writers(PANO_UPLOADS_MODE="rw") == {"ftp", "pano"}


def test_every_variable_is_documented(beside: Path) -> None:
    """What compose.yaml asks the environment for stands in .env.example and in the README."""
    asked = set(re.findall(r"\$\{(\w+)", (HERE / "compose.yaml").read_text()))
    assert asked
    for page in (".env.example", "README.md"):
        text = (HERE / page).read_text()
        assert [name for name in asked if name not in text] == []


def test_the_settings_in_the_container_can_be_used() -> None:
    """pano.toml is one that pano takes, with its paths inside."""
    said = settings.load(HERE / "pano.toml")
    assert (said.uploads, said.library) == (Path("/srv/ftp"), Path("/var/lib/pano"))
    assert said.site.media_url == "/media/"


def test_passwords_are_kept_as_hashes(beside: Path) -> None:
    """An account is a name and a SHA-512 hash; a second word for it replaces the first."""
    account(beside, "people", "gate", "first-word")
    before = (beside / "secrets" / "people").read_text()
    account(beside, "people", "gate", "second-word")
    after = (beside / "secrets" / "people").read_text()
    assert "word" not in after
    assert [line.split(":")[0] for line in after.splitlines()] == ["anna", "gate"]
    assert before.splitlines()[0] == after.splitlines()[0]
    assert before.splitlines()[1] != after.splitlines()[1]
    assert after.splitlines()[1].startswith("gate:$6$")


def test_a_made_password_is_shown_once(beside: Path) -> None:
    """Without a password one is made, and only its hash is kept."""
    told = account(beside, "people", "ben").stdout
    password = told.split("password ")[1].split()[0]
    assert len(password) == 16
    assert password not in (beside / "secrets" / "people").read_text()


@pytest.mark.parametrize("name", ["", "..", "a/b", "a:b", "a b", "x" * 33])
def test_no_account_is_a_path(beside: Path, name: str) -> None:
    """A name that could lead elsewhere, or to no line of its own, is refused."""
    assert account(beside, "people", name, "x").returncode == 2


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_stack_runs() -> None:
    """Images are built, the stack is run, an upload by FTP comes out as a page: `try.sh`."""
    if not shutil.which("podman") or not shutil.which("podman-compose"):
        pytest.skip("no podman and podman-compose here; Debian has both")
    told = subprocess.run([HERE / "try.sh"], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
