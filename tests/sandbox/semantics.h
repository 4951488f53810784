/* What a kernel promises, put to the test: each check says what it saw, in words that do not change from run to run. */
#ifndef SEMANTICS_H
#define SEMANTICS_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct check {
    const char *name;
    void (*run)(void);
};
extern const struct check OF_FAULTS[], OF_SIGNALS[], OF_PROCESSES[], OF_IDENTITY[], OF_FILES[], OF_MEMORY[],
    OF_EVENTS[];

/* An expression's value, or its errno's name. */
#define SAY(expression) say(#expression, (long)(expression))
void say(const char *what, long value);
void handle(int number, void (*handler)(int, siginfo_t *, void *), int flags);
/* How a child that does this ends. */
void ends(const char *what, void (*child)(void));
#endif
