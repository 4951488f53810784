"""open_tree(2), mount_setattr(2), fsopen(2), fsconfig(2), fsmount(2): mounts that belong to nobody's tree yet.

Every function returns descriptors that the caller closes, and raises OSError whose ``call`` names the system call.
"""

from __future__ import annotations

from minirun.linux import ffi, lib

AT_RECURSIVE = 0x8000


class MountError(OSError):
    """An OSError that says which of the calls it was."""

    call = ""


def failed(call: str, path: str = "", reason: str = "") -> MountError:
    """The error of the native call that just returned -1."""
    from posix import strerror

    error = MountError(ffi.errno, reason or strerror(ffi.errno), path)
    error.call = call
    return error


def of(call: str, error: OSError) -> MountError:
    """Somebody else's OSError, with the name of the call."""
    made = MountError(error.errno, error.strerror, error.filename)
    made.call = call
    return made


def encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def open_tree(fd: int, flags: int, path: str = "") -> int:
    """A detached clone of what is open as ``fd``: of that mount, or with all that is mounted below (AT_RECURSIVE)."""
    tree: int = lib.minirun_open_tree(fd, flags)
    if tree < 0:
        raise failed("open_tree", path)
    return tree


def set_attributes(fd: int, *, flags: int, propagation: int = 0, user_namespace: int = -1, path: str = "") -> None:
    """MS_* propagation, and MOUNT_ATTR_IDMAP by the namespace of a descriptor; ``flags`` is AT_RECURSIVE or 0."""
    if lib.minirun_mount_setattr(fd, flags, propagation, user_namespace) < 0:
        raise failed("mount_setattr", path)


def new(fstype: str, source: str, data: list[str]) -> int:
    """A detached mount of a new file system; ``data``: words and key=value.  The kernel's complaint is the reason."""
    from posix import close

    context: int = lib.minirun_fsopen(encode(fstype))
    if context < 0:
        raise failed("fsopen", fstype)
    try:
        settings = [("source", "=", source)] if source else []
        for key, equals, value in settings + [option.partition("=") for option in data]:
            if len(value) > 1 and value[0] == value[-1] == '"':  # mount(8)'s: context="a,b"
                value = value[1:-1]
            if lib.minirun_fsconfig(context, encode(key), encode(value) if equals else ffi.NULL) < 0:
                raise failed("fsconfig", key + equals + value, complaint(context))
        if lib.minirun_fsconfig(context, ffi.NULL, ffi.NULL) < 0:
            raise failed("fsconfig", source, complaint(context))
        fd: int = lib.minirun_fsmount(context)
        if fd < 0:
            raise failed("fsmount", fstype)
        return fd
    finally:
        close(context)


def complaint(context: int) -> str:
    """What the kernel says in words ("e tmpfs: Bad value for 'size'"), or ""."""
    import posix

    number = ffi.errno
    try:
        said = posix.read(context, 4096).decode("utf-8", "replace").strip()[2:]
    except OSError:  # ENODATA: nothing more than the errno
        said = ""
    ffi.errno = number
    return said


def user_namespace(uid_map: str, gid_map: str) -> int:
    """A descriptor of a new user namespace with these maps (user_namespaces(7)); nobody lives in it."""
    call, path = ffi.new("const char **"), ffi.new("const char **")
    fd: int = lib.minirun_user_namespace(encode(uid_map), encode(gid_map), call, path)
    if fd < 0:
        raise failed(ffi.string(call[0]).decode(), ffi.string(path[0]).decode())
    return fd


def attach(fd: int, path: str) -> None:
    """move_mount(2): what ``fd`` holds is mounted on ``path``."""
    if lib.minirun_move_mount(fd, encode(path)) < 0:
        raise failed("move_mount", path)
