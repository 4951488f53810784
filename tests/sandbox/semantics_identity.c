#include "semantics.h"

#include <sched.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/times.h>
#include <sys/utsname.h>

static void capabilities(void)
{
    char line[256];
    FILE *stream = fopen("/proc/self/status", "r");
    while (stream && fgets(line, sizeof line, stream))
        if (!strncmp(line, "CapPrm", 6) || !strncmp(line, "CapEff", 6))
            printf("  %s", line);
}

static void identity(void)
{
    struct utsname name;
    struct rusage usage;
    struct tms times_;
    char text[16] = "";
    SAY(uname(&name));
    printf("  %s %s\n", name.sysname, name.machine);
    SAY(getpid() == (pid_t)syscall(SYS_gettid));
    SAY(getsid(0) == getsid(getpid()));
    SAY(setsid() == getpid());
    SAY(setsid());
    SAY(setpgid(0, 0));
    SAY(getpgid(99999));
    SAY(getpriority(PRIO_PROCESS, 0));
    SAY(setpriority(PRIO_PROCESS, 0, 3));
    SAY(getpriority(PRIO_PROCESS, 0));
    SAY(getrusage(RUSAGE_SELF, &usage));
    SAY(getrusage(99, &usage));
    SAY(times(&times_) != -1);
    SAY(prctl(PR_SET_NAME, "a name", 0, 0, 0));
    SAY(prctl(PR_GET_NAME, text, 0, 0, 0));
    printf("  %s\n", text);
    int fd = open("/proc/self/comm", O_RDONLY);
    char comm[16] = "";
    read(fd, comm, 15);
    printf("  %s", comm);
    SAY(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
    SAY(prctl(PR_SET_PDEATHSIG, SIGHUP, 0, 0, 0));
    int number = 0;
    SAY(prctl(PR_GET_PDEATHSIG, &number, 0, 0, 0));
    printf("  %d\n", number);
    SAY(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    SAY(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    SAY(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    SAY(prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
    SAY(prctl(PR_SET_TIMERSLACK, 50000, 0, 0, 0));
    SAY(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0));
    SAY(prctl(PR_CAPBSET_READ, 0, 0, 0, 0));
    SAY(prctl(PR_CAPBSET_READ, 21, 0, 0, 0));
    SAY(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
    SAY(prctl(9999, 0, 0, 0, 0));
    SAY(personality(0xffffffff));
    SAY(sched_getscheduler(0));
    SAY(sched_yield());
    cpu_set_t set;
    SAY(sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0);
    SAY(sched_getcpu() >= 0);
    SAY(sched_get_priority_max(SCHED_FIFO));
}

static void a_user(void)
{
    SAY(setgid(5));
    SAY(setuid(1000));
    capabilities();
    SAY(setuid(0));
    SAY(getuid() * 1000 + getegid());
    SAY(chown("/", 1, 1));
    SAY(open("/etc/shadow", O_RDONLY));
    SAY(kill(1, 9));
    SAY(syscall(SYS_membarrier, 0, 0, 0) >= 0);
    SAY(syscall(SYS_rseq, 0, 0, 0, 0));
    SAY(syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 0));
}

const struct check OF_IDENTITY[] = {{"identity", identity}, {"a_user", a_user}, {NULL, NULL}};
