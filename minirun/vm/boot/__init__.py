"""Boot protocols: bytes of a kernel in, pieces of memory and registers out.  No ioctl, and no file is opened here.

``entry`` is what each of them comes to; ``bzimage`` and ``elf`` read kernels; ``zeropage`` and ``acpi`` are what the
kernel is told, ``cmdline`` what it is asked; ``cpu`` and ``cpuid`` are the processor.  All PURE, but for ``unpack``
(LZ4 is in C).
"""
