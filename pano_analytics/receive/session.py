"""One camera's session: the commands that cameras need a special answer to, and its uploads' end.

`Session` and `Channel` are laid over pyftpdlib's handlers of control and data
connections. How an upload is judged is in `docs/design/receive.md`.
"""

from __future__ import annotations

import logging
import re
import select
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pyftpdlib.handlers import FTPHandler, ThrottledDTPHandler

from pano_analytics.receive.staging import Jail, Refused, Upload
from pano_analytics.receive.wholeness import Contents

if TYPE_CHECKING:
    from pano_analytics.receive.service import Service

log = logging.getLogger("pano.receive")

GRACE_S = 0.25
"""How long the control connection must outlive an upload whose contents say nothing."""
_HUNG_UP = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR | select.POLLNVAL
_ENDED = {
    "broken": "the connection broke before its end",
    "stalled": "nothing more came, and it has no end",
    "": "it was given up before its end",
}
_SIZE = re.compile(r"\s*(\d{1,18})\b")


class Channel(ThrottledDTPHandler):  # type: ignore[misc]
    """A data connection that knows how it ended, and tells it to the upload."""

    _ended = ""
    _error = False
    _contents: Contents | None = None
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
        if not isinstance(self.file_obj, Upload):
            super().handle_close()
        elif self._ended:
            self.del_channel()  # woken while waiting for the control connection
        else:
            self._ended = self._how()
            if self._ended == "in order" and self._says(self.file_obj).says == "nothing":
                self.del_channel()
                self.call_later(GRACE_S, super().handle_close)
            else:
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
        if not self._closed and self.receive and isinstance(self.file_obj, Upload):
            self._settle(self.file_obj)
        super().close()

    def _settle(self, upload: Upload) -> None:
        if upload.closed:
            return
        if not self._ended:
            self._drain(upload)
        cut = upload.settle(self._what_is_wrong(upload))
        self.cmd_channel.settled(upload, cut)
        self.transfer_finished = not cut
        # Where nothing is to be said (ABOR, a session that is gone), nothing is.
        if self._resp and self._resp[0].startswith("226") and cut:
            self._resp = (f"426 Not whole, kept aside: {cut}.", log.debug)

    def _drain(self, upload: Upload) -> None:
        """Take in what had come when the control connection ended first."""
        with suppress(Exception):
            while chunk := self.socket.recv(self.ac_in_buffer_size):
                upload.write(chunk)

    def _says(self, upload: Upload) -> Contents:
        if self._contents is None:
            try:
                self._contents = upload.contents()
            except OSError as error:
                self._contents = Contents("cut", error.strerror or str(error))
        return self._contents

    def _what_is_wrong(self, upload: Upload) -> str:
        """Return why the upload is cut, in words; empty where it is whole."""
        if short := upload.trouble or upload.missing():
            return short
        contents = self._says(upload)
        if contents.says != "nothing":
            return contents.reason
        if self._ended != "in order":
            return _ENDED[self._ended]
        return "" if self.cmd_channel.is_there() else "the camera went away before its end"


class Session(FTPHandler):  # type: ignore[misc]
    """A control connection: what pyftpdlib does, but for what cameras and evidence need."""

    service: Service
    abstracted_fs = Jail
    dtp_handler = Channel
    banner = "Panopticon analytics takes uploads."
    unicode_errors = "surrogateescape"
    # A unique name has no layout, and nothing is to have its rights or times set.
    proto_cmds: ClassVar[dict[str, Any]] = {
        name: told
        for name, told in FTPHandler.proto_cmds.items()
        if name not in ("STOU", "SITE CHMOD", "MFMT")
    }
    refusal = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._declared: int | None = None
        self._current_type = "i"

    def on_connect(self) -> None:
        if self.service.bans.is_banned(self.remote_ip):
            self.respond("421 Too many wrong logins from your address; come back later.")
            self.close_when_done()

    def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
        if "\0" in line:
            self.respond("501 No name holds that.")
        else:
            super().pre_process_command(line, cmd, arg)

    def push(self, data: str) -> None:
        # A name of a camera that does not speak UTF-8 goes back as it came.
        super(FTPHandler, self).push(data.encode(self.encoding, self.unicode_errors))

    def flush_account(self) -> None:
        super().flush_account()
        self._current_type = "i"

    # --- logins

    def handle_auth_success(self, home: str, password: str, msg_login: str) -> None:
        super().handle_auth_success(home, "", msg_login)  # nobody needs it any more

    def on_login(self, username: str) -> None:
        self.account = self.service.gate.account(username)
        self.service.bans.right(self.remote_ip)
        if self.account is not None:
            self.service.record.logged_in(self.account.camera, self.remote_ip)

    def on_login_failed(self, username: str, password: str) -> None:
        self.service.refused_login(username, self.remote_ip, self.refusal)

    # --- connections for data

    def _make_epasv(self, extmode: bool = False) -> None:
        super()._make_epasv(extmode)
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
        if self.service.gate.account(self.username) != self.account:
            self.respond("421 This account was changed; log in again.")
            self.close_when_done()
            return None
        try:
            self.service.limits.check(Path(file).parent, declared or 0)
        except Refused as refused:
            log.warning("%s: refused: %s", self.username, refused.reason)
            self._restart_position = 0
            self.respond(f"{refused.reply} {refused.reason}.")
            return None
        except OSError:
            pass  # no such folder: said below
        self.fs.declared = declared
        stored: str | None = super().ftp_STOR(file, mode)
        return stored

    def is_there(self) -> bool:
        """Tell whether the camera still holds its control connection, or said goodbye on it."""
        if self._closed:
            return False
        asking = select.poll()
        asking.register(self._fileno, _HUNG_UP)
        return bool(self._quit_pending) or not asking.poll(0)

    def never_connected(self) -> None:
        """Answer for a data connection that was gone before it could be taken up."""
        queued: Any = getattr(self, "_in_dtp_queue")  # noqa: B009 - of an untyped parent
        if queued is not None:
            self._in_dtp_queue = None
            upload, _ = queued
            self.settled(upload, upload.settle(_ENDED["broken"]))
            self.respond(f"426 {_ENDED['broken']}.")

    def settled(self, upload: Upload, cut: str) -> None:
        """An upload has its name, or was cut for the reason `cut`."""
        if self.account is not None:
            self.service.settled(self.account.camera, upload, cut)

    def renamed(self, path: str) -> None:
        """An upload in progress was given its final name."""
        if self.account is not None:
            self.service.renamed(self.account.camera, path)
