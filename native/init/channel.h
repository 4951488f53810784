/*
 * The channel between the VMM and the agent: minirun/vm/channel.py says what each frame means, and a test compares
 * (tests/vm/test_channel.py).
 */
#ifndef MINIRUN_CHANNEL_H
#define MINIRUN_CHANNEL_H

#include <stdint.h>

#define CHANNEL_VERSION 1u
#define FRAME_MOST 65536u
#define WINDOW 65536u
#define TASKS 32u
#define WHOLE 3u

enum frame_kind {
    FRAME_BYTES = 1,
    FRAME_SPAWN = 2,
    FRAME_ORDER = 3,
    FRAME_SIGNAL = 4,
    FRAME_RESIZE = 5,
    FRAME_READ = 6,
    FRAME_WRITE = 7,
    FRAME_POWEROFF = 8,
    FRAME_HELLO = 16,
    FRAME_SPAWNED = 17,
    FRAME_REPORT = 18,
    FRAME_CLOSED = 19,
    FRAME_EXITED = 20,
    FRAME_ANSWER = 21,
    FRAME_LOG = 22,
    FRAME_DATA = 32,
    FRAME_END = 33,
    FRAME_CREDIT = 34,
};

enum stdio_mode { STDIO_NULL = 0, STDIO_PIPE = 1, STDIO_SAME = 2 };

struct frame_header {
    uint32_t length;
    uint16_t kind, stream;
};
struct spawn_head {
    uint64_t flags;
    uint32_t step;
    uint16_t target, cgroup_writes, task_writes;
    uint8_t stdio[3], nothing;
} __attribute__((packed));
struct hello_head {
    uint32_t version, nothing;
    uint64_t begun, modules, share, now;
};
struct exited_body {
    int32_t status;
    uint32_t nothing;
    uint64_t user, system, memory;
};
struct answer_head {
    uint32_t request;
    int32_t err;
};

#endif
