"""The rows about what the kernel makes of a process: its scheduling, its memory, its interfaces, its devices."""

from __future__ import annotations

import os

import pytest

from tests.conftest import Bundle, Runtime
from tests.integration.provocations import CANNOT, Done, as_if, provokes, user_namespace

CANNOT["apparmor-profile"] = "needs AppArmor: tests/lab/test_apparmor.py does it"
WITHOUT_NICE = ("setpriv", "--bounding-set=-sys_nice", "--inh-caps=-sys_nice")
WHOLE_CPU = {"policy": "SCHED_DEADLINE", "runtime": 1000000, "deadline": 1000000, "period": 1000000}


def scheduler(bundle: Bundle, policy: str, **members: object) -> None:
    bundle.config["process"]["scheduler"] = {"policy": policy, **members}


@provokes("scheduler-iso", "/process/scheduler")
def a_policy_that_was_never_made(minirun: Runtime, bundle: Bundle) -> Done:
    scheduler(bundle, "SCHED_ISO")
    return minirun.run(bundle)


@provokes("scheduler-value", "/process/scheduler")
def a_period_of_a_minute(minirun: Runtime, bundle: Bundle) -> Done:
    scheduler(bundle, "SCHED_DEADLINE", runtime=10**6, deadline=60 * 10**9)
    return minirun.run(bundle)


@provokes("deadline-cpus", "/process/scheduler")
def a_deadline_without_the_right(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["process"]["scheduler"] = {**WHOLE_CPU, "runtime": 10000}
    return as_if(minirun, bundle, *WITHOUT_NICE)


@provokes("deadline-busy", "/process/scheduler")
def more_deadlines_than_cpus(minirun: Runtime, bundle: Bundle) -> Done:
    """They wait for start, and use nothing of what they were promised."""
    bundle.config["process"]["scheduler"] = WHOLE_CPU
    for _ in range((os.cpu_count() or 1) - 1):
        minirun.create(bundle)
    return minirun.run(bundle)


@provokes("clamp-missing", "/process/scheduler")
def clamped(minirun: Runtime, bundle: Bundle) -> Done:
    scheduler(bundle, "SCHED_OTHER", flags=["SCHED_FLAG_UTIL_CLAMP_MIN"])
    done = minirun.run(bundle)
    if done.returncode == 0:
        pytest.skip("this kernel can clamp")
    return done


@provokes("priority-denied", "/process/scheduler")
def a_priority_without_the_right(minirun: Runtime, bundle: Bundle) -> Done:
    scheduler(bundle, "SCHED_FIFO", priority=1)
    return as_if(minirun, bundle, "prlimit", "--rtprio=0:0", *WITHOUT_NICE)


@provokes("cpus-missing", "/process/execCPUAffinity/final")
def a_cpu_that_is_not_there(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["process"]["execCPUAffinity"] = {"final": "8191"}
    return minirun("exec", minirun.start(bundle.args("/probe", "pause")), "/probe", "pid")


@provokes("memory-nodes", "/linux/memoryPolicy")
def a_node_that_is_not_there(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["linux"]["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "1023"}
    return minirun.run(bundle)


@provokes("interface-missing", "/linux/netDevices/nowhere0")
def no_such_interface(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["linux"]["netDevices"] = {"nowhere0": {}}
    return minirun.run(bundle)


@provokes("interface-name", "/linux/netDevices/lo")
def a_name_that_is_taken(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["linux"]["netDevices"] = {"lo": {}}
    return minirun.run(bundle)


@provokes("interface-stays", "/linux/netDevices/lo")
def an_interface_that_belongs_here(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["linux"]["netDevices"] = {"lo": {"name": "lo1"}}
    return minirun.run(bundle)


@provokes("device-differs", "/linux/devices/0")
def another_device_of_that_name(minirun: Runtime, bundle: Bundle) -> Done:
    """/dev/null with the numbers of /dev/zero."""
    user_namespace(bundle)
    bundle.config["linux"]["devices"] = [{"type": "c", "path": "/dev/null", "major": 1, "minor": 5}]
    return minirun.run(bundle)
