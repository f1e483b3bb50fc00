#!/usr/bin/env bash
# Installs a wheel into a fresh environment and runs it there: packaging/try_wheel.sh WHEEL [FOLDER]
#
# FOLDER is a site-packages that has torch and the command line's libraries already; without it pip downloads them.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
wheel=$(realpath "$1")
folder=${2:+$(realpath "$2")}
work=$(mktemp --directory)
trap 'rm -rf "$work"' EXIT

python=${PYTHON:-python3}
"$python" -m venv "$work/env"
if [ -n "$folder" ]; then
    site=$("$work/env/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    echo "$folder" > "$site/more.pth"  # a folder named in a .pth has its own .pth files passed over: no editable install
    "$work/env/bin/python" -m pip install --quiet --no-deps "$wheel"
else
    "$work/env/bin/python" -m pip install --quiet --constraint "$here/constraints.txt" "lossmith[cli] @ file://$wheel"
fi
cd "$work"  # not the source folder, whose package would be found first
env/bin/python -c "
import lossmith, torch
print(lossmith.explain_dispatch(lossmith.HuberLoss(), torch.zeros(3), torch.ones(3)))"
env/bin/lossmith doctor
