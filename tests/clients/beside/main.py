"""Runs the cases: main.py DESCRIPTORS OURS THEIRS [MODULE...]."""
import importlib
import sys

import harness

MODULES = ("kv", "txn", "lease", "watch", "cluster", "wire", "frames", "bulk", "generated")

if __name__ == "__main__":
    both = harness.Both(harness.Schema(sys.argv[1]), sys.argv[2], sys.argv[3])
    for name in sys.argv[4:] or MODULES:
        importlib.import_module(name)
    harness.run(both)
