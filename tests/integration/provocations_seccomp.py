"""The rows about system call filters."""

from __future__ import annotations

import base64

from tests.conftest import Bundle, Runtime
from tests.integration.profiles import argument, profile, rule
from tests.integration.provocations import CANNOT, Done, provokes

CANNOT["filter-rights"] = (
    "root has the right, and so has a user in a namespace of its own: the runtime must be confined itself"
)


@provokes("filter-conflict", "/linux/seccomp")
def two_answers_to_one_question(minirun: Runtime, bundle: Bundle) -> Done:
    rules = [rule("ERRNO", "getppid", args=[argument(0, "EQ", 1)], errno=code) for code in (1, 2)]
    bundle.config["linux"]["seccomp"] = profile(*rules)
    return minirun.run(bundle)


@provokes("filter-unknown", "/linux/seccomp")
def a_name_that_must_be_known(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["linux"]["seccomp"] = profile(rule("ERRNO", "frobnicate"))
    bundle.config["annotations"] = {"run.oci.seccomp_fail_unknown_syscall": "1"}
    return minirun.run(bundle)


@provokes("filter-refused", "/annotations/run.oci.seccomp_bpf_data")
def a_program_without_an_end(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["annotations"] = {"run.oci.seccomp_bpf_data": base64.b64encode(bytes(8)).decode()}
    return minirun.run(bundle)


@provokes("exec-filtered", "/process/args", 126)
def a_filter_against_the_program_itself(minirun: Runtime, bundle: Bundle) -> Done:
    bundle.config["linux"]["seccomp"] = profile(rule("ERRNO", "execve"))
    return minirun.run(bundle)
