"""What to enter in a camera, and where in its menus."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Login:
    """What a camera needs to upload."""

    address: str
    port: int
    user: str
    password: str
    tls: str


VENDORS: tuple[tuple[str, str], ...] = (
    ("Amcrest, Dahua", "Setup > Storage > Destination: FTP, not SFTP; Remote Directory: leave /"),
    ("Reolink", "Settings > Surveillance > FTP: Anonymous off, Transport Mode PASV"),
    ("Hikvision", "Configuration > Network > Advanced > FTP: tick Upload Picture, Anonymous off"),
    ("Foscam", "Settings > Network > FTP: address with ftp:// before it, mode PASV"),
    ("others", "passive mode (PASV); no anonymous login; one test, then motion as trigger"),
)
"""Maker -> the path in its menus (which differ by firmware), and what to consider there."""


def to_type_in(login: Login) -> list[str]:
    """Return the lines that say exactly what to enter in the camera."""
    lines = [
        f"  server address   {login.address}",
        f"  port             {login.port}",
        f"  user             {login.user}",
        f"  password         {login.password}",
        "  folder           / (or leave it empty: the camera has its own folder)",
        f"  encryption       {_encryption(login.tls)}",
    ]
    width = max(len(vendor) for vendor, _ in VENDORS)
    return [*lines, "", *(f"  {vendor:{width}}   {hint}" for vendor, hint in VENDORS)]


def _encryption(tls: str) -> str:
    return {
        "optional": 'FTPS ("explicit", "FTP over TLS") if the camera supports it, else none',
        "required": 'FTPS ("explicit", "FTP over TLS")',
        "off": "none",
    }[tls]
