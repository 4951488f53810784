/*
 * The terminal: a pty of the container's own devpts instance.
 *
 * The slave comes from the master by TIOCGPTPEER and is mounted from its descriptor: no path to /dev/pts/N is
 * ever opened (CVE-2025-52565).  The master goes to the host as a descriptor.
 */
#include "init.h"

#define GET_PEER 0x5441         /* TIOCGPTPEER */
#define UNLOCK_SLAVE 0x40045431 /* TIOCSPTLCK */
#define SET_CONTROLLING 0x540E  /* TIOCSCTTY */
#define SET_SIZE 0x5414         /* TIOCSWINSZ */
#define READ_WRITE_TTY (O_RDWR | O_NOCTTY)

struct window {
    unsigned short rows, columns, x, y;
};

/* /dev of the container: what we mounted there; in exec, what the container has. */
static int dev_directory(struct ctx *c)
{
    if (c->dev_fd >= 0)
        return c->dev_fd;
    if (c->root_fd < 0)
        c->root_fd = sys_openat2(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0, 0);
    c->detail = "/dev";
    c->dev_fd = path_open(c, "/dev", O_DIRECTORY, RESOLVE_NO_SYMLINKS);
    return c->dev_fd;
}

/* The multiplexer of a devpts, and nothing else: a container that is exec'ed into could have put a file there. */
static int open_master(struct ctx *c)
{
    int dev = dev_directory(c);
    if (dev < 0)
        return -1;
    c->detail = "/dev/pts/ptmx";
    int fd = sys_openat2(dev, "pts/ptmx", READ_WRITE_TTY, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    struct statx is;
    if (fd < 0 || sys_statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_MODE, &is) < 0)
        return -1;
    if ((is.stx_mode & 0170000) != 0020000 || is.stx_rdev_major != 5 || is.stx_rdev_minor != 2)
        return fail(ENXIO, "pty master (char 5:2)");
    return fd;
}

static int mount_slave(struct ctx *c, int slave, const char *path)
{
    int dev = c->dev_fd;
    int tree = sys_open_tree(slave, "", AT_EMPTY_PATH | OPEN_TREE_CLONE);
    c->detail = path;
    if (tree < 0)
        return -1;
    if (sys_mknodat(dev, "console", 0100000 | 0620, 0) < 0 && last_failure.err != EEXIST)
        return -1;
    int target = sys_openat2(dev, "console", O_PATH | O_NOFOLLOW, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    if (target < 0 || sys_move_mount(tree, target) < 0)
        return -1;
    sys_close(tree);
    return sys_close(target);
}

/* The terminal on stdio becomes that of our session. */
int console_control(void) { return (int)sys_ioctl(0, SET_CONTROLLING, 0); }

int op_console(struct ctx *c, const struct op *op)
{
    struct window size = {(unsigned short)N(op, CONSOLE_ROWS), (unsigned short)N(op, CONSOLE_COLUMNS), 0, 0};
    int unlock = 0;
    int master = open_master(c);
    if (master < 0 || sys_ioctl(master, UNLOCK_SLAVE, P(&unlock)) < 0)
        return -1;
    int slave = (int)sys_ioctl(master, GET_PEER, READ_WRITE_TTY | O_CLOEXEC);
    if (slave < 0)
        return -1;
    if ((size.rows || size.columns) && sys_ioctl(slave, SET_SIZE, P(&size)) < 0)
        return -1;
    if (*S(op, CONSOLE_TARGET) && mount_slave(c, slave, S(op, CONSOLE_TARGET)) < 0)
        return -1;
    if (sync_send_fd(c, MSG_TERMINAL, master) < 0)
        return -1;
    sys_close(master);
    c->has_terminal = true;
    for (int fd = 0; fd < 3; fd++)
        if (sys_dup3(slave, fd, 0) < 0)
            return -1;
    sys_close(slave);
    return *S(op, CONSOLE_TARGET) ? console_control() : 0; /* in exec a fork comes between: op_session does it */
}
