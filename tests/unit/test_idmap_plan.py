"""Id-mapped mounts in the plan: whose two operations, in which order, with which maps; crun's relative ranges."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from minirun.errors import MinirunError
from minirun.plan.container import Problems
from minirun.plan.idmap import absolute
from minirun.plan.ops import BIND_BY_HOST, BIND_MAPPED, BIND_MAPPED_TREE, HOST, INIT, Op
from minirun.plan.wire import sync_points
from tests.unit.documents import USER, Json, checked, default, planned

ROWS = [{"containerID": 0, "hostID": 100000, "size": 65536}]
OWN = {"uidMappings": ROWS, "gidMappings": ROWS}


def of_the_mount(entry: Json, *, mapped: bool = True) -> list[Op]:
    document = default()
    if mapped:
        document["linux"]["namespaces"].append({"type": "user"})
        document["linux"].update(OWN)
    document["mounts"].append({"destination": "/x", "source": "/src", **entry})
    ops = planned(document).ops
    points = sync_points(ops)
    own = [op for op in ops if op.pointer == "/mounts/7"]
    for op in own:  # init waits for every mount that it is to take
        assert op.actor == HOST or (ops.index(op) in points) == (op is not own[0])
    return own


@pytest.mark.parametrize(
    ("options", "more", "flags", "maps"),
    [
        (["bind", "idmap"], {}, BIND_MAPPED, []),
        (["rbind", "ridmap"], {}, BIND_MAPPED | BIND_MAPPED_TREE | 1, []),
        (["bind", "ridmap", "idmap"], {}, BIND_MAPPED, []),
        (["bind"], OWN, BIND_MAPPED, ["0 100000 65536\n"] * 2),
        (["bind", "idmap=uids=0-5-1#7-8-2;gids=@0-1-1"], {}, BIND_MAPPED, ["0 5 1\n7 8 2\n", "0 100001 1\n"]),
        (["bind"], {}, 0, []),
    ],
)
def test_a_bind(options: list[str], more: Json, flags: int, maps: list[str]) -> None:
    host, init = of_the_mount({"options": options, **more})
    assert (host.actor, init.actor) == (HOST, INIT)
    assert (host.__dict__["flags"], host.__dict__["maps"]) == (flags, maps)
    assert init.__dict__["flags"] == flags | BIND_BY_HOST


def test_a_file_system() -> None:
    host, init = of_the_mount({"type": "ext4", "options": ["idmap", "ro"]})
    assert (host.actor, host.KIND, init.actor) == (HOST, "mount", INIT)
    assert host.__dict__["data"] == ["ro"]


def test_without_a_user_namespace_only_a_mapping_needs_the_host() -> None:
    assert len(of_the_mount({"options": ["bind"]}, mapped=False)) == 1
    assert len(of_the_mount({"options": ["bind"], **OWN}, mapped=False)) == 2


def test_an_ordinary_user_is_refused() -> None:
    document = default()
    document["linux"]["namespaces"].append({"type": "user"})
    document["linux"].update({name: [{"containerID": 0, "hostID": 1000, "size": 1}] for name in OWN})
    document["mounts"].append({"destination": "/x", "source": "/src", "options": ["bind", "idmap"]})
    del document["linux"]["resources"]
    with pytest.raises(MinirunError) as caught:
        planned(document, USER)
    said = [*caught.value.problems, (caught.value.pointer, caught.value.reason)]
    assert ("/mounts/7", "an ordinary user cannot map the ids of a mount") in said


def test_an_id_that_the_container_has_not() -> None:
    document = default()
    document["linux"]["namespaces"].append({"type": "user"})
    document["linux"].update(OWN)
    document["mounts"].append(
        {"destination": "/x", "source": "/s", "options": ["bind", "idmap=uids=@0-65530-7;gids=0-0-1"]}
    )
    checked(document)
    with pytest.raises(MinirunError) as caught:
        planned(document)
    assert caught.value.reason == "the container has no id 65536 in /linux/uidMappings"
    assert caught.value.pointer == "/mounts/7/options/1"


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.integers(0, 400), st.integers(1, 100))
def test_a_relative_range_is_what_it_says(sizes: list[int], first: int, count: int) -> None:
    """Each id of it, looked up one by one in the container's rows, which lie anywhere on the host."""
    own, at = [], 0
    for number, size in enumerate(sizes):
        own.append({"containerID": at, "hostID": 1000 * (7 - number), "size": size})
        at += size
    known = {row["containerID"] + i: row["hostID"] + i for row in own for i in range(row["size"])}
    problems = Problems()
    lines = absolute([(500, first, count, True)], own, "uidMappings", "/p", problems).split()  # type: ignore[arg-type]
    rows = list(zip(*[map(int, lines)] * 3, strict=True))
    made = {inside + i: outside + i for inside, outside, size in rows for i in range(size)}
    wanted = {500 + i: known.get(first + i) for i in range(count)}
    if all(value is not None for value in wanted.values()):
        assert made == wanted and not problems.found
    else:
        assert problems.found
