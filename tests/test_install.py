"""`pano install`: units for this very installation, sandboxed, and nobody's changes lost."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pano_analytics import settings
from pano_analytics.cli import pano
from pano_analytics.errors import AttentionNeeded, SettingsError
from pano_analytics.service import install

ROOT = Path(__file__).resolve().parents[1]
PARTS = sorted(install.PARTS)

needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="no systemd-analyze here; Debian's package systemd has it",
)


def written_settings(folder: Path, more: str = "") -> Path:
    """Write settings with all folders there, and the parts that are only scheduled when asked."""
    for name in ("ftp", "library", "www", "log"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    file = folder / "pano.toml"
    file.write_text(
        'uploads = "ftp"\nlibrary = "library"\n'
        f'[site]\nfolder = "www"\n[cull]\nscheduled = true\n[up]\nlog = "log/pano.log"\n{more}'
    )
    return file


def place(folder: Path, account: str | None = "daemon", more: str = "") -> install.Installation:
    file = written_settings(folder, more)
    return install.place(settings.load(file), file, account)


def pano_install(*arguments: Any) -> Any:
    return CliRunner(catch_exceptions=False).invoke(
        pano, ["install", *(str(one) for one in arguments)]
    )


def analyze(*words: str | Path) -> str:
    told = subprocess.run(
        ["systemd-analyze", *map(str, words)], capture_output=True, text=True, check=False
    )
    return f"{told.stdout}{told.stderr}" + (f"exit {told.returncode}" if told.returncode else "")


# --- what stands in the units ------------------------------------------------


@needs_analyze
@pytest.mark.parametrize("account", ["daemon", None], ids=["system", "user"])
def test_systemd_finds_nothing_to_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, account: str | None
) -> None:
    """`systemd-analyze verify` passes over every unit without a word."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    texts = install.units(place(tmp_path, account), PARTS)
    assert len(texts) == 8
    for unit in install.compare(tmp_path, texts):
        install.write(unit)
    words = ["verify", "--man=no", *([] if account else ["--user"])]
    assert analyze(*words, *(tmp_path / name for name in texts)) == ""


@needs_analyze
@pytest.mark.parametrize("part", PARTS)
def test_a_service_is_exposed_to_little(tmp_path: Path, part: str) -> None:
    """`systemd-analyze security` gives each service of the machine 2.5 of 10 at most."""
    [unit] = [
        unit
        for unit in install.compare(tmp_path, install.units(place(tmp_path), [part]))
        if unit.path.suffix == ".service"
    ]
    install.write(unit)
    told = analyze("security", "--offline=true", "--threshold=25", "--no-pager", unit.path)
    assert re.search(r"exposure level .*: \d\.\d OK", told)
    assert "exit" not in told.splitlines()[-1]


@needs_analyze
@pytest.mark.parametrize("name", ["a b", "50%", "x$HOME", 'q"q', "it's", "back\\slash", "é#;"])
def test_any_path_is_one_word(tmp_path: Path, name: str) -> None:
    """Blanks, quotes, %, $ and backslashes in a path mean nothing to systemd."""
    at = place(tmp_path / name)
    [text] = install.units(at, ["up"]).values()
    for unit in install.compare(tmp_path, {"pano.service": text}):
        install.write(unit)
    assert analyze("verify", "--man=no", tmp_path / "pano.service") == ""


def test_signs_that_systemd_expands_are_doubled(tmp_path: Path) -> None:
    """% is a specifier everywhere, $ a variable in command lines: both are written twice."""
    [text] = install.units(place(tmp_path / "50%h$X"), ["up"]).values()
    assert f'--config "{tmp_path}/50%%h$$X/pano.toml"' in text
    assert f'ReadWritePaths="{tmp_path}/50%%h$X/library"' in text


@pytest.mark.parametrize(
    ("part", "writes"),
    [
        ("up", {"ftp", "library", "www", "log"}),
        ("ingest", {"library"}),
        ("cull", {"ftp", "library"}),
        ("site", {"library", "www"}),
        ("serve", {"library"}),
    ],
)
def test_what_only_reads_cannot_write(tmp_path: Path, part: str, writes: set[str]) -> None:
    """Each service may write to the folders of its deed; uploads are read-only for the others."""
    text = install.units(place(tmp_path), [part])[f"{install._stem(part)}.service"]
    said = re.findall(r"^ReadWritePaths=(.*)$", text, re.MULTILINE)
    assert {Path(one).name for one in said} == writes
    assert "ProtectSystem=strict" in text


