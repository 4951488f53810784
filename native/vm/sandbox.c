/*
 * Page tables and the vCPU of a sandbox (sandbox.h).
 *
 * How a system call leaves the VM: LSTAR names a page with `out PORT_CALL, eax`, so SYSCALL ends in KVM_EXIT_IO.  How it
 * comes back depends on where that has left the processor.  At level 0, as the manuals say: it goes on with the SYSRET that
 * stands in the same page, and nothing but RAX and RIP has changed.  Still at level 3, where KVM is emulated: SYSRET
 * would be refused there, and we set RIP from RCX and RFLAGS from R11 in its place.  A fault enters at level 0 through the IDT, on the stack that the task state names, and ends with `out PORT_FAULT, al`; what the processor
 * pushed is at the top of that stack.  Registers travel in kvm_run (KVM_CAP_SYNC_REGS): no ioctl but KVM_RUN.
 */
#include "vm.h"

#include "sandbox.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096ull
#define PRESENT 1ull
#define WRITABLE 2ull
#define USER 4ull
#define ACCESSED 32ull
#define DIRTY 64ull
#define NO_EXECUTE (1ull << 63)
#define ADDRESS 0x000ffffffffff000ull
#define MOST (1ull << 39) /* what one entry of the root covers */

static uint64_t *table(const struct space *space, uint64_t at) { return (uint64_t *)(void *)(space->base + at); }

static uint64_t new_table(struct space *space)
{
    if (space->used + PAGE > space->arena_size)
        return 0;
    uint64_t at = space->arena + space->used;
    space->used += PAGE;
    memset(table(space, at), 0, PAGE);
    return at;
}

/* Two roots: a change of CR3 from one to the other is what makes KVM forget old translations. */
int space_begin(struct space *space)
{
    space->used = 0;
    if (!new_table(space) || !new_table(space)) {
        errno = ENOMEM;
        return -1;
    }
    return 0;
}

static uint64_t entry_bits(unsigned bits)
{
    uint64_t entry =
        PRESENT | ACCESSED | DIRTY; /* nobody asks; and KVM makes ready what was accessed before it is */
    if (!bits)
        return 0;
    if (!(bits & SPACE_SYSTEM))
        entry |= USER;
    if (bits & SPACE_WRITE)
        entry |= WRITABLE;
    if (!(bits & SPACE_EXEC))
        entry |= NO_EXECUTE;
    return entry;
}

/* The table that `slot` leads to, made if there is none. */
static uint64_t *below(struct space *space, uint64_t *slot)
{
    if (!(*slot & PRESENT)) {
        uint64_t made = new_table(space);
        if (!made)
            return NULL;
        *slot = made | PRESENT | WRITABLE | USER | ACCESSED;
    }
    return table(space, *slot & ADDRESS);
}

int space_map(struct space *space, uint64_t at, uint64_t size, unsigned bits)
{
    uint64_t flags = entry_bits(bits), end = at + size;
    if (at % PAGE || size % PAGE || end > MOST || end < at) {
        errno = EINVAL;
        return -1;
    }
    uint64_t *root = table(space, space->arena);
    while (at < end) {
        uint64_t *third = below(space, &root[at >> 39]);
        uint64_t *second = third ? below(space, &third[at >> 30 & 511]) : NULL;
        uint64_t *first = second ? below(space, &second[at >> 21 & 511]) : NULL;
        if (!first) {
            errno = ENOMEM;
            return -1;
        }
        for (uint64_t i = at >> 12 & 511; i < 512 && at < end; i++, at += PAGE)
            first[i] = flags ? at | flags : 0;
    }
    memcpy(table(space, space->arena + PAGE), root, PAGE);
    return 0;
}

struct kvm_regs *guest_regs(struct guest *guest) { return &guest->run->s.regs.regs; }

struct kvm_sregs *guest_sregs(struct guest *guest) { return &guest->run->s.regs.sregs; }

void guest_dirty(struct guest *guest) { guest->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS; }

int guest_map(struct guest *guest, uint64_t size)
{
    void *run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, guest->fd, 0);
    if (run == MAP_FAILED)
        return -1;
    guest->run = run;
    guest->run_size = size;
    guest->run->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    return 0;
}

