/* What libseccomp does not say: where it came from, and what this kernel can do. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

const char *minirun_library_of_seccomp(void);
int minirun_seccomp_has_flag(unsigned int flag);
int minirun_seccomp_has_action(uint32_t action);

/* The file: a filter in the cache is only as good as the library that compiled it.  NULL: the linker does not know. */
const char *minirun_library_of_seccomp(void)
{
    Dl_info found;
    return dladdr((const void *)seccomp_version, &found) ? found.dli_fname : NULL;
}

/* The kernel looks at the flags before it looks at the program, and there is none (seccomp(2)). */
int minirun_seccomp_has_flag(unsigned int flag)
{
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flag, NULL) < 0 && errno == EFAULT;
}

int minirun_seccomp_has_action(uint32_t action)
{
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}
