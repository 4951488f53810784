/* Verbs that describe the process itself: by system call where there is one, so that no /proc is needed. */
#define _GNU_SOURCE
#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static void verb_args(char **args)
{
    for (; *args; args++)
        puts(*args);
}

static void verb_printenv(char **args)
{
    if (!args[0]) {
        for (char **entry = environ; *entry; entry++)
            puts(*entry);
        return;
    }
    const char *value = getenv(args[0]);
    if (!value)
        die_because(args[0], "not set");
    puts(value);
}

static int compare_gids(const void *a, const void *b)
{
    gid_t left = *(const gid_t *)a, right = *(const gid_t *)b;
    return (left > right) - (left < right);
}

static void verb_id(char **args)
{
    (void)args;
    static gid_t groups[NGROUPS_MAX];
    int count = getgroups(NGROUPS_MAX, groups);
    if (count < 0)
        die("groups");
    qsort(groups, (size_t)count, sizeof(groups[0]), compare_gids);
    printf("uid=%u gid=%u groups=", getuid(), getgid());
    for (int i = 0; i < count; i++)
        printf("%s%u", i ? "," : "", groups[i]);
    puts("");
}

static void verb_umask(char **args)
{
    (void)args;
    mode_t mask = umask(0);
    umask(mask);
    printf("%04o\n", mask);
}

static void verb_cwd(char **args)
{
    (void)args;
    char path[PATH_MAX];
    if (!getcwd(path, sizeof(path)))
        die(NULL);
    puts(path);
}

static struct utsname host(void)
{
    struct utsname names;
    if (uname(&names))
        die(NULL);
    return names;
}

static void verb_hostname(char **args)
{
    (void)args;
    puts(host().nodename);
}

static void verb_domainname(char **args)
{
    (void)args;
    puts(host().domainname);
}

/* The same five lines as /proc/self/status. */
static void verb_caps(char **args)
{
    (void)args;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct low_high[2];
    uint64_t bounding = 0, ambient = 0;
    if (syscall(SYS_capget, &header, low_high))
        die("capget");
    for (unsigned long cap = 0; cap < 64; cap++) {
        int bound = prctl(PR_CAPBSET_READ, cap, 0UL, 0UL, 0UL);
        if (bound < 0)
            break; /* past the last one that this kernel knows */
        bounding |= (uint64_t)(bound == 1) << cap;
        ambient |= (uint64_t)(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0UL, 0UL) == 1) << cap;
    }
#define WHOLE(set) ((unsigned long long)low_high[1].set << 32 | low_high[0].set)
    printf("CapInh:\t%016llx\n", WHOLE(inheritable));
    printf("CapPrm:\t%016llx\n", WHOLE(permitted));
    printf("CapEff:\t%016llx\n", WHOLE(effective));
#undef WHOLE
    printf("CapBnd:\t%016llx\n", (unsigned long long)bounding);
    printf("CapAmb:\t%016llx\n", (unsigned long long)ambient);
}

static void verb_nonewprivs(char **args)
{
    (void)args;
    int set = prctl(PR_GET_NO_NEW_PRIVS, 0UL, 0UL, 0UL, 0UL);
    if (set < 0)
        die(NULL);
    printf("%d\n", set);
}

/* /proc/self/status again, for the signals that are blocked, ignored and caught. */
static void verb_signals(char **args)
{
    (void)args;
    uint64_t blocked = 0, ignored = 0, caught = 0;
    if (syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &blocked, sizeof(blocked)))
        die(NULL);
    for (int number = 1; number <= 64; number++) {
        /* Not sigaction(3), which hides 32 and 33.  The kernel's struct begins with the handler. */
        uintptr_t action[8] = {0};
        if (syscall(SYS_rt_sigaction, number, NULL, action, sizeof(blocked)))
            die(NULL);
        uint64_t bit = (uint64_t)1 << (number - 1);
        if (action[0] == (uintptr_t)SIG_IGN)
            ignored |= bit;
        else if (action[0] != (uintptr_t)SIG_DFL)
            caught |= bit;
    }
    printf("SigBlk:\t%016llx\n", (unsigned long long)blocked);
    printf("SigIgn:\t%016llx\n", (unsigned long long)ignored);
    printf("SigCgt:\t%016llx\n", (unsigned long long)caught);
}

