# examples/: the manifests that the quickstart pushes
EXAMPLES = examples/README.md examples/00-namespace.yaml examples/10-web-program.yaml examples/20-web.yaml \
	examples/30-job.yaml examples/40-notify.yaml
EXTRA_DIST += $(EXAMPLES)
examplesdir = $(docdir)/examples
examples_DATA = $(EXAMPLES)
