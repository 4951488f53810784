"""The agent and the relay, without a machine between them: a socket pair is the virtio-console port.

The agent is an ordinary process in PID and mount namespaces of its own (unshare(1)); plans are minirun's own.  The
engine's side of a task is spoken from a thread, by the engine's own class.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minirun import facts as host_facts
from minirun.engine.host import INIT_PROGRAM
from minirun.engine.init import Init
from minirun.engine.protocol import GO, START
from minirun.linux import unix
from minirun.plan import container, exec as plan_exec, wire
from minirun.plan.ops import Op
from minirun.runtime.create import load
from minirun.vm.channel import Exited, Write
from minirun.vm.loop import IN, OUT, Loop
from minirun.vm.pty import open_pty
from minirun.vm.relay import Relay
from minirun.vm.task import Spawn, Task
from tests.conftest import Bundle

SECONDS = 20


class SocketPort:
    """What a console port is to the relay, over a stream socket."""

    def __init__(self, loop: Loop, end: socket.socket) -> None:
        self.loop, self.end = loop, end
        end.setblocking(False)
        self.held = bytearray()
        self.on_data: Callable[[bytes], None] = lambda data: None
        self.on_end: Callable[[], None] = lambda: None
        loop.add(end.fileno(), self.event)

    def send(self, data: bytes) -> None:
        self.held += data
        self.flush()

    def flush(self) -> None:
        try:
            while self.held:
                del self.held[: self.end.send(self.held)]
        except BlockingIOError:
            pass
        except OSError:
            self.held.clear()
        self.loop.change(self.end.fileno(), IN | (OUT if self.held else 0))

    def event(self, events: int) -> None:
        if events & OUT:
            self.flush()
        if not events & ~OUT:
            return
        try:
            data = self.end.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.on_data(data)
        else:
            self.loop.remove(self.end.fileno())
            self.on_end()


class Pair:
    """A relay in this process's loop, and something at the other end of its port."""

    def __init__(self, *, start: bool = True, program: Path | str = INIT_PROGRAM) -> None:
        self.loop = Loop()
        ours, self.theirs = socket.socketpair()
        self.port = SocketPort(self.loop, ours)
        self.relay = Relay(self.loop, self.port)
        self.why: list[str] = []
        self.lines: list[str] = []
        self.relay.broken = self.stop
        self.relay.log = self.lines.append
        self.port.on_end = self.ended
        self.over = False
        self.agent: subprocess.Popen[bytes] | None = None
        if start:
            fd = self.theirs.fileno()
            words = ["unshare", "--pid", "--mount-proc", "--fork", "--kill-child", program, "agent", str(fd)]
            self.agent = subprocess.Popen([str(w) for w in words], pass_fds=[fd], stdin=subprocess.DEVNULL)
            self.theirs.close()

    def stop(self, why: str) -> None:
        self.why.append(why)
        self.loop.stop()

    def ended(self) -> None:
        self.over = True
        self.relay.lost()
        self.loop.stop()

    def run(self, done: Callable[[], bool], seconds: float = SECONDS) -> None:
        """The loop, until ``done``; it is asked after every round, and a clock ticks."""
        late = threading.Event()
        ticks, tick = os.pipe()
        end = threading.Event()

        def clock() -> None:
            waited = 0.0
            while not end.wait(0.02):
                waited += 0.02
                if waited > seconds:
                    late.set()
                os.write(tick, b".")

        def ticked(events: int) -> None:
            os.read(ticks, 4096)

        self.loop.add(ticks, ticked)
        thread = threading.Thread(target=clock)
        thread.start()
        try:
            while not done() and not late.is_set():
                self.loop.running = True
                for fd, event in self.loop.epoll.poll():
                    callback = self.loop.callbacks.get(fd)
                    if callback is not None:
                        callback(event)
        finally:
            end.set()
            thread.join()
            self.loop.remove(ticks)
            os.close(ticks)
            os.close(tick)
        assert not late.is_set(), f"still waiting after {seconds} s: {self.why} {self.lines}"

    def close(self) -> None:
        if self.agent is not None:
            self.relay.power_off()
            self.run(lambda: self.over, 10)
            assert self.agent.wait(10) in (0, 137), self.agent.returncode
        self.relay.lost()
        self.port.end.close()
        self.theirs.close()
        self.loop.epoll.close()


class Program:
    """A program started through the pair; ``code`` when it has ended."""

    def __init__(self, pair: Pair, ops: list[Op], **more: Any) -> None:
        self.pair = pair
        self.ended: list[Exited | None] = []
        self.failed: BaseException | None = None
        self.ready = threading.Event()
        self.started = threading.Event()
        ours, theirs = unix.pair()
        self.init = Init(os.getpid(), -1, ours)
        self.init.terminal_due = any(op.KIND == "console" for op in ops)
        spawn: Any = next(op for op in ops if op.KIND == "spawn")
        self.points = len(wire.sync_points(ops))
        own: dict[str, Any] = {"plan": wire.encode(ops), "flags": spawn.flags, **more}
        start = own.pop("start", True)
        if self.init.terminal_due:
            own["terminal"] = open_pty()
        self.task: Task = pair.relay.spawn(
            Spawn(step=ops.index(spawn) + 1, sync=theirs, exited=self.ended.append, **own)
        )
        self.thread = threading.Thread(target=self.talk, args=(start,), daemon=True)
        self.thread.start()

    def talk(self, start: bool) -> None:
        """The engine's side."""
        try:
            for _ in range(self.points):
                self.init.reach()
                self.init.send(GO)
            self.init.ready()
            self.ready.set()
            if start:
                self.init.send(START)
                self.init.started()
                os.close(self.init.sync)
        except BaseException as error:
            self.failed = error
        self.started.set()

    def wait(self, seconds: float = SECONDS) -> int:
        self.pair.run(lambda: bool(self.ended), seconds)
        self.thread.join(5)
        (ended,) = self.ended
        return ended.code() if ended is not None else -1

    def until(self, event: threading.Event) -> None:
        self.pair.run(event.is_set)


def plan_of(bundle: Bundle) -> list[Op]:
    """The container's, as create would make it here."""
    bundle.write()
    spec, _, name = load(str(bundle.path))
    facts = host_facts.look_closer(host_facts.probe(), spec["process"], spec["linux"])
    asked = container.Asked(
        spec=spec, facts=facts, bundle=str(bundle.path), container_id="t", config=name, options=container.Options(),
        rlimits=[],
    )  # fmt: skip
    return container.plan(asked).ops


def exec_of(bundle: Bundle, *words: str, terminal: bool = False) -> list[Op]:
    spec, _, name = load(str(bundle.path))
    process: Any = {**spec["process"], "args": list(words), "terminal": terminal}
    asked = plan_exec.ExecAsked(
        spec=spec, process=process, facts=host_facts.probe(), container_id="t", config=name, cgroup=""
    )
    return plan_exec.plan(asked).ops


__all__ = ["Pair", "Program", "Write", "exec_of", "plan_of"]
