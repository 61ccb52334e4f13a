# docs/: its part of the build, included by the top Makefile.am
DOCS = docs/README.md docs/addresses.md docs/admission.md docs/aggregation.md docs/architecture.md docs/audit.md \
	docs/autoscaling.md docs/backup.md docs/benchmarks.md docs/certificates.md docs/clients.md docs/comparison.md \
	docs/daemon-security.md docs/definitions.md docs/descheduling.md docs/disaster.md docs/dns.md \
	docs/encryption-at-rest.md docs/expressions.md docs/extending.md \
	docs/fields-without-effect.md docs/fleet.md docs/gitsync.md docs/high-availability.md \
	docs/images.md docs/ingress.md docs/install.md docs/kapid.md docs/kctl.md docs/kinds.md \
	docs/libraries.md docs/load-balancer.md docs/monitoring.md docs/names.md docs/network-policy.md \
	docs/networking.md docs/node-pressure.md docs/operate-store.md docs/own-units.md \
	docs/pod-security.md docs/pod-to-units.md docs/reference.md docs/scheduler.md docs/security.md \
	docs/services.md docs/storage.md docs/store-format.md docs/troubleshooting.md docs/upgrade.md docs/users.md \
	docs/who-may-do-what.md docs/why-not.md docs/wire.md docs/workloads.md
EXTRA_DIST += $(DOCS) DEVELOPERS.md
dist_doc_DATA = README.md
docsdir = $(docdir)/docs
docs_DATA = $(DOCS)
