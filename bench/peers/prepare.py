"""Makes what a comparison needs and has not got: llama.cpp, the models, in a folder outside the project.

Every part is made under another name first and renamed when it is whole, so a stopped run leaves
nothing that the next one would take for finished.
"""
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SDIST = "0.3.36"  # of llama-cpp-python; holds all of llama.cpp in vendor/llama.cpp
SCHEMES = ("w4g32", "w4g128", "w8", "w3g128", "w2g64")
GGUF_TYPES = ("Q4_0", "Q8_0")
TARGETS = ("llama-bench", "llama-completion", "llama-quantize")
NATIVE = ["-DGGML_NATIVE=ON"]
# GCC 12 leaves out most of the configuration that llama.cpp gives the tile registers (amx/mmq.cpp), and the program ends
# at its first product; the compiler that ./demo installs does not.
COMPILERS = ["-DCMAKE_C_COMPILER=clang-19", "-DCMAKE_CXX_COMPILER=clang++-19"]
AVX2 = ["-DGGML_NATIVE=OFF", "-DGGML_AVX=ON", "-DGGML_AVX2=ON", "-DGGML_FMA=ON", "-DGGML_F16C=ON",
        "-DGGML_BMI2=ON"]


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(*command, log=None):
    """Runs a command whose words nobody needs unless it fails."""
    command = [str(part) for part in command]
    say("$ " + " ".join(command))
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if log:
        log.write_text(done.stdout)
    if done.returncode != 0:
        sys.exit(done.stdout[-4000:] + f"\ncompare: {command[0]} ended with {done.returncode}")


def make(path, maker):
    """`path`, made by maker(partial) where it is not there yet."""
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial) if partial.is_dir() else partial.unlink(missing_ok=True)
    say(f"making {path}")
    maker(partial)
    partial.rename(path)
    return path


def llama_source(cache):
    def unpack(partial):
        run(sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "-d", cache,
            f"llama-cpp-python=={SDIST}")
        partial.mkdir()
        run("tar", "-xf", cache / f"llama_cpp_python-{SDIST}.tar.gz", "-C", partial)
    folder = make(cache / f"llama-source-{SDIST}", unpack)
    return folder / f"llama_cpp_python-{SDIST}" / "vendor" / "llama.cpp"


def llama_programs(cache, avx2, targets=TARGETS):
    """The folder of llama.cpp's programs, built as its README does for this machine, or for AVX2
    without VNNI and AVX-512."""
    build = cache / ("llama-avx2" if avx2 else "llama-native")
    if not all((build / "bin" / name).exists() for name in targets):
        run("cmake", "-S", llama_source(cache), "-B", build, "-G", "Ninja",
            "-DCMAKE_BUILD_TYPE=Release", "-DGGML_LLAMAFILE=ON", "-DLLAMA_CURL=OFF",
            "-DLLAMA_OPENSSL=OFF", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_SERVER=OFF",
            *(COMPILERS if shutil.which("clang++-19") else []), *(AVX2 if avx2 else NATIVE))
        run("ninja", "-C", build, *targets, log=build / "build.log")
    return build / "bin"


def gguf_python(cache, given):
    """A Python that has the packages gguf and numpy."""
    if given:
        return given

    def create(partial):
        run(sys.executable, "-m", "venv", partial)
        run(partial / "bin" / "python", "-m", "pip", "install", "-q", "gguf")
    return make(cache / "venv", create) / "bin" / "python"


def prepare_models(models, nibble, programs, python, threads):
    """-> name: path of the artifacts and GGUF files."""
    paths = {name: models / name for name in SCHEMES}
    paths |= {name: models / f"{name}.gguf" for name in GGUF_TYPES}
    if all(path.exists() for path in paths.values()):
        return paths
    big = make(models / "llama11b",
               lambda partial: run(python, ROOT / "tools/make_random_llama.py", "--out", partial))
    for name in SCHEMES:
        make(paths[name], lambda partial, name=name: run(
            nibble, "quantize", big, "-o", partial, "--scheme", name, "--method", "rtn", "--head", "w8"))
    if not all(paths[name].exists() for name in GGUF_TYPES):
        floats = make(models / "f16.gguf",
                      lambda partial: run(python, HERE / "llama_gguf.py", big, partial))
        for name in GGUF_TYPES:
            make(paths[name], lambda partial, name=name: run(
                programs / "llama-quantize", floats, partial, name, threads))
    return paths


def stored_bytes(path):
    """Of a GGUF file, or of the weights of an artifact's folder."""
    return path.stat().st_size if path.is_file() else sum(
        p.stat().st_size for p in path.glob("*.safetensors"))


def gguf_read_bytes(python, path):
    """What llama.cpp reads for a token: all tensors but the embedding, of which it reads a row."""
    out = subprocess.run([str(python), str(HERE / "llama_gguf.py"), "--read-bytes", str(path)],
                         check=True, capture_output=True, text=True, env=os.environ)
    return int(out.stdout)
