/*
 * minirun-measure: what `minirun compare` puts in the place of the bundle's program, under every isolation the same.
 *
 *   go COMMAND ARG...   one byte to standard output, then be COMMAND: the byte is the program's first instruction
 *   calls N             N system calls that do nothing (getppid), and no more
 *   look ROUNDS         what this place looks like, and what things cost in it; then wait for the end of stdin
 *
 * `look` decides nothing: it prints files and directories as they are, "== NAME" before each, and "cost NAME NS" for
 * each round of each measurement, nanoseconds for one of it. minirun/lab reads that.
 *
 * Static, no libc, as minirun-init is: it runs in rootfs of any kind, and adds nothing to what it measures.
 */
#include "../init/init.h"

#include <linux/prctl.h>
#include <linux/time.h>

enum { SIGCHLD_NUMBER = 17 }; /* no libc's signal.h */

struct failure last_failure;

static char out[1 << 16];
static size_t filled;

static void flush(void)
{
    for (size_t at = 0; at < filled;) {
        long n = sys_write(1, out + at, filled - at);
        if (n <= 0)
            sys_exit(1);
        at += (size_t)n;
    }
    filled = 0;
}

static void put(const char *text, size_t n)
{
    if (n > sizeof out - filled)
        flush();
    for (size_t i = 0; i < n && i < sizeof out; i++)
        out[filled++] = text[i];
}

static void say(const char *text) { put(text, text_length(text)); }

static void say_number(uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    put(digits + at, sizeof digits - at);
}

static uint64_t number(const char *text)
{
    uint64_t value = 0;
    for (; text && *text >= '0' && *text <= '9'; text++)
        value = value * 10 + (uint64_t)(*text - '0');
    return value;
}

