#!/bin/bash
# Test `pano install` with a real systemd, in a separate container. Removes everything afterwards.
#
# Needs podman as root, and the image localhost/pano (deploy/compose/try.sh builds it).
set -euo pipefail
sample=$(cd "$(dirname "$0")/../.." && pwd)/data/sample/uploads
command -v podman >/dev/null || { echo "try: podman is missing"; exit 77; }
podman image exists localhost/pano || { echo "try: run deploy/compose/try.sh first"; exit 77; }
work=$(mktemp -d) name=pano-systemd-$$
trap 'podman rm -f -t 5 $name >/dev/null 2>&1; rm -rf "$work"' EXIT
if [[ ! -d /run/systemd/system && -z ${CONTAINERS_CONF:-} ]]; then
    printf '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n' >"$work/conf"
    printf '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n' >>"$work/conf"
    export CONTAINERS_CONF=$work/conf
fi
cat >"$work/Dockerfile" <<'D'
FROM localhost/pano
USER 0:0
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    curl dbus procps systemd systemd-sysv util-linux && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home anna && ln -s /opt/pano/bin/pano /usr/local/bin/pano
ENV PANO_CONFIG=
ENTRYPOINT ["/sbin/init"]
CMD []
D
podman build -q -t localhost/pano-systemd "$work"
podman run -d --name "$name" --systemd=always --privileged localhost/pano-systemd >/dev/null
inside() { podman exec "$name" "$@"; }
as_anna() { podman exec -i -w /home/anna/cameras "$name" runuser -u anna -- "$@"; }
within() { # within SECONDS WHAT COMMAND...
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >"$work/output" 2>&1; do
        if ((SECONDS > end)); then
            echo "NOT: $what"
            cat "$work/output"
            inside journalctl -u pano --no-pager -n 30
            exit 1
        fi
        sleep 1
    done
    echo "   $what"
}
must_not() { if "${@:2}" >/dev/null 2>&1; then echo "NOT: $1"; exit 1; fi; echo "   $1"; }

within 60 "systemd is running" inside test -d /run/systemd/system
inside install -d -o anna -g anna /home/anna/cameras /home/anna/cameras/uploads
podman cp "$sample/front_door" "$name:/srv/front_door"
podman exec -i "$name" sh -c 'cat >/home/anna/cameras/pano.toml' <<'T'
uploads = "uploads"
library = "library"
[receive]
port = 21
[site]
folder = "pages"
T
config=/home/anna/cameras/pano.toml
podman exec -e SUDO_USER=anna "$name" pano install --config $config
within 90 "pano up reported that it is ready (Type=notify)" inside systemctl is-active pano
within 60 "it reports that it is healthy" inside curl -sf http://127.0.0.1:5007/healthz
inside systemd-analyze security --no-pager --threshold=25 pano.service | tail -1

pid() { inside systemctl show pano -p MainPID --value; }
within 5 "it runs as anna" inside sh -c "ps -o user= -p $(pid) | grep -qx anna"
in_sandbox() { inside nsenter -t "$(pid)" -m -- "$@"; }
must_not "the service cannot write to /etc" in_sandbox touch /etc/x
must_not "the service cannot write to home folders" in_sandbox touch /home/anna/x
within 5 "the service can write to the library" in_sandbox touch /home/anna/cameras/library/.x

echo anna-has-one | as_anna pano camera add front_door --password-stdin --no-wait >/dev/null
within 30 "uploads are received on port 21, with one capability" \
    inside curl -sS --globoff --ftp-create-dirs -u front_door:anna-has-one \
    -T "/srv/front_door/AMC00K3D_7T9P2Q/2026-11-20/001/jpg/11/36/41[M][0@0][0].jpg" \
    "ftp://127.0.0.1:21/AMC00K3D_7T9P2Q/2026-11-20/001/jpg/11/36/41%5BM%5D%5B0%400%5D%5B0%5D.jpg"
within 90 "uploads appear on a page" inside test -e /home/anna/cameras/pages/front_door/index.html

before=$(pid)
inside kill -9 "$before"
within 60 "it is restarted after a kill" sh -c \
    "podman exec $name systemctl is-active pano && ! podman exec $name systemctl show pano -p MainPID | grep -qx MainPID=$before"
within 60 "it is healthy again" inside curl -sf http://127.0.0.1:5007/healthz
inside systemctl stop pano
within 5 "after a stop it ended normally and left no process" inside sh -c \
    'systemctl show pano -p Result | grep -qx Result=success && ! pgrep -u anna -f pano_analytics'
podman exec -e SUDO_USER=anna "$name" pano install --config $config --uninstall
must_not "after uninstalling, the unit is gone" inside test -e /etc/systemd/system/pano.service
within 5 "the library is still there" inside test -e /home/anna/cameras/library/manifest.json
echo "try: all checks passed"
