"""What cffi compiles from native/vm: kvm(4), queues, devices."""

from typing import Any

ffi: Any
lib: Any
