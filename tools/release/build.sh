#!/usr/bin/env bash
# Makes what is released: the source distribution, from that the wheel, and the wheel's manylinux
# tag; looks at what is in both. They lie in dist/ then. Needs pip install '.[release]'.
set -euo pipefail
cd "$(dirname "$0")/../.."
rm -rf dist build
python -m build --outdir dist/plain .
# TensorFlow's library is no part of a wheel of ours: the one that was imported is found when the
# kernel is loaded. auditwheel chooses the oldest platform that has all other symbols.
auditwheel repair --exclude 'libtensorflow_framework.so.*' --wheel-dir dist dist/plain/*.whl
mv dist/plain/*.tar.gz dist/
rm -r dist/plain
python tools/release/contents.py dist/*
