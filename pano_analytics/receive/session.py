"""One camera's session: commands that need special replies, and the end of uploads.

`FtpSession` and `Channel` extend pyftpdlib's handlers of control and data connections.
`docs/design/receive.md` explains how the server decides whether an upload is complete.
"""

from __future__ import annotations

import logging
import re
import select
import sys
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from pyftpdlib.exceptions import FilesystemError
from pyftpdlib.handlers import FTPHandler, ThrottledDTPHandler

from pano_analytics.receive.control import Control
from pano_analytics.receive.descriptors import is_out_of_descriptors
from pano_analytics.receive.jail import Jail
from pano_analytics.receive.publish import Published
from pano_analytics.receive.staging import IncomingUpload, UploadOutcome, UploadRefused
from pano_analytics.receive.wholeness import Contents, is_in_progress, is_media

log = logging.getLogger("pano.receive")

GRACE_S = 0.25
"""How long the control connection must stay open after an upload without an end mark."""
_HUNG_UP = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR | select.POLLNVAL
_ENDED = {
    "broken": "the connection was lost before its end",
    "stalled": "no more data arrived, and its end is missing",
    "": "it was aborted before its end",
}
_REMOVING = ("DELE", "RMD", "XRMD")
# How many commands a client may send while it waits for a reply.
_MOST_HELD = 50
_SIZE = re.compile(r"\s*(\d{1,18})\b")


class Channel(ThrottledDTPHandler):  # type: ignore[misc]
    """A data connection that records how it ended, and then passes its upload to the session."""

    file_obj: Any
    _resp: Any
    _ended = ""
    _error = False
    # If the connection is lost during `__init__`, pyftpdlib closes it before it sets these.
    _throttler = None
    _datacount = _timenext = 0

    def __init__(self, sock: Any, cmd_channel: Any) -> None:
        super().__init__(sock, cmd_channel)
        if not self.connected:
            cmd_channel.never_connected()

    def enable_receiving(self, kind: str, cmd: str) -> None:
        # Cameras omit TYPE I, and conversion of line endings would destroy a picture.
        super().enable_receiving("i", cmd)

    def handle_close(self) -> None:
        """Record whether the other side closed or the connection broke; pyftpdlib does not."""
        if isinstance(self.file_obj, IncomingUpload):
            self._ended = self._ended or self._how_ended()
        super().handle_close()

    def _how_ended(self) -> str:
        error = sys.exception()
        # Cameras end TLS without close_notify, which is not an attack here.
        if error is None or type(error).__name__ == "ZeroReturnError":
            return "in order"
        self._error = True  # do not send close_notify on a lost connection
        return "in order" if "Unexpected EOF" in error.args else "broken"

    def handle_error(self) -> None:
        """Reply with the error of an upload, and end it."""
        error = sys.exception()
        refused = error.__cause__ if error else None
        if isinstance(refused, UploadRefused):
            self._resp = (f"{refused.reply} {refused.reason}; transfer aborted.", log.debug)
        else:
            self.log_exception(self)
            self._resp = ("426 Internal error; transfer aborted.", log.debug)
        self._ended, self._error = "broken", True
        self.close()

    def handle_timeout(self) -> None:
        was_bytes = self._lastdata
        if self.get_transmitted_bytes() <= was_bytes:
            self._ended = self._ended or "stalled"
        super().handle_timeout()

    def close(self) -> None:
        if not self._closed and isinstance(self.file_obj, IncomingUpload):
            upload, self.file_obj = self.file_obj, None
            reply, self._resp = self._resp[0] if self._resp else "", ()
            self.cmd_channel.transfer_ended(upload, self._ended, reply)
        super().close()


