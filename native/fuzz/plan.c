/*
 * The plan decoder under libFuzzer: whatever the bytes are, plan_open() refuses them, or every string and list
 * that a handler may reach lies inside them.  `make fuzz` begins with the goldens (corpus.py).
 *
 * With -DALONE it is an ordinary program: it takes files, each one a plan, and says how many were accepted.
 */
#include "../init/plan.c"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct failure last_failure;

/* Read what handlers and the kernel read: every slot as a string, every list to its last item, the filter. */
static size_t walk(const struct plan *plan)
{
    size_t sum = 0;
    const char *block = plan->bytes + plan->header->strings;
    const uint64_t *filter = (const void *)(plan->bytes + plan->header->filter);
    for (uint32_t i = 0; i < plan->header->instructions; i++)
        sum += filter[i] & 1; /* aligned, and all of them there */
    for (uint32_t i = 0; i < plan->header->count; i++) {
        const struct op *op = &plan->ops[i];
        for (unsigned slot = 0; slot < OP_STRINGS; slot++)
            sum += text_length(block + op->string[slot]);
        for (size_t row = 0; row < sizeof lists / sizeof *lists; row++) {
            if (lists[row].kind != op->kind)
                continue;
            const char *item = block + op->string[lists[row].first];
            for (uint64_t n = op->number[lists[row].count]; n--; item = list_next(item))
                sum += text_length(item);
        }
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct plan plan = {0};
    if (plan_open(&plan, data, size) < 0) {
        if (last_failure.err <= 0 || !last_failure.call)
            abort(); /* a refusal without its reason */
        return 0;
    }
    if (walk(&plan) == SIZE_MAX)
        abort(); /* never; but the walk must not be optimized away */
    return 0;
}

#ifdef ALONE
/* One file of the form {u32 size, bytes}...: thousands of plans in one process. */
int main(int argc, char **argv)
{
    unsigned accepted = 0, all = 0;
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    uint32_t size;
    if (!file)
        return 2;
    while (fread(&size, sizeof size, 1, file) == 1) {
        uint8_t *data = malloc(size ? size : 1); /* exactly as long as the plan: a byte too far is seen */
        struct plan plan = {0};
        if (!data || fread(data, 1, size, file) != size)
            return 2;
        LLVMFuzzerTestOneInput(data, size);
        accepted += plan_open(&plan, data, size) == 0;
        all++;
        free(data);
    }
    fclose(file);
    printf("%u %u\n", all, accepted);
    return 0;
}
#endif
