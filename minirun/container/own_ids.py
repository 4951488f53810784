"""Who is whom in an ordinary user's namespace: himself as root, his ranges of ids as everybody else.

subuid(5), newuidmap(1), user_namespaces(7).  Without a range, or without the helpers, he is alone there: only root
exists inside.
"""

from __future__ import annotations

import posix

from minirun.engine.newuidmap import HelperFailed, write_map
from minirun.errors import MinirunError
from minirun.facts import helper, read
from minirun.plan.ops import WriteTask
from minirun.plan.userns import PACKAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 340  # rows that a map has (user_namespaces(7))
GIVE = "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}, as root"


def write(pid: int, warn: Callable[[str], None]) -> None:
    """The maps of a process in a new user namespace.  Raises OSError, or MinirunError where a helper refuses."""
    uid, gid = posix.geteuid(), posix.getegid()
    name = login(uid)
    uids, gids = given("uid", name, uid), given("gid", name, uid)
    helpers = [helper("newuidmap"), helper("newgidmap")]
    if uids and gids and all(helpers):
        for kind, own, ranges, path in (("uid", uid, uids, helpers[0]), ("gid", gid, gids, helpers[1])):
            through(pid, kind, rows(own, ranges), path)
        return
    if all(helpers):
        warn(f"no range of ids for {name}: inside there is root and nobody else ({GIVE.format(name=name)})")
    else:
        warn(f"inside there is root and nobody else: {PACKAGE}")
    for file, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1\n"), ("gid_map", f"0 {gid} 1\n")):
        put(f"/proc/{pid}/{file}", text)


def rows(own: int, ranges: list[tuple[int, int]]) -> str:
    """0 is oneself, and the ranges follow from 1 on."""
    text, inside = f"0 {own} 1\n", 1
    for first, size in ranges[: MOST - 1]:
        text += f"{inside} {first} {size}\n"
        inside += size
    return text


def through(pid: int, kind: str, text: str, path: str) -> None:
    try:
        write_map(WriteTask(file=f"{kind}_map", value=text, through=path, pointer=""), pid)
    except HelperFailed as error:
        hint = f"{error.filename}, as root" if (error.filename or "").startswith("usermod") else "docs/rootless.md"
        raise MinirunError(
            f"cannot map your range of {kind}s", reason=error.strerror or "", step=error.call, hint=hint
        ) from error


def put(path: str, text: str) -> None:
    fd = posix.open(path, posix.O_WRONLY | posix.O_CLOEXEC)
    try:
        posix.write(fd, text.encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, "write") from error
    finally:
        posix.close(fd)


def given(kind: str, name: str, uid: int) -> list[tuple[int, int]]:
    """(first, how many): those of /etc/subuid or /etc/subgid for this login name or uid, in the file's order."""
    found = []
    for line in read(f"/etc/sub{kind}").splitlines():
        words = line.strip().split(":")
        if len(words) == 3 and words[0] in (name, str(uid)) and words[1].isdigit() and words[2].isdigit():
            found.append((int(words[1]), int(words[2])))
    return [(first, size) for first, size in found if size > 0]


def login(uid: int) -> str:
    from pwd import getpwuid

    try:
        return getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
