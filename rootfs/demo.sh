#!/bin/bash
# What minirun does, in a few seconds (`make demo`).  Needs root; leaves nothing.
set -euo pipefail
exec </dev/null

# shellcheck source-path=SCRIPTDIR source=demo-words.sh
. "$(dirname "$0")/demo-words.sh"

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

printf '\n%sNothing is left.  Next: docs/tutorial.md, minirun --help, minirun doctor%s\n' "$bold" "$plain"
