/*
 * The VM before there is a program (sandbox.h, struct first), and the process that becomes the container's first one.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "vm.h"

#include "sandbox.h"

#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static int failed(struct first *first, const char *call)
{
    first->err = errno;
    first->call = call;
    return -1;
}

static int reserve(struct first *first)
{
    int64_t at = sandbox_reserve(first->size);
    if (at < 0) {
        errno = (int)-at;
        return failed(first, "mmap of the program's address space");
    }
    first->base = (uint64_t)at;
    void *system = (void *)(uintptr_t)(first->base + first->system);
    if (mmap(system, first->system_size, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
        return failed(first, "mmap of the page tables");
    return 0;
}

static int give(struct first *first, uint64_t slot)
{
    uint64_t at = slot * first->slot_size;
    struct kvm_userspace_memory_region region = {.slot = (uint32_t)slot,
                                                 .guest_phys_addr = at,
                                                 .memory_size = first->slot_size,
                                                 .userspace_addr = first->base + at};
    return ioctl(first->vm, KVM_SET_USER_MEMORY_REGION, &region);
}

/* 0, or -1 with `err` and `call`. */
int first_make(struct first *first)
{
    first->vm = first->vcpu = -1;
    if (reserve(first) < 0)
        return -1;
    do
        first->vm = ioctl(first->kvm, KVM_CREATE_VM, 0ul);
    while (first->vm < 0 && errno == EINTR);
    if (first->vm < 0)
        return failed(first, "KVM_CREATE_VM");
    if ((first->vcpu = ioctl(first->vm, KVM_CREATE_VCPU, 0ul)) < 0)
        return failed(first, "KVM_CREATE_VCPU");
    int size = ioctl(first->kvm, KVM_GET_VCPU_MMAP_SIZE, 0ul);
    if (size < 0)
        return failed(first, "KVM_GET_VCPU_MMAP_SIZE");
    first->run_size = (uint64_t)size;
    first->run = mmap(NULL, first->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, first->vcpu, 0);
    if (first->run == MAP_FAILED)
        return failed(first, "mmap of kvm_run");
    first->run->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    if (give(first, 0) < 0 || give(first, first->system / first->slot_size) < 0)
        return failed(first, "KVM_SET_USER_MEMORY_REGION");
    if (ioctl(first->kvm, KVM_GET_SUPPORTED_CPUID, first->cpuid) < 0)
        return failed(first, "KVM_GET_SUPPORTED_CPUID");
    if (ioctl(first->vcpu, KVM_SET_CPUID2, first->cpuid) < 0)
        return failed(first, "KVM_SET_CPUID2");
    return 0;
}

/* Where our memory became a copy the VM is not ours any more: it is bound to what it was made around. */
void first_drop(struct first *first)
{
    munmap(first->run, first->run_size);
    munmap((void *)(uintptr_t)first->base, first->size);
    close(first->vcpu);
    close(first->vm);
}

/*
 * Theory of operation.  A VM belongs to an address space (struct mm), and what was imported lies in one, too: a copy, as
 * fork(2) makes it, would have to make the one anew and pay for each page that it touches of the other.  So the container's
 * first process is no copy: clone3(2) with CLONE_VM gives it our address space, in new namespaces and another cgroup, and
 * with CLONE_PARENT our parent; we end at once, and it has for itself what was ours.
 *
 * Until then the two stand on one stack.  So the one that ends does it in registers: it calls exit(2) right behind the
 * system call, with every signal blocked.  The kernel must not write into the thread's descriptor when it ends
 * (set_tid_address(2)): it is the other's by then.
 *
 * In the new process: 0, with its number as the old one's namespace has it in *pid, and signals blocked.  Else -errno.
 */
long sandbox_become(uint64_t flags, int cgroup, int *pid)
{
    struct clone_args args = {
        .flags = flags | CLONE_VM | CLONE_PARENT | CLONE_PARENT_SETTID | CLONE_CLEAR_SIGHAND,
        .parent_tid = (uint64_t)(uintptr_t)pid,
    };
    if (cgroup >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)cgroup;
    }
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    syscall(SYS_set_tid_address, NULL);
    long result = SYS_clone3;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jle 1f\n\t"
                     "xor %%edi, %%edi\n\t"
                     "mov %[exit], %%eax\n\t"
                     "syscall\n\t"
                     "ud2\n"
                     "1:"
                     : "+a"(result)
                     : "D"(&args), "S"(sizeof args), [exit] "i"(SYS_exit)
                     : "rcx", "r11", "memory");
    if (result < 0)
        sigprocmask(SIG_SETMASK, &before, NULL);
    return result;
}

/*
 * The kernel takes half a millisecond to take a VM apart, and whoever waits for our end would wait for that, too.  So, at our
 * end, the last reference is made somebody else's: the vCPU's descriptor is on its way to a socket that nobody can read once we
 * are gone, as its own last reference is on the way with it.  Such circles are what the kernel's collector for AF_UNIX is for
 * (net/unix/garbage.c).  It looks when a socket of the kind is closed, as those of minirun are, which has waited for us; in newer
 * kernels by a worker of its own, in older ones at that one's expense: then nothing is won, and nothing lost.
 *
 * For the first process of a container whose minirun is there: else the circle, and the network namespace that the socket
 * was made in, would be there until somebody on the host closes one.
 */
void vm_outlives(int vcpu)
{
    struct sockaddr_un self = {.sun_family = AF_UNIX};
    socklen_t size = sizeof self;
    char byte = 0;
    struct iovec vector = {&byte, 1};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control = {0};
    int circle = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    /* A name of the kernel's choice (unix(7), autobind): a socket that has no other to close, which would be too early. */
    if (circle < 0 || bind(circle, (struct sockaddr *)&self, sizeof self.sun_family) < 0 ||
        getsockname(circle, (struct sockaddr *)&self, &size) < 0)
        return;
    struct msghdr message = {.msg_name = &self,
                             .msg_namelen = size,
                             .msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    const int passed[2] = {vcpu, circle};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof passed);
    memcpy(CMSG_DATA(header), passed, sizeof passed);
    sendmsg(circle, &message, MSG_NOSIGNAL);
}
