/* /init of a guest that measures its VMM: the same under minirun and under qemu.
 *
 * All times are taken outside, by whoever reads the guest's first serial port: each part begins and ends with two
 * bytes, MARK and a letter, written to the port itself, so that no driver's queue lies in between.
 *
 *   I        the first thing that init does
 *   (a second of idling: the VMM's memory is read meanwhile)
 *   P..p     port IO that nobody answers: one exit each
 *   U..u     port IO that a device answers, the serial port's scratch register
 *   S..s     a disk from its beginning, in pieces of 256 KiB, O_DIRECT
 *   R..r     the same disk, 4 KiB here and there, O_DIRECT
 *   (P to r again, ROUNDS times in all: the best round counts, the others had company)
 *   E        the end; X and the line of this file: something failed
 *
 * How much of each: "bench=PORTS,MEGABYTES,READS" on the kernel's command line, none without it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

enum {
    COM1 = 0x3f8,
    SCRATCH = COM1 + 7,
    NOBODY = 0x3e8,
    MARK = 0xb5,
    PIECE = 256 * 1024,
    SMALL = 4096,
    ROUNDS = 5
};

static char buffer[PIECE] __attribute__((aligned(SMALL)));

static void mark(char letter)
{
    outb(MARK, COM1);
    outb((unsigned char)letter, COM1);
}

static void give_up(int line)
{
    mark('X');
    char text[8];
    snprintf(text, sizeof text, "%d", line);
    for (char *c = text; *c; c++)
        outb((unsigned char)*c, COM1);
    mark('E');
    for (;;)
        pause();
}

#define MUST(expression)                                                                                          \
    do {                                                                                                          \
        if ((expression) < 0)                                                                                     \
            give_up(__LINE__);                                                                                    \
    } while (0)

/* The modules that minirun's initramfs lists: virtio-mmio and the disk's. */
static void load_modules(void)
{
    FILE *list = fopen("/etc/minirun-modules", "re");
    char path[256];
    while (list && fgets(path, sizeof path, list)) {
        path[strcspn(path, "\n")] = 0;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        MUST(fd);
        MUST(syscall(SYS_finit_module, fd, "", 0));
        close(fd);
    }
}

static void ports(long count)
{
    mark('P');
    for (long i = 0; i < count; i++)
        outb(0, NOBODY);
    mark('p');
    mark('U');
    for (long i = 0; i < count; i++)
        outb(0, SCRATCH);
    mark('u');
}

static int open_disk(void)
{
    MUST(mount("dev", "/dev", "devtmpfs", 0, NULL));
    for (int tries = 0; tries < 100; tries++) {
        int fd = open("/dev/vda", O_RDONLY | O_DIRECT | O_CLOEXEC);
        if (fd >= 0)
            return fd;
        usleep(10000);
    }
    give_up(__LINE__);
    return -1;
}

static void disk(int fd, long megabytes, long reads)
{
    uint64_t size = (uint64_t)megabytes << 20, place = 12345;

    mark('S');
    for (uint64_t at = 0; at < size; at += PIECE)
        MUST(pread(fd, buffer, PIECE, (off_t)at));
    mark('s');
    mark('R');
    for (long i = 0; i < reads; i++) {
        place =
            place * 6364136223846793005u + 1442695040888963407u; /* Knuth's generator: the same places each time */
        MUST(pread(fd, buffer, SMALL, (off_t)((place >> 20) % (size / SMALL) * SMALL)));
    }
    mark('r');
}

int main(void)
{
    long count = 0, megabytes = 0, reads = 0;
    iopl(3);
    mark('I');
    mount("proc", "/proc", "proc", 0, NULL);
    FILE *line = fopen("/proc/cmdline", "re");
    static char words[4096];
    if (line && fgets(words, sizeof words, line)) {
        char *found = strstr(words, "bench=");
        if (found)
            sscanf(found, "bench=%ld,%ld,%ld", &count, &megabytes, &reads);
    }
    sleep(1);
    int fd = -1;
    if (megabytes) {
        load_modules();
        fd = open_disk();
    }
    for (int round = 0; round < ROUNDS; round++) {
        if (count)
            ports(count);
        if (megabytes)
            disk(fd, megabytes, reads);
    }
    mark('E');
    for (;;)
        pause();
}
