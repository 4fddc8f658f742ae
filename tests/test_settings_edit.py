"""Adding a camera to a settings file that somebody wrote."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from pano_analytics.cli import pano
from pano_analytics.errors import SettingsError
from pano_analytics.settings.edit import with_camera

NEW = '[[cameras]]\nname = "yard"\nfolder = "f"\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("", NEW, id="empty"),
        pytest.param('zone = "UTC" # here\n', f'zone = "UTC" # here\n\n{NEW}', id="comment"),
        pytest.param('zone = "UTC"', f'zone = "UTC"\n\n{NEW}', id="no newline at the end"),
        pytest.param(
            '[[cameras]]\nname = "a"\n# end\n\n[receive]\nport = 1\n\n# tail\n',
            f'[[cameras]]\nname = "a"\n# end\n\n{NEW}\n[receive]\nport = 1\n\n# tail\n',
            id="table after the cameras",
        ),
        pytest.param(
            'cameras = [\n  {name="a"}, # one\n]\n[receive]\nport=1\n',
            'cameras = [\n  {name="a"}, # one\n  {name = "yard", folder = "f"},\n]\n'
            "[receive]\nport=1\n",
            id="inline tables",
        ),
        pytest.param(
            'zone="UTC"\r\n\r\n[[cameras]]\r\nname = "a"\r\n',
            'zone="UTC"\r\n\r\n[[cameras]]\r\nname = "a"\r\n\r\n' + NEW.replace("\n", "\r\n"),
            id="CRLF",
        ),
    ],
)
def test_only_the_camera_is_new(before: str, after: str) -> None:
    assert with_camera(before, "yard", "f") == after


@given(name=st.text(min_size=1), folder=st.text(min_size=1))
def test_any_name_comes_back(name: str, folder: str) -> None:
    written = with_camera('[[cameras]]\nname = "a"\n', name, folder)
    assert tomllib.loads(written)["cameras"] == [{"name": "a"}, {"name": name, "folder": folder}]


@pytest.mark.parametrize("text", ["zone = ", "[cameras]\nname = 'a'\n", "cameras = 3\n"])
def test_what_holds_no_cameras_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="expected"):
        with_camera(text, "yard", "f")


def test_the_command_keeps_link_mode_and_text(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    file = tmp_path / "shared.toml"
    text = f'# ours\r\nuploads = "{home}/uploads"\r\nlibrary = "{home}/library"\r\nzone = "UTC"\r\n'
    file.write_bytes(text.encode())
    file.chmod(0o640)
    (home / "pano.toml").symlink_to(file)
    (home / "uploads").mkdir()
    words = ["camera", "add", "yard", "--folder", "cam7", "--no-wait"]
    done = CliRunner().invoke(pano, [*words, "--config", str(home / "pano.toml")])
    assert done.exit_code == 0, done.output
    assert (home / "pano.toml").is_symlink()
    assert file.stat().st_mode & 0o777 == 0o640
    assert file.read_bytes().decode().startswith(text)
    assert tomllib.loads(file.read_text("utf-8"))["cameras"] == [{"name": "yard", "folder": "cam7"}]
    assert sorted(os.listdir(tmp_path)) == ["home", "shared.toml"]
