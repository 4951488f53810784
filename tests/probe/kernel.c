/* Verbs that say how the kernel treats the process: CPUs, priorities, memory, labels, and its network interfaces. */
#define _GNU_SOURCE
#include "probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/mempolicy.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

static void verb_affinity(char **args)
{
    (void)args;
    cpu_set_t set;
    const char *before = "";
    if (sched_getaffinity(0, sizeof(set), &set))
        die(NULL);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &set)) {
            printf("%s%zu", before, cpu);
            before = ",";
        }
    puts("");
}

static void verb_ioprio(char **args)
{
    (void)args;
    static const char *const classes[] = {"NONE", "RT", "BE", "IDLE"};
    long value = syscall(SYS_ioprio_get, 1 /* IOPRIO_WHO_PROCESS */, 0);
    if (value < 0)
        die(NULL);
    printf("%s %ld\n", classes[value >> 13 & 3], value & 7);
}

static void verb_mempolicy(char **args)
{
    (void)args;
    int mode;
    uint64_t nodes[16];
    if (syscall(SYS_get_mempolicy, &mode, nodes, sizeof(nodes) * 8, NULL, 0))
        die(NULL);
    printf("%d flags=%#x nodes=%#llx\n", mode & ~MPOL_MODE_FLAGS, (unsigned)(mode & MPOL_MODE_FLAGS),
           (unsigned long long)nodes[0]);
}

static void verb_machine(char **args)
{
    (void)args;
    struct utsname names;
    if (uname(&names))
        die(NULL);
    puts(names.machine);
}

static int prefix_of(const unsigned char *mask, size_t size)
{
    int bits = 0;
    for (size_t i = 0; i < size; i++)
        bits += __builtin_popcount(mask[i]);
    return bits;
}

static void print_address(const struct ifaddrs *row)
{
    char text[INET6_ADDRSTRLEN];
    if (row->ifa_addr->sa_family == AF_INET) {
        const struct sockaddr_in *address = (const void *)row->ifa_addr, *mask = (const void *)row->ifa_netmask;
        inet_ntop(AF_INET, &address->sin_addr, text, sizeof(text));
        printf(" %s/%d", text, prefix_of((const void *)&mask->sin_addr, 4));
    } else {
        const struct sockaddr_in6 *address = (const void *)row->ifa_addr, *mask = (const void *)row->ifa_netmask;
        inet_ntop(AF_INET6, &address->sin6_addr, text, sizeof(text));
        printf(" %s/%d", text, prefix_of((const void *)&mask->sin6_addr, 16));
    }
}

static int mtu_of(const char *name)
{
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (fd < 0 || ioctl(fd, SIOCGIFMTU, &request))
        die(name);
    close(fd);
    return request.ifr_mtu;
}

/* A line for each, in the kernel's order, with all its addresses. */
static void verb_interfaces(char **args)
{
    (void)args;
    struct ifaddrs *rows;
    struct if_nameindex *names = if_nameindex();
    if (!names || getifaddrs(&rows))
        die(NULL);
    for (const struct if_nameindex *it = names; it->if_index; it++) {
        printf("%s", it->if_name);
        for (const struct ifaddrs *row = rows; row; row = row->ifa_next)
            if (!strcmp(row->ifa_name, it->if_name) && row->ifa_addr && row->ifa_addr->sa_family == AF_PACKET)
                printf(" %s mtu=%d", row->ifa_flags & IFF_UP ? "up" : "down", mtu_of(it->if_name));
        for (const struct ifaddrs *row = rows; row; row = row->ifa_next)
            if (!strcmp(row->ifa_name, it->if_name) && row->ifa_addr &&
                (row->ifa_addr->sa_family == AF_INET || row->ifa_addr->sa_family == AF_INET6))
                print_address(row);
        puts("");
    }
    freeifaddrs(rows);
    if_freenameindex(names);
}

static void verb_label(char **args)
{
    (void)args;
    print_file("/proc/self/attr/current");
}

const struct verb kernel_verbs[] = {
    {"affinity", 0, 0, verb_affinity, ""},
    {"ioprio", 0, 0, verb_ioprio, ""},
    {"mempolicy", 0, 0, verb_mempolicy, ""},
    {"machine", 0, 0, verb_machine, ""},
    {"interfaces", 0, 0, verb_interfaces, ""},
    {"label", 0, 0, verb_label, ""},
    {0},
};
