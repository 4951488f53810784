/* Verbs that do something: wait, die, use up memory and processes, talk to themselves, try to break out. */
#define _GNU_SOURCE
#include "probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void verb_exit(char **args) { exit((int)number(args[0]) & 0xff); }

static void verb_sleep(char **args)
{
    char *end;
    double seconds = strtod(args[0], &end);
    if (end == args[0] || *end || !(seconds >= 0 && seconds < 1e9))
        die_because(args[0], "not a number of seconds");
    struct timespec left = {.tv_sec = (time_t)seconds};
    left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
    while (nanosleep(&left, &left))
        if (errno != EINTR)
            die(args[0]);
}

static void reap(void)
{
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

/* Signals are blocked, then fetched: the kernel drops those that PID 1 neither handles nor blocks. */
static void block(const sigset_t *set)
{
    if (sigprocmask(SIG_BLOCK, set, NULL))
        die(NULL);
}

/* An interrupted wait (a debugger, a freezer) is no answer. */
static int next_signal(const sigset_t *set)
{
    int number;
    while ((number = sigwaitinfo(set, NULL)) < 0)
        if (errno != EINTR)
            die(NULL);
    return number;
}

static void verb_pause(char **args)
{
    (void)args;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGCHLD);
    block(&set);
    do
        reap(); /* also those that ended before we blocked SIGCHLD */
    while (next_signal(&set) != SIGTERM);
    exit(0);
}

static void print_signal(int number)
{
    const char *name = sigabbrev_np(number);
    if (name)
        printf("SIG%s %d\n", name, number);
    else
        printf("SIGRTMIN+%d %d\n", number - SIGRTMIN, number);
    if (fflush(stdout))
        die("stdout");
}

static void verb_trap(char **args)
{
    (void)args;
    int number;
    sigset_t set;
    sigfillset(&set);
    block(&set);
    puts("ready");
    if (fflush(stdout))
        die("stdout");
    do {
        number = next_signal(&set);
        print_signal(number);
        reap();
    } while (number != SIGTERM);
    exit(0);
}

/* The memory stays: chain `pause` to look at it from outside. */
static void verb_memhog(char **args)
{
    size_t size = (size_t)number(args[0]), page = (size_t)sysconf(_SC_PAGESIZE);
    volatile char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        die(args[0]);
    for (size_t at = 0; at < size; at += page)
        memory[at] = 1;
    puts("touched");
}

/* The children stay as well, until the probe ends. */
static void verb_forkbomb(char **args)
{
    unsigned long long wanted = number(args[0]), made = 0;
    pid_t parent = getpid();
    while (made < wanted) {
        pid_t child = fork();
        if (child < 0)
            break;
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            while (getppid() == parent) /* it may have ended before prctl */
                pause();
            _exit(0);
        }
        made++;
    }
    printf("%llu\n", made);
}

static double now(void)
{
    struct timespec is;
    clock_gettime(CLOCK_MONOTONIC, &is);
    return (double)is.tv_sec + (double)is.tv_nsec / 1e9;
}

/* All the CPU that there is to be had; how far it got says how much that was. */
static void verb_spin(char **args)
{
    double end = now() + (double)number(args[0]);
    unsigned long long rounds = 0;
    while (now() < end)
        for (volatile int i = 0; i < 1000; i++)
            rounds++;
    printf("%llu\n", rounds);
}

static void bus_error(int number)
{
    (void)number;
    static const char text[] = "SIGBUS\n";
    if (write(1, text, sizeof text - 1) < 0)
        _exit(1);
    _exit(0);
}

/* Huge pages of 2 MiB: reserving them may be refused (ENOMEM), or the first touch (SIGBUS). */
static void verb_hugepage(char **args)
{
    size_t size = (size_t)number(args[0]) << 21;
    signal(SIGBUS, bus_error);
    volatile char *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    if (memory == MAP_FAILED) {
        puts(errno_name(errno));
        return;
    }
    for (size_t at = 0; at < size; at += 1u << 21)
        memory[at] = 1;
    puts("touched");
}

/* Past the page cache, 64 KiB at a time: what io.max counts, as it happens. */
static void verb_diskwrite(char **args)
{
    enum { CHUNK = 65536 };
    static _Alignas(4096) char buffer[CHUNK];
    unsigned long long size = number(args[1]);
    double began = now();
    int fd = open(args[0], O_WRONLY | O_CREAT | O_TRUNC | O_DIRECT | O_CLOEXEC, 0600);
    if (fd < 0)
        die(args[0]);
    for (unsigned long long done = 0; done < size; done += CHUNK)
        if (write(fd, buffer, CHUNK) != CHUNK)
            die(args[0]);
    close(fd);
    printf("%.0f\n", (now() - began) * 1000);
}

