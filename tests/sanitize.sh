#!/usr/bin/env bash
# The tests of the kernels and the engine, on extensions built with AddressSanitizer and UndefinedBehaviorSanitizer,
# once for each instruction set of the processor. An error that a sanitizer finds, or a test that fails, ends the run
# with its report and a status other than 0. So does a build in which the sanitizers are not there, or find nothing in
# calls that are wrong on purpose. Tests marked "memory" are left out: AddressSanitizer holds freed memory back.
#
#     tests/sanitize.sh [PYTHON]      # python3 by default, from which the virtual environment is made
#
# Needs gcc with its sanitizers and what the README's test command needs. Works in a copy under a temporary directory
# and leaves the checkout as it is. Takes about half an hour with one core to itself: some seven minutes for each of
# three instruction sets, and what it takes to install and build.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r fastconv tests setup.py pyproject.toml MANIFEST.in README.md CHANGELOG.md LICENSE "$work"
"${1:-python3}" -m venv "$work/venv"
python=$work/venv/bin/python
cd "$work"
find fastconv \( -name '*.so' -o -name '*.c' \) -delete

export CC=gcc
FASTCONV_SANITIZE=1 "$python" -m pip install --quiet -e ".[test]"

for module in fastconv/*/*.so; do
    symbols=$(nm --dynamic --undefined-only "$module")
    for wanted in __asan_init '__ubsan_handle_[a-z0-9_]*_abort'; do
        if ! grep -q "$wanted" <<<"$symbols"; then
            echo "$module has no $wanted: it was built without sanitizers" >&2
            exit 1
        fi
    done
done

# PYTHONMALLOC: of what Python's own allocator gives out, AddressSanitizer knows no bounds.
# detect_leaks: the interpreter itself leaves objects behind at its end.
# detect_stack_use_after_return, on by default in newer compilers: its frames are not aligned for AVX-512's vectors.
sanitized() {
    LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" PYTHONMALLOC=malloc \
        ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0 UBSAN_OPTIONS=print_stacktrace=1 "$python" "$@"
}

# must_find REPORT CODE: an error made on purpose ends the interpreter with that report
must_find() {
    if sanitized -c "$2" >found 2>&1 || ! grep -q "$1" found; then
        cat found >&2
        echo "the sanitizers did not report: $1" >&2
        exit 1
    fi
}

must_find "load of misaligned address" "
import numpy as np
from fastconv.kernels.encode import extremes
extremes(np.zeros(15, np.uint8)[1:].view(np.int16).reshape(7, 1))"

for level in $(sanitized -c "from fastconv.engine import cpu; print(*cpu.supported())"); do
    echo "+ FASTCONV_SIMD=$level"
    export FASTCONV_SIMD=$level
    must_find "in __pyx_.*_${level}_" "
import numpy as np
from fastconv import engine
program = engine.Program([('dense', 4, False)], (6,), False, False)
x = np.lib.stride_tricks.as_strided(np.zeros((5, 6)), (7, 6))  # two samples beyond the end
program.forward(x, np.zeros(program.size), np.zeros(28))"
    # --capture=sys leaves the sanitizers their stderr
    sanitized -m pytest -q --capture=sys -m "not memory" tests/test_functional.py tests/test_engine.py \
        tests/test_training.py tests/test_layers_network.py tests/test_bad_input.py tests/test_text.py \
        tests/test_augment.py tests/test_functional_images.py tests/test_image_networks.py tests/test_im2col.py \
        tests/test_losses.py tests/test_optimisers.py tests/test_suffixes.py
done
echo "the sanitizers found nothing"
