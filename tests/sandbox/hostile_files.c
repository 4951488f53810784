/* The rest of hostile.c: what needs threads and files. */
#define _GNU_SOURCE
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static volatile int over, escaped;
static char flipping[64];
static struct iovec shared[2];
static char *arena;

/* Is this the memory of a process, or what else may not be opened?  Then somebody is out. */
static void look_at(int fd)
{
    char name[32], where[256];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(name, where, sizeof where - 1);
    if (size <= 0)
        return;
    where[size] = 0;
    if (strstr(where, "/mem") || strstr(where, "kvm"))
        escaped++;
}

static void *flip(void *unused)
{
    (void)unused;
    while (!over) {
        strcpy(flipping, "/tmp/short");
        strcpy(flipping, "/proc/self/mem");
        shared[0].iov_base = (void *)END;
        shared[0].iov_len = 1 << 20;
        shared[0].iov_base = arena;
        shared[0].iov_len = 100;
    }
    return NULL;
}

static void *opens(void *unused)
{
    (void)unused;
    while (!over) {
        int fd = open(flipping, O_RDWR | O_CREAT, 0600);
        if (fd >= 0) {
            look_at(fd);
            readv(fd, shared, 1);
            writev(fd, shared, 1);
            dup2(fd, 100);
            close(fd);
        }
    }
    return NULL;
}

/* A number that is closed all the time: what is behind it when the call begins? */
static void *stale(void *unused)
{
    (void)unused;
    char room[64];
    while (!over) {
        int fd = open("/proc/self/mem", O_RDWR);
        if (fd >= 0)
            escaped++;
        for (int number = 3; number < 12; number++)
            if (pread(number, room, sizeof room, 0x7f0000000000) > 0)
                escaped++;
    }
    return NULL;
}

static void *moves(void *unused)
{
    (void)unused;
    while (!over) {
        char *one = mmap(NULL, 16 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (one == MAP_FAILED)
            continue;
        memset(one, 0x5a, 16 * 4096);
        mprotect(one + 4096, 8192, PROT_READ);
        char *two = mremap(one, 4096, 4096 * 4, MREMAP_MAYMOVE);
        if (two != MAP_FAILED) {
            if (two[0] != 0x5a)
                escaped++;
            munmap(two, 4 * 4096);
        }
        munmap(one + 4096, 15 * 4096);
        madvise(arena, 8192, MADV_DONTNEED);
    }
    return NULL;
}

static struct msghdr message;
static char control[4096];

/* The size of what is passed, and the numbers in it: two readings of one structure would differ. */
static void *grows(void *unused)
{
    (void)unused;
    while (!over) {
        message.msg_controllen = 24;
        message.msg_controllen = 4096;
        message.msg_iovlen = 1;
        message.msg_iovlen = 1000;
        ((int *)control)[4] = 3 + (int)(any() % 8);
    }
    return NULL;
}

static void *passes(void *unused)
{
    (void)unused;
    int pair[2], got[64] = {0};
    socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair);
    message.msg_iov = shared;
    message.msg_iovlen = 1;
    message.msg_control = control;
    for (int at = 0; at < 4096; at += 24)
        *(struct cmsghdr *)(control + at) = (struct cmsghdr){20, SOL_SOCKET, SCM_RIGHTS};
    while (!over) {
        struct iovec one = {got, sizeof got};
        static char into[4096];
        struct msghdr taken = {
            .msg_iov = &one, .msg_iovlen = 1, .msg_control = into, .msg_controllen = sizeof into};
        sendmsg(pair[0], &message, 0);
        if (recvmsg(pair[1], &taken, 0) >= 0)
            for (struct cmsghdr *c = CMSG_FIRSTHDR(&taken); c; c = CMSG_NXTHDR(&taken, c))
                if (c->cmsg_type == SCM_RIGHTS) {
                    look_at(*(int *)CMSG_DATA(c));
                    close(*(int *)CMSG_DATA(c));
                }
        recvmsg(pair[1], &message, 0);
    }
    return NULL;
}

static void *forks(void *unused)
{
    (void)unused;
    while (!over) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        if (pid > 0)
            waitpid(pid, NULL, 0);
        struct timespec span = {0, 20000000};
        nanosleep(&span, NULL);
    }
    return NULL;
}

void races(int seconds)
{
    void *(*const kinds[])(void *) = {flip, opens, opens, stale, moves, moves, forks, grows, passes};
    pthread_t made[sizeof kinds / sizeof *kinds];
    arena = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
        pthread_create(&made[i], NULL, kinds[i], NULL);
    struct timespec span = {seconds, 0};
    nanosleep(&span, NULL);
    over = 1;
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
        pthread_join(made[i], NULL);
    say("escaped %d\n", escaped);
}