static void verb_sethostname(char **args)
{
    if (sethostname(args[0], strlen(args[0])))
        die(args[0]);
}

/* Listen on 127.0.0.1, connect to it; 0, or -1 with errno. */
static int connect_to_self(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    const struct timeval patience = {.tv_sec = 2};
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server < 0 || client < 0)
        die("socket");
    int result = 0;
    if (bind(server, (struct sockaddr *)&address, size) || listen(server, 1) ||
        getsockname(server, (struct sockaddr *)&address, &size) ||
        setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) ||
        connect(client, (struct sockaddr *)&address, size))
        result = -1;
    int error = errno;
    close(client);
    close(server);
    errno = error;
    return result;
}

static void verb_loopback(char **args)
{
    (void)args;
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request))
        die("lo");
    close(fd);
    printf("%s %s\n", request.ifr_flags & IFF_UP ? "up" : "down", verdict(connect_to_self()));
}

static bool same_root(const struct statx *a, const struct statx *b)
{
    return a->stx_ino == b->stx_ino && a->stx_dev_major == b->stx_dev_major &&
           a->stx_dev_minor == b->stx_dev_minor && a->stx_mnt_id == b->stx_mnt_id;
}

/* Any directory will do as a new root, as long as the working directory is outside it. */
static int chroot_somewhere(int root)
{
    static const char *const likely[] = {"/dev", "/proc", "/tmp"};
    for (size_t i = 0; i < sizeof(likely) / sizeof(likely[0]); i++) {
        if (!chroot(likely[i]))
            return 0;
        if (errno != ENOENT)
            return -1;
    }
    if (mkdir("/escape", 0700))
        return -1;
    int result = chroot("/escape"), error = errno;
    unlinkat(root, "escape", AT_REMOVEDIR);
    errno = error;
    return result;
}

/*
 * The classic: root moves below the working directory, so ".." never meets it and climbs to the top of the
 * mount namespace.  Where that is the container's own root (pivot_root) there is nothing to climb to; where
 * it is the host's (chroot), we are out.  The process stays where it ended: chain `ls /` to look around.
 */
static void verb_chroot_escape(char **args)
{
    (void)args;
    const unsigned wanted = STATX_INO | STATX_MNT_ID;
    struct statx before, after;
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || chdir("/") || statx(AT_FDCWD, "/", 0, wanted, &before))
        die("/");
    if (chroot_somewhere(root)) {
        printf("contained: chroot %s\n", errno_name(errno));
        close(root);
        return;
    }
    for (int i = 0; i < 64; i++)
        if (chdir(".."))
            break;
    if (chroot(".") || statx(AT_FDCWD, "/", 0, wanted, &after))
        die("/");
    puts(same_root(&before, &after) ? "contained" : "escaped");
    close(root);
}

/* sd_notify(3), without its library. */
static void verb_notify(char **args)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || strlen(path) >= sizeof address.sun_path)
        die_because("NOTIFY_SOCKET", "no path of a socket");
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || sendto(fd, args[0], strlen(args[0]), 0, (struct sockaddr *)&address, sizeof address) < 0)
        die(path);
    close(fd);
}

const struct verb act_verbs[] = {
    {"exit", 1, 1, verb_exit, "N"},
    {"sleep", 1, 1, verb_sleep, "SECONDS"},
    {"pause", 0, 0, verb_pause, ""},
    {"trap", 0, 0, verb_trap, ""},
    {"memhog", 1, 1, verb_memhog, "BYTES"},
    {"forkbomb", 1, 1, verb_forkbomb, "N"},
    {"spin", 1, 1, verb_spin, "SECONDS"},
    {"hugepage", 1, 1, verb_hugepage, "COUNT"},
    {"diskwrite", 2, 2, verb_diskwrite, "FILE BYTES"},
    {"sethostname", 1, 1, verb_sethostname, "NAME"},
    {"loopback", 0, 0, verb_loopback, ""},
    {"notify", 1, 1, verb_notify, "MESSAGE"},
    {"chroot-escape", 0, 0, verb_chroot_escape, ""},
    {0},
};
