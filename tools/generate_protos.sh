#!/usr/bin/env bash
# Writes tfstream/v1/*_pb2.py and .pyi from protos/. Uses protoc 25, whose
# output runs on protobuf 4.25 to 7; a newer one would shut out TensorFlow 2.16.
# Usage: tools/generate_protos.sh [OUTPUT_DIRECTORY]
set -euo pipefail
cd "$(dirname "$0")/.."
out="${1:-.}"
venv="${TFSTREAM_PROTOC_VENV:-build/protoc-venv}"
if [ ! -x "$venv/bin/python" ]; then
  "${PYTHON:-python3}" -m venv "$venv"
  "$venv/bin/pip" install --quiet 'grpcio-tools==1.62.3' 'setuptools<70'
fi
mkdir -p "$out"
"$venv/bin/python" -m grpc_tools.protoc -I protos --python_out="$out" --pyi_out="$out" protos/tfstream/v1/*.proto
