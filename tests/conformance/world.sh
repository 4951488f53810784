#!/bin/sh
# A host of its own for a suite that would otherwise litter this one.
#
#   world.sh CGROUP COMMAND...     CGROUP: a new, empty directory of the v2 hierarchy, removed by the caller afterwards
#
# Namespaces: cgroup (rooted in CGROUP, mounted as pure v2 on /sys/fs/cgroup), mount, pid (whatever the suite leaves
# running ends with it).  Nothing runs in the new root itself: a cgroup with processes passes no controllers on
# (cgroups(7), "no internal processes").  Process ids begin at 20000: a test of crun's wants five digits.
set -eu

# crun 1.21 gives /dev/null, when it is its standard input, to the container's user: to everybody's harm.
own_devices() {
	mount -t tmpfs -o mode=755 tmpfs /mnt
	for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9; do
		name=${node%%:*}
		numbers=${node#*:}
		mknod -m 666 "/mnt/$name" c "${numbers%:*}" "${numbers#*:}"
		mount --bind "/mnt/$name" "/dev/$name"
	done
	umount -l /mnt
}

case $1 in
--outside)
	echo 0 >"$2/suite/cgroup.procs"
	while read -r controllers; do
		for controller in $controllers; do echo "+$controller" >"$2/cgroup.subtree_control"; done
	done <"$2/cgroup.controllers"
	shift 2
	exec unshare --mount --pid --fork --kill-child --mount-proc --propagation private sh "$0" --inside "$@"
	;;
--inside)
	shift
	umount -l /sys/fs/cgroup
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	echo 20000 >/proc/sys/kernel/ns_last_pid
	own_devices
	# Not exec: the first process of a pid namespace has orphans to reap, which a shell that waits does.
	"$@"
	;;
*)
	group=$1
	shift
	mkdir "$group/suite"
	echo 0 >"$group/cgroup.procs"
	exec unshare --cgroup sh "$0" --outside "$group" "$@"
	;;
esac
