"""What machine a comparison ran on, in the words of /proc and os-release(5)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from minirun.vm import probe


def machine() -> dict[str, Any]:
    """Without it no number means anything."""
    kernel = os.uname()
    return {
        "system": release().get("PRETTY_NAME", "an unknown system").strip('"'),
        "kernel": f"{kernel.sysname} {kernel.release}",
        "cpus": len(os.sched_getaffinity(0)),
        "cpu": model(),
        "virtual": " hypervisor" in read("/proc/cpuinfo"),
        "kvm": kvm(),
        "load": round(os.getloadavg()[0], 1),
    }


def read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def release() -> dict[str, str]:
    return dict(line.split("=", 1) for line in read("/etc/os-release").splitlines() if "=" in line)


def model() -> str:
    names = [line.partition(": ")[2] for line in read("/proc/cpuinfo").splitlines() if line.startswith("model name")]
    return " ".join(names[0].split()) if names else "an unknown processor"


def kvm() -> str:
    """real, emulated or none; with the rate at which a guest's kernel mode runs, where that was measured."""
    found = probe.look()
    rate = f" ({found.rate:.1f} million instructions a second in kernel mode)" if found.rate else ""
    return f"{found.kind or 'none'}{rate}"
