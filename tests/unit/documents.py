"""What unit tests share: documents to plan, hosts made by hand, and plans from both."""

from __future__ import annotations

import copy
from typing import Any

from minirun.facts import Facts
from minirun.plan.container import Asked, Options, Plan, plan
from minirun.spec import check
from minirun.spec.template import template

Json = dict[str, Any]

CONTROLLERS = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc")
ROOT = Facts(
    euid=0, egid=0, cgroup_root="/sys/fs/cgroup", controllers=CONTROLLERS, cgroup_home="/minirun",
    cgroup_delegated=True, userns=False,
)  # fmt: skip
USER = Facts(
    euid=1000, egid=1000, cgroup_root="/sys/fs/cgroup", controllers=CONTROLLERS,
    cgroup_home="/user.slice/minirun", cgroup_delegated=False, userns=False,
)  # fmt: skip


def host(base: Facts = ROOT, **other: Any) -> Facts:
    """A host that differs from ``base`` in a few facts."""
    return Facts(**{**base.__dict__, **other})


def default(*args: str) -> Json:
    """The template, without a terminal."""
    document = template()
    document["process"]["terminal"] = False
    if args:
        document["process"]["args"] = list(args)
    return document


def put(document: Json, pointer: str, value: Any) -> Json:
    """Set the member at ``pointer``, making objects on the way; "-" appends to an array."""
    at: Any = document
    words = [word.replace("~1", "/").replace("~0", "~") for word in pointer.split("/")[1:]]
    for index, word in enumerate(words[:-1]):
        if isinstance(at, list):
            at = at[int(word)]
        else:
            at = at.setdefault(word, [] if words[index + 1] in ("-", "0") else {})
    if isinstance(at, list):
        if words[-1] == "-" or int(words[-1]) == len(at):
            at.append(value)
        else:
            at[int(words[-1])] = value
    else:
        at[words[-1]] = value
    return document


def checked(document: Json) -> Any:
    """The document as ``create`` would take it; a copy, because checking drops null members."""
    return check.config(copy.deepcopy(document), "config.json")


def asked(document: Json, facts: Facts = ROOT, **options: Any) -> Asked:
    return Asked(
        spec=checked(document),
        facts=facts,
        bundle="/bundle",
        container_id="web",
        config="config.json",
        options=Options(**options),
        rlimits=[],
    )


def planned(document: Json, facts: Facts = ROOT, **options: Any) -> Plan:
    return plan(asked(document, facts, **options))
