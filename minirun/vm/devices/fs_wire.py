"""The FUSE protocol as Linux speaks it over virtio-fs: numbers and structures of <linux/fuse.h>, little-endian.

A request is ``in_header`` and its arguments, a reply ``out_header`` and its results; all of one virtqueue chain each
(virtio 1.2, section 5.11.6).  Nothing here but numbers; what they do is in ``fs_names``, ``fs_files`` and their like.
"""

from __future__ import annotations

from _struct import Struct

MAJOR, MINOR, OLDEST_MINOR = 7, 38, 31
ROOT = 1  # FUSE_ROOT_ID

LOOKUP, FORGET, GETATTR, SETATTR, READLINK, SYMLINK = 1, 2, 3, 4, 5, 6
MKNOD, MKDIR, UNLINK, RMDIR, RENAME, LINK = 8, 9, 10, 11, 12, 13
OPEN, READ, WRITE, STATFS, RELEASE, FSYNC = 14, 15, 16, 17, 18, 20
SETXATTR, GETXATTR, LISTXATTR, REMOVEXATTR, FLUSH, INIT = 21, 22, 23, 24, 25, 26
OPENDIR, READDIR, RELEASEDIR, FSYNCDIR = 27, 28, 29, 30
ACCESS, CREATE, INTERRUPT, DESTROY = 34, 35, 36, 38
BATCH_FORGET, FALLOCATE, READDIRPLUS, RENAME2, LSEEK, COPY_FILE_RANGE = 42, 43, 44, 45, 46, 47
SYNCFS, TMPFILE = 50, 51

IN_HEADER = Struct("<IIQQIIIHH")  # len, opcode, unique, nodeid, uid, gid, pid, total_extlen, padding
OUT_HEADER = Struct("<IiQ")  # len, error, unique
INIT_IN = Struct("<IIII")  # major, minor, max_readahead, flags; more since 7.36
INIT_OUT = Struct("<IIIIHHIIHHI28x")
ENTRY_OUT = Struct("<QQQQII")  # nodeid, generation, entry_valid, attr_valid, and their nanoseconds; then the attr
ATTR_OUT = Struct("<QII")  # attr_valid, its nanoseconds, dummy; then the attr
ATTR = Struct("<QQQQQQIIIIIIIIII")  # struct fuse_attr
INODE = Struct("<Q")  # its first member; and a nodeid
SETATTR_IN = Struct("<IIQQQQQQIIIIIIII")
MKNOD_IN = Struct("<IIII")  # mode, rdev, umask, padding
MKDIR_IN = Struct("<II")  # mode, umask
RENAME_IN = Struct("<Q")  # newdir
RENAME2_IN = Struct("<QII")  # newdir, flags, padding
LINK_IN = Struct("<Q")  # oldnodeid
OPEN_IN = Struct("<II")  # flags, open_flags
CREATE_IN = Struct("<IIII")  # flags, mode, umask, open_flags
OPEN_OUT = Struct("<QII")  # fh, open_flags, padding
RELEASE_IN = Struct("<QIIQ")  # fh, flags, release_flags, lock_owner
READ_IN = Struct("<QQIIQII")  # fh, offset, size, read_flags, lock_owner, flags, padding
WRITE_IN = Struct("<QQIIQII")  # fh, offset, size, write_flags, lock_owner, flags, padding
WRITE_OUT = Struct("<II")  # size, padding
STATFS_OUT = Struct("<QQQQQIIII24x")  # blocks, bfree, bavail, files, ffree, bsize, namelen, frsize, padding, spare
FSYNC_IN = Struct("<QII")  # fh, fsync_flags, padding
SETXATTR_IN = Struct("<II")  # size, flags; without FUSE_SETXATTR_EXT
GETXATTR_IN = Struct("<II")  # size, padding
GETXATTR_OUT = Struct("<II")  # size, padding
FORGET_IN = Struct("<Q")  # nlookup
BATCH_FORGET_IN = Struct("<II")  # count, dummy
FORGET_ONE = Struct("<QQ")  # nodeid, nlookup
FALLOCATE_IN = Struct("<QQQII")  # fh, offset, length, mode, padding
LSEEK_IN = Struct("<QQII")  # fh, offset, whence, padding
LSEEK_OUT = Struct("<Q")
COPY_IN = Struct("<QQQQQQQ")  # fh_in, off_in, nodeid_out, fh_out, off_out, len, flags
DIRENT = Struct("<QQII")  # ino, off, namelen, type; then the name, to the next eight

# INIT's flags, and why each is asked for.
ASYNC_READ = 1 << 0  # several reads of one file at a time
ATOMIC_O_TRUNC = 1 << 3  # OPEN truncates: one request
BIG_WRITES = 1 << 5  # more than a page
AUTO_INVAL_DATA = 1 << 12  # what the host changed is read again
DO_READDIRPLUS, READDIRPLUS_AUTO = 1 << 13, 1 << 14  # a directory with its attributes, where the guest wants them
PARALLEL_DIROPS = 1 << 18  # names are looked up several at a time
MAX_PAGES = 1 << 22  # requests of more than 32 pages
HANDLE_KILLPRIV_V2 = 1 << 28  # set-user-ID is taken away here, so the guest does not ask at every write
WANTED = (
    ASYNC_READ | ATOMIC_O_TRUNC | BIG_WRITES | AUTO_INVAL_DATA | DO_READDIRPLUS | READDIRPLUS_AUTO
    | PARALLEL_DIROPS | MAX_PAGES | HANDLE_KILLPRIV_V2
)  # fmt: skip
# Not asked for: WRITEBACK_CACHE (the host sees writes at once), POSIX_LOCKS and FLOCK_LOCKS (locks hold among the
# guest's own programs), EXPORT_SUPPORT (nobody may look up ".."), POSIX_ACL, DONT_MASK (the guest applies umask).

# SETATTR's `valid`.
FATTR_MODE, FATTR_UID, FATTR_GID, FATTR_SIZE = 1 << 0, 1 << 1, 1 << 2, 1 << 3
FATTR_ATIME, FATTR_MTIME, FATTR_FH = 1 << 4, 1 << 5, 1 << 6
FATTR_ATIME_NOW, FATTR_MTIME_NOW, FATTR_KILL_SUIDGID = 1 << 7, 1 << 8, 1 << 11

FOPEN_KEEP_CACHE = 1 << 1
OPEN_KILL_SUIDGID = 1 << 0
WRITE_KILL_SUIDGID = 1 << 2
FSYNC_FDATASYNC = 1 << 0

PAGE = 4096
MAX_WRITE = 1 << 20  # bytes of one READ or WRITE
MAX_BODY = (64 << 10) + PAGE  # of any other: the longest extended attribute, and names
VALID = 1  # seconds for which the guest may believe a name or attributes
