"""What machine a bundle asks for, and the words for it that a plan carries to the VMM.

Where each answer comes from, the first that has one:

    annotations dev.minirun.vm.NAME      NAMES below; the options of ``minirun vm run`` are put there
    /vm                                  runtime-spec, config-vm.md: kernel, initrd, parameters, vcpus, memory
    krun.cpus, krun.ram_mib              crun's, for its krun handler
    /linux/resources                     one virtual CPU for each CPU of quota / period; memory: the limit, and what
                                         the guest's kernel needs beside it
    nothing                              one CPU, 256 MiB

A limit on memory is the program's, in the machine as in a container: the guest's kernel is not counted in it.  Memory
that is asked for by name is the whole machine's.
"""

from __future__ import annotations

from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.plan.container import Problems
    from minirun.spec.types import VM, Spec

PREFIX = "dev.minirun.vm."
NAMES = (
    "kernel", "initrd", "cmdline", "memory", "vcpus", "disk", "net", "vsock", "balloon", "rng", "console", "emulated",
)  # fmt: skip
MIB = 1 << 20
DEFAULT_MEMORY = 256 * MIB
LEAST_MEMORY, MOST_MEMORY = 32 * MIB, 1 << 40
OF_THE_KERNEL = 96 * MIB  # what Debian's kernel, its modules and page tables take before there is a program
MOST_CPUS = 32
MOST_DISKS, MOST_NETS = 4, 4
HEX = "0123456789abcdefABCDEF"
UNITS = {"k": 10, "m": 20, "g": 30}


class Share(Record):
    """A directory or file of the host's that the guest sees as /run/share/NAME."""

    name: str
    path: str
    read_only: bool = False
    pointer: str = ""


class Hardware(Record):
    """A machine.  Paths are absolute, or empty for what is found or made at boot."""

    memory: int
    vcpus: int
    kernel: str = ""
    initrd: str = ""
    cmdline: str = ""  # behind our own
    disks: list[str]  # PATH, or PATH,ro
    nets: list[str]  # TAP, or TAP,mac=..,address=..,gateway=.. (net_of)
    vsock: str = ""  # the unix socket through which the host reaches ports of the guest's, as Firecracker has it
    balloon: bool = False
    rng: bool = False
    console: str = ""  # a file that takes what the guest's kernel says
    emulated: bool = False  # run even where /dev/kvm emulates the guest's kernel, a thousand times slower
    origins: list[str]  # NAME POINTER: where in config.json something came from (``origin``)
    shares: list[Share]

    def words(self) -> list[str]:
        """What a plan carries: the first word is for people."""
        cpus = f"{self.vcpus} CPU{'s' * (self.vcpus > 1)}"
        found = [f"boot a machine with {cpus} and {self.memory // MIB} MiB"]
        for name in self.FIELDS[:-1]:
            value = getattr(self, name)
            found += [f"{name}={each}" for each in value] if value.__class__ is list else [f"{name}={value}"]
        return found + [
            f"share={share.name} {'ro' if share.read_only else 'rw'} {share.pointer} {share.path}"
            for share in self.shares
        ]

    def origin(self, name: str) -> str:
        """The place in config.json that asks for it; "" for what nobody asked for."""
        found = dict(word.split(" ", 1) for word in self.origins)
        return found.get(name, "")


def from_words(words: list[str]) -> Hardware:
    """The other way."""
    found = Hardware(memory=0, vcpus=0, disks=[], nets=[], origins=[], shares=[])
    for word in words[1:]:
        name, _, value = word.partition("=")
        if name == "share":
            share, mode, pointer, path = value.split(" ", 3)
            found.shares.append(Share(name=share, path=path, read_only=mode == "ro", pointer=pointer))
        elif name in ("disks", "nets", "origins"):
            getattr(found, name).append(value)
        else:
            kind = getattr(found, name).__class__
            setattr(found, name, value == "True" if kind is bool else kind(value))
    return found


