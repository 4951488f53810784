/*
 * minirun-init: one process, one plan, one loop.  What the files hold:
 *
 *   start.c    entry: descriptors, the loop over the plan, the table of operations
 *   plan.c     the bytes of a plan, bounds-checked                   (minirun/plan/wire.py writes them)
 *   sync.c     messages to and from the host                         (minirun/engine/protocol.py is the other end)
 *   path.c     the only file that resolves container paths
 *   mount.c    the rootfs, new file systems, attributes, masks
 *   bind.c     binds
 *   copyup.c   tmpcopyup
 *   node.c     devices, directories, links
 *   pivot.c    leaving the old root
 *   space.c    namespaces, session, names, interfaces
 *   console.c  the terminal
 *   process.c  limits, user, capabilities, working directory
 *   tune.c     scheduler, IO priority, CPUs, memory nodes, execution domain
 *   exec.c     finding and executing the program, and saying why it cannot be
 *   hook.c     hooks that run inside
 *   seccomp.c  the system call filter
 *   text.c     the few string functions
 *
 * As a guest's first process it is the agent instead: agent.h has the list of its files.
 */
#ifndef MINIRUN_INIT_H
#define MINIRUN_INIT_H

#include "ops.h"
#include "sys.h"

#include <stdbool.h>

#define PATH_SIZE 4096

struct plan_header {
    uint32_t magic, version, count, flags, strings, filter, instructions, size;
};

struct op {
    uint32_t kind, step;
    uint64_t number[OP_NUMBERS];
    uint32_t string[OP_STRINGS];
} __attribute__((packed));

struct plan {
    const struct plan_header *header;
    const struct op *ops;
    const char *bytes;
};

struct ctx {
    struct plan plan;
    uint32_t step;            /* the operation under way, for the report */
    const char *detail;       /* a path or a word that the report should carry */
    char text[PATH_SIZE];     /* where a detail that must be composed lives */
    int sync_fd;              /* to the host */
    int gate_fd;              /* a listening socket, or the connection that opened it; -1: the host starts us */
    int target_fd;            /* exec: pidfd of the container's init */
    int preserve;             /* descriptors after stdio that the program keeps */
    int root_fd;              /* the rootfs: where every container path begins */
    int dev_fd;               /* the tmpfs we put on /dev, or the rootfs's own dev directory */
    int proc_fd;              /* our own detached procfs */
    int mask_fd;              /* the empty read-only tmpfs that covers masked directories */
    int passed_fd;            /* what came with the last GO: the hooks' state, or a mount that the host made */
    const struct op *seccomp; /* the filter that op_exec is to load; NULL: none, or it is in force */
    bool filtered;            /* a filter is in force: any system call may fail, kill, or wait for somebody */
    bool cwd_done;
    bool has_terminal; /* stdio is a terminal that we opened */
    bool stays;        /* we are linked into a process that goes on where exec would be: native/vm/sandbox.c */
    const char *home;  /* what op_exec would add to the environment: "HOME=...", or NULL */
    char program[PATH_SIZE];
};

/* plan.c */
int plan_open(struct plan *plan, const void *bytes, size_t size);
static inline const char *op_string(const struct ctx *c, const struct op *op, unsigned slot)
{
    return c->plan.bytes + c->plan.header->strings + op->string[slot];
}
#define S(op, slot) op_string(c, op, S_##slot)
#define N(op, slot) ((op)->number[N_##slot])
const char *list_next(const char *item);

/* text.c */
size_t text_length(const char *s);
bool text_equal(const char *a, const char *b);
bool text_starts(const char *s, const char *prefix);
const char *text_last(const char *s, char wanted);
const char *text_first(const char *s, char wanted);
int text_join(char *to, size_t size, const char *a, const char *b, const char *c);
void text_number(char *to, uint64_t value);
int64_t text_parse(const char *s, char end);

/* sync.c */
void sync_failed(struct ctx *c);
void sync_warning(struct ctx *c, const char *detail);
void sync_trace(struct ctx *c, uint32_t step, uint64_t nanoseconds);
int sync_simple(struct ctx *c, unsigned type, int value);
int sync_send_fd(struct ctx *c, unsigned type, int fd);
int sync_wait_go(struct ctx *c);
int op_wait(struct ctx *c, const struct op *op);
uint64_t now_nanoseconds(void);

/* path.c */
int path_open(struct ctx *c, const char *path, uint64_t flags, uint64_t resolve);
int path_make_directory(struct ctx *c, const char *path, uint64_t resolve);
int path_make_file(struct ctx *c, const char *path, uint64_t resolve);
int path_parent(struct ctx *c, const char *path, const char **name);
int path_kind(int fd, struct statx *to);
int path_null(struct ctx *c);

/* console.c */
int console_control(void);

/* start.c, for a process that carries out the plan itself */
int init_carry_out(int base);
const char *init_program(void);
const char *init_home(void);
void init_cannot_execute(int err);
void init_has_executed(void);

/* guest.c, agent.c */
int guest_main(const char *program);
int agent_main(int channel);

/* the operations */
int op_join(struct ctx *c, const struct op *op);
int op_unshare(struct ctx *c, const struct op *op);
int op_session(struct ctx *c, const struct op *op);
int op_interface(struct ctx *c, const struct op *op);
int op_name(struct ctx *c, const struct op *op);
int op_root(struct ctx *c, const struct op *op);
int op_mount(struct ctx *c, const struct op *op);
int op_bind(struct ctx *c, const struct op *op);
int op_attr(struct ctx *c, const struct op *op);
int op_mask(struct ctx *c, const struct op *op);
int op_node(struct ctx *c, const struct op *op);
int op_console(struct ctx *c, const struct op *op);
int op_pivot(struct ctx *c, const struct op *op);
int op_write_proc(struct ctx *c, const struct op *op);
int op_rlimit(struct ctx *c, const struct op *op);
int op_tune(struct ctx *c, const struct op *op);
int op_hook(struct ctx *c, const struct op *op);
int op_bounding(struct ctx *c, const struct op *op);
int op_chdir(struct ctx *c, const struct op *op);
int op_user(struct ctx *c, const struct op *op);
int op_capabilities(struct ctx *c, const struct op *op);
int make_effective(void);
int op_find_program(struct ctx *c, const struct op *op);
int op_seccomp(struct ctx *c, const struct op *op);
int seccomp_load(struct ctx *c);
void explain_program(struct ctx *c);
int op_exec(struct ctx *c, const struct op *op);
int copy_up(struct ctx *c, int from, int to);
int set_attributes(int mount, unsigned flags, uint64_t set, uint64_t clear);
int take_passed(struct ctx *c);
int mounted(struct ctx *c, const char *target, int mount);
const char **make_vector(const char *first, size_t count, const char *extra);

#endif
