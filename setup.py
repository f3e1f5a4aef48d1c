"""The Cython extensions; everything else stands in pyproject.toml."""

import multiprocessing
import os
import platform
import tempfile

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

X86 = platform.machine().lower() in {"x86_64", "amd64"}
# Contraction is off on x86 so that AVX2 and AVX-512 give the same bits: where a fused multiply-add is meant, the source
# says so. Elsewhere there is one build only, and the compiler may fuse. Nobody reads errno: roots can be vectors.
COMMON = ["-Wno-unused-function", "-fno-math-errno"] + (["-ffp-contract=off"] if X86 else ["-ffp-contract=fast"])
# FASTCONV_SANITIZE=1, for tests/sanitize.sh: the first error of memory or arithmetic ends the process. Python's own
# flags define signed overflow, which would hide it.
SANITIZE = os.environ.get("FASTCONV_SANITIZE") == "1"
LINK = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"] if SANITIZE else []
COMMON += ["-O1", "-g", "-fno-omit-frame-pointer", "-fstrict-overflow", *LINK] if SANITIZE else ["-O3", "-g0"]
LEVELS = {"base": []}
if X86:
    LEVELS["avx2"] = ["-mavx2", "-mfma", "-mbmi", "-mbmi2"]
    LEVELS["avx512"] = [
        "-mavx512f",
        "-mavx512vl",
        "-mavx512bw",
        "-mavx512dq",
        *LEVELS["avx2"],
        "-mprefer-vector-width=512",
    ]
ENGINE = [
    f"fastconv/engine/{name}" for name in sorted(os.listdir("fastconv/engine")) if name.endswith((".pxd", ".pxi", ".h"))
]
KERNELS = [
    f"fastconv/kernels/{name}" for name in sorted(os.listdir("fastconv/kernels")) if name.endswith((".pxd", ".h"))
]


class BuildExt(build_ext):
    """Compiles the extensions side by side; adds OpenMP where the compiler has it, FASTCONV_OPENMP=0 leaves it out."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self):
        flags = ["-fopenmp"] if self.can_compile("-fopenmp") else []
        for extension in self.extensions:
            extension.extra_compile_args = extension.extra_compile_args + flags
            extension.extra_link_args = extension.extra_link_args + flags
        super().build_extensions()

    def can_compile(self, flag):
        if os.environ.get("FASTCONV_OPENMP") == "0":
            return False
        with tempfile.TemporaryDirectory() as folder:
            source = os.path.join(folder, "try.c")
            with open(source, "w") as file:
                file.write("#include <omp.h>\nint probe(void) { return omp_get_max_threads() < 1; }\n")
            try:
                objects = self.compiler.compile([source], output_dir=folder, extra_postargs=[flag])
                # as the extensions are linked: CFLAGS and LDFLAGS do not reach link_executable
                self.compiler.link_shared_object(objects, os.path.join(folder, "try.so"), extra_postargs=[flag])
            except (CompileError, LinkError):
                return False
        return True


extensions = [
    Extension(
        f"fastconv.engine._{level}",
        [f"fastconv/engine/_{level}.pyx"],
        depends=ENGINE + KERNELS,
        include_dirs=["fastconv/kernels", "fastconv/engine"],
        extra_compile_args=COMMON + flags,
        extra_link_args=LINK,
    )
    for level, flags in reversed(LEVELS.items())  # the one that takes longest first
]
for name in ("engine.cpu", "kernels.augmentation", "kernels.encode", "kernels.im2col"):
    extensions.append(
        Extension(
            f"fastconv.{name}",
            [f"fastconv/{name.replace('.', '/')}.pyx"],
            depends=KERNELS,
            include_dirs=["fastconv/kernels"],
            extra_compile_args=COMMON,
            extra_link_args=LINK,
        )
    )


setup(
    ext_modules=cythonize(
        extensions,
        nthreads=os.cpu_count() if multiprocessing.get_start_method() == "fork" else 0,
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "embedsignature": True,
        },
    ),
    cmdclass={"build_ext": BuildExt},
)
