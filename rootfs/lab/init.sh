#!/bin/busybox sh
# shellcheck shell=dash
# /init of the lab's initramfs: the machine's own files, read-only, under a layer that forgets; then the lab's guest.sh
# (or systemd), from the checkout itself.
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in /modules/*.ko; do insmod "$module"; done

mkdir -p /machine /layer /root
share=trans=virtio,version=9p2000.L,msize=512000
mount -t 9p -o "$share,ro,cache=loose" machine /machine || echo "lab: cannot see the machine's files"
mount -t tmpfs -o mode=755 layer /layer
mkdir /layer/upper /layer/work
mount -t overlay -o lowerdir=/machine,upperdir=/layer/upper,workdir=/layer/work root /root
mount -t proc proc /root/proc
mount -t sysfs sysfs /root/sys
mount --move /dev /root/dev
for folder in run tmp mnt; do mount -t tmpfs "$folder" "/root/$folder"; done
chmod 755 /root/run /root/mnt
chmod 1777 /root/tmp
mkdir -p /root/run/lab
mount -t 9p -o "$share" lab /root/run/lab || echo "lab: cannot see the shared folder"
mount -t cgroup2 cgroup2 /root/sys/fs/cgroup
tree=$(cat /root/run/lab/tree)
case "$tree" in
/tmp/* | /run/* | /mnt/*) # the checkout lies where the lab has file systems of its own
	mkdir -p "/root$tree" /layer/tree /layer/treework
	mount -t overlay -o "lowerdir=/machine$tree,upperdir=/layer/tree,workdir=/layer/treework" tree "/root$tree"
	;;
esac

case " $(cat /proc/cmdline) " in
*" lab.init=systemd "*)
	mkdir -p /root/run/systemd/system
	cp /root/run/lab/minirun-lab.service /root/run/systemd/system
	rm -f /root/.dockerenv /root/run/.containerenv # or systemd would take itself for a container's
	umount /proc /sys
	exec switch_root /root /lib/systemd/systemd
	;;
esac
umount /proc /sys
exec switch_root /root /bin/sh /run/lab/guest.sh
