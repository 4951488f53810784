"""A machine inside the VMM's cell: it waits, runs, and an end that has to be explained is explained there, too."""

from __future__ import annotations

import json
import sys

import pytest

from tests.conftest import ROOT, run

pytestmark = pytest.mark.needs("root", "kvm")

# A guest that says something, then runs into an instruction without a handler for its fault.
PROGRAM = """
import json
from _thread import start_new_thread
from time import sleep
from minirun.vm import confine, ladder, parts
from minirun.vm.loop import Loop

program = confine.prepare(parts.IOCTLS, "")
code = ladder.read("protected.bin")
at = code.index(b"\\x66\\xb8\\x10\\x00")  # mov ax, 16: the first instruction of 32 bits
code = code[:at] + b"\\xe6\\xe9\\x0f\\x0b" + code[at + 4 :]  # out 0xe9, al; ud2
loop = Loop()
climb = ladder.Climb(ladder.RUNGS[2], loop, code)
machine = climb.machine
machine.on_end(lambda reason: loop.stop())
confine.begin(root=True)
confine.enter(root=True)
confine.close(program)
machine.pause()
machine.start()
sleep(0.1)
before = machine.exits()["in-python"]
machine.resume()
loop.run()
end = machine.end
print(json.dumps([before, type(end).__name__, end.describe(), end.instruction.hex(), climb.front.output != ""]))
"""


def test_a_triple_fault_in_the_cell() -> None:
    done = run(sys.executable, "-c", PROGRAM, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    before, kind, words, code, spoke = json.loads(done.stdout)
    assert (before, kind, spoke) == (0, "Shutdown", True)
    assert "triple fault" in words
    assert bytes.fromhex(code)  # after a shutdown AMD's KVM has reset the processor: which code it is, is not said
