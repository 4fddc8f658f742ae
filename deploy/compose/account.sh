#!/bin/bash
# Create an account for a person, or change its password: ./account.sh people NAME
# Accounts of cameras are created with `docker compose exec ftp pano camera add NAME`.
set -euo pipefail
cd "$(dirname "$0")"

kind=${1:-}
name=${2:-}
if [[ $kind != people ]] || [[ ! $name =~ ^[A-Za-z0-9_-]{1,32}$ ]]; then
    echo "usage: $0 people NAME    (letters, digits, - and _)" >&2
    echo "The password is read from standard input, or generated if there is none." >&2
    exit 2
fi

password=
[[ -t 0 ]] || IFS= read -r password || true
if [[ -z $password ]]; then
    # Without characters that are easily confused when typed.
    password=$(LC_ALL=C tr -dc 'abcdefghijkmnpqrstuvwxyz23456789' </dev/urandom | head -c 16 || true)
    echo "Account $name, password $password   (shown only this once)"
fi

umask 022
mkdir -p -m 700 secrets
touch "secrets/$kind"
hash=$(printf '%s\n' "$password" | openssl passwd -6 -stdin)
{
    grep -v "^$name:" "secrets/$kind" || true
    printf '%s:%s\n' "$name" "$hash"
} >"secrets/.$kind.new"
# Write into the existing file instead of replacing it, because containers mount the file itself.
cat "secrets/.$kind.new" >"secrets/$kind"
rm "secrets/.$kind.new"