static void print_limit(rlim_t limit, char after)
{
    if (limit == RLIM_INFINITY)
        printf("unlimited%c", after);
    else
        printf("%llu%c", (unsigned long long)limit, after);
}

static void verb_rlimits(char **args)
{
    (void)args;
    static const struct {
        const char *name;
        int resource;
    } limits[] = {
        {"RLIMIT_CPU", RLIMIT_CPU},           {"RLIMIT_FSIZE", RLIMIT_FSIZE},
        {"RLIMIT_DATA", RLIMIT_DATA},         {"RLIMIT_STACK", RLIMIT_STACK},
        {"RLIMIT_CORE", RLIMIT_CORE},         {"RLIMIT_RSS", RLIMIT_RSS},
        {"RLIMIT_NPROC", RLIMIT_NPROC},       {"RLIMIT_NOFILE", RLIMIT_NOFILE},
        {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},   {"RLIMIT_AS", RLIMIT_AS},
        {"RLIMIT_LOCKS", RLIMIT_LOCKS},       {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
        {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE}, {"RLIMIT_NICE", RLIMIT_NICE},
        {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},     {"RLIMIT_RTTIME", RLIMIT_RTTIME},
    };
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct rlimit limit;
        if (getrlimit((__rlimit_resource_t)limits[i].resource, &limit))
            die(limits[i].name);
        printf("%s ", limits[i].name);
        print_limit(limit.rlim_cur, ' ');
        print_limit(limit.rlim_max, '\n');
    }
}

static int not_hidden(const struct dirent *entry) { return entry->d_name[0] != '.'; }

static void verb_ns(char **args)
{
    (void)args;
    static const char dir[] = "/proc/self/ns";
    struct dirent **names;
    int count = scandir(dir, &names, not_hidden, alphasort);
    if (count < 0)
        die(dir);
    for (int i = 0; i < count; i++) {
        char path[sizeof(dir) + 1 + NAME_MAX];
        struct stat st;
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
        if (stat(path, &st))
            die(path);
        printf("%s %llu\n", names[i]->d_name, (unsigned long long)st.st_ino);
        free(names[i]);
    }
    free(names);
}

/* scandir has closed the descriptor it listed with when we come to it: readlink fails, and it is left out. */
static void verb_fds(char **args)
{
    (void)args;
    static const char dir[] = "/proc/self/fd";
    struct dirent **names;
    int count = scandir(dir, &names, not_hidden, versionsort);
    if (count < 0)
        die(dir);
    for (int i = 0; i < count; i++) {
        char path[sizeof(dir) + 1 + NAME_MAX];
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
        const char *target = link_target(path);
        if (target)
            printf("%s %s\n", names[i]->d_name, target);
        else if (errno != ENOENT)
            die(path);
        free(names[i]);
    }
    free(names);
}

static void verb_isatty(char **args)
{
    (void)args;
    for (int fd = 0; fd < 3; fd++)
        printf("%d %s\n", fd, isatty(fd) ? "yes" : "no");
}

static void verb_winsize(char **args)
{
    (void)args;
    struct winsize size;
    if (ioctl(0, TIOCGWINSZ, &size))
        die("stdin");
    printf("%u %u\n", size.ws_row, size.ws_col);
}

static void verb_tty_name(char **args)
{
    (void)args;
    const char *name = ttyname(0);
    if (!name)
        die("stdin");
    puts(name);
}

static void verb_pid(char **args)
{
    (void)args;
    printf("%d\n", getpid());
}

