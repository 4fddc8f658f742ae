"""How fast `pano receive` takes uploads, compared with vsftpd in the same run.

Five clients, each a separate process, upload snapshots of 250 KB one after another,
then a few clips of 20 MB; both servers write to the same disk, alternately. vsftpd is
a Debian package; here it accepts anonymous logins and needs root.

    python benchmarks/receive.py [UPLOADS_A_CLIENT]
"""

from __future__ import annotations

import ftplib
import io
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

CLIENTS, ROUNDS = 5, 3
PICTURE = b"\xff\xd8\xff\xda\x00\x02" + b"\x11" * 250_000 + b"\xff\xd9"
CLIP_BYTES, CLIPS = 20 << 20, 3
VSFTPD = """\
listen=YES
listen_address=127.0.0.1
listen_port={port}
background=NO
anonymous_enable=YES
no_anon_password=YES
anon_root={root}
write_enable=YES
anon_upload_enable=YES
anon_mkdir_write_enable=YES
anon_other_write_enable=YES
anon_umask=022
seccomp_sandbox=NO
secure_chroot_dir={empty}
xferlog_enable=NO
"""


def upload(port: int, user: str, folder: str, number: int, is_clips: bool) -> None:
    """Upload `number` files as one camera."""
    ftp = ftplib.FTP()
    ftp.connect("127.0.0.1", port, timeout=60)
    ftp.login(user, "benchmark-1234")
    ftp.cwd(folder)
    clip = b"\0\0\0\x08moov" + (CLIP_BYTES + 8).to_bytes(4, "big") + b"mdat" + bytes(CLIP_BYTES)
    for count in range(number):
        data, ending = (clip, "mp4") if is_clips else (PICTURE, "jpg")
        ftp.storbinary(f"STOR {os.getpid()}-{count}.{ending}", io.BytesIO(data), 1 << 16)
    ftp.quit()


def timed(port: int, places: list[tuple[str, str]], number: int, is_clips: bool) -> float:
    """Return the seconds that all clients take together."""
    spawn = get_context("fork")
    clients = [
        spawn.Process(target=upload, args=(port, user, folder, number, is_clips))
        for user, folder in places
    ]
    began = time.monotonic()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
        assert client.exitcode == 0
    return time.monotonic() - began


@contextmanager
def pano(folder: Path, sync: bool) -> Iterator[tuple[int, list[tuple[str, str]], int]]:
    """Run `pano receive`; yield its port, the users with their folders, and its process."""
    (folder / "uploads").mkdir(parents=True)
    config = folder / "pano.toml"
    config.write_text(
        'uploads = "uploads"\nlibrary = "library"\n[receive]\nport = 0\ntls = "off"\n'
        f'address = "127.0.0.1"\nsync = {str(sync).lower()}\n'
    )
    command = [sys.executable, "-m", "pano_analytics.cli"]
    names = [f"camera{number}" for number in range(CLIENTS)]
    for name in names:
        add = ["camera", "add", name, "--password-stdin", "--no-wait", "--config", str(config)]
        subprocess.run(
            [*command, *add], input=b"benchmark-1234\n", check=True, stdout=subprocess.DEVNULL
        )
    server = subprocess.Popen(
        [*command, "receive", "--config", str(config)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    port = int(server.stdout.readline().partition("://")[2].split(":")[1].split()[0])
    try:
        yield port, [(name, "/") for name in names], server.pid
    finally:
        server.terminate()
        server.wait()


@contextmanager
def vsftpd(folder: Path) -> Iterator[tuple[int, list[tuple[str, str]], int]]:
    """Do the same with vsftpd."""
    (folder / "empty").mkdir(parents=True)
    for number in range(CLIENTS):
        place = folder / "root" / f"camera{number}"
        place.mkdir(parents=True)
        shutil.chown(place, "ftp")
    config = folder / "vsftpd.conf"
    port = 50_021
    config.write_text(
        VSFTPD.format(port=port, root=folder / "root", empty=folder / "empty"), encoding="ascii"
    )
    server = subprocess.Popen(["vsftpd", str(config)])
    time.sleep(1)
    try:
        yield port, [("anonymous", f"/camera{number}") for number in range(CLIENTS)], server.pid
    finally:
        server.terminate()
        server.wait()


def memory_mb(process: int) -> float:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    here = Path(tempfile.mkdtemp(prefix="receive-", dir=".")).absolute()
    here.chmod(0o755)
    ways = {
        "pano receive": lambda: pano(here / "synced", True),
        "pano receive, sync = false": lambda: pano(here / "unsynced", False),
    }
    if shutil.which("vsftpd") and not os.geteuid():
        ways["vsftpd"] = lambda: vsftpd(here / "vsftpd")
    try:
        for turn in range(ROUNDS):
            for name, way in ways.items():
                with way() as (port, places, process):
                    pictures_s = timed(port, places, number, False)
                    clips_s = timed(port, places, CLIPS, True)
                    used_mb = memory_mb(process)
                rate = CLIENTS * number / pictures_s
                clip_mb = CLIENTS * CLIPS * CLIP_BYTES / clips_s / 1e6
                print(
                    f"{turn}  {name:28}  {rate:7.0f} pictures/s  {clip_mb:6.0f} MB/s of clips  "
                    f"{used_mb:4.0f} MB"
                )
                for one in here.iterdir():
                    shutil.rmtree(one)
    finally:
        shutil.rmtree(here, ignore_errors=True)
    cpu = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"processor time of all children: {cpu.ru_utime + cpu.ru_stime:.0f} s")


if __name__ == "__main__":
    main()