class Answers:
    """The annotations, by short names, each with its pointer for what is wrong with it."""

    def __init__(self, spec: Spec, bundle: str, problems: Problems) -> None:
        annotations = spec.get("annotations", {})
        self.given = {name[len(PREFIX) :]: value for name, value in annotations.items() if name.startswith(PREFIX)}
        self.bundle = bundle
        self.problems = problems
        self.origins = {name: f"/annotations/{PREFIX}{name}" for name in self.given}
        for name in self.given:
            if name not in NAMES:
                problems.add(f"/annotations/{PREFIX}{name}", f"a machine has no {name!r}, only {', '.join(NAMES)}")

    def wrong(self, name: str, what: str) -> None:
        self.problems.add(f"/annotations/{PREFIX}{name}", what)

    def path(self, name: str, otherwise: str = "") -> str:
        """Relative ones are seen from the bundle."""
        path = self.given.get(name, otherwise)
        return path if not path or path.startswith("/") else f"{self.bundle}/{path}"

    def on(self, name: str, yes: str = "true") -> bool:
        word = self.given.get(name)
        if word not in (None, yes, "false"):
            self.wrong(name, f"must be {yes} or false, not {word!r}")
        return word == yes

    def listed(self, name: str, most: int) -> list[str]:
        found = self.given.get(name, "").split()
        if len(found) > most:
            self.wrong(name, f"names {len(found)}: a machine has at most {most}")
        return found[:most]

    def number(self, name: str) -> int:
        """0 if it is not given."""
        word = self.given.get(name)
        if word is None:
            return 0
        found = size(word) if name == "memory" else decimal(word)
        if not found:
            what = "a number of bytes, or one as 512m" if name == "memory" else "a number, at least 1"
            self.wrong(name, f"must be {what}, not {word[:32]!r}")
        return found


def size(word: str) -> int:
    """Bytes, or with a unit: 512m, 2g; 0 if it is neither."""
    low = word.lower().removesuffix("b").removesuffix("i")
    shift = UNITS.get(low[-1:], 0)
    digits = low[:-1] if shift else low
    return decimal(digits) << shift


def decimal(word: str) -> int:
    """0 if it is no number, or none that anybody could mean."""
    return int(word) if word.isascii() and word.isdigit() and len(word) < 16 else 0


def hardware_of(spec: Spec, bundle: str, problems: Problems) -> Hardware:
    """The machine, without its shares."""
    answers = Answers(spec, bundle, problems)
    vm = spec.get("vm", {})
    kernel = vm.get("kernel", {})
    parameters = " ".join(kernel.get("parameters", ()))
    found = Hardware(
        memory=memory_of(spec, answers), vcpus=vcpus_of(spec, answers),
        kernel=answers.path("kernel", kernel.get("path", "")), initrd=answers.path("initrd", kernel.get("initrd", "")),
        cmdline=" ".join(text for text in (parameters, answers.given.get("cmdline", "")) if text),
        disks=[answers_path(word, bundle) for word in answers.listed("disk", MOST_DISKS)],
        nets=[net_of(word, answers) for word in answers.listed("net", MOST_NETS)],
        vsock=answers.path("vsock"), balloon=answers.on("balloon"), rng=answers.on("rng"),
        console=answers.path("console"), emulated=answers.on("emulated", yes="allow"), origins=[], shares=[],
    )  # fmt: skip
    found.origins = [f"{name} {pointer}" for name, pointer in origins_of(vm, answers).items()]
    if "\n" in found.cmdline or "\0" in found.cmdline or len(found.cmdline) > 1024:
        answers.wrong("cmdline", "must be one line of at most 1024 bytes")
    if found.vsock.endswith("/"):
        answers.wrong("vsock", "must be the path of a socket, not of a directory")
    return found


def origins_of(vm: VM, answers: Answers) -> dict[str, str]:
    """Where the kernel and the rest come from, for who cannot open them."""
    for name in ("path", "initrd"):
        if name in vm.get("kernel", {}):
            answers.origins.setdefault(name.replace("path", "kernel"), f"/vm/kernel/{name}")
    return {name: pointer for name, pointer in answers.origins.items() if name in NAMES and pointer}


