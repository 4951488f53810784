"""systemd's manager on D-Bus, as far as a container runtime needs it: org.freedesktop.systemd1(5).

A scope is made by ``StartTransientUnit``, which only queues a job: the signal ``JobRemoved`` tells how it ended, and
comes to those who have said ``Subscribe``.  Root talks to the system's manager, an ordinary user to his own
(user@UID.service) on the bus of his session.  jeepney puts the messages together; it is imported here and nowhere
else, so only with --systemd-cgroup.

Authentication is EXTERNAL without an identity (D-Bus specification, Authentication Mechanisms): the bus takes the
uid from the socket, which is the true one also for root inside a user namespace.
"""

from __future__ import annotations

import posix
import socket
import time
from collections import deque
from errno import EACCES, ECANCELED, ECONNREFUSED, EEXIST, EINVAL, EIO, ENOENT, EPROTO, ETIMEDOUT

from jeepney import DBusAddress, MatchRule, MessageType, new_method_call
from jeepney.bus import get_connectable_addresses
from jeepney.io.blocking import DBusConnection

from minirun.cgroups import tree
from minirun.errors import MinirunError
from minirun.facts import Facts, read
from minirun.plan.gvariant import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

NAME, PATH = "org.freedesktop.systemd1", "/org/freedesktop/systemd1"
MANAGER = f"{NAME}.Manager"
PATIENCE = 30.0  # seconds for an answer or a job, as runc has it
ERRORS = {
    "org.freedesktop.systemd1.UnitExists": EEXIST,
    "org.freedesktop.systemd1.NoSuchUnit": ENOENT,
    "org.freedesktop.systemd1.NoSuchProcess": ENOENT,
    "org.freedesktop.DBus.Error.AccessDenied": EACCES,
    "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired": EACCES,
    "org.freedesktop.DBus.Error.InvalidArgs": EINVAL,
    "org.freedesktop.DBus.Error.PropertyReadOnly": EINVAL,
    "org.freedesktop.DBus.Error.UnknownProperty": EINVAL,
    "org.freedesktop.DBus.Error.TimedOut": ETIMEDOUT,
    "org.freedesktop.DBus.Error.NoReply": ETIMEDOUT,
}


class Refused(OSError):
    """systemd's own words for why not; ``call`` is the method that was asked for."""

    def __init__(self, number: int, words: str, call: str) -> None:
        super().__init__(number, words)
        self.call = f"{call}()"


def connect(address: str) -> Manager:
    """Raises MinirunError where systemd does not run or cannot be reached, and says how to do without."""
    hint = "without --systemd-cgroup (--cgroup-manager=systemd) minirun makes cgroups itself"
    if not posix.access("/run/systemd/system", posix.F_OK):  # sd_booted(3)
        reason = "systemd is not what this host was booted with: /run/systemd/system is not there"
        raise MinirunError("cannot make cgroups through systemd", reason=reason, hint=hint)
    if not address:
        hint = "log in so that systemd has a manager for you (loginctl enable-linger), or " + hint
        reason = "no bus of your own: neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set"
        raise MinirunError("cannot make cgroups through systemd", reason=reason, hint=hint)
    try:
        return Manager(address)
    except (OSError, ValueError, RuntimeError) as error:
        words = getattr(error, "strerror", "") or str(error)
        raise MinirunError(
            "cannot make cgroups through systemd", reason=f"no answer from the bus at {address}: {words}", hint=hint
        ) from error


def plug(address: str) -> socket.socket:
    """A connected, authenticated socket."""
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(PATIENCE)
    try:
        link.connect(next(get_connectable_addresses(address)))
        link.sendall(b"\0AUTH EXTERNAL\r\nDATA\r\n")
        answer = b""
        while answer.count(b"\r\n") < 2:
            part = link.recv(1024)
            if not part or answer.startswith(b"REJECTED"):
                raise OSError(ECONNREFUSED, "it refuses who we are")
            answer += part
        if not answer.split(b"\r\n")[1].startswith(b"OK "):
            raise OSError(ECONNREFUSED, "it refuses who we are")
        link.sendall(b"BEGIN\r\n")
    except BaseException:
        link.close()
        raise
    link.settimeout(None)
    return link


