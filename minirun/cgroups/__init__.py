"""cgroup v2: directories, limits, the device filter, freezing, killing, numbers.

``tree`` (the directory and its life), ``device_program`` (rules -> eBPF, pure), ``stats`` (what events and ps read).
"""
