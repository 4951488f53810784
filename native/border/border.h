/*
 * The native border: what Python cannot say by itself.  Thin: each function is one or two system calls, returns
 * -1 with errno set, and leaves the words to Python.
 */
#ifndef MINIRUN_BORDER_H
#define MINIRUN_BORDER_H

#include <linux/openat2.h>
#include <stddef.h>
#include <stdint.h>

struct spawn_request {
    uint64_t flags;                           /* CLONE_NEW* */
    int cgroup_fd;                            /* or -1 */
    int init_fd;                              /* the sealed init */
    int sync_fd, plan_fd, gate_fd, target_fd; /* -1: none */
    int stdio[3];                             /* -1: as it is */
    int preserve;
    int pid, pidfd; /* out */
    int error;      /* out: why the child could not execute init; valid when its pid is there */
};

int minirun_spawn(struct spawn_request *request);
int minirun_seal_file(const char *name, int from);
int minirun_seal_bytes(const char *name, const void *bytes, size_t size);
long minirun_filesystem(const char *path);
int minirun_bpf_load(const void *instructions, size_t count, const char *name, char *log, size_t log_size);
int minirun_bpf_attach(int cgroup, int program, int replaced);
int minirun_bpf_query(int cgroup, uint32_t *numbers, uint32_t most);
int minirun_bpf_open(uint32_t number, const char *name);
int minirun_signalfd(uint64_t mask);
int minirun_signalfd_read(int fd);
int minirun_detach(const char *path);
int minirun_pair(int ends[2]);
long minirun_send(int socket, const void *data, size_t size, int passed);
long minirun_receive(int socket, void *data, size_t size, int *passed);
long minirun_send_fds(int socket, const int *fds, unsigned count);
long minirun_receive_fds(int socket, int *fds);
int minirun_listen(const char *path);
int minirun_accept(int socket);
int minirun_connect(const char *path, int stream);
int minirun_pidfd_getfd(int pidfd, int number);
int minirun_open_tree(int fd, unsigned flags);
int minirun_mount_setattr(int mount, unsigned flags, uint64_t propagation, int user_namespace);
int minirun_fsopen(const char *type);
int minirun_fsconfig(int context, const char *key, const char *value);
int minirun_fsmount(int context);
int minirun_user_namespace(const char *uid_map, const char *gid_map, const char **call, const char **path);
int minirun_setns(int fd, int flags);
int minirun_unshare(int flags);
int minirun_hold(uint64_t flags, int *end);
int minirun_netlink(int netns);
int minirun_new_netns(void);
int minirun_netns_write(int netns, const char *path, const char *value);
int minirun_cpu(void);
int minirun_sched_setattr(int pid, const int64_t values[7]);
int minirun_ioprio_set(int pid, int value);
int minirun_openat2(int at, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
int minirun_new_file(int at, const char *name, unsigned mode, unsigned uid, unsigned gid, int64_t seconds,
                     long nanoseconds, const void *data, size_t size);
int minirun_move_mount(int mount, const char *path);
int minirun_mount(const char *source, const char *target, const char *type, uint64_t flags, const char *data);

#endif
