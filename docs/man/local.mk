# docs/man/: manual pages. Those of programs, verbs and configuration files are printed by the programs themselves, from
# the rows of their --help; the rest are texts here.
MAN_DAEMONS = kstored/kstored kapid/kapid reconcilers/kreconciled reconcilers/kschedd reconcilers/kgitd \
	reconcilers/ingress/kingressd nodeagent/knodeagent
MAN_TEXTS = docs/man/keelson.7.in docs/man/kpod-exec.8.in docs/man/kpod-netns.8.in docs/man/keelson-image.8.in
EXTRA_DIST += $(MAN_TEXTS)
noinst_DATA += man/made
CLEANFILES += man/made man/*.1 man/*.5 man/*.7 man/*.8
# A page is complete or not there; the mark comes last. A program that prints its page and ends frees nothing before.
man/made: kctl/kctl$(EXEEXT) $(MAN_DAEMONS) $(MAN_TEXTS)
	$(AM_V_GEN)export ASAN_OPTIONS=detect_leaks=0 && rm -rf man && $(MKDIR_P) man && kctl/kctl man --dir man && \
	for p in $(MAN_DAEMONS); do \
		n=$${p##*/} && $$p --help=man8 >man/$$n.8 && $$p --help=man5 >man/$$n.yaml.5 || exit 1; \
	done && mv man/knodeagent.yaml.5 man/nodeagent.yaml.5 && \
	nodeagent/knodeagent csr --help=man8 >man/knodeagent-csr.8 && \
	for f in $(MAN_TEXTS); do \
		n=$${f##*/} && $(SED) 's|@VERSION@|$(PACKAGE_VERSION)|' $(top_srcdir)/$$f >man/$${n%.in} || exit 1; \
	done && echo made >$@
INSTALL_MORE += install-man-pages
UNINSTALL_MORE += uninstall-man-pages
install-man-pages: man/made
	for s in 1 5 7 8; do \
		$(MKDIR_P) '$(DESTDIR)$(mandir)'/man$$s && \
		$(INSTALL_DATA) man/*.$$s '$(DESTDIR)$(mandir)'/man$$s || exit 1; \
	done
uninstall-man-pages:
	for f in man/*.[1578]; do rm -f '$(DESTDIR)$(mandir)'/man$${f##*.}/$${f##*/}; done
.PHONY: install-man-pages uninstall-man-pages
