"""Resources of config.json -> files of cgroup v2.

The numbers of config.json are cgroup v1's in part; the conversions are those that runc and crun agree on
(runc 1.3.2, crun 1.23).  Kernel: Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.spec.types import BlockIO, Cpu, Memory, Resources

POINTER = "/linux/resources"


class Limit(Record):
    """One write: ``file`` of the cgroup, ``value``, and where in config.json it comes from."""

    file: str
    value: str
    pointer: str

    @property
    def controller(self) -> str:
        """cpu.weight needs the cpu controller; cgroup.* needs none."""
        return self.file.partition(".")[0]


def limits(resources: Resources) -> list[Limit]:
    """Every write that ``resources`` asks for, in an order the kernel accepts."""
    writes = memory(resources.get("memory", {}))
    writes += cpu(resources.get("cpu", {}))
    pids = resources.get("pids", {}).get("limit")
    if pids is not None:
        writes.append(Limit(file="pids.max", value=maximum(pids), pointer=f"{POINTER}/pids/limit"))
    writes += block_io(resources.get("blockIO", {}))
    for index, page in enumerate(resources.get("hugepageLimits", ())):
        at = f"{POINTER}/hugepageLimits/{index}"
        name = page["pageSize"]
        writes.append(Limit(file=f"hugetlb.{name}.max", value=str(page["limit"]), pointer=at))
        writes.append(Limit(file=f"hugetlb.{name}.rsvd.max", value=str(page["limit"]), pointer=at))
    for device, rdma in resources.get("rdma", {}).items():
        words = [f"hca_handle={rdma['hcaHandles']}"] if "hcaHandles" in rdma else []
        words += [f"hca_object={rdma['hcaObjects']}"] if "hcaObjects" in rdma else []
        writes.append(Limit(file="rdma.max", value=" ".join([device, *words]), pointer=f"{POINTER}/rdma/{device}"))
    for name, value in resources.get("unified", {}).items():
        writes.append(Limit(file=name, value=value, pointer=f"{POINTER}/unified/{name}"))
    return writes


def maximum(value: int) -> str:
    """A negative number means no limit; 0 is a real one (runtime-spec 1.3)."""
    return "max" if value < 0 else str(value)


def memory(given: Memory) -> list[Limit]:
    """Swap in config.json is memory plus swap (cgroup v1); in v2 it is swap alone."""
    at = f"{POINTER}/memory"
    writes: list[Limit] = []
    limit, swap = given.get("limit"), given.get("swap")
    if swap is not None and swap != 0:
        alone = swap if swap < 0 or limit is None or limit < 0 else max(swap - limit, 0)
        writes.append(Limit(file="memory.swap.max", value=maximum(alone), pointer=f"{at}/swap"))
    if limit is not None and limit != 0:
        writes.append(Limit(file="memory.max", value=maximum(limit), pointer=f"{at}/limit"))
    reservation = given.get("reservation")
    if reservation is not None and reservation != 0:
        writes.append(Limit(file="memory.low", value=maximum(reservation), pointer=f"{at}/reservation"))
    return writes


def cpu(given: Cpu) -> list[Limit]:
    at = f"{POINTER}/cpu"
    writes: list[Limit] = []
    if given.get("shares"):
        writes.append(Limit(file="cpu.weight", value=str(weight(given["shares"])), pointer=f"{at}/shares"))
    quota, period = given.get("quota"), given.get("period")
    if quota is not None or period:
        word = "max" if quota is None or quota <= 0 else str(quota)
        member = "quota" if quota is not None else "period"
        writes.append(Limit(file="cpu.max", value=f"{word} {period or 100000}", pointer=f"{at}/{member}"))
    if "burst" in given:
        writes.append(Limit(file="cpu.max.burst", value=str(given["burst"]), pointer=f"{at}/burst"))
    if "idle" in given:
        writes.append(Limit(file="cpu.idle", value=str(given["idle"]), pointer=f"{at}/idle"))
    for member in ("cpus", "mems"):
        value = given.get(member)
        if value:
            writes.append(Limit(file=f"cpuset.{member}", value=str(value), pointer=f"{at}/{member}"))
    return writes


def weight(shares: int) -> int:
    """cpu.shares (2 to 262144, default 1024) -> cpu.weight (1 to 10000, default 100).

    10^((l^2 + 125 l) / 612 - 7/34) with l = log2(shares): 2 -> 1, 1024 -> 100, 262144 -> 10000.
    """
    from math import ceil, log2

    shares = min(max(shares, 2), 262144)
    power = log2(shares)
    return ceil(10 ** ((power * power + 125 * power) / 612 - 7 / 34))


def block_io(given: BlockIO) -> list[Limit]:
    """Weights 10 to 1000 are io.bfq.weight's own scale; io.max takes the throttles."""
    at = f"{POINTER}/blockIO"
    writes: list[Limit] = []
    if given.get("weight"):
        writes.append(Limit(file="io.bfq.weight", value=str(given["weight"]), pointer=f"{at}/weight"))
    for index, device in enumerate(given.get("weightDevice", ())):
        if device.get("weight"):
            value = f"{device['major']}:{device['minor']} {device['weight']}"
            writes.append(Limit(file="io.bfq.weight", value=value, pointer=f"{at}/weightDevice/{index}"))
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
