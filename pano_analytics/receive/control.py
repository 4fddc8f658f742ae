"""A control connection: its commands, its login, and a record of every refusal.

`Control` extends pyftpdlib's handler. Each reply that begins with 4 or 5 is counted
(`refusals`), for any command and any client.
"""

from __future__ import annotations

import logging
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyftpdlib.handlers import FTPHandler

from pano_analytics.model.upload import encode_path
from pano_analytics.receive.door import LOGIN_S
from pano_analytics.receive.gate import LONGEST_USER
from pano_analytics.receive.quotas import Over, What
from pano_analytics.wording import printable

if TYPE_CHECKING:
    from pano_analytics.receive.accounts import Account
    from pano_analytics.receive.service import Service

log = logging.getLogger("pano.receive")

LONGEST_COMMAND = 1024
LONGEST_PATH = 1024
"""In bytes, below the upload root."""
IDLE_S = 300.0
"""How long a camera may be logged in without a command or a transfer."""
# How many replies may wait for a client that does not read them.
_MOST_UNREAD = 200
_CLOSE_S = 5.0
_TLS_HELLO = b"\x16\x03"
_VERB = re.compile(r"[A-Z]{3,5}( [A-Z]{3,5})?")

COMMAND_SENT, USER_SENT, PASSWORD_WAITS = 1, 2, 3
"""How far a client has come towards a login."""
# Commands that only ask: a negative reply is an answer, not a refusal.
_QUESTIONS = {"SIZE", "MDTM", "MLST", "MLSD", "LIST", "NLST", "STAT", "FEAT", "OPTS", "HELP"}
_FOR_DATA = {"PORT", "EPRT", "PASV", "EPSV"}
_CREATING: dict[str, What] = {"STOR": "files", "APPE": "files", "MKD": "folders", "XMKD": "folders"}
_ALLOWING = ("125", "150", "257")
_BY_CODE = {
    "450": "storage_error",
    "451": "storage_error",
    "452": "disk_full",
    "552": "file_too_large",
    "553": "name_refused",
    "425": "data_refused",
    "522": "tls_data_failed",
    "500": "unsupported_command",
    "501": "unsupported_command",
    "502": "unsupported_command",
    "504": "unsupported_command",
    "521": "unsupported_command",
}


class Passive(FTPHandler.passive_dtp):  # type: ignore[misc]
    """A port that waits for one data connection from the camera's own address."""

    def handle_accepted(self, sock: Any, addr: Any) -> None:
        # Do not reply: the camera would get the reply to something else, so that a port
        # scanner could break its uploads.
        if addr[0] != self.cmd_channel.remote_ip:
            sock.close()
            self.cmd_channel.note_refusal("foreign_data", f"from {addr[0]}")
        else:
            super().handle_accepted(sock, addr)

    def handle_timeout(self) -> None:
        if self.cmd_channel.connected:
            self.cmd_channel.refuse("data_never_opened", "421 Passive data channel timed out.")
            self.cmd_channel._dtp_acceptor = None
        self.close()


