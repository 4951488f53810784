"""Who writes which id map, who may call setgroups, and what is refused before anything is begun."""

from __future__ import annotations

from typing import Any

import pytest

from minirun.errors import MinirunError
from minirun.plan.ops import USER_GROUPS_TRY, USER_SETGROUPS, Op
from minirun.spec.template import template
from tests.unit.documents import ROOT, USER, Json, default, host, planned, put

HELPED = host(USER, newuidmap="/usr/bin/newuidmap", newgidmap="/usr/bin/newgidmap")
RANGE = [{"containerID": 0, "hostID": 1000, "size": 1}, {"containerID": 1, "hostID": 100000, "size": 65536}]
# as in podman unshare: root of a namespace that an ordinary user has made
MAP = ((0, 1000, 1), (1, 100000, 65536))
NESTED = host(USER, euid=0, egid=0, userns=True, uid_map=MAP, gid_map=MAP)


def rootless(**linux: Any) -> Json:
    document = template(rootless=True, uid=1000, gid=1000)
    document["process"]["terminal"] = False
    document["linux"].update(linux)
    return document


def written(ops: list[Op]) -> list[tuple[str, str]]:
    return [(op.file, op.through) for op in ops if op.KIND == "write_task"]  # type: ignore[attr-defined]


def users(ops: list[Op]) -> list[tuple[int, int, int]]:
    return [(op.uid, op.gid, op.flags & ~2) for op in ops if op.KIND == "user"]  # type: ignore[attr-defined]


def refused(document: Json, facts: Any, **options: Any) -> dict[str, str]:
    with pytest.raises(MinirunError) as caught:
        planned(document, facts, **options)
    return dict(caught.value.problems) or {caught.value.pointer or "": caught.value.reason}


@pytest.mark.parametrize("facts", [USER, HELPED])
def test_himself_alone_an_ordinary_user_writes(facts: Any) -> None:
    ops = planned(rootless(), facts).ops
    assert written(ops) == [("setgroups", ""), ("uid_map", ""), ("gid_map", "")]
    assert users(ops) == [(0, 0, 0), (0, 0, 0)]


def test_more_is_written_by_the_helpers_one_by_one() -> None:
    both = planned(rootless(uidMappings=RANGE, gidMappings=RANGE), HELPED).ops
    assert written(both) == [("uid_map", HELPED.newuidmap), ("gid_map", HELPED.newgidmap)]
    assert users(both) == [(0, 0, USER_SETGROUPS)] * 2
    uids = planned(rootless(uidMappings=RANGE), HELPED).ops
    assert written(uids) == [("setgroups", ""), ("uid_map", HELPED.newuidmap), ("gid_map", "")]
    assert users(uids) == [(0, 0, 0)] * 2
    gids = planned(rootless(gidMappings=RANGE), HELPED).ops
    assert written(gids) == [("uid_map", ""), ("gid_map", HELPED.newgidmap)]


def test_somebody_else_alone_is_more_too() -> None:
    row = [{"containerID": 0, "hostID": 100000, "size": 1}]
    assert written(planned(rootless(uidMappings=row, gidMappings=row), HELPED).ops)[0] == ("uid_map", HELPED.newuidmap)


def test_no_helper() -> None:
    found = refused(rootless(uidMappings=RANGE, gidMappings=RANGE), host(HELPED, newgidmap=""))
    reason = "an ordinary user maps more than himself (1000, size 1) through newgidmap, which is not here"
    assert found == {"/linux/gidMappings": reason}


def test_root_needs_none() -> None:
    document = default()
    document["linux"]["namespaces"].append({"type": "user"})
    document["linux"].update(uidMappings=RANGE, gidMappings=RANGE)
    assert written(planned(document).ops) == [("uid_map", ""), ("gid_map", "")]


def test_inside_a_user_namespace_only_what_is_there_is_mapped() -> None:
    keep = [{"containerID": 0, "hostID": 1, "size": 1000}, {"containerID": 1000, "hostID": 0, "size": 1}]
    ops = planned(rootless(uidMappings=keep, gidMappings=keep), NESTED).ops
    assert written(ops) == [("uid_map", ""), ("gid_map", "")] and users(ops) == [(0, 0, USER_SETGROUPS)] * 2
    outside = [{"containerID": 0, "hostID": 65000, "size": 1000}]
    nobody = [{"containerID": 0, "hostID": 0, "size": 1}]
    assert refused(rootless(uidMappings=outside, gidMappings=nobody), NESTED) == {
        "/linux/uidMappings/0": "uids 65000 to 65999 do not exist in the user namespace that we are in"
    }


def test_inside_a_user_namespace_without_one_of_its_own() -> None:
    small = host(NESTED, uid_map=((0, 1000, 1),), gid_map=((0, 1000, 1),), setgroups=False)
    document = put(default(), "/process/user", {"uid": 7, "gid": 0, "additionalGids": [9]})
    assert refused(document, small) == {
        "/process/user/uid": "uid 7 is not mapped by /proc/self/uid_map",
        "/process/user/additionalGids/0": "gid 9 is not mapped by /proc/self/gid_map",
        "/process/user/additionalGids": "groups cannot be set in this user namespace (setgroups is denied)",
        "/mounts/2/options/5": "gid=5: it is not mapped by /proc/self/gid_map",
    }
    ops = planned(put(document, "/process/user/uid", 7), NESTED).ops
    assert users(ops) == [(7, 0, USER_SETGROUPS)], "no namespace to become root of"
    assert not any(op.KIND == "device_rules" for op in ops)


