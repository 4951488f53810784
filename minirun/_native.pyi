"""What cffi compiles from native/border: its names come from the cdef in native/build.py, so nothing is typed here."""

from typing import Any

ffi: Any
lib: Any
