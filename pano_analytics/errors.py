"""What can go wrong, each error saying what was expected, what came and what to do."""

from __future__ import annotations


class PanoError(Exception):
    """The parent of every error this package raises on purpose.

    The message is one that an owner of cameras can act on; the command line
    prints it without a traceback and exits with `exit_code`.
    """

    exit_code = 1


class SettingsError(PanoError):
    """`pano.toml` (or what stands in for it) cannot be used."""

    exit_code = 2


class UploadTreeError(PanoError):
    """The upload root is missing, unreadable or not a folder."""

    exit_code = 3


class LibraryError(PanoError):
    """The library is missing, of a newer format, or contradicts itself."""

    exit_code = 4


class LibraryBusy(LibraryError):
    """Another process holds the library's lock."""

    exit_code = 0


class MediaError(PanoError):
    """A file cannot be read, shown or converted."""

    exit_code = 5


class QueryError(PanoError):
    """A question to the library was not understood."""

    exit_code = 6


class AttentionNeeded(PanoError):
    """`pano check` found disagreements, or `pano status` a problem."""

    exit_code = 8
