/*
 * What /proc/self/exe leads to, for a process that stays in a container without executing anything there (a sandbox's).
 *
 * In a container's first process it is minirun-init, sealed (CVE-2019-5736).  Here it is the host's Python, by way of the host's
 * own mount: one who had taken the process over could change that file's mode by the link, where root in the container is
 * the host's.  So the file is mapped anew from a mount of our own, which is read-only and in nobody's tree; and since nothing
 * of the old mount's is mapped then, the link may be set to the new one (prctl(2), PR_SET_MM; kernel/sys.c,
 * replace_mm_exe_file).  It is the same file: what nobody has written stays shared with everybody's.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "vm.h"

#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <linux/mount.h>
#include <linux/prctl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096ul
#define HUGE (2ul << 20)
#define MOST_PAGES 16384ul /* of one mapping: 64 MiB */
#define MOST_AREAS 16

struct area {
    uintptr_t start, end;
    off_t offset;
    int protection;
};
struct areas {
    struct area all[MOST_AREAS];
    unsigned count;
};

static void add(struct areas *areas, uintptr_t start, uintptr_t end, off_t offset, int protection)
{
    if (start < end && areas->count < MOST_AREAS)
        areas->all[areas->count++] = (struct area){start, end, offset, protection};
}

/* Of the program itself, which comes first: where its file is mapped.  What is relocated is read-only afterwards (RELRO). */
static int find_areas(struct dl_phdr_info *info, size_t size, void *found)
{
    uintptr_t fixed = 0;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_GNU_RELRO)
            fixed = (info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz) & -PAGE;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !part->p_filesz)
            continue;
        uintptr_t at = info->dlpi_addr + part->p_vaddr, start = at & -PAGE,
                  end = (at + part->p_filesz + PAGE - 1) & -PAGE;
        off_t offset = (off_t)(part->p_offset & -PAGE);
        int protection = (part->p_flags & PF_R ? PROT_READ : 0) | (part->p_flags & PF_W ? PROT_WRITE : 0) |
                         (part->p_flags & PF_X ? PROT_EXEC : 0);
        uintptr_t middle = protection & PROT_WRITE && fixed > start && fixed < end ? fixed : start;
        add(found, start, middle, offset, PROT_READ);
        add(found, middle, end, offset + (off_t)(middle - start), protection);
    }
    return 1;
}

/* Is this page no longer the file's?  Documentation/admin-guide/mm/pagemap.rst. */
static int written(uint64_t entry) { return (entry >> 63 & 1 && !(entry >> 61 & 1)) || entry >> 62 & 1; }

/* A copy in memory of nobody's file; a large page costs the kernel a tenth of its parts. */
static int copy(const struct area *area)
{
    size_t size = area->end - area->start, room = size + 2 * HUGE;
    char *all = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED)
        return -1;
    char *made = (char *)(((uintptr_t)all + HUGE - 1) & -HUGE);
    if (size > HUGE / 8)
        madvise(made, (size + HUGE - 1) & -HUGE, MADV_HUGEPAGE);
    memcpy(made, (const void *)area->start, size);
    int done = mprotect(made, size, area->protection) < 0 ||
                       mremap(made, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)area->start) == MAP_FAILED
                   ? -1
                   : 0;
    if (done < 0) {
        munmap(all, room);
        return -1;
    }
    if (made > all)
        munmap(all, (size_t)(made - all));
    munmap(made + size, (size_t)(all + room - made) - size);
    return 0;
}

static int map_anew(const struct area *area, int file, int pagemap)
{
    static uint64_t entries[MOST_PAGES];
    size_t size = area->end - area->start, pages = size / PAGE;
    if (pages > MOST_PAGES ||
        pread(pagemap, entries, pages * 8, (off_t)(area->start / PAGE * 8)) != (ssize_t)(pages * 8))
        return -1;
    for (size_t i = 0; i < pages; i++)
        if (written(entries[i]))
            return copy(area);
    void *made = mmap((void *)area->start, size, area->protection, MAP_PRIVATE | MAP_FIXED, file, area->offset);
    return made == MAP_FAILED ? -1 : 0;
}

/* As a part of all that there is to set it wants CAP_CHECKPOINT_RESTORE, and not CAP_SYS_RESOURCE; proc(5) has the numbers. */
static int set_with_the_rest(int file)
{
    static char text[4096];
    unsigned long value[52] = {0};
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (size < 0)
        return -1;
    text[size] = '\0';
    char *word = strrchr(text, ')');
    for (int field = 3; word && field < 52; field++) {
        word = strchr(word + 1, ' ');
        value[field] = word ? strtoul(word + 1, NULL, 10) : 0;
    }
    struct prctl_mm_map map = {
        .start_code = value[26],
        .end_code = value[27],
        .start_stack = value[28],
        .start_data = value[45],
        .end_data = value[46],
        .start_brk = value[47],
        .brk = (uint64_t)syscall(SYS_brk, 0),
        .arg_start = value[48],
        .arg_end = value[49],
        .env_start = value[50],
        .env_end = value[51],
        .exe_fd = (uint32_t)file,
    };
    return prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0);
}

static int read_only_file(const char *path)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
    char name[32];
    int file = -1, tree = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0)
        return -1;
    snprintf(name, sizeof name, "/proc/self/fd/%d", tree);
    if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof attr) == 0)
        file = open(name, O_RDONLY | O_CLOEXEC);
    close(tree);
    return file;
}

/* 0, or -1 with errno: the link is as it was.  For a process with one thread. */
int own_exe(void)
{
    struct areas areas = {.count = 0};
    int file = read_only_file("/proc/self/exe");
    int pagemap = file < 0 ? -1 : open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    int done = pagemap < 0 ? -1 : 0;
    dl_iterate_phdr(find_areas, &areas);
    for (unsigned i = 0; done == 0 && i < areas.count; i++)
        done = map_anew(&areas.all[i], file, pagemap);
    if (done == 0 && prctl(PR_SET_MM, PR_SET_MM_EXE_FILE, file, 0, 0) < 0)
        done = set_with_the_rest(file);
    int kept = errno;
    if (file >= 0)
        close(file);
    if (pagemap >= 0)
        close(pagemap);
    errno = kept;
    return done;
}
