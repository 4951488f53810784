/*
 * The guest's first process: from the kernel's hands to the channel.
 *
 *   1  /dev, so that there is a null device for stdio, and a log
 *   2  ourselves into a sealed memfd: every program of the guest begins with it
 *   3  the modules that /etc/minirun-modules names, a path on each line; each is taken off the initramfs after it
 *   4  a tmpfs over the initramfs, which becomes the root: pivot_root(2) refuses to leave the first one
 *   5  proc, sysfs, devtmpfs, devpts, cgroup2
 *   6  the share, if the machine has one: virtio-fs with the tag "minirun" on /run/share
 *   7  the port "minirun" of a virtio console: the channel
 *
 * Whatever goes wrong is said in the kernel's log, whose last lines the VMM shows, and the machine is switched off.
 */
#include "agent.h"

#define MS_MOVE_FLAG 8192ul
#define NOSUID_NODEV_NOEXEC 14ul
#define MODULES "/etc/minirun-modules"
#define PORTS "/sys/class/virtio-ports"
#define PORT_NAME "minirun\n"
#define WAIT_ROUNDS 30000 /* of a millisecond */

static void say(const char *what, const char *about)
{
    static char line[512], number[21];
    text_number(number, (uint64_t)last_failure.err);
    if (text_join(line, sizeof line, "<3>minirun-init: ", what, about) < 0)
        return;
    char *end = line + text_length(line);
    text_join(end, (size_t)(line + sizeof line - end), ": errno ", number, "\n");
    write_whole("/dev/kmsg", line, text_length(line));
}

/* POWER_OFF wants ACPI; without it, a reset ends a VM as well. */
_Noreturn void power_off(struct agent *a, const char *why)
{
    if (why) {
        frame_send(a, FRAME_LOG, 0, why, (uint32_t)text_length(why));
        if (a->guest)
            say(why, "");
    }
    for (int i = 0; a->channel >= 0 && a->out_first < a->out_end && i < 1000 && frames_flush(a) >= 0; i++) {
        struct kernel_pollfd port = {a->channel, POLLOUT, 0};
        struct kernel_timespec second = {1, 0};
        if (a->out_first < a->out_end && sc5(ppoll, P(&port), 1, P(&second), 0, 0) == 0)
            break;
    }
    if (!a->guest)
        sys_exit(why ? 1 : 0);
    sc0(sync);
    sc4(reboot, 0xfee1dead, 672274793, 0x4321fedc /* LINUX_REBOOT_CMD_POWER_OFF */, 0);
    sc4(reboot, 0xfee1dead, 672274793, 0x01234567 /* LINUX_REBOOT_CMD_RESTART */, 0);
    for (;;)
        sc5(ppoll, 0, 0, 0, 0, 0);
}

static int mount_at(const char *target, const char *type, unsigned long flags, const char *data)
{
    if (sys_mkdirat(AT_FDCWD, target, 0755) < 0 && last_failure.err != EEXIST)
        return -1;
    return (int)sc5(mount, P(type), P(target), P(type), flags, P(data));
}

/* Descriptors 0, 1 and 2 are something: an initramfs need not have /dev/console. */
static int null_stdio(void)
{
    int fd;
    do
        fd = (int)sc3(openat, AT_FDCWD, P("/dev/null"), O_RDWR);
    while (fd >= 0 && fd < 3);
    return fd < 0 ? -1 : sys_close(fd);
}

static bool ends_in(const char *text, const char *end)
{
    size_t n = text_length(text), m = text_length(end);
    return n >= m && text_equal(text + n - m, end);
}

/* One that the kernel has already, or whose device is not there, is no reason to stop. */
static void load_module(const char *path)
{
    bool packed = !ends_in(path, ".ko");
    int fd = sys_openat2(AT_FDCWD, path, O_RDONLY, 0, 0);
    if (fd < 0 || (sc3(finit_module, fd, P(""), packed ? 4 /* MODULE_INIT_COMPRESSED_FILE */ : 0) < 0 &&
                   last_failure.err != EEXIST))
        say("cannot load ", path);
    if (fd >= 0)
        sys_close(fd);
    sc3(unlinkat, AT_FDCWD, P(path), 0);
}

