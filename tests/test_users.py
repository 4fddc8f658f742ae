"""Users: hashed passwords in the library folder, and the secret that signs logins."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from pano_analytics.access.users import (
    PASSWORD_MAX_LENGTH,
    UserError,
    Users,
    check_name,
    hash_password,
    is_password,
    login_secret,
)
from pano_analytics.cli import pano
from pano_analytics.errors import LibraryError, PanoError

PASSWORD = "correct horse battery"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def users(tmp_path: Path) -> Users:
    return Users(tmp_path)


def test_only_the_right_password_opens(users: Users) -> None:
    """A user comes in with the password that was set, and with no other."""
    users.add("anna", PASSWORD)
    assert users.verify("anna", PASSWORD)
    assert not users.verify("anna", PASSWORD + " ")
    assert not users.verify("anna", "")
    assert not users.verify("Anna", PASSWORD)


@pytest.mark.parametrize("password", ["", PASSWORD, "x" * (PASSWORD_MAX_LENGTH + 1)])
def test_an_unknown_name_is_never_right(users: Users, password: str) -> None:
    """Whoever is not in the list does not come in, with or without users in it."""
    assert not users.verify("bob", password)
    users.add("anna", PASSWORD)
    assert not users.verify("bob", password)


def test_the_file_holds_no_password_and_is_private(users: Users) -> None:
    """users.json is readable by its owner only, and holds a salted hash for each password."""
    users.add("anna", PASSWORD)
    users.add("bob", PASSWORD)
    text = users.path.read_text()
    assert PASSWORD not in text
    assert mode(users.path) == 0o600
    first, second = (user["hashed"] for user in json.loads(text)["users"])
    assert first != second


def test_private_even_where_files_are_open_by_habit(tmp_path: Path) -> None:
    """The mode does not depend on the umask or on an older file that was open to all."""
    users = Users(tmp_path)
    users.path.write_text('{"format": 1, "users": []}')
    users.path.chmod(0o666)
    users.add("anna", PASSWORD)
    assert mode(users.path) == 0o600


def test_a_new_password_replaces_the_old(users: Users) -> None:
    """Adding a known name again sets its password anew."""
    users.add("anna", PASSWORD)
    users.add("anna", "another long one")
    assert users.verify("anna", "another long one")
    assert not users.verify("anna", PASSWORD)
    assert [user.name for user in users.all()] == ["anna"]


def test_a_change_by_another_process_is_seen(users: Users) -> None:
    """A running server sees at once who was added or removed elsewhere."""
    other = Users(users.folder)
    assert users.all() == []
    other.add("anna", PASSWORD)
    assert users.get("anna") is not None
    other.remove("anna")
    assert users.get("anna") is None


def test_removing_a_stranger_says_so(users: Users) -> None:
    """A name that is no user cannot be removed; the error tells how to see who is."""
    with pytest.raises(UserError, match="pano user list"):
        users.remove("nobody")


def test_users_added_at_once_all_stay(tmp_path: Path) -> None:
    """Several processes adding users at the same time lose none of them."""
    names = [f"user{number}" for number in range(6)]
    threads = [
        threading.Thread(target=Users(tmp_path).add, args=(name, PASSWORD)) for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [user.name for user in Users(tmp_path).all()] == names


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"format": 1}',
        '{"format": 2, "users": []}',
        '{"format": 1, "users": [{"name": "anna"}]}',
        '{"format": 1, "users": [{"name": "a", "hashed": "plain", "added": "2026-01-01"}]}',
    ],
)
def test_a_broken_list_is_not_an_empty_one(users: Users, text: str) -> None:
    """A users.json that cannot be understood is an error: nobody is let in unasked."""
    users.path.write_text(text)
    with pytest.raises(LibraryError, match=r"users\.json"):
        users.all()
    with pytest.raises(LibraryError):
        users.verify("anna", PASSWORD)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../x", "a\0", "a\n", "x" * 65, "<b>"])
def test_a_name_that_cannot_be_used(users: Users, name: str) -> None:
    """Names are letters, digits and a few signs; the error says what came."""
    with pytest.raises(UserError, match="expected a user name"):
        users.add(name, PASSWORD)


@pytest.mark.parametrize("password", ["", "short", "x" * (PASSWORD_MAX_LENGTH + 1)])
def test_a_password_that_cannot_be_used_is_not_repeated(users: Users, password: str) -> None:
    """Too short or too long a password is refused, and never stands in the message."""
    with pytest.raises(UserError) as caught:
        users.add("anna", password)
    assert not password or password not in str(caught.value)


def test_one_name_in_two_spellings_is_one_user(users: Users) -> None:
    """An é typed as one code point or as two is the same name and the same password."""
    users.add("Ren\u00e9", "caf\u00e9 au lait")
    assert users.verify("Rene\u0301", "cafe\u0301 au lait")
    assert check_name("Rene\u0301") == "Ren\u00e9"


@settings(max_examples=5, deadline=None)
@given(st.text(min_size=1, max_size=40), st.text(max_size=40))
def test_any_text_can_be_a_password(password: str, other: str) -> None:
    """Whatever is typed, lone surrogates included, hashes, and only itself opens it."""
    hashed = hash_password(password)
    assert is_password(password, hashed)
    if password.isascii() and other.isascii():
        assert is_password(other, hashed) == (password == other)


def test_the_secret_is_made_once_and_kept(tmp_path: Path) -> None:
    """Logins survive a restart: the secret is 32 random bytes, private, the same every time."""
    first = login_secret(tmp_path)
    assert len(first) == 32
    assert login_secret(tmp_path) == first
    assert mode(tmp_path / "login.secret") == 0o600
    (tmp_path / "other").mkdir()
    assert login_secret(tmp_path / "other") != first


def test_a_secret_cut_short_is_refused(tmp_path: Path) -> None:
    """An empty secret would let anybody sign a login."""
    (tmp_path / "login.secret").write_bytes(b"")
    with pytest.raises(LibraryError, match="expected 32 bytes"):
        login_secret(tmp_path)


def run(*arguments: str, typed: str = "") -> tuple[str, BaseException | None]:
    result = CliRunner().invoke(pano, ["user", *arguments], input=typed)
    return result.output, result.exception


def test_the_command_adds_lists_and_removes(tmp_path: Path) -> None:
    """pano user add asks twice, list shows the name, remove takes it away."""
    where = ["--library", str(tmp_path)]
    output, error = run("add", "anna", *where, typed=f"{PASSWORD}\n{PASSWORD}\n")
    assert error is None
    assert "anna can log in." in output
    assert PASSWORD not in output
    assert run("list", *where)[0].startswith("anna\t")
    run("remove", "anna", *where)
    assert run("list", *where) == ("", None)


def test_the_command_reads_a_password_from_a_pipe(tmp_path: Path) -> None:
    """--password-stdin takes one line, its end not included."""
    run("add", "anna", "--password-stdin", "--library", str(tmp_path), typed=f"{PASSWORD}\r\n")
    assert Users(tmp_path).verify("anna", PASSWORD)


def test_the_command_takes_the_library_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --library, pano.toml says where; with neither, the error says what to give."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "pano.toml").write_text('library = "lib"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PANO_CONFIG", raising=False)
    run("add", "anna", "--password-stdin", typed=PASSWORD)
    assert Users(tmp_path / "lib").verify("anna", PASSWORD)
    monkeypatch.chdir(tmp_path / "lib")
    error = run("list")[1]
    assert isinstance(error, PanoError)
    assert "--library" in str(error)


def test_a_library_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """A mistyped folder is an error that names pano ingest, and no new folder appears."""
    where = ["--library", str(tmp_path / "no")]
    error = run("add", "anna", "--password-stdin", *where, typed=PASSWORD)[1]
    assert isinstance(error, LibraryError)
    assert "pano ingest" in str(error)
    assert not (tmp_path / "no").exists()


def test_common_passwords_are_refused(tmp_path: Path) -> None:
    """What is guessed first cannot be set; the message does not repeat it."""
    where = ["--password-stdin", "--library", str(tmp_path)]
    for password in ("password12345", "letmein!!!!!", "anna-20261128", "aaaaaaaaaaaa"):
        output, error = run("add", "anna", *where, typed=password)
        assert isinstance(error, UserError)
        assert "hard to guess" in str(error)
        assert password not in output + str(error)
    assert not (tmp_path / "users.json").exists()
