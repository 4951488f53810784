#include "semantics.h"

#include <dirent.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <sys/xattr.h>

static void paths(void)
{
    mkdir("/tmp/f", 0755);
    chdir("/tmp/f");
    int fd = open("file", O_RDWR | O_CREAT | O_EXCL, 0644);
    SAY(fd >= 0);
    SAY(open("file", O_CREAT | O_EXCL, 0644));
    SAY(open("file/", O_RDONLY));
    SAY(open("file/x", O_RDONLY));
    SAY(open("", O_RDONLY));
    SAY(open(".", O_RDWR));
    SAY(open(".", O_TMPFILE | O_RDWR, 0600) >= 0);
    SAY(open("file", O_DIRECTORY));
    symlink("loop", "loop");
    SAY(open("loop", O_RDONLY));
    SAY(open("loop", O_RDONLY | O_NOFOLLOW));
    SAY(open("loop", O_PATH | O_NOFOLLOW) >= 0);
    symlink("new", "dangling");
    SAY(open("dangling", O_RDONLY));
    SAY(open("dangling", O_WRONLY | O_CREAT, 0600) >= 0);
    SAY(access("new", F_OK));
    char name[5000];
    memset(name, 'x', sizeof name);
    name[4999] = 0;
    SAY(open(name, O_RDONLY));
    name[300] = 0;
    SAY(open(name, O_RDONLY));
    SAY(rename("file", "kept"));
}

static void looking_only(void)
{
    chdir("/tmp/f");
    int path = open("kept", O_PATH), fd = open("kept", O_RDWR);
    char byte;
    SAY(read(path, &byte, 1));
    SAY(write(path, "x", 1));
    struct stat status;
    SAY(fstat(path, &status));
    SAY(fchmod(path, 0600));
    SAY(ioctl(path, FIONREAD, &byte));
    SAY(fcntl(path, F_GETFL) & O_PATH ? 1 : 0);
    SAY(openat(path, "", O_RDONLY));
    int folder = open(".", O_PATH | O_DIRECTORY);
    SAY(openat(folder, "kept", O_RDONLY) >= 0);
    SAY(openat(fd, "kept", O_RDONLY));
    SAY(openat(999, "kept", O_RDONLY));
    SAY(openat(999, "/tmp/f/kept", O_RDONLY) >= 0);
    SAY(fchdir(folder));
    SAY(fchdir(fd));
}

static void by_number(void)
{
    chdir("/tmp/f");
    char name[100];
    struct stat status;
    int fd = open("kept", O_RDWR);
    char link[64] = "";
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    SAY(readlink(name, link, sizeof link));
    printf("  %s\n", link);
    SAY(stat(name, &status) == 0 && S_ISREG(status.st_mode));
    SAY(lstat(name, &status) == 0 && S_ISLNK(status.st_mode));
    SAY(open(name, O_RDONLY) >= 0);
    SAY(linkat(AT_FDCWD, name, AT_FDCWD, "/tmp/f/linked", AT_SYMLINK_FOLLOW));
    SAY(access("linked", F_OK));
    SAY(chmod(name, 0640));
    SAY(fstat(fd, &status) == 0 ? status.st_mode & 0777 : -1);
    SAY(truncate(name, 3));
    SAY(access("/proc/self/fd/999", F_OK));
    SAY(chdir("/proc/self/fd"));
    SAY(readlink("1", link, sizeof link) > 0);
}

static void renames(void)
{
    chdir("/tmp/f");
    SAY(rename("kept", "file"));
    struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_BENEATH};
    SAY(syscall(SYS_openat2, AT_FDCWD, "../f/file", &how, sizeof how));
    SAY(syscall(SYS_openat2, AT_FDCWD, "file", &how, sizeof how) >= 0);
    how.resolve = RESOLVE_NO_SYMLINKS;
    SAY(syscall(SYS_openat2, AT_FDCWD, "dangling", &how, sizeof how));
    how.resolve = 1 << 30;
    SAY(syscall(SYS_openat2, AT_FDCWD, "file", &how, sizeof how));
    how.resolve = 0;
    how.mode = 0644;
    SAY(syscall(SYS_openat2, AT_FDCWD, "file", &how, sizeof how));
    SAY(syscall(SYS_openat2, AT_FDCWD, "file", &how, 8));
    SAY(rename("file", "renamed"));
    SAY(rename("nope", "renamed"));
    SAY(renameat2(AT_FDCWD, "renamed", AT_FDCWD, "new", RENAME_NOREPLACE));
    SAY(renameat2(AT_FDCWD, "renamed", AT_FDCWD, "new", RENAME_EXCHANGE));
    SAY(mkdir("renamed", 0755));
    SAY(rmdir("."));
    SAY(unlink("."));
    SAY(rmdir("/tmp/f"));
    SAY(umask(022));
}

