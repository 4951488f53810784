/*
 * A program in a VM without a kernel: what minirun/vm/sandbox needs of C.  Its README is that package's docstring.
 *
 * The guest's linear addresses, its physical ones and a reservation of the VMM's run in step: the byte at linear address A
 * is at physical address A and at base + A here.  So a pointer of the program's needs no walk through tables: it is added
 * to base, after one comparison; what is not mapped there is not mapped here either, and the host's kernel says EFAULT.
 */
#ifndef MINIRUN_SANDBOX_H
#define MINIRUN_SANDBOX_H

#include <stdint.h>

struct kvm_run;

/* Page tables, written into an arena that the program cannot reach. */
struct space {
    uint8_t *base;
    uint64_t arena, arena_size, used; /* linear = physical; the first page is the root */
};

/* SPACE_* say what is at [at, at + size): 0 is nothing. */
#define SPACE_READ 1u
#define SPACE_WRITE 2u
#define SPACE_EXEC 4u
#define SPACE_SYSTEM 8u /* for level 0 only */

int space_begin(struct space *space);
int space_map(struct space *space, uint64_t at, uint64_t size, unsigned bits);

enum guest_exit { GUEST_CALL = 1, GUEST_FAULT, GUEST_KICKED, GUEST_LOST };
enum guest_how { GUEST_AS_IT_IS, GUEST_RESULT };

#define GUEST_SIGNALS 64
#define GUEST_INFO 128 /* struct siginfo */

/* One vCPU with the program's registers. */
struct guest {
    int fd;
    struct kvm_run *run;
    uint64_t run_size;
    uint64_t stack; /* linear address behind what the processor pushes for a fault */
    uint64_t stub;  /* that of a SYSRET; 0: never use it */
    int level0;     /* the call that is served has left the processor at level 0 */
    struct space *space;
    /* what the last exit says: the call's number and arguments; or the fault's vector, error code and address */
    int64_t number;
    uint64_t arguments[6];
    uint64_t vector, error, address;
    uint64_t calls, faults, kicks;
    /* signals that the program handles, caught and not yet delivered */
    uint64_t pending;
    uint8_t info[GUEST_SIGNALS][GUEST_INFO];
};

/* What a vCPU begins with (processor.py). */
struct start {
    uint64_t cr0, cr4, efer, xcr0, root, gdt, idt, state, star, lstar, fmask;
    uint16_t gdt_limit, idt_limit, state_limit;
};

#define VECTOR_BUS 256 /* none of a processor's: there is a mapping, and nothing behind it */

/* What a copy that fork(2) has made goes on with; the memory slots are numbered by their places. */
struct again {
    int kvm, vm;
    void *cpuid;
    const struct start *start;
    const uint32_t *slots;
    unsigned count;
    uint64_t slot_size, fs, gs;
    const void *regs, *xsave;
};

#define PORT_CALL 0x80
#define PORT_FAULT 0x81

/*
 * What a program's first vCPU needs of the kernel, whatever the program: an address space, a VM, a vCPU, a memory slot.
 * `cpuid`: struct kvm_cpuid2 with room; it is filled with what KVM can show.  `call` is what has failed with `err`.
 */
struct first {
    int kvm;
    uint64_t size, system, system_size, slot_size; /* layout.py */
    void *cpuid;
    uint64_t base, run_size;
    int vm, vcpu;
    struct kvm_run *run;
    int err;
    const char *call;
};

int first_make(struct first *first);
void first_drop(struct first *first);
long sandbox_become(uint64_t flags, int cgroup, int *pid);
void vm_outlives(int vcpu);
int own_exe(void);

struct kvm_regs *guest_regs(struct guest *guest);
struct kvm_sregs *guest_sregs(struct guest *guest);
void guest_dirty(struct guest *guest);
int guest_map(struct guest *guest, uint64_t size);
int guest_again(struct guest *guest, const struct again *again);
int guest_begin(struct guest *guest, void *cpuid, const struct start *start);
int guest_start(struct guest *guest, uint64_t entry, uint64_t stack, const void *xsave);
void guest_unmap(struct guest *guest);
int guest_next(struct guest *guest, int how, int64_t result);
void guest_is(struct guest *guest);
int guest_action(int number, int kind, unsigned flags);
int guest_signal(struct guest *guest, void *info);
int64_t sandbox_filter(const void *program, unsigned count, const struct guest *guest);
int64_t sandbox_reserve(uint64_t size);
int64_t sandbox_copy(int out, void *own, uint64_t at, uint64_t size);
#define GUEST_AGAIN 516 /* the kernel's own ERESTART_RESTARTBLOCK: no call returns it */
long guest_call(struct guest *guest, long number, long a, long b, long c, long d, long e, long f);
void guest_interrupted(void *context);
long host_call(long number, long a, long b, long c, long d, long e, long f);

/* native/init, linked into us: the in-container half of a plan, up to the place where a container executes its program */
int init_carry_out(int base);
const char *init_program(void);
const char *init_home(void);
void init_cannot_execute(int err);
void init_has_executed(void);

#endif
