#include "worker.h"

#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

static void drain(struct pollfd *fd)
{
    uint64_t count;
    if (fd->revents & POLLIN && read(fd->fd, &count, sizeof count) < 0)
        fd->revents = 0; /* another was faster: then there is nothing to know */
}

static bool is(const bool *flag) { return __atomic_load_n(flag, __ATOMIC_ACQUIRE); }

static void set(bool *flag, bool value) { __atomic_store_n(flag, value, __ATOMIC_RELEASE); }

static void *run(void *argument)
{
    struct worker *worker = argument;
    bool more = false, walking = false;
    prctl(PR_SET_NAME, worker->name); /* of ourselves: from outside it would take /proc */
    while (!is(&worker->ending)) {
        /* whoever wants the lock gets it: a busy queue must not hold up a reset */
        bool alert = walking && !is(&worker->wanted);
        int found = poll(worker->fds, alert ? WORKER_FDS : 1, alert && more ? 0 : -1);
        if (found < 0 && errno != EINTR)
            break;
        for (int i = 0; i <= (alert ? worker->kicks : 0) && found > 0; i++)
            drain(&worker->fds[i]);
        if (is(&worker->wanted))
            continue; /* its bell follows */
        pthread_mutex_lock(&worker->lock);
        walking = worker->walking;
        more = walking && worker->round(worker->device);
        pthread_mutex_unlock(&worker->lock);
    }
    return NULL;
}

static void ring(struct worker *worker)
{
    uint64_t one = 1;
    ssize_t done = write(worker->fds[0].fd, &one, sizeof one);
    (void)done;
}

int worker_start(struct worker *worker, const char *name, const int *kicks, int count, bool (*round)(void *),
                 void *device)
{
    sigset_t all, old;
    int bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (bell < 0)
        return errno;
    worker->fds[0] = (struct pollfd){.fd = bell, .events = POLLIN};
    for (int i = 0; i < count; i++)
        worker->fds[1 + i] = (struct pollfd){.fd = kicks[i], .events = POLLIN};
    for (int i = 1 + count; i < WORKER_FDS; i++)
        worker->fds[i].fd = -1;
    worker->kicks = count;
    worker->name = name;
    worker->round = round;
    worker->device = device;
    pthread_mutex_init(&worker->lock, NULL);
    sigfillset(&all); /* signals are the main thread's, and the vCPUs' */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int error = pthread_create(&worker->thread, NULL, run, worker);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    worker->started = !error;
    if (error)
        close(bell);
    return error;
}

static void change(struct worker *worker, bool walking)
{
    if (!worker->started)
        return;
    set(&worker->wanted, true);
    pthread_mutex_lock(&worker->lock);
    worker->walking = walking;
    pthread_mutex_unlock(&worker->lock);
    set(&worker->wanted, false);
    ring(worker);
}

void worker_walk(struct worker *worker) { change(worker, true); }

void worker_stand(struct worker *worker) { change(worker, false); }

void worker_end(struct worker *worker)
{
    if (!worker->started)
        return;
    set(&worker->ending, true);
    ring(worker);
    pthread_join(worker->thread, NULL);
    close(worker->fds[0].fd);
    worker->started = false;
}
