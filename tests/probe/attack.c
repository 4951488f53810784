/* The verb of a container that waits for somebody to exec into it, and reaches for what he brings along. */
#define _GNU_SOURCE
#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int attempt(const char *what, const char *path, int flags)
{
    int fd = open(path, flags | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -1;
    printf("opened %s\n", what);
    return fd;
}

/* Does a directory lead to the host's file?  `from` is a descriptor, or AT_FDCWD with a path in `path`. */
static void climb(const char *what, int from, const char *path)
{
    int fd = openat(from, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    printf("ESCAPED by %s\n", what);
    close(fd);
}

/* What /proc/PID/status says of rights: only the lines that tell. */
static void print_rights(const char *pid)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%s/status", pid);
    FILE *status = fopen(path, "r");
    if (!status)
        return;
    while (fgets(line, sizeof line, status))
        if (!strncmp(line, "CapPrm:", 7) || !strncmp(line, "CapEff:", 7))
            printf("rights %.16s\n", line + 8);
    fclose(status);
}

/* Its descriptors, by the link and by pidfd_getfd(2): can a directory be climbed, a sealed file be written? */
static void take_descriptors(const char *pid, const char *canary)
{
    char folder[64], link[PATH_MAX], above[PATH_MAX];
    int pidfd = (int)syscall(SYS_pidfd_open, atoi(pid), 0);
    snprintf(folder, sizeof folder, "/proc/%s/fd", pid);
    snprintf(above, sizeof above, "../../../../../../../..%s", canary);
    DIR *all = opendir(folder);
    for (struct dirent *entry; all && (entry = readdir(all));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(link, sizeof link, "%s/%s", folder, entry->d_name);
        const char *target = link_target(link);
        if (target && strstr(target, "memfd:minirun")) {
            int fd = open(link, O_RDWR | O_CLOEXEC);
            printf("memfd %s\n", fd < 0 ? errno_name(errno) : verdict((int)write(fd, "x", 1)));
            if (fd >= 0)
                close(fd);
        }
        int taken = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, atoi(entry->d_name), 0);
        if (taken >= 0) {
            printf("took %s\n", target ? target : "?");
            climb("a descriptor", taken, above);
            close(taken);
        }
    }
    if (all)
        closedir(all);
    if (pidfd >= 0)
        close(pidfd);
}

static void reach_for(const char *pid, const char *canary)
{
    char path[PATH_MAX];
    printf("seen\n");
    print_rights(pid);
    int traced = ptrace(PTRACE_SEIZE, atoi(pid), NULL, NULL) == 0;
    if (traced) {
        printf("traced\n");
        ptrace(PTRACE_INTERRUPT, atoi(pid), NULL, NULL);
        waitpid(atoi(pid), NULL, __WALL);
        print_rights(pid);
    }
    snprintf(path, sizeof path, "/proc/%s/exe", pid);
    int exe = attempt("exe for writing", path, O_RDWR);
    if (exe >= 0) {
        printf("exe %s\n", verdict((int)write(exe, "x", 1)));
        close(exe);
    }
    snprintf(path, sizeof path, "/proc/%s/root%s", pid, canary);
    climb("its root", AT_FDCWD, path);
    snprintf(path, sizeof path, "/proc/%s/cwd/../../../../../../..%s", pid, canary);
    climb("its working directory", AT_FDCWD, path);
    take_descriptors(pid, canary);
    if (traced)
        ptrace(PTRACE_DETACH, atoi(pid), NULL, NULL);
    fflush(stdout);
}

/* For SECONDS: whoever appears in our pid namespace is reached for, again and again while he is young. */
static void verb_ambush(char **args)
{
    unsigned long long seconds = number(args[0]);
    time_t end = time(NULL) + (time_t)seconds;
    signal(SIGCHLD, SIG_DFL);
    while (time(NULL) < end) {
        DIR *proc = opendir("/proc");
        for (struct dirent *entry; proc && (entry = readdir(proc));) {
            int pid = atoi(entry->d_name);
            if (pid > 0 && pid != getpid())
                reach_for(entry->d_name, args[1]);
        }
        if (proc)
            closedir(proc);
        while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
            ;
    }
}

const struct verb attack_verbs[] = {
    {"ambush", 2, 2, verb_ambush, "SECONDS CANARY (a file of the host)"},
    {0},
};