static void duplicates(void)
{
    SAY(close(999));
    SAY(dup(999));
    SAY(dup2(999, 5));
    SAY(dup2(1, 1));
    SAY(dup3(1, 1, 0));
    SAY(dup2(1, -1));
    SAY(dup2(1, 40));
    SAY(dup3(1, 41, O_CLOEXEC));
    SAY(fcntl(41, F_GETFD));
    SAY(dup3(1, 42, O_APPEND));
    SAY(fcntl(40, F_DUPFD, 10));
    SAY(fcntl(40, F_DUPFD, -1));
    SAY(fcntl(40, 9999));
    SAY(fcntl(999, F_GETFL));
    SAY(syscall(SYS_close_range, 40, 45, 0));
    SAY(fcntl(40, F_GETFD));
    SAY(syscall(SYS_close_range, 5, 4, 0));
}

static void descriptors(void)
{
    int fd = open("/tmp/d", O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600), other = dup(fd);
    SAY(fcntl(fd, F_GETFD));
    SAY(fcntl(other, F_GETFD));
    SAY((fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND)) == (O_RDWR | O_APPEND));
    SAY(fcntl(fd, F_SETFL, O_NONBLOCK));
    SAY(fcntl(other, F_GETFL) & O_NONBLOCK ? 1 : 0);
    SAY(write(fd, "0123456789", 10));
    SAY(lseek(other, 0, SEEK_CUR));
    SAY(lseek(fd, -1, SEEK_SET));
    SAY(lseek(fd, 100, SEEK_DATA));
    SAY(lseek(fd, 0, 99));
    char text[32] = "";
    SAY(pread(fd, text, 3, 2));
    printf("  %s\n", text);
    SAY(pread(fd, text, 3, -1));
    struct iovec parts[2] = {{text, 2}, {text + 10, 4}};
    lseek(fd, 0, SEEK_SET);
    SAY(readv(fd, parts, 2));
    printf("  %.2s %.4s\n", text, text + 10);
    SAY(readv(fd, parts, -1));
    SAY(readv(fd, parts, 2000));
    SAY(preadv(fd, parts, 2, 8));
    SAY(pwritev(fd, parts, 1, 0));
    SAY(preadv2(fd, parts, 1, -1, 0));
    parts[0].iov_base = (void *)1;
    SAY(writev(fd, parts, 2));
    SAY(writev(fd, parts, 0));
    unlink("/tmp/d");
}

static void locked(void)
{
    char text[32];
    int fd = open("/tmp/d", O_RDWR | O_CREAT, 0600);
    SAY(flock(fd, LOCK_EX | LOCK_NB));
    int third = open("/tmp/d", O_RDWR);
    SAY(flock(third, LOCK_EX | LOCK_NB));
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    SAY(fcntl(fd, F_SETLK, &lock));
    SAY(fcntl(third, F_OFD_SETLK, &lock));
    lock.l_type = F_WRLCK;
    SAY(fcntl(third, F_GETLK, &lock));
    int ends[2];
    SAY(pipe2(ends, O_NONBLOCK));
    SAY(read(ends[0], text, 1));
    SAY(write(ends[1], "abc", 3));
    int size = 0;
    SAY(ioctl(ends[0], FIONREAD, &size));
    printf("  %d\n", size);
    SAY(ioctl(ends[0], TCGETS, text));
    SAY(ioctl(999, FIONREAD, &size));
    SAY(lseek(ends[0], 0, SEEK_SET));
    SAY(fcntl(ends[0], F_GETPIPE_SZ));
    close(ends[0]);
    signal(SIGPIPE, SIG_IGN);
    SAY(write(ends[1], "abc", 3));
    SAY(isatty(1));
    SAY(read(1, NULL, 0) <= 0);
    SAY(read(open("/", O_RDONLY), text, 1));
    SAY(write(open("/dev/full", O_WRONLY), "x", 1));
    unlink("/tmp/d");
}

