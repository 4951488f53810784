"""Build what is native: ``minirun/minirun-init`` (static, no libc), the extensions (cffi, API mode), the ladder.

``_native`` is what Python calls of the kernel; ``_kvm`` the native half of the VMM.
``_seccomp`` is libseccomp's: an extension of its own, because only a filter that is not in the cache needs it.

    python native/build.py            build all, if a source is newer
    python native/build.py --force    build all
    python native/build.py asan DIR   init as an ordinary program with ASan and UBSan, into DIR
    python native/build.py fuzz DIR   the plan decoder and the queues as libFuzzer targets, into DIR

The package's own build (``build_backend``) calls ``main``.  Constants and structs come from the compiler:
``...`` in a cdef is filled in by it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

NATIVE = Path(__file__).resolve().parent
PACKAGE = NATIVE.parent / "minirun"
INIT = PACKAGE / "minirun-init"
LADDER = PACKAGE / "ladder"
REAPER = PACKAGE / "minirun-reaper"  # process 1 of `container run --init` (native/reaper)
MEASURE = PACKAGE / "minirun-measure"  # what `minirun compare` runs (native/measure)

WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wno-sign-conversion", "-Wshadow"]
FREESTANDING = [
    "-std=c11", "-Os", "-ffreestanding", "-fno-builtin", "-fno-stack-protector", "-fno-pie", "-no-pie",
    "-fno-asynchronous-unwind-tables", "-fno-tree-loop-distribute-patterns", "-ffunction-sections",
    "-DMINIRUN_FREESTANDING", "-static", "-nostdlib",
    "-Wl,--build-id=none", "-Wl,-z,noexecstack", "-Wl,--gc-sections", "-s",
]  # fmt: skip
SANITIZED = ["-std=gnu11", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

# The numbers that `plan` and `linux` write down as plain integers; a test compares (tests/unit/test_constants.py).
CONSTANTS = """
CLONE_NEWNS CLONE_NEWUTS CLONE_NEWIPC CLONE_NEWUSER CLONE_NEWPID CLONE_NEWNET CLONE_NEWCGROUP CLONE_NEWTIME
MOUNT_ATTR_RDONLY MOUNT_ATTR_NOSUID MOUNT_ATTR_NODEV MOUNT_ATTR_NOEXEC MOUNT_ATTR__ATIME MOUNT_ATTR_NOATIME
MOUNT_ATTR_STRICTATIME MOUNT_ATTR_NODIRATIME MOUNT_ATTR_NOSYMFOLLOW AT_RECURSIVE
MS_REC MS_PRIVATE MS_SLAVE MS_SHARED MS_UNBINDABLE
RLIMIT_AS RLIMIT_CORE RLIMIT_CPU RLIMIT_DATA RLIMIT_FSIZE RLIMIT_LOCKS RLIMIT_MEMLOCK RLIMIT_MSGQUEUE RLIMIT_NICE
RLIMIT_NOFILE RLIMIT_NPROC RLIMIT_RSS RLIMIT_RTPRIO RLIMIT_RTTIME RLIMIT_SIGPENDING RLIMIT_STACK
CAP_CHOWN CAP_SYS_ADMIN CAP_CHECKPOINT_RESTORE CGROUP2_SUPER_MAGIC PROC_SUPER_MAGIC
BPF_DEVCG_ACC_MKNOD BPF_DEVCG_ACC_READ BPF_DEVCG_ACC_WRITE BPF_DEVCG_DEV_BLOCK BPF_DEVCG_DEV_CHAR
SCHED_OTHER SCHED_FIFO SCHED_RR SCHED_BATCH SCHED_ISO SCHED_IDLE SCHED_DEADLINE
SCHED_FLAG_RESET_ON_FORK SCHED_FLAG_RECLAIM SCHED_FLAG_DL_OVERRUN SCHED_FLAG_KEEP_POLICY SCHED_FLAG_KEEP_PARAMS
SCHED_FLAG_UTIL_CLAMP_MIN SCHED_FLAG_UTIL_CLAMP_MAX PER_LINUX PER_LINUX32
MPOL_DEFAULT MPOL_PREFERRED MPOL_BIND MPOL_INTERLEAVE MPOL_LOCAL MPOL_PREFERRED_MANY
MPOL_F_NUMA_BALANCING MPOL_F_RELATIVE_NODES MPOL_F_STATIC_NODES RDTGROUP_SUPER_MAGIC
RTM_SETLINK RTM_NEWLINK RTM_GETLINK RTM_NEWADDR RTM_GETADDR IFLA_IFNAME IFLA_NET_NS_FD IFLA_NEW_IFINDEX
IFA_ADDRESS IFA_LOCAL IFA_BROADCAST IFA_FLAGS IFA_RT_PRIORITY IFA_PROTO IFA_F_PERMANENT IFF_UP
NLM_F_REQUEST NLM_F_ACK NLM_F_DUMP NLM_F_CREATE NLM_F_EXCL NLM_F_DUMP_INTR NLM_F_ACK_TLVS NLMSG_ERROR NLMSG_DONE
NS_GET_USERNS NS_GET_PARENT NS_GET_OWNER_UID
"""
PREAMBLE = """
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/mempolicy.h>
#include <linux/netlink.h>
#include <linux/nsfs.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <sys/personality.h>
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif
#include "border.h"
"""

SECCOMP_CONSTANTS = """
SECCOMP_RET_KILL_PROCESS SECCOMP_RET_KILL_THREAD SECCOMP_RET_TRAP SECCOMP_RET_ERRNO SECCOMP_RET_USER_NOTIF
SECCOMP_RET_TRACE SECCOMP_RET_LOG SECCOMP_RET_ALLOW
SCMP_CMP_NE SCMP_CMP_LT SCMP_CMP_LE SCMP_CMP_EQ SCMP_CMP_GE SCMP_CMP_GT SCMP_CMP_MASKED_EQ
SCMP_FLTATR_CTL_OPTIMIZE SCMP_ARCH_X86_64 SCMP_ARCH_X32 __NR_SCMP_ERROR
SECCOMP_FILTER_FLAG_TSYNC SECCOMP_FILTER_FLAG_LOG SECCOMP_FILTER_FLAG_SPEC_ALLOW
SECCOMP_FILTER_FLAG_NEW_LISTENER SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
"""
SECCOMP_PREAMBLE = """
#include <linux/seccomp.h>
#include <seccomp.h>
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
const char *minirun_library_of_seccomp(void);
int minirun_seccomp_has_flag(unsigned int flag);
int minirun_seccomp_has_action(uint32_t action);
"""


# What the VMM does in C; the declarations lie beside each file, as FILE.cdef.
KVM_CONSTANTS = ""
KVM_PREAMBLE = """
#include "vm.h"
#include "balloon.h"
#include "blk.h"
#include "net.h"
#include "sandbox.h"
#include "share.h"
#include "virtq.h"
"""


def cc() -> str:
    return os.environ.get("CC", "cc")


def run(*command: str | Path) -> None:
    subprocess.run([str(word) for word in command], check=True)


def stale(target: Path, sources: list[Path]) -> bool:
    return not target.exists() or any(source.stat().st_mtime > target.stat().st_mtime for source in sources)


def init_sources() -> list[Path]:
    return sorted((NATIVE / "init").glob("*.c"))


def build_init(target: Path = INIT) -> Path:
    """The static program that becomes the container's first process."""
    run(cc(), *WARNINGS, *FREESTANDING, "-o", target, *init_sources())
    return target


