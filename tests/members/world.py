"""What a member's test has in its hands: a bundle to change, and the probe to ask from inside."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from tests.conftest import Bundle, Json, Runtime
from tests.integration.seen import answers, ask_in, mark, questions

MAPPED = [{"containerID": 0, "hostID": 100000, "size": 65536}]


class World:
    """A bundle under a runtime."""

    def __init__(self, runtime: Runtime, bundle: Bundle) -> None:
        self.runtime, self.bundle = runtime, bundle
        self.config, self.rootfs, self.place = bundle.config, bundle.rootfs, bundle.path
        self.config["ociVersion"] = "1.0.2"  # the oldest that all of them take

    @property
    def process(self) -> Json:
        found: Json = self.config["process"]
        return found

    @property
    def linux(self) -> Json:
        found: Json = self.config["linux"]
        return found

    def resources(self, **sections: Any) -> None:
        self.linux.setdefault("resources", {}).update(sections)

    def capabilities(self, *names: str) -> None:
        """More of them, for what the program is to try."""
        for kind in ("bounding", "effective", "permitted"):
            self.process["capabilities"][kind] = [*self.process["capabilities"].get(kind, ()), *names]

    def mount(self, target: str, source: str | Path, *options: str, kind: str = "bind", **more: Any) -> None:
        entry = {"destination": target, "source": str(source), "type": kind, "options": list(options), **more}
        self.config["mounts"].append(entry)

    def namespaces(self, *more: str, without: str = "") -> None:
        kept = [entry for entry in self.linux["namespaces"] if entry["type"] != without]
        self.linux["namespaces"] = kept + [{"type": name} for name in more]

    def mapped(self) -> None:
        """A user namespace whose root is uid 100000 outside; it must reach its rootfs."""
        self.namespaces("user")
        self.linux["uidMappings"] = self.linux["gidMappings"] = MAPPED
        for path in (self.rootfs, *self.rootfs.rglob("*")):  # files are links to those of other bundles
            if path.is_dir() and not path.is_symlink():
                os.chown(path, 100000, 100000)

    def ask(self, *asked: str) -> list[str]:
        """The probe's answers, as the container's process; it must end well."""
        mark(self.bundle)
        done = self.runtime.run(self.bundle.args(*questions(*asked)))
        assert done.returncode == 0, f"exit {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}"
        return answers(done.stdout)

    def ends(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A run that may end as it likes."""
        return self.runtime.run(self.bundle.args(*words))

    def refused(self, pointer: str) -> None:
        """It must not run without what it cannot have; minirun also names the place."""
        done = self.ends("/probe", "pid")
        assert done.returncode != 0, "ran without it"
        if "minirun" in Path(self.runtime.program).name:
            assert pointer in done.stderr, done.stderr

    def started(self, *words: str) -> str:
        mark(self.bundle)
        return self.runtime.start(self.bundle.args(*(words or ("/probe", "pause"))))

    def ask_in(self, name: str, *asked: str, flags: tuple[str, ...] = ()) -> list[str]:
        return ask_in(self.runtime, name, *asked, flags=flags)

    def group(self, name: str) -> Path:
        """The directory of a running container's cgroup."""
        from minirun.facts import find_cgroup_root

        own = Path(f"/proc/{self.runtime.state(name)['pid']}/cgroup").read_text()
        line = next(line for line in own.splitlines() if line.startswith("0::"))
        return Path(find_cgroup_root() + line[3:])