static uint64_t now(void)
{
    struct __kernel_timespec time;
    sc2(clock_gettime, 1 /* CLOCK_MONOTONIC */, P(&time));
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* -- what there is ------------------------------------------------------------------------------------------------ */

static char page[4096];

static void show_file(const char *path)
{
    say("== ");
    say(path);
    say("\n");
    int fd = (int)sc4(openat, AT_FDCWD, P(path), O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return;
    for (long n; (n = sys_read(fd, page, sizeof page)) > 0;)
        put(page, (size_t)n);
    sys_close(fd);
}

struct entry {
    uint64_t inode, offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

static void show_folder(const char *path)
{
    say("== ");
    say(path);
    say("\n");
    int fd = (int)sc4(openat, AT_FDCWD, P(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0)
        return;
    for (long n; (n = sc3(getdents64, fd, P(page), sizeof page)) > 0;)
        for (long at = 0; at < n;) {
            const struct entry *entry = (const void *)(page + at);
            if (entry->name[0] != '.') {
                say(entry->name);
                say("\n");
            }
            at += entry->length;
        }
    sys_close(fd);
}

static const char *const files[] = {"/proc/sys/kernel/osrelease", "/proc/version",    "/proc/1/comm",
                                    "/proc/self/status",          "/proc/meminfo",    "/proc/uptime",
                                    "/proc/self/cgroup",          "/proc/filesystems"};
static const char *const folders[] = {"/proc/", "/dev/", "/sys/class/", "/sys/bus/virtio/devices/"};

/* -- what things cost --------------------------------------------------------------------------------------------- */

static const char *self;

static void a_call(void) { sc0(getppid); }

static void a_process(void)
{
    static const char *const words[] = {"nothing", NULL};
    int pid = (int)sc5(clone, SIGCHLD_NUMBER, 0, 0, 0, 0);
    if (pid == 0) {
        sc3(execve, P("/proc/self/exe"), P(words), P(words + 1));
        sys_exit(127);
    }
    sc4(wait4, pid, 0, 0, 0);
}

static void a_stat(void)
{
    struct statx found;
    sys_statx(AT_FDCWD, self, 0, STATX_BASIC_STATS, &found);
}

static void a_read(void)
{
    int fd = (int)sc4(openat, AT_FDCWD, P(self), O_RDONLY | O_CLOEXEC, 0);
    sys_read(fd, page, sizeof page);
    sys_close(fd);
}

static const char *const places[] = {"/tmp/.minirun-measure", "/.minirun-measure", "/dev/.minirun-measure"};
static const char *place;

static void a_write(void)
{
    int fd = (int)sc4(openat, AT_FDCWD, P(place), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    sys_write(fd, page, sizeof page);
    sys_close(fd);
    sc3(unlinkat, AT_FDCWD, P(place), 0);
}

static bool find_place(void)
{
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        int fd = (int)sc4(openat, AT_FDCWD, P(places[i]), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd >= 0) {
            place = places[i];
            sys_close(fd);
            sc3(unlinkat, AT_FDCWD, P(place), 0);
            return true;
        }
    }
    return false;
}

static void cost(const char *name, void (*one)(void), uint64_t times)
{
    uint64_t start = now();
    for (uint64_t i = 0; i < times; i++)
        one();
    uint64_t spent = now() - start;
    say("cost ");
    say(name);
    say(" ");
    say_number(spent / times);
    say("\n");
}

static void costs(uint64_t rounds)
{
    bool writable = find_place();
    say("== costs\n");
    if (writable) {
        say("place ");
        say(place);
        say("\n");
    }
    for (uint64_t round = 0; round < rounds; round++) {
        cost("syscall", a_call, 10000);
        cost("process", a_process, 10);
        cost("stat", a_stat, 200);
        cost("read", a_read, 100);
        if (writable)
            cost("write", a_write, 50);
    }
}

/* -- the verbs ---------------------------------------------------------------------------------------------------- */

/* Two more processes, for the host to see, or not. They die with us. */
static void have_children(void)
{
    for (int i = 0; i < 2; i++)
        if (sc5(clone, SIGCHLD_NUMBER, 0, 0, 0, 0) == 0) {
            sys_prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0);
            for (;;)
                sc4(ppoll, 0, 0, 0, 0);
        }
}

static void look(uint64_t rounds)
{
    have_children();
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        show_file(files[i]);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        show_folder(folders[i]);
    costs(rounds);
    say("== ready\n");
    flush();
    while (sys_read(0, page, sizeof page) > 0)
        ;
}

/* execvp(3), in the few words that are needed here. */
static void go(const char *const *words, const char *const *environment)
{
    char path[PATH_SIZE];
    const char *folders_of_path = "/bin";
    for (size_t i = 0; environment[i]; i++)
        if (text_starts(environment[i], "PATH="))
            folders_of_path = environment[i] + 5;
    sys_write(1, "\xff", 1);
    if (text_first(words[0], '/'))
        sc3(execve, P(words[0]), P(words), P(environment));
    for (const char *at = folders_of_path; !text_first(words[0], '/');) {
        size_t n = 0;
        while (at[n] && at[n] != ':' && n < sizeof path - 1) {
            path[n] = at[n];
            n++;
        }
        path[n] = '\0';
        char whole[PATH_SIZE];
        if (text_join(whole, sizeof whole, path, "/", words[0]) == 0)
            sc3(execve, P(whole), P(words), P(environment));
        if (!at[n])
            break;
        at += n + 1;
    }
    static const char sorry[] = "minirun-measure: there is no such program in the bundle\n";
    sys_write(2, sorry, sizeof sorry - 1);
    sys_exit(127);
}

__attribute__((used)) void entry(long *stack)
{
    const char *const *argv = (const void *)(stack + 1);
    long argc = *stack;
    const char *verb = argc > 1 ? argv[1] : "";
    self = argv[0];
    if (text_equal(verb, "go") && argc > 2)
        go(argv + 2, argv + argc + 1);
    else if (text_equal(verb, "calls") && argc > 2)
        for (uint64_t n = number(argv[2]); n; n--)
            a_call();
    else if (text_equal(verb, "look"))
        look(argc > 2 ? number(argv[2]) : 1);
    sys_exit(0);
}

#ifdef __x86_64__
__asm__(".globl _start\n_start:\n xor %ebp,%ebp\n mov %rsp,%rdi\n and $-16,%rsp\n call entry\n");
#else
__asm__(".globl _start\n_start:\n mov x29,#0\n mov x0,sp\n b entry\n");
#endif
