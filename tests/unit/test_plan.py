"""What is true of every plan, whatever config.json says (hypothesis makes the documents up), and single decisions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from minirun.errors import MinirunError
from minirun.plan import cgroup
from minirun.plan.container import sysctl_path
from minirun.plan.mounts import clean
from minirun.plan.ops import HOST, INIT, Op
from minirun.plan.wire import sync_points
from minirun.spec.template import template
from tests.unit.documents import ROOT, USER, Json, default, host, planned, put

IDS = st.integers(0, 70000)
MOUNTS = st.lists(
    st.sampled_from(
        [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/dev", "source": "/dev", "options": ["rbind", "rslave"]},
            {"destination": "/data", "source": "data", "options": ["bind", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"},
            {"destination": "/x", "options": ["private"]},
            {"destination": "/data", "options": ["remount", "ro"]},
        ]
    ),
    max_size=6,
)
NEW = st.lists(st.sampled_from(["pid", "network", "ipc", "uts", "cgroup", "time"]), unique=True)
JOINED = st.lists(st.sampled_from(["pid", "network", "ipc", "uts"]), unique=True)
HOOKS = st.dictionaries(
    st.sampled_from(["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]),
    st.lists(st.just({"path": "/hook"}), max_size=2),
)


@st.composite
def documents(draw: st.DrawFn) -> Json:
    """Valid documents of all shapes."""
    document = default()
    new = draw(NEW)
    joined = [name for name in draw(JOINED) if name not in new]
    spaces: list[Json] = [{"type": "mount"}, *({"type": name} for name in new)]
    spaces += [{"type": name, "path": f"/proc/7/ns/{name}"} for name in joined]
    linux: Json = document["linux"]
    linux["namespaces"] = spaces
    if draw(st.booleans()):
        spaces.append({"type": "user"})
        linux["uidMappings"] = linux["gidMappings"] = [{"containerID": 0, "hostID": 1, "size": 4294967294}]
    if "time" in new and draw(st.booleans()):
        linux["timeOffsets"] = {"monotonic": {"secs": 1}}
    if "uts" not in [*new, *joined]:
        del document["hostname"]
    if "network" in new:
        linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    document["mounts"] = draw(MOUNTS)
    document["hooks"] = draw(HOOKS)
    document["root"]["readonly"] = draw(st.booleans())
    process: Json = document["process"]
    process["user"] = {"uid": draw(IDS), "gid": draw(IDS), "additionalGids": draw(st.lists(IDS, max_size=3))}
    process["terminal"] = draw(st.booleans())
    process["cwd"] = draw(st.sampled_from(["/", "/tmp", "/a/b"]))
    if draw(st.booleans()):
        process["oomScoreAdj"] = draw(st.integers(-1000, 1000))
    linux["resources"] = draw(st.sampled_from([{}, {"pids": {"limit": 5}}, {"memory": {"limit": 1 << 20}}]))
    word = draw(st.sampled_from(["", "rslave", "rprivate", "shared", "runbindable"]))
    put(document, "/linux/rootfsPropagation", word)
    return document


def places(ops: list[Op], *kinds: str) -> list[int]:
    return [index for index, op in enumerate(ops) if op.KIND in kinds]


def check_order(ops: list[Op]) -> None:
    """The order that the kernel and the specification want (runtime.md, Lifecycle)."""
    (spawn,), (root,), (pivot,) = places(ops, "spawn"), places(ops, "root"), places(ops, "pivot")
    (wait,), (end,) = places(ops, "wait"), places(ops, "exec")
    (drop,), (bounding,) = places(ops, "capabilities"), places(ops, "bounding")
    assert all(op.actor == HOST for op in ops[:spawn]), "nobody but the host is there before the spawn"
    assert all(i < spawn for i in places(ops, "make_cgroup", "write_cgroup", "device_rules")), "never without limits"
    assert all(root < i < pivot for i in places(ops, "mount", "bind", "node", "mask", "console")), "mounts come first"
    assert all(i < pivot for i in places(ops, "write_proc")), "our own procfs is gone after the pivot"
    assert max(places(ops, "mount", "bind", "node", "mask", "attr"), default=0) < bounding < drop < wait < end
    user = places(ops, "user")[-1]
    assert bounding < user < drop, "groups need CAP_SETGID, the bounding set CAP_SETPCAP"
    assert places(ops, "find_program") == [wait - 1], "looked for as the user, and create's error"
    assert end == len(ops) - 1


def check_hooks(ops: list[Op]) -> None:
    (pivot,), (wait,) = places(ops, "pivot"), places(ops, "wait")
    order = [(index, op) for index, op in enumerate(ops) if op.KIND == "hook"]
    names = [getattr(op, "name") for _, op in order]  # noqa: B009 (an Op has no name of its own)
    wanted = ["prestart", "createRuntime", "createContainer", "startContainer"]
    assert names == sorted(names, key=wanted.index)
    for index, op in order:
        name = names[[i for i, _ in order].index(index)]
        assert op.actor == (HOST if name in ("prestart", "createRuntime") else INIT)
        assert index > wait if name == "startContainer" else index < pivot


def check_places(ops: list[Op], document: Json) -> None:
    """Every operation says where it comes from; the pointer leads to something, or to the room where it would be."""
    for op in ops:
        if not op.pointer:
            assert op.KIND in ("session", "spawn")
            continue
        assert op.pointer.startswith("/")
        head = op.pointer.split("/")[1]
        assert head in document, op.pointer


@settings(max_examples=150)
@given(documents(), st.sampled_from([ROOT, host(userns=True), host(cgroup_delegated=True, cgroup_home="/a/b")]))
def test_every_plan_is_in_order(document: Json, facts: Any) -> None:
    ops = planned(document, facts).ops
    check_order(ops)
    check_hooks(ops)
    check_places(ops, document)
    assert len(places(ops, "user")) == 1 + ("user" in [n["type"] for n in document["linux"]["namespaces"]])
    for op in ops:
        assert op.actor in (HOST, INIT)
        assert op.describe().isprintable() or op.KIND == "write_task"
        assert set(op.FIELDS) <= set(dir(op)), "a field that was never given"


@given(documents())
def test_a_user_namespace_comes_with_its_maps(document: Json) -> None:
    ops = planned(document).ops
    files = [getattr(op, "file", "") for op in ops if op.KIND == "write_task"]
    new = "user" in [n["type"] for n in document["linux"]["namespaces"]]
    assert ("uid_map" in files) == ("gid_map" in files) == new
    if new:
        become = next(i for i, op in enumerate(ops) if op.KIND == "user")
        assert become < places(ops, "root")[0], "only mapped ids can own what init makes"


def problems(document: Json, facts: Any) -> dict[str, str]:
    with pytest.raises(MinirunError) as caught:
        planned(document, facts)
    error = caught.value
    assert error.message == "this host cannot run the configuration"
    assert error.config == "config.json"
    return dict(error.problems) or {error.pointer or "": error.reason}


def test_a_limit_without_its_controller_names_it() -> None:
    document = put(default(), "/linux/resources", {"memory": {"limit": 1}, "pids": {"limit": 1}, "cpu": {"cpus": "0"}})
    found = problems(document, host(controllers=("hugetlb", "pids")))
    assert list(found) == ["/linux/resources/memory/limit", "/linux/resources/cpu/cpus"]
    assert found["/linux/resources/cpu/cpus"].startswith("cpuset.cpus needs the cpuset controller")


def test_an_ordinary_user_needs_a_user_namespace() -> None:
    found = problems(default(), USER)
    assert found["/linux/namespaces"] == "an ordinary user needs a user namespace"


def test_an_ordinary_user_has_no_limits_to_give() -> None:
    document = template(rootless=True, uid=1000, gid=1000)
    document["linux"]["resources"] = {"pids": {"limit": 5}}
    assert list(problems(document, USER)) == ["/linux/resources"]
    made = planned(document, host(USER, cgroup_delegated=True, cgroup_domain="/user.slice"))
    assert made.cgroup == "/user.slice/minirun/web"
    assert not places(made.ops, "device_rules"), "eBPF for devices is root's"


def test_no_cgroup2_mount_at_all() -> None:
    found = problems(default(), host(cgroup_root="", controllers=(), cgroup_delegated=False))
    assert found == {"/linux/cgroupsPath": "this host has no cgroup2 mount"}


def test_an_unknown_capability_is_a_warning() -> None:
    """config.md, process.capabilities: not an error."""
    document = put(default(), "/process/capabilities/bounding", ["CAP_KILL", "CAP_FLY"])
    made = planned(document)
    assert made.warnings == ["/process/capabilities/bounding/1: CAP_FLY is not a capability of Linux, ignored"]
    assert [op.bounding for op in made.ops if op.KIND == "bounding"] == [1 << 5]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, "/minirun/web"),
        ("", "/minirun/web"),
        ("/", "/minirun/web"),
        ("/a/b", "/a/b"),
        ("//a/./b/", "/a/b"),
        ("a/b", "/minirun/a/b"),
    ],
)
def test_cgroups_path(asked: str | None, expected: str) -> None:
    assert planned(put(default(), "/linux/cgroupsPath", asked)).cgroup == expected


def test_with_systemd_init_comes_first_and_waits() -> None:
    """A scope needs a process; what init does first waits for the host, so nothing runs without its limits."""
    document = put(default(), "/linux/resources", {"memory": {"limit": 1 << 26}})
    made = planned(document, host(systemd_root="/top"), cgroup_driver="systemd")
    assert made.cgroup == "/top/system.slice/minirun-web.scope" and made.unit == "minirun-web.scope"
    kinds = [op.KIND for op in made.ops]
    assert kinds[:4] == ["spawn", "make_cgroup", "write_cgroup", "device_rules"] and made.ops[4].actor == INIT
    assert not made.ops[0].into_cgroup  # type: ignore[attr-defined]
    assert sync_points(made.ops) >= {4}
    assert planned(document, host(USER, userns=True, euid=0), cgroup_driver="systemd").cgroup == (
        "/user.slice/minirun-web.scope"
    )


def test_no_cgroup_at_all_when_it_is_disabled() -> None:
    made = planned(default(), cgroup_driver="disabled")
    assert made.cgroup == "" and not places(made.ops, "make_cgroup", "device_rules")
    with pytest.raises(MinirunError, match="limits need a cgroup") as caught:
        planned(put(default(), "/linux/resources", {"pids": {"limit": 1}}), cgroup_driver="disabled")
    assert caught.value.hint == "leave out --cgroup-manager=disabled"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
        ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
    ],
)
def test_sysctl_separators(name: str, path: str) -> None:
    """sysctl(8): whichever separator comes first; the other one is then part of a name."""
    assert sysctl_path(name) == path


@given(st.text("ab/.", max_size=20))
def test_a_destination_never_climbs(path: str) -> None:
    made = clean(path)
    assert made.startswith("/") and ".." not in made.split("/") and "//" not in made
    assert clean(made) == made


def test_duplicate_environment() -> None:
    document = put(default(), "/process/env", ["A=1", "B=2", "A=3"])
    assert planned(document).ops[-1].env == ["A=3", "B=2"]  # type: ignore[attr-defined]
    activated = planned(document, listen_fds=2).ops[-1].env  # type: ignore[attr-defined]
    assert activated[2:] == ["LISTEN_FDS=2", "LISTEN_PID=1"]


@pytest.mark.parametrize(
    ("uid", "rows", "expected"),
    [
        (7, None, 7),
        (0, None, 0),
        (0, [(0, 1000, 10)], 1000),
        (9, [(0, 1000, 10)], 1009),
        (10, [(0, 1000, 10)], 0),
        (12, [(0, 1000, 10), (10, 5, 5)], 7),
    ],
)
def test_whose_the_cgroup_becomes(uid: int, rows: list[tuple[int, int, int]] | None, expected: int) -> None:
    """The host's uid for /process/user; an unmapped one is nobody's."""
    document = default()
    mount = next(mount for mount in document["mounts"] if mount["type"] == "cgroup")
    document["process"]["user"]["uid"] = uid
    if rows is not None:
        document["linux"]["namespaces"].append({"type": "user"})
        document["linux"]["uidMappings"] = [{"containerID": a, "hostID": b, "size": c} for a, b, c in rows]
    assert cgroup.owner(document, ROOT) == 0, "the template mounts it read-only"  # type: ignore[arg-type]
    mount["options"].remove("ro")
    assert cgroup.owner(document, ROOT) == expected  # type: ignore[arg-type]
    assert cgroup.owner(document, USER) == 0  # type: ignore[arg-type]
    document["linux"]["namespaces"] = [entry for entry in document["linux"]["namespaces"] if entry["type"] != "cgroup"]
    assert cgroup.owner(document, ROOT) == 0  # type: ignore[arg-type]
