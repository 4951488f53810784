"""Resources of config.json -> files of cgroup v2.

The numbers of config.json are cgroup v1's in part; the conversions are those that runc and crun agree on
(runc 1.3.2, crun 1.23).  Kernel: Documentation/admin-guide/cgroup-v2.rst.  0 means "not given", as in both, but for
pids and huge pages.
"""

from __future__ import annotations

from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.spec.types import BlockIO, Cpu, Memory, Resources

POINTER = "/linux/resources"


class Limit(Record):
    """One write: ``file`` of the cgroup, ``value``, and where in config.json it comes from.

    ``instead`` and ``optional`` say what becomes of it where the kernel has no such file (ops.WriteCgroup).
    """

    file: str
    value: str
    pointer: str
    instead: str = ""
    instead_value: str = ""
    optional: bool = False

    @property
    def controller(self) -> str:
        """cpu.weight needs the cpu controller; cgroup.* needs none."""
        return self.file.partition(".")[0]


def limits(resources: Resources, burst: int = 0) -> list[Limit]:
    """Every write that ``resources`` asks for, in an order the kernel accepts; ``burst`` is the one in force now."""
    writes = memory(resources.get("memory", {}))
    writes += cpu(resources.get("cpu", {}), burst)
    pids = resources.get("pids", {}).get("limit")
    if pids is not None:
        writes.append(Limit(file="pids.max", value=processes(pids), pointer=f"{POINTER}/pids/limit"))
    writes += block_io(resources.get("blockIO", {}))
    for index, page in enumerate(resources.get("hugepageLimits", ())):
        at, name, most = f"{POINTER}/hugepageLimits/{index}", page["pageSize"], str(page["limit"])
        writes.append(Limit(file=f"hugetlb.{name}.max", value=most, pointer=at))
        # reservations are accounted since Linux 5.7
        writes.append(Limit(file=f"hugetlb.{name}.rsvd.max", value=most, pointer=at, optional=True))
    for device, rdma in resources.get("rdma", {}).items():
        words = [f"hca_handle={rdma['hcaHandles']}"] if "hcaHandles" in rdma else []
        words += [f"hca_object={rdma['hcaObjects']}"] if "hcaObjects" in rdma else []
        if words:
            writes.append(Limit(file="rdma.max", value=" ".join([device, *words]), pointer=f"{POINTER}/rdma/{device}"))
    for name, value in resources.get("unified", {}).items():
        # the kernel takes one device a write: a value of several lines is several writes
        for line in value.splitlines() or [""]:
            writes.append(Limit(file=name, value=line, pointer=f"{POINTER}/unified/{name}"))
    return writes


def maximum(value: int) -> str:
    """A negative number means no limit; 0 is a real one (runtime-spec 1.3)."""
    return "max" if value < 0 else str(value)


def processes(value: int) -> str:
    """0 is a real limit (runtime-spec 1.3), and comes out as 1, as runc has it.

    The program itself is always let in: clone3 straight into a cgroup with pids.max = 0 would be refused.
    """
    return "1" if value == 0 else maximum(value)


def memory(given: Memory) -> list[Limit]:
    """Swap in config.json is memory plus swap (cgroup v1); in v2 it is swap alone.

    No limit for the memory and none named for the sum means: none for the swap.  A kernel without swap accounting
    has no memory.swap.max; "max" and "0" are true there anyway.  Swap goes first: where memory shrinks, it can be
    swapped out into what swap has just gained.
    """
    at = f"{POINTER}/memory"
    writes: list[Limit] = []
    limit, swap = given.get("limit", 0), given.get("swap", 0)
    if swap or limit < 0:
        alone = -1 if swap <= 0 else swap if limit <= 0 else max(swap - limit, 0)
        member = "swap" if swap else "limit"
        writes.append(
            Limit(file="memory.swap.max", value=maximum(alone), pointer=f"{at}/{member}", optional=alone <= 0)
        )
    if limit:
        writes.append(Limit(file="memory.max", value=maximum(limit), pointer=f"{at}/limit"))
    reservation = given.get("reservation")
    if reservation:
        writes.append(Limit(file="memory.low", value=maximum(reservation), pointer=f"{at}/reservation"))
    return writes


