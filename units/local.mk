# units/: the daemons' systemd units, and the bundles that kctl copies to machines
UNITS_IN = units/keelson-kstored.service.in units/keelson-kapid.service.in units/keelson-kreconciled.service.in \
	units/keelson-kschedd.service.in units/keelson-kgitd.service.in units/keelson-nodeagent.service.in
EXTRA_DIST += $(UNITS_IN) units/bundle.sh units/sbom.sh

# What runs from time to time on machines of the control plane: a service and its timer.
TIMERS = units/keelson-certs.timer
TIMED_IN = $(TIMERS:.timer=.service.in)
EXTRA_DIST += $(TIMED_IN)
TIMED = $(TIMED_IN:.service.in=.service)
BUNDLE_TIMED = $(TIMED:units/%=bundle/units/%) $(TIMERS:units/%=bundle/units/%)
CLEANFILES += $(TIMED) $(BUNDLE_TIMED)
units/keelson-certs.service: $(top_srcdir)/units/keelson-certs.service.in
	$(AM_V_GEN)$(MKDIR_P) units && $(SED) 's|@kctl@|$(bindir)/kctl|' $< >$@.new && mv $@.new $@
bundle/units/keelson-certs.service: $(top_srcdir)/units/keelson-certs.service.in
	$(AM_V_GEN)$(MKDIR_P) bundle/units && $(SED) 's|@kctl@|/opt/keelson/bin/kctl|' $< >$@.new && mv $@.new $@
bundle/units/%.timer: $(top_srcdir)/units/%.timer
	$(AM_V_GEN)$(MKDIR_P) bundle/units && cp $< $@

# The users that they run as.
sysusersdir = $(prefix)/lib/sysusers.d
dist_sysusers_DATA = units/keelson-sysusers.conf
tmpfilesdir = $(prefix)/lib/tmpfiles.d
dist_tmpfiles_DATA = units/keelson-tmpfiles.conf
BUNDLE_ACCOUNTS = bundle/units/keelson-sysusers.conf
CLEANFILES += $(BUNDLE_ACCOUNTS)
bundle/units/%.conf: $(top_srcdir)/units/%.conf
	$(AM_V_GEN)$(MKDIR_P) bundle/units && cp $< $@

# Installed units start the installed programs; a bundle's units start those in /opt/keelson.
UNITS = $(UNITS_IN:.service.in=.service)
BUNDLE_UNITS = $(UNITS:units/%=bundle/units/%)
systemdsystemunitdir = $(prefix)/lib/systemd/system
nodist_systemdsystemunit_DATA = $(UNITS) $(TIMED)
dist_systemdsystemunit_DATA = $(TIMERS)
CLEANFILES += $(UNITS) $(BUNDLE_UNITS)
units/%.service: $(top_srcdir)/units/%.service.in
	$(AM_V_GEN)$(MKDIR_P) units && $(SED) 's|@daemondir@|$(sbindir)|' $< >$@.new && mv $@.new $@
bundle/units/%.service: $(top_srcdir)/units/%.service.in
	$(AM_V_GEN)$(MKDIR_P) bundle/units && $(SED) 's|@daemondir@|/opt/keelson/bin|' $< >$@.new && mv $@.new $@

# The programs of each bundle, each with its unit; those that run in pods of the nodes have none.
PROGRAMS_MADE = $(bin_PROGRAMS) $(sbin_PROGRAMS)
BUNDLE_NODE_PODS = reconcilers/ingress/kingressd
BUNDLE_AGENT = $(filter nodeagent/% $(BUNDLE_NODE_PODS),$(PROGRAMS_MADE))
BUNDLE_CONTROL = $(filter-out $(BUNDLE_NODE_PODS),$(filter kstored/% kapid/% reconcilers/% kctl/%,$(PROGRAMS_MADE)))
bundledir = $(libexecdir)/keelson
nodist_bundle_DATA = bundle/agent.tar.gz bundle/control.tar.gz
CLEANFILES += $(nodist_bundle_DATA)
AM_V_BUNDLE = $(am__v_BUNDLE_@AM_V@)
am__v_BUNDLE_ = $(am__v_BUNDLE_@AM_DEFAULT_V@)
am__v_BUNDLE_0 = @echo "  BUNDLE  " $@;
MAKE_BUNDLE = $(AM_V_BUNDLE)STRIP='$(STRIP)' SBOM='$(top_srcdir)/units/sbom.sh' FORMATS='$(top_srcdir)/lib/formats.h'
BUNDLE_MAKERS = $(top_srcdir)/units/bundle.sh $(top_srcdir)/units/sbom.sh $(top_srcdir)/lib/formats.h
# What is linked into programs of the agent statically (configure.ac, ARCHIVE_LIBS).
BUNDLE_STATIC = $(shell $(CC) -print-file-name=libarchive.a)
bundle/agent.tar.gz: $(BUNDLE_AGENT) $(BUNDLE_UNITS) $(BUNDLE_MAKERS)
	$(MAKE_BUNDLE) UNBOUND='$(UNBOUND)' STATIC='$(BUNDLE_STATIC)' sh $(top_srcdir)/units/bundle.sh $@ \
		$(PACKAGE_VERSION) bundle/units $(BUNDLE_AGENT)
bundle/control.tar.gz: $(BUNDLE_CONTROL) $(BUNDLE_UNITS) $(BUNDLE_TIMED) $(BUNDLE_ACCOUNTS) $(BUNDLE_MAKERS)
	$(MAKE_BUNDLE) sh $(top_srcdir)/units/bundle.sh $@ $(PACKAGE_VERSION) bundle/units $(BUNDLE_CONTROL)
# Each has its list of libraries beside it.
CLEANFILES += bundle/agent.spdx.json bundle/control.spdx.json
nodist_bundle_DATA += bundle/agent.spdx.json bundle/control.spdx.json
bundle/agent.spdx.json: bundle/agent.tar.gz
	$(AM_V_at)tar -xzOf $< sbom.spdx.json >$@.new && mv $@.new $@
bundle/control.spdx.json: bundle/control.tar.gz
	$(AM_V_at)tar -xzOf $< sbom.spdx.json >$@.new && mv $@.new $@
