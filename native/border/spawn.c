/*
 * spawn: clone3(2) into namespaces and a cgroup, then execveat(2) of the sealed init.  One narrow function, so
 * that a native launcher can call it for a warm planner one day.
 *
 * The child shares our memory and we wait for its exec (CLONE_VM | CLONE_VFORK, as posix_spawn does): copying the
 * page tables of a Python process would cost more than all the rest.  So the child runs on a stack of its own,
 * calls only raw system calls, and leaves its errno in the request.
 */
#define _GNU_SOURCE
#include "border.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STACK_SIZE 65536
#define OWN_FDS 4 /* sync, plan, gate, target: native/init/start.c */

/*
 * A new user namespace gives every capability in it, and execve(2) takes them away again, because our user is
 * mapped only later (user_namespaces(7)).  Ambient ones stay; init clears them with op_capabilities.
 */
static int keep_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2];
    if (syscall(SYS_capget, &header, sets) < 0)
        return -1;
    for (int i = 0; i < 2; i++)
        sets[i].inheritable = sets[i].permitted;
    if (syscall(SYS_capset, &header, sets) < 0)
        return -1;
    for (int cap = 0; cap < 64; cap++)
        if (sets[cap / 32].permitted >> cap % 32 & 1)
            syscall(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
    return 0;
}

/*
 * Should: put the descriptors where init expects them, and execute it.
 * Mustn't: allocate, take a lock, touch errno's users, return.
 */
static void child(struct spawn_request *r)
{
    int fds[OWN_FDS] = {r->sync_fd, r->plan_fd, r->gate_fd, r->target_fd};
    int base = 3 + r->preserve;
    int init = fcntl(r->init_fd, F_DUPFD_CLOEXEC, base + OWN_FDS);
    if (init < 0 || ((r->flags & CLONE_NEWUSER) && keep_capabilities() < 0))
        goto failed;
    for (int i = 0; i < OWN_FDS; i++) { /* out of the way first: a source may sit in another's place */
        if (fds[i] >= 0)
            fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, base + OWN_FDS);
    }
    for (int i = 0; i < 3; i++)
        if (r->stdio[i] >= 0 && r->stdio[i] != i && dup2(r->stdio[i], i) < 0)
            goto failed;
    for (int i = 3; i < base; i++) { /* the caller's came through an exec; one that closes on exec is our own */
        int flags = fcntl(i, F_GETFD);
        if (flags < 0 || flags & FD_CLOEXEC) {
            errno = EBADF;
            goto failed;
        }
    }
    for (int i = 0; i < OWN_FDS; i++) {
        if (fds[i] < 0)
            close(base + i);
        else if (dup2(fds[i], base + i) < 0)
            goto failed;
    }
    char number[12];
    int at = sizeof number - 1;
    number[at] = '\0';
    for (int n = base; n; n /= 10)
        number[--at] = (char)('0' + n % 10);
    char *argv[] = {"minirun-init", number + at, NULL};
    char *env[] = {NULL};
    syscall(SYS_execveat, init, "", argv, env, AT_EMPTY_PATH);
failed:
    r->error = errno;
    _exit(127);
}

#ifdef __x86_64__
/* The child gets a new stack, so clone3 cannot return in it: it calls child(r) instead. */
static long clone3_call(struct clone_args *args, size_t size, struct spawn_request *r)
{
    long result;
    register struct spawn_request *request __asm__("r12") = r;
    register void (*call)(struct spawn_request *) __asm__("r13") = child;
    __asm__ volatile("syscall\n"
                     "test %%rax, %%rax\n"
                     "jnz 1f\n"
                     "xor %%ebp, %%ebp\n"
                     "mov %%r12, %%rdi\n"
                     "call *%%r13\n"
                     "hlt\n"
                     "1:\n"
                     : "=a"(result)
                     : "a"((long)SYS_clone3), "D"(args), "S"(size), "r"(request), "r"(call)
                     : "rcx", "r11", "memory");
    return result;
}
#define SHARED (CLONE_VM | CLONE_VFORK)
#else
static long clone3_call(struct clone_args *args, size_t size, struct spawn_request *r)
{
    args->stack = 0;
    args->stack_size = 0;
    long result = syscall(SYS_clone3, args, size);
    if (result == 0)
        child(r);
    return result < 0 ? -errno : result;
}
#define SHARED CLONE_VFORK /* without shared memory the child's errno is lost; init's silence says enough */
#endif

int minirun_spawn(struct spawn_request *r)
{
    static char stack[STACK_SIZE] __attribute__((aligned(64)));
    int pidfd = -1;
    struct clone_args args = {
        .flags = r->flags | CLONE_PIDFD | CLONE_CLEAR_SIGHAND | SHARED,
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
        .exit_signal = SIGCHLD,
        .stack = (uint64_t)(uintptr_t)stack,
        .stack_size = sizeof stack,
    };
    if (r->cgroup_fd >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)r->cgroup_fd;
    }
    sigset_t all, kept;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &kept);
    r->error = 0;
    long pid = clone3_call(&args, sizeof args, r);
    sigprocmask(SIG_SETMASK, &kept, NULL);
    if (pid < 0) {
        errno = (int)-pid;
        return -1;
    }
    r->pid = (int)pid;
    r->pidfd = pidfd;
    return 0;
}
