#!/bin/sh
# A root file system from one program: the distribution's static busybox.
#
#   rootfs/busybox.sh DIR [BUSYBOX]
#
# What stands in DIR afterwards: /bin/busybox with a link for every applet, the directories that a container's
# mounts go on, and the few files in /etc that programs look for.  Running it again changes nothing.
set -eu

dir=${1:?usage: busybox.sh DIR [BUSYBOX]}
busybox=${2:-$(command -v busybox)} || { echo "busybox.sh: no busybox here (package busybox-static)" >&2; exit 1; }

for folder in bin dev etc home home/guest proc root run sys tmp usr var; do
    mkdir -p "$dir/$folder"
done
# In there is no loader and no library: a busybox that needs them is refused here, not by the kernel's ENOENT later.
cp -f "$busybox" "$dir/bin/busybox"
if LC_ALL=C grep -q -a -m1 '/ld-linux\|/ld-musl' "$dir/bin/busybox"; then
    echo "busybox.sh: $busybox is linked dynamically; busybox-static has the other one" >&2
    exit 1
fi

# Applets know their place (bin, sbin, usr/bin, usr/sbin); here all of them are in /bin, and the others are links to it.
"$busybox" --list | while read -r applet; do
    [ "$applet" = busybox ] || ln -sfn busybox "$dir/bin/$applet"
done
for folder in sbin usr/bin usr/sbin; do
    ln -sfn /bin "$dir/$folder"
done
chmod 1777 "$dir/tmp"
chmod 0700 "$dir/root"

put() { cat >"$dir/etc/$1"; }
put passwd <<EOT
root:x:0:0:root:/root:/bin/sh
guest:x:1000:1000:guest:/home/guest:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false
EOT
put group <<EOT
root:x:0:
tty:x:5:
guest:x:1000:
nogroup:x:65534:
EOT
put hosts <<EOT
127.0.0.1 localhost
::1       localhost
EOT
put profile <<EOT
export PS1='\\u@\\h:\\w\\$ '
[ -t 1 ] && cat /etc/motd
EOT
put motd <<EOT
You are inside.  ps shows who else is; exit brings you back.
EOT
[ "$(id -u)" -ne 0 ] || chown 1000:1000 "$dir/home/guest"
