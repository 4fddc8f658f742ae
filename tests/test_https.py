"""HTTPS of the dashboard: own and given certificates, a prefix, and nginx in front."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import multiprocessing
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page, expect
from serving import (
    DEADLINE_S,
    FRONT,
    NAME,
    PANO,
    PASSWORD,
    Answer,
    Watch,
    address_of,
    addresses,
    answer_of,
    free_port,
    rows,
    settle,
    wait_until,
)

from pano_analytics.access import certificates
from pano_analytics.access.certificates import CertificateError, ensure_certificate, server_context
from pano_analytics.dashboard.tls import Certificate
from pano_analytics.service.supervise.parts import is_serving
from pano_analytics.settings import Dashboard, check

RECIPE = Path(__file__).parent.parent / "docs" / "https.md"
KIND = {"Content-Type": "application/x-www-form-urlencoded"}


# --- certificates -----------------------------------------------------------------


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def names_of(certificate: x509.Certificate) -> set[str]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {
        *found.get_values_for_type(x509.DNSName),
        *map(str, found.get_values_for_type(x509.IPAddress)),
    }


def test_a_certificate_that_browsers_take(tmp_path: Path) -> None:
    """It names this computer, is for servers, ends within 825 days, and only its owner reads it."""
    paths = ensure_certificate(tmp_path / "tls", ["pano.lan", "192.168.7.7", "0.0.0.0"])
    made = read(paths[0])
    assert {"localhost", "127.0.0.1", "::1", "pano.lan", "192.168.7.7"} <= names_of(made)
    assert "0.0.0.0" not in names_of(made)
    assert made.not_valid_after_utc - made.not_valid_before_utc <= dt.timedelta(days=825)
    usage = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert x509.ObjectIdentifier("1.3.6.1.5.5.7.3.1") in usage
    assert [path.stat().st_mode & 0o777 for path in paths] == [0o600, 0o600]
    assert sorted(path.name for path in (tmp_path / "tls").glob("*pano-tmp")) == []


def test_it_stays_until_something_is_to_do(tmp_path: Path) -> None:
    """A second call changes nothing; another name makes it anew: same key, old names."""
    certificate, key = ensure_certificate(tmp_path, ["one.lan"])
    before = certificate.read_bytes(), key.read_bytes()
    ensure_certificate(tmp_path)
    assert (certificate.read_bytes(), key.read_bytes()) == before
    ensure_certificate(tmp_path, ["two.lan"])
    assert key.read_bytes() == before[1]
    assert {"one.lan", "two.lan"} <= names_of(read(certificate))


@pytest.mark.parametrize(
    ("left", "is_renewed"), [(dt.timedelta(days=59), True), (dt.timedelta(days=61), False)]
)
def test_it_is_renewed_before_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: dt.timedelta, is_renewed: bool
) -> None:
    """Made anew when less than 60 days are left, with the same key."""
    with monkeypatch.context() as short:
        short.setattr(certificates, "LIFETIME", left + certificates._BACKDATED)
        certificate, key = ensure_certificate(tmp_path)
    before = read(certificate), key.read_bytes()
    ensure_certificate(tmp_path)
    assert (read(certificate) != before[0]) == is_renewed
    assert key.read_bytes() == before[1]


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("damage", [b"", b"-----BEGIN", None])
def test_damaged_files_are_made_anew(tmp_path: Path, which: int, damage: bytes | None) -> None:
    """Whatever a full disk or a person left: the pair fits together afterwards."""
    paths = ensure_certificate(tmp_path)
    if damage is None:
        paths[which].unlink()
    else:
        paths[which].write_bytes(damage)
    server_context(*ensure_certificate(tmp_path))


def _ensure(folder: Path) -> None:
    server_context(*ensure_certificate(folder))


def test_two_at_once_make_one(tmp_path: Path) -> None:
    """Upload server and dashboard start together: both find the same pair."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_ensure, args=(tmp_path,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(DEADLINE_S)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    _ensure(tmp_path)