def test_root_is_not_mapped() -> None:
    """Then the program's user makes everything, as in crun: nobody else is there."""
    row = [{"containerID": 1000, "hostID": 1000, "size": 1}]
    document = rootless(uidMappings=row, gidMappings=row)
    assert set(refused(document, USER)) == {"/process/user/uid", "/process/user/gid"}
    document["process"]["user"] = {"uid": 1000, "gid": 1000}
    assert users(planned(document, USER).ops) == [(1000, 1000, 0)] * 2
    document["linux"]["gidMappings"] = rootless()["linux"]["gidMappings"]
    document["process"]["user"] = {"uid": 1000, "gid": 0}
    assert users(planned(document, USER).ops) == [(1000, 0, 0)] * 2


def test_a_joined_namespace_tells_nothing() -> None:
    document = default()
    document["linux"]["namespaces"].append({"type": "user", "path": "/proc/7/ns/user"})
    document["process"]["user"] = {"uid": 70000, "gid": 70000}
    assert users(planned(document).ops) == [(0, 0, 5), (70000, 70000, USER_SETGROUPS | USER_GROUPS_TRY)]
    document["process"]["user"]["additionalGids"] = [5]
    assert users(planned(document).ops) == [(0, 0, 5), (70000, 70000, USER_SETGROUPS)], "groups asked are groups set"


def test_groups_that_are_kept() -> None:
    """crun's annotation, for podman's --group-add keep-groups."""
    document = put(default(), "/annotations", {"run.oci.keep_original_groups": "1"})
    document["process"]["user"]["additionalGids"] = [9]
    assert users(planned(document).ops) == [(0, 0, 0)]


@pytest.mark.parametrize(
    ("option", "ok"), [("gid=5", False), ("gid=0", True), ("uid=1", False), ("mode=0620", True), ("gid=x", True)]
)
def test_ids_in_mount_options(option: str, ok: bool) -> None:
    document = rootless()
    document["mounts"][2]["options"] = [option]
    if ok:
        planned(document, USER)
        return
    member = "gidMappings" if "gid" in option else "uidMappings"
    assert refused(document, USER) == {"/mounts/2/options/0": f"{option}: it is not mapped by /linux/{member}"}


@pytest.mark.parametrize(
    ("rows", "pointer"),
    [
        ([(0, 10, 5), (4, 100, 1)], "/linux/uidMappings/1/containerID"),
        ([(0, 10, 5), (5, 14, 1)], "/linux/uidMappings/1/hostID"),
        ([(9, 100, 1), (0, 10, 10)], "/linux/uidMappings/1/containerID"),
        ([(0, 10, 5), (5, 15, 5)], ""),
    ],
)
def test_rows_that_overlap(rows: list[tuple[int, int, int]], pointer: str) -> None:
    made = [dict(zip(("containerID", "hostID", "size"), row, strict=True)) for row in rows]
    document = put(default(), "/linux/uidMappings", made)
    document["linux"]["namespaces"].append({"type": "user"})
    document["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 0, "size": 10}]
    if pointer:
        assert list(refused(document, ROOT)) == [pointer]
    else:
        planned(document, ROOT)


# -- cgroups --------------------------------------------------------------------------------------------------------

OWN = host(USER, cgroup_delegated=True, cgroup_domain="/user.slice", cgroup_home="/user.slice/shell/minirun")


@pytest.mark.parametrize(
    ("path", "word", "made"),
    [
        ("", "auto", "/user.slice/shell/minirun/web"),
        ("x/y", "auto", "/user.slice/shell/minirun/x/y"),
        ("/user.slice/other", "auto", "/user.slice/other"),
        ("/elsewhere", "auto", None),
        ("/user.slice2/x", "true", None),
    ],
)
def test_cgroups_of_a_delegated_tree(path: str, word: str, made: str | None) -> None:
    document = rootless(cgroupsPath=path)
    if made is None:
        assert list(refused(document, OWN, rootless=word)) == ["/linux/cgroupsPath"]
    else:
        assert planned(document, OWN, rootless=word).cgroup == made


def test_without_a_cgroup() -> None:
    for word in ("auto", "true"):
        made = planned(rootless(), USER, rootless=word)
        assert made.cgroup == "" and made.warnings == []
    assert refused(rootless(), USER, rootless="false") == {
        "/linux/cgroupsPath": "no cgroup may be made in /user.slice/minirun, and --rootless=false wants one"
    }
    assert list(refused(rootless(cgroupsPath="x"), USER)) == ["/linux/cgroupsPath"], "it was asked for by name"
    document = rootless()
    document["linux"]["namespaces"] = [n for n in document["linux"]["namespaces"] if n["type"] != "pid"]
    assert "outlive" in planned(document, USER).warnings[0]


def test_root_without_a_cgroup_says_so() -> None:
    closed = host(cgroup_delegated=False)
    assert "is read-only" in refused(default(), closed)["/linux/cgroupsPath"]
    made = planned(default(), closed, rootless="true")
    assert made.cgroup == "" and "no device is refused" in made.warnings[0]
    assert planned(default(), host(cgroup_root="", cgroup_delegated=False), rootless="true").cgroup == ""
