#include "semantics.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>

extern char **environ;
static char *self = "/proc/self/exe";

static void spawns(void)
{
    pid_t pid;
    int status;
    char *args[] = {"x", "exit", "7", NULL};
    errno = posix_spawn(&pid, self, NULL, NULL, args, environ);
    SAY(errno ? -1 : 0);
    SAY(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status));
    errno = posix_spawn(&pid, "/no/such", NULL, NULL, args, environ);
    SAY(errno ? -1 : 0);
    errno = posix_spawn(&pid, "/", NULL, NULL, args, environ);
    SAY(errno ? -1 : 0);
    SAY(waitpid(-1, &status, 0) > 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 5, "/no/such", O_RDONLY, 0);
    errno = posix_spawn(&pid, self, &actions, NULL, args, environ);
    SAY(errno ? -1 : 0);
    SAY(WEXITSTATUS(system("exit 3")));
    FILE *stream = popen("echo from popen", "r");
    char line[64] = "";
    fgets(line, sizeof line, stream);
    printf("  %s", line);
    SAY(pclose(stream));
    volatile int value = 1;
    pid = vfork();
    if (pid == 0) {
        value = 2;
        _exit(4);
    }
    waitpid(pid, &status, 0);
    printf("  vfork: value %d, exit %d\n", value, WEXITSTATUS(status));
    pid = vfork();
    if (pid == 0) {
        value = 3;
        execl("/no/such", "x", NULL);
        value = errno;
        _exit(5);
    }
    waitpid(pid, &status, 0);
    printf("  vfork: value %d, exit %d\n", value, WEXITSTATUS(status));
}

static void executes(void)
{
    char *none[] = {NULL};
    SAY(execv("/no/such", none));
    SAY(execv("/", none));
    SAY(execv("/etc/passwd", none));
    SAY(execv("", none));
    int fd = open("/tmp/broken", O_CREAT | O_WRONLY | O_TRUNC, 0755);
    write(fd, "\177ELF\2\1\1", 7);
    close(fd);
    SAY(execv("/tmp/broken", none));
    fd = open("/tmp/broken", O_WRONLY | O_TRUNC);
    write(fd, "#!/tmp/broken\n", 14);
    close(fd);
    SAY(execv("/tmp/broken", none));
    unlink("/tmp/broken");
}

static void kept_over_execve(void)
{
    char *words[] = {"x", "descriptors", NULL};
    fflush(stdout);
    if (!fork()) {
        int a = open("/", O_RDONLY), b = open("/", O_RDONLY | O_CLOEXEC), c = dup(b),
            d = fcntl(b, F_DUPFD_CLOEXEC, 20);
        fcntl(a, F_SETFD, FD_CLOEXEC);
        dup2(b, 30);
        dup3(b, 31, O_CLOEXEC);
        printf("  before %d %d %d %d\n", a, b, c, d);
        fflush(stdout);
        execv(self, words);
    }
    wait(NULL);
    fflush(stdout);
    if (!fork()) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGHUP);
        sigprocmask(SIG_BLOCK, &set, NULL);
        signal(SIGUSR1, SIG_IGN);
        signal(SIGUSR2, abort);
        char *ask[] = {"x", "signals", NULL};
        execv(self, ask);
    }
    wait(NULL);
}

static void executes_descriptors(void)
{
    int fd;
    fflush(stdout);
    if (!fork()) {
        fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
        char *seven[] = {"x", "exit", "9", NULL};
        syscall(SYS_execveat, fd, "", seven, environ, AT_EMPTY_PATH);
        printf("  %s\n", strerror(errno));
        _exit(0);
    }
    int status;
    wait(&status);
    printf("  execveat: exit %d\n", WEXITSTATUS(status));
    fflush(stdout);
    if (!fork()) {
        int from = open("/proc/self/exe", O_RDONLY), to = memfd_create("copy", 0);
        char room[65536];
        ssize_t size;
        while ((size = read(from, room, sizeof room)) > 0)
            write(to, room, (size_t)size);
        char *eight[] = {"x", "exit", "8", NULL};
        fexecve(to, eight, environ);
        printf("  %s\n", strerror(errno));
        _exit(0);
    }
    wait(&status);
    printf("  fexecve of a memfd: exit %d\n", WEXITSTATUS(status));
}

static void *sleeper(void *unused)
{
    (void)unused;
    for (;;)
        pause();
}
static void *runner(void *unused)
{
    volatile long counter = 0;
    (void)unused;
    for (;;)
        counter++;
}
static void *executer(void *unused)
{
    char *words[] = {"x", "exit", "6", NULL};
    (void)unused;
    execv(self, words);
    return NULL;
}
static void threads_execute(void)
{
    pthread_t one, two, three;
    pthread_create(&one, NULL, sleeper, NULL);
    pthread_create(&two, NULL, runner, NULL);
    executer(NULL);
    (void)three;
}
static void thread_executes(void)
{
    pthread_t one;
    pthread_create(&one, NULL, executer, NULL);
    for (;;)
        pause();
}
static void thread_exits(void)
{
    pthread_t one;
    pthread_create(&one, NULL, runner, NULL);
    exit(5);
}
static void *leave(void *unused)
{
    (void)unused;
    usleep(20000);
    exit(8);
}
static void main_waits(void)
{
    pthread_t one;
    pthread_create(&one, NULL, leave, NULL);
    for (;;)
        pause();
}
static void *late(void *unused)
{
    (void)unused;
    usleep(50000);
    return NULL;
}
static void main_leaves(void)
{
    pthread_t one;
    pthread_create(&one, NULL, late, NULL);
    pthread_exit(NULL);
}
static void *forker(void *unused)
{
    (void)unused;
    pid_t pid = fork();
    if (pid == 0)
        _exit(3);
    int status;
    waitpid(pid, &status, 0);
    return (void *)(long)WEXITSTATUS(status);
}
static void thread_forks(void)
{
    pthread_t one;
    void *result;
    pthread_create(&one, NULL, forker, NULL);
    pthread_join(one, &result);
    _exit((int)(long)result);
}

