/*
 * The vCPU loop: KVM_RUN until there is something that Python must decide (Documentation/virt/kvm/api.rst, 5).
 *
 * Stays here: ports that nobody owns (all ones, or dropped), the two interrupt words of a virtio-mmio device, and
 * signals.  A string instruction (rep outs) reaches Python one element at a time.  The GIL is free while we are in here
 * (cffi releases it), so the other vCPUs and the event loop go on.
 *
 * How a vCPU is called back: vcpu_kick() sets kvm_run's immediate_exit, then signals the thread.  If the thread is in
 * the guest, the signal ends KVM_RUN; if it is on its way there, KVM_RUN sees immediate_exit and does not enter.  In
 * either case KVM first completes the port or memory access of the last exit, so that the registers are whole.
 */
#include "vm.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KICK (SIGRTMIN + 3)   /* the first ones are glibc's and Python users' favourites */
#define INTERRUPT_STATUS 0x60 /* virtio 1.2, 4.2.2 */
#define INTERRUPT_ACK 0x64

int kvm_ioctl(int fd, unsigned long request, void *argument) { return ioctl(fd, request, argument); }

int vcpu_map(struct vcpu *vcpu, size_t size)
{
    void *run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
    if (run == MAP_FAILED)
        return -1;
    vcpu->run = run;
    vcpu->run_size = size;
    return 0;
}

void vcpu_unmap(struct vcpu *vcpu)
{
    if (vcpu->run)
        munmap(vcpu->run, vcpu->run_size);
    vcpu->run = NULL;
}

static void nothing(int signal) { (void)signal; /* all we want of it is that KVM_RUN ends with EINTR */ }

/* To be called once by the thread that will run this vCPU: its name, and no signals but the kick. */
int vcpu_thread(struct vcpu *vcpu, const char *name)
{
    struct sigaction action = {.sa_handler = nothing}; /* no SA_RESTART */
    sigset_t others;
    sigfillset(&others);
    sigdelset(&others, KICK);
    if (sigaction(KICK, &action, NULL) < 0)
        return -1;
    errno = pthread_sigmask(SIG_SETMASK, &others, NULL);
    if (errno)
        return -1;
    prctl(PR_SET_NAME, name);
    __atomic_store_n(&vcpu->tid, (int)syscall(SYS_gettid), __ATOMIC_RELEASE);
    return 0;
}

int vcpu_kick(struct vcpu *vcpu)
{
    __atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    int tid = __atomic_load_n(&vcpu->tid, __ATOMIC_ACQUIRE);
    return tid ? (int)syscall(SYS_tgkill, getpid(), tid, KICK) : 0;
}

/* By whoever lets it go on, never by the vCPU's own thread: a kick that comes meanwhile would be lost. */
void vcpu_unkick(struct vcpu *vcpu) { __atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST); }

void vcpu_own_ports(struct vcpu_shared *shared, uint16_t first, uint32_t count)
{
    for (uint32_t port = first; port < first + count && port < VCPU_PORTS; port++)
        shared->owned[port / 8] |= (uint8_t)(1 << port % 8);
}

static bool is_owned(const struct vcpu_shared *shared, uint16_t port)
{
    return shared->owned[port / 8] >> port % 8 & 1;
}

static struct vcpu_window *slot_of(struct vcpu_shared *shared, uint64_t address)
{
    return &shared->windows[(address >> 12) % VCPU_WINDOWS];
}

/* InterruptStatus and InterruptACK of the device at `window` (one page) are answered from *status from now on. */
int vcpu_fast_status(struct vcpu_shared *shared, uint64_t window, uint32_t *status)
{
    struct vcpu_window *slot = slot_of(shared, window);
    if (window % 4096 || (slot->status && slot->base != window)) {
        errno = EINVAL;
        return -1;
    }
    slot->base = window;
    __atomic_store_n(&slot->status, status, __ATOMIC_RELEASE);
    return 0;
}

/* Answered at once?  A guest may read or write these at any width; anything but four bytes is for Python. */
static bool fast_mmio(struct vcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;
    struct vcpu_window *slot = slot_of(vcpu->shared, run->mmio.phys_addr);
    uint32_t *status = __atomic_load_n(&slot->status, __ATOMIC_ACQUIRE);
    uint64_t offset = run->mmio.phys_addr - slot->base;
    uint32_t word;
    if (!status || run->mmio.len != 4)
        return false;
    if (offset == INTERRUPT_STATUS && !run->mmio.is_write) {
        word = __atomic_load_n(status, __ATOMIC_SEQ_CST);
        memcpy(run->mmio.data, &word, 4);
        return true;
    }
    if (offset == INTERRUPT_ACK && run->mmio.is_write) {
        memcpy(&word, run->mmio.data, 4);
        __atomic_and_fetch(status, ~word, __ATOMIC_SEQ_CST);
        return true;
    }
    return false;
}

