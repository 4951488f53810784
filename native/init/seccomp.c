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

#define PAGE_SIZE 4096
#define PATIENCE 5000000000u /* nanoseconds that the host has to take the listener */
#define SAMPLE 2000          /* turns of the wait that are timed */

/* What the host and we look at (minirun/engine/protocol.py, PAGE). */
struct page {
    uint32_t state;
    int32_t listener;
};
enum { PAGE_EMPTY, PAGE_LOADED, PAGE_GO };

struct filter_program { /* struct sock_fprog of linux/filter.h, whose header wants types we do not have */
    unsigned short length;
    const void *instructions;
};

int op_seccomp(struct ctx *c, const struct op *op)
{
    if (!c->plan.header->instructions)
        return fail(EINVAL, "plan: no filter");
    c->seccomp = op;
    if (!N(op, SECCOMP_AT_ONCE))
        return 0;
    return make_effective() < 0 ? -1 : seccomp_load(c);
}

static inline void pause_a_moment(void)
{
#ifdef __x86_64__
    __asm__ volatile("pause" ::: "memory");
#else
    __asm__ volatile("yield" ::: "memory");
#endif
}

static bool wait_for_go(const struct page *page, uint64_t turns)
{
    while (turns--) {
        if (__atomic_load_n(&page->state, __ATOMIC_ACQUIRE) == PAGE_GO)
            return true;
        pause_a_moment();
    }
    return false;
}

/* How many turns PATIENCE is: under the filter there is no clock to ask.  The fastest of a few samples counts. */
static uint64_t patience(const struct page *page)
{
    uint64_t shortest = PATIENCE;
    for (int i = 0; i < 3; i++) {
        uint64_t began = now_nanoseconds();
        wait_for_go(page, SAMPLE);
        uint64_t took = now_nanoseconds() - began;
        if (took < shortest)
            shortest = took;
    }
    return PATIENCE / (shortest + 1) * SAMPLE;
}

/* A page that the host sees as well; it is told before the filter is in force. */
static struct page *share_page(struct ctx *c)
{
    int fd = (int)sc2(memfd_create, P("minirun-listener"), 1 /* MFD_CLOEXEC */);
    if (fd < 0 || sc2(ftruncate, fd, PAGE_SIZE) < 0)
        return NULL;
    long at = sc6(mmap, 0, PAGE_SIZE, 3 /* read, write */, 1 /* shared */, fd, 0);
    if ((at < 0 && at > -4096) || sync_send_fd(c, MSG_LISTENER, fd) < 0 || sys_close(fd) < 0)
        return NULL;
    return (struct page *)(uintptr_t)at;
}

/*
 * The filter asks somebody outside (seccomp_unotify(2)), and until he has the listener, whatever we call may wait for
 * ever: runc and crun hang where sendmsg(2) itself is on the list.  So from here on not one system call: the host
 * takes the descriptor by its number.  Should it be gone, a trap ends us, which no filter can keep from us.
 */
static void hand_over(struct page *page, int listener, uint64_t turns)
{
    page->listener = listener;
    __atomic_store_n(&page->state, PAGE_LOADED, __ATOMIC_RELEASE);
    if (!wait_for_go(page, turns))
        __builtin_trap();
}

/* A failure is that of the operation which armed it: its step is the one to report. */
int seccomp_load(struct ctx *c)
{
    const struct op *op = c->seccomp;
    struct filter_program program = {(unsigned short)c->plan.header->instructions,
                                     c->plan.bytes + c->plan.header->filter};
    uint32_t step = c->step;
    struct page *page = NULL;
    uint64_t turns = 0;
    if (!op)
        return 0;
    c->step = op->step;
    if (N(op, SECCOMP_FLAGS) & SECCOMP_LISTENER) {
        page = share_page(c);
        if (!page)
            return -1;
        turns = patience(page);
    }
    long result = sc3(seccomp, SECCOMP_SET_MODE_FILTER, N(op, SECCOMP_FLAGS), P(&program));
    if (result < 0)
        return -1;
    if (page)
        hand_over(page, (int)result, turns);
    c->step = step;
    c->seccomp = NULL;
    c->filtered = true;
    return 0;
}
