/*
 * A thread of a device's own, for what must not wait for Python: it sleeps until one of its descriptors is ready,
 * then does one round of bounded work with the lock held, and so on.
 *
 * It is made once, before the VMM gives its rights up, and knows no reset: worker_stand waits for the end of the round
 * that is under way; then there are none until worker_walk.
 */
#ifndef MINIRUN_WORKER_H
#define MINIRUN_WORKER_H

#include "vm.h"

#include <poll.h>
#include <pthread.h>

#define WORKER_FDS 4

struct worker {
    pthread_t thread;
    pthread_mutex_t lock;
    struct pollfd fds[WORKER_FDS]; /* [0] is our own bell, then kicks, then what the device adds; -1: none */
    int kicks;
    bool started, walking, wanted, ending;
    const char *name;
    bool (*round)(void *device); /* true: there is more, do not sleep */
    void *device;
};

/* 0, or an errno; name is what ps -T shows; kicks are eventfds, read before each round. */
int worker_start(struct worker *worker, const char *name, const int *kicks, int count, bool (*round)(void *),
                 void *device);
void worker_walk(struct worker *worker);
void worker_stand(struct worker *worker);
void worker_end(struct worker *worker);

#endif
