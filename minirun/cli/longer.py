"""What a verb's one line of help leaves out: a paragraph for ``minirun help VERB`` and the manual pages.

Blank lines separate paragraphs.  A line of an example is a command; its comment goes behind ``#``.
"""

from __future__ import annotations

from minirun.record import Record


class Longer(Record):
    """``text`` goes below the usage line, ``examples`` below the options."""

    text: str
    examples: tuple[str, ...] = ()


LONGER = {
    "create": Longer(
        text="Everything in config.json is carried out except the program: limits, namespaces, mounts, user, rights. "
        "Then the container's first process waits at a gate until `minirun start`.\n\n"
        "The program is looked up now, so that a missing one is this verb's error. If any step fails, all earlier ones "
        "are undone. Changes to config.json after this have no effect.",
        examples=("minirun create -b web web1", "minirun create --explain -b web web1   # the plan; no root needed"),
    ),
    "start": Longer(
        text="Opens the gate that the container's first process waits at. Returns once the program runs, that is when "
        "execve(2) has succeeded and the poststart hooks have ended; with NOTIFY_SOCKET in the environment, here and "
        "at create, once it has said READY=1 (sd_notify(3)).",
        examples=("minirun start web1",),
    ),
    "run": Longer(
        text="In the foreground, signals are passed on and the exit code is the program's. With a terminal "
        "(/process/terminal) yours is put into raw mode until the end.\n\n"
        "With --detach the container stays until `minirun delete`; a terminal then needs --console-socket.\n\n"
        "With NOTIFY_SOCKET in the environment, as in a systemd service of Type=notify, what the program says by "
        "sd_notify(3) is passed on; with --detach `run` waits for READY=1, and tells the program's pid.",
        examples=(
            "minirun run -b web web1",
            "minirun run -d -b web web1            # in the background",
            "minirun run --trace -b web web1       # and what each step took",
        ),
    ),
    "exec": Longer(
        text="The new process gets the user, environment and rights of the container's own, changed by the options. "
        "It joins all of the container's namespaces and its cgroup. Options go before the container's id.",
        examples=("minirun exec web1 ps", "minirun exec -t -u 1000:1000 web1 sh"),
    ),
    "state": Longer(
        text="The status is found out from the process itself, never read from a file: creating, created, running, "
        "paused or stopped. The document is the runtime-spec's, with rootfs, created and owner added as runc does.",
        examples=("minirun state web1",),
    ),
    "kill": Longer(
        text="SIGNAL is a name (TERM, SIGTERM, RTMIN+3) or a number from 0 to 64, where 0 only asks. The process is "
        "signalled by its pidfd: a number that was used again is never hit. --all with KILL is one write to "
        "cgroup.kill.",
        examples=("minirun kill web1", "minirun kill --all web1 KILL"),
    ),
    "delete": Longer(
        text="Removes the cgroup and what minirun knows of the container, then runs the poststop hooks. "
        "It also clears up after a create that was killed half-way. A container that is created, not started, is "
        "killed first, as by runc and crun; one that runs only with --force.",
        examples=("minirun delete web1", "minirun delete --force web1", "minirun delete --force --regex '^test-'"),
    ),
    "list": Longer(
        text="What is below --root. The columns and the JSON are runc's.",
        examples=("minirun list", "minirun list -q"),
    ),
    "ps": Longer(
        text="PS_OPTION is passed to ps(1), -ef if none is given; its output must have a PID column.",
        examples=("minirun ps web1", "minirun ps --format json web1"),
    ),
    "pause": Longer(
        text="By cgroup.freeze. Returns when the kernel says that every process has stopped.",
        examples=("minirun pause web1",),
    ),
    "resume": Longer(text="Undoes `minirun pause`.", examples=("minirun resume web1",)),
    "update": Longer(
        text="Writes to the files of the container's cgroup. Options win over the document of --resources. "
        "A limit whose controller is not there is an error that names it.\n\n"
        "Schemata go to the container's group in resctrl; it gets one if it has none, and delete takes that away.",
        examples=("minirun update --memory 67108864 --pids-limit 100 web1", "minirun update -r limits.json web1"),
    ),
    "events": Longer(
        text="One JSON object a line: type stats every --interval, type oom whenever the kernel killed for memory. "
        "Ends with the container.",
        examples=("minirun events --stats web1",),
    ),
    "stats": Longer(
        text="CPU time, memory and processes against their limits, reads and writes, and pressure: the share of the "
        "last ten seconds in which some (in brackets: all) of the processes waited for CPU, memory or IO. 100% of CPU "
        "is one CPU, and throttled is how often cpu.max held it back. Without ID, all that run. Ctrl-C ends it.\n\n"
        "cgroup v2 counts what a controller is switched on for, and minirun switches on those that config.json sets a "
        "limit of; a - is what is not counted, and the last lines say why.",
        examples=(
            "minirun stats",
            "minirun stats --no-stream web1",
            "minirun stats --format json web1   # once, for programs",
        ),
    ),
    "spec": Longer(
        text="A shell in every namespace with few rights: the same default that runc and crun write. "
        "An existing config.json is left alone unless --force is given.\n\n"
        "--rootless maps the caller alone to the root inside. More ids, from /etc/subuid, are two rows more in "
        "/linux/uidMappings and gidMappings: docs/rootless.md has them.",
        examples=("minirun spec -b web", "minirun spec --rootless -b web"),
    ),
    "features": Longer(text="Only what minirun really carries out.", examples=("minirun features",)),
    "checkpoint": Longer(text="Needs CRIU, which minirun does not use yet. The verb is here to say so."),
    "restore": Longer(text="Needs CRIU, which minirun does not use yet. The verb is here to say so."),
    "compare": Longer(
        text="BUNDLE runs as a container, in a sandbox (a VM without a kernel), in a micro-VM, in turns: time to the "
        "program's first instruction and to its exit, memory, the kernel and the devices it sees, what the host sees "
        "of it, what a system call, a process and a file cost inside, system calls on the host against exits of the "
        "VM, and how many different ones may be made. What follows -- runs in place of the bundle's own program. The "
        "bundle itself is not written to.\n\n"
        "Where a kind of isolation cannot run, its column says why. --json has every sample; --html makes one page "
        "that needs nothing else. strace(1) is needed for the system calls on the host.",
        examples=("minirun compare web", "minirun compare web --runs 20 --html web.html -- /bin/true"),
    ),
    "vm": Longer(
        text="run BUNDLE boots a machine and runs the bundle in it, as `minirun --isolation vm run` does; what follows "
        "-- runs in place of the bundle's program, and options say what machine it is. run with --kernel and no "
        "bundle boots that kernel alone, its serial port on this terminal (^A x ends it). ls lists machines; console "
        "ID shows what the guest's kernel says; stop ID asks the program to end, and ends it after ten seconds.\n\n"
        "The kernel is the one that --kernel or config.json names, else MINIRUN_KERNEL's, else one that is found: "
        "`minirun doctor` says which. Whatever else a machine may have stands in config.json, in /vm and in "
        "annotations dev.minirun.vm.NAME (docs/config.md).\n\n"
        "ladder: guests of a few lines of assembly, from `hlt` to two processors, each of which checks "
        "itself. They need /dev/kvm and nothing else, and run where KVM is emulated, too. A line for each says how "
        "long it was in the guest, which exits brought it back, and what it teaches; WORD names the ones to run. "
        "The exit code is 1 if one of them did not say 42.",
        examples=(
            "minirun vm run web",
            "minirun vm run web --vcpus 2 -m 512m -- /bin/sh",
            "minirun vm run --kernel bzImage --append 'loglevel=7'",
            "minirun vm ladder",
            "minirun vm ladder --explain paging",
        ),
    ),
    "doctor": Longer(
        text="Every facility is tried, not guessed from the kernel's version: namespaces are made, a process is put "
        "into a cgroup, mounts are attached and thrown away; an overlay is mounted on the storage; a bridge, a veth "
        "pair, a table of nftables are made in a network namespace of their own; KVM's speed is measured. Nothing of "
        "it stays.\n\n"
        "The exit code is 1 if something is missing that no container can do without.",
        examples=("minirun doctor", "minirun doctor --json", "minirun --storage /srv/minirun doctor"),
    ),
    "completion": Longer(
        text="The scripts are made from the same table as this help: they know verbs, options and their words. Names "
        "of containers, images, networks and volumes are asked from minirun, with the --root and --storage on the "
        "line. `make install` puts the scripts where the shells look.",
        examples=("source <(minirun completion bash)",),
    ),
    "man": Longer(
        text="Without VERB, minirun(8) itself. `make install` puts all pages where man(1) looks.",
        examples=("minirun man run | man -l -",),
    ),
    "help": Longer(text="The same as `minirun VERB --help`.", examples=("minirun help run",)),
}
