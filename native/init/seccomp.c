/*
 * The system call filter: loaded last, so that of all our system calls only execve(2) runs under it.
 *
 * op_seccomp only arms it.  op_exec prepares everything first (memory, HOME, the descriptors), and then loads it here:
 * a filter that forbids open(2), or kills at the first write(2), is nothing to us.  Loading needs CAP_SYS_ADMIN in our
 * user namespace or no_new_privs (seccomp(2)); op_capabilities has kept it for this.  Where somebody could take it from
 * us meanwhile (minirun/plan/seccomp.py, in_sight) the plan says: at once.
 */
#include "init.h"

#include <linux/seccomp.h>

struct filter_program { /* struct sock_fprog of linux/filter.h, whose header wants types we do not have */
    unsigned short length;
    const void *instructions;
};

int op_seccomp(struct ctx *c, const struct op *op)
{
    if (!c->plan.header->instructions)
        return fail(EINVAL, "plan: no filter");
    c->seccomp = op;
    return N(op, SECCOMP_AT_ONCE) ? seccomp_load(c) : 0;
}

/* A failure is that of the operation which armed it: its step is the one to report. */
int seccomp_load(struct ctx *c)
{
    const struct op *op = c->seccomp;
    struct filter_program program = {(unsigned short)c->plan.header->instructions,
                                     c->plan.bytes + c->plan.header->filter};
    uint32_t step = c->step;
    if (!op)
        return 0;
    c->step = op->step;
    if (sc3(seccomp, SECCOMP_SET_MODE_FILTER, N(op, SECCOMP_FLAGS), P(&program)) < 0)
        return -1;
    c->step = step;
    c->seccomp = NULL;
    c->filtered = true;
    return 0;
}
