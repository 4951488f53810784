"""The bundle, with another program in it: a config.json of our own beside an untouched rootfs.

``minirun-measure`` (native/measure) comes in by a bind mount.  Its place is below the bundle's own tmpfs on /dev, so
that no trace of it is left in the rootfs, and a read-only one will do.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from minirun.errors import MinirunError
from minirun.hot import PACKAGE
from minirun.plan.hardware import PREFIX

PROGRAM = f"{PACKAGE}/minirun-measure"
PLACE = "/dev/minirun-measure"


class Original:
    """The bundle as it was given.  Raises MinirunError."""

    def __init__(self, bundle: Path, command: tuple[str, ...] = ()) -> None:
        self.path = bundle
        file = bundle / "config.json"
        try:
            self.config: dict[str, Any] = json.loads(file.read_bytes())
            self.command = list(command) or list(self.config["process"]["args"])
            self.rootfs = bundle / self.config["root"]["path"]
        except OSError as error:
            raise MinirunError(
                f"cannot read {file}", reason=error.strerror or "", hint="minirun spec writes one"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise MinirunError(f"cannot compare {file}", reason="it needs process.args and root.path") from error
        if not any(mount.get("destination", "").rstrip("/") == "/dev" for mount in self.config.get("mounts", ())):
            raise MinirunError(
                f"cannot compare {file}", reason="it mounts no /dev, which is where the measuring program goes",
                hint='add {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"} to /mounts',
            )  # fmt: skip

    def staged(self, folder: Path, *args: str) -> Path:
        """A bundle in ``folder`` whose program is ``minirun-measure`` with ``args``."""
        config = copy.deepcopy(self.config)
        config["root"]["path"] = str(self.rootfs.absolute())
        process = config["process"]
        process["args"] = [PLACE, *args]
        process["terminal"] = False
        process.pop("consoleSize", None)
        for mount in config["mounts"]:
            if {"bind", "rbind"} & set(mount.get("options", ())) and mount.get("source"):
                mount["source"] = str((self.path / mount["source"]).absolute())
        config["mounts"].append(
            {"destination": PLACE, "type": "bind", "source": PROGRAM, "options": ["bind", "ro", "nosuid", "nodev"]}
        )
        self.seen_from_elsewhere(config)
        config.get("linux", {}).pop("cgroupsPath", None)  # it is one container's; here are several
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    def seen_from_elsewhere(self, config: dict[str, Any]) -> None:
        """The machine's files that are named from the bundle."""
        annotations = config.get("annotations") or {}
        for name in ("kernel", "initrd", "console", "vsock", "disk"):
            words = annotations.get(PREFIX + name, "").split(" ")
            if any(words):
                annotations[PREFIX + name] = " ".join(str((self.path / word).absolute()) for word in words if word)
        kernel = (config.get("vm") or {}).get("kernel") or {}
        for name in ("path", "initrd"):
            if kernel.get(name):
                kernel[name] = str((self.path / kernel[name]).absolute())
