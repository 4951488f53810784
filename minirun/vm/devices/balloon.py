"""virtio-balloon, virtio 1.2 section 5.5: memory that the guest gives back while it runs.

    inflate    the driver names pages that it will not use: they become holes in the memfd
    deflate    it uses them again: nothing to do, the host gives new pages at the first touch
    stats      the driver's figures, whenever we give its buffer back
    reporting  pages that happen to be free, in ranges: holes, too, without anybody having asked

``target`` is what we ask for, ``actual`` what the driver has given.
"""

from __future__ import annotations

from _struct import iter_unpack, pack

from minirun.linux.kvm import ffi, lib
from minirun.vm.devices.virtio import VirtioDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minirun.vm.devices.virtio import Chain

STATS_VQ, DEFLATE_ON_OOM, REPORTING = 1 << 1, 1 << 2, 1 << 5
PAGE = 4096
PAGES_MOST = 1024  # of one chain (Linux: 256), and
CHAINS_MOST = 16  # of one kick: nobody waits long for the loop
STATS = (
    "swap_in", "swap_out", "major_faults", "minor_faults", "free", "total", "available", "caches",
    "hugetlb_allocations", "hugetlb_failures",
)  # fmt: skip


class Balloon(VirtioDevice):
    ID = 5
    FEATURES = STATS_VQ | DEFLATE_ON_OOM | REPORTING
    QUEUES = (128, 128, 128, 128)  # inflate, deflate, stats, reporting: one that was not agreed has no number

    def __init__(self, target: int = 0) -> None:
        self.pages = target // PAGE
        self.given = 0
        self.released = 0  # bytes, in all its life
        self.stats: dict[str, int] = {}
        self.asking: Chain | None = None
        self.on_stats: Callable[[dict[str, int]], None] | None = None

    def config(self) -> bytes:
        return pack("<II", self.pages, self.given)

    def write_config(self, offset: int, size: int, value: int) -> None:
        """``actual`` is the driver's to say."""
        if (offset, size) == (4, 4):
            self.given = value

    @property
    def actual(self) -> int:
        return self.given * PAGE

    def inflate_to(self, size: int) -> None:
        """Ask the guest to live with that many bytes less (not wholly honoured if it has no more to give)."""
        self.pages = min(size, self.transport.memory.size) // PAGE
        self.transport.config_changed()

    def ask(self, answer: Callable[[dict[str, int]], None]) -> bool:
        """For new figures; False if the driver has none to give."""
        if self.asking is None:
            return False
        self.on_stats = answer
        chain, self.asking = self.asking, None
        chain.push(0)
        self.queues[2].notify()
        return True

    def kick(self, index: int) -> None:
        names = ["inflate", "deflate"] + ["stats"] * self.has(STATS_VQ) + ["reporting"] * self.has(REPORTING)
        name = names[index] if index < len(names) else ""
        for chain in self.queues[index].chains(CHAINS_MOST):
            if name == "stats":
                self.learn(chain)
                continue
            if name == "inflate":
                self.inflate(chain)
            elif name == "reporting":
                memory = self.transport.memory
                self.released += lib.balloon_buffers(memory.native, memory.fd, chain.native)
            chain.push(0)
        self.queues[index].notify()

    def inflate(self, chain: Chain) -> None:
        memory = self.transport.memory
        pages = chain.read(4 * PAGES_MOST)
        self.released += lib.balloon_pages(
            memory.native, memory.fd, ffi.from_buffer("uint32_t[]", pages), len(pages) // 4
        )

    def learn(self, chain: Chain) -> None:
        """5.5.6.3: the driver's buffer stays with us until we want newer figures."""
        data = chain.read(10 * 64)
        for tag, value in iter_unpack("<HQ", data[: len(data) // 10 * 10]):
            if tag < len(STATS):
                self.stats[STATS[tag]] = value
        if self.asking is not None:
            self.asking.push(0)  # a driver has one; this one has two
        self.asking = chain
        if self.on_stats is not None:
            answer, self.on_stats = self.on_stats, None
            answer(self.stats)

    def reset(self) -> None:
        self.asking = None
        self.given = 0
