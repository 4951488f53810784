/* What the program will be: its limits, user, capabilities and place.  Raw system calls: one thread, no libc. */
#include "init.h"

int op_rlimit(struct ctx *c, const struct op *op)
{
    struct {
        uint64_t soft, hard;
    } limit = {N(op, RLIMIT_SOFT), N(op, RLIMIT_HARD)};
    c->detail = S(op, RLIMIT_NAME);
    return (int)sc4(prlimit64, 0, N(op, RLIMIT_RESOURCE), P(&limit), 0);
}

/*
 * Should: write below a procfs that only we can see.
 * Mustn't: follow anything: a /proc that the container could have shaped redirects writes (CVE-2025-52881).
 */
static int private_proc(struct ctx *c)
{
    if (c->proc_fd >= 0)
        return c->proc_fd;
    int fsfd = sys_fsopen("proc");
    if (fsfd >= 0 && sys_fsconfig(fsfd, FSCONFIG_CMD_CREATE, NULL, NULL) >= 0)
        c->proc_fd = sys_fsmount(fsfd, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (fsfd >= 0)
        sys_close(fsfd);
    return c->proc_fd;
}

/*
 * exec, before it joins anything: the host's own.  The container's may be anything, and where it covers parts of it
 * the kernel lets nobody in its user namespace mount another (fs/namespace.c, mount_too_revealing).
 */
static int host_proc(struct ctx *c)
{
    long is[16]; /* struct statfs begins with f_type */
    c->detail = "/proc";
    c->proc_fd = sys_openat2(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY, 0, 0);
    if (c->proc_fd < 0 || sc2(fstatfs, c->proc_fd, P(is)) < 0)
        return -1;
    return is[0] == PROC_SUPER_MAGIC ? 0 : fail(EXDEV, "fstatfs");
}

int op_write_proc(struct ctx *c, const struct op *op)
{
    const char *file = S(op, WRITE_PROC_FILE), *value = S(op, WRITE_PROC_VALUE);
    if (!*file)
        return host_proc(c);
    c->detail = file;
    int proc = private_proc(c);
    if (proc < 0)
        return -1;
    /* The one link that is followed is the kernel's own "self", whose number is that procfs's, not getpid's. */
    uint64_t links = text_starts(file, "self/") ? 0 : RESOLVE_NO_SYMLINKS;
    int fd =
        sys_openat2(proc, file, O_WRONLY, 0, RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | links);
    if (fd < 0)
        return -1;
    size_t length = text_length(value);
    if (sys_write(fd, value, length) < 0)
        return -1;
    return sys_close(fd);
}

int op_bounding(struct ctx *c, const struct op *op)
{
    c->detail = "";
    for (unsigned cap = 0; cap < 64; cap++) {
        if (N(op, BOUNDING_BOUNDING) >> cap & 1)
            continue;
        long held = sys_prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
        if (held < 0) /* past the kernel's last capability */
            return 0;
        if (held && sys_prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return -1;
    }
    return 0;
}

/*
 * The terminal and the pipes belong to the user who will write to them (their group stays: a terminal's is tty).
 * Devices of the host, and what cannot be given, stay as they are.
 */
static void give_stdio(const struct ctx *c, unsigned uid)
{
    for (int fd = 0; fd < 3; fd++) {
        struct statx is;
        if (sys_statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &is) < 0 || is.stx_uid == uid)
            continue;
        unsigned kind = is.stx_mode & 0170000u;
        if ((kind == 0020000 && !c->has_terminal) || kind == 0060000)
            continue;
        sys_fchownat(fd, "", uid, ~0u, AT_EMPTY_PATH);
    }
}

int op_user(struct ctx *c, const struct op *op)
{
    unsigned uid = (unsigned)N(op, USER_UID), gid = (unsigned)N(op, USER_GID);
    unsigned groups[256];
    size_t count = N(op, USER_GROUPS);
    const char *text = S(op, USER_GROUPS);
    c->detail = "";
    if (count > sizeof groups / sizeof *groups)
        return fail(E2BIG, "setgroups");
    for (size_t i = 0; i < count; i++, text = list_next(text)) {
        int64_t group = text_parse(text, '\0');
        if (group < 0)
            return fail(EINVAL, "setgroups");
        groups[i] = (unsigned)group;
    }
    if (N(op, USER_FLAGS) & USER_GIVE_STDIO)
        give_stdio(c, uid);
    /* With CAP_SETGID, EPERM says that the namespace denies it for good: nobody's groups change in there. */
    if ((N(op, USER_FLAGS) & USER_SETGROUPS) && sc2(setgroups, count, P(groups)) < 0 &&
        !((N(op, USER_FLAGS) & USER_GROUPS_TRY) && last_failure.err == EPERM))
        return -1;
    if (sys_prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || sc3(setresgid, gid, gid, gid) < 0 ||
        sc3(setresuid, uid, uid, uid) < 0)
        return -1;
    /* The kernel made us dumpable again with the change of user. */
    sys_prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    sc1(umask, N(op, USER_UMASK));
    return 0;
}

/* A change of user has left what was kept (PR_SET_KEEPCAPS) permitted, but not in force (capabilities(7)). */
int make_effective(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2] = {{0}};
    if (sc2(capget, P(&header), P(sets)) < 0)
        return -1;
    for (int i = 0; i < 2; i++)
        sets[i].effective = sets[i].permitted;
    return (int)sc2(capset, P(&header), P(sets));
}