class Manager:
    """One connection."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.link = DBusConnection(plug(address))
        self.ended: deque[Any] = deque()
        self.listening = False

    def close(self) -> None:
        self.link.close()

    def ask(self, message: Any, call: str) -> Any:
        """The body of the answer.  Raises Refused."""
        try:
            answer = self.link.send_and_get_reply(message, timeout=PATIENCE)
        except TimeoutError as error:
            raise Refused(ETIMEDOUT, f"systemd did not answer in {PATIENCE:.0f} seconds", call) from error
        except ConnectionError as error:
            raise Refused(EIO, "the bus closed the connection", call) from error
        if answer.header.message_type is MessageType.error:
            fields = {field.name: value for field, value in answer.header.fields.items()}
            words = answer.body[0] if answer.body and answer.body[0].__class__ is str else fields["error_name"]
            raise Refused(ERRORS.get(fields["error_name"], EPROTO), words, call)
        return answer.body

    def call(self, method: str, signature: str = "", *body: Any) -> Any:
        address = DBusAddress(PATH, bus_name=NAME, interface=MANAGER)
        return self.ask(new_method_call(address, method, signature or None, body), method)

    def control_group(self) -> str:
        """Below which cgroup this manager has its units: "" for the system's, /user.slice/... for a user's."""
        address = DBusAddress(PATH, bus_name=NAME, interface="org.freedesktop.DBus.Properties")
        body = self.ask(new_method_call(address, "Get", "ss", (MANAGER, "ControlGroup")), "Get")
        root: str = body[0][1]
        return root.rstrip("/")

    def listen(self) -> None:
        """Hear of jobs that end, from now on."""
        if self.listening:
            return
        rule = MatchRule(type="signal", sender=NAME, interface=MANAGER, member="JobRemoved", path=PATH)
        bus = DBusAddress("/org/freedesktop/DBus", bus_name="org.freedesktop.DBus", interface="org.freedesktop.DBus")
        self.ask(new_method_call(bus, "AddMatch", "s", (rule.serialise(),)), "AddMatch")
        rule = MatchRule(type="signal", interface=MANAGER, member="JobRemoved")  # the sender has a number by then
        self.link.filter(rule, queue=self.ended)
        self.call("Subscribe")
        self.listening = True

    def finish(self, job: str, call: str) -> None:
        """Wait for the job's end.  Raises Refused unless it ended well."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                body = self.link.recv_until_filtered(self.ended, timeout=max(end - time.monotonic(), 0)).body
            except TimeoutError as error:
                words = f"the job did not end in {PATIENCE:.0f} seconds"
                raise Refused(ETIMEDOUT, words, call) from error
            _, path, unit, result = body
            if path == job:
                if result != "done":
                    raise Refused(ECANCELED, f"systemd's job for {unit} ended as {result!r}", call)
                return

    def start(self, unit: str, properties: list[str], pids: list[int], begun: Callable[[], None]) -> None:
        """A transient unit with these processes.  ``begun`` is called once there is something to undo.

        Raises Refused; EEXIST: it is somebody else's.
        """
        typed = [pair(text) for text in properties]
        if pids:
            typed.append(("PIDs", ("au", pids)))
        self.listen()
        try:
            job = self.transient(unit, typed)
        except Refused as error:
            if error.errno != EEXIST:
                raise
            self.reset(unit)  # what failed (out of memory, say) is remembered until somebody has taken note of it
            job = self.transient(unit, typed)
        begun()
        self.finish(job, "StartTransientUnit")

    def transient(self, unit: str, typed: list[tuple[str, tuple[str, Any]]]) -> str:
        job: str = self.call("StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "fail", typed, [])[0]
        return job

    def attach(self, unit: str, below: str, pids: list[int]) -> None:
        """Into the unit's cgroup, or into ``below`` in it.  A user's manager has the system's do what it may not."""
        self.call("AttachProcessesToUnit", "ssau", unit, below, pids)

    def stop(self, unit: str) -> None:
        """Stop and forget it; one that is not there is fine."""
        self.listen()
        try:
            self.finish(self.call("StopUnit", "ss", unit, "replace")[0], "StopUnit")
        except Refused as error:
            if error.errno not in (ENOENT, ECANCELED):
                raise
        self.reset(unit)

    def reset(self, unit: str) -> None:
        try:
            self.call("ResetFailedUnit", "s", unit)
        except Refused as error:
            if error.errno != ENOENT:
                raise

    def change(self, unit: str, properties: list[str]) -> None:
        """Until the next boot only (runtime), like the unit itself."""
        typed = [pair(text) for text in properties]
        self.call("SetUnitProperties", "sba(sv)", unit, True, typed)


def pair(text: str) -> tuple[str, tuple[str, Any]]:
    """NAME=VALUE -> what goes over the bus."""
    name, _, value = text.partition("=")
    return name, parse(value)


def look(facts: Facts, manager: Manager) -> Facts:
    """The facts for a plan whose cgroup is a unit of this manager's."""
    root = manager.control_group()
    names = read(f"{facts.cgroup_root}{root}/cgroup.controllers").split()
    values = {name: getattr(facts, name) for name in Facts.FIELDS}
    return Facts(**{**values, "systemd_root": root, "controllers": tuple(names)})


def remove(address: str, unit: str, root: str, path: str) -> None:
    """End what is in the unit's cgroup, stop the unit, and see that the cgroup is gone.

    The processes are killed first: systemd would send SIGTERM, which a pid namespace's init may ignore, and wait
    a minute and a half.  Where the bus is gone (or we may not use it) an empty scope is stopped by systemd itself.
    """
    directory = root + path
    if tree.populated(directory):
        tree.kill(directory)
        tree.wait_event(directory, "populated 0", PATIENCE)
    try:
        manager = Manager(address)
    except (OSError, ValueError, RuntimeError):
        manager = None
    if manager is not None:
        try:
            manager.stop(unit)
        finally:
            manager.close()
    tree.remove(root, path, path)
