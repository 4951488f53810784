"""``system df``, ``system info``, ``system prune``."""

from __future__ import annotations

import os

from minirun.cli import amounts
from minirun.cli.asking import confirm
from minirun.cli.oci_list import columns
from minirun.cli.parse import usage
from minirun.cli.places import place_of, shelf_of
from minirun.cli.stores import storage_of, store_of, write_out
from minirun.container import usage as used
from minirun.spec.decode import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minirun.cli.main import Call


def form_of(call: Call) -> str:
    form = call.values.text("format")
    if form not in ("table", "json"):
        raise usage(f"--format must be table or json, not {form!r}")
    return form


# -- df


def df(call: Call) -> int:
    form = form_of(call)
    found = used.look(storage_of(call))
    if form == "json":
        rows = [{"Type": part.name, "Total": len(part.items), "Active": part.active, "Size": part.size,
                 "Reclaimable": part.reclaimable} for part in found]  # fmt: skip
        if call.values.on("verbose"):
            for row, part in zip(rows, found, strict=True):
                row["Items"] = [{name: getattr(item, name) for name in item.FIELDS} for item in part.items]
        write_out("".join(f"{encode(row)}\n" for row in rows))
        return 0
    if call.values.on("verbose"):
        write_out("\n".join(table_of(part) for part in found))
        return 0
    lines = [["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]]
    for part in found:
        share = f" ({100 * part.reclaimable // part.size}%)" if part.size else ""
        size, more = amounts.size(part.size), amounts.size(part.reclaimable)
        lines.append([part.name, str(len(part.items)), str(part.active), size, f"{more}{share}"])
    write_out(columns(lines))
    return 0


def table_of(part: used.Part) -> str:
    """A heading, and a line for each."""
    rows = [["NAME", "SIZE", "USED BY"]]
    rows += [[item.name, amounts.size(item.size), ", ".join(item.users) or "-"] for item in part.items]
    return f"{part.name}\n" + (columns(rows) if part.items else "none\n")


# -- info


def info(call: Call) -> int:
    form = form_of(call)
    found = facts_of(call)
    if form == "json":
        write_out(encode(found, "  ") + "\n")
        return 0
    width = max(len(name) for name in found) + 2
    write_out("".join(f"{name + ':':<{width}} {text(value)}\n" for name, value in found.items()))
    return 0


def text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {text(each)}" for name, each in value.items()) or "none"
    if isinstance(value, list):
        return " ".join(value) or "none"
    return "yes" if value is True else "no" if value is False else str(value)


def facts_of(call: Call) -> dict[str, Any]:
    from minirun import __version__, facts
    from minirun.cli.doctor_images import file_system, nearest
    from minirun.container.volumes import Volumes
    from minirun.images.store import Images
    from minirun.network import networks
    from minirun.runtime.store import OCI_VERSION

    storage, host, system = storage_of(call), facts.probe(), os.uname()
    containers = used.states(storage)
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "Version": __version__,
        "OCI version": OCI_VERSION,
        "Storage": storage,
        "Storage file system": file_system(nearest(storage)),
        "Root": store_of(call).root,
        "Containers": {"in all": sum(containers.values()), **containers},
        "Images": len(Images(storage).all()),
        "Networks": [each.name for each in networks.every(storage)],
        "Volumes": len(list(Volumes(storage).all())),
        "Cgroup driver": "systemd" if call.glob.on("systemd_cgroup") else call.glob.text("cgroup_manager"),
        "Cgroup version": 2 if host.cgroup_root == "/sys/fs/cgroup" else "2, beside 1" if host.cgroup_root else "none",
        "Cgroup controllers": list(host.controllers),
        "Isolations": ["container", *(["sandbox", "vm"] if os.access("/dev/kvm", os.R_OK | os.W_OK) else [])],
        "Rootless": host.rootless,
        "Kernel": f"{system.sysname} {system.release}",
        "Operating system": operating_system(),
        "Architecture": system.machine,
        "CPUs": os.cpu_count() or 1,
        "Memory": amounts.size(pages),
        "Name": system.nodename,
    }


def operating_system() -> str:
    import platform

    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    except OSError:
        return "unknown"


# -- prune


def prune(call: Call) -> int:
    from minirun.cli import system_prune

    every, volumes = call.values.on("all"), call.values.on("volumes")
    if not call.values.on("force"):
        what = ["containers that do not run", "networks without containers"]
        what += ["anonymous volumes without containers"] if volumes else []
        what += ["images that no container was made of" if every else "images without a name", "all leftovers"]
        confirm(f"all {', '.join(what[:-1])}, and {what[-1]}")
    shelf, place = shelf_of(call), place_of(call)
    report = system_prune.run(shelf, place, every=every, volumes=volumes)
    for heading, lines in report.parts.items():
        write_out("".join([f"{heading}:\n", *(f"  {line}\n" for line in lines)]) if lines else "")
    for error in report.failed:
        call.log.error(error)
    write_out(f"Total reclaimed space: {amounts.size(report.size)}\n")
    return 1 if report.failed else 0
