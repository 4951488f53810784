"""The device filter in force: rules compiled, loaded and attached to a cgroup (bpf(2))."""

from __future__ import annotations

import posix

from minirun.cgroups.device_program import compile_rules
from minirun.linux import bpf


def install(directory: str, rules: list[str], *, replace: bool = False) -> None:
    """Attach; with ``replace`` in the place of the one that minirun attached before, in one step."""
    opened = [posix.open(directory, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)]
    try:
        program = bpf.load_device_program(compile_rules(rules))
        opened.append(program)
        old = bpf.own_device_program(opened[0]) if replace else -1
        if old >= 0:
            opened.append(old)
        bpf.attach_device_program(opened[0], program, old)
    finally:
        for fd in opened:
            posix.close(fd)
