"""``minirun doctor``: the facts of this host, and what is missing with how to get it.

A column of small functions, each yields findings; nothing is guessed where it can be tried (``trials``).
"""

from __future__ import annotations

import os
import sys

from minirun import __version__, facts as host_facts, hot
from minirun.cli import trials
from minirun.facts import Facts
from minirun.plan.namespaces import CLONE
from minirun.record import Record
from minirun.runtime.trace import terminal_width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

OK, LIMITED, MISSING = "ok", "limited", "missing"
COLOURS = {OK: "32", LIMITED: "33", MISSING: "31"}
CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")
KERNEL = "a kernel of at least 5.14, without a filter that hides the call (are we in a container?)"


MARGIN = 29  # columns before what was found


class Finding(Record):
    """``status`` is ok, limited (containers run, something is refused) or missing (none will run)."""

    name: str
    status: str
    found: str
    hint: str = ""


def folded(text: str, width: int) -> list[str]:
    """In lines that fit behind the name."""
    from textwrap import wrap

    room = width - MARGIN
    return wrap(text, room, break_long_words=False, break_on_hyphens=False) if room > 20 and text else [text]


def run(form: str, storage: str = "") -> int:
    """Print everything, as wide as the terminal; 1 if something is missing that no container can do without."""
    findings = list(examine(storage))
    bad = any(finding.status == MISSING for finding in findings)
    if form == "json":
        from minirun.spec.decode import encode

        rows = [{name: getattr(row, name) for name in Finding.FIELDS} for row in findings]
        print(encode({"version": __version__, "ok": not bad, "findings": rows}, "  "))
    else:
        coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        print(table(findings, coloured=coloured, width=terminal_width(1, os.environ.get("COLUMNS", ""))))
    return 1 if bad else 0


def examine(storage: str = "") -> Iterator[Finding]:
    """In the order in which a container needs things."""
    from minirun.cli.doctor_images import images, networks
    from minirun.cli.doctor_users import users
    from minirun.cli.doctor_vm import machines
    from minirun.cli.stores import default_storage

    facts = host_facts.probe()
    yield from minirun_itself()
    yield from kernel()
    yield from namespaces(facts)
    yield from mounts(facts)
    yield from cgroups(facts)
    yield from users(facts)
    yield from extras(facts)
    yield from images(facts, storage or default_storage(dict(os.environ), facts.euid))
    yield from networks(facts)
    yield from machines()


def minirun_itself() -> Iterator[Finding]:
    yield Finding(name="minirun", status=OK, found=f"{__version__}, Python {sys.version.split()[0]} ({sys.executable})")
    program = f"{hot.PACKAGE}/minirun-init"
    there = os.access(program, os.R_OK)
    yield Finding(
        name="minirun-init", status=OK if there else MISSING, found=program if there else f"{program} is not there",
        hint="" if there else "make setup builds it",
    )  # fmt: skip
    if hot.active:
        yield Finding(name="start-up bundle", status=OK, found="in use")
    else:
        state = "out of date" if os.path.exists(hot.PATH) else "not there"
        hint = "make setup (or make install) writes it; without it minirun starts more slowly"
        yield Finding(name="start-up bundle", status=LIMITED, found=state, hint=hint)


def kernel() -> Iterator[Finding]:
    from minirun.linux.syscalls import NUMBERS, absent

    system = os.uname()
    yield Finding(name="kernel", status=OK, found=f"{system.sysname} {system.release} {system.machine}")
    missing = absent()
    found = f"without {' '.join(missing)}" if missing else f"all of {' '.join(NUMBERS)}"
    yield Finding(name="system calls", status=MISSING if missing else OK, found=found, hint=KERNEL if missing else "")


def namespaces(facts: Facts) -> Iterator[Finding]:
    refused = {name: why for name in sorted(CLONE) if (why := trials.namespace(facts, name))}
    made = " ".join(name for name in sorted(CLONE) if name not in refused)
    status = OK if not refused else MISSING if "mount" in refused else LIMITED
    hint = "root, or a kernel that lets ordinary users make user namespaces" if "mount" in refused else ""
    yield Finding(name="namespaces", status=status, found=made or "none", hint=hint)
    for name, why in refused.items():
        yield Finding(name=f"  {name}", status=MISSING if name == "mount" else LIMITED, found=why)


def mounts(facts: Facts) -> Iterator[Finding]:
    why = trials.mounts(facts)
    found = why or "attached fd to fd, made read-only, masked, pivoted into"
    yield Finding(name="mounts", status=MISSING if why else OK, found=found, hint=KERNEL if why else "")