def cpu(given: Cpu, burst: int = 0) -> list[Limit]:
    at = f"{POINTER}/cpu"
    share: list[Limit] = []
    if given.get("shares"):
        share.append(Limit(file="cpu.weight", value=str(weight(given["shares"])), pointer=f"{at}/shares"))
    if "idle" in given:
        # an idle group takes no weight: it comes last when it begins, first when it ends
        idle = Limit(file="cpu.idle", value=str(given["idle"]), pointer=f"{at}/idle")
        share.insert(len(share) if given["idle"] else 0, idle)
    writes = share + bandwidth(given, burst)
    for member in ("cpus", "mems"):
        listed = given.get(member)
        if listed:
            writes.append(Limit(file=f"cpuset.{member}", value=str(listed), pointer=f"{at}/{member}"))
    return writes


def bandwidth(given: Cpu, now: int) -> list[Limit]:
    """cpu.max is "QUOTA PERIOD" in microseconds.

    At no moment may burst be above the quota (kernel/sched/core.c, tg_set_cfs_bandwidth): a burst that grows comes
    after the quota, one that shrinks before it.
    """
    at = f"{POINTER}/cpu"
    writes: list[Limit] = []
    quota, period = given.get("quota"), given.get("period")
    if quota or period:
        word = str(quota) if quota and quota > 0 else "max"
        member = "quota" if quota else "period"
        writes.append(Limit(file="cpu.max", value=f"{word} {period or 100000}", pointer=f"{at}/{member}"))
    if "burst" in given:
        more = Limit(file="cpu.max.burst", value=str(given["burst"]), pointer=f"{at}/burst")
        writes.insert(len(writes) if given["burst"] > now else 0, more)
    return writes


def weight(shares: int) -> int:
    """cpu.shares (2 to 262144, default 1024) -> cpu.weight (1 to 10000, default 100).

    10^((l^2 + 125 l) / 612 - 7/34) with l = log2(shares): 2 -> 1, 1024 -> 100, 262144 -> 10000.
    """
    from math import ceil, log2

    shares = min(max(shares, 2), 262144)
    power = log2(shares)
    return ceil(10 ** ((power * power + 125 * power) / 612 - 7 / 34))


def io_weight(given: int) -> int:
    """blockIO's 10 to 1000 -> io.weight's 1 to 10000, in a straight line."""
    return 1 + (given - 10) * 9999 // 990


def block_io(given: BlockIO) -> list[Limit]:
    """Weights 10 to 1000 are io.bfq.weight's own scale; without the BFQ scheduler io.weight (iocost) takes them.

    io.max takes the throttles; rate 0 takes one away.
    """
    at = f"{POINTER}/blockIO"
    writes: list[Limit] = []
    weights = [("", given.get("weight", 0), f"{at}/weight")]
    for index, device in enumerate(given.get("weightDevice", ())):
        numbers = f"{device['major']}:{device['minor']} "
        weights.append((numbers, device.get("weight", 0), f"{at}/weightDevice/{index}"))
    for numbers, weight, pointer in weights:
        if weight:
            writes.append(
                Limit(file="io.bfq.weight", value=f"{numbers}{weight}", instead="io.weight",
                      instead_value=f"{numbers}{io_weight(weight)}", pointer=pointer)
            )  # fmt: skip
    throttles = (
        ("throttleReadBpsDevice", "rbps", given.get("throttleReadBpsDevice", ())),
        ("throttleWriteBpsDevice", "wbps", given.get("throttleWriteBpsDevice", ())),
        ("throttleReadIOPSDevice", "riops", given.get("throttleReadIOPSDevice", ())),
        ("throttleWriteIOPSDevice", "wiops", given.get("throttleWriteIOPSDevice", ())),
    )
    for member, word, devices in throttles:
        for index, throttle in enumerate(devices):
            value = f"{throttle['major']}:{throttle['minor']} {word}={throttle['rate'] or 'max'}"
            writes.append(Limit(file="io.max", value=value, pointer=f"{at}/{member}/{index}"))
    return writes
