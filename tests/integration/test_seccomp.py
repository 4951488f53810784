"""System call filters: every action and operator by what the kernel does, who has rights left, the usual profile."""

from __future__ import annotations

import errno
import os
import platform

import pytest

from tests.conftest import Bundle, Json, Runtime
from tests.integration.profiles import argument, default, number, profile, rule
from tests.integration.seen import ask, ask_in, outside, status_of

pytestmark = pytest.mark.needs("root", "busybox", "seccomp")
HIGH = 1 << 40 | 5
GETPPID = "getppid"  # nobody needs it: neither busybox nor the C library on its way


def filtered(bundle: Bundle, section: Json, *, no_new_privileges: bool = False) -> Bundle:
    bundle.config["linux"]["seccomp"] = section
    bundle.config["process"]["noNewPrivileges"] = no_new_privileges
    return bundle


@pytest.mark.parametrize(
    ("action", "verb", "seen"),
    [
        (rule("ALLOW", GETPPID), "call", "ok"),
        (rule("LOG", GETPPID), "call", "ok"),
        (rule("ERRNO", GETPPID), "call", "EPERM"),
        (rule("ERRNO", GETPPID, errno=errno.ENOSPC), "call", "ENOSPC"),
        (rule("ERRNO", GETPPID, errno=0), "call-result", "0"),
        (rule("TRACE", GETPPID), "call", "ENOSYS"),  # nobody traces: seccomp(2), SECCOMP_RET_TRACE
        (rule("TRAP", GETPPID), "call-trap", ""),  # SIGSYS tells the call's number
        (rule("KILL", GETPPID), "call-end", "signal 31"),
        (rule("KILL_THREAD", GETPPID), "call-end", "signal 31"),
        (rule("KILL_PROCESS", GETPPID), "call-end", "signal 31"),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)  # fmt: skip
def test_actions(minirun: Runtime, bundle: Bundle, clean_host: None, action: Json, verb: str, seen: str) -> None:
    allowed = action["action"] == "SCMP_ACT_ALLOW"
    section = profile(action, rule("ALLOW", *EVERYTHING), action="ERRNO" if allowed else "ALLOW")
    answers = ask(minirun, filtered(bundle, section), f"{verb} {number(GETPPID)}", "caps")
    assert answers[0] == (seen or number(GETPPID))


EVERYTHING = [
    "read", "write", "exit_group", "execve", "brk", "arch_prctl", "set_tid_address", "set_robust_list", "rseq",
    "prlimit64", "readlink", "readlinkat", "getrandom", "mprotect", "fstat", "newfstatat", "openat", "close", "mmap",
    "munmap", "ioctl", "prctl", "uname", "capget", "lseek", "writev",
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "errno_ret", "seen"),
    [("ERRNO", None, "EPERM"), ("ERRNO", 13, "EACCES"), ("TRACE", None, "ENOSYS")],
)
def test_default_actions(minirun: Runtime, bundle: Bundle, name: str, errno_ret: int | None, seen: str) -> None:
    more = {} if errno_ret is None else {"defaultErrnoRet": errno_ret}
    section = profile(rule("ALLOW", *EVERYTHING, "sched_yield"), action=name, **more)
    assert ask(minirun, filtered(bundle, section), f"call {number(GETPPID)}") == [seen]


@pytest.mark.parametrize("name", ["KILL", "KILL_PROCESS", "KILL_THREAD", "TRAP"])
def test_a_default_that_ends_the_program(minirun: Runtime, bundle: Bundle, clean_host: None, name: str) -> None:
    section = profile(rule("ALLOW", *EVERYTHING, "statx"), action=name)
    done = minirun.run(filtered(bundle, section).args("/probe", "call", number(GETPPID)))
    assert (done.returncode, done.stdout) == (128 + 31, "")