static int raise_ambient(struct ctx *c, uint64_t ambient)
{
    sys_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (unsigned cap = 0; cap < 64; cap++)
        if ((ambient >> cap & 1) && sys_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0) {
            text_number(c->text, cap);
            c->detail = c->text;
            sync_warning(c, c->text);
        }
    return 0;
}

/* "Any value which cannot be mapped to a capability of the runtime's own environment is a warning" (config.md). */
static uint64_t grantable(struct ctx *c, uint64_t wanted, uint64_t held)
{
    for (unsigned cap = 0; cap < 64; cap++)
        if ((wanted & ~held) >> cap & 1) {
            text_number(c->text, cap);
            sync_warning(c, c->text);
        }
    return wanted & held;
}

int op_capabilities(struct ctx *c, const struct op *op)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2] = {{0}};
    c->detail = "";
    if (sc2(capget, P(&header), P(sets)) < 0)
        return -1;
    uint64_t held = sets[0].permitted | (uint64_t)sets[1].permitted << 32;
    uint64_t permitted = grantable(c, N(op, CAPABILITIES_PERMITTED), held);
    uint64_t effective = N(op, CAPABILITIES_EFFECTIVE) & permitted;
    uint64_t inheritable = N(op, CAPABILITIES_INHERITABLE) & held;
    uint64_t own = N(op, CAPABILITIES_UNTIL_EXEC) & held; /* for seccomp(2), which comes later */
    permitted |= own;
    effective |= own;
    for (int i = 0; i < 2; i++) {
        sets[i].permitted = (uint32_t)(permitted >> 32 * i);
        sets[i].effective = (uint32_t)(effective >> 32 * i);
        sets[i].inheritable = (uint32_t)(inheritable >> 32 * i);
    }
    if (sc2(capset, P(&header), P(sets)) < 0)
        return -1;
    raise_ambient(c, N(op, CAPABILITIES_AMBIENT) & N(op, CAPABILITIES_PERMITTED) & permitted & inheritable);
    if (N(op, CAPABILITIES_NO_NEW_PRIVS) && sys_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return 0;
}

/*
 * First with the runtime's rights (a home that only root may cross), then with the user's (a home that root may
 * not, as on NFS): one of the two must succeed.
 */
int op_chdir(struct ctx *c, const struct op *op)
{
    if (c->cwd_done)
        return 0;
    c->detail = S(op, CHDIR_PATH);
    if (sys_chdir(S(op, CHDIR_PATH)) < 0)
        return (N(op, CHDIR_FLAGS) & CHDIR_TRY) && last_failure.err == EACCES ? 0 : -1;
    /* A leaked descriptor of a host directory would lead here: the kernel says "(unreachable)/..." (CVE-2024-21626). */
    if (sc2(getcwd, P(c->text), sizeof c->text) < 0)
        return -1;
    if (c->text[0] != '/')
        return fail(EXDEV, "getcwd");
    c->cwd_done = true;
    return 0;
}
