# kctl/: the command line; verbs apart from main.c, so that tests can link them
bin_PROGRAMS += kctl/kctl
noinst_LIBRARIES += libkctl.a
libkctl_a_CPPFLAGS = $(AM_CPPFLAGS) -DKEELSON_LIBEXECDIR='"$(libexecdir)"' -DKEELSON_SBINDIR='"$(sbindir)"'
libkctl_a_SOURCES = \
	kctl/api-resources.c \
	kctl/apply.c \
	kctl/auth.c \
	kctl/autoscale.c \
	kctl/certificate.c \
	kctl/change.c \
	kctl/change.h \
	kctl/client.c \
	kctl/cluster-info.c \
	kctl/config-change.c \
	kctl/config-view.c \
	kctl/create/clusterrole.c \
	kctl/create/clusterrolebinding.c \
	kctl/create/configmap.c \
	kctl/create/create.c \
	kctl/create/create.h \
	kctl/create/cronjob.c \
	kctl/create/deployment.c \
	kctl/create/ingress.c \
	kctl/create/job.c \
	kctl/create/namespace.c \
	kctl/create/parts.c \
	kctl/create/poddisruptionbudget.c \
	kctl/create/priorityclass.c \
	kctl/create/quota.c \
	kctl/create/role.c \
	kctl/create/rolebinding.c \
	kctl/create/rules.c \
	kctl/create/secret-docker.c \
	kctl/create/secret-generic.c \
	kctl/create/secret-tls.c \
	kctl/create/service-clusterip.c \
	kctl/create/service-externalname.c \
	kctl/create/service-loadbalancer.c \
	kctl/create/service-nodeport.c \
	kctl/create/service-parts.c \
	kctl/create/serviceaccount.c \
	kctl/create/sources.c \
	kctl/create/subjects.c \
	kctl/create/token.c \
	kctl/diff.c \
	kctl/edit.c \
	kctl/events.c \
	kctl/explain.c \
	kctl/expose.c \
	kctl/formats.c \
	kctl/formats.h \
	kctl/get-table.c \
	kctl/get-watch.c \
	kctl/get.h \
	kctl/grid.c \
	kctl/grid.h \
	kctl/kubeconfig-edit.c \
	kctl/kubeconfig-edit.h \
	kctl/log-query.c \
	kctl/log-query.h \
	kctl/patch.c \
	kctl/program.c \
	kctl/program.h \
	kctl/proxy.c \
	kctl/replace.c \
	kctl/run.c \
	kctl/set/env.c \
	kctl/set/image.c \
	kctl/set/resources.c \
	kctl/set/selector.c \
	kctl/set/serviceaccount.c \
	kctl/set/set.c \
	kctl/set/set.h \
	kctl/set/subject.c \
	kctl/sort-by.c \
	kctl/verb-find.c \
	kctl/version.c \
	kctl/backup.c kctl/backup-schedule.c kctl/sealing.c kctl/sealing.h \
	kctl/certs.c kctl/certs.h kctl/certs-nodes.c kctl/certs-nodes.h kctl/certs-place.c kctl/certs-place.h \
	kctl/certs-rotate.c kctl/certs-seen.c kctl/certs-seen.h kctl/certs-stage.c kctl/certs-stage.h \
	kctl/kubeconfig-parts.c kctl/kubeconfig-parts.h kctl/node-certificate.c kctl/node-certificate.h \
	kctl/clock.c kctl/clock.h \
	kctl/api-address.c kctl/api-address.h kctl/api-place.c kctl/control-address.c kctl/info.c kctl/info.h \
	kctl/repoint.h kctl/restore.h kctl/restore-elsewhere.c \
	kctl/cluster.c \
	kctl/cluster.h \
	kctl/crew.c kctl/crew.h kctl/progress.c kctl/progress.h \
	kctl/fleet.c kctl/fleet.h kctl/fleet-check.c kctl/fleet-facts.c kctl/fleet-parse.c \
	kctl/node-pods.c kctl/node-pods.h kctl/node-remove.c kctl/node-run.c kctl/node-run.h kctl/node-command.c kctl/drain.h \
	kctl/completion.c \
	kctl/configs.c \
	kctl/control.c kctl/control-add.c kctl/control.h kctl/controls.c kctl/member.c \
	kctl/configs.h \
	kctl/encryption.c kctl/encryption.h kctl/encryption-place.c \
	kctl/encryption-plan.c kctl/encryption-plan.h \
	kctl/cp.c \
	kctl/debug.c \
	kctl/delete.c \
	kctl/describe.c \
	kctl/describe-forms.c \
	kctl/describe-forms.h \
	kctl/dev.c \
	kctl/drain.c \
	kctl/exec.c \
	kctl/explain-placement.c \
	kctl/flags.c \
	kctl/get.c \
	kctl/join.c \
	kctl/kctl.h \
	kctl/kinds.c \
	kctl/describe-quota.c \
	kctl/describe-quota.h \
	kctl/image.c \
	kctl/image-import.c \
	kctl/image.h \
	kctl/ingress.c \
	kctl/ingress.h \
	kctl/kubeconfig-write.c \
	kctl/logs.c \
	kctl/machine.c \
	kctl/man.c \
	kctl/machine.h \
	kctl/manifests.c \
	kctl/metadata.c \
	kctl/migrate.c \
	kctl/output.c \
	kctl/print.c \
	kctl/pods.c \
	kctl/port-forward.c \
	kctl/ranges.c \
	kctl/ranges.h \
	kctl/remote.c kctl/repoint.c \
	kctl/remote-status.c \
	kctl/remote.h \
	kctl/sign-request.c kctl/sign-request.h kctl/user.c \
	kctl/restore.c kctl/rollout.c kctl/scale.c kctl/store.c kctl/store.h kctl/sync.c kctl/taint.c kctl/targets.c kctl/up.c kctl/wait.c \
	kctl/top.c kctl/units.c kctl/units.h kctl/units-failing.c \
	kctl/ask-socket.c kctl/redact.c kctl/redact.h kctl/support.h kctl/support.c kctl/support-files.c kctl/support-objects.c \
	kctl/tar-write.c kctl/tar-write.h \
	kctl/upgrade.c kctl/upgrade.h kctl/upgrade-agent.c kctl/upgrade-control.c kctl/upgrade-facts.c kctl/upgrade-plan.c \
	kctl/upgrade-pods.c kctl/upgrade-record.c \
	kctl/template.c kctl/template.h kctl/texts.h kctl/flag-rows.h kctl/verbs.h