@pytest.mark.parametrize(
    ("condition", "refused", "passed"),
    [
        (argument(0, "NE", 5), ["6", HIGH], ["5"]),
        (argument(0, "LT", HIGH), ["5", HIGH - 1], [HIGH, HIGH + 1]),
        (argument(0, "LE", HIGH), ["5", HIGH], [HIGH + 1]),
        (argument(0, "EQ", HIGH), [HIGH], ["5", HIGH + 1]),
        (argument(0, "GE", HIGH), [HIGH, HIGH + 1], ["5", HIGH - 1]),
        (argument(0, "GT", HIGH), [HIGH + 1], ["5", HIGH]),
        (argument(0, "MASKED_EQ", 0xF0, 0x50), ["0x5f", HIGH | 0x50], ["0x6f", "0"]),
        (argument(5, "EQ", 9), ["0 0 0 0 0 9"], ["9 0 0 0 0 0"]),
    ],
    ids=lambda value: value["op"] if isinstance(value, dict) else "",
)
def test_operators(
    minirun: Runtime, bundle: Bundle, condition: Json, refused: list[object], passed: list[object]
) -> None:
    """All 64 bits of an argument count."""
    section = profile(rule("ERRNO", GETPPID, args=[condition], errno=errno.EXDEV))
    calls = [f"call {number(GETPPID)} {word}" for word in (*refused, *passed)]
    assert ask(minirun, filtered(bundle, section), *calls) == ["EXDEV"] * len(refused) + ["ok"] * len(passed)


def test_conditions_of_one_rule_hold_together(minirun: Runtime, bundle: Bundle) -> None:
    """On different arguments all of them; on the same one each by itself, as runc and crun read it."""
    together = rule("ERRNO", GETPPID, args=[argument(0, "EQ", 1), argument(1, "EQ", 2)])
    either = rule("ERRNO", "getpgrp", args=[argument(0, "EQ", 1), argument(0, "EQ", 2)])
    asked = [f"call {number(GETPPID)} {words}" for words in ("1 2", "1 3", "2 2")]
    asked += [f"call {number('getpgrp')} {word}" for word in "123"]
    seen = ask(minirun, filtered(bundle, profile(together, either)), *asked)
    assert seen == ["EPERM", "ok", "ok", "EPERM", "EPERM", "ok"]


def test_several_rules_for_one_call(minirun: Runtime, bundle: Bundle) -> None:
    rules = [rule("ERRNO", GETPPID, args=[argument(0, "EQ", n)], errno=code) for n, code in ((1, 11), (2, 12), (3, 13))]
    section = profile(*rules)
    asked = [f"call {number(GETPPID)} {word}" for word in "1234"]
    assert ask(minirun, filtered(bundle, section), *asked) == ["EAGAIN", "ENOMEM", "EACCES", "ok"]


def test_names_that_nobody_knows_are_left_out(minirun: Runtime, bundle: Bundle) -> None:
    section = profile(rule("ERRNO", "frobnicate", GETPPID, "socketcall"), architectures=["SCMP_ARCH_S390X"])
    assert ask(minirun, filtered(bundle, section), f"call {number(GETPPID)}") == ["EPERM"]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the second door is of x86")
def test_the_other_architecture(minirun: Runtime, bundle: Bundle) -> None:
    """A rule holds for every architecture that is listed, each with its number; one that is not listed kills."""
    allowed, refused = number("getpid", "x86"), number(GETPPID, "x86")
    section = profile(rule("ERRNO", GETPPID), architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
    assert ask(minirun, filtered(bundle, section), f"call32 {allowed}", f"call32 {refused}") == ["ok", "EPERM"]
    del section["architectures"]
    assert minirun.run(bundle.args("/probe", "call32", allowed)).returncode == 128 + 31


# -- what is newer than the profile -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "more", "seen"),
    [
        ("ERRNO", {}, ["EPERM", "ENOSYS", "ENOSYS"]),
        ("ERRNO", {"defaultErrnoRet": 38}, ["ENOSYS", "ENOSYS", "ENOSYS"]),
        ("LOG", {}, ["ok", "EINVAL", "ENOSYS"]),
    ],
)
def test_newer_calls_are_not_there(minirun: Runtime, bundle: Bundle, name: str, more: Json, seen: list[str]) -> None:
    """Beyond the newest call that the profile names (statx) ENOSYS stands for "not there"; as in runc."""
    section = profile(rule("ALLOW", *EVERYTHING, "statx"), action=name, architectures=ALL_X86, **more)
    asked = [f"call {number(GETPPID)}", f"call {number('pidfd_send_signal')} 1", "call 100000"]
    seen_now = ask(minirun, filtered(bundle, section), *asked)
    assert [word.replace("EBADF", "EINVAL") for word in seen_now] == seen


