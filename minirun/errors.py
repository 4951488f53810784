"""The one exception of minirun, its exit codes and its face.

``linux/`` raises plain ``OSError``; ``engine`` and the readers of user input turn it into ``MinirunError``,
*from* it.  There is no tree of exceptions: one class, the data inside.  The face for people::

    minirun: cannot mount proc on /proc: Operation not permitted
      config   /mounts/0 in ./config.json
      step     8 of 31, init, mount(2) -> EPERM
      hint     proc inside a user namespace needs a PID namespace of its own: ...

The same fields, as one JSON line, are what ``--log-format json`` writes (containerd and podman read the last
line whose level is ``error``).  Which hint goes with which failure is the table in ``minirun.hints``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# Exit codes of minirun itself; the container's own and 128+n for a signal pass through (docker-run(1)).
USAGE = 2
FAILED = 125
CANNOT_EXECUTE = 126
NOT_FOUND = 127


class MinirunError(Exception):
    """What failed, where it came from in config.json, and what to do about it.

    message  lower-case phrase, no full stop: ``cannot mount proc on /proc``
    reason   the kernel's or our own word for why: ``Operation not permitted``
    pointer  JSON pointer (RFC 6901) into ``config``, the file it points into
    step     ``8 of 31, init, mount(2) -> EPERM``
    problems further ``(pointer, message)`` pairs, when one input has several faults
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        pointer: str | None = None,
        config: str = "",
        step: str = "",
        hint: str = "",
        errno_name: str = "",
        problems: Sequence[tuple[str, str]] = (),
        exit_code: int = FAILED,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.pointer = pointer
        self.config = config
        self.step = step
        self.hint = hint
        self.errno_name = errno_name
        self.problems = tuple(problems)
        self.exit_code = exit_code

    def headline(self) -> str:
        """The first line: what could not be done, and why."""
        return f"{self.message}: {self.reason}" if self.reason else self.message

    def __str__(self) -> str:
        return self.headline()

    def rows(self) -> list[tuple[str, str]]:
        """The labelled lines below the headline, in order."""
        rows: list[tuple[str, str]] = []
        if self.pointer is not None:
            where = self.pointer or "the document itself"
            rows.append(("config", f"{where} in {self.config}" if self.config else where))
        elif self.config:
            rows.append(("config", self.config))
        for pointer, message in self.problems:
            rows.append(("problem", f"{pointer or '/'}: {message}"))
        if self.step:
            rows.append(("step", self.step))
        if self.hint:
            rows.append(("hint", self.hint))
        return rows

    def face(self) -> str:
        """What a person sees on standard error."""
        lines = [f"minirun: {printable(self.headline())}"]
        lines += [f"  {label:<8} {printable(text)}" for label, text in self.rows()]
        return "\n".join(lines)

    def one_line(self) -> str:
        """The same for a caller that shows one line only: containerd and podman print ``msg`` and nothing else."""
        reason = self.reason
        if self.errno_name:  # docker and podman look for Go's spelling: "no such file or directory"
            reason = reason[:1].lower() + reason[1:]
        parts = [f"{self.message}: {reason}" if reason else self.message]
        parts += [f"{label}: {text}" for label, text in self.rows()]
        return printable("; ".join(parts))


def printable(text: str) -> str:
    """Control characters of hostile input (an id, a path in an image) must not reach a terminal raw."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)
