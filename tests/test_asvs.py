"""What OWASP ASVS 4.0.3 asks for that no other test looks at: see docs/design/security.md."""

from __future__ import annotations

import ast
import re
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from OpenSSL import SSL
from serving import NAME, PANO, PASSWORD, Inside, Served, addresses, ask, cookie_of, log_in

from pano_analytics.access.certificates import ensure_certificate, server_context
from pano_analytics.access.users import (
    PASSWORD_LENGTHS,
    UserError,
    Users,
    check_password,
    hash_password,
    is_password,
)
from pano_analytics.receive import tls

FORM = "application/x-www-form-urlencoded"
LONGEST = "tide " * 25 + "low"
"""128 characters."""


@pytest.mark.parametrize(
    "password", ["eleven-char", "a" + 20 * " " + "b-2-c-4-d", LONGEST + "x", "pia5 " * 40]
)
def test_new_passwords_have_12_to_128_characters(password: str) -> None:
    """Spaces in a row count as one; the message says what was expected and what came."""
    with pytest.raises(UserError, match="expected a password of 12 to 128 characters"):
        check_password(password)


def test_any_character_is_accepted_and_none_is_cut_off(tmp_path: Path) -> None:
    """Letters alone, emoji and spaces are accepted; all 128 characters count."""
    users = Users(tmp_path)
    for password in ("twelve words", "🐈🐕🐎🐄🐖🐏🐐🐓🦆🦉🦔🦌", "Gärten & Höfe", LONGEST):
        assert len(password) in PASSWORD_LENGTHS
        users.add("anna", password)
        assert users.verify("anna", password)
        assert not users.verify("anna", password[:-1])


def test_logins_are_logged_without_secrets(locked: Served) -> None:
    """Who, from where, when; neither password, cookie, nor a name that nobody has."""
    answer = log_in(locked.url)
    cookie = cookie_of(answer)
    log_in(locked.url, password="wrong-password-7")
    log_in(locked.url, name="typed-into-the-wrong-field")
    ask(locked.url, "/logout", "POST", {"Cookie": cookie})
    ask(locked.url, "/media/x?token=hush", headers={"Origin": "http://evil.test"})
    written = locked.log.read_text()
    for line in (
        f"INFO login of {NAME} from 127.0.0.1",
        f"WARNING failed login as {NAME} from 127.0.0.1",
        "WARNING failed login with an unknown name from 127.0.0.1",
        f"of {NAME} ended from 127.0.0.1",
        "WARNING refused GET /media/x from 127.0.0.1",
    ):
        assert line in written
    secrets = (PASSWORD, "wrong-password-7", "typed-into", "hush", cookie.partition("=")[2])
    assert [one for one in secrets if one in written] == []


def test_forms_come_as_forms(locked: Served) -> None:
    """A login as JSON, as a multipart form or without a type is refused, and not read."""
    body = f'{{"username": "{NAME}", "password": "{PASSWORD}"}}'
    for kind in ("application/json", "multipart/form-data; boundary=x", "text/plain", ""):
        answer = ask(locked.url, "/login", "POST", {"Content-Type": kind}, body)
        assert answer.status in (400, 415), kind
        assert "set-cookie" not in answer.headers
    assert log_in(locked.url, **{"Content-Type": f"{FORM}; charset=UTF-8"}).status == 303


def test_a_field_in_the_address_counts_for_nothing(locked: Served) -> None:
    """Name, password and what to end are read from the form, not from the address."""
    in_address = f"/login?username={NAME}&password=correct+horse+battery"
    answer = ask(locked.url, in_address, "POST", {"Content-Type": FORM}, "username=x&password=y")
    assert "failed=1" in answer.headers["location"]
    cookie = cookie_of(log_in(locked.url))
    ask(locked.url, "/sessions?end=others", "POST", {"Cookie": cookie, "Content-Type": FORM}, "a=b")
    assert ask(locked.url, "/", headers={"Cookie": cookie}).status == 200


def test_with_a_login_only_known_methods_answer(locked: Served, locked_folder: Path) -> None:
    """Reading is GET and HEAD; nothing can be put, patched or deleted, and no error is a 5xx."""
    cookie = {"Cookie": cookie_of(log_in(locked.url))}
    for path in [*addresses(locked_folder), "/static/js/bokeh.min.js"]:
        for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"):
            assert ask(locked.url, path, method, cookie).status in (400, 404, 405), (method, path)


def test_no_answer_allows_other_origins(locked: Served, locked_folder: Path) -> None:
    """No header lets a page of another site read an answer, `null` and preflights included."""
    cookie = cookie_of(log_in(locked.url))
    paths = [*addresses(locked_folder), "/login", "/autoload.js", "/static/js/bokeh.min.js"]
    for path in paths:
        for origin in (locked.url, "http://evil.test", "null"):
            for method in ("GET", "OPTIONS"):
                answer = ask(locked.url, path, method, {"Cookie": cookie, "Origin": origin})
                assert "access-control-allow-origin" not in answer.headers, (path, origin, method)


def test_every_answer_has_its_type(locked: Served, locked_folder: Path) -> None:
    """Each answer with a body has a Content-Type, and text says that it is UTF-8."""
    cookie = {"Cookie": cookie_of(log_in(locked.url))}
    others = ["/login", "/sessions", "/media/x", "/static/js/bokeh.min.js"]
    for path in [*addresses(locked_folder), *others]:
        for headers in ({}, cookie):
            answer = ask(locked.url, path, headers=headers)
            kind = answer.headers.get("content-type", "")
            assert kind or not answer.body, path
            assert not kind.startswith("text/") or "charset=utf-8" in kind.lower(), (path, kind)


