/*
 * minirun-init: what becomes the container's first process.
 *
 * Theory of operation.  The host clone3's a child into the new namespaces and the cgroup; the child executes this
 * program from a sealed memfd, so that no file of the host is ever /proc/self/exe in a container
 * (CVE-2019-5736).  The plan lies in a second memfd.  The program does its operations one by one; a SYNC
 * record means: tell the host, wait for its word.  The first failure is reported as {step, errno, system
 * call, detail} and ends it.  Python owns the words of every message.
 *
 * As the first process of a guest it carries out plans of the host's for others: guest.c, agent.c.
 *
 * Descriptors, from the first one that the program does not keep on: sync, plan, gate, target (pidfd, exec only).
 */
#include "init.h"

struct failure last_failure;

typedef int handler(struct ctx *c, const struct op *op);

/* One row an operation, in the order of minirun/plan/ops.py; the host's operations never arrive here. */
static handler *const handlers[OP_COUNT] = {
    [OP_JOIN] = op_join,
    [OP_UNSHARE] = op_unshare,
    [OP_SESSION] = op_session,
    [OP_INTERFACE] = op_interface,
    [OP_NAME] = op_name,
    [OP_ROOT] = op_root,
    [OP_MOUNT] = op_mount,
    [OP_BIND] = op_bind,
    [OP_ATTR] = op_attr,
    [OP_MASK] = op_mask,
    [OP_NODE] = op_node,
    [OP_CONSOLE] = op_console,
    [OP_PIVOT] = op_pivot,
    [OP_WRITE_PROC] = op_write_proc,
    [OP_RLIMIT] = op_rlimit,
    [OP_TUNE] = op_tune,
    [OP_HOOK] = op_hook,
    [OP_BOUNDING] = op_bounding,
    [OP_CHDIR] = op_chdir,
    [OP_USER] = op_user,
    [OP_CAPABILITIES] = op_capabilities,
    [OP_FIND_PROGRAM] = op_find_program,
    [OP_WAIT] = op_wait,
    [OP_SECCOMP] = op_seccomp,
    [OP_EXEC] = op_exec,
};

/* Every signal at its default, none blocked: a Python parent ignores SIGPIPE, and ignoring is inherited. */
static void default_signals(void)
{
    uint64_t action[4] = {0}; /* struct kernel_sigaction with SIG_DFL */
    uint64_t none = 0;
    for (int signal = 1; signal <= 64; signal++)
        if (signal != 9 && signal != 19)
            sc4(rt_sigaction, signal, P(action), 0, 8);
    sc4(rt_sigprocmask, 2 /* SIG_SETMASK */, P(&none), 0, 8);
}

static int carry_out(struct ctx *c, const struct op *op)
{
    c->step = op->step;
    c->detail = "";
    if (op->kind == OP_SYNC)
        return sync_simple(c, MSG_SYNC, 0) < 0 ? -1 : sync_wait_go(c);
    if (!handlers[op->kind])
        return fail(ENOSYS, "plan: the host's");
    return handlers[op->kind](c, op);
}

static int run_plan(struct ctx *c)
{
    bool trace = c->plan.header->flags & PLAN_FLAG_TRACE;
    for (uint32_t i = 0; i < c->plan.header->count; i++) {
        const struct op *op = &c->plan.ops[i];
        uint64_t began = trace ? now_nanoseconds() : 0;
        if (carry_out(c, op) < 0)
            return -1;
        if (trace && op->kind != OP_SYNC && c->sync_fd >= 0)
            sync_trace(c, op->step, now_nanoseconds() - began);
    }
    return 0;
}

/* The plan, mapped: it is read where it lies. */
static int map_plan(struct ctx *c, int fd)
{
    struct statx is;
    if (sys_statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &is) < 0)
        return -1;
    long at = sc6(mmap, 0, is.stx_size, 1 /* read */, 2 /* private */, fd, 0);
    if (at < 0 && at > -4096)
        return -1;
    sys_close(fd);
    return plan_open(&c->plan, (const void *)(uintptr_t)at, is.stx_size);
}

/*
 * Nobody who will share our pid namespace may look into us.  But without root's rights the host can write our files
 * in /proc (id maps, oom_score_adj) only while we are dumpable, and it may be doing so already: then it stays so from
 * exec on, until op_user, and until op_session at the latest, before anybody of a joined pid namespace can see us.
 */
static int set_dumpable(struct ctx *c)
{
    if (c->plan.header->flags & PLAN_FLAG_DUMPABLE)
        return 0;
    return (int)sys_prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static struct ctx own = {
    .root_fd = -1, .dev_fd = -1, .proc_fd = -1, .mask_fd = -1, .passed_fd = -1, .target_fd = -1};

/* The descriptors from `base` on are ours; 0, or the exit code of a plan that failed and was reported. */
static int carry_all_out(struct ctx *c, int base)
{
    c->preserve = base - 3;
    c->sync_fd = base;
    c->gate_fd = base + 2;
    c->target_fd = base + 3;
    default_signals();
    sc1(umask, 0);
    if (map_plan(c, base + 1) < 0 || set_dumpable(c) < 0 || run_plan(c) < 0) {
        /* When the filter takes the report away, too, the exit code is what is left to say: the shell's (execve). */
        int code = !c->filtered ? 1 : last_failure.err == ENOENT ? 127 : 126;
        sync_failed(c);
        return code;
    }
    return 0;
}

/*
 * A process that is to go on where the others execute their program: it has carried out all the rest when this is 0.
 * It has seen to it that nothing is open behind `base` but what it needs.
 */
int init_carry_out(int base)
{
    own.stays = true;
    return carry_all_out(&own, base);
}

const char *init_program(void) { return own.program; }

const char *init_home(void) { return own.home; }

void init_cannot_execute(int err)
{
    fail(err, "execve");
    explain_program(&own);
    fail(err, "execve");
    sync_failed(&own);
}

/* To the host, end of file is: execve has succeeded. */
void init_has_executed(void)
{
    sys_close(own.sync_fd >= 0 ? own.sync_fd : own.gate_fd); /* through whichever of them START has come */
}

int init_main(int argc, char **argv)
{
    if (argc == 3 && text_equal(argv[1], "agent"))
        return agent_main((int)text_parse(argv[2], '\0'));
    int64_t base = argc == 2 ? text_parse(argv[1], '\0') : -1;
    if (argc > 0 && text_equal(argv[0], "/init") && sc0(getpid) == 1) /* by the kernel, from the initramfs */
        return guest_main(argv[0]);
    if (base < 3 || base > 1 << 20)
        return 2;
    sc3(close_range, base + 4, ~0u, 0); /* whatever leaked into the runtime ends here */
    return carry_all_out(&own, (int)base);
}

#ifdef MINIRUN_FREESTANDING
/* The kernel leaves argc and argv on the stack; nothing else has run before us. */
__attribute__((used)) _Noreturn static void entry(long *stack)
{
    sys_exit(init_main((int)stack[0], (char **)(stack + 1)));
    __builtin_unreachable();
}

#ifdef __x86_64__
__asm__(".globl _start\n_start:\n xor %ebp,%ebp\n mov %rsp,%rdi\n and $-16,%rsp\n call entry\n");
#else
__asm__(".globl _start\n_start:\n mov x29,#0\n mov x0,sp\n b entry\n");
#endif
#elif !defined(MINIRUN_LINKED)
int main(int argc, char **argv) { return init_main(argc, argv); }
#endif
