#include "semantics.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

static void waiting(void)
{
    int ends[2];
    pipe(ends);
    struct pollfd two[3] = {{ends[0], POLLIN, 0}, {999, POLLIN, 0}, {-1, POLLIN, 0}};
    SAY(poll(two, 1, 0));
    SAY(poll(two, 3, 1000));
    printf("  %x %x %x\n", two[0].revents, two[1].revents, two[2].revents);
    SAY(poll(NULL, 0, 1));
    write(ends[1], "x", 1);
    SAY(poll(two, 1, -1));
    struct timespec bad = {0, 2000000000};
    SAY(ppoll(two, 1, &bad, NULL));
    fd_set set;
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    struct timeval none = {0, 0};
    SAY(select(ends[0] + 1, &set, NULL, NULL, &none));
    SAY(FD_ISSET(ends[0], &set));
    struct timeval wait = {1, 0};
    SAY(select(ends[0] + 1, &set, NULL, NULL, &wait));
    printf("  left %d\n", wait.tv_sec == 0);
    SAY(select(-1, &set, NULL, NULL, &none));
    FD_SET(63, &set);
    SAY(select(64, &set, NULL, NULL, &none));
    close(ends[1]);
    SAY(poll(two, 1, 0));
    printf("  %x\n", two[0].revents);
    char byte;
    read(ends[0], &byte, 1);
    SAY(poll(two, 1, 0));
    printf("  %x\n", two[0].revents);
    pipe(ends);
    close(ends[0]);
    two[0] = (struct pollfd){ends[1], POLLOUT, 0};
    SAY(poll(two, 1, 0));
    printf("  %x\n", two[0].revents);
}

static void epolls(void)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC), ends[2];
    pipe(ends);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0x123456789abcdef0}, got[4];
    SAY(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event));
    SAY(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event));
    SAY(epoll_ctl(epoll, EPOLL_CTL_ADD, 999, &event));
    SAY(epoll_ctl(epoll, EPOLL_CTL_ADD, epoll, &event));
    SAY(epoll_ctl(epoll, EPOLL_CTL_MOD, ends[1], &event));
    SAY(epoll_ctl(epoll, EPOLL_CTL_DEL, ends[1], NULL));
    int file = open("/etc/passwd", O_RDONLY);
    SAY(epoll_ctl(epoll, EPOLL_CTL_ADD, file, &event));
    SAY(epoll_wait(epoll, got, 4, 0));
    write(ends[1], "x", 1);
    SAY(epoll_wait(epoll, got, 4, -1));
    SAY(got[0].data.u64 == event.data.u64);
    SAY(epoll_wait(epoll, got, 0, 0));
    SAY(epoll_wait(ends[0], got, 1, 0));
    event.events = EPOLLIN | EPOLLET;
    SAY(epoll_ctl(epoll, EPOLL_CTL_MOD, ends[0], &event));
    SAY(epoll_wait(epoll, got, 4, 0));
    SAY(epoll_wait(epoll, got, 4, 0));
    int copy = dup(ends[0]);
    close(ends[0]);
    event.events = EPOLLIN;
    SAY(epoll_ctl(epoll, EPOLL_CTL_MOD, copy, &event));
    SAY(epoll_pwait(epoll, got, 4, 0, NULL));
    struct timespec span = {0, 1000000};
    SAY(syscall(SYS_epoll_pwait2, epoll, got, 4, &span, NULL, 8) >= 0);
    int counter = eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK);
    uint64_t value = 0;
    SAY(read(counter, &value, 8));
    SAY((long)value);
    SAY(read(counter, &value, 4));
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct itimerspec soon = {.it_value = {0, 10000000}}, now;
    SAY(timerfd_settime(timer, 0, &soon, NULL));
    SAY(read(timer, &value, 8));
    struct pollfd one = {timer, POLLIN, 0};
    SAY(poll(&one, 1, 1000));
    SAY(read(timer, &value, 8));
    SAY(timerfd_gettime(timer, &now));
    int watch = inotify_init1(IN_NONBLOCK);
    SAY(inotify_add_watch(watch, "/tmp", IN_CREATE));
    close(open("/tmp/watched", O_CREAT | O_WRONLY, 0600));
    char room[256];
    SAY(read(watch, room, sizeof room) > 0);
    SAY(inotify_rm_watch(watch, 1));
    SAY(inotify_add_watch(watch, "/nope", IN_CREATE));
    unlink("/tmp/watched");
}

