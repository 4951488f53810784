"""What cffi compiles from native/border: its names come from native/border/border.cdef, so nothing is typed here."""

from typing import Any

ffi: Any
lib: Any
