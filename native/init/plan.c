/*
 * The bytes of a plan.  They come from our own Python, through a sealed memfd; they are checked all the same,
 * because the checks are what the fuzzer exercises and what a version mismatch runs into.
 *
 * After plan_open() every op's kind is known, every string offset lies inside the string block, the block ends
 * with a NUL, every list has as many strings as its count says, and the filter's instructions lie inside and
 * aligned: no handler has to check again.
 */
#include "init.h"

#define FILTER_UNIT 8    /* sizeof(struct sock_filter) */
#define FILTER_MOST 4096 /* BPF_MAXINSNS */

/* Which slots are lists: number slot (count) -> string slot (first item). */
static const struct {
    uint32_t kind;
    uint32_t count, first;
} lists[] = {
    {OP_JOIN, N_JOIN_NAMESPACES, S_JOIN_NAMESPACES},
    {OP_UNSHARE, N_UNSHARE_NAMESPACES, S_UNSHARE_NAMESPACES},
    {OP_MOUNT, N_MOUNT_DATA, S_MOUNT_DATA},
    {OP_MOUNT, N_MOUNT_WORDS, S_MOUNT_WORDS},
    {OP_MOUNT, N_MOUNT_MAPS, S_MOUNT_MAPS},
    {OP_BIND, N_BIND_WORDS, S_BIND_WORDS},
    {OP_BIND, N_BIND_MAPS, S_BIND_MAPS},
    {OP_ATTR, N_ATTR_WORDS, S_ATTR_WORDS},
    {OP_ATTR, N_ATTR_DATA, S_ATTR_DATA},
    {OP_TUNE, N_TUNE_NUMBERS, S_TUNE_NUMBERS},
    {OP_TUNE, N_TUNE_WORDS, S_TUNE_WORDS},
    {OP_HOOK, N_HOOK_ARGS, S_HOOK_ARGS},
    {OP_HOOK, N_HOOK_ENV, S_HOOK_ENV},
    {OP_USER, N_USER_GROUPS, S_USER_GROUPS},
    {OP_FIND_PROGRAM, N_FIND_PROGRAM_SEARCH, S_FIND_PROGRAM_SEARCH},
    {OP_SECCOMP, N_SECCOMP_LINES, S_SECCOMP_LINES},
    {OP_EXEC, N_EXEC_ARGS, S_EXEC_ARGS},
    {OP_EXEC, N_EXEC_ENV, S_EXEC_ENV},
};

/* Does the block hold `count` strings from `offset` on? */
static bool holds(const char *block, uint64_t size, uint64_t offset, uint64_t count)
{
    while (count--) {
        while (offset < size && block[offset])
            offset++;
        if (offset++ >= size)
            return false;
    }
    return true;
}

static bool op_valid(const struct op *op, const char *block, uint64_t size)
{
    if (op->kind >= OP_COUNT)
        return false;
    for (unsigned i = 0; i < OP_STRINGS; i++)
        if (op->string[i] >= size)
            return false;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (lists[i].kind == op->kind &&
            !holds(block, size, op->string[lists[i].first], op->number[lists[i].count]))
            return false;
    return true;
}

int plan_open(struct plan *plan, const void *bytes, size_t size)
{
    const struct plan_header *header = bytes;
    if (size < sizeof *header || header->magic != PLAN_MAGIC)
        return fail(EINVAL, "plan: not a plan");
    if (header->version != PLAN_VERSION)
        return fail(EPROTO, "plan: another version");
    if (header->size != size || header->strings >= header->filter || header->filter > size)
        return fail(EINVAL, "plan: sizes");
    if (header->filter % FILTER_UNIT || header->instructions > FILTER_MOST ||
        (uint64_t)header->instructions * FILTER_UNIT != size - header->filter)
        return fail(EINVAL, "plan: filter");
    if ((uint64_t)header->count * sizeof(struct op) != header->strings - sizeof *header ||
        header->strings < sizeof *header)
        return fail(EINVAL, "plan: record count");
    plan->header = header;
    plan->bytes = bytes;
    plan->ops = (const void *)(plan->bytes + sizeof *header);
    const char *block = plan->bytes + header->strings;
    if (plan->bytes[header->filter - 1] || block[0])
        return fail(EINVAL, "plan: string block");
    for (uint32_t i = 0; i < header->count; i++)
        if (!op_valid(&plan->ops[i], block, header->filter - header->strings))
            return fail(EINVAL, "plan: record");
    return 0;
}

const char *list_next(const char *item) { return item + text_length(item) + 1; }