static void passing(void)
{
    int pair[2], ends[2];
    SAY(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
    pipe(ends);
    write(ends[1], "through", 7);
    char control[CMSG_SPACE(2 * sizeof(int))] = {0}, byte = 'b';
    struct iovec part = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    *head =
        (struct cmsghdr){.cmsg_len = CMSG_LEN(2 * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(head), ends, sizeof ends);
    SAY(sendmsg(pair[0], &message, 0));
    memset(control, 0, sizeof control);
    SAY(recvmsg(pair[1], &message, MSG_CMSG_CLOEXEC));
    head = CMSG_FIRSTHDR(&message);
    int got[2] = {-1, -1};
    if (head)
        memcpy(got, CMSG_DATA(head), sizeof got);
    printf("  flags %x, %d %d: new %d\n", message.msg_flags, head ? (int)head->cmsg_len : 0,
           head ? head->cmsg_type : 0, got[0] != ends[0]);
    SAY(fcntl(got[0], F_GETFD));
    char text[16] = "";
    SAY(read(got[0], text, 15));
    printf("  %s\n", text);
    int bad[2] = {1, 999};
    message.msg_controllen = sizeof control;
    head = CMSG_FIRSTHDR(&message);
    *head =
        (struct cmsghdr){.cmsg_len = CMSG_LEN(2 * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(head), bad, sizeof bad);
    SAY(sendmsg(pair[0], &message, 0));
    memcpy(CMSG_DATA(head), ends, sizeof ends);
    SAY(sendmsg(pair[0], &message, 0));
    message.msg_controllen = CMSG_SPACE(sizeof(int)) - 4;
    SAY(recvmsg(pair[1], &message, 0));
    printf("  flags %x, length %zu\n", message.msg_flags, (size_t)message.msg_controllen);
    memcpy(CMSG_DATA(head), ends, sizeof ends);
    head->cmsg_len = CMSG_LEN(2 * sizeof(int));
    message.msg_controllen = sizeof control;
    SAY(sendmsg(pair[0], &message, 0));
    message.msg_control = NULL;
    message.msg_controllen = 0;
    SAY(recvmsg(pair[1], &message, 0));
    printf("  flags %x\n", message.msg_flags);
}

static void credentials(void)
{
    int pair[2];
    char byte = 'b';
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    int one = 1;
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    SAY(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof one));
    write(pair[0], "c", 1);
    char room[128];
    message.msg_control = room;
    message.msg_controllen = sizeof room;
    SAY(recvmsg(pair[1], &message, 0));
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head)
        printf("  type %d, from us %d\n", head->cmsg_type, ((struct ucred *)CMSG_DATA(head))->pid == getpid());
    struct ucred peer;
    socklen_t size = sizeof peer;
    SAY(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &size));
    SAY(peer.pid == getpid());
    struct mmsghdr many[2] = {{.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}},
                              {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}}};
    SAY(sendmmsg(pair[0], many, 2, 0));
    SAY(recvmmsg(pair[1], many, 2, MSG_DONTWAIT, NULL) > 0);
}

static void loopback(void)
{
    int server = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    SAY(setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one));
    SAY(bind(server, (struct sockaddr *)&at, sizeof at));
    SAY(listen(server, 5));
    SAY(getsockname(server, (struct sockaddr *)&at, &size));
    int client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    SAY(connect(client, (struct sockaddr *)&at, sizeof at) == 0 || errno == EINPROGRESS);
    struct sockaddr_in from;
    size = sizeof from;
    int peer = accept4(server, (struct sockaddr *)&from, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    SAY(peer >= 0);
    SAY(size);
    SAY(fcntl(peer, F_GETFD));
    SAY(fcntl(peer, F_GETFL) & O_NONBLOCK ? 1 : 0);
    char text[16] = "";
    SAY(recv(peer, text, 16, 0));
    SAY(send(client, "hello", 5, MSG_NOSIGNAL));
    usleep(10000);
    SAY(recv(peer, text, 16, MSG_PEEK));
    SAY(recvfrom(peer, text, 16, 0, (struct sockaddr *)&from, &size));
    SAY(setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one));
    int value = 0;
    size = sizeof value;
    SAY(getsockopt(client, IPPROTO_TCP, TCP_NODELAY, &value, &size));
    SAY(value);
    SAY(getsockopt(client, SOL_SOCKET, SO_ERROR, &value, &size));
    SAY(setsockopt(client, 12345, 1, &one, sizeof one));
    SAY(shutdown(client, SHUT_WR));
    usleep(10000);
    SAY(recv(peer, text, 16, 0));
    SAY(shutdown(0, SHUT_WR));
    close(server);
    int refused = socket(AF_INET, SOCK_STREAM, 0);
    SAY(connect(refused, (struct sockaddr *)&at, sizeof at));
    int datagram = socket(AF_INET, SOCK_DGRAM, 0);
    at.sin_port = 0;
    SAY(bind(datagram, (struct sockaddr *)&at, sizeof at));
    size = sizeof at;
    getsockname(datagram, (struct sockaddr *)&at, &size);
    SAY(sendto(datagram, "udp", 3, 0, (struct sockaddr *)&at, sizeof at));
    SAY(recvfrom(datagram, text, 16, 0, (struct sockaddr *)&from, &size));
    SAY(from.sin_port == at.sin_port);
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "/tmp/socket"};
    int local = socket(AF_UNIX, SOCK_STREAM, 0);
    SAY(bind(local, (struct sockaddr *)&name, sizeof name));
    SAY(bind(local, (struct sockaddr *)&name, sizeof name));
    SAY(listen(local, 1));
    SAY(connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&name, sizeof name));
    unlink("/tmp/socket");
    SAY(socket(AF_INET, 99, 0));
    SAY(socket(99, SOCK_STREAM, 0));
    SAY(socket(AF_INET6, SOCK_STREAM, 0) >= 0);
    SAY(socket(AF_NETLINK, SOCK_RAW, 0) >= 0);
    SAY(read(999, text, 1));
    SAY(listen(999, 1));
}

static void clocks(void)
{
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    struct timespec wait = {0, 20000000};
    SAY(clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, NULL));
    clock_gettime(CLOCK_MONOTONIC, &b);
    SAY((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000 >= 20);
    SAY(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &a, NULL));
    SAY(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a));
    SAY(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a));
    SAY(clock_gettime(99, &a));
    SAY(clock_getres(CLOCK_REALTIME, &a));
    SAY(clock_settime(CLOCK_REALTIME, &a));
    wait.tv_nsec = -1;
    SAY(nanosleep(&wait, NULL));
    SAY(syscall(SYS_time, NULL) > 1000000);
    SAY(syscall(SYS_gettimeofday, &a, NULL));
    SAY(alarm(100));
    SAY(alarm(0) > 90);
}

const struct check OF_EVENTS[] = {
    {"waiting", waiting},   {"epolls", epolls}, {"passing", passing}, {"credentials", credentials},
    {"loopback", loopback}, {"clocks", clocks}, {NULL, NULL}};
