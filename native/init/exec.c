/*
 * The program: found at create (so that a missing one is create's error), executed at start.  When the kernel
 * says ENOENT of a file that is there, it means the file's interpreter: say which.
 */
#include "init.h"

#define HEAD 4096
#define INTERPRETER 3 /* PT_INTERP */
#define EXPLAINED 192 /* of a script's first line or a loader's name; with its word less than 200 */

/* Anonymous memory: there is no malloc here, and the arrays live until exec. */
static void *memory(size_t bytes)
{
    long at = sc6(mmap, 0, bytes, 3 /* read, write */, 0x22 /* private, anonymous */, -1, 0);
    return at < 0 && at > -4096 ? NULL : (void *)(uintptr_t)at;
}

/* Pointers to `count` strings laid one after the other, plus `extra` unless NULL, and the closing NULL. */
const char **make_vector(const char *first, size_t count, const char *extra)
{
    const char **vector = memory((count + 2) * sizeof *vector);
    if (!vector)
        return NULL;
    for (size_t i = 0; i < count; i++, first = list_next(first))
        vector[i] = first;
    vector[count] = extra;
    return vector;
}

/* statfs(2) f_flags, ST_NOEXEC: EACCES although the mode allows it. */
static bool on_noexec(const char *path)
{
    uint64_t fs[16] = {0};
    return sc2(statfs, P(path), P(fs)) >= 0 && (fs[10] & 8);
}

/* May we execute it?  A directory, or a file without an x bit, is EACCES, as execvp(3) has it. */
static int executable(struct ctx *c, const char *path)
{
    struct statx is;
    if (sys_statx(AT_FDCWD, path, 0, STATX_TYPE | STATX_MODE, &is) < 0)
        return -1;
    if ((is.stx_mode & 0170000) == 0040000)
        return c->detail = "directory", fail(EACCES, "execve");
    if (sc4(faccessat2, AT_FDCWD, P(path), 1 /* X_OK */, AT_EACCESS) < 0) {
        if (!(is.stx_mode & 0111))
            c->detail = "no-x-bit";
        else if (on_noexec(path))
            c->detail = "noexec";
        return fail(EACCES, "execve");
    }
    return 0;
}

int op_find_program(struct ctx *c, const struct op *op)
{
    const char *program = S(op, FIND_PROGRAM_PROGRAM);
    const char *directory = S(op, FIND_PROGRAM_SEARCH);
    c->detail = "";
    if (text_first(program, '/')) {
        if (text_join(c->program, sizeof c->program, program, "", "") < 0)
            return -1;
        return executable(c, c->program);
    }
    int denied = 0;
    for (uint64_t i = 0; i < N(op, FIND_PROGRAM_SEARCH); i++, directory = list_next(directory)) {
        if (text_join(c->program, sizeof c->program, directory, "/", program) < 0)
            continue;
        if (executable(c, c->program) == 0)
            return 0;
        if (last_failure.err == EACCES)
            denied = 1;
    }
    c->detail = denied ? c->detail : "not-in-path";
    return fail(denied ? EACCES : ENOENT, "execve");
}

/* The loader that an ELF file names (elf(5), PT_INTERP), within what was read of it. */
static const char *elf_interpreter(const unsigned char *head, size_t size)
{
    uint64_t table, offset;
    uint16_t entry_size, entries;
    __builtin_memcpy(&table, head + 32, 8);
    __builtin_memcpy(&entry_size, head + 54, 2);
    __builtin_memcpy(&entries, head + 56, 2);
    for (unsigned i = 0; i < entries; i++) {
        uint64_t at = table + (uint64_t)i * entry_size;
        uint32_t type;
        if (at > size - 56)
            break;
        __builtin_memcpy(&type, head + at, 4);
        __builtin_memcpy(&offset, head + at + 8, 8);
        if (type == INTERPRETER && offset < size)
            return (const char *)head + offset;
    }
    return NULL;
}

/* Leave in `detail` what the file is: "script LINE", "elf LOADER", "elf" or "data". */
void explain_program(struct ctx *c)
{
    static unsigned char head[HEAD + 1];
    int fd = sys_openat2(AT_FDCWD, c->program, O_RDONLY | O_NONBLOCK, 0, 0);
    long n = fd < 0 ? -1 : sys_read(fd, head, HEAD);
    c->detail = "";
    if (n < 0)
        return;
    head[n] = '\0';
    if (n > 2 && head[0] == '#' && head[1] == '!') {
        for (long i = 2; i < n; i++)
            if (head[i] == '\n')
                head[i] = '\0';
        text_join(c->text, 200, "script ", (const char *)head + 2, "");
        c->detail = c->text;
    } else if (n >= 64 && head[0] == 0x7f && head[1] == 'E' && head[2] == 'L' && head[3] == 'F') {
        const char *loader = head[4] == 2 ? elf_interpreter(head, (size_t)n) : NULL;
        text_join(c->text, 200, "elf ", loader ? loader : "", "");
        c->detail = c->text;
    } else {
        c->detail = "data";
    }
}

