"""PURE: where things are in a sandbox's address space, linear and physical addresses in step.

    [0, 64 KiB)             nothing, ever: a null pointer must fault
    0x400000 …              a program that is linked to an address of its own, and its heap
    PIE                     one that is not, and its heap
    HEAPS … MAPPINGS        from the top downwards,    mmap(2): the ELF interpreter, libraries, thread stacks
    STACK                   the first thread's stack, downwards
    SYSTEM                  page tables, GDT, IDT, task state, the page that SYSCALL enters: not the program's

All of it lies below 32 GiB: the smallest physical address width of a processor with hardware virtualization is 36 bits.
"""

from __future__ import annotations

PAGE = 4096
GIB = 1 << 30
LOWEST = 0x10000
PIE = 16 << 20
HEAPS = 4 * GIB  # what mmap(2) is not told to place is placed above
SIZE = 32 * GIB
SLOT = 256 << 20  # physical memory is given to the VM in pieces of this size, when something in it is mapped
# Each piece costs a wait for all who look at the VM's slots: the first and the last have all that most programs have.
SYSTEM_SIZE = 64 << 20
SYSTEM = SIZE - SYSTEM_SIZE
GAP = 1 << 20
LIMIT = SYSTEM - GAP  # the program's end of the world; a call of the host's that is told to write beyond it stops there
STACK = SYSTEM - GAP
STACK_SIZE = 8 << 20
MAPPINGS = STACK - STACK_SIZE - GAP
SHIFT = 128 << 20  # most that a start's random places differ by

# In the system's part, page by page.
GDT, IDT, ENTRY, FAULTS = (SYSTEM + number * PAGE for number in range(4))
THREADS = 64  # at most: a task state and a stack of level 0 each
STATES = SYSTEM + 16 * PAGE
TABLES = STATES + 2 * THREADS * PAGE
TABLES_SIZE = SYSTEM + SYSTEM_SIZE - TABLES

# Selectors, as Linux has them (arch/x86/include/asm/segment.h): a program may look.
KERNEL_CS, KERNEL_DS, USER_DS, USER_CS, TASK = 0x10, 0x18, 0x2B, 0x33, 0x40
