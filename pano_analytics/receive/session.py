"""One camera's session: the commands that cameras need a special answer to, and its uploads' end.

`Session` and `Channel` are laid over pyftpdlib's handlers of control and data
connections. How an upload is judged is in `docs/design/receive.md`.
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
from pano_analytics.receive.staging import Refused, Settled, Upload
from pano_analytics.receive.wholeness import Contents, is_in_progress, is_media

log = logging.getLogger("pano.receive")

GRACE_S = 0.25
"""How long the control connection must outlive an upload whose contents say nothing."""
_HUNG_UP = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR | select.POLLNVAL
_ENDED = {
    "broken": "the connection was lost before its end",
    "stalled": "no more data arrived, and its end is missing",
    "": "it was aborted before its end",
}
_REMOVING = ("DELE", "RMD", "XRMD")
# A client that sends more commands than this while it waits for an answer is none.
_MOST_HELD = 50
_SIZE = re.compile(r"\s*(\d{1,18})\b")


class Channel(ThrottledDTPHandler):  # type: ignore[misc]
    """A data connection that knows how it ended, and hands its upload to the session then."""

    file_obj: Any
    _resp: Any
    _ended = ""
    _error = False
    # A connection that is gone before it was taken up is closed half made, and pyftpdlib
    # sets these only afterwards.
    _throttler = None
    _datacount = _timenext = 0

    def __init__(self, sock: Any, cmd_channel: Any) -> None:
        super().__init__(sock, cmd_channel)
        if not self.connected:
            cmd_channel.never_connected()

    def enable_receiving(self, kind: str, cmd: str) -> None:
        # Cameras forget TYPE I, and a picture does not survive another line ending.
        super().enable_receiving("i", cmd)

    def handle_close(self) -> None:
        """The other side closed, or the connection broke: pyftpdlib calls both the end."""
        if isinstance(self.file_obj, Upload):
            self._ended = self._ended or self._how()
        super().handle_close()

    def _how(self) -> str:
        error = sys.exception()
        # TLS that ends without its goodbye is no attack here: cameras just hang up.
        if error is None or type(error).__name__ == "ZeroReturnError":
            return "in order"
        self._error = True  # no goodbye of TLS on a connection that is gone
        return "in order" if "Unexpected EOF" in error.args else "broken"

    def handle_error(self) -> None:
        """Tell the camera what its upload ran into, and end it."""
        error = sys.exception()
        refused = error.__cause__ if error else None
        if isinstance(refused, Refused):
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
        if not self._closed and isinstance(self.file_obj, Upload):
            upload, self.file_obj = self.file_obj, None
            reply, self._resp = self._resp[0] if self._resp else "", ()
            self.cmd_channel.ended(upload, self._ended, reply)
        super().close()


class Session(Control):
    """A control connection: what pyftpdlib does, but for what cameras and evidence need."""

    abstracted_fs = Jail
    dtp_handler = Channel
    banner = "Panopticon analytics takes uploads."
    # A unique name has no layout, and nothing is to have its rights or times set.
    proto_cmds: ClassVar[dict[str, Any]] = {
        name: told
        for name, told in FTPHandler.proto_cmds.items()
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
        """Whether the answer to a command waits for the disk; commands after it are held."""
        self._held: deque[bytes] = deque()
        self._is_to_close = False

    @property
    def is_busy(self) -> bool:
        """Whether a transfer is under way, or an answer waits for the disk."""
        return self.is_waiting or super().is_busy

    def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
        if cmd in _REMOVING and self.account is not None and "\0" not in line:
            self._tried("remove", self.fs.ftp2fs(arg))
        super().pre_process_command(line, cmd, arg)

    def flush_account(self) -> None:
        super().flush_account()
        self._current_type = "i"

    # --- connections for data

    def _make_epasv(self, extmode: bool = False) -> None:
        self.note_unopened("it asked for another one instead")
        try:
            super()._make_epasv(extmode)
        except OSError as error:
            kind = "no_descriptors" if is_out_of_descriptors(error) else "data_refused"
            self.refuse(kind, f"425 No connection for data: {error.strerror}.")
            return
        if self.account is not None:
            self.service.record.awaits_data(self.account.camera)

    def _on_dtp_connection(self) -> None:
        if self.account is not None:
            self.service.record.got_data(self.account.camera)
        super()._on_dtp_connection()

    # --- uploads

    def ftp_TYPE(self, line: str) -> None:
        super().ftp_TYPE(line)
        self._current_type = "i"  # all is taken as it comes

    def ftp_ALLO(self, line: str) -> None:
        """Remember the size; 200, for a Dahua camera repeats it for ever on 202."""
        found = _SIZE.match(line)
        self._declared = int(found[1]) if found else None
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
        """Tell whether the disk takes one more file or folder; else refuse it."""
        try:
            self.service.limits.check(Path(path).parent, wanted_bytes)
        except Refused as refused:
            self.respond(f"{refused.reply} {refused.reason}.")
            return False
        except OSError:
            pass  # there is no such folder, which whoever makes something in it will see
        return True

    # --- the end of an upload

    def close(self) -> None:
        """Close the control connection; an upload under way comes to its own end.

        Some clients, FFmpeg among them, close both connections at once, and what they
        sent last is still on its way.
        """
        channel = None if self._closed else self.data_channel
        if channel is None or not isinstance(channel.file_obj, Upload):
            super().close()
            return
        self.data_channel = None
        super().close()
        self.server.ip_map.append(self.remote_ip)  # it still takes the place of a connection
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
            self._outlived()

    def _outlived(self) -> None:
        """The upload of a camera that is gone has ended."""
        if self._is_outlived:
            self._is_outlived = False
            self.server.ip_map.remove(self.remote_ip)

    def ended(self, upload: Upload, how: str, reply: str) -> None:
        """A data connection is over: judge its upload, then answer with `reply` if it is whole."""
        if self.service.work.is_closed:
            upload.close()
            return
        self.is_waiting = True
        judge = partial(self._judge, upload, how, reply, time.monotonic())
        self.service.work.run(upload.contents, judge)

    def _judge(
        self, upload: Upload, how: str, reply: str, since: float, asked: Future[Contents]
    ) -> None:
        try:
            contents = asked.result()
        except OSError as error:
            contents = Contents("cut", error.strerror or str(error))
        settle = partial(self._settle, upload, how, reply, contents)
        if how == "in order" and contents.says == "nothing":
            left_s = since + GRACE_S - time.monotonic()
            self.ioloop.call_later(max(0, left_s), settle)
        else:
            settle()

    def _settle(self, upload: Upload, how: str, reply: str, contents: Contents) -> None:
        cut = self._what_is_wrong(upload, how, contents)
        if self.service.work.is_closed:
            upload.close()
            return
        self.service.work.run(partial(upload.settle, cut), partial(self._settled, upload, reply))

    def _what_is_wrong(self, upload: Upload, how: str, contents: Contents) -> str:
        """Return why the upload is cut, in words; empty where it is whole."""
        if short := upload.trouble or upload.missing():
            return short
        if contents.says in ("whole", "cut"):
            return contents.reason
        if how != "in order":
            return _ENDED[how]
        if contents.says in ("unbroken", "unasked"):
            return ""
        return "" if self.is_there() else "the camera disconnected before its end"

    def is_idle(self) -> bool:
        """Tell whether nothing is under way."""
        return not (self.is_waiting or self._closing or self.data_channel is not None)

    def is_there(self) -> bool:
        """Tell whether the camera still holds its control connection, or said goodbye on it."""
        if self._closed:
            return False
        asking = select.poll()
        asking.register(self._fileno, _HUNG_UP)
        is_quitting = self._quit_pending or any(b"QUIT" in line.upper() for line in self._held)
        return is_quitting or not asking.poll(0)

    def _settled(self, upload: Upload, reply: str, done: Future[Settled]) -> None:
        """An upload has its name, or was cut."""
        settled = done.result()
        if settled.reply == "550":
            self._tried("append", upload.name)
        if self.account is not None:
            self.service.settled(self.account.camera, upload, settled, self.remote_ip)
        # Where nothing is to be said (ABOR, a session that is gone), nothing is.
        if reply.startswith("226") and settled.cut:
            aside = "Not whole, kept aside: " if settled.reply == "426" else ""
            reply = f"{settled.reply} {aside}{settled.cut}."
        self._answer(reply)

    def never_connected(self) -> None:
        """Answer for a data connection that was gone before it could be taken up."""
        queued: Any = getattr(self, "_in_dtp_queue")  # noqa: B009 - of an untyped parent
        if queued is not None:
            self._in_dtp_queue = None
            upload, _ = queued
            self.ended(upload, "broken", f"426 {_ENDED['broken']}.")

    def _tried(self, what: str, path: str) -> None:
        """Record an attempt on a finished upload.

        Cameras remove and rename test files of their own; nothing but media counts there.
        """
        if self.account is None or self.fs is None or not self.fs.isfile(path):
            return
        if what == "append" or is_media(Path(path).name):
            self.service.tried(self.account.camera, what, path, self.remote_ip)
            self._kind = "whole_kept"

    # --- answers that wait for the disk

    def _aside(self, task: Callable[[], Any], answer: Callable[[Any], str]) -> None:
        """Do `task` in a thread, and answer a command with what `answer` makes of its result."""

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
        """Answer, and go on with the commands that came meanwhile."""
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
        self._aside(partial(self.fs.mkdir, path), lambda _: f'257 "{name}" directory created.')

    def ftp_RNTO(self, path: str) -> None:
        source, self._rnfr = self._rnfr, None
        if not source:
            self.respond("503 Bad sequence of commands: use RNFR first.")
            return
        if not is_in_progress(Path(source).name):
            self._tried("rename", source)

        def renamed(published: Published) -> str:
            if self.account is not None:
                self.service.renamed(self.account.camera, path, published, self.remote_ip)
            return "250 Renaming ok."

        self._aside(partial(self.fs.rename, source, path), renamed)