ALL_X86 = ["SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32"] if platform.machine() == "x86_64" else []


@pytest.mark.skipif(platform.machine() != "x86_64", reason="x32 is of x86")
@pytest.mark.parametrize("listed", [True, False])
def test_newer_calls_of_each_architecture(minirun: Runtime, bundle: Bundle, listed: bool) -> None:
    """x32's numbers lie high above all: they are not newer calls of x86_64, and without the architecture they kill."""
    section = profile(rule("ALLOW", *EVERYTHING, "fork", "clone", "wait4", "statx"), action="ERRNO")
    section["architectures"] = ALL_X86 if listed else ALL_X86[:2]
    x32 = 1 << 30
    asked = [f"call-end {x32 + int(number(GETPPID))}", f"call32 {number(GETPPID, 'x86')}", "call32 100000"]
    seen = ask(minirun, filtered(bundle, section), *asked)
    assert seen == ["exit 0" if listed else "signal 31", "EPERM", "ENOSYS"]


# -- rights -----------------------------------------------------------------------------------------------------------

SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


def capabilities(bundle: Bundle, **sets: list[str]) -> None:
    names = ("bounding", "effective", "permitted", "inheritable", "ambient")
    bundle.config["process"]["capabilities"] = {name: sets.get(name, []) for name in names}


@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("ambient", [False, True])
@pytest.mark.parametrize("no_new_privileges", [False, True])
def test_the_right_to_load_is_not_the_programs(
    minirun: Runtime, bundle: Bundle, uid: int, ambient: bool, no_new_privileges: bool
) -> None:
    """Init keeps CAP_SYS_ADMIN for the filter; whatever the user, the program has what it has without a filter."""
    names = ["CAP_CHOWN", "CAP_KILL"]
    capabilities(bundle, bounding=names, effective=names, permitted=names,
                 **({"inheritable": names[:1], "ambient": names[:1]} if ambient else {}))  # fmt: skip
    bundle.config["process"]["user"] = {"uid": uid, "gid": uid}
    bundle.config["process"]["noNewPrivileges"] = no_new_privileges
    without = status_of(ask(minirun, bundle, "status")[0])
    filtered(bundle, profile(rule("ERRNO", GETPPID)), no_new_privileges=no_new_privileges)
    name = minirun.start(bundle.args("/probe", "pause"))
    for text in (ask_in(minirun, name, "status")[0], outside(minirun.state(name)["pid"], "status")):
        now = status_of(text)
        assert now["Seccomp"] == "2" and now["Seccomp_filters"] == "1"
        assert {key: now[key] for key in SETS} == {key: without[key] for key in SETS}
        assert now["NoNewPrivs"] == ("1" if no_new_privileges else "0")


def test_exec_has_the_containers_filter(minirun: Runtime, bundle: Bundle) -> None:
    name = minirun.start(filtered(bundle, profile(rule("ERRNO", GETPPID))).args("/probe", "pause"))
    assert ask_in(minirun, name, f"call {number(GETPPID)}") == ["EPERM"]
    done = minirun("exec", "--no-new-privs", name, "/probe", "call", number(GETPPID))
    assert done.stdout == "EPERM\n"


