"""bpf(2), the part for BPF_PROG_TYPE_CGROUP_DEVICE."""

from __future__ import annotations

from minirun.linux import ffi, lib, oserror


def load_device_program(instructions: bytes) -> int:
    """BPF_PROG_LOAD; ``instructions`` are struct bpf_insn, 8 bytes each. Returns the program's descriptor.

    On refusal the verifier's log is the error's text.
    """
    count = len(instructions) // 8
    fd: int = lib.minirun_bpf_load(instructions, count, ffi.NULL, 0)
    if fd >= 0:
        return fd
    error = oserror("bpf")
    log = ffi.new("char[65536]")
    if error.errno == 22 and lib.minirun_bpf_load(instructions, count, log, 65536) < 0:
        text = ffi.string(log).decode("utf-8", "replace").strip()
        if text:
            raise OSError(error.errno, f"the verifier said: {text[-400:]}", "bpf")
    raise error


def attach_device_program(cgroup_fd: int, program_fd: int) -> None:
    """BPF_PROG_ATTACH with BPF_F_ALLOW_MULTI: a parent's program stays in force as well."""
    if lib.minirun_bpf_attach(cgroup_fd, program_fd) < 0:
        raise oserror("bpf")