/*
 * Before a filter is loaded, under which nothing can be explained any more: the usual reasons why execve(2) fails.
 * What is neither a script nor an ELF program may be the kernel's all the same (binfmt_misc): let it say so itself.
 */
static int check_program(struct ctx *c)
{
    explain_program(c);
    const char *other = text_starts(c->detail, "script ") ? c->detail + 7
                        : text_starts(c->detail, "elf /") ? c->detail + 4
                                                          : "";
    while (*other == ' ')
        other++;
    char path[PATH_SIZE];
    size_t n = 0;
    for (; other[n] && other[n] != ' ' && other[n] != '\t'; n++)
        path[n] = other[n]; /* `text` is as long as this, and a script's arguments are cut off */
    path[n] = '\0';
    struct statx is;
    if (n && n < EXPLAINED && sys_statx(AT_FDCWD, path, 0, STATX_TYPE, &is) < 0)
        return fail(last_failure.err, "execve");
    c->detail = "";
    return 0;
}

static bool has_home(const char *env, size_t count)
{
    for (; count--; env = list_next(env))
        if (text_starts(env, "HOME="))
            return true;
    return false;
}

/* The sixth field of the line of /etc/passwd whose third is our uid; "/" if there is none (as runc and crun do). */
static const char *home_of(uint32_t uid)
{
    static char passwd[65536 + 1], home[PATH_SIZE]; /* not c->text: details are written there until exec */
    text_join(home, sizeof home, "HOME=/", "", "");
    int fd = sys_openat2(AT_FDCWD, "/etc/passwd", O_RDONLY | O_NONBLOCK, 0, 0);
    long n = fd < 0 ? 0 : sys_read(fd, passwd, sizeof passwd - 1);
    if (fd >= 0)
        sys_close(fd);
    passwd[n > 0 ? n : 0] = '\0';
    for (char *line = passwd, *next; *line; line = next) {
        char *field[7] = {line};
        unsigned fields = 1;
        for (next = line; *next && *next != '\n'; next++)
            if (*next == ':' && fields < 7) {
                *next = '\0';
                field[fields++] = next + 1;
            }
        if (*next)
            *next++ = '\0';
        if (fields > 5 && text_parse(field[2], '\0') == (int64_t)uid && *field[5]) {
            text_join(home, sizeof home, "HOME=", field[5], "");
            break;
        }
    }
    return home;
}

/* Is it the null device, and of which file system? */
static int is_null(int fd, struct statx *is)
{
    return sys_statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, is) == 0 && (is->stx_mode & 0170000) == 0020000 &&
           is->stx_rdev_major == 1 && is->stx_rdev_minor == 3;
}

/*
 * A null device that the caller left as a standard stream is the host's file: root in here could change its mode and
 * owner for the whole host by fchmod(2).  The container's own takes its place (as runc has it), if there is one.
 */
static void own_null_device(void)
{
    struct statx is, ours;
    int null = sys_openat2(AT_FDCWD, "/dev/null", O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0, 0);
    if (null < 0)
        return;
    if (is_null(null, &ours))
        for (int fd = 0; fd < 3; fd++)
            if (is_null(fd, &is) &&
                (is.stx_dev_major != ours.stx_dev_major || is.stx_dev_minor != ours.stx_dev_minor))
                sc3(dup3, null, fd, 0);
    sc1(close, null);
}

/* fd is open until exec: nothing but stdio and what the caller asked to preserve passes. */
int op_exec(struct ctx *c, const struct op *op)
{
    const char *home = NULL;
    c->detail = "";
    if ((N(op, EXEC_FLAGS) & EXEC_SET_HOME) && !has_home(S(op, EXEC_ENV), N(op, EXEC_ENV)))
        home = home_of((uint32_t)sc0(getuid));
    own_null_device();
    if (c->stays) {
        c->home = home;
        return 0;
    }
    const char **args = make_vector(S(op, EXEC_ARGS), N(op, EXEC_ARGS), NULL);
    const char **env = make_vector(S(op, EXEC_ENV), N(op, EXEC_ENV), home);
    if (!args || !env || sc3(close_range, 3 + c->preserve, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
        return -1;
    if (c->seccomp && (check_program(c) < 0 || seccomp_load(c) < 0))
        return -1;
    sc3(execve, P(c->program), P(args), P(env));
    struct failure kept = last_failure;
    if (c->filtered)
        c->detail = "filtered";
    else
        explain_program(c);
    last_failure = kept;
    return -1;
}