# -- a filter that would be in our own way ----------------------------------------------------------------------------


def test_only_execve_of_ours_runs_under_the_filter(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """Everything kills but what a static program needs, and execve: create, start and exec work."""
    needs = ["execve", "exit_group", "write", "brk", "arch_prctl", "set_tid_address", "set_robust_list", "rseq",
             "prlimit64", "readlink", "readlinkat", "getrandom", "mprotect", "fstat", "newfstatat", "getpid",
             "nanosleep", "clock_nanosleep"]  # fmt: skip
    section = profile(rule("ALLOW", *needs), action="KILL_PROCESS")
    name = minirun.start(filtered(bundle, section).args("/probe", "sleep", "60"))
    assert ask_in(minirun, name, "pid")[0].isdigit()
    assert minirun.state(name)["status"] == "running"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["/nowhere"], 127, "No such file or directory"),
        (["/script"], 127, "its first line is #!/no/shell"),
        (["/etc/passwd"], 126, "Permission denied"),
    ],
)
def test_a_program_that_cannot_run_is_named_in_spite_of_the_filter(
    minirun: Runtime, bundle: Bundle, clean_host: None, words: list[str], code: int, said: str
) -> None:
    (bundle.rootfs / "script").write_text("#!/no/shell -e\n")
    os.chmod(bundle.rootfs / "script", 0o755)
    section = profile(rule("ALLOW", "execve"), action="KILL_PROCESS")
    done = minirun.run(filtered(bundle, section).args(*words))
    assert done.returncode == code and said in done.stderr


def test_what_is_no_program_under_a_filter_that_kills(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """execve fails with the filter in force; a report is a call that kills: the exit code is what is left."""
    (bundle.rootfs / "data").write_bytes(b"\1\2\3\4")
    os.chmod(bundle.rootfs / "data", 0o755)
    filtered(bundle, profile(rule("ALLOW", "execve"), action="KILL_PROCESS")).args("/data")
    assert minirun.run(bundle).returncode == 128 + 31
    filtered(bundle, profile(rule("ALLOW", "execve"), action="ERRNO"))
    assert minirun.run(bundle).returncode not in (0, 1)
    filtered(bundle, profile(rule("ERRNO", "sendmsg")))
    assert minirun.run(bundle).returncode == 126


def test_a_filter_that_forbids_to_execute(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    done = minirun.run(filtered(bundle, profile(rule("ERRNO", "execve"))))
    assert done.returncode == 126
    assert "forbids execve(2) itself" in done.stderr


# -- the usual profile ------------------------------------------------------------------------------------------------


def test_the_default_profile(minirun: Runtime, bundle: Bundle, clean_host: None) -> None:
    """podman's: a shell works, what it is there for is refused, and what is newer than it is not there."""
    filtered(bundle, default())
    refused = ["kexec_load", "init_module", "bpf", "open_by_handle_at", "perf_event_open", "acct", "iopl", "quotactl"]
    seen = ask(minirun, bundle, *[f"call {number(name)}" for name in refused], "call 100000")
    assert seen == ["EPERM"] * len(refused) + ["ENOSYS"]
    script = "cat /etc/passwd | head -1; (sleep 0; echo child); ls / > /tmp/x || true; id -u"
    bundle.config["root"]["readonly"] = False
    assert minirun.output(bundle, "sh", "-c", script).split() == ["root:x:0:0:root:/root:/bin/sh", "child", "0"]


def test_with_a_capability_the_profile_allows_more(minirun: Runtime, bundle: Bundle) -> None:
    everything = filtered(bundle, default("CAP_SYS_ADMIN"))
    capabilities(everything, **{name: ["CAP_SYS_ADMIN"] for name in ("bounding", "effective", "permitted")})
    assert ask(minirun, everything, f"call {number('bpf')} 1000") == ["EINVAL"]