def test_an_unforeseen_error_tells_nothing(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours is a 500 without a traceback, a path or a version."""

    def fail(*_: object) -> None:
        raise RuntimeError("a secret of /srv/library")

    cookie = cookie_of(log_in(inside.url))
    monkeypatch.setattr("pano_analytics.dashboard.auth.SessionsHandler._own_sessions", fail)
    answer = ask(inside.url, "/sessions", headers={"Cookie": cookie})
    assert answer.status == 500
    for told in ("secret", "Traceback", "srv", "Tornado", "Python"):
        assert told not in answer.text + str(answer.headers)


# --- TLS ---------------------------------------------------------------------------


def ciphers_of(pano: ssl.SSLContext) -> set[str]:
    return {one["name"] for one in pano.get_ciphers()}


def test_https_has_strong_ciphers_only(tmp_path: Path) -> None:
    """TLS 1.2 and 1.3, forward secret, authenticated encryption."""
    context = server_context(*ensure_certificate(tmp_path))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.maximum_version == ssl.TLSVersion.MAXIMUM_SUPPORTED
    weak = [
        name
        for name in ciphers_of(context)
        if not name.startswith(("TLS_", "ECDHE-")) or not ("GCM" in name or "POLY1305" in name)
    ]
    assert weak == []


def test_ftps_takes_no_broken_cipher(tmp_path: Path) -> None:
    """TLS 1.2, the strongest first; old cameras may still use AES in CBC mode."""
    context = tls.context(*ensure_certificate(tmp_path))
    assert context.set_options(0) & SSL.OP_CIPHER_SERVER_PREFERENCE
    names = SSL.Connection(context).get_cipher_list()
    broken = ("NULL", "RC4", "DES", "MD5", "EXP", "ADH", "AECDH", "PSK", "SRP", "SEED", "IDEA")
    assert [name for name in names if any(one in name for one in broken)] == []
    tls12 = [name for name in names if not name.startswith("TLS_")]
    assert "GCM" in tls12[0]
    assert "ECDHE-RSA-AES128-SHA" in tls12


# --- commands ----------------------------------------------------------------------------


def test_passwords_are_typed_unseen(tmp_path: Path) -> None:
    """No command takes a password as an argument, where other users could read it."""
    for words in (["user", "add"], ["camera", "add"], ["camera", "password"], ["backup"]):
        done = subprocess.run([*PANO, *words, "--help"], capture_output=True, text=True, check=True)
        assert "--password TEXT" not in done.stdout
        assert "--passphrase TEXT" not in done.stdout


# --- code ------------------------------------------------------------------------------

CODE = Path(__file__).parent.parent / "pano_analytics"
MAKES_CODE = {"eval", "exec", "compile", "__import__"}
UNSAFE_MODULES = {"pickle", "marshal", "shelve", "yaml", "xml", "lxml", "telnetlib", "random"}


def doubtful(tree: ast.AST) -> Iterator[str]:
    """Yield what makes code or objects of text, calls a shell or is a weak algorithm."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from {one.name.split(".")[0] for one in node.names} & UNSAFE_MODULES
        elif isinstance(node, ast.ImportFrom):
            yield from {str(node.module).split(".")[0]} & UNSAFE_MODULES
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield from {node.func.id} & MAKES_CODE
            elif isinstance(node.func, ast.Attribute):
                yield from {node.func.attr} & {"system", "popen", "md5", "sha1", "getoutput"}
            yield from {str(one.arg) for one in node.keywords} & {"shell"}


def test_no_code_is_made_of_text() -> None:
    """No eval, no shell, no pickle, YAML or XML, no MD5 or SHA-1; secrets come from `secrets`."""
    assert set(doubtful(ast.parse("import pickle; eval(x); os.system(y); run(z, shell=True)"))) == {
        "pickle", "eval", "system", "shell"
    }  # fmt: skip
    files = list(CODE.rglob("*.py"))
    assert len(files) > 100
    found = {(file.name, what) for file in files for what in doubtful(ast.parse(file.read_text()))}
    assert found == set()


def test_browsers_store_no_evidence() -> None:
    """Scripts of ours keep how a page looks, not what it shows; they evaluate no text."""
    scripts = [*(CODE / "dashboard").rglob("*.js"), *(CODE / "dashboard").rglob("*.html")]
    text = "\n".join(script.read_text(encoding="utf-8") for script in scripts)
    kept = set(re.findall(r"(?:local|session)Storage\.\w+\(\s*(\S+?)[,)]", text))
    assert kept == {'"pano-theme"', '"pano-details"', '"pano-scroll"'}
    for word in ("indexedDB", "document.cookie", "eval(", "new Function"):
        assert word not in text


def test_password_managers_may_fill_the_form(locked: Served) -> None:
    """The fields say what they are for, and nothing forbids to paste."""
    page = ask(locked.url, "/login").text
    assert 'autocomplete="username"' in page
    assert 'autocomplete="current-password"' in page
    assert "onpaste" not in page
    assert "<script" not in page


def test_hashes_are_salted_and_slow() -> None:
    """128 bits of salt, new for each hash; the hash says how it was made, so this may change."""
    one, two = hash_password(PASSWORD), hash_password(PASSWORD)
    method, cost, block, parallel, salt, digest = one.split("$")
    assert method == "scrypt"
    assert int(cost) * int(parallel) >= 2**16
    assert int(block) == 8
    assert len(bytes.fromhex(salt)) == 16
    assert len(bytes.fromhex(digest)) == 32
    assert one != two
    assert is_password(PASSWORD, one)
    assert is_password(PASSWORD, hash_password(PASSWORD, parallel=1))
