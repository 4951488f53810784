/* Files of the guest's for the host: read, written, and the cgroups of its programs. */
#include "agent.h"

#define READ_MOST (60u << 10)
#define CGROUP_ROOT "/sys/fs/cgroup/"

/* Is there a NUL between the two? */
bool is_string(const char *at, const char *end)
{
    while (at < end && *at)
        at++;
    return at < end;
}

/* A file, in one write(2). */
int write_whole(const char *path, const char *value, size_t length)
{
    int fd = sys_openat2(AT_FDCWD, path, O_WRONLY | O_NOCTTY | O_NONBLOCK, 0, 0);
    if (fd < 0)
        return -1;
    long n = sys_write(fd, value, length);
    struct failure kept = last_failure;
    sys_close(fd);
    last_failure = kept;
    return n < 0 ? -1 : 0;
}

/* The names in a directory, each with its NUL; how many bytes. */
static long read_names(int fd, char *to, uint32_t most)
{
    static char entries[4096] __attribute__((aligned(8)));
    uint32_t length = 0;
    for (;;) {
        long n = sc3(getdents64, fd, P(entries), sizeof entries);
        if (n <= 0)
            return n < 0 ? -1 : (long)length;
        for (long at = 0; at < n;) {
            const struct kernel_dirent *entry = (const void *)(entries + at);
            size_t size = text_length(entry->name) + 1;
            if (size > most - length)
                return length;
            copy_bytes(to + length, entry->name, size);
            length += (uint32_t)size;
            at += entry->length;
        }
    }
}

/* The names in the directory `path`. */
long names_of(const char *path, char *to, uint32_t most)
{
    int fd = sys_openat2(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, 0);
    if (fd < 0)
        return -1;
    long n = read_names(fd, to, most);
    sys_close(fd);
    return n;
}

static long read_bytes(int fd, char *to, uint32_t most)
{
    uint32_t length = 0;
    while (length < most) {
        long n = sys_read(fd, to + length, most - length);
        if (n < 0 && !length)
            return -1;
        if (n <= 0)
            break;
        length += (uint32_t)n;
    }
    return length;
}

/* READ: a request's number and a path. */
void file_read(struct agent *a, const char *payload, uint32_t length)
{
    struct answer_head head = {0};
    if (length < sizeof head.request || !is_string(payload + sizeof head.request, payload + length))
        return;
    copy_bytes(&head.request, payload, sizeof head.request);
    const char *path = payload + sizeof head.request;
    char *to = frame_begin(a, FRAME_ANSWER, 0, sizeof head + READ_MOST);
    struct statx is = {0};
    long n = -1;
    int fd = sys_openat2(AT_FDCWD, path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0, 0);
    if (fd >= 0 && sys_statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &is) >= 0)
        n = (is.stx_mode & 0170000) == 0040000 ? read_names(fd, to + sizeof head, READ_MOST)
                                               : read_bytes(fd, to + sizeof head, READ_MOST);
    head.err = n < 0 ? last_failure.err : 0;
    if (fd >= 0)
        sys_close(fd);
    copy_bytes(to, &head, sizeof head);
    frame_end(a, (uint32_t)(sizeof head + (n < 0 ? 0 : (size_t)n)));
}

/* WRITE: a request's number, a path, what to write. */
void file_write(struct agent *a, const char *payload, uint32_t length)
{
    struct answer_head head = {0};
    const char *end = payload + length;
    if (length < sizeof head.request || !is_string(payload + sizeof head.request, end))
        return;
    copy_bytes(&head.request, payload, sizeof head.request);
    const char *path = payload + sizeof head.request, *value = path + text_length(path) + 1;
    if (write_whole(path, value, (size_t)(end - value)) < 0)
        head.err = last_failure.err;
    frame_send(a, FRAME_ANSWER, 0, &head, sizeof head);
}

/* Hand all controllers of a cgroup on to those below it: one by one, for one that cannot be spoils a whole line. */
void cgroup_controllers(const char *path)
{
    static char names[1024], file[CGROUP_NAME + 64];
    if (text_join(file, sizeof file, path, "/cgroup.controllers", "") < 0)
        return;
    int fd = sys_openat2(AT_FDCWD, file, O_RDONLY, 0, 0);
    long n = fd < 0 ? -1 : sys_read(fd, names, sizeof names - 1);
    if (fd >= 0)
        sys_close(fd);
    if (n < 0 || text_join(file, sizeof file, path, "/cgroup.subtree_control", "") < 0)
        return;
    names[n] = '\0';
    for (char *at = names; *at;) {
        char word[64] = "+";
        size_t length = 1;
        for (; *at && *at != ' ' && *at != '\n'; at++)
            if (length < sizeof word - 1)
                word[length++] = *at;
        if (length > 1)
            write_whole(file, word, length);
        while (*at == ' ' || *at == '\n')
            at++;
    }
}

/* Make `path` below the cgroup mount, every part of it; a descriptor of it. */
int cgroup_make(const char *path)
{
    static char at[CGROUP_NAME + sizeof CGROUP_ROOT];
    if (text_join(at, sizeof at, CGROUP_ROOT, path, "") < 0)
        return -1;
    for (size_t i = sizeof CGROUP_ROOT - 1;; i++) {
        if (at[i] && at[i] != '/')
            continue;
        char kept = at[i];
        at[i] = '\0';
        if (sys_mkdirat(AT_FDCWD, at, 0755) < 0 && last_failure.err != EEXIST)
            return -1;
        if (!kept)
            return sys_openat2(AT_FDCWD, at, O_RDONLY | O_DIRECTORY, 0, 0);
        cgroup_controllers(at);
        at[i] = kept;
    }
}
