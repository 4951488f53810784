"""kvm(4), Documentation/virt/kvm/api.rst: one type for each kind of descriptor, methods named as the ioctls.

The compiled module ``minirun._kvm`` (native/vm, cffi in API mode) is touched here only; ``ffi`` and ``lib`` are for
the files of ``minirun.vm`` that drive its other half (queues, block, network).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

try:
    from minirun import _kvm
except ImportError as error:  # pragma: no cover (a checkout that was never built)
    raise ImportError(f"{error}; build it first: make setup") from error

ffi: Any = _kvm.ffi
lib: Any = _kvm.lib
