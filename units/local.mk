# units/: the daemons' systemd units, and the bundles that kctl copies to machines
UNITS_IN = units/keelson-kstored.service.in units/keelson-kapid.service.in units/keelson-kreconciled.service.in \
	units/keelson-kschedd.service.in units/keelson-kgitd.service.in units/keelson-nodeagent.service.in
EXTRA_DIST += $(UNITS_IN) units/bundle.sh

# The users that they run as.
sysusersdir = $(prefix)/lib/sysusers.d
dist_sysusers_DATA = units/keelson-sysusers.conf
BUNDLE_ACCOUNTS = bundle/units/keelson-sysusers.conf
CLEANFILES += $(BUNDLE_ACCOUNTS)
bundle/units/%.conf: $(top_srcdir)/units/%.conf
	$(AM_V_GEN)$(MKDIR_P) bundle/units && cp $< $@

# Installed units start the installed programs; a bundle's units start those in /opt/keelson.
UNITS = $(UNITS_IN:.service.in=.service)
BUNDLE_UNITS = $(UNITS:units/%=bundle/units/%)
systemdsystemunitdir = $(prefix)/lib/systemd/system
nodist_systemdsystemunit_DATA = $(UNITS)
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
MAKE_BUNDLE = $(AM_V_BUNDLE)STRIP='$(STRIP)' sh $(top_srcdir)/units/bundle.sh $@ $(PACKAGE_VERSION) bundle/units
bundle/agent.tar.gz: $(BUNDLE_AGENT) $(BUNDLE_UNITS) $(top_srcdir)/units/bundle.sh
	$(AM_V_BUNDLE)STRIP='$(STRIP)' UNBOUND='$(UNBOUND)' sh $(top_srcdir)/units/bundle.sh $@ $(PACKAGE_VERSION) \
		bundle/units $(BUNDLE_AGENT)
bundle/control.tar.gz: $(BUNDLE_CONTROL) $(BUNDLE_UNITS) $(BUNDLE_ACCOUNTS) $(top_srcdir)/units/bundle.sh
	$(MAKE_BUNDLE) $(BUNDLE_CONTROL)
