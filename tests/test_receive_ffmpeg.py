"""FFmpeg's own FTP client: it closes both connections in order and never says QUIT."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from receiving import (
    PASSWORD,
    Running,
    begin,
    files,
    let_in,
    login,
    parts,
    serving,
    settings_of,
    until,
)

pytest.importorskip("pyftpdlib")

# PyAV brings FFmpeg with its client along. It holds the interpreter while it waits for
# answers, so that it must not share one with the server.
_CLIENT = """
import random, sys
import av
for said in sys.argv[2:]:
    name, form, codec, options = said.split(":")
    options = dict(one.split("=") for one in options.split(",") if one)
    out = av.open(sys.argv[1] + name, "w", format=form, options=options)
    stream = out.add_stream(codec, rate=25)
    stream.width, stream.height = 64, 48
    stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    for number in range(1 if form == "image2" else 10):
        picture = av.VideoFrame(64, 48, "rgb24")
        picture.planes[0].update(random.Random(number).randbytes(picture.planes[0].buffer_size))
        for packet in stream.encode(picture):
            out.mux(packet)
    for packet in stream.encode():
        out.mux(packet)
    out.close()
"""
STREAMED = (
    "x.ts:mpegts:mpeg4:",
    "x.mkv:matroska:mpeg4:",
    "x.mp4:mp4:mpeg4:movflags=frag_keyframe+empty_moov",
    "x.avi:avi:mpeg4:",
    "x.flv:flv:flv1:",
    "x.mpg:mpeg:mpeg1video:",
    "x.jpg:image2:mjpeg:update=1",
)
BARE = "x.h264:h264:libx264:"


def upload(one: Running, *said: str) -> None:
    url = f"ftp://porch:{PASSWORD}@127.0.0.1:{one.port}/"
    command = [sys.executable, "-c", _CLIENT, url, *said]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    record = one.receiver.service.record
    until(lambda: (t := record.cameras.get("porch")) and t.whole + t.cut == len(said))


def test_what_has_all_its_pictures_is_whole(tmp_path: Path) -> None:
    """Every container that shows where its last picture ends; a bare stream does not."""
    here = settings_of(tmp_path)
    let_in(here, "porch")
    with serving(here) as one:
        upload(one, *STREAMED, BARE)
        assert files(one.folder()) == sorted(said.partition(":")[0] for said in STREAMED)
        [part] = parts(one.folder())
        assert part.name.startswith(".x.h264.")


def test_the_setting_for_files_without_an_end(tmp_path: Path) -> None:
    """`check_contents = false`, as the documents have it: an end in order is enough."""
    here = settings_of(tmp_path, check_contents=False)
    let_in(here, "porch")
    with serving(here) as one:
        upload(one, BARE)
        assert files(one.folder()) == ["x.h264"]
        # What breaks off is cut all the same.
        ftp = login(one)
        connection = begin(ftp, "y.h264", b"\0\0\0\1")
        until(lambda: parts(one.folder()))
        connection.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER: the close is a reset
        connection.close()
        ftp.close()
        until(lambda: one.receiver.service.record.cameras["porch"].cut == 1)
        assert files(one.folder()) == ["x.h264"]


def test_what_is_still_on_its_way_when_the_client_is_gone(tmp_path: Path) -> None:
    """The control connection ends while the server is seconds behind with the data."""
    here = settings_of(tmp_path, max_kb_per_s=512)
    let_in(here, "porch")
    packet = b"G\x1f\xff\x10" + bytes(184)
    with serving(here) as one:
        ftp = login(one)
        connection = begin(ftp, "late.ts", packet * 5000)
        ftp.close()
        connection.close()
        until(lambda: files(one.folder()) == ["late.ts"])
        assert (one.folder() / "late.ts").stat().st_size == 188 * 5000
        until(lambda: not one.receiver.server.ip_map)
