"""Backups that leave secrets out, and backups that only a passphrase opens."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from lived_in import NOON, fresh, lay, picture, renew, run
from shared_files import snapshot_path

from pano_analytics.access.users import Users, login_secret
from pano_analytics.cli import pano
from pano_analytics.errors import LibraryError, SettingsError
from pano_analytics.library import Library
from pano_analytics.settings import Settings
from pano_analytics.upkeep import sealed
from pano_analytics.upkeep.backup import backup, is_encrypted, restore

WORDS = "several words of mine"
SETTINGS = 'zone = "Europe/Berlin"\n[up]\nheartbeat_url = "https://hc.example/secret-path"\n'


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Return the settings of a library with an upload, a user and a settings file."""
    settings = fresh(tmp_path_factory.mktemp("lived"))
    assert settings.uploads is not None
    assert settings.library is not None
    lay(picture(1), settings.uploads / snapshot_path("porch", NOON))
    run(settings)
    Users(settings.library).add("anna", "correct horse battery")
    login_secret(settings.library)
    (settings.library.parent / "pano.toml").write_text(SETTINGS)
    return settings


@pytest.fixture
def keep(lived: Settings, tmp_path: Path) -> Callable[..., Path]:
    """Return what makes a backup and returns where it is."""

    def made(name: str = "kept.tar", **wishes: object) -> Path:
        assert lived.library is not None
        backup(lived.library, tmp_path / name, lived.library.parent / "pano.toml", **wishes)  # type: ignore[arg-type]
        return tmp_path / name

    return made


def secrets_of(settings: Settings) -> list[bytes]:
    """Return what a thief would look for in a backup."""
    assert settings.library is not None
    hashed = (settings.library / "users.json").read_bytes()
    return [hashed[40:120], (settings.library / "login.secret").read_bytes(), b"secret-path"]


# --- without secrets ----------------------------------------------------------------------


def test_secrets_are_left_out(lived: Settings, keep: Callable[..., Path], tmp_path: Path) -> None:
    """No user, no login secret, no address with a key in it; the rest comes back."""
    kept = keep(with_secrets=False)
    assert not any(secret in kept.read_bytes() for secret in secrets_of(lived))
    assert any(secret in keep("all.tar").read_bytes() for secret in secrets_of(lived))
    done = restore(kept, tmp_path / "other")
    assert not done.has_secrets
    moved = lived.model_copy(update={"library": tmp_path / "other"})
    renew(moved)
    assert (
        Library.of(moved).media().media_id.tolist() == Library.of(lived).media().media_id.tolist()
    )
    assert not (tmp_path / "other/users.json").exists()


def test_users_of_the_library_stay(
    lived: Settings, keep: Callable[..., Path], tmp_path: Path
) -> None:
    """Restored over the library that it is of, such a backup takes nobody's login away."""
    restore(keep("all.tar"), tmp_path / "other")
    before = (tmp_path / "other/users.json").read_bytes()
    restore(keep(with_secrets=False), tmp_path / "other")
    assert (tmp_path / "other/users.json").read_bytes() == before