class FtpSession(Control):
    """pyftpdlib's control connection, adapted to cameras and to keeping evidence."""

    abstracted_fs = Jail
    dtp_handler = Channel
    banner = "Panopticon analytics upload server."
    # Unique names match no layout, and permissions and times of uploads must not be changed.
    proto_cmds: ClassVar[dict[str, Any]] = {
        name: properties
        for name, properties in FTPHandler.proto_cmds.items()
        if name not in ("STOU", "SITE CHMOD", "MFMT")
    }
    data_channel: Any
    _rnfr: Any
    _is_outlived = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._declared: int | None = None
        self._current_type = "i"
        self.is_waiting = False
        """Whether a reply waits for the disk; later commands are held meanwhile."""
        self._held: deque[bytes] = deque()
        self._is_to_close = False

    @property
    def is_busy(self) -> bool:
        """Whether a transfer is in progress, or a reply waits for the disk."""
        return self.is_waiting or super().is_busy

    def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
        if cmd in _REMOVING and self.account is not None and "\0" not in line:
            self._note_attempt("remove", self.fs.ftp2fs(arg))
        super().pre_process_command(line, cmd, arg)

    def flush_account(self) -> None:
        super().flush_account()
        self._current_type = "i"

    # --- data connections

    def _make_epasv(self, extmode: bool = False) -> None:
        self.note_unopened("it asked for another one instead")
        try:
            super()._make_epasv(extmode)
        except OSError as error:
            kind = "no_descriptors" if is_out_of_descriptors(error) else "data_refused"
            self.refuse(kind, f"425 No data connection: {error.strerror}.")
            return
        if self.account is not None:
            self.service.record.note_data_requested(self.account.camera)

    def _on_dtp_connection(self) -> None:
        if self.account is not None:
            self.service.record.note_data_opened(self.account.camera)
        super()._on_dtp_connection()

    # --- uploads

    def ftp_TYPE(self, line: str) -> None:
        super().ftp_TYPE(line)
        self._current_type = "i"  # never convert line endings

    def ftp_ALLO(self, line: str) -> None:
        """Store the size; reply 200, because Dahua cameras repeat ALLO forever after 202."""
        match = _SIZE.match(line)
        self._declared = int(match[1]) if match else None
        self.respond("200 Ready.")

    def ftp_STOR(self, file: str, mode: str = "w") -> str | None:
        declared, self._declared = self._declared, None
        if not self._has_room(file, declared or 0):
            self._restart_position = 0
            return None
        self.fs.declared = declared
        stored: str | None = super().ftp_STOR(file, mode)
        return stored

    def _has_room(self, path: str, wanted_bytes: int) -> bool:
        """Return whether the disk has space for one more file or folder, or refuse it."""
        try:
            self.service.limits.check(Path(path).parent, wanted_bytes)
        except UploadRefused as refused:
            self.respond(f"{refused.reply} {refused.reason}.")
            return False
        except OSError:
            pass  # the folder does not exist: creating something in it will fail
        return True

    # --- the end of an upload

    def close(self) -> None:
        """Close the control connection, but let a running upload finish.

        Some clients, such as FFmpeg, close both connections at once, while their last data
        is still in transit.
        """
        channel = None if self._closed else self.data_channel
        if channel is None or not isinstance(channel.file_obj, IncomingUpload):
            super().close()
            return
        self.data_channel = None
        super().close()
        self.server.ip_map.append(self.remote_ip)  # it still counts as a connection
        self._is_outlived = True

    def close_when_done(self) -> None:
        if self.is_waiting:
            self._is_to_close = True
        elif not self._closed:
            super().close_when_done()

    def _on_dtp_close(self) -> None:
        if not self._closed and not (self.is_waiting and self._quit_pending):
            super()._on_dtp_close()
        else:
            self.data_channel = None
            self._release_slot()

    def _release_slot(self) -> None:
        """Release the connection's slot when the upload of a disconnected camera has ended."""
        if self._is_outlived:
            self._is_outlived = False
            self.server.ip_map.remove(self.remote_ip)

    def transfer_ended(self, upload: IncomingUpload, how: str, reply: str) -> None:
        """Check the upload of a closed data connection, and send `reply` if it is complete."""
        if self.service.work.is_closed:
            upload.close()
            return
        self.is_waiting = True
        judge = partial(self._judge, upload, how, reply, time.monotonic())
        self.service.work.run(upload.contents, judge)

    def _judge(
        self, upload: IncomingUpload, how: str, reply: str, since: float, done: Future[Contents]
    ) -> None:
        try:
            contents = done.result()
        except OSError as error:
            contents = Contents("cut", error.strerror or str(error))
        settle = partial(self._settle, upload, how, reply, contents)
        if how == "in order" and contents.says == "nothing":
            left_s = since + GRACE_S - time.monotonic()
            self.ioloop.call_later(max(0, left_s), settle)
        else:
            settle()

    def _settle(self, upload: IncomingUpload, how: str, reply: str, contents: Contents) -> None:
        cut = self._cut_reason(upload, how, contents)
        if self.service.work.is_closed:
            upload.close()
            return
        self.service.work.run(partial(upload.settle, cut), partial(self._settled, upload, reply))

    def _cut_reason(self, upload: IncomingUpload, how: str, contents: Contents) -> str:
        """Return why the upload is cut, in words, or "" if it is complete."""
        if short := upload.trouble or upload.missing():
            return short
        if contents.says in ("whole", "cut"):
            return contents.reason
        if how != "in order":
            return _ENDED[how]
        if contents.says in ("unbroken", "unasked"):
            return ""
        return "" if self.is_connected() else "the camera disconnected before its end"

    def is_idle(self) -> bool:
        """Return whether nothing is in progress."""
        return not (self.is_waiting or self._closing or self.data_channel is not None)

    def is_connected(self) -> bool:
        """Return whether the control connection is still open, or was ended with QUIT."""
        if self._closed:
            return False
        poll = select.poll()
        poll.register(self._fileno, _HUNG_UP)
        is_quitting = self._quit_pending or any(b"QUIT" in line.upper() for line in self._held)
        return is_quitting or not poll.poll(0)

    def _settled(self, upload: IncomingUpload, reply: str, done: Future[UploadOutcome]) -> None:
        """Record and reply that an upload has its name, or was cut."""
        settled = done.result()
        if settled.reply == "550":
            self._note_attempt("append", upload.name)
        if self.account is not None:
            self.service.settled(self.account.camera, upload, settled, self.remote_ip)
        # `reply` is empty after ABOR and for sessions that are closed.
        if reply.startswith("226") and settled.cut:
            aside = "Incomplete, kept aside: " if settled.reply == "426" else ""
            reply = f"{settled.reply} {aside}{settled.cut}."
        self._answer(reply)

    def never_connected(self) -> None:
        """Reply for a data connection that was lost before it could be used."""
        queued: Any = getattr(self, "_in_dtp_queue")  # noqa: B009 - of an untyped parent
        if queued is not None:
            self._in_dtp_queue = None
            upload, _ = queued
            self.transfer_ended(upload, "broken", f"426 {_ENDED['broken']}.")

    def _note_attempt(self, what: str, path: str) -> None:
        """Record an attempt to change a finished upload.

        Cameras remove and rename their own test files, so only media counts there.
        """
        if self.account is None or self.fs is None or not self.fs.isfile(path):
            return
        if what == "append" or is_media(Path(path).name):
            self.service.note_attempt(self.account.camera, what, path, self.remote_ip)
            self._kind = "whole_kept"

    # --- replies that wait for the disk

    def _run_in_thread(self, task: Callable[[], Any], answer: Callable[[Any], str]) -> None:
        """Run `task` in a thread, and reply to a command with `answer(result)`."""

        def then(done: Future[Any]) -> None:
            try:
                reply = answer(done.result())
            except FilesystemError as error:
                reply = f"550 {error}."
            except OSError as error:
                reply = f"550 {error.strerror or error}."
            self._answer(reply)

        self.is_waiting = True
        self.service.work.run(task, then)

    def _answer(self, reply: str) -> None:
        """Send a reply, and continue with the commands that arrived meanwhile."""
        self.is_waiting = False
        if self._closed:
            return
        if reply:
            self.respond(reply)
        if self._quit_pending and self.data_channel is None:
            self.close()
        elif self._is_to_close:
            self.close_when_done()
        while self._held and not (self.is_waiting or self._closed or self._closing):
            self._in_buffer = [self._held.popleft()]
            self.found_terminator()

    def found_terminator(self) -> None:
        if not self.is_waiting:
            super().found_terminator()
            return
        self._held.append(b"".join(self._in_buffer))
        self._in_buffer = []
        if len(self._held) > _MOST_HELD:
            self.close()

    def ftp_MKD(self, path: str) -> None:
        if not self.fs.isdir(path) and not self._has_room(path, 0):
            return
        name = self.fs.fs2ftp(path).replace('"', '""')
        self._run_in_thread(
            partial(self.fs.mkdir, path), lambda _: f'257 "{name}" directory created.'
        )

    def ftp_RNTO(self, path: str) -> None:
        source, self._rnfr = self._rnfr, None
        if not source:
            self.respond("503 Bad sequence of commands: use RNFR first.")
            return
        if not is_in_progress(Path(source).name):
            self._note_attempt("rename", source)

        def renamed(published: Published) -> str:
            if self.account is not None:
                self.service.renamed(self.account.camera, path, published, self.remote_ip)
            return "250 Renaming ok."

        self._run_in_thread(partial(self.fs.rename, source, path), renamed)
