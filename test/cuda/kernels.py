#!/usr/bin/env python3
"""Compiles src/cuda/kernels.cu by NVRTC for all GPUs and shapes that the worker would, which needs
no GPU: what runs there is scripts/test-cuda's business.

Run by the Python that has torch's CUDA libraries. The last line is "N passed, N failed".
"""

import ctypes
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "test" / "support"))
from checks import Checks  # noqa: E402  (after the path is set)

CAPABILITIES = (80, 90, 120)
# Head size, numbers in a row: those of MiniLM and BERT-base, and the largest rows there are.
SHAPES = ((32, 384), (64, 768), (64, 2048))


def nvrtc():
    """With the library beside it that it opens by its bare name: libtorch, by which the worker opens
    NVRTC, has a path to that one."""
    import nvidia
    path = next(found for folder in nvidia.__path__ for found in Path(folder).rglob("libnvrtc.so.*"))
    library = ctypes.CDLL(str(path))
    major, minor = ctypes.c_int(), ctypes.c_int()
    library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    ctypes.CDLL(str(path.with_name(f"libnvrtc-builtins.so.{major.value}.{minor.value}")))
    return library


def text_of(library, program, size_function, function):
    size = ctypes.c_size_t()
    getattr(library, size_function)(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    getattr(library, function)(program, text)
    return text.raw


def compiled(library, source, options):
    """Machine code, or none; and what the compiler says."""
    program = ctypes.c_void_p()
    library.nvrtcCreateProgram(ctypes.byref(program), source, b"kernels.cu", 0, None, None)
    pointers = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    status = library.nvrtcCompileProgram(program, len(options), pointers)
    said = text_of(library, program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog")
    code = text_of(library, program, "nvrtcGetCUBINSize", "nvrtcGetCUBIN") if status == 0 else b""
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return code, said.rstrip(b"\0\n").decode(errors="replace")


def main():
    library = nvrtc()
    source = (ROOT / "src" / "cuda" / "kernels.cu").read_bytes()
    report = Checks()
    for capability in CAPABILITIES:
        for head_size, hidden in SHAPES:
            for name, define in (("float16", []), ("bfloat16", ["-DBFLOAT16"])):
                code, said = compiled(library, source, [
                    "--std=c++17", f"--gpu-architecture=sm_{capability}",
                    f"-DHEAD_SIZE={head_size}", f"-DHIDDEN={hidden}", *define])
                report.check(f"sm_{capability}, {name}, heads of {head_size}, rows of {hidden}",
                             code.startswith(b"\x7fELF") and b"short_attention_16" in code
                             and not said, said or f"{len(code)} bytes")
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
