"""The package's build (PEP 517): setuptools, after the native parts are built in place."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from setuptools import Distribution, build_meta

sys.path.insert(0, str(Path(__file__).resolve().parent))

import build as native_build

# There is compiled code in the package, although setuptools did not compile it: the wheel is not for any platform.
Distribution.has_ext_modules = lambda self: True

get_requires_for_build_wheel = build_meta.get_requires_for_build_wheel
get_requires_for_build_sdist = build_meta.get_requires_for_build_sdist
get_requires_for_build_editable = build_meta.get_requires_for_build_editable
prepare_metadata_for_build_wheel = build_meta.prepare_metadata_for_build_wheel
prepare_metadata_for_build_editable = build_meta.prepare_metadata_for_build_editable
build_sdist = build_meta.build_sdist


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    native_build.main([])
    made: str = build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
    return made


def build_editable(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    native_build.main([])
    made: str = build_meta.build_editable(wheel_directory, config_settings, metadata_directory)
    return made
