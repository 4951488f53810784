#include "semantics.h"

#include <sys/resource.h>

static void remap(void)
{
    char *at = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    strcpy(at, "first");
    strcpy(at + 4096, "second");
    char *moved = mremap(at, 8192, 1 << 20, MREMAP_MAYMOVE);
    printf("  grown %s %s %d\n", moved, moved + 4096, moved[500000]);
    char *target = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *there = mremap(moved, 8192, 8192, MREMAP_MAYMOVE | MREMAP_FIXED, target);
    printf("  fixed %d %s\n", there == target, there + 4096);
    SAY(mremap(there, 8192, 4096, 0) == there);
    SAY(mremap(there, 4096, 1 << 30, 0) == MAP_FAILED ? -1 : 0);
    SAY(mremap((char *)0x20000, 4096, 8192, MREMAP_MAYMOVE) == MAP_FAILED ? -1 : 0);
    SAY(mremap(there + 1, 4096, 8192, MREMAP_MAYMOVE) == MAP_FAILED ? -1 : 0);
    SAY(mremap(there, 4096, 0, MREMAP_MAYMOVE) == MAP_FAILED ? -1 : 0);
}

static void maps(void)
{
    SAY(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0);
    SAY(mmap(NULL, 4096, PROT_READ, MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0);
    SAY(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, -1, 0) == MAP_FAILED ? -1 : 0);
    SAY(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 0x7fff, 0) == MAP_FAILED ? -1 : 0);
    int fd = open("/tmp/mapped", O_RDWR | O_CREAT | O_TRUNC, 0600);
    write(fd, "contents", 8);
    SAY(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 123) == MAP_FAILED ? -1 : 0);
    int reader = open("/tmp/mapped", O_RDONLY);
    SAY(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, reader, 0) == MAP_FAILED ? -1 : 0);
    char *own = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, reader, 0);
    own[0] = 'C';
    char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    shared[1] = 'O';
    msync(shared, 4096, MS_SYNC);
    char text[9] = {0};
    pread(fd, text, 8, 0);
    printf("  %.8s %s\n", own, text);
    close(fd);
    printf("  after close %.8s\n", shared);
    char *a = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    a[4096] = 7;
    SAY(munmap(a, 4096));
    SAY(munmap(a, 4096));
    SAY(munmap(a + 1, 4096));
    SAY(mprotect(a, 4096, PROT_READ));
    SAY(mprotect(a + 4096, 4096, PROT_READ));
    SAY(mprotect(a + 4097, 4096, PROT_READ));
    SAY(mmap(a + 4096, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED
            ? -1
            : 0);
    SAY(mmap(a, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == a);
    SAY(mmap(a + 1, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ? -1 : 0);
    SAY(madvise(a + 8192, 4096, MADV_DONTNEED));
    SAY(madvise(a + 8193, 4096, MADV_DONTNEED));
    SAY(madvise(a + 8192, 4096, 9999));
    unlink("/tmp/mapped");
}

static void shared_by_fork(void)
{
    volatile int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    volatile int *own = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    shared[0] = own[0] = 1;
    pid_t pid = fork();
    if (pid == 0) {
        shared[0] = 2;
        own[0] = 2;
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    printf("  shared %d, own %d\n", shared[0], own[0]);
    SAY(madvise((void *)own, 4096, MADV_DONTFORK));
    SAY(madvise((void *)shared, 4096, MADV_DONTNEED));
    printf("  shared %d\n", shared[0]);
    SAY(madvise((void *)own, 4096, MADV_DONTNEED));
    printf("  own %d\n", own[0]);
}

static void code(void)
{
    unsigned char bytes[] = {0xb8, 42, 0, 0, 0, 0xc3};
    unsigned char *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(at, bytes, sizeof bytes);
    SAY(mprotect(at, 4096, PROT_READ | PROT_EXEC));
    SAY(((int (*)(void))at)());
    SAY(mprotect(at, 4096, PROT_READ | PROT_WRITE | PROT_EXEC));
    at[1] = 43;
    SAY(((int (*)(void))at)());
}

static void the_break(void)
{
    char *now = sbrk(0);
    SAY(brk(now + 100000));
    now[99999] = 1;
    SAY(brk(now));
    SAY(brk(now + (1l << 45)));
    SAY(brk((char *)4096));
    SAY((char *)sbrk(0) == now);
}

static void kernel_looks(void)
{
    int ends[2];
    pipe(ends);
    char *only = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SAY(write(ends[1], "abc", 3));
    SAY(read(ends[0], only, 3));
    SAY(read(ends[0], (char *)0x10, 3));
    SAY(read(ends[0], (char *)-4096, 3));
    SAY(write(ends[1], (char *)1, 3));
    SAY(open((char *)1, O_RDONLY));
    SAY(open((char *)0xffff800000000000, O_RDONLY));
    SAY(syscall(SYS_stat, "/", 1));
    SAY(syscall(SYS_clock_gettime, 0, 1));
    SAY(syscall(SYS_nanosleep, 1, 0));
    SAY(syscall(SYS_pipe2, 8, 0));
    SAY(syscall(SYS_poll, 8, 1, 0));
    SAY(syscall(SYS_rt_sigaction, 10, 8, 0, 8));
    SAY(syscall(SYS_execve, 8, 0, 0));
    SAY(syscall(SYS_uname, 0));
    SAY(syscall(SYS_getcwd, 0, 10));
    char room[8];
    SAY(syscall(SYS_getcwd, room, 1));
    SAY(syscall(SYS_wait4, 0, 0, 0, 0));
    SAY(syscall(SYS_futex, 1, 0, 0, 0, 0, 0));
    SAY(syscall(SYS_getrandom, 1, 10, 0));
    SAY(syscall(9999));
    SAY(syscall(-1));
    SAY(syscall(SYS_set_robust_list, 0, 1));
    SAY(read(ends[0], room, 8));
}

static void limits(void)
{
    struct rlimit limit;
    SAY(getrlimit(RLIMIT_STACK, &limit));
    printf("  stack %ld\n", (long)limit.rlim_cur);
    SAY(getrlimit(9999, &limit));
    limit.rlim_cur = 2;
    limit.rlim_max = 1;
    SAY(setrlimit(RLIMIT_CORE, &limit));
    limit.rlim_cur = limit.rlim_max = 10;
    SAY(setrlimit(RLIMIT_NOFILE, &limit));
    int last = 0, fd;
    while ((fd = dup(1)) >= 0)
        last = fd;
    SAY(fd);
    printf("  last %d\n", last);
    SAY(fcntl(1, F_DUPFD, 10));
    SAY(fcntl(1, F_DUPFD, 9));
    SAY(dup2(1, 10));
    SAY(open("/", O_RDONLY));
    int ends[2];
    SAY(pipe(ends));
    close(last);
    SAY(pipe(ends));
    SAY(open("/", O_RDONLY) == last);
    limit.rlim_max = 20;
    limit.rlim_cur = 15;
    SAY(prlimit(0, RLIMIT_NOFILE, &limit, NULL));
    limit.rlim_cur = limit.rlim_max = 64 << 20;
    SAY(setrlimit(RLIMIT_AS, &limit));
    SAY(mmap(NULL, 65 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0);
    SAY(mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0);
    limit.rlim_cur = limit.rlim_max = 8 << 20;
    SAY(setrlimit(RLIMIT_DATA, &limit));
    SAY(brk((char *)sbrk(0) + (16 << 20)));
    SAY(brk((char *)sbrk(0) + (1 << 20)));
}

static void lasting(void)
{
    unsigned char vector[4];
    char *at = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    at[0] = 1;
    SAY(mincore(at, 3 * 4096, vector));
    printf("  resident %d %d\n", vector[0] & 1, vector[1] & 1);
    SAY(mincore(at + 1, 4096, vector));
    SAY(mlock(at, 4096));
    SAY(munlock(at, 4096));
    SAY(msync(at, 4096, MS_ASYNC | MS_SYNC));
    SAY(msync(at, 3 * 4096, MS_SYNC));
    munmap(at + 4096, 4096);
    SAY(msync(at, 3 * 4096, MS_SYNC));
}

const struct check OF_MEMORY[] = {{"remap", remap},   {"maps", maps},           {"shared_by_fork", shared_by_fork},
                                  {"code", code},     {"the_break", the_break}, {"kernel_looks", kernel_looks},
                                  {"limits", limits}, {"lasting", lasting},     {NULL, NULL}};
