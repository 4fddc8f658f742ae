#!/bin/bash
# Build the images, run the stack, upload as a camera does, and wait for the page. Removes everything
# afterwards.
#
# Needs podman, podman-compose, curl and openssl (Debian packages of the same names), as root or with
# rootless podman. If no registry can be reached, mmdebstrap makes the base image.
#   BASE=...     the base image                    KEEP=1   leave the stack running
#   COMPOSE=...  another podman-compose to use
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
sample=$root/data/sample/uploads/front_door
BASE=${BASE:-$(sed -n 's/^ARG BASE=//p' "$here/web/Dockerfile")}
PACKAGES=${PACKAGES:-fixed}
compose=${COMPOSE:-podman-compose}
for tool in podman "$compose" curl openssl; do
    command -v "$tool" >/dev/null || { echo "try: $tool is missing"; exit 77; }
done

work=$(mktemp -d)
name=pano-try-$$
export COMPOSE_PROJECT_NAME=$name
end() {
    code=$?
    if [[ $code != 0 ]]; then podman logs "${name}_pano_1" 2>&1 | tail -20 || true; fi
    if [[ -z ${KEEP:-} ]]; then
        (cd "$work/compose" 2>/dev/null && "$compose" -p "$name" down -v >/dev/null 2>&1) || true
        rm -rf "$work"
    fi
    [[ $code == 0 ]] || echo "try: FAILED, exit $code"
}
trap end EXIT

say() { echo "== $*"; }
must() { # must WHAT COMMAND...: the command succeeds
    local what=$1
    shift
    "$@" >"$work/output" 2>&1 || { echo "NOT: $what"; cat "$work/output"; exit 1; }
    echo "   $what"
}
must_not() {
    local what=$1
    shift
    if "$@" >"$work/output" 2>&1; then echo "NOT: $what"; cat "$work/output"; exit 1; fi
    echo "   $what"
}
within() { # within SECONDS WHAT COMMAND...: the command succeeds within that time
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >"$work/output" 2>&1; do
        if ((SECONDS > end)); then echo "NOT in time: $what"; cat "$work/output"; exit 1; fi
        sleep 1
    done
    echo "   $what"
}

if [[ ! -d /run/systemd/system && -z ${CONTAINERS_CONF:-} ]]; then
    # Inside a container, such as a CI runner, there is no systemd to manage cgroups and events.
    cat >"$work/containers.conf" <<'CONF'
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
CONF
    export CONTAINERS_CONF=$work/containers.conf
fi

say "images"
if ! podman image exists "$BASE" && ! podman pull -q "$BASE"; then
    BASE=localhost/debian:trixie-minbase PACKAGES=newest
    mmdebstrap --quiet --variant=minbase trixie - | podman import -q - "$BASE"
fi
built_from=(--build-arg BASE="$BASE" --build-arg PACKAGES="$PACKAGES")
podman build -q "${built_from[@]}" -t localhost/pano-web "$here/web"
podman build -q "${built_from[@]}" -t localhost/pano -f "$here/pano/Dockerfile" "$root"

say "accounts and settings, as in README.md"
cp -r "$here" "$work/compose"
cd "$work/compose"
rm -rf .env secrets
echo of-anna | ./account.sh people anna
must "passwords are stored only as hashes" test -z "$(grep -r 'of-' secrets)"
sed -e 's/^# FTP_PORT=.*/FTP_PORT=18021/' -e 's/^# WEB_PORT=.*/WEB_PORT=18080/' .env.example >.env
sed -i 's/^masquerade = .*/masquerade = "127.0.0.1"/' pano.toml

say "start"
"$compose" -p "$name" up -d --no-build >"$work/up" 2>&1 || { cat "$work/up"; exit 1; }
ftp=ftp://127.0.0.1:18021
web=http://127.0.0.1:18080
within 60 "ftp is healthy" podman healthcheck run "${name}_ftp_1"
gate_password=gate-7f2c-9k4m barn_password=barn-3d8s-6w1p
for camera in gate barn; do
    word=${camera}_password
    echo "${!word}" | podman exec -i "${name}_ftp_1" pano camera add "$camera" --password-stdin --no-wait
done
within 30 "web is healthy" podman healthcheck run "${name}_web_1"
echo of-anna-too | podman exec -i "${name}_pano_1" pano user add anna --password-stdin
within 120 "pano is healthy" podman healthcheck run "${name}_pano_1"