# --- encrypted ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["kept.tar", "kept.tar.gz"])
def test_an_encrypted_backup_comes_back(
    lived: Settings, keep: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    """Nothing of it can be read; with the passphrase all of it is there."""
    kept = keep(name, passphrase=WORDS)
    data = kept.read_bytes()
    assert is_encrypted(kept)
    assert not any(secret in data for secret in [*secrets_of(lived), b"users.json", b"ustar"])
    assert not tarfile.is_tarfile(kept)
    done = restore(kept, tmp_path / "other", WORDS)
    assert {"users.json", "login.secret", "pano.toml"} <= set(done.files)
    assert (tmp_path / "other/pano.toml").read_text() == SETTINGS


def test_the_wrong_passphrase_is_told(keep: Callable[..., Path], tmp_path: Path) -> None:
    """Wrong, none, too short: each an error that says what to do, and nothing is written."""
    kept = keep(passphrase=WORDS)
    with pytest.raises(LibraryError, match="wrong passphrase"):
        restore(kept, tmp_path / "other", "several words of yours")
    with pytest.raises(LibraryError, match="--passphrase-file"):
        restore(kept, tmp_path / "other")
    with pytest.raises(SettingsError, match="at least 12 characters"):
        keep("short.tar", passphrase="short")
    assert not (tmp_path / "other").exists()
    assert not (tmp_path / "short.tar").exists()


def test_damage_anywhere_is_told(
    keep: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bit anywhere, an end that lacks, one that is too long: nothing is restored."""
    monkeypatch.setattr(sealed, "_LOG2_N", 10)  # a quick key: the cost of guessing is not tested
    kept = keep(passphrase=WORDS)
    data = kept.read_bytes()
    bad = tmp_path / "bad.tar"
    for at in (9, 12, 30, 50, 70, len(data) // 2, len(data) - 1):
        bad.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(LibraryError):
            restore(bad, tmp_path / "other", WORDS)
    for cut in (data[:20], data[:66], data[:67], data[:-1], data[:-16], data + b"\0"):
        bad.write_bytes(cut)
        with pytest.raises(LibraryError):
            restore(bad, tmp_path / "other", WORDS)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_chunks_come_back_in_their_order_or_not_at_all(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any length; chunks that are swapped, left out or repeated, and a cut between two."""
    monkeypatch.setattr(sealed, "_LOG2_N", 10)
    content = bytes(range(256)) * (size // 256 + 1)
    content = content[:size]
    out = io.BytesIO()
    writer = sealed.Writer(out, WORDS)
    for start in range(0, size, 300_000):
        writer.write(content[start : start + 300_000])
    writer.close()
    data = out.getvalue()
    assert sealed.SealedReader(io.BytesIO(data), WORDS, "x").read() == content
    head, chunk = 66, (1 << 20) + 16
    chunks = [data[head + at : head + at + chunk] for at in range(0, len(data) - head, chunk)]
    orders = [chunks[::-1], chunks[1:], chunks[:-1], [*chunks, chunks[-1]]]
    for wrong in (order for order in orders if order != chunks):
        reader = sealed.SealedReader(io.BytesIO(data[:head] + b"".join(wrong)), WORDS, "x")
        with pytest.raises(sealed.SealError):
            reader.read()


def test_a_header_cannot_ask_for_much_memory(keep: Callable[..., Path], tmp_path: Path) -> None:
    """A hostile file whose key would take terabytes is damaged, at once."""
    data = keep(passphrase=WORDS).read_bytes()
    bad = tmp_path / "bad.tar"
    bad.write_bytes(data[:8] + b"\x28" + data[9:])
    with pytest.raises(LibraryError, match="damaged"):
        restore(bad, tmp_path / "other", WORDS)


def test_commands(lived: Settings, tmp_path: Path) -> None:
    """From a file, from standard input, and where nobody can be asked."""
    library, kept = f"--library={lived.library}", str(tmp_path / "kept.tar")
    words = tmp_path / "words"
    words.write_text(f"{WORDS}\nsecond line\n")

    def said(*arguments: str, stdin: str | None = None) -> tuple[int, str]:
        done = CliRunner().invoke(pano, arguments, input=stdin)
        error = f"{done.exception}" if done.exception else ""
        return getattr(done.exception, "exit_code", done.exit_code), done.output + error

    code, text = said("backup", kept, library, "--passphrase-file", str(words))
    assert (code, "encrypted" in text) == (0, True), text
    code, text = said("restore", kept, str(tmp_path / "a"), "--passphrase-file", "-", stdin=WORDS)
    assert code == 0, text
    code, text = said("restore", kept, str(tmp_path / "b"))
    assert (code, "--passphrase-file" in text) == (2, True)
    code, text = said("backup", kept, library, "--encrypt")
    assert (code, "--passphrase-file" in text) == (2, True)
    code, text = said("backup", kept, library, "--passphrase-file", str(tmp_path / "lacks"))
    assert (code, "first line" in text) == (2, True)
    code, text = said("backup", kept, library, "--without-secrets")
    assert (code, "without secrets" in text) == (0, True)
    code, text = said("restore", kept, str(tmp_path / "c"))
    assert (code, "pano user add" in text) == (0, True)
