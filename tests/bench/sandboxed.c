/* What a call, a fork and a clone cost a program, told by itself on standard output: one "NAME NANOSECONDS" a line. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 20
#define CALLS 200
#define SIZE (16u << 20)
#define CLONES 100

static uint64_t now(void)
{
    struct timespec t;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void calls(void)
{
    static char page[4096];
    int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_WRONLY);
    for (int round = 0; round < ROUNDS; round++)
        for (int kind = 0; kind < 3; kind++) {
            uint64_t begin = now();
            for (int i = 0; i < CALLS; i++)
                if ((kind == 0   ? syscall(SYS_getppid)
                     : kind == 1 ? read(zero, page, 1)
                                 : write(null, page, sizeof page)) < 0)
                    exit(1);
            printf("%s %llu\n",
                   kind == 0   ? "getppid"
                   : kind == 1 ? "read"
                               : "write",
                   (unsigned long long)((now() - begin) / CALLS));
        }
}

/* From fork to the child's first byte. */
static void forks(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        int ends[2];
        char byte = 'x';
        if (pipe(ends) < 0)
            exit(1);
        uint64_t begin = now();
        pid_t child = fork();
        if (child < 0)
            exit(1);
        if (child == 0)
            _exit(write(ends[1], &byte, 1) == 1 ? 0 : 1);
        if (read(ends[0], &byte, 1) != 1)
            exit(1);
        printf("fork %llu\n", (unsigned long long)(now() - begin));
        close(ends[0]);
        close(ends[1]);
        waitpid(child, NULL, 0);
    }
}

/* A hundred at once, each of which has answered; they stay until standard input ends. */
static void clones(const char *memory)
{
    int ends[2];
    char byte;
    if (pipe(ends) < 0)
        exit(1);
    for (int i = 0; i < CLONES; i++) {
        pid_t child = fork();
        if (child < 0)
            exit(1);
        if (child == 0) {
            byte = memory[(unsigned)i * 4096];
            if (write(ends[1], &byte, 1) != 1)
                _exit(1);
            _exit((int)read(0, &byte, 1));
        }
    }
    for (int i = 0; i < CLONES; i++)
        if (read(ends[0], &byte, 1) != 1 || byte != 7)
            exit(1);
    printf("ready %d\n", CLONES);
    fflush(stdout);
    while (wait(NULL) > 0)
        ;
}

int main(void)
{
    char *memory = malloc(SIZE);
    if (!memory)
        return 1;
    memset(memory, 7, SIZE);
    calls();
    forks();
    fflush(stdout);
    clones(memory);
    return 0;
}
