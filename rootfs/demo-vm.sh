#!/bin/bash
# The same bundle behind hardware virtualization, with a kernel of its own and without one, and all three side by side (the
# last part of `make demo`; the whole of `make demo-lab`, in the lab VM).  Needs root; leaves nothing.
set -euo pipefail
exec </dev/null

# shellcheck source-path=SCRIPTDIR source=demo-words.sh
. "$(dirname "$0")/demo-words.sh"

[ "$(id -u)" = 0 ] || { echo "demo-vm.sh: needs root: sudo $0" >&2; exit 1; }
printf '\n%sminirun: %s%s\n' "$bold" "the same bundle in a machine of its own" "$plain"

# -----------------------------------------------------------------------------------------------------------------
heading "What KVM is here"
say "/dev/kvm may be the processor's, or something that emulates a guest's kernel mode: minirun measures."
printf '   %s$ minirun doctor | grep -A1 -w KVM%s\n' "$green" "$plain"
kvm=$(COLUMNS=92 "$minirun" doctor 2>/dev/null | grep -A1 -w KVM || true)
indent <<<"$kvm"

# -----------------------------------------------------------------------------------------------------------------
heading "The ladder: guests of a few instructions, each one step beyond the one before"
say "No kernel, no firmware: minirun makes memory, a processor, and looks at what comes back."
show vm ladder

mkdir "$work/bundle"
cd "$work/bundle"
"$here/rootfs/busybox.sh" rootfs
"$minirun" spec
edit 'c["process"]["terminal"] = False; c["hostname"] = "inside"'

# -----------------------------------------------------------------------------------------------------------------
if [ -w /dev/kvm ]; then
    heading "A VM without a kernel: works on any KVM"
    say "The program runs in a VM's user mode; minirun answers its system calls. Same bundle, same verbs."
    edit 'c["process"]["args"] = ["sh", "-c", "echo 6 7 | while read a b; do echo the answer is $((a * b)); done; exit 3"]'
    show --isolation container run "$id"
    show --isolation sandbox run "$id"
    say "What the program asks, from outside, as strace would show it (the last lines):"
    edit 'c["process"]["args"] = ["echo", "hello"]'
    printf '   %s$ sudo minirun --isolation sandbox run --trace %s 2>&1 | grep -a " = " | tail -n 4%s\n' "$green" "$id" "$plain"
    "$minirun" --root "$work/state" --isolation sandbox run --trace "$id" 2>&1 | grep -a ' = ' | tail -n 4 | indent || true
fi

if ! grep -q 'of hardware' <<<"$kvm"; then
    heading "The same bundle as a container, in a sandbox and as a machine"
    say "Linux in a machine needs a KVM that is the processor's, and there is none here."
    say "make demo-lab shows it on any machine, in the lab VM. What can be compared here (a machine only by the ladder's guest):"
    show compare . --runs 5 -- echo "hello from all"
    printf '\n%sNothing is left.  Next: docs/sandbox.md, docs/vm.md, make demo-lab%s\n' "$bold" "$plain"
    exit 0
fi

# -----------------------------------------------------------------------------------------------------------------
heading "The same bundle as a container, in a sandbox and as a machine"
say "Debian's kernel, unpacked from its package, and an initramfs with minirun-init as PID 1."
[ -e "$here/.cache/guest/default" ] || "$here/.venv/bin/python" "$here/rootfs/kernel/guest.py" generic 2>&1 | indent
cat >rootfs/look.sh <<'EOT'
echo "kernel|$(uname -r)"
echo "up for|$(cut -d' ' -f1 /proc/uptime) s"
echo "hostname|$(hostname)"
echo "pid of this shell|$$"
echo "memory|$(awk '/MemTotal/ {print int($2 / 1024) " MiB"}' /proc/meminfo)"
echo "root file system|$(awk '$2 == "/" {print $3}' /proc/self/mounts)"
echo "effective capabilities|$(awk '/CapEff/ {print $2}' /proc/self/status)"
echo "devices in sight|$(ls /sys/class/block /sys/bus/virtio/devices 2>/dev/null | grep -c '^[a-z]')"
EOT
edit 'c["process"]["args"] = ["sh", "/look.sh"]'
printf '   %s$ for i in container sandbox vm; do sudo minirun --isolation $i run %s; done%s\n' "$green" "$id" "$plain"
sh rootfs/look.sh >"$work/host"
"$minirun" --root "$work/state" run "$id" >"$work/container"
"$minirun" --root "$work/state" --isolation sandbox run "$id" >"$work/sandbox"
"$minirun" --root "$work/state" --isolation vm run "$id" >"$work/machine"
printf '   %s%-23s %-18s %-18s %-18s %s%s\n' "$bold" "" "host" "container" "sandbox" "machine" "$plain"
paste -d'|' "$work/host" "$work/container" "$work/sandbox" "$work/machine" |
    while IFS='|' read -r what host _ container _ sandbox _ machine; do
        printf '   %-23s %-18.18s %-18.18s %-18.18s %s\n' "$what" "$host" "$container" "$sandbox" "$machine"
    done

# -----------------------------------------------------------------------------------------------------------------
heading "In the background: the same verbs"
edit 'c["process"]["args"] = ["sleep", "1000"]'
"$minirun" --root "$work/state" --isolation vm run --detach "$id" >"$work/out" 2>&1 || indent <"$work/out"
printf '   %s$ sudo minirun --isolation vm run --detach %s%s\n' "$green" "$id" "$plain"
show list
say "What the host sees of it: one process, confined, with the guest's memory. Inside:"
printf '   %s$ ps -o comm= -p PID%s\n' "$green" "$plain"
pid=$("$minirun" --root "$work/state" state "$id" | awk -F'[:,]' '/"pid"/ {print $2 + 0}')
tr -d '\n' <"/proc/$pid/comm" | indent
echo
show exec "$id" ps
show pause "$id"
show list
show resume "$id"
show kill "$id" KILL
show delete --force "$id"

# -----------------------------------------------------------------------------------------------------------------
heading "Side by side, in numbers"
show compare . --runs "${RUNS:-3}" -- echo "hello from all"

printf '\n%sNothing is left.  Next: docs/vm.md, minirun compare BUNDLE --html FILE%s\n' "$bold" "$plain"
