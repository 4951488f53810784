"""THIN: the kernel's interfaces, one module per man page, under the kernel's own names; ``OSError`` with filename.

This package, and only it, touches the compiled module ``minirun._native`` (native/border, cffi in API mode).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

try:
    from minirun import _native
except ImportError as error:  # pragma: no cover (a checkout that was never built)
    raise ImportError(f"{error}; build it first: make setup") from error

ffi: Any = _native.ffi
lib: Any = _native.lib


def oserror(filename: str = "") -> OSError:
    """The OSError of the native call that just returned -1."""
    from posix import strerror

    number = ffi.errno
    return OSError(number, strerror(number), filename) if filename else OSError(number, strerror(number))
