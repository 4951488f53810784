"""docker's three ways to say what is mounted: -v, --mount, --tmpfs.  PURE.

Each becomes a ``Wanted``; relative sources of a bind are made absolute with the caller's directory.  A volume without
a source is anonymous.  What a bind's source must be (-v makes a missing directory, --mount does not) is ``create``.
"""

from __future__ import annotations

from minirun.container.units import choice, number, size, switch, wrong
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BIND, VOLUME, TMPFS = "bind", "volume", "tmpfs"
PROPAGATION = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
# of -v, which the runtime takes as they are
PLAIN = ("nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "relatime", "idmap")
LABELS = ("z", "Z")  # SELinux: relabel
CONSISTENCY = ("consistent", "cached", "delegated", "default")  # of docker's Mac: they say nothing here
TMPFS_WORDS = ("ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "relatime", "strictatime",
               "nodiratime", "tmpcopyup")  # fmt: skip
TMPFS_DATA = ("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge")
NAME_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
NAME_REST = NAME_FIRST | frozenset("_.-")


class Wanted(Record):
    """One mount; ``options`` are config.json's."""

    kind: str
    source: str = ""  # a directory of the host, or a volume's name; "" for an anonymous volume
    target: str
    options: list[str]
    copy: bool = True  # a new volume gets what the image has there
    create: bool = False  # a bind's missing source is made
    recursive: bool = True  # what is mounted below the source comes along
    labels: dict[str, str]  # of a volume that is made
    anonymous: bool = False  # the volume goes with the container
    subpath: str = ""  # of a volume
    relabel: bool = False

    def plain(self) -> dict[str, Any]:
        return dict(zip(self.FIELDS, self.astuple(), strict=True))


def volume(text: str, cwd: str) -> Wanted:
    """-v [SOURCE:]TARGET[:OPTIONS]"""
    parts = text.split(":")
    if len(parts) > 3 or not all(parts[:2]):
        raise wrong("--volume", text, "[SOURCE:]TARGET[:OPTIONS]")
    source, target = ("", parts[0]) if len(parts) == 1 else (parts[0], parts[1])
    if source.startswith(("/", "./", "../")) or source in (".", ".."):
        made = Wanted(kind=BIND, source=absolute(source, cwd), target=target, options=[], create=True, labels={})
    else:
        if source:
            check_name(source)
        made = Wanted(kind=VOLUME, source=source, target=target, options=[], labels={})
    check_target("--volume", target)
    for word in parts[2].split(",") if len(parts) == 3 else ():
        volume_option(made, word, text)
    return made


def volume_option(made: Wanted, word: str, text: str) -> None:
    if word in ("ro", "rw", "rro", *PLAIN) or (word in PROPAGATION and made.kind == BIND):
        made.options.append(word)
    elif word == "nocopy" and made.kind == VOLUME:
        made.copy = False
    elif word in ("bind", "rbind") and made.kind == BIND:
        made.recursive = word == "rbind"
    elif word in LABELS:
        made.relabel = True
    elif word not in CONSISTENCY and word != "copy":
        raise wrong(
            "--volume", text, "options such as ro, rw, nocopy or rprivate", f"{word!r} is none of a {made.kind}"
        )


def long_form(text: str, cwd: str) -> Wanted:
    """--mount type=bind,source=...,target=...,readonly,bind-propagation=rprivate"""
    made = Wanted(kind=VOLUME, target="", options=[], labels={})
    pairs = [tuple(word.partition("=")[::2]) for word in text.split(",")]
    for key, value in pairs:
        if key == "type":
            made.kind = choice("--mount type", value, BIND, VOLUME, TMPFS)
    for key, value in pairs:
        if key != "type" and not (general(made, key, value) or KINDS[made.kind](made, key, value)):
            raise wrong("--mount", text, f"what a {made.kind} has", f"{key!r} is nothing of a {made.kind}'s")
    if not made.target:
        raise wrong("--mount", text, "a target=")
    check_target("--mount", made.target)
    if made.kind == BIND:
        if not made.source:
            raise wrong("--mount", text, "a source= for a bind")
        made.source = absolute(made.source, cwd)
    elif made.kind == VOLUME and made.source:
        check_name(made.source)
    elif made.kind == TMPFS and made.source:
        raise wrong("--mount", text, "no source= for a tmpfs")
    return made


def general(made: Wanted, key: str, value: str) -> bool:
    if key in ("source", "src"):
        made.source = value
    elif key in ("target", "dst", "destination"):
        made.target = value
    elif key in ("readonly", "ro"):
        made.options.append("ro" if switch("--mount readonly", value) else "rw")
    elif key in ("rw",):
        made.options.append("rw" if switch("--mount rw", value) else "ro")
    elif key == "consistency":
        choice("--mount consistency", value, *CONSISTENCY)
    else:
        return False
    return True


def bind_member(made: Wanted, key: str, value: str) -> bool:
    if key == "bind-propagation":
        made.options.append(choice("--mount bind-propagation", value, *PROPAGATION))
    elif key == "bind-nonrecursive":
        made.recursive = not switch("--mount bind-nonrecursive", value)
    elif key == "bind-recursive":
        word = choice("--mount bind-recursive", value, "enabled", "disabled", "writable", "readonly")
        made.recursive = word != "disabled"
        made.options += ["rro"] if word == "readonly" else []
    elif key == "create-host-path":
        made.create = switch("--mount create-host-path", value)
    elif key == "idmap" and not value:
        made.options.append("idmap")
    elif key in ("relabel", "Z", "z"):
        made.relabel = True
    else:
        return False
    return True


def volume_member(made: Wanted, key: str, value: str) -> bool:
    if key == "volume-nocopy":
        made.copy = not switch("--mount volume-nocopy", value)
    elif key == "volume-label":
        name, _, word = value.partition("=")
        made.labels[name] = word
    elif key == "volume-subpath":
        if value.startswith("/") or ".." in value.split("/"):
            raise wrong("--mount volume-subpath", value, "a relative path without ..")
        made.subpath = value
    elif key == "volume-driver":
        choice("--mount volume-driver", value, "local", "")
    else:
        return False
    return True


def tmpfs_member(made: Wanted, key: str, value: str) -> bool:
    if key == "tmpfs-size":
        made.options.append(f"size={size('--mount tmpfs-size', value)}")
    elif key == "tmpfs-mode":
        made.options.append(f"mode={octal('--mount tmpfs-mode', value)}")
    else:
        return False
    return True


KINDS = {BIND: bind_member, VOLUME: volume_member, TMPFS: tmpfs_member}


def tmpfs(text: str) -> Wanted:
    """--tmpfs TARGET[:OPTIONS]"""
    target, _, words = text.partition(":")
    check_target("--tmpfs", target)
    made = Wanted(kind=TMPFS, target=target, options=[], labels={})
    for word in filter(None, words.split(",")):
        key, equals, value = word.partition("=")
        if word in TMPFS_WORDS:
            made.options.append(word)
        elif key == "size" and equals:
            made.options.append(word if value.endswith("%") else f"size={size('--tmpfs size', value)}")
        elif key == "mode" and equals:
            made.options.append(f"mode={octal('--tmpfs mode', value)}")
        elif key in ("uid", "gid") and equals:
            made.options.append(f"{key}={number(f'--tmpfs {key}', value, 0, 0xFFFFFFFE)}")
        elif key in TMPFS_DATA and value:
            made.options.append(word)
        elif word not in PROPAGATION:
            raise wrong("--tmpfs", text, "TARGET[:OPTIONS]", f"{word!r} is no option of a tmpfs")
    return made


def octal(option: str, text: str) -> str:
    if not text or set(text) - set("01234567") or int(text, 8) > 0o7777:
        raise wrong(option, text, "an octal mode, as 1777")
    return text


def absolute(path: str, cwd: str) -> str:
    """From the caller's directory; ".." is left to the kernel, a shell's "~" is none of ours."""
    joined = path if path.startswith("/") else f"{cwd.rstrip('/')}/{path}"
    return "/" + "/".join(part for part in joined.split("/") if part not in ("", "."))


def check_target(option: str, target: str) -> None:
    if not target.startswith("/") or ".." in target.split("/"):
        raise wrong(option, target, "an absolute path in the container, without ..")
    if not target.strip("/"):
        raise wrong(option, target, "another target than /")


def check_name(name: str) -> str:
    """docker's rule for a volume's name."""
    if len(name) < 2 or name[0] not in NAME_FIRST or not NAME_REST.issuperset(name) or len(name) > 255:
        hint = "the first is a letter or a digit; a directory of the host begins with / or ./"
        raise wrong("a volume's name", name, "two or more of letters, digits, _ . and -", hint)
    return name