void guest_unmap(struct guest *guest)
{
    if (guest->run)
        munmap(guest->run, guest->run_size);
    guest->run = NULL;
}

/* __USER_CS and __USER_DS (arch/x86/include/asm/segment.h), as SYSRET loads them: for whoever writes all registers. */
static void user_segments(struct kvm_sregs *sregs)
{
    sregs->cs = (struct kvm_segment){
        .limit = ~0u, .selector = 0x33, .type = 11, .present = 1, .dpl = 3, .s = 1, .l = 1, .g = 1};
    sregs->ss = (struct kvm_segment){
        .limit = ~0u, .selector = 0x2b, .type = 3, .present = 1, .dpl = 3, .db = 1, .s = 1, .g = 1};
}

/* CF PF AF ZF SF TF DF OF AC ID: no privilege level for ports, no nested task, no resume flag. */
#define USER_FLAGS 0x240dd5ull

static int take_call(struct guest *guest)
{
    struct kvm_regs *regs = guest_regs(guest);
    guest->number = (int64_t)regs->rax;
    uint64_t arguments[6] = {regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8, regs->r9};
    memcpy(guest->arguments, arguments, sizeof arguments);
    regs->rip = regs->rcx;
    /* As SYSRET; a program that says `out` by itself chooses R11. */
    regs->rflags = (regs->r11 & USER_FLAGS) | 0x202;
    guest->level0 = guest_sregs(guest)->cs.dpl == 0;
    if (guest->level0)
        user_segments(guest_sregs(guest));
    guest->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
    guest->calls++;
    return GUEST_CALL;
}

/* What a processor would say of itself at level 3: 13 is a general protection fault, 6 an instruction that there is not. */
static int forged(struct guest *guest, uint64_t vector)
{
    guest->vector = vector;
    guest->error = guest->address = 0;
    guest->faults++;
    return GUEST_FAULT;
}

/* vector, error code, then what the processor pushed: rip, cs, rflags, rsp, ss. */
static int take_fault(struct guest *guest)
{
    const uint64_t *frame = table(guest->space, guest->stack - 7 * 8);
    struct kvm_regs *regs = guest_regs(guest);
    if (guest_sregs(guest)->cs.dpl) /* the program's own `out`: nothing was pushed */
        return forged(guest, 13);
    guest->vector = frame[0];
    guest->error = frame[1];
    guest->address = guest_sregs(guest)->cr2;
    regs->rip = frame[2];
    regs->rflags = (frame[4] & USER_FLAGS) | 0x202;
    regs->rsp = frame[5];
    user_segments(guest_sregs(guest));
    guest_dirty(guest);
    guest->level0 = 0;
    guest->faults++;
    return GUEST_FAULT;
}

/*
 * Out of a system call.  Segments are costly to set, so that they are left alone unless somebody has changed something else
 * among them (guest_dirty): the SYSRET loads them.  SYSRET takes RIP and RFLAGS from RCX and R11, where SYSCALL put them.
 */
static void give_result(struct guest *guest, int how, int64_t result)
{
    struct kvm_run *run = guest->run;
    if (how == GUEST_RESULT) {
        guest_regs(guest)->rax = (uint64_t)result;
        run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
    }
    if (!guest->level0)
        return;
    guest->level0 = 0;
    if (how == GUEST_RESULT && guest->stub && !(run->kvm_dirty_regs & KVM_SYNC_X86_SREGS)) {
        guest_regs(guest)->rip = guest->stub;
        guest_regs(guest)->rflags = 2;
    } else {
        guest_dirty(guest);
    }
}

/*
 * Called back by a signal.  At level 0 a few instructions of ours are left, which nobody may find in a signal's frame: behind
 * a SYSRET the program stands where it will lead to, and the others end in an exit of their own, before which we are back.
 */
static int called_back(struct guest *guest)
{
    struct kvm_regs *regs = guest_regs(guest);
    if (guest_sregs(guest)->cs.dpl != 0)
        return GUEST_KICKED;
    if (regs->rip != guest->stub) {
        guest->run->immediate_exit = 0; /* guest->pending is not forgotten */
        return 0;
    }
    regs->rip = regs->rcx;
    regs->rflags = (regs->r11 & 0x3c7fd7) | 2;
    user_segments(guest_sregs(guest));
    guest_dirty(guest);
    return GUEST_KICKED;
}