static void with_threads(void)
{
    ends("execve with two threads more", threads_execute);
    ends("execve by a thread", thread_executes);
    ends("exit with a thread that runs", thread_exits);
    ends("exit by a thread", main_waits);
    ends("the first thread leaves", main_leaves);
    ends("a thread forks", thread_forks);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static long sum;
static __thread int local = 5;
static void *adder(void *unused)
{
    (void)unused;
    for (int i = 0; i < 2000; i++) {
        pthread_mutex_lock(&lock);
        sum++;
        pthread_mutex_unlock(&lock);
    }
    local++;
    pthread_cond_signal(&condition);
    return (void *)(long)local;
}
static void *dies(void *mutex)
{
    pthread_mutex_lock(mutex);
    return NULL;
}
static void locks(void)
{
    pthread_t all[8];
    void *result;
    for (int i = 0; i < 8; i++)
        pthread_create(&all[i], NULL, adder, NULL);
    for (int i = 0; i < 8; i++)
        pthread_join(all[i], &result);
    printf("  sum %ld local %ld %d\n", sum, (long)result, local);
    pthread_mutexattr_t robust;
    pthread_mutexattr_init(&robust);
    pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&robust, PTHREAD_PROCESS_SHARED);
    pthread_mutex_t *mutex = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutex_init(mutex, &robust);
    pthread_create(&all[0], NULL, dies, mutex);
    pthread_join(all[0], NULL);
    errno = pthread_mutex_lock(mutex);
    SAY(errno ? -1 : 0);
    SAY(pthread_mutex_consistent(mutex));
    SAY(pthread_mutex_unlock(mutex));
    pid_t pid = fork();
    if (pid == 0) {
        pthread_mutex_lock(mutex);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    errno = pthread_mutex_lock(mutex);
    SAY(errno ? -1 : 0);
    pthread_mutex_consistent(mutex);
    pthread_mutex_unlock(mutex);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 20000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&lock);
    errno = pthread_cond_timedwait(&condition, &lock, &until);
    SAY(errno ? -1 : 0);
    int word = 1;
    struct timespec span = {0, 1000000};
    SAY(syscall(SYS_futex, &word, FUTEX_WAIT, 2, NULL, NULL, 0));
    SAY(syscall(SYS_futex, &word, FUTEX_WAIT, 1, &span, NULL, 0));
    SAY(syscall(SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0));
    SAY(syscall(SYS_futex, (char *)&word + 1, FUTEX_WAKE, 1, NULL, NULL, 0));
    SAY(syscall(SYS_futex, &word, 77, 1, NULL, NULL, 0));
    SAY(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, 1, NULL, NULL, 0));
}

static void clones(void)
{
    SAY(syscall(SYS_clone, CLONE_THREAD | SIGCHLD, 0, 0, 0, 0));
    SAY(syscall(SYS_clone, CLONE_SIGHAND | SIGCHLD, 0, 0, 0, 0));
    SAY(syscall(SYS_clone3, 0, 8));
    SAY(syscall(SYS_unshare, CLONE_NEWNET));
    SAY(syscall(SYS_setns, 0, 0));
    int word = 0;
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, 0, &word, &word, 0);
    if (pid == 0)
        _exit(word == getpid() ? 1 : 2);
    int status;
    SAY(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status));
    SAY(word == pid);
    pid = (pid_t)syscall(SYS_clone, 0, 0, 0, 0, 0);
    if (pid == 0)
        _exit(3);
    SAY(waitpid(pid, &status, __WALL) == pid && WEXITSTATUS(status));
    int fd = -1;
    pid = (pid_t)syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &fd, 0, 0);
    if (pid == 0)
        _exit(0);
    siginfo_t info;
    SAY(pid > 0 && fd > 0 ? waitid(P_PIDFD, (id_t)fd, &info, WEXITED) : -1);
    fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    SAY(fd >= 0 ? syscall(SYS_pidfd_send_signal, fd, 0, 0, 0) : -1);
}

const struct check OF_PROCESSES[] = {{"spawns", spawns},
                                     {"executes", executes},
                                     {"kept_over_execve", kept_over_execve},
                                     {"executes_descriptors", executes_descriptors},
                                     {"with_threads", with_threads},
                                     {"locks", locks},
                                     {"clones", clones},
                                     {NULL, NULL}};
