"""One request of a FUSE client's: its header, its arguments, and the chain that they came in."""

from __future__ import annotations

from minirun.vm.devices import fs_wire as wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.vm.devices.virtio import Chain


class Request:
    """``body`` is what follows the header; of a WRITE, only its arguments: the data stay in the chain."""

    __slots__ = ("body", "chain", "gid", "length", "node", "opcode", "uid", "unique")

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        (self.length, self.opcode, self.unique, self.node, self.uid, self.gid, _, _, _) = wire.IN_HEADER.unpack(
            chain.read(wire.IN_HEADER.size)
        )
        self.body = chain.read(wire.WRITE_IN.size if self.opcode == wire.WRITE else wire.MAX_BODY)
