"""An agent for SCMP_ACT_NOTIFY (seccomp_unotify(2)): takes listeners at a socket and answers for the kernel.

It is a thread of the test: what it was told and asked is there to be looked at.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import socket
import struct
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

RECEIVE, SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_RECV, _SEND
ASKED, ANSWER = struct.Struct("=QIIiI"), struct.Struct("=QqiI")
CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE: the kernel does it
LONGEST = 30


class Agent:
    """``answers``: call number -> what it returns; every other call is the kernel's."""

    def __init__(self, path: Path, answers: dict[int, int] | None = None, *, deaf: bool = False) -> None:
        self.answers = answers or {}
        self.told: list[dict[str, Any]] = []
        self.asked: list[int] = []
        self.problem = ""
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.server.bind(str(path))
        os.chmod(path, 0o777)
        self.server.listen(8)
        self.done = threading.Event()
        self.threads = [] if deaf else [threading.Thread(target=self.take)]

    def __enter__(self) -> Agent:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.done.set()
        for thread in self.threads:
            thread.join(LONGEST)
        self.server.close()
        assert not self.problem, self.problem

    def take(self) -> None:
        """One connection after the other: a document with a descriptor, then the end."""
        while not self.done.is_set():
            if not select.select([self.server], [], [], 0.05)[0]:
                continue
            link, _ = self.server.accept()
            with link:
                data, descriptors, _, _ = socket.recv_fds(link, 1 << 16, 4)
                while part := link.recv(1 << 16):
                    data += part
            if not data:
                continue  # somebody who looked, and went
            self.told.append(json.loads(data))
            if len(descriptors) != 1:
                self.problem = f"{len(descriptors)} descriptors"
                return
            thread = threading.Thread(target=self.serve, args=descriptors)
            thread.start()
            self.threads.append(thread)

    def serve(self, listener: int) -> None:
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        while not self.done.is_set():
            events = poll.poll(50)
            if events and not events[0][1] & select.POLLIN:
                break  # the last process with the filter is gone
            if events:
                self.answer(listener)
        os.close(listener)

    def answer(self, listener: int) -> None:
        question = bytearray(80)
        try:
            fcntl.ioctl(listener, RECEIVE, question)
        except OSError:  # ENOENT: whoever asked was killed meanwhile
            return
        number, _, _, call, _ = ASKED.unpack_from(question)
        self.asked.append(call)
        mine = call in self.answers
        reply = ANSWER.pack(number, self.answers.get(call, 0), 0, 0 if mine else CONTINUE)
        try:
            fcntl.ioctl(listener, SEND, reply)
        except OSError:
            return
