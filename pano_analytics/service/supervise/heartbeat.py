"""The heartbeat that goes out where the owner wishes it: an address asked, a command run."""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request
from importlib.metadata import version

from pano_analytics.settings import Up

PATIENCE_S = 30.0


def beat(said: Up) -> str | None:
    """Ask the address and run the command of `said`; return what went wrong, or None.

    Neither is named in full in what is returned: whoever knows the address can
    say that all is well.
    """
    troubles = [
        trouble
        for trouble in (
            _ask(said.heartbeat_url) if said.heartbeat_url else None,
            _run(said.heartbeat_command) if said.heartbeat_command else None,
        )
        if trouble
    ]
    return "; ".join(troubles) or None


def _ask(url: str) -> str | None:
    asked = urllib.request.Request(
        url, headers={"User-Agent": f"pano-analytics/{version('pano-analytics')}"}
    )
    try:
        with urllib.request.urlopen(asked, timeout=PATIENCE_S):
            return None
    except urllib.error.HTTPError as error:
        return f"{asked.host} answered {error.code}"
    except (OSError, ValueError) as error:
        return f"{asked.host} could not be asked ({type(error).__name__})"


def _run(command: tuple[str, ...]) -> str | None:
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{command[0]} did not end within {PATIENCE_S:.0f} s"
    except (OSError, ValueError) as error:
        return f"{command[0]} could not be run ({getattr(error, 'strerror', None) or error})"
    return f"{command[0]} ended with exit {ended.returncode}" if ended.returncode else None
