/* Verbs about paths: what is there, who owns it, what may be done to it; and the usual files of /proc. */
#define _GNU_SOURCE
#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static void verb_cat(char **args) { print_file(args[0]); }

/* One write(2): files of /proc and cgroup take a value whole or not at all. */
static void put(const char *path, const char *text, int flags)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0666);
    if (fd < 0)
        die(path);
    ssize_t size = write(fd, text, strlen(text));
    if (size < 0)
        die(path);
    if ((size_t)size < strlen(text))
        die_because(path, "short write");
    if (close(fd))
        die(path);
}

static void verb_write(char **args) { put(args[0], args[1], O_TRUNC); }

static void verb_append(char **args) { put(args[0], args[1], O_APPEND); }

static int not_dots(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
}

static void verb_ls(char **args)
{
    struct dirent **names;
    int count = scandir(args[0], &names, not_dots, alphasort);
    if (count < 0)
        die(args[0]);
    for (int i = 0; i < count; i++) {
        puts(names[i]->d_name);
        free(names[i]);
    }
    free(names);
}

static const char *type_name(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "file";
    case S_IFDIR:
        return "dir";
    case S_IFLNK:
        return "link";
    case S_IFCHR:
        return "char";
    case S_IFBLK:
        return "block";
    case S_IFIFO:
        return "fifo";
    case S_IFSOCK:
        return "socket";
    }
    return "unknown";
}

/* lstat: a symbolic link is described, not followed. */
static void verb_stat(char **args)
{
    struct stat st;
    if (lstat(args[0], &st))
        die(args[0]);
    printf("%s %04o %u %u %u:%u %lld\n", type_name(st.st_mode), st.st_mode & 07777, st.st_uid, st.st_gid,
           major(st.st_rdev), minor(st.st_rdev), (long long)st.st_size);
}

static void verb_readlink(char **args)
{
    const char *target = link_target(args[0]);
    if (!target)
        die(args[0]);
    puts(target);
}

static void verb_access(char **args)
{
    int mode = F_OK;
    for (const char *letter = args[1]; *letter; letter++) {
        if (!strchr("rwx", *letter))
            die_because(args[1], "not made of r, w and x");
        mode |= *letter == 'r' ? R_OK : *letter == 'w' ? W_OK : X_OK;
    }
    puts(verdict(access(args[0], mode)));
}

/* O_NONBLOCK: a FIFO or a terminal must not hold the test up. */
static const char *try_open(const char *path, int flags)
{
    int fd = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    const char *answer = verdict(fd);
    if (fd >= 0)
        close(fd);
    return answer;
}

static void verb_openrw(char **args) { puts(try_open(args[0], O_RDWR)); }

/* CVE-2019-5736: a container that can write to the runtime's own binary owns the host. */
static void verb_readexe(char **args)
{
    (void)args;
    const char *target = link_target("/proc/1/exe");
    printf("target %s\n", target ? target : errno_name(errno));
    printf("/proc/1/exe %s\n", try_open("/proc/1/exe", O_WRONLY));
    printf("/proc/self/exe %s\n", try_open("/proc/self/exe", O_WRONLY));
}

static void verb_mknod(char **args)
{
    static const mode_t types[] = {S_IFCHR, S_IFBLK, S_IFIFO};
    const char *letters = "cbp", *found = strchr(letters, args[1][0]);
    if (strlen(args[1]) != 1 || !found)
        die_because(args[1], "not one of c, b and p");
    if (*found != 'p' && (!args[2] || !args[3]))
        die_because(args[0], "a device needs MAJOR and MINOR");
    dev_t device = *found == 'p' ? 0 : makedev((unsigned)number(args[2]), (unsigned)number(args[3]));
    if (mknod(args[0], types[found - letters] | 0666, device))
        die(args[0]);
}

static void verb_mount(char **args)
{
    if (mount(args[0], args[1], args[2], (unsigned long)number(args[3]), NULL))
        die(args[1]);
}

static void verb_umount(char **args)
{
    if (umount2(args[0], UMOUNT_NOFOLLOW))
        die(args[0]);
}

/* Masked files are bind mounts of the null device: if it were any other, so would they be. */
static void verb_devnull_check(char **args)
{
    (void)args;
    static const char path[] = "/dev/null";
    char byte;
    struct stat st;
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st))
        die(path);
    if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
        die_because(path, "not character device 1:3");
    if (write(fd, "x", 1) != 1)
        die_because(path, "does not take a byte");
    if (read(fd, &byte, 1) != 0)
        die_because(path, "is not at its end");
    close(fd);
    puts("ok");
}

/* As sysctl(8): dots separate, and a slash is a dot inside a name (net.ipv4.conf.eth0/1.forwarding). */
static void verb_sysctl(char **args)
{
    char path[PATH_MAX];
    static const char proc_sys[] = "/proc/sys/";
    int size = snprintf(path, sizeof(path), "%s%s", proc_sys, args[0]);
    if (size >= (int)sizeof(path)) {
        errno = ENAMETOOLONG;
        die(args[0]);
    }
    for (char *c = path + strlen(proc_sys); *c; c++)
        *c = *c == '.' ? '/' : *c == '/' ? '.' : *c;
    print_file(path);
}

static void verb_status(char **args)
{
    (void)args;
    print_file("/proc/self/status");
}

static void verb_mountinfo(char **args)
{
    (void)args;
    print_file("/proc/self/mountinfo");
}

static void verb_cgroup(char **args)
{
    (void)args;
    print_file("/proc/self/cgroup");
}

static void verb_time_offsets(char **args)
{
    (void)args;
    print_file("/proc/self/timens_offsets");
}

static void verb_oomscore(char **args)
{
    (void)args;
    print_file("/proc/self/oom_score_adj");
}

const struct verb file_verbs[] = {
    {"cat", 1, 1, verb_cat, "FILE"},
    {"write", 2, 2, verb_write, "FILE TEXT"},
    {"append", 2, 2, verb_append, "FILE TEXT"},
    {"ls", 1, 1, verb_ls, "DIR"},
    {"stat", 1, 1, verb_stat, "FILE"},
    {"readlink", 1, 1, verb_readlink, "FILE"},
    {"access", 2, 2, verb_access, "FILE [r][w][x]"},
    {"openrw", 1, 1, verb_openrw, "FILE"},
    {"readexe", 0, 0, verb_readexe, ""},
    {"mknod", 2, 4, verb_mknod, "FILE c|b|p MAJOR MINOR"},
    {"mount", 4, 4, verb_mount, "SOURCE TARGET TYPE FLAGS"},
    {"umount", 1, 1, verb_umount, "TARGET"},
    {"devnull-check", 0, 0, verb_devnull_check, ""},
    {"sysctl", 1, 1, verb_sysctl, "NAME"},
    {"status", 0, 0, verb_status, ""},
    {"mountinfo", 0, 0, verb_mountinfo, ""},
    {"cgroup", 0, 0, verb_cgroup, ""},
    {"time-offsets", 0, 0, verb_time_offsets, ""},
    {"oomscore", 0, 0, verb_oomscore, ""},
    {0},
};
