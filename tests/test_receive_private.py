"""pyftpdlib's private members that receiving rests on: each is known, still there, and tested."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

pyftpdlib = pytest.importorskip("pyftpdlib")

ROOT = Path(__file__).parents[1]

# Member of pyftpdlib -> the test that fails where it does not do what is expected of it.
PRIVATE = {
    "_accept_new_cons": "test_no_more_descriptors",
    "_closed": "test_half_open_connections_lock_nobody_out",
    "_closing": "test_sigterm_lets_uploads_finish",
    "_current_type": "test_a_camera_that_forgets_type_i",
    "_datacount": "test_a_killed_client_leaves_no_name",
    "_throttler": "test_a_killed_client_leaves_no_name",
    "_timenext": "test_a_killed_client_leaves_no_name",
    "_dtp_acceptor": "test_a_connection_for_data_that_never_comes",
    "_dtp_connector": "test_active_mode",
    "_error": "test_tls_without_a_goodbye",
    "_fileno": "test_a_camera_that_hangs_up_after_its_last_byte_is_heard",
    "_in_buffer": "test_long_commands_are_neither_kept_nor_done",
    "_in_dtp_queue": "test_a_killed_client_leaves_no_name",
    "_lastdata": "test_a_stalled_upload_has_no_name",
    "_make_epasv": "test_a_connection_for_data_that_never_comes",
    "_on_dtp_close": "test_what_had_come_before_the_camera_went_is_taken_in",
    "_on_dtp_connection": "test_a_camera_that_never_opens_its_passive_port_is_told",
    "_pbsz": "test_data_that_cannot_be_encrypted",
    "_prot": "test_data_that_cannot_be_encrypted",
    "_quit_pending": "test_a_camera_that_hangs_up_after_its_last_byte_is_heard",
    "_resp": "test_a_cut_upload_has_no_name",
    "_restart_position": "test_going_on_from_a_mark",
    "_rnfr": "test_a_rename_destroys_nothing",
    "_ssl_accepting": "test_encryption_that_never_comes_about",
    "_ssl_established": "test_a_client_that_refuses_the_certificate",
    "_ssl_requested": "test_commands_before_the_handshake_are_dropped",
}


def members_of_pyftpdlib() -> set[str]:
    sources = Path(pyftpdlib.__file__).parent.rglob("*.py")
    texts = [source.read_text(encoding="utf-8") for source in sources]
    return {name for text in texts for name in re.findall(r"(?:self\.|def )(_[a-z]\w+)", text)}


def members_that_we_name() -> set[str]:
    """Return the private names in `receive` that are read, set or defined there."""
    found = set()
    for source in (ROOT / "pano_analytics" / "receive").glob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            match node:
                case ast.Attribute(attr=name) | ast.FunctionDef(name=name):
                    found.add(name)
                case ast.AnnAssign(target=ast.Name(id=name)) | ast.Name(id=name):
                    found.add(name)
    return {name for name in found if name.startswith("_") and not name.startswith("__")}


def test_every_private_member_is_known_and_tested() -> None:
    """What is used without a line above, or has no such test, or is gone from pyftpdlib: told."""
    assert members_that_we_name() & members_of_pyftpdlib() == set(PRIVATE)
    tests = "".join(
        path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py")
    )
    assert [name for name in PRIVATE.values() if f"def {name}(" not in tests] == []


def test_pyftpdlib_is_pinned_below_its_next_minor_version() -> None:
    """A private member may change in any minor version: such a version is tried on purpose."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extra = settings["project"]["optional-dependencies"]["receive"]
    [pinned] = [one for one in map(Requirement, extra) if one.name == "pyftpdlib"]
    major, minor = map(int, importlib.metadata.version("pyftpdlib").split(".")[:2])
    assert pinned.specifier.contains(f"{major}.{minor}.99")
    assert not pinned.specifier.contains(f"{major}.{minor + 1}")
    assert not pinned.specifier.contains(f"{major + 1}.0")
