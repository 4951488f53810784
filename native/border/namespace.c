/* setns(2), unshare(2), and a process for a namespace to be born in. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "border.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

int minirun_setns(int fd, int flags) { return setns(fd, flags); }

int minirun_unshare(int flags) { return unshare(flags); }

/* Mustn't: allocate, take a lock, return.  It lives until its parent, or its parent's death, closes the pipe. */
static _Noreturn void hold_namespace(const int pipe[2])
{
    char nothing;
    close(pipe[1]);
    while (read(pipe[0], &nothing, 1) < 0 && errno == EINTR)
        ;
    _exit(0);
}

/*
 * A child in new namespaces (`flags`: CLONE_NEW*) that does nothing until *end is closed; the caller waits for it.
 * Its pid, or -1.
 */
int minirun_hold(uint64_t flags, int *end)
{
    struct clone_args args = {.flags = flags, .exit_signal = SIGCHLD};
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    int pid = (int)syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0)
        hold_namespace(ends);
    int kept = errno;
    close(ends[0]);
    if (pid < 0)
        close(ends[1]);
    errno = kept;
    *end = ends[1];
    return pid;
}
