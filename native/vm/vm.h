/*
 * The native half of the VMM: what may not cross into Python at every exit or every request.
 *
 *   memory.c   guest memory: the only place where a guest's address becomes a pointer
 *   confine.c  what the VMM gives up before its guest runs
 *   lz4.c      a kernel's packing that Python does not know
 *   vcpu.c     KVM_RUN in a loop; what leaves it is for Python
 *   share*.c   what the file-system share asks of the host (share.h)
 *   virtq*.c   virtqueues (virtq.h)
 *   worker.c   a thread of a device's own
 *   blk.c, net.c, balloon.c   what the devices of these names do per request
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

/* confine.c: minirun/vm/confine.py says in which order. */
int confine_unshare(uint64_t flags);
int confine_proc(void);
int confine_empty_root(void);
int confine_rights(uint64_t kept);
int confine_filter(const void *program, unsigned count);
int confine_name(const char *name);
long lz4_block(const uint8_t *source, size_t length, uint8_t *target, size_t room);
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
