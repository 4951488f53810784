/* floor ROOTFS CGROUP: the kernel's share of `run` with the default spec and /bin/true, and nothing else.
 *
 * No JSON, no checks, no state, no undo: each line is something that the spec asks the kernel for, done in the
 * fewest system calls.  What a runtime takes beyond this is its own.  The order is a runtime's: cgroup and device
 * program, clone3 into both, mounts, pivot, privileges, exec, wait, rmdir.
 *
 * Any failure exits with the number of its source line on stderr: a floor that skips work would be too low.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define MUST(expression)                                                                                          \
    do {                                                                                                          \
        if ((expression) < 0) {                                                                                   \
            dprintf(2, "floor.c:%d: %s: %m\n", __LINE__, #expression);                                            \
            _exit(1);                                                                                             \
        }                                                                                                         \
    } while (0)

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CAP_BIT(cap) (1u << (cap))

enum { QUIET = MS_NOSUID | MS_NOEXEC | MS_NODEV };

static const struct {
    const char *source, *target, *type;
    unsigned long flags;
    const char *data;
} mounts[] = {
    {"proc", "proc", "proc", 0, NULL},
    {"tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"},
    {"devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"},
    {"shm", "dev/shm", "tmpfs", QUIET, "mode=1777,size=65536k"},
    {"mqueue", "dev/mqueue", "mqueue", QUIET, NULL},
    {"sysfs", "sys", "sysfs", QUIET | MS_RDONLY, NULL},
    {"cgroup", "sys/fs/cgroup", "cgroup2", QUIET | MS_RELATIME | MS_RDONLY, NULL},
};

static const struct {
    const char *path;
    unsigned major, minor;
} nodes[] = {{"dev/null", 1, 3},   {"dev/zero", 1, 5},    {"dev/full", 1, 7},
             {"dev/random", 1, 8}, {"dev/urandom", 1, 9}, {"dev/tty", 5, 0}};

static const char *const links[][2] = {{"/proc/self/fd", "dev/fd"},       {"/proc/self/fd/0", "dev/stdin"},
                                       {"/proc/self/fd/1", "dev/stdout"}, {"/proc/self/fd/2", "dev/stderr"},
                                       {"/proc/kcore", "dev/core"},       {"pts/ptmx", "dev/ptmx"}};

static const char *const masked[] = {
    "/proc/acpi",       "/proc/asound",      "/proc/kcore",       "/proc/keys",    "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"};

static const char *const readonly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};

/* "allow everything", the smallest device program: a runtime's longer one differs in verifier time only. */
static int attach_device_program(int cgroup)
{
    const struct bpf_insn code[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1},
        {.code = BPF_JMP | BPF_EXIT},
    };
    union bpf_attr load = {
        .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
        .insns = (__u64)(unsigned long)code,
        .insn_cnt = COUNT(code),
        .license = (__u64)(unsigned long)"Apache-2.0",
    };
    int program = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
    if (program < 0)
        return -1;

    union bpf_attr attach = {
        .target_fd = (__u32)cgroup,
        .attach_bpf_fd = (__u32)program,
        .attach_type = BPF_CGROUP_DEVICE,
        .attach_flags = BPF_F_ALLOW_MULTI,
    };
    if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach) < 0)
        return -1;
    return close(program);
}

static void mount_everything(const char *rootfs)
{
    MUST(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL));
    MUST(mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL));
    MUST(chdir(rootfs));

    for (size_t i = 0; i < COUNT(mounts); i++) {
        /* Everything below dev/ is on the tmpfs made a moment ago. */
        if (strncmp(mounts[i].target, "dev/", 4) == 0)
            MUST(mkdir(mounts[i].target, 0755));
        MUST(mount(mounts[i].source, mounts[i].target, mounts[i].type, mounts[i].flags, mounts[i].data));
    }
    for (size_t i = 0; i < COUNT(nodes); i++)
        MUST(mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)));
    for (size_t i = 0; i < COUNT(links); i++)
        MUST(symlink(links[i][0], links[i][1]));
}

