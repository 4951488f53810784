"""The monitor: one process for each container that runs, forked from whoever starts it.

It holds what must live as long as the container: the network namespace, the pipes or the terminal, the log, the
sockets of published ports, ``monitor.sock`` for clients.  It starts the container in process, as ``minirun run`` does;
waits; writes down how it ended; takes everything away; and starts it again if the policy says so.  No exec: a fork
shares what is imported already, and is there at once.

The caller passes the container's lock on (an flock(2) belongs to the open file, which a fork shares).  It is held
during a start and at the end, never while the program runs.  Whoever kills a monitor breaks the program's pipes;
``truth.mend`` ends what is left of it.
"""

from __future__ import annotations

import fcntl
import posix
import time

from minirun.container import protocol, restart, stage
from minirun.container.client import Client
from minirun.container.ends import after_start, make_ends, passes, to_null
from minirun.container.holders import hold, leave
from minirun.container.hub import Ends, Hub, resize
from minirun.container.parts import Parts, detach, hear, listen, out_of_memory, say, words
from minirun.container.record import CREATED, EXITED, RESTARTING, RUNNING, Status, now
from minirun.container.truth import boot_id
from minirun.errors import FAILED, MinirunError
from minirun.linux import unix
from minirun.linux.signalfd import signalfd
from minirun.plan.container import Options
from minirun.runtime import interrupt, start
from minirun.runtime.create import Request, create
from minirun.runtime.run import release
from minirun.runtime.status import start_time
from minirun.runtime.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.runtime.create import Created

SIGNALS = (1, 2, 3, 15)  # to the monitor: passed on, but not before the program runs
SETTLED = 1.0  # seconds after which a container is one that lives longer
KILLED = 137


def live(parts: Parts) -> None:
    """The child's whole life.  Nothing of the parent's may run in it, whatever happens."""
    try:
        hold(parts.place.root)
        detach(parts)
        Monitor(parts).run()
        parts.held.close()
        stage.sweep(parts.place, parts.container, stage.LINGER)
    except BaseException as error:  # a defect of ours: it must not unwind into the parent's code
        say(parts.channel, error)
    finally:
        leave(parts.place.root)
        posix._exit(0)


