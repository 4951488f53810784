#!/bin/bash
# A Debian or Ubuntu machine becomes a lab.
#
#   provision.sh install PACKAGE...  those that are missing, with apt; make setup and make test use it as well
#   provision.sh idle PACKAGE...     the same, but the daemons in them are not started: tests start their own
#   provision.sh packages          what the lab needs beside minirun itself (make lab-setup, make test-lab)
#   provision.sh machine CHECKOUT  the whole machine: packages, minirun built and installed, modules (Vagrant)
#
# Each may be run again at any time.  A test runs the last in a fresh Debian root.
set -eu

# QEMU with its kernel's tools, the peers that minirun is compared with, and a busybox for the first bundle.
packages="qemu-system-x86 kmod e2fsprogs zstd runc crun busybox-static procps"
building="make git ca-certificates sudo"

installed() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# --no-remove: what is there stays (docker-ce, which Debian's docker conflicts with).
get() { as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-remove --no-install-recommends "$@" >/dev/null 2>&1; }

# apt is asked only for what is missing: it is slow, and needs a network.  Old lists are renewed when it does not
# succeed; then each package has its chance alone, and the one that cannot be had is named.
install() {
	local package missing=() lacking=()
	for package in "$@"; do installed "$package" || missing+=("$package"); done
	[ ${#missing[@]} -gt 0 ] || return 0
	[ "$(id -u)" = 0 ] || command -v sudo >/dev/null || {
		echo "minirun: installing packages needs root, and there is no sudo here: as root first: apt-get install ${missing[*]}" >&2
		return 1
	}
	echo "installing: ${missing[*]}"
	get "${missing[@]}" && return 0
	as_root apt-get update -qq || true
	get "${missing[@]}" && return 0
	for package in "${missing[@]}"; do get "$package" || lacking+=("$package"); done
	[ ${#lacking[@]} = 0 ] || { echo "minirun: apt cannot install ${lacking[*]} here" >&2 && return 1; }
}

# invoke-rc.d(8) asks policy-rc.d whether it may start a service; 101 is no.
idle() {
	local package lacks=no
	for package in "$@"; do installed "$package" || lacks=yes; done
	[ $lacks = yes ] || return 0
	if [ ! -e /usr/sbin/policy-rc.d ] && { [ "$(id -u)" = 0 ] || command -v sudo >/dev/null; }; then
		trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
		printf '#!/bin/sh\nexit 101\n' | as_root tee /usr/sbin/policy-rc.d >/dev/null
		as_root chmod 755 /usr/sbin/policy-rc.d
	fi
	install "$@"
}

modules() {
	mkdir -p /etc/modules-load.d
	printf '%s\n' kvm overlay veth bridge tun >/etc/modules-load.d/minirun.conf
	for module in $(cat /etc/modules-load.d/minirun.conf); do modprobe "$module" 2>/dev/null || true; done
}

# The owner of the checkout builds in it; a root-owned .venv in a home directory is nobody's friend.
build() {
	local owner
	owner=$(stat -c %U "$1")
	make -C "$1" deb-setup
	if [ "$owner" = root ] || [ "$(id -u)" != 0 ]; then make -C "$1" setup; else sudo -u "$owner" -H make -C "$1" setup; fi
	make -C "$1" install
}

# Up-arrow in a new shell brings the tutorial's first command.
first_command() {
	local home history
	home=$(getent passwd "$(stat -c %U "$1")" | cut -d: -f6)
	history="$home/.bash_history"
	grep -qxF "$2" "$history" 2>/dev/null || echo "$2" >>"$history"
	chown "$(stat -c %U:%G "$1")" "$history"
}

case "${1:-}" in
install)
	shift
	install "$@"
	;;
idle)
	shift
	idle "$@"
	;;
packages)
	# shellcheck disable=SC2086
	install $packages
	;;
machine)
	checkout=$(cd "${2:?where is the checkout?}" && pwd)
	# shellcheck disable=SC2086
	install $building $packages
	modules
	build "$checkout"
	first="cd $checkout && mkdir web && rootfs/busybox.sh web/rootfs"
	first_command "$checkout" "$first"
	echo
	minirun doctor || true
	echo
	echo "This machine is ready: docs/tutorial.md begins with this (up-arrow in a new shell has it)"
	echo
	echo "    $first"
	;;
*)
	echo "usage: provision.sh install PACKAGE... | idle PACKAGE... | packages | machine CHECKOUT" >&2
	exit 2
	;;
esac
