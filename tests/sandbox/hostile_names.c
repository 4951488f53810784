/* The rest of hostile.c: names, structures and limits. */
#define _GNU_SOURCE
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

/* Structures with an address in them, which would be one of the VMM's for the host. */
void options(void)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof where;
    int listening = socket(AF_INET, SOCK_STREAM, 0), one = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    bind(listening, (void *)&where, sizeof where);
    listen(listening, 1);
    getsockname(listening, (void *)&where, &size);
    connect(one, (void *)&where, sizeof where);
    int other = accept(listening, NULL, NULL);
    say("sent %zd, nodelay %d\n", write(other, "data", 4),
        setsockopt(one, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
    uint64_t zerocopy[8] = {0, 0, 0, 0x600000};
    uint32_t *words = (uint32_t *)zerocopy;
    words[8] = 4096; /* copybuf_len; the address is before it */
    size = sizeof zerocopy;
    int done = getsockopt(one, IPPROTO_TCP, 35, zerocopy, &size);
    say("zerocopy %d %s\n", done, strerror(errno));
    struct {
        unsigned short count;
        void *code;
    } filter = {1, (void *)0x600000};
    const int levels[] = {1, 1, 1, 1, 0, 41}, numbers[] = {26, 50, 51, 52, 64, 64};
    for (int i = 0; i < 6; i++) {
        done = setsockopt(one, levels[i], numbers[i], &filter, sizeof filter);
        say("option %d %s\n", done, strerror(errno));
    }
    errno = 0;
    done = ioctl(one, 0x8912, &filter); /* SIOCGIFCONF */
    say("ioctl %d %s\n", done, strerror(errno));
}

void limits(void)
{
    say("address space %d\n", mmap(NULL, 300 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    say("less %d\n", mmap(NULL, 30 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
    say("data %d\n",
        mmap(NULL, 130 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    int opened = 0;
    while (dup(1) >= 0)
        opened++;
    say("descriptors %d %d\n", opened, errno == EMFILE);
}

/* Where are the code, stack and heap of the VMM? */
static void places(void)
{
    for (int i = 0; i < 2; i++) {
        static char line[4096];
        int stat = open(i ? "/proc/thread-self/stat" : "/proc/self/stat", O_RDONLY);
        if (stat < 0 || read(stat, line, sizeof line - 1) <= 0)
            say("no stat\n");
        char *word = strrchr(line, ')');
        for (int field = 3; word && (word = strchr(word, ' ')); field++)
            if (strtoull(++word, NULL, 10) >> 22 && strtoull(word, NULL, 10) != -1ull && field != 9 &&
                field != 22 && field != 23 && field != 25)
                say("field %d is %.20s\n", field, word);
        close(stat);
    }
}

/* What is open, but may not be executed, by descriptor. */
static void programs(void)
{
    int memory = open("/proc/self/mem", O_PATH), text = open("/tmp/text", O_RDWR | O_CREAT, 0600);
    write(text, "#!/hostile\n", 11);
    const int files[] = {memory, text, open("/proc/self", O_PATH), open("/tmp", O_PATH)};
    for (unsigned i = 0; i < 4; i++)
        if (raw(322, (uint64_t)files[i], (uint64_t) "", (uint64_t)(char *[]){"x", NULL}, 0, 0x1000, 0) != -EACCES)
            say("file %d is executed\n", i);
    for (unsigned i = 0; i < 4; i++)
        close(files[i]);
}

/* Names that lead to the VMM's memory, descriptors or root, each tried in every way that takes a path. */
void names(void)
{
    const char *const ways[] = {"/proc/self",
                                "/proc/1",
                                "/proc/thread-self",
                                "/proc/self/task/1",
                                "/proc/self/root/proc/self",
                                "/proc/self/cwd/proc/1",
                                "/proc/self/root/proc/self/task/1",
                                "/proc/self/fd/../../1"};
    const char *const ends[] = {"mem",       "fd/3",    "fd/4",  "fd/5",    "fd/6",
                                "map_files", "pagemap", "stack", "syscall", "auxv"};
    char name[128];
    chdir("/");
    for (int fd = 3; fd < 30; fd++)
        close(fd);
    for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++)
        for (unsigned j = 0; j < sizeof ends / sizeof *ends; j++) {
            snprintf(name, sizeof name, "%s/%s", ways[i], ends[j]);
            for (int flags = 0; flags < 8; flags++) {
                int fd = open(name, (flags & 1 ? O_RDWR : O_RDONLY) | (flags & 2 ? O_NOFOLLOW : 0) |
                                        (flags & 4 ? O_CREAT | O_EXCL : 0));
                char room[16];
                if (fd >= 0 && read(fd, room, sizeof room) > 0)
                    say("%s with %d\n", name, flags);
                if (fd >= 0)
                    close(fd);
            }
            struct stat found;
            if (strstr(ends[j], "fd/")) {
                if (stat(name, &found) == 0)
                    say("stat %s\n", name);
                if (chmod(name, 0) == 0 || chown(name, 1, 1) == 0 || truncate(name, 0) == 0)
                    say("changed %s\n", name);
                if (chdir(name) == 0 || chroot(name) == 0)
                    say("went to %s\n", name);
                if (setxattr(name, "user.x", "x", 1, 0) == 0 || link(name, "/tmp/link") == 0)
                    say("marked %s\n", name);
                if (linkat(AT_FDCWD, name, AT_FDCWD, "/tmp/link", AT_SYMLINK_FOLLOW) == 0)
                    say("linked %s\n", name);
            }
        }
    places();
    programs();
    for (int fd = 3; fd < 64; fd++) {
        struct stat found;
        if (fstat(fd, &found) == 0 || fcntl(fd, F_GETFD) >= 0)
            say("%d is open\n", fd);
    }
    const int refused[] = {101, 310, 311, 312, 438, 321, 323, 298, 250, 248,
                           425, 272, 308, 165, 155, 304, 434, 317, 175, 169};
    for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++)
        if (raw((uint64_t)refused[i], 0, 1, 0, 0, 0, 0) >= 0)
            say("call %d is served\n", refused[i]);
}
