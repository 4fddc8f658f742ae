#!/bin/bash
# Make an account of a person, or give it another password: ./account.sh people NAME
# Cameras have theirs from `docker compose exec ftp pano camera add NAME`.
set -euo pipefail
cd "$(dirname "$0")"

kind=${1:-}
name=${2:-}
if [[ $kind != people ]] || [[ ! $name =~ ^[A-Za-z0-9_-]{1,32}$ ]]; then
    echo "usage: $0 people NAME    (letters, digits, - and _)" >&2
    echo "The password is read from standard input, or made if nothing comes." >&2
    exit 2
fi

password=
[[ -t 0 ]] || IFS= read -r password || true
if [[ -z $password ]]; then
    # No letters that are mistaken for each other when typed in.
    password=$(LC_ALL=C tr -dc 'abcdefghijkmnpqrstuvwxyz23456789' </dev/urandom | head -c 16 || true)
    echo "Account $name, password $password   (shown this once)"
fi

umask 022
mkdir -p -m 700 secrets
touch "secrets/$kind"
hash=$(printf '%s\n' "$password" | openssl passwd -6 -stdin)
{
    grep -v "^$name:" "secrets/$kind" || true
    printf '%s:%s\n' "$name" "$hash"
} >"secrets/.$kind.new"
# Written into the file, not over it: containers hold the file itself.
cat "secrets/.$kind.new" >"secrets/$kind"
rm "secrets/.$kind.new"