@given(st.text(max_size=20))
def test_any_name_is_taken_or_refused_in_words(name: str) -> None:
    """A name that a certificate cannot hold is a plain error."""
    try:
        normal = certificates._normal(name)
    except CertificateError:
        return
    assert normal.isascii()
    assert certificates._normal(normal) == normal


def test_a_pair_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """A key of another certificate, a missing file or a locked key: one plain error."""
    one, two = ensure_certificate(tmp_path / "1"), ensure_certificate(tmp_path / "2")
    locked = tmp_path / "locked.pem"
    command = ["openssl", "rsa", "-aes128", "-passout", "pass:x", "-in", str(one[1])]
    subprocess.run([*command, "-out", str(locked)], check=True, capture_output=True)
    for pair in ((one[0], two[1]), (one[0], tmp_path / "none"), (one[0], locked)):
        with pytest.raises(CertificateError, match="expected a certificate"):
            server_context(*pair)


def test_a_server_shows_what_was_renewed(tmp_path: Path) -> None:
    """`refresh` loads a certificate that changed; one that is broken leaves the old in use."""
    paths = ensure_certificate(tmp_path / "mine")
    shown = Certificate(Dashboard(certificate=paths[0], key=paths[1]), tmp_path)
    first = _shown(shown.context)
    ensure_certificate(tmp_path / "mine", ["another.lan"])
    shown.refresh()
    second = _shown(shown.context)
    assert second != first
    paths[0].write_bytes(b"broken")
    shown.refresh()
    assert _shown(shown.context) == second


def _shown(context: ssl.SSLContext) -> bytes | None:
    """Return the certificate that a visitor is shown, by a handshake in memory."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(to_server, to_client, server_side=True)
    client = trusting.wrap_bio(to_client, to_server)
    for _ in range(4):
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return client.getpeercert(binary_form=True)


# --- servers ----------------------------------------------------------------------


@dataclass
class Secure:
    """A server by HTTPS: where it answers, and the certificate to trust."""

    url: str
    trusted: Path
    log: Path

    def ask(self, path: str, method: str = "GET", body: str | None = None, **more: str) -> Answer:
        """Send `path`, trusting the certificate and nothing else."""
        context = ssl.create_default_context(cafile=str(self.trusted))
        place = urlsplit(self.url).netloc
        connection = http.client.HTTPSConnection(place, timeout=DEADLINE_S, context=context)
        with contextlib.closing(connection):
            headers = {
                **(KIND if body else {}),
                **{k.replace("_", "-"): v for k, v in more.items()},
            }
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer_of(answer)


@contextlib.contextmanager
def serving(library: Path, folder: Path, *options: str) -> Iterator[tuple[int, Path]]:
    """Run `pano serve` until the block ends; give its port and its log."""
    port, log = free_port(), folder / "serve.log"
    arguments = [*PANO, "serve", "--library", str(library), "--port", str(port), *options]
    with log.open("w") as output:
        process = subprocess.Popen(arguments, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: "Dashboard:" in log.read_text() or process.poll() is not None, "slow")
        yield port, log
    finally:
        process.terminate()
        assert process.wait(DEADLINE_S) == 0, log.read_text()


@pytest.fixture(scope="module")
def own(locked_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    """`pano serve --tls own` for everybody, below a prefix, with one user."""
    folder = tmp_path_factory.mktemp("own")
    options = ("--tls", "own", "--address", "0.0.0.0", "--prefix", "/cameras/")
    with serving(locked_folder, folder, *options) as (port, log):
        trusted = locked_folder / "tls" / certificates.CERTIFICATE_NAME
        yield Secure(f"https://127.0.0.1:{port}", trusted, log)


NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    {outside}
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificate}; ssl_certificate_key {key};
        {inside}
    }}
}}
"""


