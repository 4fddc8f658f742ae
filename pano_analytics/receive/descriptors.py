"""How many files and connections the upload server may have open."""

from __future__ import annotations

import errno
import logging
import resource

log = logging.getLogger("pano.receive")

PER_SESSION = 4
"""The control connection, a data connection or its port, a part, and the file it continues."""
_SPARE = 64

_OUT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def is_out_of_descriptors(error: OSError) -> bool:
    """Return whether the system has run out of connections or files."""
    return error.errno in _OUT


def make_room(sessions: int) -> int:
    """Raise this process's limit of open files for `sessions`, and return the new limit."""
    wanted = _SPARE + PER_SESSION * sessions
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ceiling = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < ceiling:
        resource.setrlimit(resource.RLIMIT_NOFILE, (ceiling, hard))
        soft = ceiling
    if soft != resource.RLIM_INFINITY and soft < wanted:
        log.warning(
            "expected to open %d files for %d connections; the limit of this process is %d. Raise "
            "it (LimitNOFILE of the service, `ulimit -n`), or lower max_connections.",
            wanted,
            sessions,
            soft,
        )
    return soft


def most_connections(limit: int) -> int:
    """Return how many connections leave enough descriptors for the files that they send."""
    return max((limit - _SPARE) // 2, 4) if limit != resource.RLIM_INFINITY else 1 << 30
