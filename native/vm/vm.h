/*
 * The native half of the VMM: what may not cross into Python at every exit or every request.
 *
 *   memory.c   guest memory: the only place where a guest's address becomes a pointer
 *   vcpu.c     KVM_RUN in a loop; what leaves it is for Python
 *   virtq*.c   virtqueues (virtq.h)
 *
 * Beside each file lies its .cdef: the declarations that Python sees (native/build.py joins them).
 */
#ifndef MINIRUN_VM_H
#define MINIRUN_VM_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Guest memory in one mapping: [0, low) at the bottom, and [4 GiB, 4 GiB + high) right behind it in the mapping. */
struct guest_memory {
    uint8_t *host;
    uint64_t low, high;
};

#define GUEST_HIGH (4ull << 30)

/* NULL unless all of [address, address + length) is memory, in one region. */
void *guest_range(const struct guest_memory *memory, uint64_t address, uint64_t length);

#define VCPU_PORTS 65536
#define VCPU_WINDOWS 64
#define VCPU_REASONS 40
#define VCPU_KICKED 1000

/* What all vCPUs of a machine answer without Python: which ports somebody owns, and the interrupt words of devices. */
struct vcpu_shared {
    uint8_t owned[VCPU_PORTS / 8];
    struct vcpu_window {
        uint64_t base;
        uint32_t *status;
    } windows[VCPU_WINDOWS];
};

struct vcpu {
    int fd, tid;
    struct kvm_run *run;
    size_t run_size;
    struct vcpu_shared *shared;
    /* the access that Python is to carry out, and its answer */
    uint64_t address, value;
    uint32_t size;
    bool is_write;
    int pending;    /* the exit whose answer is still to be handed to KVM */
    uint32_t index; /* the element of a string instruction */
    /* what an exit that ends the machine says of itself */
    uint32_t suberror, data_count;
    uint64_t data[16];
    /* counters */
    uint64_t reasons[VCPU_REASONS], in_c, in_python, kicks;
};

int kvm_ioctl(int fd, unsigned long request, void *argument);
int vcpu_map(struct vcpu *vcpu, size_t size);
void vcpu_unmap(struct vcpu *vcpu);
int vcpu_thread(struct vcpu *vcpu, const char *name);
int vcpu_run(struct vcpu *vcpu);
int vcpu_kick(struct vcpu *vcpu);
void vcpu_unkick(struct vcpu *vcpu);
void vcpu_own_ports(struct vcpu_shared *shared, uint16_t first, uint32_t count);
int vcpu_fast_status(struct vcpu_shared *shared, uint64_t window, uint32_t *status);

#endif
