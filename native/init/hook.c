/* Hooks that run inside (createContainer, startContainer): a child each, the state on its standard input. */
#include "init.h"

#include <linux/wait.h>

struct pollfd_record {
    int fd;
    short events, revents;
};

/* The child: stdin is the state, nothing else is open, nothing of init's rights beyond what it was given. */
static void run_hook(struct ctx *c, const struct op *op)
{
    /* One sealed memfd serves all hooks, one after the other: each reads it from its beginning. */
    const char **args = make_vector(S(op, HOOK_ARGS), N(op, HOOK_ARGS), NULL);
    const char **env = make_vector(S(op, HOOK_ENV), N(op, HOOK_ENV), NULL);
    if (*S(op, HOOK_CWD) && sys_chdir(S(op, HOOK_CWD)) < 0)
        sys_exit(126);
    if (!args || !env || sc3(lseek, c->passed_fd, 0, 0) < 0 || sys_dup3(c->passed_fd, 0, 0) < 0 ||
        sc3(close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
        sys_exit(126);
    sc3(execve, P(S(op, HOOK_PATH)), P(args), P(env));
    sys_exit(last_failure.err == ENOENT ? 127 : 126);
}

/* Wait for the child, at most `seconds` (0: as long as it takes). */
static int reap(struct ctx *c, int pid, int pidfd, uint64_t seconds)
{
    struct pollfd_record watch = {pidfd, 1, 0};
    struct { /* Linux writes the time that is left into it: EINTR goes on with that */
        int64_t s, ns;
    } timeout = {(int64_t)seconds, 0};
    int status = 0;
    long ready;
    do
        ready = sc5(ppoll, P(&watch), 1, P(seconds ? &timeout : NULL), 0, 0);
    while (ready < 0 && last_failure.err == EINTR);
    if (ready == 0)
        sc4(pidfd_send_signal, pidfd, 9, 0, 0);
    while (sc4(wait4, pid, P(&status), 0, 0) < 0 && last_failure.err == EINTR)
        ;
    if (ready == 0)
        return fail(ETIMEDOUT, "hook");
    if (status == 0)
        return 0;
    text_number(c->text, (uint64_t)(status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff));
    c->detail = c->text;
    return fail(ECANCELED, "hook");
}

int op_hook(struct ctx *c, const struct op *op)
{
    c->detail = S(op, HOOK_PATH);
    int pidfd = -1;
    long pid = checked("clone", raw_syscall(__NR_clone, CLONE_PIDFD | 17 /* SIGCHLD */, 0, P(&pidfd), 0, 0, 0));
    if (pid < 0)
        return -1;
    if (pid == 0)
        run_hook(c, op);
    int result = reap(c, (int)pid, pidfd, N(op, HOOK_TIMEOUT));
    struct failure kept = last_failure;
    sys_close(pidfd);
    last_failure = kept;
    return result;
}