static void load_modules(void)
{
    static char list[32768];
    int fd = sys_openat2(AT_FDCWD, MODULES, O_RDONLY, 0, 0);
    long n = fd < 0 ? 0 : sys_read(fd, list, sizeof list - 1);
    if (fd >= 0)
        sys_close(fd);
    list[n > 0 ? n : 0] = '\0';
    for (char *line = list; *line;) {
        char *end = line;
        while (*end && *end != '\n')
            end++;
        char *next = *end ? end + 1 : end;
        *end = '\0';
        if (*line)
            load_module(line);
        line = next;
    }
}

static int leave_initramfs(void)
{
    sys_umount2("/dev", MNT_DETACH);
    if (mount_at("/root", "tmpfs", 0, "mode=755") < 0 || sys_chdir("/root") < 0 ||
        sys_mount(".", "/", NULL, MS_MOVE_FLAG) < 0 || sc1(chroot, P(".")) < 0)
        return -1;
    return sys_chdir("/");
}

static int mount_all(void)
{
    if (mount_at("/proc", "proc", NOSUID_NODEV_NOEXEC, NULL) < 0 ||
        mount_at("/sys", "sysfs", NOSUID_NODEV_NOEXEC, NULL) < 0 ||
        mount_at("/dev", "devtmpfs", 2, "mode=755") < 0 ||
        mount_at("/dev/pts", "devpts", 10, "ptmxmode=0666,mode=0620,gid=5") < 0 ||
        mount_at("/dev/shm", "tmpfs", 6, "mode=1777") < 0 || mount_at("/run", "tmpfs", 6, "mode=755") < 0 ||
        mount_at("/tmp", "tmpfs", 6, "mode=1777") < 0)
        return -1;
    if (mount_at("/sys/fs/cgroup", "cgroup2", NOSUID_NODEV_NOEXEC, "nsdelegate") < 0)
        return -1;
    cgroup_controllers("/sys/fs/cgroup");
    return 0;
}

/* The share, where there is one: a kernel without virtio-fs, or a machine without the device, says ENODEV or EINVAL. */
static bool mount_share(void)
{
    if (sys_mkdirat(AT_FDCWD, "/run/share", 0755) < 0)
        return false;
    return sys_mount("minirun", "/run/share", "virtiofs", 0) >= 0;
}

/* The device of the port that is called so, as a file of /dev; -1 if there is none, or not yet. */
static int open_port(void)
{
    static char names[4096], path[512], name[sizeof PORT_NAME];
    long n = names_of(PORTS, names, sizeof names);
    for (const char *at = names; n > 0 && at < names + n; at = list_next(at)) {
        if (*at == '.' || text_join(path, sizeof path, PORTS "/", at, "/name") < 0)
            continue;
        int fd = sys_openat2(AT_FDCWD, path, O_RDONLY, 0, 0);
        long got = fd < 0 ? -1 : sys_read(fd, name, sizeof name - 1);
        if (fd >= 0)
            sys_close(fd);
        name[got > 0 ? got : 0] = '\0';
        if (text_equal(name, PORT_NAME) && text_join(path, sizeof path, "/dev/", at, "") >= 0)
            return sys_openat2(AT_FDCWD, path, O_RDWR | O_NONBLOCK, 0, 0);
    }
    return fail(ENODEV, "port");
}

static int wait_for_port(void)
{
    struct kernel_timespec pause = {0, 1000000};
    int fd = open_port();
    for (int i = 0; fd < 0 && i < WAIT_ROUNDS; i++) { /* its name comes some messages after it does */
        sc2(nanosleep, P(&pause), 0);
        fd = open_port();
    }
    return fd;
}

int guest_main(const char *program)
{
    struct agent *a = &the_agent;
    a->guest = true;
    a->channel = -1;
    a->begun = now_nanoseconds();
    sc1(umask, 0);
    mount_at("/dev", "devtmpfs", 2 /* MS_NOSUID */, "mode=755");
    if (null_stdio() < 0 || (a->program = own_program(program)) < 0)
        power_off(a, "cannot begin");
    load_modules();
    a->modules = now_nanoseconds();
    if (leave_initramfs() < 0)
        power_off(a, "cannot leave the initramfs");
    if (mount_all() < 0)
        power_off(a, "cannot mount what every program needs");
    if (mount_share())
        a->share = now_nanoseconds();
    a->channel = wait_for_port();
    if (a->channel < 0)
        power_off(a, "no virtio console port \"minirun\"");
    agent_run(a);
}
