"""The rows about namespaces, users, limits, hooks and cgroups: they enter themselves into ``PROVOKED``."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from minirun.cgroups import tree
from tests.conftest import MINIRUN, Bundle, Runtime, base_config, require
from tests.integration.booted import booted
from tests.integration.provocations import Done, as_if, move_into_the_open, provokes, user_namespace, without_mounts

# -- namespaces, user, limits -----------------------------------------------------------------------------------------


def join(bundle: Bundle, path: str) -> None:
    for entry in bundle.config["linux"]["namespaces"]:
        if entry["type"] == "network":
            entry["path"] = path


@provokes("join-type", "/linux/namespaces/1/path")
def another_kind_of_namespace(minirun: Runtime, bundle: Bundle) -> Done:
    join(bundle, "/proc/self/ns/uts")
    return minirun.run(bundle)


@provokes("join-missing", "/linux/namespaces/1/path")
def namespace_of_a_dead_process(minirun: Runtime, bundle: Bundle) -> Done:
    ended = subprocess.Popen(["true"])
    ended.wait()
    join(bundle, f"/proc/{ended.pid}/ns/net")
    return minirun.run(bundle)


@provokes("rlimit-raise", "/process/rlimits/0")
def more_files_than_the_kernel_allows(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1 << 40}]
    return minirun.run(bundle)


@provokes("cwd-missing", "/process/cwd")
def exec_nowhere(minirun: Runtime, bundle: Bundle) -> Done:
    name = minirun.start(bundle.args("/probe", "pause"))
    return minirun("exec", "--cwd", "/nowhere", name, "/probe", "pid")


@provokes("cwd-not-directory", "/process/cwd")
def cwd_below_a_file(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["process"]["cwd"] = "/etc/passwd/below"
    return minirun.run(bundle)


@provokes("sysctl-unknown", "/linux/sysctl/net.ipv4.no_such_thing")
def no_such_sysctl(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["linux"]["sysctl"] = {"net.ipv4.no_such_thing": "1"}
    return minirun.run(bundle)


@provokes("sysctl-value", "/linux/sysctl/net.ipv4.ip_forward")
def sysctl_with_another_value(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "maybe"}
    return minirun.run(bundle)


@provokes("maps-denied", "/linux/uidMappings")
def mapping_without_the_right(minirun: Runtime, bundle: Bundle) -> Done:
    user_namespace(bundle, host=100000)
    return as_if(minirun, bundle, "setpriv", "--bounding-set", "-setuid,-setgid")


@provokes("maps-invalid", "/linux/uidMappings")
def a_mapping_of_the_last_id(minirun: Runtime, bundle: Bundle) -> Done:
    user_namespace(bundle)
    row = {"containerID": 4294967295, "hostID": 70000, "size": 1}  # -1 is nobody's (setresuid(2))
    bundle.config["linux"]["uidMappings"].append(row)
    return minirun.run(bundle)


@provokes("clock-range", "/linux/timeOffsets/boottime")
def a_clock_before_its_beginning(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["linux"]["namespaces"].append({"type": "time"})
    bundle.config["linux"]["timeOffsets"] = {"boottime": {"secs": -999999999}}
    return minirun.run(bundle)


@provokes("oom-lower", "/process/oomScoreAdj")
def lower_oom_score_without_the_right(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["process"]["oomScoreAdj"] = -999
    return as_if(minirun, bundle, "setpriv", "--bounding-set", "-sys_resource")


# -- hooks, cgroups, spawn --------------------------------------------------------------------------------------------


def hook(minirun: Runtime, bundle: Bundle, **entry: object) -> Done:
    bundle.config["hooks"] = {"createRuntime": [entry]}
    return minirun.run(bundle)


@provokes("hook-status", "/hooks/createRuntime/0")
def hook_fails(minirun: Runtime, bundle: Bundle) -> Done:
    return hook(minirun, bundle, path="/bin/false")


@provokes("hook-timeout", "/hooks/createRuntime/0")
def hook_takes_too_long(minirun: Runtime, bundle: Bundle) -> Done:
    return hook(minirun, bundle, path="/bin/sleep", args=["sleep", "30"], timeout=1)


@provokes("hook-missing", "/hooks/createRuntime/0")
def no_hook(minirun: Runtime, bundle: Bundle) -> Done:
    return hook(minirun, bundle, path="/nowhere")


def hugetlb(*, enabled: bool = False) -> Path:
    """The cgroup2 mount, if it has the hugetlb controller (every host has it, hybrid ones too)."""
    from minirun.facts import find_cgroup_root

    root = Path(find_cgroup_root())
    if "hugetlb" not in (root / "cgroup.controllers").read_text().split():
        pytest.skip("no hugetlb controller in cgroup v2")
    if enabled:
        (root / "cgroup.subtree_control").write_text("+hugetlb")
    return root


@provokes("limit-value", "/linux/resources/unified/hugetlb.2MB.max")
def limit_with_another_value(minirun: Runtime, bundle: Bundle) -> Done:
    hugetlb()
    bundle.config["linux"]["resources"]["unified"] = {"hugetlb.2MB.max": "many"}
    return minirun.run(bundle)


@provokes("limit-file", "/linux/resources/unified/hugetlb.3MB.max")
def no_such_limit(minirun: Runtime, bundle: Bundle) -> Done:
    hugetlb()
    bundle.config["linux"]["resources"]["unified"] = {"hugetlb.3MB.max": "0"}
    return minirun.run(bundle)


def by_a_user_with_a_cgroup(minirun: Runtime, bundle: Bundle, **linux: object) -> Done:
    """An ordinary user with a cgroup of its own, the files that enable controllers not among what was given."""
    require("userns")
    bundle.config = base_config(rootless=True, uid=65534, gid=65534)
    bundle.config["linux"].update(linux)
    own = hugetlb(enabled=True) / "minirun-test-user"
    (own / "closed").mkdir(parents=True)
    for path in (own, own / "cgroup.procs"):
        os.chown(path, 65534, 65534)
    move_into_the_open(minirun, bundle)
    try:
        enter = f'echo $$ > {own}/cgroup.procs; exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"'
        return as_if(minirun, bundle, "sh", "-c", enter, "-")
    finally:
        for inner in reversed(tree.subtree(str(own))):
            tree.rmdir(inner, 5)


@provokes("cgroup-denied", "/linux/cgroupsPath")
def somebody_elses_cgroup(minirun: Runtime, bundle: Bundle) -> Done:
    return by_a_user_with_a_cgroup(minirun, bundle, cgroupsPath="/minirun-test-user/closed/x")


@provokes("cgroup-undelegated", "/linux/cgroupsPath")
def controllers_that_were_not_given(minirun: Runtime, bundle: Bundle) -> Done:
    pages = [{"pageSize": "2MB", "limit": 0}]
    return by_a_user_with_a_cgroup(minirun, bundle, resources={"hugepageLimits": pages})


def through_systemd(minirun: Runtime, bundle: Bundle, before: str = "") -> Done:
    """``run`` with --systemd-cgroup, after a shell command."""
    require("systemd")
    name = minirun.name()
    argv = [str(MINIRUN), "--systemd-cgroup", "--root", str(minirun.root), "run", "-b", str(bundle.write()), name]
    with booted(bundle.path) as systemd:
        done = systemd("sh", "-c", before.format(name=name) + 'exec "$@"', "-", *argv)
        systemd("systemctl", "stop", f"minirun-{name}.scope")
        return done


@provokes("unit-exists", "/linux/cgroupsPath")
def unit_of_that_name(minirun: Runtime, bundle: Bundle) -> Done:
    scope = "systemd-run --scope -q --unit minirun-{name}.scope"
    return through_systemd(minirun, bundle, f"{scope} sleep 60 >/dev/null 2>&1 & sleep 0.5; ")


@provokes("unit-property", "/linux/cgroupsPath")
def property_that_no_scope_has(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["annotations"] = {"org.systemd.property.Nonesuch": "true"}
    return through_systemd(minirun, bundle)


@provokes("spawn-limit", "/linux/namespaces")
def no_namespace_left(minirun: Runtime, bundle: Bundle) -> Done:
    """The limit of a user namespace in which minirun itself runs: the host's own stays as it is."""
    without_mounts(bundle, "/dev/pts")  # gid=5 is not mapped there
    enter = 'echo 0 > /proc/sys/user/max_uts_namespaces; exec "$@"'
    return as_if(minirun, bundle, "unshare", "-U", "-r", "sh", "-c", enter, "-")


@provokes("spawn-denied", "/linux/namespaces")
def who_is_nobody_makes_no_namespace(minirun: Runtime, bundle: Bundle) -> Done:
    """In a user namespace that does not map its caller no further one can be made."""
    require("userns")
    bundle.config = base_config(rootless=True, uid=65534, gid=65534)
    move_into_the_open(minirun, bundle)
    return as_if(minirun, bundle, "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "unshare", "-U")


@provokes("spawn-cgroup", "/linux/namespaces")
def cgroup_with_children(minirun: Runtime, bundle: Bundle) -> Done:
    """The rule "no internal processes" (cgroups(7))."""
    busy = hugetlb(enabled=True) / "minirun-test-busy"
    busy.mkdir()
    try:
        (busy / "cgroup.subtree_control").write_text("+hugetlb")
        bundle.config["linux"]["cgroupsPath"] = "/minirun-test-busy"
        return minirun.run(bundle)
    finally:
        if busy.exists():
            busy.rmdir()