@pytest.mark.parametrize(
    ("port", "capability"), [(5006, "="), (0, "="), (443, "=CAP_NET_BIND_SERVICE")]
)
def test_a_low_port_is_the_only_capability(tmp_path: Path, port: int, capability: str) -> None:
    """Without a port below 1024 in the settings there is no capability at all."""
    at = place(tmp_path, more=f"[dashboard]\nport = {port}\n")
    [text] = install.units(at, ["up"]).values()
    assert f"\nCapabilityBoundingSet{capability}\n" in text
    assert f"\nAmbientCapabilities{capability}\n" in text


def test_no_service_is_roots(tmp_path: Path) -> None:
    """Each service of the machine names its account, which is not root."""
    texts = install.units(place(tmp_path), PARTS)
    for name in texts:
        assert ("\nUser=daemon\n" in texts[name]) == name.endswith(".service")


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "deploy/systemd").glob("p*")))
def test_the_examples_are_what_is_written(name: str) -> None:
    """`deploy/systemd/` shows the units of an installation in /opt/pano."""
    at = install.Installation(
        command=Path("/opt/pano/.venv/bin/pano"),
        config=Path("/etc/pano.toml"),
        uploads=Path("/srv/ftp"),
        library=Path("/var/lib/pano"),
        site=Path("/var/www/pano"),
        account="pano",
    )
    texts = install.units(at, install.PARTS)
    shown = {path.name for path in (ROOT / "deploy" / "systemd").glob("pano*")}
    assert shown == set(texts)
    assert (ROOT / "deploy" / "systemd" / name).read_text() == texts[name]


# --- what is written, and what is kept ----------------------------------------


def test_a_changed_unit_is_shown_and_kept(tmp_path: Path) -> None:
    """What somebody wrote into a unit stays and is shown as a difference; exit code 8."""
    config, units = written_settings(tmp_path), tmp_path / "units"
    words = ["--config", config, "--user", "--folder", units]
    assert "pano.service: new" in pano_install(*words).output
    assert "up to date" in pano_install(*words).output
    mine = (units / "pano.service").read_text().replace("MemoryMax=1G", "MemoryMax=3G")
    (units / "pano.service").write_text(mine)
    told = CliRunner().invoke(pano, ["install", *map(str, words)])
    assert isinstance(told.exception, AttentionNeeded)
    assert "-MemoryMax=3G\n+MemoryMax=1G" in told.output
    assert (units / "pano.service").read_text() == mine
    assert "replaced" in pano_install(*words, "--overwrite").output
    assert (units / "pano.service.before").read_text() == mine
    assert "MemoryMax=1G" in (units / "pano.service").read_text()


def test_a_unit_of_ours_follows_the_settings(tmp_path: Path) -> None:
    """A unit that nobody changed is brought up to date without asking."""
    config, units = written_settings(tmp_path), tmp_path / "units"
    words = ["--config", config, "--system", "--account", "daemon", "--folder", units]
    pano_install(*words)
    config.write_text(config.read_text().replace('folder = "www"', 'folder = "pages"'))
    assert "updated" in pano_install(*words).output
    assert f"ReadWritePaths={tmp_path}/pages" in (units / "pano.service").read_text()
    assert [path.name for path in units.iterdir()] == ["pano.service"]


def test_a_unit_of_an_earlier_version_is_updated(tmp_path: Path) -> None:
    """Its remark has other words, but nobody changed it."""
    [unit] = install.compare(tmp_path, install.units(place(tmp_path), ["up"]))
    mark, hint, body = unit.text.split("\n", 2)
    earlier = "# What `systemctl edit` adds is kept; this file is written anew by `pano install`."
    assert hint != earlier
    unit.path.write_text(f"{mark}\n{earlier}\n{body}")
    [found] = install.compare(tmp_path, {unit.path.name: unit.text})
    assert found.state == "ours"
    unit.path.write_text(f"{mark}\n{earlier}\n{body}\n")
    [found] = install.compare(tmp_path, {unit.path.name: unit.text})
    assert found.state == "changed"