def net_of(word: str, answers: Answers) -> str:
    """``TAP[,mac=MAC][,address=A.B.C.D/N][,gateway=A.B.C.D]``, checked."""
    name, _, rest = word.partition(",")
    if not 0 < len(name.encode()) < 16 or "/" in name:
        answers.wrong("net", f"{name!r} is no name of an interface: those have at most 15 bytes")
    for part in rest.split(",") if rest else ():
        key, _, value = part.partition("=")
        if key == "mac":
            pairs = value.split(":")
            right = len(pairs) == 6 and all(len(pair) == 2 and not pair.strip(HEX) for pair in pairs)
        elif key == "address":
            address, _, bits = value.partition("/")
            right = ipv4(address) is not None and is_short(bits) and 0 < int(bits) <= 32
        else:
            right = key == "gateway" and ipv4(value) is not None
        if not right:
            answers.wrong("net", f"{part!r} is none of mac=, address=A.B.C.D/N, gateway=")
            return name
    return word


def is_short(text: str) -> bool:
    """A number of at most three digits; int() refuses thousands of them with an error of its own."""
    return text.isascii() and text.isdigit() and len(text) <= 3


def ipv4(text: str) -> int | None:
    """An address as the kernel has it in memory: network order."""
    parts = text.split(".")
    if len(parts) != 4 or not all(is_short(part) and int(part) < 256 for part in parts):
        return None
    return int.from_bytes(bytes(map(int, parts)), "little")


def addresses(word: str) -> tuple[int, int, int]:
    """(address, mask, gateway) of a net that was checked; 0 for what it does not say."""
    given = dict(part.partition("=")[::2] for part in word.split(",")[1:])
    address, _, bits = given.get("address", "").partition("/")
    mask = (0xFFFFFFFF << 32 - int(bits or 0)) & 0xFFFFFFFF if address else 0
    return ipv4(address) or 0, int.from_bytes(mask.to_bytes(4, "big"), "little"), ipv4(given.get("gateway", "")) or 0


def answers_path(word: str, bundle: str) -> str:
    return word if word.startswith("/") else f"{bundle}/{word}"


def memory_of(spec: Spec, answers: Answers) -> int:
    """Whole MiB."""
    asked, pointer = answers.number("memory"), f"/annotations/{PREFIX}memory"
    if not asked:
        asked, pointer = spec.get("vm", {}).get("hwConfig", {}).get("memory", 0), "/vm/hwConfig/memory"
    if not asked:
        asked, pointer = krun(spec, "ram_mib", answers.problems) * MIB, "/annotations/krun.ram_mib"
    if not asked:
        limit = memory_limit(spec)
        asked, pointer = (limit + OF_THE_KERNEL, "/linux/resources/memory/limit") if limit else (DEFAULT_MEMORY, "")
    if not LEAST_MEMORY <= asked <= MOST_MEMORY:
        answers.problems.add(pointer, f"a machine has from {LEAST_MEMORY // MIB} MiB to 1 TiB, not {asked} bytes")
        return DEFAULT_MEMORY
    answers.origins["memory"] = pointer
    return -(-asked // MIB) * MIB


def memory_limit(spec: Spec) -> int:
    """The program's, in bytes; 0 for none."""
    return max(spec["linux"].get("resources", {}).get("memory", {}).get("limit", 0), 0)


def vcpus_of(spec: Spec, answers: Answers) -> int:
    asked, pointer = answers.number("vcpus"), f"/annotations/{PREFIX}vcpus"
    if not asked:
        asked, pointer = spec.get("vm", {}).get("hwConfig", {}).get("vcpus", 0), "/vm/hwConfig/vcpus"
    if not asked:
        asked, pointer = krun(spec, "cpus", answers.problems), "/annotations/krun.cpus"
    if not asked:
        cpu, pointer = spec["linux"].get("resources", {}).get("cpu", {}), "/linux/resources/cpu/quota"
        quota = cpu.get("quota", 0)
        asked = min(-(-quota // (cpu.get("period") or 100000)), MOST_CPUS) if quota > 0 else 1
    if not 1 <= asked <= MOST_CPUS:
        answers.problems.add(pointer, f"a machine has from 1 to {MOST_CPUS} CPUs, not {asked}")
        return 1
    return asked


def krun(spec: Spec, name: str, problems: Problems) -> int:
    word = spec.get("annotations", {}).get(f"krun.{name}")
    if word is None:
        return 0
    if not (word.isascii() and word.isdigit() and len(word) < 10):
        problems.add(f"/annotations/krun.{name}", f"must be a number, not {word!r}")
        return 0
    return int(word)
