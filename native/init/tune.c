/*
 * How the kernel treats us: scheduler, IO priority, CPUs, memory nodes, execution domain.  One system call each;
 * the numbers are Python's, the structures the compiler's.
 */
#include "init.h"

#include <linux/sched/types.h>

#define MOST_CPUS 8192
#define MOST_NODES 1024
#define IOPRIO_OF_PROCESS 1 /* IOPRIO_WHO_PROCESS: linux/ioprio.h of older distributions keeps it to itself */

struct numbers {
    const char *next;
    uint64_t left;
};

/* The next one, perhaps negative (nice); 0 when there is none left. */
static uint64_t take(struct numbers *n)
{
    if (!n->left)
        return 0;
    bool negative = *n->next == '-';
    uint64_t value = 0;
    for (const char *s = n->next + negative; *s >= '0' && *s <= '9'; s++)
        value = value * 10 + (uint64_t)(*s - '0');
    n->next = list_next(n->next);
    n->left--;
    return negative ? 0 - value : value;
}

/* What is left, as a mask of `bits`. */
static int take_mask(struct numbers *n, uint64_t *mask, uint64_t bits, const char *call)
{
    while (n->left) {
        uint64_t bit = take(n);
        if (bit >= bits)
            return fail(EINVAL, call);
        mask[bit / 64] |= (uint64_t)1 << bit % 64;
    }
    return 0;
}

static int set_scheduler(struct numbers *n)
{
    struct sched_attr attr = {.size = sizeof attr};
    attr.sched_policy = (uint32_t)take(n);
    attr.sched_flags = take(n);
    attr.sched_nice = (int32_t)take(n);
    attr.sched_priority = (uint32_t)take(n);
    attr.sched_runtime = take(n);
    attr.sched_deadline = take(n);
    attr.sched_period = take(n);
    return (int)sc3(sched_setattr, 0, P(&attr), 0);
}

/* All of them, if none is named; the kernel leaves out what it does not have, and what the cgroup may not use. */
static int set_affinity(struct numbers *n)
{
    uint64_t mask[MOST_CPUS / 64] = {0};
    for (size_t i = 0; !n->left && i < sizeof mask / sizeof *mask; i++)
        mask[i] = ~(uint64_t)0;
    if (take_mask(n, mask, MOST_CPUS, "sched_setaffinity") < 0)
        return -1;
    return (int)sc3(sched_setaffinity, 0, sizeof mask, P(mask));
}

static int set_memory_policy(struct numbers *n)
{
    uint64_t nodes[MOST_NODES / 64] = {0};
    uint64_t mode = take(n);
    bool some = n->left > 0;
    if (take_mask(n, nodes, MOST_NODES, "set_mempolicy") < 0)
        return -1;
    /* the kernel counts one bit less than it is told (mm/mempolicy.c, get_nodes) */
    return (int)sc3(set_mempolicy, mode, some ? P(nodes) : 0, some ? MOST_NODES + 1 : 0);
}

int op_tune(struct ctx *c, const struct op *op)
{
    const char *what = S(op, TUNE_WHAT);
    struct numbers n = {S(op, TUNE_NUMBERS), N(op, TUNE_NUMBERS)};
    c->detail = "";
    if (text_equal(what, "sched_setattr"))
        return set_scheduler(&n);
    if (text_equal(what, "sched_setaffinity"))
        return set_affinity(&n);
    if (text_equal(what, "set_mempolicy"))
        return set_memory_policy(&n);
    if (text_equal(what, "ioprio_set"))
        return (int)sc3(ioprio_set, IOPRIO_OF_PROCESS, 0, take(&n));
    if (text_equal(what, "personality"))
        return sc1(personality, take(&n)) < 0 ? -1 : 0;
    return fail(EINVAL, "tune");
}
