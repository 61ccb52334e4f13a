# kstored/: its part of the build, included by the top Makefile.am