/*
 * The host has nothing for a page that is mapped: a file is shorter than its mapping, say.  Newer kernels tell which it is
 * (KVM_EXIT_MEMORY_FAULT, not yet in every distribution's header: flags, address, size).
 */
static int not_there(struct guest *guest)
{
    const uint64_t *said = (const uint64_t *)(const void *)&guest->run->hw;
    uint64_t address = guest->run->exit_reason == 39 ? said[1] : 0;
    forged(guest, VECTOR_BUS);
    guest->address = address;
    return GUEST_FAULT;
}

/* Go on with the program until it needs us: a GUEST_ exit, or -errno of KVM_RUN. */
int guest_next(struct guest *guest, int how, int64_t result)
{
    struct kvm_run *run = guest->run;
    give_result(guest, how, result);
    /* A processor refuses to be entered with an RIP that is no address. */
    if (guest_regs(guest)->rip >> 47)
        return forged(guest, 13);
    for (;;) {
        if (ioctl(guest->fd, KVM_RUN, 0) < 0) {
            if (errno == EFAULT)
                return not_there(guest);
            if (errno != EINTR)
                return -errno;
            guest->kicks++;
            if (called_back(guest) == GUEST_KICKED)
                return GUEST_KICKED;
            continue;
        }
        if (run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_OUT && run->io.port == PORT_CALL)
            return take_call(guest);
        if (run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_OUT && run->io.port == PORT_FAULT)
            return take_fault(guest);
        if (run->exit_reason == KVM_EXIT_IO) /* the program's own, to a port that is nobody's */
            return forged(guest, 13);
        if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR && guest_sregs(guest)->cs.dpl)
            return forged(guest, 6);
        if (run->exit_reason != KVM_EXIT_INTR)
            return GUEST_LOST;
    }
}

/* -- signals ------------------------------------------------------------------------------------------------------- */

static __thread struct guest *own; /* of this thread */

void guest_is(struct guest *guest) { own = guest; }

/* Write it down, and keep the processor from the program until Python has looked. */
static void caught(int number, siginfo_t *info, void *context)
{
    if (info->si_code > 0 && (number == SIGSEGV || number == SIGBUS || number == SIGILL || number == SIGFPE)) {
        signal(number, SIG_DFL); /* a fault of ours: to go on would be to fault again */
        return;
    }
    if (!own || number < 1 || number > GUEST_SIGNALS)
        return;
    memcpy(own->info[number - 1], info, GUEST_INFO);
    __atomic_or_fetch(&own->pending, 1ull << (number - 1), __ATOMIC_SEQ_CST);
    own->run->immediate_exit = 1;
    sigaddset(&((ucontext_t *)context)->uc_sigmask,
              number); /* the next waits, with its siginfo, until this is delivered */
    guest_interrupted(context);
}

/* kind: 0 default, 1 ignored, 2 for the program's handler. */
int guest_action(int number, int kind, unsigned flags)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO | (int)flags};
    if (kind == 2)
        action.sa_sigaction = caught;
    else
        action.sa_handler = kind ? SIG_IGN : SIG_DFL;
    return sigaction(number, &action, NULL) < 0 ? -errno : 0;
}

/* The next one, with its siginfo; 0 if there is none, and the processor may go on. */
int guest_signal(struct guest *guest, void *info)
{
    guest->run->immediate_exit = 0;
    uint64_t pending = __atomic_load_n(&guest->pending, __ATOMIC_SEQ_CST);
    if (!pending)
        return 0;
    int number = __builtin_ctzll(pending) + 1;
    __atomic_and_fetch(&guest->pending, ~(1ull << (number - 1)), __ATOMIC_SEQ_CST);
    memcpy(info, guest->info[number - 1], GUEST_INFO);
    if (pending & (pending - 1))
        guest->run->immediate_exit = 1;
    return number;
}

/* A system call of the host's, its arguments as they are; -errno as the kernel says it. */
long host_call(long number, long a, long b, long c, long d, long e, long f)
{
    long result = syscall(number, a, b, c, d, e, f);
    return result == -1 ? -errno : result;
}
