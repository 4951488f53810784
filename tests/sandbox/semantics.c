#include "semantics.h"

void say(const char *what, long value)
{
    if (value == -1)
        printf("  %s: %s\n", what, strerrorname_np(errno));
    else
        printf("  %s: %ld\n", what, value);
    fflush(stdout);
}

void handle(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigaction(number, &action, NULL);
}

void ends(const char *what, void (*child)(void))
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        child();
        _exit(0);
    }
    int status = 0;
    if (waitpid(pid, &status, 0) != pid)
        printf("  %s: lost\n", what);
    else if (WIFSIGNALED(status))
        printf("  %s: signal %d\n", what, WTERMSIG(status));
    else
        printf("  %s: exit %d\n", what, WEXITSTATUS(status));
    fflush(stdout);
}

/* Each in a child of its own, with ten seconds; what it was started with tells it to be something else. */
int main(int argc, char **argv)
{
    const struct check *all[] = {OF_FAULTS, OF_SIGNALS, OF_PROCESSES, OF_IDENTITY, OF_FILES, OF_MEMORY, OF_EVENTS};
    if (argc > 1 && !strcmp(argv[1], "exit"))
        return atoi(argv[2]);
    if (argc > 1 && !strcmp(argv[1], "descriptors")) {
        for (int fd = 0; fd < 64; fd++)
            if (fcntl(fd, F_GETFD) >= 0)
                printf(" %d", fd);
        printf("\n");
        return 0;
    }
    if (argc > 1 && !strcmp(argv[1], "signals")) {
        sigset_t set;
        sigprocmask(SIG_BLOCK, NULL, &set);
        struct sigaction usr1, usr2;
        sigaction(SIGUSR1, NULL, &usr1);
        sigaction(SIGUSR2, NULL, &usr2);
        printf("  blocked HUP %d, USR1 ignored %d, USR2 ignored %d\n", sigismember(&set, SIGHUP),
               usr1.sa_handler == SIG_IGN, usr2.sa_handler == SIG_IGN);
        return 0;
    }
    for (unsigned group = 0; group < sizeof all / sizeof *all; group++)
        for (const struct check *one = all[group]; one->name; one++) {
            if (argc > 1 && strcmp(argv[1], one->name))
                continue;
            printf("%s\n", one->name);
            fflush(stdout);
            pid_t pid = fork();
            if (pid == 0) {
                alarm(10);
                one->run();
                fflush(stdout);
                _exit(0);
            }
            int status;
            while (waitpid(pid, &status, 0) < 0)
                ;
            if (status)
                printf("  ended with %#x\n", (unsigned)status);
            fflush(stdout);
        }
    return 0;
}