class Monitor:
    """See the module."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.shelf, self.place, self.container = parts.shelf, parts.place, parts.container
        self.directory = parts.held.directory
        self.status = Status()
        self.created: Created | None = None
        self.stage: stage.Stage | None = None
        self.first = Client(parts.channel, parts.wants)
        posix.set_blocking(parts.channel, True)
        self.place.warn = self.warn
        self.listener = self.signals = -1
        self.hub: Hub | None = None
        self.ends = Ends()
        self.score = ""  # what oom_score_adj was before we had another

    def warn(self, text: str) -> None:
        """The start's warnings; later ones have no reader."""
        try:
            if self.hub is None:
                unix.send(self.parts.channel, b"w" + text.encode("utf-8", "replace")[: protocol.CHUNK])
        except OSError:
            return

    # the walk

    def run(self) -> None:
        interrupt.raise_on_signals()
        pause = 0.0
        while True:
            began = time.monotonic()
            try:
                self.begin()
            except BaseException as error:
                code = self.failed(error)
                if self.hub is None:
                    return
            else:
                code = self.serve()
            if not self.ended(code):
                break
            pause = restart.pause(pause, time.monotonic() - began)
            self.wait(pause)
            if self.status.stopped:
                self.give_up_restarting()
                break
        self.leave(code)

    def begin(self) -> None:
        """From nothing to a program that runs; the lock is ours."""
        hear()  # whoever interrupts us finds all of this to be undone
        if self.score:
            from minirun.container.settle import score

            score(self.score)  # or the program would begin with ours
        status = self.status
        status.status, status.error, status.oom = CREATED if self.hub is None else RESTARTING, "", False
        status.monitor, status.monitorStart = posix.getpid(), start_time(posix.getpid())
        status.bootId, status.startedAt = boot_id(), now()
        self.shelf.save_status(self.container.id, status)
        self.stage = stage.prepare(self.shelf, self.place, self.container)
        if self.listener < 0:
            self.listener = listen(self.parts.held.fd)
        self.ends = make_ends(self.container)
        created = create(Store(self.place.root), self.request())
        created.site.undo.clear()
        if self.signals < 0:
            self.signals = signalfd(SIGNALS)
        stage.connect(self.place, self.container, self.stage, created)
        start.start_here(created)
        interrupt.nothing_to_undo()
        release(created)
        after_start(self.container, self.ends, created)
        status.status, status.startedAt = RUNNING, now()
        status.pid, status.startTime = created.state.pid, created.state.startTime
        status.attached = self.stage.attached
        self.shelf.save_status(self.container.id, status)
        self.created = created
        if self.hub is None:
            self.open_hub()
        assert self.hub is not None
        self.hub.ends = self.ends
        fcntl.flock(self.parts.held.fd, fcntl.LOCK_UN)

    def request(self) -> Request:
        container, size = self.container, self.parts.size
        return Request(
            container_id=container.id, bundle=self.directory, env=self.place.env, isolation=container.isolation,
            options=Options(cgroup_driver=container.cgroupDriver, rootless=container.rootless),
            foreground=True, same_process=True, pid_file=container.pidFile, warn=self.warn,
            take_terminal=lambda master: resize(master, size) if size else None,
        )  # fmt: skip

    def open_hub(self) -> None:
        """The program runs: the first client hears of it, and whoever comes is served."""
        self.hub = Hub(self.listener, self.signals, self.signal, self.stopping)
        if self.container.logDriver == "json-file":
            from minirun.container.logfile import LogFile

            self.hub.log = LogFile(self.directory, self.container.logOptions)
        try:
            unix.send(self.parts.channel, b"Y")
        except OSError:
            pass
        if self.parts.attach is not None:
            posix.set_blocking(self.parts.channel, False)
            self.hub.clients.append(self.first)
        else:
            self.first.close()
        self.hub.settle = self.settle

    def serve(self) -> int:
        assert self.hub is not None and self.created is not None and self.created.site.init is not None
        return self.hub.run(self.created.site.init, SETTLED)

    def settle(self) -> None:
        from minirun.container.settle import settle

        self.score = settle(f"minirun:{self.container.short}")

    # signals and stopping

    def signal(self, number: int) -> None:
        from _signal import pidfd_send_signal

        if self.created is None or self.created.site.init is None or self.status.status != RUNNING:
            return
        try:
            pidfd_send_signal(self.created.site.init.pidfd, number)
        except OSError:
            return

    def stopping(self) -> None:
        self.status.stopped = True
        self.write_down()

    def write_down(self) -> None:
        """Where that is still possible: the disk may be full, or somebody took the directory away."""
        try:
            self.shelf.save_status(self.container.id, self.status)
        except MinirunError:
            return

    # the end

    def failed(self, error: BaseException) -> int:
        """The start came to nothing: as if it had not been attempted, but for the word why."""
        told = error if isinstance(error, MinirunError) else MinirunError(
            f"cannot start container {self.container.name}", reason=words(error)
        )  # fmt: skip
        self.ends.close()
        if not passes(self.container):
            to_null()
        self.status.error = told.headline()
        self.finish(told.exit_code if told.exit_code else FAILED)
        if self.hub is None:
            if self.container.remove:
                self.remove()
            say(self.parts.channel, told)
        return told.exit_code

    def ended(self, code: int) -> bool:
        """All is taken away; True if it is to be started again."""
        if self.created is not None:
            fcntl.flock(self.parts.held.fd, fcntl.LOCK_EX)
            self.status.oom = code == KILLED and out_of_memory(self.created)
            self.close_init()
        try:
            self.container = self.shelf.load(self.container.id)  # update and rename may have changed it
        except MinirunError as error:
            if error.errno_name == "ENOENT":
                self.close_stage()
                return False
        container = self.container
        go_on = restart.again(container.restart, container.retries, code, self.status.restarts, self.status.stopped)
        self.finish(code, RESTARTING if go_on else EXITED)
        if go_on:
            self.status.restarts += 1
        elif container.remove:
            self.remove()
        return go_on

    def finish(self, code: int, word: str = EXITED) -> None:
        """Taken away and written down."""
        try:
            stage.clear(self.shelf, self.place, self.container)
        except MinirunError as error:
            self.status.error = error.headline()
        self.close_stage()  # the namespace last: CNI's plugins look into it
        status = self.status
        status.status, status.exitCode, status.finishedAt = word, code, now()
        status.pid = status.startTime = 0
        status.attached = {}
        self.write_down()

    def close_init(self) -> None:
        assert self.created is not None
        init = self.created.site.init
        for fd in (init.pidfd, init.sync) if init is not None else ():
            if fd >= 0:
                posix.close(fd)
        self.created.entry.close()
        self.created = None

    def close_stage(self) -> None:
        if self.stage is not None:
            self.stage.close()
            self.stage = None

    def remove(self) -> None:
        from minirun.container.place import discard

        try:
            discard(self.shelf, self.container, volumes=True)
        except (MinirunError, OSError) as error:
            self.status.error = str(error)

    def wait(self, seconds: float) -> None:
        """Between two runs."""
        assert self.hub is not None
        fcntl.flock(self.parts.held.fd, fcntl.LOCK_UN)
        self.hub.say(b"X" + str(self.status.exitCode).encode())  # who has nothing more to ask closes the connection
        self.hub.idle(seconds, lambda: self.status.stopped)
        fcntl.flock(self.parts.held.fd, fcntl.LOCK_EX)

    def give_up_restarting(self) -> None:
        self.status.status = EXITED
        self.write_down()

    def leave(self, code: int) -> None:
        assert self.hub is not None
        fcntl.flock(self.parts.held.fd, fcntl.LOCK_UN)
        try:
            posix.unlink(f"{self.directory}/{protocol.SOCKET}")
        except OSError:
            pass
        self.hub.farewell(b"X" + str(code).encode())
        self.hub.finish()
