# tests/: its part of the build, included by the top Makefile.am
EXTRA_DIST += tests/lab/lab tests/lab/lab-layer tests/lab/lab-machine tests/lab/lab-root
