/*
 * A program that wants out of its sandbox, or at least to take the VMM down with it.  Static; each attack is a word:
 *
 *   calls SEED N     N system calls of any number, with wild values in every argument, by children that are forked
 *   instructions     what level 3 may not execute, one instruction a child: the signal of each
 *   system           reads, writes and jumps into the system's part of the address space (addresses follow)
 *   frames SEED N    rt_sigreturn(2) to frames of garbage
 *   races SECONDS    threads that change paths, vectors and maps while calls are served, and want /proc/self/mem
 *   maps             4000 mappings, mremap(2) everywhere, more memory than there is
 *   crowd            threads and descriptors without end, and fork(2) among them
 *   files SEED N     execve(2) of N mutations of this file (hostile_files.c has these two)
 *   names            every name that might lead to what is the VMM's
 *   options          socket options with addresses in them
 *   limits           what the limits of config.json leave
 */
#define _GNU_SOURCE
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t state = 88172645463325252ull;

uint64_t any(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

void seed(uint64_t with) { state = (with + 1) * 0x9e3779b97f4a7c15ull; }

pid_t child(void)
{
    pid_t pid = fork();
    if (pid < 0) {
        say("fork: %s\n", strerror(errno));
        exit(1);
    }
    return pid;
}

/* A child's end, or -1: it was still there after `ms`, and was killed. */
int ended(pid_t pid, int ms)
{
    int status;
    for (int i = 0; i < ms; i++) {
        pid_t done = waitpid(pid, &status, WNOHANG);
        if (done == pid)
            return status;
        struct timespec span = {0, 1000000};
        nanosleep(&span, NULL);
    }
    kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return -1;
}

static char *page, *readonly, *executable, *unmapped;
static const char *const WORDS[] = {"/proc/self/mem",
                                    "/proc/self/fd/3",
                                    "/proc/self/fd/5/..",
                                    "/proc/thread-self/mem",
                                    "/dev/fd/4",
                                    "",
                                    ".",
                                    "..",
                                    "/",
                                    "/proc/1/root/etc",
                                    "/proc/self/task/1/mem",
                                    "../../../../../../proc/self/maps",
                                    "/tmp/x",
                                    "/tmp/y/",
                                    "/proc/self/exe"};

static void prepare(void)
{
    page = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(page + 2 * 4096, 4096);
    readonly = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    executable = mmap(NULL, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unmapped = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static uint64_t wild(void)
{
    const uint64_t fixed[] = {0,
                              1,
                              2,
                              3,
                              4,
                              5,
                              7,
                              -1ull,
                              -100ull,
                              1ull << 63,
                              ~0ull >> 1,
                              0xffff800000000000ull,
                              0xffffffff81000000ull,
                              END - 1,
                              END - 16,
                              END,
                              END + 4096,
                              SYSTEM,
                              SYSTEM + 4096,
                              SYSTEM + 8192,
                              SYSTEM + 65536,
                              SYSTEM + (1 << 20),
                              (32ull << 30) - 1,
                              32ull << 30,
                              1ull << 40,
                              5ull << 40,
                              4095,
                              4096,
                              1 << 20,
                              1u << 31,
                              1ull << 32,
                              1ull << 47,
                              0xffffffffull,
                              0x10000,
                              4ull << 30,
                              0x80,
                              0x81};
    switch (any() % 8) {
    case 0:
        return any();
    case 1:
        return any() % 64;
    case 2:
        return (uint64_t)page + any() % 8192;
    case 3:
        return (uint64_t)page + 8192 - any() % 64; /* the end, and what is not there behind it */
    case 4:
        return (uint64_t)WORDS[any() % (sizeof WORDS / sizeof *WORDS)];
    case 5:
        return (uint64_t)(char *[]){readonly, executable, unmapped, page}[any() % 4] + any() % 4096;
    default:
        return fixed[any() % (sizeof fixed / sizeof *fixed)];
    }
}

/* What ends or stops the child alone, or somebody who is not the matter here. */
static int left_out(uint64_t number)
{
    const int not [] = {SYS_exit,
                        SYS_exit_group,
                        SYS_kill,
                        SYS_tkill,
                        SYS_tgkill,
                        SYS_fork,
                        SYS_vfork,
                        SYS_clone,
                        SYS_clone3,
                        SYS_pause,
                        SYS_rt_sigsuspend,
                        SYS_rt_sigreturn,
                        SYS_rt_sigqueueinfo,
                        SYS_rt_tgsigqueueinfo,
                        SYS_nanosleep,
                        SYS_clock_nanosleep,
                        SYS_pidfd_send_signal,
                        SYS_setpgid,
                        SYS_setsid};
    for (unsigned i = 0; i < sizeof not / sizeof *not ; i++)
        if (number == (uint64_t) not [i])
            return 1;
    return 0;
}

static void calls(long from, long count)
{
    const int EACH = 400;
    prepare();
    int slow = 0, children = 0;
    for (long done = 0; done < count; done += EACH, children++) {
        pid_t pid = child();
        if (pid == 0) {
            seed((uint64_t)(from + done));
            for (int i = 0; i < EACH; i++) {
                uint64_t number = any() % 64 ? any() % 512 : any(), a[6];
                for (int j = 0; j < 6; j++)
                    a[j] = wild();
                for (int j = 0; j < 1024; j++)
                    ((uint64_t *)page)[j] = j % 3 ? (uint64_t)page + any() % 8192 : wild();
                if (!left_out(number))
                    raw(number, a[0], a[1], a[2], a[3], a[4], a[5]);
                page = mmap(page, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
                if (page == MAP_FAILED)
                    _exit(0);
            }
            _exit(0);
        }
        int status = ended(pid, 400);
        slow += status == -1;
        if (status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 125)
            say("a VMM ended at %ld\n", from + done);
        if (status >= 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
            say("a VMM was lost at %ld\n", from + done);
    }
    say("calls: %d children, most in time: %d\n", children, slow < children / 2);
}

struct instruction {
    const char *name, *bytes;
    int size;
};

static const struct instruction INSTRUCTIONS[] = {
#define I(name, bytes)                                                                                            \
    {                                                                                                             \
        name, bytes, sizeof bytes - 1                                                                             \
    }
    I("hlt", "\xf4"),
    I("cli", "\xfa"),
    I("sti", "\xfb"),
    I("in 0x60", "\xe4\x60"),
    I("out 0x60", "\xe6\x60"),
    I("out 0x81", "\xe6\x81"),
    I("out 0x82", "\xe6\x82"),
    I("in 0x80", "\xe5\x80"),
    I("in 0x81", "\xe4\x81"),
    I("rep outsb", "\xba\x81\0\0\0\xb9\x10\0\0\0\xf3\x6e"),
    I("insb", "\xba\x80\0\0\0\x6c"),
    I("rdmsr", "\x0f\x32"),
    I("wrmsr", "\x0f\x30"),
    I("mov cr3, rax", "\x0f\x22\xd8"),
    I("mov rax, cr0", "\x0f\x20\xc0"),
    I("mov dr7", "\x0f\x23\xf8"),
    I("lgdt", "\x0f\x01\x14\x24"),
    I("lidt", "\x0f\x01\x1c\x24"),
    I("ltr", "\x0f\x00\xd8"),
    I("lldt", "\x0f\x00\xd0"),
    I("invlpg", "\x0f\x01\x38"),
    I("wbinvd", "\x0f\x09"),
    I("sysret", "\x48\x0f\x07"),
    I("sysexit", "\x0f\x35"),
    I("sysenter", "\x0f\x34"),
    I("iretq", "\x48\xcf"),
    I("int 0x80", "\xcd\x80"),
    I("int3", "\xcc"),
    I("int 13", "\xcd\x0d"),
    I("int 8", "\xcd\x08"),
    I("int 255", "\xcd\xff"),
    I("ud2", "\x0f\x0b"),
    I("xsetbv", "\x0f\x01\xd1"),
    I("vmcall", "\x0f\x01\xc1"),
    I("vmmcall", "\x0f\x01\xd9"),
    I("swapgs", "\x0f\x01\xf8"),
    I("clts", "\x0f\x06"),
    I("mov ss, 0x18", "\x66\xb8\x18\0\x8e\xd0"),
    I("mov ds, 0x10", "\x66\xb8\x10\0\x8e\xd8"),
    I("mov fs, 0x40", "\x66\xb8\x40\0\x8e\xe0"),
    I("mov es, 0xffff", "\x66\xb8\xff\xff\x8e\xc0"),
    I("retf to 0x10", "\x6a\x10\x68\0\0\x40\0\x48\xcb"),
    I("popf TF", "\x9c\x48\x81\x0c\x24\0\x01\0\0\x9d\x90"),
    I("popf all, syscall", "\x48\xc7\xc0\xd7\x7f\x3c\0\x50\x9d\xb8\x27\0\0\0\x0f\x05\x0f\x0b"),
    I("out 0x80 to nowhere", "\x48\xb9\0\0\0\0\0\0\0\x80\xb8\x27\0\0\0\xe7\x80"),
    I("out 0x80, IOPL 3", "\x48\x8d\x0d\x0b\0\0\0\x41\xbb\x02\x32\0\0\xb0\x27\xe7\x80\xfa\x0f\x0b"),
    I("jmp non-canonical", "\x48\xb8\0\0\0\0\0\0\0\x80\xff\xe0"),
    I("rsp non-canonical", "\x48\xbc\0\0\0\0\0\0\0\x80\x50"),
    I("xrstor garbage", "\x48\xbc\0\0\x40\0\0\0\0\0\xb8\xff\xff\xff\xff\x99\x0f\xae\x2c\x24\x0f\x0b"),
    I("fxrstor garbage", "\x48\x83\xe4\xf0\x0f\xae\x0c\x24\x0f\x0b"),
    I("lock nop", "\xf0\x90"),
    I("wrfsbase", "\xf3\x48\x0f\xae\xd0\x0f\x0b"),
    I("monitor", "\x0f\x01\xc8"),
    I("rdpmc", "\x0f\x33"),
    I("div 0", "\x31\xc9\xf7\xf1"),
    I("popcnt, ud2", "\xf3\x0f\xb8\xc0\x0f\x0b"),
    I("far jmp", "\x48\xff\x2c\x24"),
};

static void instructions(void)
{
    char *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (unsigned i = 0; i < sizeof INSTRUCTIONS / sizeof *INSTRUCTIONS; i++) {
        pid_t pid = child();
        if (pid == 0) {
            memcpy(at, INSTRUCTIONS[i].bytes, (size_t)INSTRUCTIONS[i].size);
            memset(at + INSTRUCTIONS[i].size, 0x0f, 1);
            memset(at + INSTRUCTIONS[i].size + 1, 0x0b, 1); /* ud2 */
            ((void (*)(void))at)();
            _exit(99);
        }
        int status = ended(pid, 1000);
        say("%s: %d\n", INSTRUCTIONS[i].name, status);
    }
}

static void touch(const char *what, uint64_t at, int how)
{
    pid_t pid = child();
    if (pid == 0) {
        if (how == 0)
            _exit(*(volatile char *)at & 0);
        if (how == 1)
            *(volatile char *)at = 1;
        if (how == 2)
            ((void (*)(void))at)();
        if (how == 3)
            __asm__ volatile("mov %0, %%rsp; push %%rax; call *%%rax" ::"r"(at + 2048),
                             "a"(at)); /* a pivot of the stack */
        _exit(0);
    }
    say("%s %#lx: %d\n", what, (unsigned long)at, ended(pid, 1000));
}

static void system_part(char **addresses)
{
    const char *const words[] = {"read", "write", "jump", "pivot"};
    for (; *addresses; addresses++)
        for (int how = 0; how < 4; how++)
            touch(words[how], strtoull(*addresses, NULL, 0), how);
}

static void frames(long from, long count)
{
    for (long i = 0; i < count; i++) {
        pid_t pid = child();
        if (pid == 0) {
            seed((uint64_t)(from + i));
            static uint64_t frame[2048] __attribute__((aligned(64)));
            for (unsigned j = 0; j < 2048; j++)
                frame[j] = any() % 3 ? any() : any() % 2 ? 0 : wild();
            uint64_t *context = frame + 16;
            context[5 + 23] = any() % 2 ? (uint64_t)(frame + 512) : wild(); /* the XSAVE area */
            if (any() % 2)
                context[5 + 16] = (uint64_t)frames;  /* RIP */
            frame[512 + 64] = any() % 2 ? 7 : any(); /* XSTATE_BV */
            __asm__ volatile("mov %0, %%rsp; mov $15, %%eax; syscall; ud2" ::"r"(context));
        }
        int status = ended(pid, 300);
        if (status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 125)
            say("a VMM ended at %ld\n", from + i);
        if (status >= 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
            say("a VMM was lost at %ld\n", from + i);
    }
    say("frames: %ld\n", count);
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    long first = argc > 2 ? atol(argv[2]) : 0, second = argc > 3 ? atol(argv[3]) : 0;
    if (!strcmp(word, "calls"))
        calls(first, second);
    else if (!strcmp(word, "instructions"))
        instructions();
    else if (!strcmp(word, "system"))
        system_part(argv + 2);
    else if (!strcmp(word, "frames"))
        frames(first, second);
    else if (!strcmp(word, "races"))
        races((int)first);
    else if (!strcmp(word, "maps"))
        maps();
    else if (!strcmp(word, "crowd"))
        crowd();
    else if (!strcmp(word, "files"))
        files(argv[0], first, second);
    else if (!strcmp(word, "names"))
        names();
    else if (!strcmp(word, "options"))
        options();
    else if (!strcmp(word, "limits"))
        limits();
    else
        return 0;
    say("still here\n");
    return 0;
}