static void pivot(void)
{
    /* pivot_root(2), "pivot_root(".", ".")": the old root ends up under the new one and is detached from there. */
    MUST(syscall(SYS_pivot_root, ".", "."));
    MUST(umount2(".", MNT_DETACH));
    MUST(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
}

static void hide_and_protect(void)
{
    const char *empty = NULL; /* the first masked directory's tmpfs, bound on all the others */
    struct stat st;

    for (size_t i = 0; i < COUNT(masked); i++) {
        if (stat(masked[i], &st) < 0)
            continue;
        if (!S_ISDIR(st.st_mode)) {
            MUST(mount("/dev/null", masked[i], NULL, MS_BIND, NULL));
        } else if (empty == NULL) {
            empty = masked[i];
            MUST(mount("tmpfs", empty, "tmpfs", MS_RDONLY, NULL));
        } else {
            MUST(mount(empty, masked[i], NULL, MS_BIND, NULL));
        }
    }
    for (size_t i = 0; i < COUNT(readonly); i++) {
        if (mount(readonly[i], readonly[i], NULL, MS_BIND | MS_REC, NULL) < 0)
            continue; /* not every kernel has every file */
        MUST(mount(NULL, readonly[i], NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | QUIET, NULL));
    }
}

static void loopback_up(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    MUST(fd);
    MUST(ioctl(fd, SIOCSIFFLAGS, &request));
    MUST(close(fd));
}

static void drop_privileges(void)
{
    static const int kept[] = {CAP_KILL, CAP_NET_BIND_SERVICE, CAP_AUDIT_WRITE};
    const unsigned mask = CAP_BIT(CAP_KILL) | CAP_BIT(CAP_NET_BIND_SERVICE) | CAP_BIT(CAP_AUDIT_WRITE);
    const struct rlimit files = {1024, 1024};
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{mask, mask, mask}, {0, 0, 0}};

    MUST(setrlimit(RLIMIT_NOFILE, &files));
    MUST(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL));
    /* EINVAL: past the last capability that this kernel knows. */
    for (int cap = 0; cap < 64; cap++)
        if ((cap > 31 || !(mask & CAP_BIT(cap))) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            break;
    MUST(syscall(SYS_setgroups, 0, NULL));
    MUST(syscall(SYS_setresgid, 0, 0, 0));
    MUST(syscall(SYS_setresuid, 0, 0, 0));
    MUST(syscall(SYS_capset, &header, data));
    for (size_t i = 0; i < COUNT(kept); i++)
        MUST(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, kept[i], 0, 0));
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

static void be_init(const char *rootfs)
{
    char *const argv[] = {"/bin/true", NULL};
    char *const env[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm", NULL};

    /* Not a clone3 flag here: the namespace's root is the cgroup one is in, and that is right only after the clone. */
    MUST(unshare(CLONE_NEWCGROUP));
    MUST(setsid());
    mount_everything(rootfs);
    MUST(sethostname("runc", 4));
    loopback_up();
    pivot();
    hide_and_protect();
    umask(0022);
    MUST(close_range(3, ~0u, 0));
    drop_privileges();
    MUST(execve(argv[0], argv, env));
}

int main(int argc, char **argv)
{
    int status;

    if (argc != 3)
        return 2;
    MUST(mkdir(argv[2], 0755));
    int cgroup = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* not O_PATH: bpf(2) refuses that */
    MUST(cgroup);
    MUST(attach_device_program(cgroup));

    struct clone_args args = {
        .flags = CLONE_INTO_CGROUP | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS,
        .exit_signal = SIGCHLD,
        .cgroup = (__u64)cgroup,
    };
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    MUST(pid);
    if (pid == 0)
        be_init(argv[1]);

    MUST(waitpid(pid, &status, 0));
    MUST(rmdir(argv[2]));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
