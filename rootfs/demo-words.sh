#!/bin/bash
# What both demos share: where things are, how they speak, how they show a command.  Sourced, not run.
# shellcheck disable=SC2034,SC2317 # used by those who source it

here=$(cd "$(dirname "$0")/.." && pwd)
minirun=${MINIRUN:-$here/.venv/bin/minirun}
python=/usr/bin/python3
work=$(mktemp -d "${TMPDIR:-/tmp}/minirun-demo.XXXXXX")
id=demo-$$
export COLUMNS=96

tidy() {
    "$minirun" --root "$work/state" delete --force "$id" >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap tidy EXIT
trap 'exit 130' INT TERM HUP

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' blue=$'\e[1;34m' plain=$'\e[0m'
else
    bold='' dim='' green='' blue='' plain=''
fi
number=0
heading() { number=$((number + 1)); printf '\n%s%d  %s%s\n' "$blue" "$number" "$1" "$plain"; }
say() { printf '%s   %s%s\n' "$dim" "$1" "$plain"; }
indent() { sed -u 's/^/   /'; }
# Show a command as one would type it, and run it with a state directory of our own.
show() {
    printf '   %s$ sudo minirun' "$green"; printf ' %s' "$@"; printf '%s\n' "$plain"
    "$minirun" --root "$work/state" "$@" 2>&1 | indent || true
}
# In the background: it must not hold on to our pipe.
detached() {
    printf '   %s$ sudo minirun run --detach %s%s\n' "$green" "$1" "$plain"
    "$minirun" --root "$work/state" run --detach "$1" >"$work/out" 2>&1 || indent <"$work/out"
}
# Change config.json by a line of Python: `c` is the document.
edit() {
    "$python" -ISE -c 'import json, sys
c = json.load(open("config.json"))
exec(sys.argv[1])
json.dump(c, open("config.json", "w"), indent="\t")' "$1"
}
