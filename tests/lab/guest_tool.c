/*
 * What a guest's busybox lacks:
 *
 *   as UID COMMAND ...   as that user and group
 *   lock FILE            flock(2), twice, the second time in vain
 *   tmpfile DIR NAME     O_TMPFILE, a shared mapping, linkat(2)
 *   call PORT            says its standard input to the host's port, prints the answer
 *   serve PORT           answers one caller with what it says, its own name in front
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static char buffer[1 << 16];

static void pump(int from, int to)
{
    ssize_t got;
    while ((got = read(from, buffer, sizeof buffer)) > 0)
        for (ssize_t done = 0, part; done < got; done += part)
            if ((part = write(to, buffer + done, (size_t)(got - done))) < 0)
                exit(3);
}

static int as(char **words)
{
    unsigned id = (unsigned)atoi(words[0]);
    if (setgid(id) < 0 || setuid(id) < 0)
        return 1;
    execvp(words[1], words + 1);
    return 127;
}

static int lock(const char *path)
{
    int first = open(path, O_RDONLY), second = open(path, O_RDONLY);
    return flock(first, LOCK_EX) < 0 || flock(second, LOCK_EX | LOCK_NB) == 0;
}

static int tmpfile_at(const char *folder, const char *name)
{
    static const char text[] = "mapped and linked\n";
    char path[32];
    int fd = open(folder, O_TMPFILE | O_RDWR, 0644);
    if (fd < 0) {
        fd = open(name, O_CREAT | O_EXCL | O_RDWR, 0644); /* before Linux 6.2 FUSE has no O_TMPFILE */
        path[0] = 0;
    } else
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (fd < 0 || ftruncate(fd, sizeof text - 1) < 0)
        return 1;
    char *map = mmap(NULL, sizeof text - 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return 2;
    memcpy(map, text, sizeof text - 1);
    if (msync(map, sizeof text - 1, MS_SYNC) < 0)
        return 3;
    return path[0] && linkat(AT_FDCWD, path, AT_FDCWD, name, AT_SYMLINK_FOLLOW) < 0 ? 4 : 0;
}

static int call(int end, struct sockaddr_vm *address)
{
    if (connect(end, (void *)address, sizeof *address) < 0) {
        perror("refused");
        return 2;
    }
    pump(0, end);
    shutdown(end, SHUT_WR);
    pump(end, 1);
    return 0;
}

static int serve(int end, struct sockaddr_vm *address)
{
    address->svm_cid = VMADDR_CID_ANY;
    if (bind(end, (void *)address, sizeof *address) < 0 || listen(end, 1) < 0)
        return 2;
    puts("serving: now");
    fflush(stdout);
    int caller = accept(end, NULL, NULL);
    if (write(caller, "guest: ", 7) != 7)
        return 3;
    pump(caller, caller);
    return 0;
}

int main(int count, char **words)
{
    if (count < 3)
        return 1;
    if (!strcmp(words[1], "as"))
        return as(words + 2);
    if (!strcmp(words[1], "lock"))
        return lock(words[2]);
    if (!strcmp(words[1], "tmpfile"))
        return tmpfile_at(words[2], words[3]);
    struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST};
    address.svm_port = (unsigned)atoi(words[2]);
    int end = socket(AF_VSOCK, SOCK_STREAM, 0);
    if (end < 0)
        return 1;
    return strcmp(words[1], "call") ? serve(end, &address) : call(end, &address);
}
