"""Puts the library of jobrunner/native into the wheel, which is of one platform then; without rustc none."""

import runpy
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).resolve().parent


class NativeHook(BuildHookInterface):
    """Called by hatchling for wheels, editable ones too."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's own
        build = runpy.run_path(str(HERE / "native" / "build.py"))
        if not build["build"](build["LIBRARY"]):
            sys.stderr.write(f"{build['MISSING']}\n")
            return
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
