/*
 * What the VMM gives up before its guest executes the first instruction; minirun/vm/confine.py says in which order.
 */
#define _GNU_SOURCE
#include "vm.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int confine_unshare(uint64_t flags) { return unshare((int)flags); }

/*
 * A procfs with nothing but processes: with the host's, a descriptor of /proc/self/fd would lead to /proc/sys, where root
 * needs no capability to write.  In a mount namespace of our own, nothing of which appears on the host.
 */
int confine_proc(void)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -1;
    return mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "subset=pid");
}

/*
 * An empty tmpfs becomes the root, read-only, and what was there is gone from this namespace.  What is open stays: a
 * descriptor holds on to its mount, wherever that is attached.  The mount is put on /proc because that is a directory
 * on every host; it could be any.
 */
int confine_empty_root(void)
{
    const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    if (mount("none", "/proc", "tmpfs", flags, "size=4k,nr_inodes=2,mode=555") < 0 || chdir("/proc") < 0)
        return -1;
    if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
        return -1;
    if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL) < 0)
        return -1;
    return chdir("/");
}

/* Only these capabilities stay, permitted and effective; nothing can be gained by an execve(2) any more. */
int confine_rights(uint64_t kept)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2];
    if (syscall(SYS_capget, &header, sets) < 0)
        return -1;
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (!(kept >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EPERM)
            return -1;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        sets[i].permitted &= (uint32_t)(kept >> 32 * i);
        sets[i].effective = sets[i].permitted;
        sets[i].inheritable = 0;
    }
    if (syscall(SYS_capset, &header, sets) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* seccomp(2), for every thread: there is one here, and those to come inherit it. */
int confine_filter(const void *program, unsigned count)
{
    struct sock_fprog filter = {.len = (unsigned short)count, .filter = (struct sock_filter *)(uintptr_t)program};
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter);
}

int confine_name(const char *name) { return prctl(PR_SET_NAME, name, 0, 0, 0); }
