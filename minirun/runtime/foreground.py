"""Waiting for a container in the foreground: its exit, our signals, and the terminal if it has one.

One poll loop: the container's pidfd, a signalfd for whatever is sent to us (all of it is passed on), and the two
sides of the terminal.  A container that lives longer than a moment gets a parent with a name that ps shows.
"""

from __future__ import annotations

import select

from minirun.linux.signalfd import read_signal, signalfd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.engine.init import Init
    from minirun.runtime.sd_notify import Proxy

SIGPIPE, SIGCHLD, SIGURG, SIGWINCH = 13, 17, 23, 28
# Not passed on: what cannot be caught, what is about ourselves, what glibc keeps.
OWN = (9, 19, SIGPIPE, SIGCHLD, SIGURG, 32, 33)
FORWARDED = tuple(number for number in range(1, 65) if number not in OWN)
SETTLED = 50  # milliseconds


def watch_signals() -> int:
    """Begin to collect signals; to be called before the container starts, so that none is lost."""
    return signalfd(FORWARDED)


def wait(init: Init, signals: int, name: str, proxy: Proxy | None = None) -> int:
    """Until init ends; its exit code, or 128+n.  ``proxy``: what the program says by sd_notify(3) is passed on."""
    if init.terminal >= 0:
        return wait_with_terminal(init, signals, name, proxy)
    poller = select.poll()
    poller.register(init.pidfd, select.POLLIN)
    poller.register(signals, select.POLLIN)
    if proxy is not None:
        poller.register(proxy.fileno(), select.POLLIN)
    patience: int | None = SETTLED
    while True:
        events = poller.poll(patience)
        if not events:
            settle(name)
            patience = None
        for fd, _ in events:
            if proxy is not None and fd == proxy.fileno():  # first: the last words of a program that has ended
                proxy.pass_on()
        for fd, _ in events:
            if fd == init.pidfd:
                return init.wait()
            if fd == signals:
                forward(init, signals)


def settle(name: str) -> None:
    from minirun.linux.prctl import settle as set_name

    set_name(f"minirun:{name}")


def forward(init: Init, signals: int) -> int:
    """Pass one signal on; returns its number."""
    from _signal import pidfd_send_signal

    number = read_signal(signals)
    if number and number != SIGWINCH:
        try:
            pidfd_send_signal(init.pidfd, number)
        except ProcessLookupError:
            pass
    return number


def wait_with_terminal(init: Init, signals: int, name: str, proxy: Proxy | None) -> int:
    from minirun.runtime.terminal import Relay

    relay = Relay(init.terminal)
    settle(name)
    try:
        while True:
            poller = select.poll()
            for fd, events in {init.pidfd: select.POLLIN, signals: select.POLLIN, **relay.wanted()}.items():
                poller.register(fd, events)
            if proxy is not None:
                poller.register(proxy.fileno(), select.POLLIN)
            for fd, events in poller.poll():
                if fd == signals:
                    if forward(init, signals) == SIGWINCH:
                        relay.resize()
                elif proxy is not None and fd == proxy.fileno():
                    proxy.pass_on()
                elif fd == 0:
                    relay.from_user()
                elif fd == init.terminal:
                    relay.ready(events)
                else:
                    relay.drain()
                    return init.wait()
    finally:
        relay.restore()
