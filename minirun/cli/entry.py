"""The command's first steps, before its words are read: what takes long and can be begun already is begun."""

from __future__ import annotations

import posix
import sys
from _signal import SIG_DFL, SIGCHLD, SIGINT, default_int_handler, getsignal, signal

from minirun import hot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minirun.vm.sandbox.zygote import Zygote


def give_stdio() -> None:
    """Closed by the caller: what we open next would take their places, and the container would inherit it there."""
    from fcntl import F_DUPFD_CLOEXEC, fcntl

    for finder in hot.active:
        if finder.fd < 3:
            finder.fd = fcntl(finder.fd, F_DUPFD_CLOEXEC, 3)
    null = posix.open("/dev/null", posix.O_RDWR | posix.O_CLOEXEC)
    for fd, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
        if stream is None:
            posix.dup2(null, fd)
            posix.set_inheritable(fd, True)
    if null > 2:
        posix.close(null)


def early(argv: list[str], env: dict[str, str]) -> Zygote | None:
    """A sandbox takes as long to make as we take to read and plan.  By words alone: who is not needed is dismissed."""
    text = " ".join(argv[:24])
    if "--isolation sandbox " not in text and "--isolation=sandbox " not in text:
        return None
    if "container" in argv or "--explain" in text or not {"run", "create"} & {*argv}:
        return None
    hot.board("minirun.vm.sandbox.zygote")
    from minirun.runtime import isolation

    return isolation.early(env)


def entry() -> None:
    """The command.  No garbage collection, no atexit, no teardown of modules: the process is about to be gone."""
    import gc

    gc.disable()
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:
        give_stdio()
    env = {
        key.decode("utf-8", "surrogateescape"): value.decode("utf-8", "surrogateescape")
        for key, value in posix.environ.items()
    }
    try:
        cwd = posix.getcwd()
    except OSError:
        cwd = "/"
    signal(SIGCHLD, SIG_DFL)  # a caller may ignore it, and then nobody could wait for a child
    argv = sys.argv[1:]
    begun = early(argv, env)
    if getsignal(SIGINT) is SIG_DFL:  # the script has set it so, for as long as there was nothing to undo
        signal(SIGINT, default_int_handler)
    hot.board("minirun.cli.main")
    from minirun.cli.main import main

    code = main(argv, env, cwd, begun)
    if begun is not None:
        begun.dismiss()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # AttributeError: it was closed before we began
            pass
    posix._exit(code)
