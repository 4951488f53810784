"""iperf3 between two containers of one bridge, minirun's and podman's, in one run; and how long an attach takes.

    .venv/bin/python tests/bench/net.py [--runs N] [--seconds S] [--json FILE] [--at-least RATIO]

The world is that of ``containers.py``: one image, namespaces of its own, both side by side.  Each has two containers on
its default bridge, which stay for all rounds; iperf3 is the host's, in the containers' network namespaces.  They take
turns; the order changes every round.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import containers
import report
from scratch import folder, unmount_below

ATTACHES = 30


class Pair:
    """Two containers of one of the two."""

    def __init__(self, subject: containers.Subject) -> None:
        self.subject = subject
        form = "{{.State.Pid}}"
        self.pids = []
        for name in ("one", "two"):
            words = ["run", "-d", *containers.UNFILTERED, "--net", "bridge", "--name", name, containers.IMAGE]
            subject.ok(*words, "sleep", "100000")
            self.pids.append(subject.ok("inspect", "-f", form, name).strip())
        said = self.inside(0, "ip", "-j", "-4", "address", "show", "eth0")
        self.address = json.loads(said)[0]["addr_info"][0]["local"]

    def inside(self, number: int, *words: str) -> str:
        done = subprocess.run(
            ["nsenter", f"--net=/proc/{self.pids[number]}/ns/net", *words], capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(
                f"bench: {self.subject.name}: {' '.join(words)}: {done.stderr.strip()}{done.stdout[-300:]}"
            )
        return done.stdout

    def gigabits(self, seconds: int) -> float:
        """One connection, from the second to the first."""
        words = ["nsenter", f"--net=/proc/{self.pids[0]}/ns/net", "iperf3", "-s", "-1", "-J"]
        server = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        try:
            wait_for(self.pids[0])
            said = self.inside(1, "iperf3", "-c", self.address, "-J", "-t", str(seconds), "-O", "0")
            server.wait(timeout=10)
        finally:
            server.kill()
            server.wait()
        return float(json.loads(said)["end"]["sum_received"]["bits_per_second"]) / 1e9


def wait_for(pid: str) -> None:
    """Until iperf3 listens (5201 is 1451; 0A is LISTEN)."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        lines = [
            line.split()
            for name in ("tcp", "tcp6")
            for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()
        ]
        if any(line[1].endswith(":1451") and line[3] == "0A" for line in lines if len(line) > 3):
            return
        time.sleep(0.02)
    raise SystemExit("bench: iperf3 does not listen")


def attaches(place: str) -> list[float]:
    """Milliseconds of one namespace, attach with a published port, detach; in this process, after import."""
    from minirun.network import netns, repair
    from minirun.network.attach import Place, Wanted, attach, detach
    from minirun.network.ports import Port

    where = Place(storage=f"{place}/attach", root=f"{place}/attach-root")
    os.mkdir(where.storage)
    found = []
    for number in range(ATTACHES + 1):
        name = f"{number:064x}"
        before = time.perf_counter()
        fd = netns.new()
        attached = attach(where, name, f"c{number}", fd, [Wanted()], [Port(port=80)])
        taken = (time.perf_counter() - before) * 1000
        detach(where, name, sweep=False)
        for each in (fd, *attached.sockets):
            os.close(each)
        if number:  # the first makes the bridge and its rules
            found.append(round(taken, 2))
    repair.repair(where.root)
    return found


def measure(runs: int, seconds: int) -> dict[str, Any]:
    samples: dict[str, list[float]] = {name: [] for name in containers.NAMES}
    with folder() as name:
        both = containers.subjects(Path(name))
        try:
            pairs = [Pair(subject) for subject in both]
            for number in range(runs + 1):
                for pair in pairs if number % 2 else reversed(pairs):
                    got = pair.gigabits(seconds)
                    if number:
                        samples[pair.subject.name].append(round(got, 3))
            taken = attaches(name)
        finally:
            for subject in both:
                subject("rm", "-f", *(["-t", "0"] if subject.name == "podman" else []), "one", "two")
            unmount_below(Path(name))
    versions = {subject.name: subject.version for subject in both if subject.version}
    return {"machine": report.machine(), "runs": runs, "versions": versions, "samples": samples, "attach": taken}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench", description="Measure networks beside podman.")
    parser.add_argument("--runs", type=int, default=9, metavar="N", help="rounds (default 9)")
    parser.add_argument("--seconds", type=int, default=2, metavar="S", help="of one transfer (default 2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures as JSON")
    parser.add_argument("--at-least", type=float, default=0.95, metavar="RATIO", help="fail below (default 0.95)")
    chosen = parser.parse_args(argv)
    containers.enter()
    data = measure(chosen.runs, chosen.seconds)
    ours, theirs = (median(data["samples"][name]) for name in containers.NAMES)
    for name in containers.NAMES:
        found = data["samples"][name]
        print(f"{name:8} {median(found):6.2f} Gbit/s  ({min(found):.2f} to {max(found):.2f})")
    print(f"ratio    {ours / theirs:6.2f}")
    print(f"attach   {median(data['attach']):6.2f} ms  ({min(data['attach'])} to {max(data['attach'])})")
    print("\n".join(["", *containers.conditions(data)]))
    if chosen.json:
        chosen.json.write_text(json.dumps(data, indent=2) + "\n")
    return 0 if ours / theirs >= chosen.at_least else 1


if __name__ == "__main__":
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    sys.exit(main(sys.argv[1:]))