class Control(FTPHandler):  # type: ignore[misc]
    """pyftpdlib's handler, with limits before the login, and a count of every refusal."""

    service: Service
    passive_dtp = Passive
    timeout = IDLE_S
    unicode_errors = "surrogateescape"
    username: str
    _in_buffer: list[bytes]
    account: Account | None = None
    refusal: tuple[str, str] = ("", "")
    """Why the login was refused: the kind of refusal, and details in words."""
    stage = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._command = ("", "")
        self._kind: str | None = None
        self._has_left = False
        self.active_at = time.monotonic()
        super().__init__(*args, **kwargs)

    # --- opening and closing

    def on_connect(self) -> None:
        self.service.door.connected(self)
        self._await_login()

    def _await_login(self) -> None:
        self.call_later(LOGIN_S, self._require_login)

    def _require_login(self) -> None:
        if not self.authenticated:
            self.dismiss("no_login", f"421 Log in within {LOGIN_S:g} seconds.")

    @property
    def is_busy(self) -> bool:
        """Whether a transfer is in progress or about to begin."""
        waiting = self._dtp_acceptor is not None or self._dtp_connector is not None
        return waiting or self.data_channel is not None

    def dismiss(self, kind: str, reply: str) -> None:
        """Close the connection, with a reply if the client still reads."""
        if self._closed or self._closing:
            return
        self.refuse(kind, reply)
        self.close_when_done()
        if not self._closed:
            self.call_later(_CLOSE_S, self.close)

    def close(self) -> None:
        self.leave()
        super().close()

    def leave(self) -> None:
        """Release the connection's slot, once, and record what the client did not finish."""
        if self._has_left or not self.remote_ip:
            return
        self._has_left = True
        self.service.door.forget(self)
        self.note_unopened("it hung up instead")

    def note_unopened(self, instead: str) -> None:
        """Record that a camera requested a data connection and did not open it."""
        if self._dtp_acceptor is not None and self.account and not self.service.is_ending:
            self.note_refusal("data_never_opened", instead)

    def ftp_QUIT(self, line: str) -> None:
        self.note_unopened("it logged out instead")
        super().ftp_QUIT(line)

    # --- commands

    def collect_incoming_data(self, data: bytes) -> None:
        if not self.stage and not self._in_buffer and data.startswith(_TLS_HELLO):
            self.note_refusal("tls_implicit")
            self.close()
            return
        # Keep no more of a long command than shows that it is too long.
        room = LONGEST_COMMAND + 1 - sum(map(len, self._in_buffer))
        self._in_buffer += [data[:room]] if room else []

    def found_terminator(self) -> None:
        self.active_at = time.monotonic()
        if sum(map(len, self._in_buffer)) > LONGEST_COMMAND:
            self._in_buffer = []
            self._command = ("", "")
            self.refuse("name_refused", f"500 Longer than {LONGEST_COMMAND} bytes.")
        else:
            try:
                super().found_terminator()
            except OSError as error:  # the disk failed while a path was examined
                log.error("%s: %s", self._command[0], error)
                self.respond("451 The disk of the uploads failed. Try again later.")

    def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
        self._command = (cmd, arg)
        self.stage = max(self.stage, COMMAND_SENT)
        if "\0" in line:
            self.refuse("name_refused", "501 A name must not contain a null character.")
        elif not self.authenticated and cmd.startswith(("SSH-", "GET", "HTTP")):
            self.refuse("not_ftp", "500 This is an FTP server.")
        elif self.authenticated and not self._is_account_unchanged(cmd):
            self.refuse("account_changed", "421 This account was changed; log in again.")
            self.close_when_done()
        elif self._is_too_long(cmd, arg):
            self.refuse("name_refused", f"553 Longer than {LONGEST_PATH} bytes.")
        elif over := self._over_quota(cmd, arg):
            self._restart_position = 0
            self.refuse(*over)
        else:
            super().pre_process_command(line, cmd, arg)

    def _is_account_unchanged(self, cmd: str) -> bool:
        """Return whether the account is the same as at login, for commands that need one.

        While the accounts cannot be read, cameras stay logged in: their uploads would be
        lost otherwise, and nobody has changed their accounts.
        """
        if not (self.proto_cmds.get(cmd) or {}).get("perm"):
            return True
        gate = self.service.gate
        return gate.account(self.username) == self.account or bool(gate.trouble)

    def _is_too_long(self, cmd: str, arg: str) -> bool:
        if not self.authenticated or not (self.proto_cmds.get(cmd) or {}).get("perm"):
            return False
        return len(os.fsencode(self.fs.ftp2fs(arg))) - len(self.fs.root) > LONGEST_PATH

    def _over_quota(self, cmd: str, arg: str) -> Over | None:
        """Return why the account is over its quota, or None; existing folders do not count."""
        what = _CREATING.get(cmd)
        if what is None or self.account is None:
            return None
        if what == "folders" and self.fs.isdir(self.fs.ftp2fs(arg)):
            return None
        return self.service.over_quota(self.account.camera, what)

    def push(self, data: str) -> None:
        if len(self.producer_fifo) > _MOST_UNREAD:
            self.close()
            return
        # Return names that are not UTF-8 with the same bytes as the camera sent.
        super(FTPHandler, self).push(data.encode(self.encoding, self.unicode_errors))

    # --- logins

    def ftp_USER(self, line: str) -> None:
        """Accept a user name; one that is too long is cut to a length that no account has."""
        super().ftp_USER(line[: LONGEST_USER + 1])
        self.stage = USER_SENT

    def ftp_PASS(self, line: str) -> None:
        """Check a password: immediately, or later if the address had many wrong ones."""
        wait_s = self.service.gate.wait_s(self.username, line, self.remote_ip)
        if self.authenticated or not wait_s:
            super().ftp_PASS(line)
        else:
            self.stage = PASSWORD_WAITS
            self.del_channel()
            self.call_later(wait_s, self._check_password, line)

    def _check_password(self, line: str) -> None:
        self.add_channel()
        super().ftp_PASS(line)

    def handle_auth_success(self, home: str, password: str, msg_login: str) -> None:
        account = self.service.gate.account(self.username)
        kind = self.service.door.enter(self, account.camera) if account else "account_changed"
        self.account = account
        if kind:
            self.refuse(kind, "421 Too many connections; try again.")
            self.close_when_done()
        else:
            super().handle_auth_success(home, "", msg_login)  # do not keep the password

    def on_login(self, username: str) -> None:
        if self.account is not None:
            self.service.logged_in(self.account, self.remote_ip)

    def handle_auth_failed(self, msg: str, password: str) -> None:
        """Reply late, so that nobody can try many passwords."""
        user, self.username = self.username, ""
        kind, detail = self.refusal
        is_slowed = self.service.refused_login(user, self.remote_ip, kind, detail)
        self.attempted_logins += 1
        is_last = is_slowed or self.attempted_logins >= self.max_login_attempts
        self.del_channel()
        delay_s = self.auth_failed_timeout * (3 if is_slowed else 1)
        self.call_later(delay_s, self._answer_wrong_login, is_last)

    def _answer_wrong_login(self, is_last: bool) -> None:
        self.add_channel()
        self.reply("530 Authentication failed." + (" Disconnecting." if is_last else ""))
        if is_last:
            self.close_when_done()

    def flush_account(self) -> None:
        super().flush_account()
        if self.account is not None:
            self.account = None
            self.service.door.forget(self)
            self.service.door.connected(self)
            self._await_login()

    # --- refusals

    def respond(self, resp: str, logfun: Any = None) -> None:
        """Send a reply; one that refuses something is counted."""
        kind, self._kind = self._kind, None
        if resp[:1] in ("4", "5"):
            kind = kind or self._kind_of(resp)
            if kind:
                self.note_refusal(kind, resp[4:])
        self.reply(resp)

    def reply(self, resp: str) -> None:
        """Send a reply that is not a refusal, and count files and folders that it allows."""
        what = _CREATING.get(self._command[0])
        if what and self.account and resp[:3] in _ALLOWING:
            self.service.count_created(self.account.camera, what)
        super().respond(resp)

    def refuse(self, kind: str, resp: str) -> None:
        """Send a reply that refuses something, with the kind of refusal."""
        self._kind = kind
        self.respond(resp)

    def note_refusal(self, kind: str, detail: str = "") -> None:
        """Count a refusal, with or without a reply."""
        camera = self.account.camera if self.account else None
        self.service.refused(kind, camera, self.remote_ip, detail, self._last_command())

    def _last_command(self) -> str:
        """Return the last command as text; its argument only if the client is logged in."""
        cmd, arg = self._command
        if not _VERB.fullmatch(cmd):
            return ""
        if not self.authenticated or not (self.proto_cmds.get(cmd) or {}).get("perm"):
            return cmd
        return f"{cmd} {encode_path(arg)}"

    def _kind_of(self, resp: str) -> str | None:
        """Return the kind of refusal of a reply of pyftpdlib, or None if it is not a refusal."""
        (cmd, arg), code = self._command, resp[:3]
        if code == "426" or cmd in _QUESTIONS or resp.startswith("421 Control connection"):
            return None  # recorded as a cut upload; an answer; the end of an idle session
        if "Too many connections" in resp:
            return "server_full"
        if code == "421" and cmd in ("STOR", "APPE"):
            return "stalled"
        if cmd == "AUTH" and code == "500":
            return "tls_off"
        if code == "550" and cmd in ("USER", "PASS"):
            return "plain_login"
        if cmd in _FOR_DATA:
            return "plain_data" if code == "550" else "data_refused"
        if not self.authenticated:
            return "no_login" if code in ("530", "503") else _BY_CODE.get(code, "other")
        if code in ("550", "554", "450", "501") and self.fs is not None:
            try:
                return self._kind_of_file(cmd, arg, code)
            except OSError:
                # The disk fails here, too; the camera still gets its reply.
                return "storage_error"
        return _BY_CODE.get(code, "other")

    def _kind_of_file(self, cmd: str, arg: str, code: str) -> str | None:
        """Return why a command about a file or folder was refused, from the state of the disk."""
        perm = (self.proto_cmds.get(cmd) or {}).get("perm")
        if perm and not self.authorizer.has_perm(self.username, perm):
            return "not_permitted"
        if cmd in ("RNFR", "RNTO"):
            return "rename_refused"
        if cmd == "REST" or code in ("554", "450"):
            return "resume_refused"
        if not perm:
            return _BY_CODE.get(code, "other")
        path = Path(self.fs.ftp2fs(arg))
        if not Path(self.fs.root).is_dir():
            return "folder_not_there"
        if cmd in ("CWD", "XCWD", "CDUP", "XCUP"):
            return "folder_not_entered"
        if cmd in ("MKD", "XMKD") and path.is_dir():
            return None  # cameras create each folder every time
        if not path.parent.is_dir():
            return "missing_folder"
        return "folder_refused" if cmd in ("MKD", "XMKD") else "upload_refused"

    # --- the log of pyftpdlib, without refusals, which are logged elsewhere

    def log(self, msg: str, logfun: Any = None) -> None:
        """Do nothing: everything that matters is logged elsewhere."""

    def logline(self, msg: str, logfun: Any = None) -> None:
        """Do nothing, as above."""

    def logerror(self, msg: str) -> None:
        log.error("%s: %s", self.remote_ip, printable(msg))

    def log_exception(self, instance: Any) -> None:
        log.exception("%s: an error of this server", self.remote_ip)
