/* Verbs that make a system call by its number: what a filter says to it. */
#define _GNU_SOURCE
#include "probe.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Results as a kernel returns them: the errno's name, or "ok". */
static const char *said(long result) { return result < 0 && result > -4096 ? errno_name((int)-result) : "ok"; }

static long make_call(char **args)
{
    unsigned long words[7] = {0};
    for (int i = 0; i < 7 && args[i]; i++)
        words[i] = (unsigned long)number(args[i]);
    long result = syscall((long)words[0], words[1], words[2], words[3], words[4], words[5], words[6]);
    return result == -1 ? -errno : result;
}

static void verb_call(char **args) { printf("%s\n", said(make_call(args))); }

/* The number alone: what an agent that answers in the kernel's place may say. */
static void verb_call_result(char **args) { printf("%ld\n", make_call(args)); }

/* In a child, because the call may be its end: "signal 31", "exit 0". */
static void verb_call_end(char **args)
{
    int status;
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (!child) {
        make_call(args);
        _exit(0);
    }
    if (waitpid(child, &status, 0) < 0)
        die("waitpid");
    if (WIFSIGNALED(status))
        printf("signal %d\n", WTERMSIG(status));
    else
        printf("exit %d\n", WEXITSTATUS(status));
}

static volatile sig_atomic_t trapped = -1;

static void on_trap(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number;
    (void)context;
    trapped = info->si_syscall;
}

/* The number that SIGSYS tells of, "none" if there was no such signal. */
static void verb_call_trap(char **args)
{
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
    if (sigaction(SIGSYS, &action, NULL))
        die("sigaction");
    make_call(args);
    if (trapped < 0)
        printf("none\n");
    else
        printf("%d\n", (int)trapped);
}

/* The same by the door of 32-bit programs, with their numbers. */
static void verb_call32(char **args)
{
#ifdef __x86_64__
    long result;
    long first = args[1] ? (long)number(args[1]) : 0;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"((long)number(args[0])), "b"(first), "c"(0L), "d"(0L)
                     : "memory");
    printf("%s\n", said((int)result));
#else
    die_because(args[0], "no second door here");
#endif
}

const struct verb call_verbs[] = {
    {"call", 1, 7, verb_call, "NUMBER [ARGUMENT ...]"},
    {"call-result", 1, 7, verb_call_result, "NUMBER [ARGUMENT ...]"},
    {"call-end", 1, 7, verb_call_end, "NUMBER [ARGUMENT ...]"},
    {"call-trap", 1, 7, verb_call_trap, "NUMBER [ARGUMENT ...]"},
    {"call32", 1, 2, verb_call32, "NUMBER [ARGUMENT]"},
    {NULL, 0, 0, NULL, NULL},
};
