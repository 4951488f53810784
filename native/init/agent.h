/*
 * The agent: minirun-init as the guest's first process, or, for tests, an ordinary one ("minirun-init agent FD").
 *
 *   guest.c    from the kernel's hands to the channel: modules, mounts, the port
 *   agent.c    the loop: one poll(2), frames in, events out
 *   frames.c   the two buffers of the channel
 *   task.c     a program: its messages, orders, its end
 *   launch.c   clone3(2), and minirun-init with its plan
 *   streams.c  stdio and terminals, with credit
 *   files.c    reading and writing the guest's files for the host; cgroups
 *
 * Nothing here waits for one thing only, and nothing grows: a task has fixed buffers, and what the host or a program
 * may send is read only while there is room for what it may cause.
 */
#ifndef MINIRUN_AGENT_H
#define MINIRUN_AGENT_H

#include "channel.h"
#include "init.h"
#include "kernel.h"

#define OUTBOX (512u << 10)
#define INBOX (2 * FRAME_MOST)
#define ROOM_ANSWER (2 * FRAME_MOST) /* before a frame of the host's is looked at, or a death */
#define ROOM_REPORT 4096u
#define REPORT_SIZE 256u
#define CGROUP_NAME 512u

struct task {
    unsigned number; /* 0: nobody */
    int pid, pidfd;
    int sync;             /* to its init; -1: execve has closed it, or death */
    int bytes;            /* a memfd that takes BYTES; -1: none so far */
    int in, out[2];       /* our ends of its pipes; a terminal's master is `in` */
    bool terminal, alive; /* a terminal is both its input and its output; alive: it has been spawned */
    bool in_ended;        /* the host has no more for it */
    bool dead, owned;     /* owned: its cgroup ends with it */
    bool drained[2];      /* nothing is left of what there was to read at its death */
    uint32_t left[2];     /* or this much at most */
    uint32_t credit[2];   /* what we may send of its output */
    uint32_t owed;        /* of its input, what it has taken and the host does not know of */
    uint32_t first, held; /* the part of `typed` that it has not taken */
    int status;
    struct kernel_rusage usage;
    char cgroup[CGROUP_NAME];
    char typed[WINDOW];
};

struct agent {
    int channel, signals, program; /* program: minirun-init in a sealed memfd */
    bool guest;                    /* the real thing: there is a machine to be switched off */
    bool deaths;                   /* SIGCHLD came, and somebody may still wait to be reaped */
    uint64_t begun, modules, share;
    uint32_t in_length, out_first, out_end;
    struct task tasks[TASKS];
    char in[INBOX];
    char out[OUTBOX];
};

/* guest.c */
_Noreturn void power_off(struct agent *a, const char *why);

/* agent.c */
_Noreturn void agent_run(struct agent *a);
int own_program(const char *path);
extern struct agent the_agent;

/* frames.c */
uint32_t frames_room(const struct agent *a);
char *frame_begin(struct agent *a, unsigned kind, unsigned stream, uint32_t most);
void frame_end(struct agent *a, uint32_t length);
void frame_send(struct agent *a, unsigned kind, unsigned stream, const void *payload, uint32_t length);
int frames_flush(struct agent *a);
int frames_fill(struct agent *a);
const struct frame_header *frame_next(struct agent *a, uint32_t *at);
void frames_drop(struct agent *a, uint32_t length);
void copy_bytes(void *to, const void *from, size_t length);

/* task.c */
struct task *task_find(struct agent *a, unsigned number);
struct task *task_make(struct agent *a, unsigned number);
void task_bytes(struct task *t, const char *data, uint32_t length);
void task_order(struct task *t, uint32_t order);
void task_reports(struct agent *a, struct task *t);
void task_failed(struct agent *a, struct task *t, uint32_t step, const char *detail);
void task_closed(struct agent *a, struct task *t);
void task_settle(struct agent *a, struct task *t);
void tasks_reap(struct agent *a);
static inline unsigned stream_of(const struct task *t, unsigned fd) { return t->number << 2 | fd; }

/* launch.c */
void task_spawn(struct agent *a, struct task *t, const char *payload, uint32_t length);

/* streams.c */
int streams_open(struct task *t, const uint8_t *modes, int theirs[3]);
void streams_terminal(struct task *t, int master);
void stream_out(struct agent *a, struct task *t, unsigned n);
void stream_in(struct agent *a, struct task *t);
int stream_typed(struct agent *a, struct task *t, const char *data, uint32_t length);
void stream_gone(struct agent *a, struct task *t);
void stream_end(struct agent *a, struct task *t, unsigned fd);
void streams_close(struct task *t);
void close_fd(int *fd);

/* files.c */
void file_read(struct agent *a, const char *payload, uint32_t length);
void file_write(struct agent *a, const char *payload, uint32_t length);
int write_whole(const char *path, const char *value, size_t length);
int cgroup_make(const char *path);
void cgroup_controllers(const char *path);
long names_of(const char *path, char *to, uint32_t most);
bool is_string(const char *at, const char *end);

#endif