static void verb_ppid(char **args)
{
    (void)args;
    printf("%d\n", getppid());
}

static void verb_sid(char **args)
{
    (void)args;
    printf("%d\n", getsid(0));
}

static void verb_pgid(char **args)
{
    (void)args;
    printf("%d\n", getpgrp());
}

static void verb_personality(char **args)
{
    (void)args;
    int value = personality(0xffffffff); /* the value that asks and does not set */
    if (value < 0)
        die(NULL);
    printf("%08x\n", (unsigned)value);
}

static void verb_scheduler(char **args)
{
    (void)args;
    static const char *const policies[] = {"SCHED_OTHER", "SCHED_FIFO", "SCHED_RR",       "SCHED_BATCH",
                                           "SCHED_ISO",   "SCHED_IDLE", "SCHED_DEADLINE", "SCHED_EXT"};
    struct { /* sched_setattr(2); the C library has no name for it that all versions agree on */
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attr;
    if (syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0))
        die(NULL);
    if (attr.policy >= sizeof(policies) / sizeof(policies[0]))
        die_because(NULL, "a policy that has no name here");
    printf("%s nice=%d priority=%u flags=%llu", policies[attr.policy], attr.nice, attr.priority,
           (unsigned long long)attr.flags);
    if (attr.policy == SCHED_DEADLINE)
        printf(" runtime=%llu deadline=%llu period=%llu", (unsigned long long)attr.runtime,
               (unsigned long long)attr.deadline, (unsigned long long)attr.period);
    puts("");
}

static void verb_keyring(char **args)
{
    (void)args;
    char text[512];
    long serial = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
    if (serial < 0)
        die("session");
    if (syscall(SYS_keyctl, KEYCTL_DESCRIBE, serial, text, sizeof(text)) < 0)
        die("session");
    text[sizeof(text) - 1] = '\0'; /* a longer description is cut */
    printf("%ld %s\n", serial, text);
}

static void print_clock(const char *name, clockid_t clock)
{
    struct timespec now;
    if (clock_gettime(clock, &now))
        die(name);
    printf("%s %lld.%09ld\n", name, (long long)now.tv_sec, now.tv_nsec);
}

static void verb_clock(char **args)
{
    (void)args;
    print_clock("boottime", CLOCK_BOOTTIME);
    print_clock("monotonic", CLOCK_MONOTONIC);
}

const struct verb self_verbs[] = {
    {"args", 0, ANY_NUMBER, verb_args, "[ARG ...] (to the end: -- is one of them)"},
    {"printenv", 0, 1, verb_printenv, "[NAME]"},
    {"id", 0, 0, verb_id, ""},
    {"umask", 0, 0, verb_umask, ""},
    {"cwd", 0, 0, verb_cwd, ""},
    {"hostname", 0, 0, verb_hostname, ""},
    {"domainname", 0, 0, verb_domainname, ""},
    {"caps", 0, 0, verb_caps, ""},
    {"nonewprivs", 0, 0, verb_nonewprivs, ""},
    {"signals", 0, 0, verb_signals, ""},
    {"rlimits", 0, 0, verb_rlimits, ""},
    {"ns", 0, 0, verb_ns, ""},
    {"fds", 0, 0, verb_fds, ""},
    {"isatty", 0, 0, verb_isatty, ""},
    {"winsize", 0, 0, verb_winsize, ""},
    {"tty-name", 0, 0, verb_tty_name, ""},
    {"pid", 0, 0, verb_pid, ""},
    {"ppid", 0, 0, verb_ppid, ""},
    {"sid", 0, 0, verb_sid, ""},
    {"pgid", 0, 0, verb_pgid, ""},
    {"personality", 0, 0, verb_personality, ""},
    {"scheduler", 0, 0, verb_scheduler, ""},
    {"keyring", 0, 0, verb_keyring, ""},
    {"clock", 0, 0, verb_clock, ""},
    {0},
};
