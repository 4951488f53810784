/*
 * Stdio of a program: pipes, or a terminal, whose master init has sent us.
 *
 * Output is read only as far as the host has given credit; input is kept until the program takes it, and only then
 * is its credit given back.  Our ends are non-blocking, the program's are not: a pipe's two are different open files.
 */
#include "agent.h"

#define SET_SIZE 0x5414 /* TIOCSWINSZ */
#define PART (32u << 10)

void close_fd(int *fd)
{
    if (*fd >= 0)
        sys_close(*fd);
    *fd = -1;
}

static int open_pipe(int *ours, int *theirs, bool input)
{
    int ends[2];
    if (sc2(pipe2, P(ends), O_CLOEXEC) < 0)
        return -1;
    *ours = ends[input ? 1 : 0];
    *theirs = ends[input ? 0 : 1];
    return (int)sc3(fcntl, *ours, F_SETFL, O_NONBLOCK);
}

/* What the program gets, by the host's wish: a pipe of ours, what stdout is, or /dev/null. */
int streams_open(struct task *t, const uint8_t *modes, int theirs[3])
{
    int *ours[3] = {&t->in, &t->out[0], &t->out[1]};
    for (int i = 0; i < 3; i++) {
        if (modes[i] == STDIO_SAME && i == 2) {
            if ((theirs[i] = (int)sc3(fcntl, theirs[1], F_DUPFD_CLOEXEC, 3)) < 0)
                return -1;
        } else if (modes[i]) {
            if (open_pipe(ours[i], &theirs[i], i == 0) < 0)
                return -1;
        } else if ((theirs[i] = sys_openat2(AT_FDCWD, "/dev/null", O_RDWR, 0, 0)) < 0) {
            return -1;
        }
    }
    t->credit[0] = t->credit[1] = WINDOW;
    return 0;
}

void streams_terminal(struct task *t, int master)
{
    streams_close(t);
    t->in = master;
    t->terminal = true;
    t->drained[1] = true;
    sc3(fcntl, master, F_SETFL, O_RDWR | O_NONBLOCK);
}

/* Nobody will write there any more. */
static void output_over(struct agent *a, struct task *t, unsigned n, int *fd)
{
    close_fd(fd);
    t->drained[n] = true;
    frame_send(a, FRAME_END, stream_of(t, n + 1), "", 0);
}

/* One read(2) of output `n`, on to the host. */
void stream_out(struct agent *a, struct task *t, unsigned n)
{
    int *fd = t->terminal ? &t->in : &t->out[n];
    uint32_t room = frames_room(a), most = t->credit[n] < PART ? t->credit[n] : PART;
    if (*fd < 0 || (t->terminal && n)) {
        t->drained[n] = true;
        return;
    }
    if (!most || room < ROOM_ANSWER + PART + ROOM_REPORT)
        return;
    char *to = frame_begin(a, FRAME_DATA, stream_of(t, n + 1), most);
    long got = sys_read(*fd, to, most);
    if (got > 0) {
        frame_end(a, (uint32_t)got);
        t->credit[n] -= (uint32_t)got;
        if (t->dead) /* what others go on writing there is not waited for */
            t->left[n] -= t->left[n] < (uint32_t)got ? t->left[n] : (uint32_t)got;
        t->drained[n] = t->dead && !t->left[n];
    } else if (got == 0 || (last_failure.err != EAGAIN && last_failure.err != EINTR)) {
        output_over(a, t, n, fd); /* EIO is a terminal's end of file */
    } else if (t->dead && last_failure.err == EAGAIN) {
        t->drained[n] = true; /* others may hold it open; what the program itself has written is out */
    }
}

/* The program does not read any more. */
void stream_gone(struct agent *a, struct task *t)
{
    t->owed += t->held;
    t->held = 0;
    if (!t->terminal)
        close_fd(&t->in);
    frame_send(a, FRAME_END, stream_of(t, 0), "", 0);
}

/* As much of what waits as the program takes; then its credit back to the host. */
void stream_in(struct agent *a, struct task *t)
{
    while (t->held && t->in >= 0) {
        uint32_t piece = t->held < WINDOW - t->first ? t->held : WINDOW - t->first;
        long n = sys_write(t->in, t->typed + t->first, piece);
        if (n < 0 && (last_failure.err == EAGAIN || last_failure.err == EINTR))
            break;
        if (n < 0) {
            stream_gone(a, t);
            break;
        }
        t->first = (t->first + (uint32_t)n) % WINDOW;
        t->held -= (uint32_t)n;
        t->owed += (uint32_t)n;
    }
    if (t->owed && (t->owed >= WINDOW / 4 || !t->held)) {
        frame_send(a, FRAME_CREDIT, stream_of(t, 0), &t->owed, sizeof t->owed);
        t->owed = 0;
    }
    if (!t->held && t->in_ended && t->in >= 0)
        close_fd(&t->in); /* of a terminal that is a hang-up: SIGHUP for its session */
}

/* Input of the host's; -1 if it is more than we have ever asked for. */
int stream_typed(struct agent *a, struct task *t, const char *data, uint32_t length)
{
    if (length > WINDOW - t->held)
        return -1;
    if (t->in < 0) {
        t->owed += length;
    } else {
        uint32_t at = (t->first + t->held) % WINDOW, piece = length < WINDOW - at ? length : WINDOW - at;
        copy_bytes(t->typed + at, data, piece);
        copy_bytes(t->typed, data + piece, length - piece);
        t->held += length;
    }
    stream_in(a, t);
    return 0;
}

/* The host has no more input, or no reader any more: then the program gets SIGPIPE, as on the host. */
void stream_end(struct agent *a, struct task *t, unsigned fd)
{
    if (fd == 0) {
        t->in_ended = true;
        stream_in(a, t);
    } else if (!t->terminal && fd < WHOLE) {
        close_fd(&t->out[fd - 1]);
    }
}

void streams_close(struct task *t)
{
    close_fd(&t->in);
    close_fd(&t->out[0]);
    close_fd(&t->out[1]);
}
