"""Example documents for a container in a virtual machine, and their plans (see ``examples``)."""

from __future__ import annotations

from minirun.plan.container import Plan
from minirun.plan.exec import ExecAsked
from minirun.plan.machine import plan, plan_exec
from minirun.spec import check
from tests.unit.documents import ROOT, asked, checked, default


def machine() -> Plan:
    """In a virtual machine: limits on both sides, a bind mount, a terminal, a disk, a hook on the host."""
    document = default()
    document["mounts"].append({"destination": "/data", "source": "data", "options": ["rbind", "ro"]})
    document["process"].update(terminal=True, oomScoreAdj=100, user={"uid": 1000, "gid": 1000})
    document["linux"]["namespaces"].append({"type": "time"})
    document["linux"]["timeOffsets"] = {"boottime": {"secs": 60}}
    document["linux"]["resources"].update(
        memory={"limit": 64 << 20, "swap": 64 << 20}, cpu={"quota": 150000, "cpus": "0-1"}, pids={"limit": 20},
        unified={"memory.high": "60000000"},
    )  # fmt: skip
    document["hooks"] = {"createRuntime": [{"path": "/bin/logger"}]}
    document["annotations"] = {"dev.minirun.vm.disk": "disk.img,ro", "dev.minirun.vm.cmdline": "loglevel=7"}
    return plan(asked(document))


def machine_executed() -> Plan:
    """``exec`` in the container of ``machine``."""
    process = check.process({"args": ["ps"], "cwd": "/tmp", "oomScoreAdj": 3, "user": {"uid": 7, "gid": 8}}, "x")
    return plan_exec(
        ExecAsked(
            spec=checked(default()), process=process, facts=ROOT, container_id="web", config="config.json", cgroup=""
        )
    )  # fmt: skip
