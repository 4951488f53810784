#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

/* minirun/vm/sandbox/layout.py: where the program's part of the address space ends, and the system's begins. */
#define SYSTEM ((32ull << 30) - (64 << 20))
#define END (SYSTEM - (1 << 20))

#define say(...) dprintf(1, __VA_ARGS__)

uint64_t any(void);
void seed(uint64_t with);
pid_t child(void);
int ended(pid_t pid, int ms);
void races(int seconds);
void maps(void);
void crowd(void);
void files(const char *own, long from, long count);
void names(void);
void options(void);
void limits(void);

static inline long raw(uint64_t n, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    register uint64_t r10 __asm__("r10") = d;
    register uint64_t r8 __asm__("r8") = e;
    register uint64_t r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
