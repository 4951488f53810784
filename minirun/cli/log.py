"""--log, --log-format, --debug: where messages go, and in which shape.

Text for people on standard error; with ``--log-format json`` one object a line in logrus' shape, of which
containerd and podman read the last one whose level is ``error``.
"""

from __future__ import annotations

import posix
import time

from minirun.errors import MinirunError, printable


class Log:
    """Where messages go."""

    def __init__(self, path: str = "", form: str = "text", *, debug: bool = False, quiet: bool = False) -> None:
        self.form = form
        self.debugging = debug
        self.quiet = quiet
        self.fd = 2
        if path:
            try:
                flags = posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_CLOEXEC | posix.O_NONBLOCK
                self.fd = posix.open(path, flags, 0o644)
            except OSError as error:
                raise MinirunError("cannot open the log", reason=f"{path}: {error.strerror}", exit_code=2) from error

    def write(self, text: str) -> None:
        try:
            posix.write(self.fd, text.encode("utf-8", "backslashreplace") + b"\n")
        except OSError:
            return  # nobody reads it: nothing better to do with a message

    def entry(self, level: str, message: str, fields: dict[str, object] | None = None) -> None:
        if self.form == "json":
            from minirun.spec.decode import encode

            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            self.write(encode({"level": level, "msg": message, "time": stamp, **(fields or {})}))
        else:
            self.write(f"minirun: {level}: {message}")

    def debug(self, message: str) -> None:
        if self.debugging:
            self.entry("debug", printable(message))

    def warn(self, message: str) -> None:
        if self.quiet:
            return
        self.entry("warning", printable(message))

    def error(self, error: MinirunError) -> None:
        """The face for people; one line with all fields for programs; with --log FILE a person sees it as well."""
        if self.form == "json":
            fields: dict[str, object] = {"config": error.config, "pointer": error.pointer, "step": error.step}
            fields |= {"hint": error.hint, "errno": error.errno_name}
            fields["problems"] = [{"pointer": pointer, "message": text} for pointer, text in error.problems]
            self.entry("error", error.one_line(), {name: value for name, value in fields.items() if value})
        else:
            self.write(error.face())
        if self.fd != 2:
            posix.write(2, (error.face() + "\n").encode("utf-8", "backslashreplace"))