def cgroups(facts: Facts) -> Iterator[Finding]:
    root = facts.cgroup_root
    if not root:
        hint = "mount -t cgroup2 none /sys/fs/cgroup (beside cgroup v1: .../unified)"
        status = MISSING if facts.euid == 0 else LIMITED
        yield Finding(name="cgroup v2", status=status, found="not mounted", hint=hint)
        return
    kind = "pure" if root == "/sys/fs/cgroup" else "hybrid: cgroup v1 is mounted beside it"
    yield Finding(name="cgroup v2", status=OK, found=f"{root} ({kind})")
    lacking = [name for name in CONTROLLERS if name not in facts.controllers]
    found = " ".join(facts.controllers) or "none"
    hint = "boot with systemd.unified_cgroup_hierarchy=1; until then such limits are refused by name"
    if lacking:
        found += f"; not {' '.join(lacking)}"
    yield Finding(name="controllers", status=LIMITED if lacking else OK, found=found, hint=hint if lacking else "")
    if not facts.cgroup_delegated:
        hint = "systemd-run --user --scope -p Delegate=yes minirun ...; without, no limits, pause, or events"
        yield Finding(
            name="cgroup of our own", status=LIMITED, found=f"none may be made in {facts.cgroup_home}", hint=hint
        )
        return
    hard = MISSING if facts.euid == 0 else LIMITED
    yield tried("clone3 into cgroup", trials.cgroup(facts), hard, "processes are born in it")
    yield tried("cgroup.kill", trials.cgroup_kill(facts), hard, "all processes end at once")
    if facts.rootless:
        yield Finding(
            name="device filter", status=LIMITED, found="needs the host's root; devices are bound from the host instead"
        )
    else:
        yield tried(
            "device filter", trials.device_filter(facts), MISSING, "eBPF programs can be attached", "CONFIG_CGROUP_BPF"
        )


def tried(name: str, why: str, status: str, good: str, hint: str = KERNEL) -> Finding:
    return Finding(name=name, status=status if why else OK, found=why or good, hint=hint if why else "")


def extras(facts: Facts) -> Iterator[Finding]:
    from minirun.linux.prctl import available
    from minirun.runtime.root import default_root

    yield state_directory(default_root(dict(os.environ), facts.euid))
    yield seccomp()
    yield labels(facts)
    yield systemd(facts)
    why = available()
    yield Finding(name="python-prctl", status=LIMITED if why else OK, found=why.partition(":")[0] or "there",
                  hint=why.partition(": ")[2])  # fmt: skip


def seccomp() -> Finding:
    """The compiler of system call filters, and whether the kernel takes what it makes."""
    from minirun.errors import MinirunError

    try:
        from minirun.linux.libseccomp import ACTIONS, kernel_actions, version
    except MinirunError as error:
        return Finding(name="seccomp", status=LIMITED, found=error.reason, hint=error.hint)
    lacking = [word for word in ACTIONS if word not in kernel_actions()]
    found = f"libseccomp {version()}; this kernel lacks {' '.join(lacking)}" if lacking else f"libseccomp {version()}"
    hint = "a kernel with CONFIG_SECCOMP_FILTER; bundles with a seccomp profile do not run without it"
    return Finding(name="seccomp", status=LIMITED if lacking else OK, found=found, hint=hint if lacking else "")


def labels(facts: Facts) -> Finding:
    """Which security module could label a container's process."""
    closer = host_facts.look_closer(facts, {"apparmorProfile": "x"}, {})
    there = [name for name, found in (("AppArmor", closer.apparmor), ("SELinux", closer.selinux)) if found]
    if there:
        return Finding(name="labels", status=OK, found=f"{' and '.join(there)} in force")
    hint = "a kernel with one, booted with lsm=... that names it; bundles with a profile or label do not run without"
    return Finding(name="labels", status=LIMITED, found="neither AppArmor nor SELinux is in force", hint=hint)


def state_directory(root: str) -> Finding:
    from minirun.errors import MinirunError
    from minirun.runtime.store import Store

    try:
        there = Store(root).guard()
    except MinirunError as error:
        return Finding(name="state directory", status=MISSING, found=error.reason, hint=error.hint)
    return Finding(name="state directory", status=OK, found=root + ("" if there else " (made when first needed)"))


def systemd(facts: Facts) -> Finding:
    """Its manager is asked where its cgroups are: what --systemd-cgroup begins with."""
    from minirun.cgroups.systemd import connect
    from minirun.errors import MinirunError
    from minirun.plan.systemd import address_of

    hint = "boot with systemd as init; only --systemd-cgroup needs it"
    try:
        manager = connect(address_of(dict(os.environ), facts.rootless, facts.euid))
        found = f"units are made below {manager.control_group() or '/'}"
        manager.close()
    except MinirunError as error:
        return Finding(name="systemd", status=LIMITED, found=error.reason, hint=hint)
    except OSError as error:
        return Finding(name="systemd", status=LIMITED, found=error.strerror or str(error), hint=hint)
    return Finding(name="systemd", status=OK, found=found)


def table(findings: list[Finding], *, coloured: bool, width: int = 0) -> str:
    """A word, a name, what was found; below it how to get what is missing.  ``width``: columns, 0 for any number."""
    lines = []
    for row in findings:
        word = f"{row.status:<8}"
        if coloured:
            word = f"\033[{COLOURS[row.status]}m{word}\033[0m"
        found = folded(row.found, width) + (folded(f"get it: {row.hint}", width) if row.hint else [])
        lines.append(f"{word} {row.name:<19} {found[0]}".rstrip())
        lines += [f"{'':<{MARGIN}}{line}" for line in found[1:]]
    return "\n".join([*lines, "", summary(findings)])


def summary(findings: list[Finding]) -> str:
    """The last line: what it comes to."""
    counts = {status: sum(row.status == status for row in findings) for status in (OK, LIMITED, MISSING)}
    said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    return f"{said}: {'no container runs here yet' if counts[MISSING] else 'containers run here'}"
