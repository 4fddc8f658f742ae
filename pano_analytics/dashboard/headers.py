"""What every answer tells the browser: what a page may do, and what may be kept.

`Headers` puts these on whatever a handler answers, errors, redirects and static
files included. Only a page may run scripts, and only those that
carry the nonce of this one answer or come from a file of ours.
"""

from __future__ import annotations

import secrets
from typing import Any

from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import OutputTransform

from pano_analytics.dashboard.origin import is_loopback, peer_of

# Panel makes modules itself and imports them from blobs; they are imported by a script of
# the page (see page.html), whose nonce goes with them. No other host is ever named.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; "
    "style-src 'self' 'nonce-{nonce}'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "font-src 'self' data:; connect-src 'self'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# A form: the page that sees passwords runs no script.
FORM_POLICY = (
    "default-src 'none'; style-src 'nonce-{nonce}'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
# Pictures, clips, sentences: nothing in them is run. Chromium shows a picture in a page of
# its own, in these three styles.
PLAIN_POLICY = (
    "default-src 'none'; img-src 'self'; media-src 'self'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'; style-src-attr 'unsafe-hashes' "
    "'sha256-M6Ysz0+Rk4NS0oJRgQlAcfTBnQYhP6Zx0KLoS2OqDb8=' "
    "'sha256-kZIsqHPSISIo2t1pH7cXKP7WqETBpurMjGw/57SZwqg=' "
    "'sha256-zMSqd3IdI0P85bMS1pHPulcrWrNFUbioxKEvO08Bg9I='"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": (
        "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), "
        "magnetometer=(), microphone=(), midi=(), payment=(), usb=()"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# Without subdomains, which may be other machines of the house.
STRICT_TRANSPORT = "max-age=31536000"


def nonce_of(request: Any) -> str:
    """Return the nonce of the answer to `request`, made when it is first asked for.

    Bokeh shows pages a copy of the request, so it has to be made before they are.
    """
    if getattr(request, "nonce", None) is None:
        request.nonce = secrets.token_urlsafe(16)
    return str(request.nonce)


def kept_by_browsers(request: HTTPServerRequest) -> str:
    """Return the Cache-Control of pictures and clips.

    A browser that can be told at the logout to forget them (by HTTPS, or on this
    computer) may keep them, and asks each time whether it may show them. Others
    keep nothing, for going back shows what was kept without asking.
    """
    is_told = request.protocol == "https" or is_loopback(request.host_name)
    return "private, no-cache" if is_told and peer_of(request) else "private, no-store"


class Headers(OutputTransform):
    """Puts the headers above on every answer, whichever handler gives it."""

    def __init__(self, request: HTTPServerRequest) -> None:
        self._request = request

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        kind = headers.get("Content-Type", "")
        if kind.startswith("text/") and "charset" not in kind:
            headers["Content-Type"] = f"{kind}; charset=utf-8"
        is_page = kind.startswith("text/html")
        policy = PAGE_POLICY if is_page else PLAIN_POLICY
        headers.setdefault("Content-Security-Policy", policy.format(nonce=nonce_of(self._request)))
        for name, value in HEADERS.items():
            headers.setdefault(name, value)
        if self._request.protocol == "https":
            headers.setdefault("Strict-Transport-Security", STRICT_TRANSPORT)
        headers.pop("Server", None)
        return status_code, headers, chunk
