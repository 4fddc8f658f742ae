"""HTTPS: the certificate that browsers are shown, renewed while the dashboard is served."""

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
    """The certificate that `said` names, or our own in the library at `folder`.

    `context` is for the server and stays the same; `refresh` loads what changed
    on the disk into it. Raises CertificateError where it cannot be used.
    """

    def __init__(self, said: Dashboard, folder: Path) -> None:
        self._said, self._folder = said, folder
        self.context: ssl.SSLContext = certificates.server_context(*self._files())

    def _files(self) -> tuple[Path, Path]:
        said = self._said
        if said.certificate is not None and said.key is not None:
            return said.certificate, said.key
        return certificates.ensure_certificate(self._folder / certificates.FOLDER, [said.address])

    def refresh(self) -> None:
        """Renew our own where it ends soon, and load what lies there now for new connections."""
        try:
            certificates.load(self.context, *self._files())
        except (PanoError, OSError) as error:
            # The one in use goes on being shown.
            log.error("the certificate could not be renewed: %s", error)
