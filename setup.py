"""Builds the kernel (native/*.cc) and the libraries that do without TensorFlow (native/*/*.cc).

The kernel needs nothing but a C++17 compiler: it declares the part of
TensorFlow's C API that it uses, so pip's isolated build environment, which has
no TensorFlow, can build it. It is no Python extension: one wheel, tagged for
the platform alone, serves every CPython and every TensorFlow that is supported.
Where there is no compiler, the package is installed without the kernel and
works with the Python stand-ins.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from setuptools import Command, Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build import build

ROOT = Path(__file__).resolve().parent
LIBRARY = "tfstream/lib/libtfstream_ops.so"
# Apart from the kernel, as what they are for does without TensorFlow, and so without its
# libraries: rooms of native/, each with the sources of others that it takes.
PACKING_LIBRARY = "tfstream/lib/libtfstream_pack.so"
SAMPLES_LIBRARY = "tfstream/lib/libtfstream_samples.so"
SHARED = {
    "packing": ("crc32c.cc",),
    "samples": ("crc32c.cc", "packing/jpeg.cc", "resample.cc", "resample_loops.cc"),
}
# TensorFlow's own library of the C API. The kernel is linked against an empty
# stand-in of that name; at run time the loader finds the real one, which
# TensorFlow has loaded by then.
TENSORFLOW_SONAME = "libtensorflow_framework.so.2"


def compiler() -> list[str] | None:
    """The C++ compiler that $CXX names, or else g++, c++ or clang++; None where there is none."""
    if "CXX" in os.environ:
        command = shlex.split(os.environ["CXX"])
        return command if command and shutil.which(command[0]) else None
    found = next(filter(None, map(shutil.which, ("g++", "c++", "clang++"))), None)
    return [found] if found else None


def compile_plain(room: str, output: Path, extra_flags: tuple[str, ...] = ()) -> None:
    """Compiles a room of native/ into `output`; raises CalledProcessError where that fails."""
    native = ROOT / "native"
    sources = [*sorted(native.joinpath(room).glob("*.cc")), *map(native.joinpath, SHARED[room])]
    subprocess.run([*compile_command(output), *extra_flags, *map(str, sources)], check=True)


def compile_packing(output: Path, extra_flags: tuple[str, ...] = ()) -> None:
    """Compiles the packer's library into `output`."""
    compile_plain("packing", output, extra_flags)


def compile_samples(output: Path, extra_flags: tuple[str, ...] = ()) -> None:
    """Compiles the library that makes samples without TensorFlow into `output`."""
    compile_plain("samples", output, extra_flags)


def compile_command(output: Path) -> list[str]:
    """The compiler with the flags of every library; raises OSError where there is none."""
    cxx = compiler()
    if cxx is None:
        raise FileNotFoundError("no C++ compiler ($CXX, g++, c++ or clang++) was found")
    output.parent.mkdir(parents=True, exist_ok=True)
    flags = ["-std=c++17", "-O3", "-DNDEBUG", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread"]
    return [*cxx, *flags, "-Wall", "-Wextra", "-o", str(output)]


def compile_kernel(output: Path, extra_flags: tuple[str, ...] = ()) -> None:
    """Compiles native/*.cc into `output`; raises CalledProcessError where that fails."""
    command = compile_command(output)
    with tempfile.TemporaryDirectory() as scratch:
        if sys.platform == "darwin":
            link = ["-undefined", "dynamic_lookup"]
        else:
            empty = Path(scratch, "empty.cc")
            empty.write_text("")
            stand_in = Path(scratch, TENSORFLOW_SONAME)
            soname = f"-Wl,-soname,{TENSORFLOW_SONAME}"
            stub = [*(compiler() or ()), "-shared", "-fPIC", soname, str(empty), "-o"]
            subprocess.run([*stub, str(stand_in)], check=True)
            link = ["-Wl,--no-as-needed", str(stand_in), "-Wl,--as-needed"]
        sources = sorted(str(path) for path in ROOT.joinpath("native").glob("*.cc"))
        subprocess.run([*command, *extra_flags, *sources, *link], check=True)


class BuildKernel(Command):
    """Compiles the kernel into the build directory, or in place for an editable install."""

    description = "compile the native kernel"
    user_options = [("inplace", "i", "put the library into the source tree")]
    boolean_options = ["inplace"]
    editable_mode = False
    inplace = False
    build_lib: str | None = None

    def initialize_options(self) -> None:
        """Nothing to set up: the class attributes are the defaults."""

    def finalize_options(self) -> None:
        """Takes the build directory from `build`."""
        self.set_undefined_options("build", ("build_lib", "build_lib"))

    def targets(self) -> list[Path]:
        """Where the kernel and the other libraries go."""
        in_source = self.inplace or self.editable_mode
        base = ROOT if in_source else Path(self.build_lib or "build/lib")
        return [base / LIBRARY, base / PACKING_LIBRARY, base / SAMPLES_LIBRARY]

    def run(self) -> None:
        """Compiles; without a working compiler, says what that means and goes on."""
        kernel, packing, samples = self.targets()
        try:
            compile_kernel(kernel)
            compile_packing(packing)
            compile_samples(samples)
        except (OSError, subprocess.CalledProcessError) as error:
            print(
                f"tfstream: the kernel was not compiled ({error}). The package works without it, "
                "more slowly; install g++ and reinstall to have it.",
                file=sys.stderr,
            )
            for target in self.targets():
                target.unlink(missing_ok=True)

    def get_source_files(self) -> list[str]:
        """What a source distribution must hold."""
        native = ROOT.joinpath("native")
        return sorted(str(p.relative_to(ROOT)) for p in native.rglob("*") if p.is_file())

    def get_outputs(self) -> list[str]:
        """The libraries, where they were made."""
        return [str(target) for target in self.targets() if target.exists()]

    def get_output_mapping(self) -> dict[str, str]:
        """Nothing is copied from the source tree."""
        return {}


class Build(build):
    """The usual build, and the kernel."""

    sub_commands = [*build.sub_commands, ("build_kernel", None)]


class BdistWheel(bdist_wheel):
    """A wheel for the platform, not for one CPython; for any platform without the kernel."""

    def get_tag(self) -> tuple[str, str, str]:
        """(python, abi, platform) of the wheel's name."""
        kernel = Path(self.bdist_dir or "", LIBRARY)
        if not kernel.exists():
            return "py3", "none", "any"
        return "py3", "none", super().get_tag()[2]


class BinaryDistribution(Distribution):
    """Holds compiled code, so that the wheel's platform tag is kept."""

    def has_ext_modules(self) -> bool:
        """True: the kernel is not an extension module, but compiled all the same."""
        return compiler() is not None


if __name__ == "__main__":
    setup(
        distclass=BinaryDistribution,
        cmdclass={"build": Build, "build_kernel": BuildKernel, "bdist_wheel": BdistWheel},
    )
