/*
 * The probe: a static program that tests put into a rootfs as /probe and run as the container's process, to
 * ask it what the inside looks like.  What the files hold:
 *
 *   probe.c    main: the chain of verbs, and the few functions that every verb may use
 *   files.c    verbs about paths: cat, stat, mknod, mount, ...
 *   self.c     verbs that describe the process: id, caps, rlimits, ns, fds, ...
 *   kernel.c   verbs about how the kernel treats it: affinity, ioprio, mempolicy, interfaces, ...
 *   act.c      verbs that do something: sleep, trap, memhog, forkbomb, loopback, chroot-escape, ...
 *   attack.c   the verb that lies in wait for exec
 *   call.c     verbs that make a system call by its number
 *
 * A verb prints to stdout and returns, or calls die(): no verb returns an error.
 */
#ifndef PROBE_H
#define PROBE_H

#define ANY_NUMBER (-1)

struct verb {
    const char *name;
    int min_args, max_args;   /* max_args may be ANY_NUMBER */
    void (*run)(char **args); /* args ends with NULL */
    const char *usage;
};

/* Each ends with a verb without a name. */
extern const struct verb file_verbs[], self_verbs[], kernel_verbs[], act_verbs[], attack_verbs[], call_verbs[];

/* "probe: VERB ARG: strerror(errno)" on stderr and exit(1); arg may be NULL. */
_Noreturn void die(const char *arg);
/* The same, for what has no errno. */
_Noreturn void die_because(const char *arg, const char *reason);

/* A number in C's notation (10, 0x10, 010), or die. */
unsigned long long number(const char *text);
/* "EPERM" for EPERM. */
const char *errno_name(int error);
/* "ok" if result is not negative, else the name of errno: for verbs that say whether a thing is allowed. */
const char *verdict(int result);
/* The whole file to stdout. */
void print_file(const char *path);
/* The target of a symbolic link, in a buffer that the next call overwrites; NULL with errno. */
const char *link_target(const char *path);

#endif
