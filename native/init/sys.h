/*
 * System calls, without a C library.
 *
 * minirun-init runs between clone3 and exec: no malloc, no stdio, no thread state, nothing that a libc could
 * trip over.  Every call goes through sc(), which keeps the first failure's name and errno for the report to the
 * host: returns what the kernel returned, or -1.  The wrappers have the kernel's names and argument order.
 */
#ifndef MINIRUN_SYS_H
#define MINIRUN_SYS_H

#include <asm/unistd.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/stat.h>
#include <linux/types.h>
#include <stddef.h>
#include <stdint.h>

#ifndef __x86_64__
#ifndef __aarch64__
#error "minirun-init knows the system call instruction of x86_64 and aarch64 only"
#endif
#endif

/* What the uapi headers of older distributions, or their libc-only headers, lack. */
#ifndef MNT_DETACH
#define MNT_DETACH 2
#endif
#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

struct failure {
    int err;          /* errno, positive */
    const char *call; /* the system call's name, or what was being checked */
};
extern struct failure last_failure;

static inline long raw_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
#ifdef __x86_64__
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
#else
    register long x8 __asm__("x8") = nr;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
#endif
}

/* Remember why: -1, so that "return fail(...)" reads well. */
static inline int fail(int err, const char *call)
{
    last_failure.err = err;
    last_failure.call = call;
    return -1;
}

static inline long checked(const char *name, long result)
{
    if (result < 0 && result > -4096)
        return fail((int)-result, name);
    return result;
}

#define P(pointer) ((long)(uintptr_t)(pointer))
#define sc6(name, a, b, c, d, e, f)                                                                               \
    checked(#name, raw_syscall(__NR_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f)))
#define sc5(name, a, b, c, d, e) sc6(name, a, b, c, d, e, 0)
#define sc4(name, a, b, c, d) sc6(name, a, b, c, d, 0, 0)
#define sc3(name, a, b, c) sc6(name, a, b, c, 0, 0, 0)
#define sc2(name, a, b) sc6(name, a, b, 0, 0, 0, 0)
#define sc1(name, a) sc6(name, a, 0, 0, 0, 0, 0)
#define sc0(name) sc6(name, 0, 0, 0, 0, 0, 0)

/* -- files ---------------------------------------------------------------------------------------------------- */

static inline int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
    return (int)sc4(openat2, dir, P(path), P(&how), sizeof how);
}
static inline int sys_close(int fd) { return (int)sc1(close, fd); }
static inline long sys_read(int fd, void *to, size_t n) { return sc3(read, fd, P(to), n); }
static inline long sys_write(int fd, const void *from, size_t n) { return sc3(write, fd, P(from), n); }
static inline int sys_mkdirat(int dir, const char *name, unsigned mode)
{
    return (int)sc3(mkdirat, dir, P(name), mode);
}
static inline int sys_mknodat(int dir, const char *name, unsigned mode, unsigned dev)
{
    return (int)sc4(mknodat, dir, P(name), mode, dev);
}
static inline int sys_symlinkat(const char *target, int dir, const char *name)
{
    return (int)sc3(symlinkat, P(target), dir, P(name));
}
static inline int sys_fchownat(int dir, const char *name, unsigned uid, unsigned gid, int flags)
{
    return (int)sc5(fchownat, dir, P(name), uid, gid, flags);
}
static inline int sys_fchmodat(int dir, const char *name, unsigned mode)
{
    return (int)sc3(fchmodat, dir, P(name), mode);
}
static inline int sys_statx(int dir, const char *path, int flags, unsigned mask, struct statx *to)
{
    return (int)sc5(statx, dir, P(path), flags, mask, P(to));
}
static inline int sys_dup3(int from, int to, int flags) { return (int)sc3(dup3, from, to, flags); }
static inline long sys_ioctl(int fd, unsigned long request, long argument)
{
    return sc3(ioctl, fd, request, argument);
}

/* -- mounts: the fd-based API (fsopen(2), mount_setattr(2); Linux 5.12) ------------------------------------------ */

static inline int sys_open_tree(int dir, const char *path, unsigned flags)
{
    return (int)sc3(open_tree, dir, P(path), flags | OPEN_TREE_CLOEXEC);
}
static inline int sys_move_mount(int from, int to)
{
    return (int)sc5(move_mount, from, P(""), to, P(""), MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}
static inline int sys_fsopen(const char *type) { return (int)sc2(fsopen, P(type), FSOPEN_CLOEXEC); }
static inline int sys_fspick(int fd) { return (int)sc3(fspick, fd, P(""), FSPICK_CLOEXEC | FSPICK_EMPTY_PATH); }
static inline int sys_fsconfig(int fd, unsigned command, const char *key, const char *value)
{
    return (int)sc5(fsconfig, fd, command, P(key), P(value), 0);
}
static inline int sys_fsmount(int fd, uint64_t attributes)
{
    return (int)sc3(fsmount, fd, FSMOUNT_CLOEXEC, attributes);
}
static inline int sys_mount_setattr(int fd, unsigned flags, struct mount_attr *attr)
{
    return (int)sc5(mount_setattr, fd, P(""), AT_EMPTY_PATH | flags, P(attr), sizeof *attr);
}
static inline int sys_mount(const char *source, const char *target, const char *type, unsigned long flags)
{
    return (int)sc5(mount, P(source), P(target), P(type), flags, 0);
}
static inline int sys_umount2(const char *target, int flags) { return (int)sc2(umount2, P(target), flags); }
static inline int sys_pivot_root(const char *root, const char *old)
{
    return (int)sc2(pivot_root, P(root), P(old));
}
static inline int sys_fchdir(int fd) { return (int)sc1(fchdir, fd); }
static inline int sys_chdir(const char *path) { return (int)sc1(chdir, P(path)); }

/* -- the process -------------------------------------------------------------------------------------------------- */

static inline long sys_prctl(int option, long a, long b, long c, long d) { return sc5(prctl, option, a, b, c, d); }
/* Under a system call filter even this may be refused: an instruction that is a trap needs nobody's leave. */
static inline void sys_exit(int code)
{
    raw_syscall(__NR_exit_group, code, 0, 0, 0, 0, 0);
    raw_syscall(__NR_exit, code, 0, 0, 0, 0, 0);
    for (;;)
        __builtin_trap();
}
static inline int sys_setns(int fd, int type) { return (int)sc2(setns, fd, type); }
static inline int sys_unshare(unsigned long flags) { return (int)sc1(unshare, flags); }

#endif
