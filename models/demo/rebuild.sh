#!/bin/sh
# Makes the demo model again from nothing: vocabulary, text, training, GGUF file, test vectors.
#
#   models/demo/rebuild.sh [WORK]
#
# Needs Debian's python3-torch and libopenblas0-openmp (half an hour on two free cores). WORK (tmp/demo-model) holds
# the run; a run that was stopped goes on there. PYTHON names another interpreter.
set -eu
cd "$(dirname "$0")"
work=${1:-../../tmp/demo-model}
python=${PYTHON:-/usr/bin/python3}
mkdir -p "$work" testdata

# OpenBLAS with OpenMP shares PyTorch's threads. Built with threads of its own it fights them, and all is three times
# slower.
blas=$(ls /usr/lib/*/openblas-openmp/libopenblas.so.0 2>/dev/null || true)
if [ -n "$blas" ]; then export LD_PRELOAD="$blas"; fi
# Large tensors come from the heap and stay there: mapping them anew at each step costs a page fault for each page.
export OMP_WAIT_POLICY=passive MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=8589934592

"$python" corpus.py check
"$python" corpus.py prompts testdata/prompts.txt.gz
"$python" corpus.py show 1000 | gzip -9n > testdata/conversations.txt.gz
[ -f "$work/vocab.json" ] || "$python" vocab.py "$work/vocab.json"
nice -n 19 "$python" train.py --work "$work"
"$python" export.py --work "$work" --out mixtral-demo.gguf --vectors testdata/vectors.json.gz
