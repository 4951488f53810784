"""What cffi compiles from native/seccomp: libseccomp, by the names of seccomp(3)."""

from typing import Any

ffi: Any
lib: Any
