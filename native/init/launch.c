/*
 * SPAWN: clone3(2) into namespaces and a cgroup, then execveat(2) of our own sealed program with the plan: what
 * native/border/spawn.c does on the host, for a process that is small enough to be copied (no CLONE_VM here).
 */
#include "agent.h"

#define OWN_FDS 4 /* sync, plan, gate, target: start.c */
#define BASE 3

struct launch {
    struct spawn_head head;
    const char *cgroup, *writes, *end;
    int sync, plan, target, cgroup_fd;
    int stdio[3];
    uint32_t step; /* the one under way, and what it is about: for the report */
    const char *detail;
};

struct file_write {
    uint32_t step;
    const char *file, *value;
};

static int parse(struct launch *l, const char *payload, uint32_t length)
{
    if (length < sizeof l->head)
        return fail(EPROTO, "spawn: too short");
    copy_bytes(&l->head, payload, sizeof l->head);
    l->cgroup = payload + sizeof l->head;
    l->end = payload + length;
    l->step = l->head.step;
    if (!is_string(l->cgroup, l->end) || text_length(l->cgroup) >= CGROUP_NAME)
        return fail(EPROTO, "spawn: cgroup");
    l->writes = l->cgroup + text_length(l->cgroup) + 1;
    return 0;
}

static int next_write(struct launch *l, struct file_write *w)
{
    if (l->end - l->writes < (long)sizeof w->step)
        return fail(EPROTO, "spawn: writes");
    copy_bytes(&w->step, l->writes, sizeof w->step);
    w->file = l->writes + sizeof w->step;
    if (!is_string(w->file, l->end))
        return fail(EPROTO, "spawn: writes");
    w->value = w->file + text_length(w->file) + 1;
    if (!is_string(w->value, l->end))
        return fail(EPROTO, "spawn: writes");
    l->writes = w->value + text_length(w->value) + 1;
    return 0;
}

/* `count` files below a directory: of the cgroup, or of the process in /proc. */
static int write_files(struct launch *l, unsigned count, const char *root, const char *directory)
{
    static char base[CGROUP_NAME + 64], path[CGROUP_NAME + 512];
    if (text_join(base, sizeof base, root, directory, "/") < 0)
        return -1;
    while (count--) {
        struct file_write w;
        if (next_write(l, &w) < 0)
            return -1;
        l->step = w.step;
        l->detail = w.file;
        if (text_join(path, sizeof path, base, w.file, "") < 0 ||
            write_whole(path, w.value, text_length(w.value)) < 0)
            return -1;
    }
    l->step = l->head.step;
    l->detail = "";
    return 0;
}

/* A new user namespace's capabilities would be gone with execve(2), before its users are mapped (spawn.c). */
static int keep_capabilities(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2] = {{0}};
    if (sc2(capget, P(&header), P(sets)) < 0)
        return -1;
    for (int i = 0; i < 2; i++)
        sets[i].inheritable = sets[i].permitted;
    if (sc2(capset, P(&header), P(sets)) < 0)
        return -1;
    for (int cap = 0; cap < 64; cap++)
        if (sets[cap / 32].permitted >> cap % 32 & 1)
            sys_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
    return 0;
}

/* The descriptors where start.c expects them; all others close with execve. */
static int place(int *program, int fds[OWN_FDS], int stdio[3])
{
    *program = (int)sc3(fcntl, *program, F_DUPFD_CLOEXEC, BASE + OWN_FDS + 3);
    for (int i = 0; i < 3; i++) /* out of the way first: a source may sit in another's place */
        if ((stdio[i] = (int)sc3(fcntl, stdio[i], F_DUPFD_CLOEXEC, BASE + OWN_FDS)) < 0)
            return -1;
    for (int i = 0; i < OWN_FDS; i++)
        if (fds[i] >= 0 && (fds[i] = (int)sc3(fcntl, fds[i], F_DUPFD_CLOEXEC, BASE + OWN_FDS)) < 0)
            return -1;
    for (int i = 0; i < 3; i++)
        if (sys_dup3(stdio[i], i, 0) < 0)
            return -1;
    for (int i = 0; i < OWN_FDS; i++) {
        if (fds[i] < 0)
            sys_close(BASE + i);
        else if (sys_dup3(fds[i], BASE + i, 0) < 0)
            return -1;
    }
    return *program < 0 ? -1 : 0;
}

