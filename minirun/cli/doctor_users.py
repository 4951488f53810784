"""The doctor's part about users: who may make user namespaces here, and whom they can map in them.

user_namespaces(7), subuid(5), newuidmap(1); Debian's and AppArmor's switches are sysctls of their own.
"""

from __future__ import annotations

import os
import stat
from pwd import getpwuid

from minirun.cli import trials
from minirun.cli.doctor import LIMITED, OK, Finding
from minirun.facts import Facts, helper, read
from minirun.plan.userns import PACKAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# sysctl -> does this value stand in the way?  A kernel without one has no file.
SWITCHES = {
    "user.max_user_namespaces": lambda value: value == "0",
    "kernel.unprivileged_userns_clone": lambda value: value == "0",
    "kernel.apparmor_restrict_unprivileged_userns": lambda value: value == "1",
}
GIVE = "usermod --add-sub{kind}s 100000-165535 {name}, as root"


def users(facts: Facts) -> Iterator[Finding]:
    yield user_namespaces(facts)
    yield helpers()
    if facts.euid != 0:
        yield ranges(facts)
    if facts.userns:
        found = f"uids {spans(facts.uid_map)}, gids {spans(facts.gid_map)}"
        found += "" if facts.setgroups else ", setgroups denied"
        yield Finding(name="we are in one", status=OK, found=found)


def user_namespaces(facts: Facts) -> Finding:
    """Tried, and the switches that explain what came of it."""
    why = trials.ordinary_user(facts)
    values = {name: read(f"/proc/sys/{name.replace('.', '/')}").strip() for name in SWITCHES}
    shut = [f"{name}={value}" for name, value in values.items() if value and SWITCHES[name](value)]
    found = f"ordinary users cannot make them: {why}" if why else "ordinary users can make them"
    most = values["user.max_user_namespaces"]
    found += f" ({', '.join(shut)})" if shut else f" (at most {most})" if most and not why else ""
    if not why and not shut:
        return Finding(name="user namespaces", status=OK, found=found)
    hint = "sysctl -w with another value" if shut else "sysctl user.max_user_namespaces; a seccomp filter; an LSM"
    if shut and not why:
        hint = "AppArmor lets them be made, but without rights unless a profile allows it: apparmor.d(5), userns"
    return Finding(name="user namespaces", status=LIMITED, found=found, hint=hint)


def helpers() -> Finding:
    found = [helper(name) for name in ("newuidmap", "newgidmap")]
    if not all(found):
        return Finding(name="id helpers", status=LIMITED, found="an ordinary user can map himself alone", hint=PACKAGE)
    powerless = [path for path in found if not powerful(path)]
    if powerless:
        hint = f"chmod u+s {' '.join(powerless)}, or install the package again"
        return Finding(name="id helpers", status=LIMITED, found="neither setuid nor with capabilities", hint=hint)
    return Finding(name="id helpers", status=OK, found=" ".join(found))


def powerful(path: str) -> bool:
    """Setuid, or with file capabilities (capabilities(7)), and not on a mount that takes both away."""
    if os.statvfs(path).f_flag & os.ST_NOSUID:
        return False
    return bool(os.stat(path).st_mode & stat.S_ISUID) or "security.capability" in os.listxattr(path)


def ranges(facts: Facts) -> Finding:
    """Ours in /etc/subuid and /etc/subgid; a name service may know more (nsswitch.conf(5), subid)."""
    try:
        name = getpwuid(facts.euid).pw_name
    except KeyError:
        hint = "newuidmap serves only users with an account"
        return Finding(name="id ranges", status=LIMITED, found=f"uid {facts.euid} is not in /etc/passwd", hint=hint)
    given = {kind: listed(f"/etc/sub{kind}", name, facts.euid) for kind in ("uid", "gid")}
    found = ", ".join(f"{kind}s {spans(rows) or 'none'}" for kind, rows in given.items())
    lacking = [GIVE.format(kind=kind, name=name) for kind, rows in given.items() if not rows]
    return Finding(name="id ranges", status=LIMITED if lacking else OK, found=found, hint="; ".join(lacking))


def listed(path: str, name: str, uid: int) -> tuple[tuple[int, int, int], ...]:
    """The rows of a user, as an id map has them (subuid(5): login name or uid, first id, count)."""
    rows = []
    for line in read(path).splitlines():
        words = line.split(":")
        if len(words) == 3 and words[0] in (name, str(uid)) and words[1].isdigit() and words[2].isdigit():
            rows.append((int(words[1]), int(words[1]), int(words[2])))
    return tuple(rows)


def spans(rows: tuple[tuple[int, int, int], ...]) -> str:
    """What is inside, as 0-65535."""
    return " ".join(f"{first}-{first + size - 1}" if size > 1 else str(first) for first, _, size in rows)