@pytest.fixture(scope="module")
def proxied(locked_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    """nginx as docs/https.md has it, before `pano serve --prefix /cameras/ --behind-proxy`."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is missing: apt-get install nginx-light")
    folder = tmp_path_factory.mktemp("nginx")
    certificate, key = ensure_certificate(folder / "tls")
    with serving(locked_folder, folder, "--prefix", "/cameras/", "--behind-proxy") as (port, log):
        inside, outside = re.findall(r"```nginx\n(.*?)```", RECIPE.read_text(), re.DOTALL)
        front = free_port()
        text = NGINX.format(
            folder=folder,
            inside=inside.replace("127.0.0.1:5006", f"127.0.0.1:{port}"),
            outside=outside,
            port=front,
            certificate=certificate,
            key=key,
        )
        (folder / "nginx.conf").write_text(text)
        process = subprocess.Popen([nginx, "-p", str(folder), "-c", str(folder / "nginx.conf")])
        served = Secure(f"https://127.0.0.1:{front}", certificate, log)
        try:
            wait_until(lambda: process.poll() is not None or _answers(served), "nginx is slow")
            yield served
        finally:
            process.terminate()
            process.wait(DEADLINE_S)


def _answers(served: Secure) -> bool:
    try:
        return served.ask("/cameras/liveness").status == 200
    except OSError:
        return False


@pytest.fixture(params=["own", "proxied"])
def secure(request: pytest.FixtureRequest) -> Secure:
    """Both ways of HTTPS, each below /cameras/."""
    found: Secure = request.getfixturevalue(request.param)
    return found


# --- what visitors meet -------------------------------------------------------------


def log_in(secure: Secure, wanted: str = "/cameras/") -> Answer:
    form = urlencode({"username": NAME, "password": PASSWORD, "next": wanted})
    return secure.ask("/cameras/login", "POST", form)


def test_the_login_is_kept_to_https(secure: Secure) -> None:
    """The cookie is Secure, for the prefix only, and the way to the login keeps where to."""
    away = secure.ask("/cameras/?camera=x")
    assert away.status == 302
    assert away.headers["location"] == "/cameras/login?next=%2Fcameras%2F%3Fcamera%3Dx"
    answer = log_in(secure, "/cameras/?camera=x")
    assert answer.status == 303
    assert answer.headers["location"] == "/cameras/?camera=x"
    cookie = answer.headers["set-cookie"].splitlines()[0]
    assert cookie.startswith("__Secure-")
    assert {"Secure", "HttpOnly", "Path=/cameras", "SameSite=Lax"} <= set(cookie.split("; "))


def test_every_route_below_the_prefix(secure: Secure, locked_folder: Path) -> None:
    """Page, pictures and clips answer below the prefix with a login, not without, nor elsewhere."""
    cookie = log_in(secure).headers["set-cookie"].partition(";")[0]
    for path in addresses(locked_folder):
        assert secure.ask(f"/cameras{path}").status in (302, 401)
        answer = secure.ask(f"/cameras{path}", Cookie=cookie)
        assert answer.status == 200, path
        assert len(answer.body) > 1000
        assert secure.ask(path, Cookie=cookie).status in (401, 404)


def test_ranges_reach_the_browser(secure: Secure, locked_folder: Path) -> None:
    """A part of a clip is a part, also through the proxy."""
    cookie = log_in(secure).headers["set-cookie"].partition(";")[0]
    place = "/cameras" + address_of(rows(locked_folder)["clip"], "clip", ".mp4")
    answer = secure.ask(place, Cookie=cookie, Range="bytes=10-19")
    assert answer.status == 206
    assert len(answer.body) == 10


@contextlib.contextmanager
def visiting(browser: Browser, secure: Secure) -> Iterator[Page]:
    """A watched page that accepts a certificate which nobody signed, as people do."""
    context = browser.new_context(ignore_https_errors=True)
    watch = Watch(urlsplit(secure.url).netloc)
    watch.over(context)
    try:
        yield context.new_page()
    finally:
        context.close()
    assert not watch.trouble, "\n".join(watch.trouble)


def test_a_browser_all_the_way(secure: Secure, chromium: Browser, locked_folder: Path) -> None:
    """A deep link leads through the login to the open clip, which plays; pictures load."""
    clip = rows(locked_folder)["clip"]["media_id"]
    deep = f"{secure.url}/cameras/?camera={FRONT}&item={clip}"
    with visiting(chromium, secure) as page:
        page.goto(deep)
        expect(page).to_have_url(re.compile("/cameras/login"))
        page.get_by_label("Name").fill(NAME)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button").click()
        expect(page).to_have_url(deep)
        settle(page)
        page.wait_for_function(
            "() => [...document.querySelectorAll('video')].some(one => one.readyState >= 2)"
        )
        page.keyboard.press("Escape")
        page.wait_for_function(
            "() => [...document.images].some(one => one.src.includes('/cameras/thumb/')"
            " && one.complete && one.naturalWidth)"
        )


def test_the_supervisor_asks_as_it_is_served(own: Secure) -> None:
    """`pano up` finds the dashboard well by HTTPS below its prefix, and nowhere else."""
    port = urlsplit(own.url).port
    said = {"address": "0.0.0.0", "port": port, "tls": "own", "prefix": "/cameras/"}
    assert is_serving(check({"dashboard": said}))
    assert not is_serving(check({"dashboard": {**said, "prefix": ""}}))
    assert not is_serving(check({"dashboard": {**said, "tls": "none"}}))


# --- what is refused and what is warned of ---------------------------------------------


def test_plain_http_meets_no_login(own: Secure) -> None:
    """Who asks an HTTPS port by HTTP is told nothing, least of all for a password."""
    connection = http.client.HTTPConnection(urlsplit(own.url).netloc, timeout=DEADLINE_S)
    connection.request("GET", "/cameras/login")
    with contextlib.closing(connection), pytest.raises((OSError, http.client.HTTPException)):
        connection.getresponse()


def test_the_address_is_told_as_it_is(own: Secure) -> None:
    """One line with https and the prefix, and no warning."""
    lines = own.log.read_text().splitlines()
    assert re.search(r"https://\S+:\d+/cameras/", lines[0])
    assert [line for line in lines if line.startswith("pano:")] == []


def test_plain_http_to_others_is_warned_of(locked_folder: Path, tmp_path: Path) -> None:
    """Served to others by HTTP it says that passwords can be read, and what to set."""
    with serving(locked_folder, tmp_path, "--address", "0.0.0.0") as (_, log):
        wait_until(lambda: "sent unencrypted" in log.read_text(), "no warning")
        assert 'tls = "own"' in log.read_text()


def test_nobody_comes_through_a_proxy_without_a_login(library_folder: Path) -> None:
    """Behind a proxy everybody seems to come from here: without a user it is not served."""
    command = [*PANO, "serve", "--library", str(library_folder), "--behind-proxy", "--port", "0"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert run.returncode == 7
    assert "pano user add NAME" in run.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--certificate", "x.pem"], "together with its key"),
        (["--certificate", "x.pem", "--key", "x.pem"], "expected a certificate"),
        (["--prefix", "/a b/"], "a path of letters"),
        (["--prefix", "/../"], "a path of letters"),
    ],
)
def test_what_cannot_be_is_said(library_folder: Path, options: list[str], words: str) -> None:
    """One plain line, no traceback."""
    command = [*PANO, "serve", "--library", str(library_folder), "--port", "0", *options]
    run = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert run.returncode in (2, 7)
    assert words in run.stderr
    assert "Traceback" not in run.stderr


def test_the_key_is_never_shown(own: Secure) -> None:
    """Nothing of the key is in what is served openly nor in the log."""
    key = own.trusted.with_name(certificates.KEY_NAME)
    load_pem_private_key(key.read_bytes(), None)
    line = key.read_text().splitlines()[3]
    assert line not in own.log.read_text() + own.ask("/cameras/login").text