_Noreturn static void child(const struct agent *a, const struct launch *l)
{
    static struct ctx c;
    int fds[OWN_FDS] = {l->sync, l->plan, -1, l->target};
    int stdio[3] = {l->stdio[0], l->stdio[1], l->stdio[2]};
    int program = a->program;
    const char *argv[] = {"minirun-init", "3", NULL}, *env[] = {NULL};
    c.sync_fd = l->sync;
    c.step = l->head.step;
    c.detail = "";
    if (!((l->head.flags & CLONE_NEWUSER) && keep_capabilities() < 0)) {
        int placed = place(&program, fds, stdio);
        c.sync_fd = fds[0];
        if (placed >= 0)
            sc5(execveat, program, P(""), P(argv), P(env), AT_EMPTY_PATH);
    }
    sync_failed(&c);
    sys_exit(127);
    __builtin_unreachable();
}

static int launch(struct agent *a, struct task *t, struct launch *l)
{
    struct clone_args args = {
        .flags = l->head.flags | CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
        .pidfd = (uint64_t)(uintptr_t)&t->pidfd,
        .exit_signal = 17 /* SIGCHLD */,
    };
    if (l->cgroup_fd >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)l->cgroup_fd;
    }
    long pid = sc2(clone3, P(&args), sizeof args);
    if (pid == 0)
        child(a, l);
    if (pid < 0)
        return -1;
    t->pid = (int)pid;
    t->alive = true;
    return 0;
}

static int prepare(struct agent *a, struct task *t, struct launch *l, const char *payload, uint32_t length)
{
    int pair[2];
    if (parse(l, payload, length) < 0)
        return -1;
    const struct task *target = task_find(a, l->head.target);
    if (l->head.target && !target)
        return fail(ESRCH, "spawn: target");
    if (t->alive || (l->plan = t->bytes) < 0)
        return fail(EPROTO, "spawn: no plan");
    t->bytes = -1;
    l->target = target ? target->pidfd : -1;
    if (*l->cgroup) {
        text_join(t->cgroup, sizeof t->cgroup, l->cgroup, "", "");
        l->detail = l->cgroup;
        if ((l->cgroup_fd = cgroup_make(l->cgroup)) < 0 ||
            write_files(l, l->head.cgroup_writes, "/sys/fs/cgroup/", l->cgroup) < 0)
            return -1;
        t->owned = !target;
    }
    if (sc4(socketpair, 1 /* AF_UNIX */, 5 /* SOCK_SEQPACKET */ | SOCK_CLOEXEC, 0, P(pair)) < 0)
        return -1;
    t->sync = pair[0];
    l->sync = pair[1];
    return streams_open(t, l->head.stdio, l->stdio);
}

static int start(struct agent *a, struct task *t, struct launch *l)
{
    char number[21];
    if (launch(a, t, l) < 0)
        return -1;
    uint32_t pid = (uint32_t)t->pid;
    frame_send(a, FRAME_SPAWNED, stream_of(t, WHOLE), &pid, sizeof pid);
    text_number(number, pid);
    return write_files(l, l->head.task_writes, "/proc/", number);
}

void task_spawn(struct agent *a, struct task *t, const char *payload, uint32_t length)
{
    struct launch l = {.sync = -1, .plan = -1, .target = -1, .cgroup_fd = -1, .stdio = {-1, -1, -1}, .detail = ""};
    if (t->alive)
        return;
    if (prepare(a, t, &l, payload, length) < 0 || start(a, t, &l) < 0) {
        task_failed(a, t, l.step, l.detail);
        if (t->alive) {
            sc4(pidfd_send_signal, t->pidfd, 9, 0, 0);
        } else {
            t->alive = t->dead = true;
            t->status = 1 << 8;
        }
    }
    close_fd(&l.sync);
    close_fd(&l.plan);
    close_fd(&l.cgroup_fd);
    for (int i = 0; i < 3; i++)
        close_fd(&l.stdio[i]);
}
