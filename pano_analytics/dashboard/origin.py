"""Where a request comes from: this computer, one of our pages, or a proxy.

While there are no users, the dashboard answers only the person at this computer. Any sign
that a proxy or another program passed a request on is enough to refuse it.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import urlsplit

from tornado.httputil import HTTPServerRequest, split_host_and_port

from pano_analytics.dashboard.neighbour import forwards

# The headers that browsers and plain HTTP clients send. Proxies add too many different ones
# to list (X-Forwarded-For, Via, CF-Ray, Tailscale-User-Login ...), so any header that is not
# named here counts as one of theirs.
CLIENT_HEADERS = re.compile(
    r"accept(-charset|-encoding|-language)?|alt-used|cache-control|connection|content-length|"
    r"content-type|cookie|device-memory|dnt|downlink|dpr|ect|expect|host|"
    r"if-(match|modified-since|none-match|range|unmodified-since)|keep-alive|last-event-id|origin|"
    r"pragma|priority|(x-)?purpose|range|referer|rtt|save-data|sec-[\w-]+|te|upgrade|"
    r"upgrade-insecure-requests|user-agent|viewport-width|x-requested-with",
    re.IGNORECASE | re.ASCII,
)


def is_loopback(host: str) -> bool:
    """Return whether `host` (a name or an address, without port) is this computer itself."""
    if host.lower() == "localhost":
        return True
    try:
        parsed = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback


def peer_of(request: HTTPServerRequest) -> str:
    """Return the address at the other end of the connection; headers do not affect it."""
    context = getattr(request.connection, "context", None)
    address: Any = getattr(context, "address", None)
    # A Unix socket has no address; at its other end is a proxy.
    return str(address[0]) if isinstance(address, tuple) and address else ""


def is_same_origin(request: HTTPServerRequest) -> bool:
    """Return whether `request` comes from one of our pages, or from no page at all.

    Browsers send Origin with every POST, websocket and cross-origin fetch, and
    Sec-Fetch-Site with everything that a page embeds.
    """
    origin = request.headers.get("Origin")
    if origin is not None:
        return _is_our_origin(origin, request)
    site = request.headers.get("Sec-Fetch-Site", "none")
    is_link = request.method == "GET" and request.headers.get("Sec-Fetch-Mode") == "navigate"
    return is_link or site in ("none", "same-origin")


def _is_our_origin(origin: str, request: HTTPServerRequest) -> bool:
    try:
        scheme, netloc = urlsplit(origin)[:2]
    except ValueError:
        return False
    # A page that came over HTTP may have been tampered with. The reverse case is a proxy that
    # serves HTTPS without saying so.
    is_downgraded = request.protocol == "https" and scheme != "https"
    return netloc.lower() == request.host.lower() and not is_downgraded


def sign_of_another(request: HTTPServerRequest) -> str | None:
    """Return what shows that `request` was not made on this computer for this computer.

    Returns None if nothing does. The host name counts too: another site may let its own
    name resolve to 127.0.0.1 (DNS rebinding).
    """
    peer = peer_of(request)
    if not is_loopback(peer):
        return f"it comes from {peer or 'a socket without an address'}"
    if not is_loopback(request.remote_ip or ""):
        return "a header contains another address"
    return _wrong_host(request) or _trace_of_proxy(request) or _forwarder(request)


def _forwarder(request: HTTPServerRequest) -> str | None:
    """Return why the program at the other end is not a browser; cached per connection."""
    context: Any = getattr(request.connection, "context", None)
    local = getattr(context, "local", None)
    if local is None:
        return None
    if not hasattr(context, "forwarder"):
        context.forwarder = forwards(context.address, local)
    reason: str | None = context.forwarder
    return reason


def _wrong_host(request: HTTPServerRequest) -> str | None:
    hosts = request.headers.get_list("Host")
    if len(hosts) != 1:
        return "it does not have exactly one Host header"
    if not is_loopback(split_host_and_port(hosts[0].lower())[0]):
        return "its Host header is not a loopback address of this computer"
    return None


def _trace_of_proxy(request: HTTPServerRequest) -> str | None:
    # nginx uses HTTP/1.0 to its upstream, unless configured otherwise.
    if request.version != "HTTP/1.1":
        return f"it uses {request.version}"
    for name in request.headers:
        if not CLIENT_HEADERS.fullmatch(name):
            return f"it has the header {name[:64]}, which browsers do not send"
    return _odd_connection(request)


def _odd_connection(request: HTTPServerRequest) -> str | None:
    options = [
        option.strip().lower() for option in request.headers.get("Connection", "").split(",")
    ]
    if "upgrade" in options and "Upgrade" not in request.headers:
        return "it asks to upgrade the connection without naming a protocol"
    # nginx puts these two in front of the headers that it passes on.
    names = [name.lower() for name in request.headers]
    if "close" in options and names[:2] == ["host", "connection"] and len(names) > 2:
        return "it closes the connection as proxies do"
    return None
