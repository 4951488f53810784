#include "semantics.h"

#include <pthread.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <ucontext.h>

static volatile int seen, code;
static volatile sig_atomic_t count;
static volatile int order[16], orders;
static void tick(int number, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    if (orders < 16)
        order[orders++] = number;
    count++;
}

static void restart(void)
{
    int ends[2];
    pipe(ends);
    for (int flags = 0; flags <= SA_RESTART; flags += SA_RESTART) {
        handle(SIGALRM, tick, flags);
        count = 0;
        struct itimerval soon = {.it_value = {0, 50000}}, off = {0};
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            struct timespec wait = {0, 200000000};
            nanosleep(&wait, NULL);
            write(ends[1], "x", 1);
            _exit(0);
        }
        setitimer(ITIMER_REAL, &soon, NULL);
        char byte;
        SAY(read(ends[0], &byte, 1));
        printf("  handled %d\n", (int)count);
        setitimer(ITIMER_REAL, &off, NULL);
        while (waitpid(pid, NULL, 0) < 0)
            ;
        if (!flags)
            read(ends[0], &byte, 1);
    }
    handle(SIGALRM, tick, SA_RESTART);
    struct itimerval soon = {.it_value = {0, 50000}};
    setitimer(ITIMER_REAL, &soon, NULL);
    struct timespec wait = {5, 0}, left = {0, 0};
    SAY(nanosleep(&wait, &left));
    printf("  left %ld\n", (long)left.tv_sec);
    setitimer(ITIMER_REAL, &soon, NULL);
    SAY(pause());
}

static void masks(void)
{
    handle(SIGUSR1, tick, 0);
    handle(SIGUSR2, tick, 0);
    sigset_t set, old, waiting;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, &old);
    count = 0;
    kill(getpid(), SIGUSR2);
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGUSR1);
    sigpending(&waiting);
    printf("  pending %d %d, handled %d\n", sigismember(&waiting, SIGUSR1), sigismember(&waiting, SIGUSR2),
           (int)count);
    SAY(sigsuspend(&old));
    sigprocmask(SIG_BLOCK, NULL, &waiting);
    printf("  handled %d, still blocked %d\n", (int)count, sigismember(&waiting, SIGUSR1));
    kill(getpid(), SIGUSR1);
    siginfo_t info;
    SAY(sigwaitinfo(&set, &info));
    printf("  code %d from us %d\n", info.si_code, info.si_pid == getpid());
    struct timespec no = {0, 0};
    SAY(sigtimedwait(&set, &info, &no));
    union sigval value = {.sival_int = 77};
    sigqueue(getpid(), SIGUSR2, value);
    SAY(sigwaitinfo(&set, &info));
    printf("  value %d code %d\n", info.si_value.sival_int, info.si_code);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    struct signalfd_siginfo got;
    SAY(fd >= 0);
    SAY(read(fd, &got, sizeof got));
    kill(getpid(), SIGUSR1);
    SAY(read(fd, &got, sizeof got));
    printf("  number %u\n", got.ssi_signo);
}

static void real_time(void)
{
    int first = SIGRTMIN + 1;
    handle(first, tick, 0);
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, first);
    sigprocmask(SIG_BLOCK, &set, &old);
    union sigval value = {.sival_int = 1};
    for (int i = 0; i < 3; i++)
        sigqueue(getpid(), first, value);
    count = 0;
    sigprocmask(SIG_SETMASK, &old, NULL);
    printf("  queued: handled %d\n", (int)count);
}

static void nested(int number, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    order[orders++] = number;
    if (number == SIGUSR1) {
        kill(getpid(), SIGUSR1);
        kill(getpid(), SIGUSR2);
    }
    order[orders++] = -number;
    static int times;
    if (++times > 4)
        signal(SIGUSR1, SIG_IGN);
}

static void handlers(void)
{
    handle(SIGUSR1, nested, 0);
    handle(SIGUSR2, nested, 0);
    orders = 0;
    kill(getpid(), SIGUSR1);
    for (int i = 0; i < orders && i < 12; i++)
        printf("  %d", order[i]);
    printf("\n");
    handle(SIGHUP, tick, (int)SA_RESETHAND);
    kill(getpid(), SIGHUP);
    struct sigaction now;
    sigaction(SIGHUP, NULL, &now);
    printf("  reset %d\n", now.sa_handler == SIG_DFL);
}

static void avx(int number, siginfo_t *info, void *context)
{
    (void)info;
    (void)number;
    ucontext_t *c = context;
    __asm__ volatile("vpxor %%ymm1, %%ymm1, %%ymm1; vpxor %%ymm9, %%ymm9, %%ymm9" ::: "xmm1", "xmm9");
    c->uc_mcontext.gregs[REG_R12] = 4711;
    count = c->uc_mcontext.fpregs != NULL;
}