static void transfers(void)
{
    int from = open("/tmp/from", O_RDWR | O_CREAT | O_TRUNC, 0600),
        to = open("/tmp/to", O_RDWR | O_CREAT | O_TRUNC, 0600);
    char text[100] = "";
    write(from, "some text that moves", 20);
    off_t offset = 5;
    SAY(sendfile(to, from, &offset, 4));
    SAY(offset);
    off_t in = 0, out = 10;
    SAY(copy_file_range(from, &in, to, &out, 6, 0));
    int ends[2];
    pipe(ends);
    in = 0;
    SAY(splice(from, &in, ends[1], NULL, 9, 0));
    SAY(read(ends[0], text, 100));
    SAY(fallocate(to, 0, 0, 8192));
    SAY(fallocate(to, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, 4096));
    SAY(posix_fadvise(to, 0, 0, POSIX_FADV_DONTNEED));
    SAY(ftruncate(to, 5));
    SAY(ftruncate(to, -1));
    struct stat status;
    SAY(fstat(to, &status) == 0 ? status.st_size : -1);
    SAY(fsync(to));
    SAY(syncfs(to));
    struct statfs about;
    SAY(fstatfs(to, &about));
    SAY(statfs("/proc", &about) == 0 ? about.f_type : -1);
    struct statx extended;
    SAY(statx(AT_FDCWD, "/tmp/to", 0, STATX_SIZE, &extended) == 0 ? (long)extended.stx_size : -1);
    SAY(statx(to, "", AT_EMPTY_PATH, STATX_SIZE, &extended) == 0 ? (long)extended.stx_size : -1);
    SAY(fsetxattr(to, "user.a", "value", 5, 0) == 0 || errno == EOPNOTSUPP);
    struct timespec times[2] = {{1, 0}, {2, 0}};
    SAY(utimensat(AT_FDCWD, "/tmp/to", times, 0));
    SAY(futimens(to, times));
    SAY(stat("/tmp/to", &status) == 0 ? status.st_mtime : -1);
    SAY(fchown(to, 1, 2));
    SAY(fchmodat(AT_FDCWD, "/tmp/to", 0604, 0));
    SAY(stat("/tmp/to", &status) == 0 ? status.st_mode & 0777 : -1);
    SAY(faccessat(AT_FDCWD, "/tmp/to", X_OK, AT_EACCESS));
    SAY(mknod("/tmp/fifo", S_IFIFO | 0600, 0));
    SAY(mkdirat(AT_FDCWD, "/tmp/fifo", 0700));
    SAY(open("/tmp/fifo", O_WRONLY | O_NONBLOCK));
    struct sysinfo system;
    SAY(sysinfo(&system) == 0 && system.totalram > 0);
    SAY(memfd_create("a", MFD_ALLOW_SEALING) >= 0);
    SAY(syscall(SYS_memfd_create, "a", 0x80u));
    int sealed = memfd_create("b", MFD_ALLOW_SEALING);
    SAY(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE));
    SAY(fcntl(sealed, F_GET_SEALS));
    SAY(write(sealed, "x", 1));
    struct file_handle handle = {0};
    int mount;
    SAY(name_to_handle_at(AT_FDCWD, "/tmp/to", &handle, &mount, 0));
    unlink("/tmp/from");
    unlink("/tmp/to");
    unlink("/tmp/fifo");
}

static int listed(const char *path)
{
    DIR *folder = opendir(path);
    int count = 0;
    if (!folder)
        return -1;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static void of_proc(void)
{
    char text[256] = "";
    SAY(listed("/proc/self/task"));
    SAY(listed("/proc/self/fd"));
    SAY(listed("/proc/self") > 10);
    int fd = open("/proc/self/status", O_RDONLY);
    SAY(read(fd, text, 6));
    printf("  %s\n", text);
    SAY(open("/proc/self/mem", O_RDWR) >= 0 ? 1 : 0);
    SAY(readlink("/proc/self/root", text, 200));
    SAY(readlink("/proc/thread-self", text, 200) > 0);
    SAY(open("/proc/self/maps", O_RDONLY) >= 0);
    SAY(open("/proc/self/stat", O_RDONLY) >= 0);
    SAY(open("/proc/self/statm", O_RDONLY) >= 0);
    SAY(open("/proc/self/environ", O_RDONLY) >= 0);
    SAY(open("/proc/self/limits", O_RDONLY) >= 0);
    SAY(open("/proc/self/mounts", O_RDONLY) >= 0);
    SAY(open("/proc/mounts", O_RDONLY) >= 0);
    SAY(open("/proc/self/oom_score", O_RDONLY) >= 0);
    SAY(open("/proc/self/oom_score_adj", O_RDWR) >= 0);
    SAY(open("/proc/self/auxv", O_RDONLY) >= 0);
    SAY(open("/proc/self/smaps_rollup", O_RDONLY) >= 0);
    SAY(open("/proc/self/cgroup", O_RDONLY) >= 0);
    SAY(open("/proc/self/io", O_RDONLY) >= 0);
    SAY(open("/proc/self/fdinfo/1", O_RDONLY) >= 0);
    SAY(open("/proc/self/ns/pid", O_RDONLY) >= 0);
    SAY(open("/proc/self/exe", O_RDONLY) >= 0);
    SAY(open("/proc/self/cwd/", O_RDONLY) >= 0);
    SAY(open("/proc/self/root/etc/passwd", O_RDONLY) >= 0);
    SAY(open("/proc/self/cwd/etc", O_RDONLY) >= 0 || 1);
    fd = open("/proc/self/comm", O_RDWR);
    SAY(write(fd, "other", 5));
}

const struct check OF_FILES[] = {{"paths", paths},           {"looking_only", looking_only},
                                 {"by_number", by_number},   {"renames", renames},
                                 {"duplicates", duplicates}, {"descriptors", descriptors},
                                 {"locked", locked},         {"transfers", transfers},
                                 {"of_proc", of_proc},       {NULL, NULL}};