def test_a_strange_file_of_that_name_is_kept(tmp_path: Path) -> None:
    """A pano.service that is not of ours at all counts as changed."""
    (tmp_path / "pano.service").write_text("[Service]\nExecStart=/bin/true\n")
    config = written_settings(tmp_path)
    with pytest.raises(AttentionNeeded, match="1 changed unit kept"):
        pano_install("--config", config, "--user", "--folder", tmp_path)
    assert "/bin/true" in (tmp_path / "pano.service").read_text()


@pytest.mark.parametrize("scope", [["--user"], ["--system", "--account", "daemon"]])
def test_a_dry_run_shows_all_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: list[str]
) -> None:
    """Units, folders to be made and commands are shown; nothing is there afterwards."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(install, "SYSTEM_UNITS", tmp_path / "config")
    monkeypatch.setattr(install, "check_access", lambda at: None)
    config = written_settings(tmp_path)
    shutil.rmtree(tmp_path / "www")
    told = pano_install("--config", config, *scope, "--dry-run").output
    assert f"ExecStart={Path(sys.executable).with_name('pano')} up --config {config}" in told
    assert re.search(r"^(mkdir|install) .*/www$", told, re.MULTILINE)
    assert re.search(r"^systemctl (--user )?enable pano.service$", told, re.MULTILINE)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "ftp",
        "library",
        "log",
        "pano.toml",
    ]


def test_timers_are_for_what_the_settings_ask(tmp_path: Path) -> None:
    """Culling and pages have timers only where they are set; `pano up` is not beside them."""
    config, units = written_settings(tmp_path), tmp_path / "units"
    words = ["--config", config, "--user", "--timers", "--folder", units]
    pano_install(*words)
    assert {path.stem for path in units.glob("*.timer")} == {
        "pano-cull",
        "pano-ingest",
        "pano-site",
    }
    assert not (units / "pano.service").exists()
    with pytest.raises(SettingsError, match="not both"):
        pano_install("--config", config, "--user", "--folder", units)
    pano_install(*words, "--uninstall")
    config.write_text('uploads = "ftp"\nlibrary = "library"\n')
    pano_install(*words)
    assert {path.stem for path in units.glob("*.timer")} == {"pano-ingest"}


def test_uninstalling_removes_what_is_ours(tmp_path: Path) -> None:
    """Units go, one that somebody changed stays, and so do settings and folders."""
    config, units = written_settings(tmp_path), tmp_path / "units"
    words = ["--config", config, "--user", "--timers", "--folder", units]
    pano_install(*words)
    (units / "pano-site.timer").write_text("[Timer]\nOnCalendar=daily\n")
    assert "pano-site.timer: kept" in pano_install(*words, "--uninstall").output
    assert [path.name for path in units.iterdir()] == ["pano-site.timer"]
    assert config.exists()
    assert (tmp_path / "library").is_dir()


# --- what is refused ------------------------------------------------------------


def test_settings_must_name_the_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings, or settings without folders, are a plain error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PANO_CONFIG", raising=False)
    with pytest.raises(SettingsError, match="expected a settings file for the services"):
        pano_install("--user")
    (tmp_path / "pano.toml").write_text('uploads = "ftp"\n')
    with pytest.raises(SettingsError, match="expected `uploads` and `library`"):
        pano_install("--user")


@pytest.mark.parametrize("account", ["root", "no-such-account"])
def test_the_account_is_one_and_not_root(tmp_path: Path, account: str) -> None:
    """Root, or an account that is not there, is refused with the command that makes one."""
    config = written_settings(tmp_path)
    with pytest.raises(SettingsError, match="useradd --system"):
        pano_install("--config", config, "--system", "--account", account, "--dry-run")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can ask as another account")
def test_the_account_must_have_its_rights(tmp_path: Path) -> None:
    """An account that cannot write to the library is found out before anything is done."""
    tmp_path.chmod(0o755)
    at = place(tmp_path, "daemon")
    with pytest.raises(SettingsError, match="expected a path that the account daemon can"):
        install.check_access(at)


def test_the_owner_of_the_library_runs_the_services(tmp_path: Path) -> None:
    """Without --account it is who has the library, else who called sudo."""
    if getpass.getuser() == "root":
        shutil.chown(tmp_path, "daemon")
        assert install.account_of_services(None, tmp_path) == "daemon"
    else:
        assert install.account_of_services(None, tmp_path) == getpass.getuser()