say "restrictions"
for part in ftp pano web; do
    must_not "$part cannot write to its root" podman exec "${name}_${part}_1" touch /etc/x
done
for part in ftp pano web; do
    must "$part runs as uid 1000" test "$(podman exec "${name}_${part}_1" id -u)" = 1000
    must "$part has no capabilities" podman exec "${name}_${part}_1" \
        grep -q '^CapBnd:[[:space:]]*0*$' /proc/1/status
done
for part in pano web; do
    must_not "$part cannot write uploads" podman exec "${name}_${part}_1" touch /srv/ftp/x
done
must_not "a wrong password is refused" curl -sS --max-time 20 -u "gate:$barn_password" $ftp/

say "a camera uploads"
day=$(date -u +%F)
spell() { sed -e 's/\[/%5B/g' -e 's/\]/%5D/g' -e 's/@/%40/g' <<<"$1"; }
put() { # put FILE NAME, in the same folders as a camera
    curl -sS --globoff --ftp-create-dirs -u "gate:$gate_password" -T "$1" "$ftp/$(spell "$2")"
}
picture=$(find "$sample" -name '*.jpg' | sort | head -1)
clip=$(find "$sample" -name '*.dav' | sort | tail -1)   # the first is incomplete on purpose
place() { sed "s|^$sample/||; s|2026-[0-9-]*|$day|" <<<"$1"; }
must "a picture is uploaded" put "$picture" "$(place "$picture")"
must "a clip is uploaded" put "$clip" "$(place "$clip")"
echo "forty-one bytes of text over a whole file" >"$work/text"
must "text under the same name is accepted" put "$work/text" "$(place "$picture")"
must "the picture is unchanged" bash -c \
    "podman exec ${name}_ftp_1 cat '/srv/ftp/gate/$(place "$picture")' | cmp - '$picture'"
must_not "a camera cannot download" curl -sS --globoff -u "gate:$gate_password" -o /dev/null "$ftp/$(spell "$(place "$picture")")"
must_not "a camera cannot delete" curl -sS -u "gate:$gate_password" $ftp/ -Q "DELE $(place "$picture")"
must_not "a camera cannot see another camera's folder" curl -sS -u "gate:$gate_password" $ftp/../barn/

say "the page"
fetch() { curl -sfS -u anna:of-anna "$web$1"; }
must_not "no page is served without a login" curl -sf $web/
within 60 "the day's page contains the picture" bash -c "
    curl -sf -u anna:of-anna $web/gate/$day/index.html | grep -q '<img'"
latest_picture=$(fetch / | grep -o 'src="gate/[^"]*jpg"' | head -1 | cut -d'"' -f2)
must "the latest picture is a JPEG" bash -c \
    "curl -sf -u anna:of-anna '$web/$latest_picture' | head -c 3 | od -An -tx1 | grep -q 'ff d8 ff'"
original="/media/gate/$(spell "$(place "$picture")")"
fetch "$original" | cmp - "$picture" && echo "   the upload itself is served unchanged"
clip_plays() { # a page shows the clip, repackaged for browsers, as a video
    local page film
    for page in $(fetch "/gate/$day/index.html" | grep -o 'href="[0-9a-f]*\.html' | cut -d'"' -f2); do
        film=$(fetch "/gate/$day/$page" | grep -o '<video[^>]*src="[^"]*\.mp4' | sed 's/.*src="//')
        if [[ -n $film ]]; then
            curl -sfI -u anna:of-anna "$web/gate/$day/$film" | grep -qi 'content-type: video/mp4'
            return
        fi
    done
    return 1
}
within 90 "the clip has a page and plays in browsers" clip_plays
must_not "no folder is listed" fetch "/media/gate/"
must "pages may load nothing from other hosts" bash -c \
    "curl -sI -u anna:of-anna $web/ | grep -qi \"content-security-policy: default-src 'self'\""
must "the dashboard answers through the web server" bash -c \
    "curl -s -o /dev/null -w '%{http_code}' $web/dashboard/ | grep -q 302"

say "stop and start again: nothing is lost"
"$compose" -p "$name" stop >/dev/null 2>&1
"$compose" -p "$name" start >/dev/null 2>&1
within 60 "the page is available again" fetch "/gate/$day/index.html"
within 120 "pano is healthy again" podman healthcheck run "${name}_pano_1"
echo "try: all checks passed"
