#!/bin/sh
# runc, called as crun's suite calls crun: without the options that runc does not know.
#
#   RUNC=/path/of/runc runc_as_crun.sh ARGUMENT...
#
# --cgroup-manager MANAGER is dropped; --config FILE becomes the bundle's config.json (the bundle is the working
# directory there).
set -eu
left=$#
while [ "$left" -gt 0 ]; do
	word=$1
	shift
	left=$((left - 1))
	case $word in
	--cgroup-manager)
		shift
		left=$((left - 1))
		;;
	--config)
		[ "$1" = config.json ] || cp "$1" config.json
		shift
		left=$((left - 1))
		;;
	*) set -- "$@" "$word" ;;
	esac
done
exec "${RUNC:?}" "$@"