def reaper_sources() -> list[Path]:
    return sorted((NATIVE / "reaper").glob("*.c"))


def build_reaper(target: Path = REAPER) -> Path:
    run(cc(), *WARNINGS, *FREESTANDING, "-o", target, *reaper_sources())
    return target


def build_measure(target: Path = MEASURE) -> Path:
    """The static program that measures the place it is put in."""
    run(cc(), *WARNINGS, *FREESTANDING, "-o", target, *measure_sources())
    return target


def measure_sources() -> list[Path]:
    return [*sorted((NATIVE / "measure").glob("*.c")), NATIVE / "init" / "text.c"]


def build_asan(folder: Path) -> Path:
    """The same sources as an ordinary program, watched by the sanitizers."""
    target = folder / "minirun-init-asan"
    run(cc(), *WARNINGS, *SANITIZED, "-o", target, *init_sources())
    return target


def build_fuzz(folder: Path, what: str = "plan", *, alone: bool = False) -> Path:
    """``plan`` or ``queues`` under libFuzzer (of clang); ``alone``: a program that takes a file of inputs."""
    target = folder / (what if alone else f"fuzz-{what}")
    sources = [NATIVE / "fuzz" / "plan.c", NATIVE / "init" / "text.c"]  # the first includes init/plan.c
    if what == "queues":
        names = ("memory", "virtq", "virtq_data", "worker", "blk", "net", "balloon")
        sources = [NATIVE / "fuzz" / "virtq.c", *(NATIVE / "vm" / f"{name}.c" for name in names)]
    compiler, flags = (cc(), ["-DALONE"]) if alone else ("clang", ["-fsanitize=fuzzer"])
    run(compiler, *WARNINGS, *SANITIZED, *flags, "-o", target, *sources)
    return target


