# docs/: its part of the build, included by the top Makefile.am
DOCS = docs/README.md docs/addresses.md docs/admission.md docs/architecture.md docs/backup.md docs/benchmarks.md docs/certificates.md docs/daemon-security.md docs/extending.md \
	docs/fields-without-effect.md docs/gitsync.md docs/kapid.md docs/kinds.md docs/load-balancer.md docs/monitoring.md \
	docs/names.md docs/network-policy.md docs/operate-store.md docs/libraries.md \
	docs/pod-security.md \
	docs/node-pressure.md \
	docs/pod-to-units.md \
	docs/descheduling.md \
	docs/dns.md \
	docs/autoscaling.md \
	docs/scheduler.md \
	docs/services.md \
	docs/store-format.md \
	docs/users.md docs/audit.md \
	docs/who-may-do-what.md \
	docs/why-not.md \
	docs/wire.md \
	docs/kctl.md \
	docs/workloads.md \
	docs/storage.md \
	docs/images.md \
	docs/install.md \
	docs/fleet.md docs/upgrade.md \
	docs/ingress.md
EXTRA_DIST += $(DOCS) DEVELOPERS.md
dist_doc_DATA = README.md
docsdir = $(docdir)/docs
docs_DATA = $(DOCS)
