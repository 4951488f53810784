"""bpf(2), the part for BPF_PROG_TYPE_CGROUP_DEVICE."""

from __future__ import annotations

from minirun.linux import ffi, lib, oserror

NAME = b"minirun_device"  # at most 15 bytes (BPF_OBJ_NAME_LEN); bpftool shows it, and by it we know our own
MOST = 64  # programs at one cgroup (kernel/bpf/cgroup.c, BPF_CGROUP_MAX_PROGS)


def load_device_program(instructions: bytes) -> int:
    """BPF_PROG_LOAD; ``instructions`` are struct bpf_insn, 8 bytes each. Returns the program's descriptor.

    On refusal the verifier's log is the error's text.
    """
    count = len(instructions) // 8
    fd: int = lib.minirun_bpf_load(instructions, count, NAME, ffi.NULL, 0)
    if fd >= 0:
        return fd
    error = oserror("bpf")
    log = ffi.new("char[65536]")
    if error.errno == 22 and lib.minirun_bpf_load(instructions, count, NAME, log, 65536) < 0:
        text = ffi.string(log).decode("utf-8", "replace").strip()
        if text:
            raise OSError(error.errno, f"the verifier said: {text[-400:]}", "bpf")
    raise error


def attach_device_program(cgroup_fd: int, program_fd: int, replaced: int = -1) -> None:
    """BPF_PROG_ATTACH with BPF_F_ALLOW_MULTI: a parent's program stays in force as well.

    With ``replaced`` (BPF_F_REPLACE) there is no moment without a filter, and none with both.
    """
    if lib.minirun_bpf_attach(cgroup_fd, program_fd, replaced) < 0:
        raise oserror("bpf")


def own_device_program(cgroup_fd: int) -> int:
    """A descriptor of the program that minirun attached to this cgroup, or -1: others' (systemd's, say) stay."""
    numbers = ffi.new("uint32_t[]", MOST)
    count = lib.minirun_bpf_query(cgroup_fd, numbers, MOST)
    if count < 0:
        raise oserror("bpf")
    for number in numbers[0:count]:
        fd: int = lib.minirun_bpf_open(number, NAME)
        if fd > 0:
            return fd
    return -1