void maps(void)
{
    int made = 0;
    for (int i = 0; i < 4000; i++)
        made += mmap((void *)(0x200000000 + (uint64_t)i * 8192), 4096, PROT_READ,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
    say("made %d\n", made);
    say("all of it %d\n", munmap((void *)0x200000000, 4000 * 8192));
    say("huge %d\n", mmap(NULL, 40ull << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    void *big = mmap(NULL, 20ull << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    say("big %d\n", big != MAP_FAILED && munmap(big, 20ull << 30) == 0);
    int zero = open("/dev/zero", O_RDONLY); /* the stack ends there: over its end, into what is the system's */
    say("beyond %zd\n", read(zero, (char *)END - 8, 64 << 20));
    const uint64_t places[] = {0, 4096, END, SYSTEM, 32ull << 30, 1ull << 47, -4096ull};
    char *from = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
        char *at = (char *)places[i];
        int fixed =
            mmap(at, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
        int moved = mremap(from, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, at) != MAP_FAILED;
        if (moved)
            mremap(at, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, from);
        say("%#lx: %d %d\n", (unsigned long)places[i], fixed, moved);
        mprotect(at, 1ull << 40, PROT_READ | PROT_WRITE);
        madvise(at, 1ull << 35, MADV_DONTNEED);
        munmap(at, 1ull << 40);
    }
}

static void *idles(void *gate)
{
    pthread_mutex_lock(gate);
    pthread_mutex_unlock(gate);
    return NULL;
}

static void deep(int depth)
{
    char room[4096];
    memset(room, depth, sizeof room);
    deep(depth + 1);
    __asm__ volatile("" ::"r"(room));
}

void crowd(void)
{
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    pthread_t made[100];
    int count = 0;
    pthread_mutex_lock(&gate);
    while (count < 100 && pthread_create(&made[count], NULL, idles, &gate) == 0)
        count++;
    say("threads %d\n", count >= 20 && count < 100);
    pid_t pid = child();
    if (pid == 0)
        _exit(7);
    say("fork among them %d\n", ended(pid, 3000));
    pthread_mutex_unlock(&gate);
    for (int i = 0; i < count; i++)
        pthread_join(made[i], NULL);
    int opened = 0;
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){1000, 1000});
    while (opened < 70000 && dup(0) >= 0)
        opened++;
    say("descriptors %d\n", opened);
    int reopened = open("/dev/null", O_RDONLY);
    closefrom(3);
    say("then %d %d\n", reopened < 0, open("/dev/null", O_RDONLY) == 3);
    pid = child();
    if (pid == 0)
        deep(0);
    say("deep %d\n", ended(pid, 5000));
    int bombs = 0;
    pid_t born[60];
    while (bombs < 60 && (born[bombs] = fork()) >= 0) {
        if (born[bombs] == 0) {
            pause();
            _exit(0);
        }
        bombs++;
    }
    say("bombs %d\n", bombs > 3);
    for (int i = 0; i < bombs; i++)
        kill(born[i], SIGKILL);
    for (int i = 0; i < bombs; i++)
        waitpid(born[i], NULL, 0);
}

void files(const char *own, long from, long count)
{
    int fd = open(own, O_RDONLY);
    static char head[1 << 20];
    ssize_t size = read(fd, head, sizeof head);
    for (long i = 0; i < count; i++) {
        pid_t pid = child();
        if (pid == 0) {
            seed((uint64_t)(from + i));
            char name[32];
            snprintf(name, sizeof name, "/tmp/elf%ld", i);
            for (uint64_t n = 1 + any() % 6; n; n--) { /* in the header, and in the table of segments behind it */
                uint64_t at = any() % 3 ? 64 + any() % 500 : any() % 64;
                uint64_t value = any() % 3 ? any() : (uint64_t[]){0,   -1ull, 1ull << 63, SYSTEM,
                                                                  END, 1,     4096,       1ull << 40}[any() % 8];
                memcpy(head + at, &value, any() % 2 ? 8 : 1 + any() % 4);
            }
            if (any() % 16 == 0)
                size = (ssize_t)(any() % 4096);
            if (any() % 16 == 0)
                size = snprintf(head, 64, "#!%s %lx\n", name, (unsigned long)any()); /* names itself */
            int out = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0700);
            write(out, head, (size_t)size);
            close(out);
            execve(name, (char *[]){name, NULL}, (char *[]){NULL});
            unlink(name);
            _exit(0);
        }
        int status = ended(pid, 1000);
        if (status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 125)
            say("a VMM ended at %ld\n", from + i);
    }
    say("files %ld\n", count);
}
