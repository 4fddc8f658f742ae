"""HTTPS: the server's certificate, renewed while the dashboard runs."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from pano_analytics.access import certificates
from pano_analytics.errors import PanoError
from pano_analytics.settings import Dashboard

log = logging.getLogger(__name__)

LOOK_EVERY_MS = 24 * 3600 * 1000


class Certificate:
    """The certificate that `settings` name, or our own in the library at `folder`.

    The server uses `context` all the time; `refresh` loads changed files into it. Raises
    CertificateError if the certificate cannot be used.
    """

    def __init__(self, settings: Dashboard, folder: Path) -> None:
        self._settings, self._folder = settings, folder
        self.context: ssl.SSLContext = certificates.server_context(*self._files())

    def _files(self) -> tuple[Path, Path]:
        settings = self._settings
        if settings.certificate is not None and settings.key is not None:
            return settings.certificate, settings.key
        return certificates.ensure_certificate(
            self._folder / certificates.FOLDER, [settings.address]
        )

    def refresh(self) -> None:
        """Renew our own certificate if it expires soon, and use the current files from now on."""
        try:
            certificates.load(self.context, *self._files())
        except (PanoError, OSError) as error:
            # The server keeps using the current one.
            log.error("the certificate could not be renewed: %s", error)