nodist_libkctl_a_SOURCES = kctl/texts.c

# Configurations, scripts for machines and completion scripts, compiled in: text_NAME[], with _ for . and -.
KCTL_TEXTS = \
	address-look.sh address.service keepalived.conf restore-begin.sh restore-config.sh \
	allow-kapid.sh allow-servers.sh backup.service backup.timer clean-node.sh collect-control.sh completion.bash completion.fish completion.zsh down.sh fleet-facts.sh further-control.sh inspect.sh keep-after.sh installed-address.sh installed-ranges.sh encryption-get.sh encryption-off.sh encryption-put.sh \
	kapid.yaml kgitd.yaml kingressd.yaml kreconciled.yaml kschedd.yaml kstored.yaml node.kubeconfig nodeagent.yaml \
	packages.sh pod-units.sh put-back.sh refresh.sh restart-changed.sh running.sh start-agent.sh start-units.sh store-authority.sh store-members.sh store-state.sh support.sh units-failing.sh units-trouble.sh unpack.sh
KCTL_TEXT_FILES = $(KCTL_TEXTS:%=kctl/config/%)
EXTRA_DIST += $(KCTL_TEXT_FILES)
CLEANFILES += kctl/texts.c
kctl/texts.c: lib/text-to-c$(EXEEXT) $(KCTL_TEXT_FILES)
	$(AM_V_GEN)$(MKDIR_P) kctl && words= && for f in $(KCTL_TEXTS); do \
	words="$$words text_`echo $$f | tr .- __`=$(srcdir)/kctl/config/$$f"; done && \
	lib/text-to-c$(EXEEXT) kctl/texts.h $$words >$@.tmp && mv $@.tmp $@
