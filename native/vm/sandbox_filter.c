/*
 * The filter of /linux/seccomp, put to each of the program's calls: classic BPF on struct seccomp_data
 * (Documentation/userspace-api/seccomp_filter.rst; seccomp_check_filter() has the instructions that there are).
 */
#include "sandbox.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>

#define BROKEN (-1)

struct machine {
    uint32_t a, x, memory[BPF_MEMWORDS];
    struct seccomp_data data;
};

static int arithmetic(struct machine *m, const struct sock_filter *i)
{
    uint32_t operand = BPF_SRC(i->code) == BPF_X ? m->x : i->k;
    switch (BPF_OP(i->code)) {
    case BPF_ADD:
        m->a += operand;
        return 0;
    case BPF_SUB:
        m->a -= operand;
        return 0;
    case BPF_AND:
        m->a &= operand;
        return 0;
    case BPF_OR:
        m->a |= operand;
        return 0;
    case BPF_XOR:
        m->a ^= operand;
        return 0;
    case BPF_LSH:
        m->a = operand < 32 ? m->a << operand : 0;
        return 0;
    case BPF_RSH:
        m->a = operand < 32 ? m->a >> operand : 0;
        return 0;
    case BPF_NEG:
        m->a = 0 - m->a;
        return 0;
    default:
        return BROKEN;
    }
}

/* How many instructions to skip. */
static unsigned jump(const struct machine *m, const struct sock_filter *i)
{
    uint32_t operand = BPF_SRC(i->code) == BPF_X ? m->x : i->k;
    switch (BPF_OP(i->code)) {
    case BPF_JEQ:
        return m->a == operand ? i->jt : i->jf;
    case BPF_JGT:
        return m->a > operand ? i->jt : i->jf;
    case BPF_JGE:
        return m->a >= operand ? i->jt : i->jf;
    case BPF_JSET:
        return m->a & operand ? i->jt : i->jf;
    default:
        return i->k;
    }
}

static int load(struct machine *m, const struct sock_filter *i, uint32_t *to)
{
    switch (BPF_MODE(i->code)) {
    case BPF_IMM:
        *to = i->k;
        return 0;
    case BPF_MEM:
        *to = m->memory[i->k % BPF_MEMWORDS];
        return 0;
    case BPF_LEN:
        *to = sizeof m->data;
        return 0;
    case BPF_ABS:
        if (i->k > sizeof m->data - 4 || i->k % 4)
            return BROKEN;
        memcpy(to, (const char *)&m->data + i->k, 4);
        return 0;
    default:
        return BROKEN;
    }
}

/* What the program says of the call that `guest` stands at: SECCOMP_RET_ and its data; -EINVAL if it is broken. */
int64_t sandbox_filter(const void *program, unsigned count, const struct guest *guest)
{
    const struct sock_filter *code = program;
    struct machine m = {.data = {.nr = (int)guest->number, .arch = AUDIT_ARCH_X86_64}};
    memcpy(m.data.args, guest->arguments, sizeof m.data.args);
    for (unsigned at = 0; at < count; at++) {
        const struct sock_filter *i = &code[at];
        int done = 0;
        switch (BPF_CLASS(i->code)) {
        case BPF_LD:
            done = load(&m, i, &m.a);
            break;
        case BPF_LDX:
            done = load(&m, i, &m.x);
            break;
        case BPF_ST:
            m.memory[i->k % BPF_MEMWORDS] = m.a;
            break;
        case BPF_STX:
            m.memory[i->k % BPF_MEMWORDS] = m.x;
            break;
        case BPF_ALU:
            done = arithmetic(&m, i);
            break;
        case BPF_JMP:
            at += jump(&m, i);
            break;
        case BPF_MISC:
            if (i->code & BPF_TXA)
                m.a = m.x;
            else
                m.x = m.a;
            break;
        default:
            return BPF_RVAL(i->code) == BPF_A ? m.a : i->k;
        }
        if (done == BROKEN)
            return -EINVAL;
    }
    return -EINVAL;
}
