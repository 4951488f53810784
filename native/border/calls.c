/* memfd_create(2) with seals, statfs(2), bpf(2) for device programs, signalfd(2). */
#define _GNU_SOURCE
#include "border.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010u /* Linux 6.3 */
#endif
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static int close_failed(int fd)
{
    int kept = errno;
    close(fd);
    errno = kept;
    return -1;
}

static int new_memfd(const char *name, unsigned executable)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | executable);
    if (fd < 0 && errno == EINVAL && executable) /* before Linux 6.3 every memfd is executable */
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd;
}

/* A copy of a file that nobody can change any more, whoever opens it. */
int minirun_seal_file(const char *name, int from)
{
    struct stat is;
    off_t at = 0;
    if (fstat(from, &is) < 0)
        return -1;
    int fd = new_memfd(name, MFD_EXEC);
    if (fd < 0)
        return -1;
    while (at < is.st_size) {
        ssize_t n = sendfile(fd, from, &at, (size_t)(is.st_size - at));
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            return close_failed(fd);
        }
    }
    if (fcntl(fd, F_ADD_SEALS, SEALS) < 0)
        return close_failed(fd);
    return fd;
}

int minirun_seal_bytes(const char *name, const void *bytes, size_t size)
{
    int fd = new_memfd(name, 0);
    if (fd < 0)
        return -1;
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, (const char *)bytes + done, size - done);
        if (n < 0)
            return close_failed(fd);
        done += (size_t)n;
    }
    if (fcntl(fd, F_ADD_SEALS, SEALS) < 0)
        return close_failed(fd);
    return fd;
}

/* f_type of the file system that holds `path` (linux/magic.h), or -1. */
long minirun_filesystem(const char *path)
{
    struct statfs is;
    return statfs(path, &is) < 0 ? -1 : (long)(unsigned)is.f_type;
}

int minirun_bpf_load(const void *instructions, size_t count, const char *name, char *log, size_t log_size)
{
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    attr.insns = (uint64_t)(uintptr_t)instructions;
    attr.insn_cnt = (uint32_t)count;
    attr.license = (uint64_t)(uintptr_t) "Apache-2.0";
    strncpy(attr.prog_name, name, sizeof attr.prog_name - 1);
    if (log_size) {
        attr.log_buf = (uint64_t)(uintptr_t)log;
        attr.log_size = (uint32_t)log_size;
        attr.log_level = 1;
    }
    return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
}

/* `replaced` is the descriptor of the program whose place this one takes, in one step; -1 for none. */
int minirun_bpf_attach(int cgroup, int program, int replaced)
{
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.target_fd = (uint32_t)cgroup;
    attr.attach_bpf_fd = (uint32_t)program;
    attr.attach_type = BPF_CGROUP_DEVICE;
    attr.attach_flags = BPF_F_ALLOW_MULTI;
    if (replaced >= 0) {
        attr.attach_flags |= BPF_F_REPLACE;
        attr.replace_bpf_fd = (uint32_t)replaced;
    }
    return (int)syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof attr);
}

/* The numbers of the device programs attached to `cgroup` itself; returns how many, at most `most`. */
int minirun_bpf_query(int cgroup, uint32_t *numbers, uint32_t most)
{
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.query.target_fd = (uint32_t)cgroup;
    attr.query.attach_type = BPF_CGROUP_DEVICE;
    attr.query.prog_ids = (uint64_t)(uintptr_t)numbers;
    attr.query.prog_cnt = most;
    return syscall(SYS_bpf, BPF_PROG_QUERY, &attr, sizeof attr) < 0 ? -1 : (int)attr.query.prog_cnt;
}

/* The program of that number, as a descriptor, if `name` (at most 15 bytes) is its name; 0 if it is not. */
int minirun_bpf_open(uint32_t number, const char *name)
{
    union bpf_attr attr;
    struct bpf_prog_info info;
    memset(&attr, 0, sizeof attr);
    memset(&info, 0, sizeof info);
    attr.prog_id = number;
    int fd = (int)syscall(SYS_bpf, BPF_PROG_GET_FD_BY_ID, &attr, sizeof attr);
    if (fd < 0)
        return -1;
    memset(&attr, 0, sizeof attr);
    attr.info.bpf_fd = (uint32_t)fd;
    attr.info.info_len = sizeof info;
    attr.info.info = (uint64_t)(uintptr_t)&info;
    if (syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof attr) < 0)
        return close_failed(fd);
    if (strncmp(info.name, name, sizeof info.name) == 0)
        return fd;
    close(fd);
    return 0;
}

/* A descriptor that tells of the signals in `mask` (bit n-1 for signal n); they are blocked from now on. */
int minirun_signalfd(uint64_t mask)
{
    sigset_t set;
    sigemptyset(&set);
    for (int n = 1; n <= 64; n++)
        if (mask >> (n - 1) & 1)
            sigaddset(&set, n);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -1;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* The next signal's number, or -1 (EAGAIN: none waits). */
int minirun_signalfd_read(int fd)
{
    struct signalfd_siginfo is;
    return read(fd, &is, sizeof is) == sizeof is ? (int)is.ssi_signo : -1;
}

/* Unmount what is on top at `path`, and all below, at once; a link there is not followed. */
int minirun_detach(const char *path) { return umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW); }

/* getcpu(2): the one we are on. */
int minirun_cpu(void)
{
    unsigned cpu = 0;
    syscall(SYS_getcpu, &cpu, NULL, NULL);
    return (int)cpu;
}

/* sched_setattr(2) of another process: policy, flags, nice, priority, runtime, deadline, period. */
int minirun_sched_setattr(int pid, const int64_t values[7])
{
    struct { /* struct sched_attr; linux/sched/types.h and the C library's sched.h do not go together everywhere */
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
        uint32_t util_min, util_max;
    } attr = {
        .size = sizeof attr,
        .policy = (uint32_t)values[0],
        .flags = (uint64_t)values[1],
        .nice = (int32_t)values[2],
        .priority = (uint32_t)values[3],
        .runtime = (uint64_t)values[4],
        .deadline = (uint64_t)values[5],
        .period = (uint64_t)values[6],
    };
    return (int)syscall(SYS_sched_setattr, pid, &attr, 0);
}

/* ioprio_set(2) of another process; 1 is IOPRIO_WHO_PROCESS. */
int minirun_ioprio_set(int pid, int value) { return (int)syscall(SYS_ioprio_set, 1, pid, value); }
