/* The few string functions there is need of; the compiler calls the mem* ones by itself. */
#include "init.h"

size_t text_length(const char *s)
{
    size_t n = 0;
    while (s[n])
        n++;
    return n;
}

bool text_equal(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

bool text_starts(const char *s, const char *prefix)
{
    while (*prefix)
        if (*s++ != *prefix++)
            return false;
    return true;
}

const char *text_first(const char *s, char wanted)
{
    for (; *s; s++)
        if (*s == wanted)
            return s;
    return NULL;
}

const char *text_last(const char *s, char wanted)
{
    const char *found = NULL;
    for (; *s; s++)
        if (*s == wanted)
            found = s;
    return found;
}

/* a + b + c into to; -1 (ENAMETOOLONG) if it does not fit. */
int text_join(char *to, size_t size, const char *a, const char *b, const char *c)
{
    const char *parts[] = {a, b, c};
    size_t at = 0;
    for (size_t i = 0; i < 3; i++)
        for (const char *s = parts[i]; *s; s++) {
            if (at + 1 >= size) {
                to[at] = '\0';
                return fail(ENAMETOOLONG, "path");
            }
            to[at++] = *s;
        }
    to[at] = '\0';
    return 0;
}

/* Decimal; to must hold 21 bytes. */
void text_number(char *to, uint64_t value)
{
    char digits[21];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    while (n)
        *to++ = digits[--n];
    *to = '\0';
}

/* A decimal number that ends at `end`; -1 for anything else, or beyond 32 bits. */
int64_t text_parse(const char *s, char end)
{
    int64_t value = 0;
    if (*s == end || !*s)
        return -1;
    for (; *s && *s != end; s++) {
        if (*s < '0' || *s > '9')
            return -1;
        value = value * 10 + (*s - '0');
        if (value > 0xffffffffLL)
            return -1;
    }
    return value;
}

#ifdef MINIRUN_FREESTANDING
/* gcc emits calls to these even with -ffreestanding; it must not see through the loops and call itself. */
void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    unsigned char *t = to;
    const unsigned char *f = from;
    while (n--)
        *t++ = *f++;
    return to;
}

void *memset(void *to, int byte, size_t n)
{
    unsigned char *t = to;
    while (n--)
        *t++ = (unsigned char)byte;
    return to;
}
#endif
