/*
 * minirun-reaper: process 1 for `container run --init`, for programs that were never meant to be it.
 *
 *     minirun-reaper -- PROGRAM [ARG]...
 *
 * Process 1 gets the orphans of its PID namespace as children, and no signal that it has no handler for
 * (pid_namespaces(7)).  So: start the program in a process group of its own, in the terminal's foreground if there is
 * one; pass every signal on; wait for whoever ends; end as the program did, 128+n after signal n.  Static, without a C
 * library: it runs in whatever root file system there is.
 */
#include "../init/sys.h"

#include <linux/signal.h>
#include <linux/wait.h>

struct failure last_failure;

#define ALL_SIGNALS (~0ul)
#define SIGNAL_SIZE 8
#define TIOCSPGRP 0x5410 /* asm-generic/ioctls.h; x86's is the same */
#define PATH_SIZE 4096

static size_t length(const char *s)
{
    size_t n = 0;
    while (s[n])
        n++;
    return n;
}

static int has_slash(const char *s)
{
    for (; *s; s++)
        if (*s == '/')
            return 1;
    return 0;
}

static void say(const char *s) { sys_write(2, s, length(s)); }

static void set_mask(unsigned long mask)
{
    raw_syscall(__NR_rt_sigprocmask, SIG_SETMASK, P(&mask), 0, SIGNAL_SIZE, 0, 0);
}

/* The value of PATH, as execvp(3) searches it. */
static const char *search_path(char **env)
{
    for (; *env; env++)
        if ((*env)[0] == 'P' && (*env)[1] == 'A' && (*env)[2] == 'T' && (*env)[3] == 'H' && (*env)[4] == '=')
            return *env + 5;
    return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

static int try_each(const char *path, char **argv, char **env)
{
    static char file[PATH_SIZE];
    int worst = ENOENT;
    for (;;) {
        size_t n = 0, name = length(argv[0]);
        while (path[n] && path[n] != ':')
            n++;
        if (n && n + name + 2 <= sizeof file) {
            for (size_t i = 0; i < n; i++)
                file[i] = path[i];
            file[n] = '/';
            for (size_t i = 0; i <= name; i++)
                file[n + 1 + i] = argv[0][i];
            sc3(execve, P(file), P(argv), P(env));
            if (last_failure.err != ENOENT && last_failure.err != ENOTDIR)
                worst = last_failure.err;
        }
        if (!path[n])
            return worst;
        path += n + 1;
    }
}

_Noreturn static void become_program(char **argv, char **env)
{
    raw_syscall(__NR_setpgid, 0, 0, 0, 0, 0, 0);
    int group = (int)raw_syscall(__NR_getpid, 0, 0, 0, 0, 0, 0);
    raw_syscall(__NR_ioctl, 0, TIOCSPGRP, P(&group), 0, 0, 0); /* SIGTTOU is blocked; no terminal is fine */
    set_mask(0);
    int err = ENOENT;
    if (has_slash(argv[0])) {
        sc3(execve, P(argv[0]), P(argv), P(env));
        err = last_failure.err;
    } else {
        err = try_each(search_path(env), argv, env);
    }
    say("minirun-reaper: cannot execute ");
    say(argv[0]);
    say(err == ENOENT ? ": No such file or directory\n" : ": it is no program, or may not be executed\n");
    sys_exit(err == ENOENT ? 127 : 126);
    __builtin_unreachable();
}

/* Whoever has ended; once the program is among them, we end as it did. */
static void reap(int program)
{
    for (;;) {
        int status = 0;
        long pid = raw_syscall(__NR_wait4, -1, P(&status), WNOHANG, 0, 0, 0);
        if (pid <= 0)
            return;
        if (pid == program)
            sys_exit((status & 0x7f) ? 128 + (status & 0x7f) : (status >> 8) & 0xff);
    }
}

static int reaper_main(int argc, char **argv)
{
    char **env = argv + argc + 1;
    if (argc < 3) {
        say("minirun-reaper: -- PROGRAM [ARG]... is wanted\n");
        return 2;
    }
    set_mask(ALL_SIGNALS);
    int program = (int)raw_syscall(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
    if (program == 0)
        become_program(argv + 2, env);
    if (program < 0) {
        say("minirun-reaper: cannot start a process\n");
        return 126;
    }
    for (;;) {
        unsigned long every = ALL_SIGNALS;
        long number = raw_syscall(__NR_rt_sigtimedwait, P(&every), 0, 0, SIGNAL_SIZE, 0, 0);
        if (number == SIGCHLD)
            reap(program);
        else if (number > 0 && number != SIGTTIN && number != SIGTTOU)
            raw_syscall(__NR_kill, program, number, 0, 0, 0, 0);
    }
}

/* The kernel leaves argc, argv and the environment on the stack. */
__attribute__((used)) _Noreturn static void entry(long *stack)
{
    sys_exit(reaper_main((int)stack[0], (char **)(stack + 1)));
    __builtin_unreachable();
}

#ifdef __x86_64__
__asm__(".globl _start\n_start:\n xor %ebp,%ebp\n mov %rsp,%rdi\n and $-16,%rsp\n call entry\n");
#else
__asm__(".globl _start\n_start:\n mov x29,#0\n mov x0,sp\n b entry\n");
#endif