static uint8_t *port_data(const struct vcpu *vcpu)
{
    return (uint8_t *)vcpu->run + vcpu->run->io.data_offset + vcpu->index * vcpu->run->io.size;
}

/* The next element of a port exit, for Python. */
static int present_port(struct vcpu *vcpu)
{
    vcpu->address = vcpu->run->io.port;
    vcpu->size = vcpu->run->io.size;
    vcpu->is_write = vcpu->run->io.direction == KVM_EXIT_IO_OUT;
    vcpu->value = 0;
    if (vcpu->is_write)
        memcpy(&vcpu->value, port_data(vcpu), vcpu->size);
    return KVM_EXIT_IO;
}

static int present_mmio(struct vcpu *vcpu)
{
    vcpu->address = vcpu->run->mmio.phys_addr;
    vcpu->size = vcpu->run->mmio.len;
    vcpu->is_write = vcpu->run->mmio.is_write;
    vcpu->value = 0;
    if (vcpu->is_write)
        memcpy(&vcpu->value, vcpu->run->mmio.data, vcpu->size);
    return KVM_EXIT_MMIO;
}

/* Python has decided: `value` is its answer to a read.  True if the same exit has another element. */
static bool settle(struct vcpu *vcpu)
{
    int pending = vcpu->pending;
    vcpu->pending = 0;
    if (pending == KVM_EXIT_MMIO && !vcpu->is_write)
        memcpy(vcpu->run->mmio.data, &vcpu->value, vcpu->size);
    if (pending != KVM_EXIT_IO)
        return false;
    if (!vcpu->is_write)
        memcpy(port_data(vcpu), &vcpu->value, vcpu->size);
    vcpu->index++;
    return vcpu->index < vcpu->run->io.count;
}

/* What an exit that ends the machine says of itself. */
static void keep_data(struct vcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;
    vcpu->data_count = 0;
    if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR) {
        vcpu->suberror = run->internal.suberror;
        vcpu->data_count = run->internal.ndata < 16 ? run->internal.ndata : 16;
        memcpy(vcpu->data, run->internal.data, sizeof vcpu->data);
    } else if (run->exit_reason == KVM_EXIT_SYSTEM_EVENT) {
        vcpu->suberror = run->system_event.type;
        vcpu->data_count = run->system_event.ndata < 16 ? run->system_event.ndata : 16;
        memcpy(vcpu->data, run->system_event.data, sizeof vcpu->data);
    } else if (run->exit_reason == KVM_EXIT_FAIL_ENTRY) {
        vcpu->data[0] = run->fail_entry.hardware_entry_failure_reason;
    } else {
        vcpu->data[0] = run->hw.hardware_exit_reason;
    }
}

/* An exit reason for Python, or -1: done with here, go on. */
static int sort_out(struct vcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;
    vcpu->index = 0;
    if (run->exit_reason == KVM_EXIT_IO) {
        if (is_owned(vcpu->shared, run->io.port))
            return present_port(vcpu);
        if (run->io.direction == KVM_EXIT_IO_IN)
            memset(port_data(vcpu), 0xff, (size_t)run->io.size * run->io.count);
        return -1;
    }
    if (run->exit_reason == KVM_EXIT_MMIO)
        return fast_mmio(vcpu) ? -1 : present_mmio(vcpu);
    if (run->exit_reason == KVM_EXIT_INTR || run->exit_reason == KVM_EXIT_IRQ_WINDOW_OPEN)
        return -1;
    keep_data(vcpu);
    return (int)run->exit_reason;
}

/* The next exit for Python: a KVM_EXIT_ reason, VCPU_KICKED, or -errno of KVM_RUN. */
int vcpu_run(struct vcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;
    if (vcpu->pending && settle(vcpu)) {
        vcpu->pending = KVM_EXIT_IO;
        return present_port(vcpu);
    }
    for (;;) {
        if (ioctl(vcpu->fd, KVM_RUN, 0) < 0) {
            if (errno == EINTR && __atomic_load_n(&run->immediate_exit, __ATOMIC_SEQ_CST)) {
                vcpu->kicks++;
                return VCPU_KICKED;
            }
            /* EAGAIN: an application processor that waits for its INIT and SIPI was woken for nothing */
            if (errno == EINTR || errno == EAGAIN)
                continue;
            return -errno;
        }
        if (run->exit_reason < VCPU_REASONS)
            vcpu->reasons[run->exit_reason]++;
        int reason = sort_out(vcpu);
        if (reason >= 0) {
            vcpu->in_python++;
            vcpu->pending = reason;
            return reason;
        }
        vcpu->in_c++;
    }
}
