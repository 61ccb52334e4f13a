# tests/attack/: hostile pods, nodes, repositories and clients against a lab; run by themselves, not by `make check`
EXTRA_DIST += tests/attack/attack.sh tests/attack/daemons tests/attack/pod
