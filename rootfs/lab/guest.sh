#!/bin/sh
# Inside the lab, on the machine's own files: finish the machine, run the command, say how it ended, switch off.
# The shared folder /run/lab has: release, cwd, environment, command (what to run); code and dmesg go there.
set -u
lab=/run/lab
release=$(cat $lab/release)
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH HOME=/root TERM="${TERM:-linux}" MINIRUN_IN_LAB=1

if [ $$ = 1 ]; then
	ln -s /proc/self/fd /dev/fd
	ln -s /proc/self/fd/0 /dev/stdin
	ln -s /proc/self/fd/1 /dev/stdout
	ln -s /proc/self/fd/2 /dev/stderr
	mkdir -p /dev/pts /dev/shm /dev/mqueue
	mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
	mount -t tmpfs shm /dev/shm
	mount -t mqueue mqueue /dev/mqueue
	hostname lab
	ip link set lo up 2>/dev/null || ifconfig lo up
fi
[ -d /lib/modules/"$release" ] || { mkdir -p /lib/modules && ln -s "$(cat $lab/modules)" /lib/modules/"$release"; }
modprobe -a ext4 kvm_amd kvm_intel tun veth bridge 2>/dev/null
mkdir -p /mnt/disk
mount /dev/vda /mnt/disk && export MINIRUN_LAB_DISK=/mnt/disk
. $lab/environment
cd "$(cat $lab/cwd)" || exit 1
dmesg -C # what it says from here on is about the command

if [ -e /dev/hvc0 ]; then # a person's terminal
	setsid -w -c sh -c 'stty sane rows "$(cat /run/lab/rows)" cols "$(cat /run/lab/columns)"; . /run/lab/command' \
		<>/dev/hvc0 >&0 2>&1
else
	port=$(grep -lx lab /sys/class/virtio-ports/*/name)
	port=${port%/name}
	setsid -w sh /run/lab/command </dev/null >/dev/"${port##*/}" 2>&1
fi
code=$?
[ $code = 0 ] || dmesg >$lab/dmesg
echo $code >$lab/code
sync
if [ $$ = 1 ]; then
	exec busybox poweroff -f
fi
