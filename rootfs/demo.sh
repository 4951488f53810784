#!/bin/bash
# What minirun does, in a few seconds (`make demo`).  Needs root; leaves nothing.
set -euo pipefail
exec </dev/null

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

if [ "$(id -u)" -ne 0 ]; then
    echo "demo.sh: containers with limits and devices need root here: sudo $0" >&2
    exit 1
fi
printf '%sminirun: %s%s\n' "$bold" "an OCI container, step by step" "$plain"

# -----------------------------------------------------------------------------------------------------------------
heading "A bundle is a root file system and a config.json"
mkdir "$work/bundle"
cd "$work/bundle"
say "rootfs/busybox.sh makes the first, from the static busybox of the distribution;"
say "minirun spec writes the second: a shell in every namespace, with few rights."
"$here/rootfs/busybox.sh" rootfs
show spec
printf '   %s$ ls%s\n' "$green" "$plain"
ls -1 | indent
edit 'c["process"]["terminal"] = False; c["hostname"] = "inside"'

# -----------------------------------------------------------------------------------------------------------------
heading "From config.json to a plan: nothing is done yet"
say "Each line: who does it (host or init, inside), what, and where in config.json it comes from."
printf '   %s$ minirun run --explain %s%s\n' "$green" "$id" "$plain"
# Neighbours of one kind (devices, links, masks, ...) are folded, for this screen only.
"$minirun" --root "$work/state" run --explain "$id" | awk '
    { kind = $2 " " $NF; sub(/[0-9]+$/, "", kind) }
    NR > 1 && kind == last { more++; next }
    more { printf "%*s... %d more like it\n", 37, "", more; more = 0 }
    { print; last = kind }' | indent

# -----------------------------------------------------------------------------------------------------------------
heading "The same questions, asked on the host and in the container"
cat >rootfs/look.sh <<'EOT'
echo "hostname|$(hostname)"
echo "pid of this shell|$$"
echo "processes in sight|$(ls /proc | grep -c '^[0-9]')"
echo "mounts in sight|$(wc -l </proc/self/mounts)"
echo "network interfaces|$(ls /sys/class/net | xargs)"
echo "effective capabilities|$(awk '/CapEff/ {print $2}' /proc/self/status)"
echo "new privileges|$(awk '/NoNewPrivs/ {print $2 ? "never" : "possible"}' /proc/self/status)"
echo "cgroup|$(awk -F: '$1 == 0 {print $3}' /proc/self/cgroup)"
for name in pid mnt net uts ipc cgroup user; do
    echo "$name namespace|$(readlink /proc/self/ns/$name | tr -dc 0-9)"
done
EOT
edit 'c["process"]["args"] = ["sh", "/look.sh"]'
printf '   %s$ sudo minirun run %s%s\n' "$green" "$id" "$plain"
sh rootfs/look.sh >"$work/host"
"$minirun" --root "$work/state" run "$id" >"$work/container"
printf '   %s%-24s %-24s %s%s\n' "$bold" "" "host" "container" "$plain"
paste -d'|' "$work/host" "$work/container" | while IFS='|' read -r what outside _ inside; do
    mark=''
    case $what in
    cgroup) mark="   $dim(the host calls it /minirun/$id)$plain" ;;
    *namespace) [ "$outside" != "$inside" ] || mark="   $dim(config.json asks for no new one)$plain" ;;
    esac
    printf '   %-24s %-24.24s %s%s\n' "$what" "$outside" "$inside" "$mark"
done

# -----------------------------------------------------------------------------------------------------------------
heading "A container in the background"
edit 'c["process"]["args"] = ["sleep", "1000"]'
detached "$id"
show list
show exec "$id" ps
show kill "$id" KILL
show delete --force "$id"
show list

# -----------------------------------------------------------------------------------------------------------------
heading "Where the time goes"
edit 'c["process"]["args"] = ["true"]'
printf '   %s$ sudo minirun run --trace %s%s' "$green" "$id" "$plain"
printf '%s     (the eight longest steps)%s\n' "$dim" "$plain"
"$minirun" --root "$work/state" run --trace "$id" 2>"$work/trace"
awk '$3 == "us"' "$work/trace" | sort -k2,2nr | sed -n 1,8p | sed 's/  *[^ ]*$//; s/us  */us  /' | indent
tail -1 "$work/trace" | indent

# -----------------------------------------------------------------------------------------------------------------
heading "A config.json that cannot be right: every problem at once, nothing done"
cp config.json good.json
edit 'c["process"]["cwd"] = "tmp"; c["process"]["rlimits"][0]["soft"] = 4096
c["process"]["env"][0] = "PATH"; c["linux"]["cgroupsPath"] = "../../escape"
c["linux"]["maskedPaths"][2] = "proc/kcore"'
show run "$id"

# -----------------------------------------------------------------------------------------------------------------
heading "A step that fails says which, why, and what to do; all before it is undone"
cp good.json config.json
printf '#!/usr/bin/python3\nprint("hello")\n' >rootfs/bin/hello
chmod +x rootfs/bin/hello
edit 'c["process"]["args"] = ["/bin/hello"]'
show run "$id"
show list

printf '\n%sNothing is left.  Next: README.md, docs/tutorial.md, minirun --help, minirun doctor%s\n' "$bold" "$plain"