def extension_path(name: str = "_native") -> Path:
    return PACKAGE / f"{name}.abi3.so"


def build_extension() -> None:
    """What Python calls of the kernel."""
    compile_module("_native", NATIVE / "border", declarations("border"), CONSTANTS, PREAMBLE)


def build_seccomp() -> None:
    """libseccomp, where its header is: without it minirun runs, and a bundle with a filter is refused."""
    found = subprocess.run(
        [cc(), "-E", "-o", os.devnull, "-include", "seccomp.h", "-xc", os.devnull], capture_output=True
    )
    if found.returncode == 0:
        compile_module(
            "_seccomp", NATIVE / "seccomp", declarations("seccomp"), SECCOMP_CONSTANTS, SECCOMP_PREAMBLE, ["seccomp"]
        )
    else:
        print(
            "minirun: no seccomp.h (package libseccomp-dev): bundles with a seccomp filter cannot be run",
            file=sys.stderr,
        )


def build_kvm() -> None:
    """The VMM's native half."""
    compile_module(
        "_kvm", NATIVE / "vm", declarations("vm"), KVM_CONSTANTS, KVM_PREAMBLE, more=init_sources(),
        flags=["-DMINIRUN_LINKED", "-fvisibility=hidden", f"-I{NATIVE / 'init'}"],
    )  # fmt: skip


def build_ladder() -> None:
    """Guests without a kernel: flat bytes that begin at 0x1000, and beside them the source, which people are shown."""
    LADDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        for source in sorted((NATIVE / "ladder").glob("*.S")):
            part = Path(work) / "rung.o"
            run(cc(), "-nostdlib", "-c", "-o", part, source)
            target = LADDER / source.with_suffix(".bin").name
            run("ld", "-Ttext=0x1000", "-e0x1000", "--oformat=binary", "-o", target, part)
    for source in (NATIVE / "ladder").iterdir():
        shutil.copyfile(source, LADDER / source.name)


def declarations(folder: str) -> str:
    """What lies beside each file as FILE.cdef."""
    return "".join(path.read_text() for path in sorted((NATIVE / folder).glob("*.cdef")))


def compile_module(
    name: str, folder: Path, cdef: str, constants: str, preamble: str, libraries: list[str] | None = None, *,
    more: Sequence[Path] = (), flags: Sequence[str] = (),
) -> None:  # fmt: skip
    """cffi's API mode: a compiled module with the compiler's own idea of every struct and constant."""
    import cffi

    ffi = cffi.FFI()
    ffi.cdef(cdef + "\n".join(f"#define {word} ..." for word in constants.split()))
    ffi.set_source(
        name, preamble, sources=[str(path) for path in (*sorted(folder.glob("*.c")), *more)],
        include_dirs=[str(folder)], libraries=libraries or [], extra_compile_args=["-O2", *WARNINGS[:2], *flags],
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as work:
        built = Path(ffi.compile(tmpdir=work))
        data = built.read_bytes()
    new = extension_path(name).with_suffix(".new")
    new.write_bytes(data)
    new.chmod(0o755)
    new.replace(extension_path(name))


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["asan"]:
        print(build_asan(Path(arguments[1])))
        return 0
    if arguments[:1] == ["fuzz"]:
        print(*(build_fuzz(Path(arguments[1]), what) for what in ("plan", "queues")))
        return 0
    force = "--force" in arguments
    headers = list((NATIVE / "init").glob("*.h")) + [NATIVE / "build.py"]
    if force or stale(INIT, init_sources() + headers):
        build_init()
    if force or stale(REAPER, reaper_sources() + headers):
        build_reaper()
    if force or stale(MEASURE, measure_sources() + headers):
        build_measure()
    border = list((NATIVE / "border").iterdir()) + [NATIVE / "build.py"]
    if force or stale(extension_path(), border):
        build_extension()
    filters = [*(NATIVE / "seccomp").iterdir(), NATIVE / "build.py"]
    if force or stale(extension_path("_seccomp"), filters):
        build_seccomp()
    machine = [*(NATIVE / "vm").iterdir(), *init_sources(), *headers]
    if force or stale(extension_path("_kvm"), machine):
        build_kvm()
    rungs = [*(NATIVE / "ladder").iterdir(), NATIVE / "build.py"]
    if force or stale(LADDER / "hlt.bin", rungs):
        build_ladder()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
