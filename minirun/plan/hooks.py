"""Hooks (config.md, POSIX-platform Hooks).

Which, by whom, when:

    prestart, createRuntime   host   after the namespaces and mounts are there, before the pivot
    createContainer           init   the same moment, in the container's namespaces, its path still the host's
    startContainer            init   after start, before the program
    poststart, poststop       host   plain functions of ``runtime``: no plan where there is no sequence
"""

from __future__ import annotations

from minirun.plan.ops import HOST, INIT, Hook, Op
from minirun.spec.schema import HOOK_STDERR, HOOK_STDOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.spec.types import HookName, Spec


def ops(spec: Spec, name: HookName, actor: str, cwd: str = "") -> list[Op]:
    """The hooks of one kind, in the listed order; they run in ``cwd``, for those of the host the bundle."""
    return [
        Hook(
            actor=actor,
            name=name,
            path=hook["path"],
            args=hook.get("args") or [hook["path"]],
            env=hook.get("env", []),
            timeout=hook.get("timeout", 0),
            cwd=cwd,
            pointer=f"/hooks/{name}/{index}",
        )
        for index, hook in enumerate(spec.get("hooks", {}).get(name, ()))
    ]


def outputs(annotations: dict[str, str], bundle: str) -> tuple[str, str]:
    """The files that take what the host's hooks print on standard output and error; "" leaves it as it is."""
    found = [annotations.get(name, "") for name in (HOOK_STDOUT, HOOK_STDERR)]
    output, errors = (f"{bundle}/{path}" if path and not path.startswith("/") else path for path in found)
    return output, errors


def before_pivot(spec: Spec, bundle: str, rootfs: str) -> list[Op]:
    """createContainer hooks run in the rootfs, as under runc: ``touch ./etc/x`` is the container's /etc/x."""
    outside = ops(spec, "prestart", HOST, bundle) + ops(spec, "createRuntime", HOST, bundle)
    return outside + ops(spec, "createContainer", INIT, rootfs)


def inside(spec: Spec, name: HookName) -> list[Op]:
    """A program of the container's: without an ``env`` of its own it has that of /process, as with runc."""
    found = ops(spec, name, INIT)
    for hook, listed in zip(found, spec.get("hooks", {}).get(name, ()), strict=True):
        if "env" not in listed:
            hook.env = list(spec["process"].get("env", []))  # type: ignore[attr-defined]
    return found
