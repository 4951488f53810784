/* main: the chain of verbs, and the few functions that every verb may use (probe.h says what each is for). */
#define _GNU_SOURCE
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct verb *const all_verbs[] = {file_verbs, self_verbs,   kernel_verbs,
                                               act_verbs,  attack_verbs, call_verbs};
static const size_t all_count = sizeof(all_verbs) / sizeof(all_verbs[0]);

static const char *current = "main"; /* the verb under way, for die() */

void die_because(const char *arg, const char *reason)
{
    fflush(stdout); /* what was said before the failure comes before it */
    fprintf(stderr, "probe: %s%s%s: %s\n", current, arg ? " " : "", arg ? arg : "", reason);
    exit(1);
}

void die(const char *arg) { die_because(arg, strerror(errno)); }

unsigned long long number(const char *text)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 0);
    if (errno)
        die(text);
    if (end == text || *end || *text == '-')
        die_because(text, "not a number");
    return value;
}

const char *errno_name(int error)
{
    const char *name = strerrorname_np(error);
    return name ? name : "E?";
}

const char *verdict(int result) { return result < 0 ? errno_name(errno) : "ok"; }

void print_file(const char *path)
{
    char buffer[65536];
    ssize_t size;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        die(path);
    while ((size = read(fd, buffer, sizeof(buffer))) > 0)
        fwrite(buffer, 1, (size_t)size, stdout);
    if (size < 0)
        die(path);
    close(fd);
}

const char *link_target(const char *path)
{
    static char target[PATH_MAX];
    ssize_t size = readlink(path, target, sizeof(target) - 1);
    if (size < 0)
        return NULL;
    target[size] = '\0';
    return target;
}

static void usage(void)
{
    fprintf(stderr, "usage: probe VERB [ARG ...] [-- VERB [ARG ...]] ...\n");
    for (size_t i = 0; i < all_count; i++)
        for (const struct verb *verb = all_verbs[i]; verb->name; verb++)
            fprintf(stderr, "    %s%s%s\n", verb->name, *verb->usage ? " " : "", verb->usage);
    exit(2);
}

static const struct verb *find(const char *name)
{
    for (size_t i = 0; i < all_count; i++)
        for (const struct verb *verb = all_verbs[i]; verb->name; verb++)
            if (!strcmp(verb->name, name))
                return verb;
    fprintf(stderr, "probe: %s: no such verb\n", name);
    exit(2);
}

static void run(const struct verb *verb, char **args, int count)
{
    if (count < verb->min_args || (verb->max_args != ANY_NUMBER && count > verb->max_args)) {
        fprintf(stderr, "usage: probe %s %s\n", verb->name, verb->usage);
        exit(2);
    }
    current = verb->name;
    verb->run(args);
    if (fflush(stdout))
        die("stdout");
}

int main(int argc, char **argv)
{
    if (argc < 2)
        usage();
    for (int at = 1; at < argc;) {
        const struct verb *verb = find(argv[at]);
        char **args = argv + at + 1;
        int count = 0;
        /* A lone "--" ends a verb's arguments, except for the verb that takes whatever there is. */
        while (args[count] && (verb->max_args == ANY_NUMBER || strcmp(args[count], "--")))
            count++;
        args[count] = NULL;
        run(verb, args, count);
        at += count + 2;
    }
    return 0;
}