kctl_kctl_SOURCES = kctl/main.c
kctl_kctl_LDADD = libkctl.a libsched.a libproto.a libkeelson.a $(PROTOBUF_C_LIBS) $(KEELSON_LIBS)
check_PROGRAMS += tests/unit/test-kctl
tests_unit_test_kctl_SOURCES = tests/unit/test-kctl.c tests/unit/unit.h
tests_unit_test_kctl_LDADD = libkctl.a libsched.a $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-control
tests_unit_test_control_SOURCES = tests/unit/test-control.c tests/unit/unit.h
tests_unit_test_control_LDADD = libkctl.a libsched.a libproto.a $(PROTOBUF_C_LIBS) $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-encryption
tests_unit_test_encryption_SOURCES = tests/unit/test-encryption.c tests/unit/unit.h
tests_unit_test_encryption_LDADD = libkctl.a libsched.a $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-describe
tests_unit_test_describe_SOURCES = tests/unit/test-describe.c tests/unit/unit.h
tests_unit_test_describe_LDADD = libkctl.a libsched.a $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-fleet
tests_unit_test_fleet_SOURCES = tests/unit/test-fleet.c tests/unit/unit.h
tests_unit_test_fleet_LDADD = libkctl.a libsched.a $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-upgrade
tests_unit_test_upgrade_SOURCES = tests/unit/test-upgrade.c tests/unit/unit.h
tests_unit_test_upgrade_LDADD = libkctl.a libsched.a $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-redact
tests_unit_test_redact_SOURCES = tests/unit/test-redact.c tests/unit/unit.h
tests_unit_test_redact_LDADD = libkctl.a libsched.a $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-template
tests_unit_test_template_SOURCES = tests/unit/test-template.c tests/unit/unit.h
tests_unit_test_template_LDADD = libkctl.a libsched.a $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-certs
tests_unit_test_certs_SOURCES = tests/unit/test-certs.c tests/unit/unit.h
tests_unit_test_certs_LDADD = libkctl.a libsched.a $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-verbs
tests_unit_test_verbs_SOURCES = tests/unit/test-verbs.c tests/unit/unit.h
tests_unit_test_verbs_LDADD = libkctl.a libsched.a $(TEST_LIBS)

# Completion, where the shells look for it.
INSTALL_MORE += install-completions
UNINSTALL_MORE += uninstall-completions
install-completions:
	$(MKDIR_P) '$(DESTDIR)$(datadir)/bash-completion/completions' '$(DESTDIR)$(datadir)/zsh/vendor-completions' \
		'$(DESTDIR)$(datadir)/fish/vendor_completions.d'
	$(INSTALL_DATA) $(srcdir)/kctl/config/completion.bash '$(DESTDIR)$(datadir)/bash-completion/completions/kctl'
	$(INSTALL_DATA) $(srcdir)/kctl/config/completion.zsh '$(DESTDIR)$(datadir)/zsh/vendor-completions/_kctl'
	$(INSTALL_DATA) $(srcdir)/kctl/config/completion.fish '$(DESTDIR)$(datadir)/fish/vendor_completions.d/kctl.fish'
uninstall-completions:
	rm -f '$(DESTDIR)$(datadir)/bash-completion/completions/kctl' \
		'$(DESTDIR)$(datadir)/zsh/vendor-completions/_kctl' \
		'$(DESTDIR)$(datadir)/fish/vendor_completions.d/kctl.fish'
.PHONY: install-completions uninstall-completions