/* A handler that ruins vector registers, and changes one register of its caller's. */
static void state(void)
{
    handle(SIGUSR1, avx, 0);
    uint64_t in[4] = {1, 2, 3, 4}, out[4] = {0};
    long r12 = 0, result;
    __asm__ volatile(
        "vmovdqu (%[in]), %%ymm1; mov $1, %%r12; mov %[pid], %%rdi; mov $10, %%rsi; mov $62, %%eax; syscall;"
        "vmovdqu %%ymm1, (%[out]); mov %%r12, %[r12]"
        : "=&a"(result), [r12] "=&r"(r12)
        : [in] "r"(in), [out] "r"(out), [pid] "r"((long)getpid())
        : "rdi", "rsi", "rcx", "r11", "r12", "xmm1", "memory");
    printf("  %lu %lu %lu %lu, r12 %ld, kill %ld, fpregs %d\n", out[0], out[1], out[2], out[3], r12, result,
           (int)count);
}

static void ontime(int number, siginfo_t *info, void *context)
{
    (void)context;
    (void)number;
    code = info->si_code;
    count++;
}

static void timers(void)
{
    handle(SIGRTMIN, ontime, 0);
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    count = 0;
    SAY(timer_create(CLOCK_MONOTONIC, &event, &timer));
    struct itimerspec span = {.it_value = {0, 30000000}}, now;
    SAY(timer_settime(timer, 0, &span, NULL));
    SAY(timer_gettime(timer, &now));
    struct timespec wait = {0, 200000000};
    SAY(nanosleep(&wait, NULL));
    printf("  fired %d code %d\n", (int)count, code);
    SAY(timer_getoverrun(timer));
    SAY(timer_delete(timer));
    SAY(timer_delete(timer));
}

static void *spin(void *word)
{
    *(volatile int *)word = 1;
    while (*(volatile int *)word != 2)
        ;
    return NULL;
}
static pthread_t self;
static void mine(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    (void)context;
    seen = pthread_equal(self, pthread_self());
}
static void to_a_thread(void)
{
    static volatile int word;
    handle(SIGUSR1, mine, 0);
    pthread_create(&self, NULL, spin, (void *)&word);
    while (word != 1)
        ;
    seen = -5;
    pthread_kill(self, SIGUSR1);
    while (seen == -5)
        ;
    printf("  in the thread %d\n", seen);
    word = 2;
    pthread_join(self, NULL);
    seen = -5;
    raise(SIGUSR1);
    printf("  in the thread %d\n", seen);
}

/* A computation that makes no call is interrupted, too. */
static void in_a_loop(void)
{
    handle(SIGALRM, tick, 0);
    count = 0;
    struct itimerval soon = {.it_value = {0, 20000}, .it_interval = {0, 5000}};
    setitimer(ITIMER_REAL, &soon, NULL);
    while (count < 5)
        ;
    printf("  five\n");
}

static int own_pipe[2];
static void write_one(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    (void)context;
    write(own_pipe[1], "x", 1);
}

/* A signal that comes just before a call that waits is handled before it: or this would wait for ever. */
static void self_pipe(void)
{
    handle(SIGALRM, write_one, SA_RESTART);
    pipe(own_pipe);
    int good = 0;
    for (int i = 0; i < 300; i++) {
        struct itimerval soon = {.it_value = {0, 10 + i % 100 * 7}};
        char byte;
        setitimer(ITIMER_REAL, &soon, NULL);
        good += read(own_pipe[0], &byte, 1) == 1;
    }
    printf("  %d\n", good);
}

static void child_ends(void)
{
    handle(SIGCHLD, tick, SA_RESTART);
    count = 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit(3);
    while (!count)
        usleep(1000);
    siginfo_t info;
    SAY(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
    printf("  status %d code %d\n", info.si_status, info.si_code);
    int status;
    SAY(waitpid(pid, &status, 0) == pid);
    SAY(waitpid(-1, &status, 0));
    pid = fork();
    if (pid == 0) {
        for (;;)
            pause();
    }
    kill(pid, SIGSTOP);
    SAY(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    kill(pid, SIGCONT);
    SAY(waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status));
    kill(pid, SIGKILL);
    SAY(waitpid(pid, &status, 0) == pid && WTERMSIG(status));
}

const struct check OF_SIGNALS[] = {{"restart", restart},
                                   {"masks", masks},
                                   {"real_time", real_time},
                                   {"handlers", handlers},
                                   {"state", state},
                                   {"timers", timers},
                                   {"to_a_thread", to_a_thread},
                                   {"in_a_loop", in_a_loop},
                                   {"self_pipe", self_pipe},
                                   {"child_ends", child_ends},
                                   {NULL, NULL}};
