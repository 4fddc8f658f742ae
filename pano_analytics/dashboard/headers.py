"""Security headers of every response: what a page may do, and what browsers may cache.

`Headers` adds them to every response, including errors, redirects and static files. Only
pages may run scripts, and only scripts that carry the nonce of the same response or come
from this server's files.
"""

from __future__ import annotations

import secrets
from typing import Any

from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import OutputTransform

from pano_analytics.dashboard.origin import is_loopback, peer_of

# Panel creates modules itself and imports them from blobs. A script of the page imports
# them (see page.html), so its nonce covers them. No other host is allowed.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; "
    "style-src 'self' 'nonce-{nonce}'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "font-src 'self' data:; connect-src 'self'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# Forms: a page that takes passwords runs no script.
FORM_POLICY = (
    "default-src 'none'; style-src 'nonce-{nonce}'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
# Pictures, clips and plain text run nothing. Chromium shows a picture in a page of its own,
# which uses these three styles.
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
# Without includeSubDomains: subdomains may be other machines.
STRICT_TRANSPORT = "max-age=31536000"


def nonce_of(request: Any) -> str:
    """Return the nonce of the response to `request`, created on the first call.

    Bokeh gives pages a copy of the request, so call this before the page is built.
    """
    if getattr(request, "nonce", None) is None:
        request.nonce = secrets.token_urlsafe(16)
    return str(request.nonce)


def kept_by_browsers(request: HTTPServerRequest) -> str:
    """Return the Cache-Control header of pictures and clips.

    Over HTTPS, or on this computer, the logout can clear the browser's cache; there the
    browser may cache them and revalidates each time. Other browsers store nothing, because
    going back in the history shows cached pictures without asking the server.
    """
    can_be_cleared = request.protocol == "https" or is_loopback(request.host_name)
    return "private, no-cache" if can_be_cleared and peer_of(request) else "private, no-store"


class Headers(OutputTransform):
    """Adds the headers above to every response, from any handler."""

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
