#include "semantics.h"

#include <setjmp.h>

static sigjmp_buf back;
static volatile int seen, code;
static void *volatile where;

static void jump(int number, siginfo_t *info, void *context)
{
    (void)context;
    seen = number;
    code = info->si_code;
    where = info->si_addr;
    siglongjmp(back, 1);
}

#define TRY(what, statement)                                                                                      \
    do {                                                                                                          \
        seen = code = 0;                                                                                          \
        where = NULL;                                                                                             \
        if (!sigsetjmp(back, 1)) {                                                                                \
            statement;                                                                                            \
        }                                                                                                         \
        printf("  %s: signal %d code %d\n", what, seen, code);                                                    \
        fflush(stdout);                                                                                           \
    } while (0)

static void faults(void)
{
    int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
    for (unsigned i = 0; i < 5; i++)
        handle(numbers[i], jump, 0);
    char *only = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *none = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = memfd_create("short", 0);
    ftruncate(fd, 8192);
    char *file = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *copy = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    file[4096] = 1;
    ftruncate(fd, 4096);
    TRY("null", *(volatile char *)0x10 = 1);
    printf("  at %p\n", where);
    TRY("read only", *(volatile char *)(only + 123) = 1);
    printf("  at +%ld\n", (long)((char *)where - only));
    TRY("no access", (void)*(volatile char *)none);
    TRY("high", *(volatile char *)0x7000000000000000 = 1);
    TRY("kernel", (void)*(volatile char *)0xffffffff81000000);
    TRY("truncated file", (void)*(volatile char *)(file + 4096));
    printf("  at +%ld\n", (long)((char *)where - file));
    TRY("truncated file, written", *(volatile char *)(file + 4196) = 1);
    TRY("truncated file, private", *(volatile char *)(copy + 4096) = 1);
    TRY("before its end", *(volatile char *)(file + 4000) = 1);
    TRY("ud2", __asm__ volatile("ud2"));
    TRY("division", __asm__ volatile("xor %%ecx, %%ecx; mov $1, %%eax; cdq; idivl %%ecx" ::: "eax", "ecx", "edx"));
    TRY("int3", __asm__ volatile("int3"));
    TRY("hlt", __asm__ volatile("hlt"));
    TRY("cli", __asm__ volatile("cli"));
    TRY("jump to data", ((void (*)(void))only)());
    TRY("jump to nothing", ((void (*)(void))0x123450)());
    TRY("single step", __asm__ volatile("pushf; orq $0x100, (%%rsp); popf; nop; nop" ::: "memory", "cc"));
}

static int depth(volatile char *above)
{
    volatile char room[4096];
    room[0] = above ? above[0] : 1;
    return depth(room) + room[0];
}

static void overflow(void)
{
    static char other[65536];
    stack_t stack = {.ss_sp = other, .ss_size = sizeof other};
    SAY(sigaltstack(&stack, NULL));
    handle(SIGSEGV, jump, SA_ONSTACK);
    TRY("stack overflow", depth(NULL));
    stack_t now;
    sigaltstack(NULL, &now);
    printf("  on it: %d, size %zu\n", now.ss_flags, now.ss_size);
}

static void recurse(void) { depth(NULL); }
static void wild(void) { *(volatile char *)1 = 1; }
static void abrt(void) { abort(); }
static void illegal(void) { __asm__ volatile("ud2"); }
static void badstack(void)
{
    handle(SIGUSR1, jump, 0);
    __asm__ volatile(
        "movq $0x1000, %%rsp; movq %0, %%rax; movq %1, %%rdi; movq $10, %%rsi; syscall" ::"i"(SYS_kill),
        "r"((long)getpid())
        : "memory");
}
static void blocked_fault(void)
{
    handle(SIGSEGV, jump, 0);
    sigset_t set;
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    *(volatile char *)1 = 1;
}
static void ignored_fault(void)
{
    signal(SIGSEGV, SIG_IGN);
    *(volatile char *)1 = 1;
}

static void deaths(void)
{
    ends("overflow without another stack", recurse);
    ends("wild", wild);
    ends("abort", abrt);
    ends("illegal", illegal);
    ends("no stack for a handler", badstack);
    ends("blocked", blocked_fault);
    ends("ignored", ignored_fault);
}

const struct check OF_FAULTS[] = {{"faults", faults}, {"overflow", overflow}, {"deaths", deaths}, {NULL, NULL}};
