#!/bin/bash
# Containers from an image, as one uses them every day (the last part of `make demo`).  Needs root; leaves nothing.
set -euo pipefail
exec </dev/null

# shellcheck source-path=SCRIPTDIR source=demo-words.sh
. "$(dirname "$0")/demo-words.sh"

[ "$(id -u)" = 0 ] || { echo "demo-image.sh: needs root: sudo $0" >&2; exit 1; }
storage=$work/storage
names=(demo-web demo-visitor)

clean() {
    "$minirun" --root "$work/state" --storage "$storage" container rm -f -v "${names[@]}" >/dev/null 2>&1 || true
    "$minirun" --root "$work/state" --storage "$storage" system prune -af >/dev/null 2>&1 || true
    tidy
}
trap clean EXIT
# Show a command as one would type it, and run it with a storage and a state directory of our own.
with() {
    printf '   %s$ sudo minirun' "$green"; printf ' %s' "${@@Q}" | sed "s/'\([-a-zA-Z0-9_.:/=]*\)'/\1/g"; printf '%s\n' "$plain"
    "$minirun" --root "$work/state" --storage "$storage" "$@" >"$work/out" 2>&1 || true
    indent <"$work/out"
}
printf '\n%sminirun: %s%s\n' "$bold" "containers from an image" "$plain"

# -----------------------------------------------------------------------------------------------------------------
heading "A recipe makes an image: the same inputs, the same digest"
with image build-rootfs busybox
with container run --rm busybox uname -sr

# -----------------------------------------------------------------------------------------------------------------
heading "Two containers find each other by name; one has a port published on this host"
cat >"$work/hello.sh" <<'EOT'
mkdir -p /www && echo "hello from $(hostname)" >/www/index.html
exec httpd -f -p 80 -h /www
EOT
port=$("$python" -ISE -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
with container run -d --name demo-web -h web -p "127.0.0.1:$port:80" -v "$work/hello.sh:/hello.sh:ro" busybox sh /hello.sh
fetch() {
    "$python" -ISE -c 'import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=5).read().decode(), end="")' \
        "http://127.0.0.1:$port/" 2>&1 | tail -1
}
for _ in $(seq 50); do # a server takes a moment to listen
    [ "$(fetch)" != "hello from web" ] || break
    sleep 0.1
done
with container run --rm --name demo-visitor busybox wget -q -O - http://demo-web/
printf '   %s$ wget -q -O - http://127.0.0.1:%s/%s%s\n' "$green" "$port" "$plain" "$dim     (from the host)$plain"
fetch | indent
with container ps

# -----------------------------------------------------------------------------------------------------------------
heading "What a container changed, kept as an image: one small layer more, all others are shared"
with container diff demo-web
with container commit demo-web web:1
with image ls
with container run --rm --net none web:1 cat /www/index.html
with system df

# -----------------------------------------------------------------------------------------------------------------
heading "And away again"
with container rm -f demo-web
with system prune --all --force

printf '\n%sNothing is left.  Next: docs/containers.md, docs/images.md, docs/network.md%s\n' "$bold" "$plain"
