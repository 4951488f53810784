"""PURE: where things are in a sandbox's address space, linear and physical addresses in step.

    [0, 64 KiB)             nothing, ever: a null pointer must fault
    0x400000 …              a program that is linked to an address of its own, and its heap
    PIE                     one that is not
    MAPPINGS … downwards    mmap(2): the ELF interpreter, libraries, thread stacks
    STACK                   the first thread's stack, downwards
    SYSTEM                  page tables, GDT, IDT, task state, the page that SYSCALL enters: not the program's

All of it lies below 32 GiB: the smallest physical address width of a processor with hardware virtualization is 36 bits.
"""

from __future__ import annotations

PAGE = 4096
GIB = 1 << 30
LOWEST = 0x10000
PIE = 4 * GIB
MAPPINGS = 28 * GIB
STACK = 31 * GIB
STACK_SIZE = 8 << 20
SYSTEM = 31 * GIB + 256 * (1 << 20)  # beside the stack, so that one memory slot has both
SYSTEM_SIZE = 64 << 20
GUARD = 1 << 20  # never mapped: a call of the host's that is told to write beyond the program's end stops here
LIMIT = SYSTEM - GUARD  # the program's end of the world
SIZE = 32 * GIB
SLOT = 256 << 20  # physical memory is given to the VM in pieces of this size, when something in it is mapped

# In the system's part, page by page.
GDT, IDT, ENTRY, FAULTS = (SYSTEM + number * PAGE for number in range(4))
THREADS = 64  # at most: a task state and a stack of level 0 each
STATES = SYSTEM + 16 * PAGE
TABLES = STATES + 2 * THREADS * PAGE
TABLES_SIZE = SYSTEM + SYSTEM_SIZE - TABLES

# Selectors, as Linux has them (arch/x86/include/asm/segment.h): a program may look.
KERNEL_CS, KERNEL_DS, USER_DS, USER_CS, TASK = 0x10, 0x18, 0x2B, 0x33, 0x40
