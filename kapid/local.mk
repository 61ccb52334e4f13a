# kapid/: its part of the build, included by the top Makefile.am

# The pure half: kinds, schemas, strategies, patches, tables, discovery. No I/O, no event loop.
# Their order is that of the catalogue (`kctl get all`).
KIND_DOCUMENTS = \
	kapid/kinds/core.yaml kapid/kinds/core-others.yaml kapid/kinds/apps.yaml kapid/kinds/batch.yaml \
	kapid/kinds/admissionregistration.yaml \
	kapid/kinds/apiextensions.yaml kapid/kinds/apiregistration.yaml kapid/kinds/authentication.yaml \
	kapid/kinds/authorization.yaml kapid/kinds/autoscaling.yaml \
	kapid/kinds/certificates.yaml kapid/kinds/coordination.yaml \
	kapid/kinds/discovery.yaml \
	kapid/kinds/keelson.yaml kapid/kinds/keelson-users.yaml \
	kapid/kinds/meta.yaml \
	kapid/kinds/metrics.yaml \
	kapid/kinds/networking.yaml kapid/kinds/networking-ranges.yaml \
	kapid/kinds/flowcontrol.yaml kapid/kinds/node.yaml \
	kapid/kinds/keelson-network.yaml \
	kapid/kinds/policy.yaml kapid/kinds/rbac.yaml kapid/kinds/scheduling.yaml \
	kapid/kinds/storage.yaml
noinst_PROGRAMS += kapid/kinds/kinds-to-c
kapid_kinds_kinds_to_c_SOURCES = kapid/kinds/kinds-to-c.c kapid/kinds/no-effect.c kapid/kinds/no-effect.h \
	kapid/kinds/c-text.c kapid/kinds/c-text.h kapid/kinds/facts.c kapid/kinds/facts.h
kapid_kinds_kinds_to_c_LDADD = libkeelson.a $(FOREIGN_LIBS)
noinst_LIBRARIES += libkapid_core.a
libkapid_core_a_SOURCES = \
	kapid/kinds/crd-approval.c kapid/kinds/crd-approval.h kapid/kinds/crd-delete.c kapid/kinds/crd-delete.h kapid/kinds/crd-names.c kapid/kinds/crd-names.h kapid/kinds/internal.h kapid/kinds/kind.c kapid/kinds/kind.h kapid/kinds/registry.c kapid/kinds/versions.c kapid/kinds/versions.h kapid/pipeline/pipeline.h kapid/patch/managed.h kapid/patch/patch.h kapid/table/table.h kapid/discovery/discovery.h \
	kapid/kinds/documents.h \
	kapid/schema/check-defaults.c kapid/pipeline/convert.c kapid/pipeline/convert.h kapid/pipeline/options.c kapid/pipeline/options.h \
	kapid/pipeline/decode.c kapid/pipeline/encode.c kapid/pipeline/encode.h \
	kapid/pipeline/decision.c kapid/pipeline/decision.h kapid/pipeline/delete-options.c \
	kapid/pipeline/delete-options.h kapid/pipeline/leases.c kapid/pipeline/leases.h \
	kapid/schema/defaults.c kapid/schema/duplicates.c kapid/kinds/fields.c \
	kapid/schema/findings.c kapid/schema/findings.h kapid/schema/format.c kapid/schema/format.h \
	kapid/schema/format-custom.c kapid/schema/hidden.c kapid/schema/settled.c kapid/patch/status.c kapid/patch/status.h \
	kapid/schema/normalise.c kapid/schema/pattern.c \
	kapid/schema/pattern-syntax.c kapid/schema/pattern.h kapid/pipeline/prepare.c kapid/schema/protobuf.c kapid/schema/protobuf-output.h kapid/schema/protobuf.h kapid/schema/protobuf-encode.c kapid/schema/protobuf-pointers.c kapid/schema/schema.c \
	kapid/schema/schema.h kapid/schema/structural.c kapid/schema/structural.h kapid/schema/validate.c kapid/schema/internal.h \
	kapid/discovery/discovery.c kapid/discovery/openapi-paths.c kapid/discovery/openapi-v2.c kapid/discovery/openapi-internal.h kapid/discovery/openapi.c \
	kapid/patch/configuration.c kapid/patch/configuration.h kapid/patch/empty.c kapid/patch/empty.h kapid/patch/fieldset.c kapid/patch/fieldset.h kapid/patch/managed.c kapid/patch/patch.c kapid/patch/strategic.c \
	kapid/admission/quota-spec.c kapid/admission/quota-spec.h \
	kapid/admission/pod-security.c kapid/admission/pod-security.h kapid/admission/pod-security-internal.h kapid/admission/pod-security-baseline.c \
	kapid/admission/pod-security-restricted.c \
	kapid/strategy/addresspool.c \
	kapid/admission/addresses.c kapid/admission/addresses.h \
	kapid/strategy/admissionregistration.c \
	kapid/strategy/apiextensions.c \
	kapid/strategy/apiregistration.c \
	kapid/strategy/apps.c \
	kapid/strategy/autoscaling.c kapid/strategy/autoscaling-v1.c \
	kapid/strategy/batch.c \
	kapid/strategy/certificates.c \
	kapid/strategy/core.c \
	kapid/strategy/crd-validate.c kapid/strategy/crd-validate.h \
	kapid/strategy/embedded.c \
	kapid/strategy/endpoints.c \
	kapid/strategy/job.c \
	kapid/strategy/descheduling.c \
	kapid/strategy/keelson.c \
	kapid/strategy/networking.c \
	kapid/strategy/other.c \
	kapid/strategy/pod-context.c kapid/strategy/pod-context.h kapid/strategy/pod-env.c kapid/strategy/pod-env.h \
	kapid/strategy/pod-ephemeral.c kapid/strategy/pod-ephemeral.h kapid/strategy/pod-fields.c kapid/strategy/pod-fields.h \
	kapid/strategy/pod-os.c kapid/strategy/pod-os.h \
	kapid/strategy/pod-placement.c kapid/strategy/pod-placement.h kapid/strategy/pod-volumes.c kapid/strategy/pod-volumes.h \
	kapid/strategy/pod-resources.c kapid/strategy/pod-resources.h kapid/strategy/pod.c \
	kapid/strategy/policy.c \
	kapid/strategy/quota.c \
	kapid/strategy/rbac.c \
	kapid/strategy/service.c kapid/strategy/service-families.c kapid/strategy/service-families.h \
	kapid/strategy/storage.c kapid/strategy/csi.c kapid/strategy/runtimeclass.c \
	kapid/strategy/podtemplate.c kapid/strategy/flowcontrol.c \
	kapid/strategy/strategy.c \
	kapid/strategy/strategy.h \
	kapid/table/cells-apiservice.c \
	kapid/table/cells-autoscaling.c \
	kapid/table/cells-cronjob.c \
	kapid/table/cells-metrics.c \
	kapid/table/cells-networking.c \
	kapid/table/cells-pod.c \
	kapid/table/cells-storage.c \
	kapid/table/cells.c \
	kapid/table/cells.h \
	kapid/table/columns.c kapid/table/columns.h \
	kapid/table/table.c \
	kapid/strategy/events.c kapid/strategy/old-versions.c
nodist_libkapid_core_a_SOURCES = kapid/kinds/documents.c kapid/kinds/no-effect-table.c
kapid/kinds/documents.c: kapid/kinds/kinds-to-c$(EXEEXT) $(KIND_DOCUMENTS)
	$(AM_V_GEN)$(MKDIR_P) kapid/kinds && \
	kapid/kinds/kinds-to-c$(EXEEXT) $(KIND_DOCUMENTS:%=$(srcdir)/%) >$@.tmp && mv $@.tmp $@
CLEANFILES += kapid/kinds/documents.c
kapid/kinds/no-effect-table.c: kapid/kinds/kinds-to-c$(EXEEXT) $(KIND_DOCUMENTS)
	$(AM_V_GEN)$(MKDIR_P) kapid/kinds && \
	kapid/kinds/kinds-to-c$(EXEEXT) --no-effect $(KIND_DOCUMENTS:%=$(srcdir)/%) >$@.tmp && mv $@.tmp $@
CLEANFILES += kapid/kinds/no-effect-table.c

# The catalogue of kinds, a library of its own: kinds-to-c itself needs libkeelson.a. The header is kept
# when nothing changes in it, because nearly everything includes it.
KIND_IDS = lib/client/kind-ids.h
BUILT_SOURCES += $(KIND_IDS)
CLEANFILES += $(KIND_IDS) lib/client/kind-ids.stamp kapid/kinds/kind-facts.c
noinst_LIBRARIES += libkinds.a
libkinds_a_SOURCES =
nodist_libkinds_a_SOURCES = kapid/kinds/kind-facts.c
$(KIND_IDS): lib/client/kind-ids.stamp ; @:
lib/client/kind-ids.stamp: kapid/kinds/kinds-to-c$(EXEEXT) $(KIND_DOCUMENTS)
	$(AM_V_GEN)$(MKDIR_P) lib/client && \
	kapid/kinds/kinds-to-c$(EXEEXT) --ids $(KIND_DOCUMENTS:%=$(srcdir)/%) >$(KIND_IDS).tmp && \
	if cmp -s $(KIND_IDS).tmp $(KIND_IDS); then rm $(KIND_IDS).tmp; else mv $(KIND_IDS).tmp $(KIND_IDS); fi && touch $@
kapid/kinds/kind-facts.c: kapid/kinds/kinds-to-c$(EXEEXT) $(KIND_DOCUMENTS)
	$(AM_V_GEN)$(MKDIR_P) kapid/kinds && \
	kapid/kinds/kinds-to-c$(EXEEXT) --facts $(KIND_DOCUMENTS:%=$(srcdir)/%) >$@.tmp && mv $@.tmp $@
check_SCRIPTS += tests/fields
EXTRA_DIST += tests/fields
check_PROGRAMS += tests/unit/test-no-effect
tests_unit_test_no_effect_SOURCES = tests/unit/test-no-effect.c tests/unit/unit.h
tests_unit_test_no_effect_LDADD = $(KAPID_CORE_LIBS)
EXTRA_DIST += $(KIND_DOCUMENTS)
KAPID_CORE_LIBS = libkapid_core.a $(PCRE2_LIBS) $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-kapid-machine
tests_unit_test_kapid_machine_SOURCES = tests/unit/test-kapid-machine.c tests/unit/kapid-create.h tests/unit/kapid-cases.h
tests_unit_test_kapid_machine_LDADD = $(KAPID_CORE_LIBS)
check_PROGRAMS += tests/unit/test-kapid-batch
tests_unit_test_kapid_batch_SOURCES = tests/unit/test-kapid-batch.c tests/unit/kapid-create.h tests/unit/kapid-cases.h
tests_unit_test_kapid_batch_LDADD = $(KAPID_CORE_LIBS)
check_PROGRAMS += tests/unit/test-kapid-workloads
tests_unit_test_kapid_workloads_SOURCES = tests/unit/test-kapid-workloads.c tests/unit/kapid-create.h tests/unit/kapid-cases.h
tests_unit_test_kapid_workloads_LDADD = $(KAPID_CORE_LIBS)
check_PROGRAMS += tests/unit/test-kapid-old
tests_unit_test_kapid_old_SOURCES = tests/unit/test-kapid-old.c tests/unit/kapid-create.h tests/unit/kapid-cases.h
tests_unit_test_kapid_old_LDADD = $(KAPID_CORE_LIBS)
check_PROGRAMS += tests/unit/test-kapid-patch tests/unit/test-kapid-apply
tests_unit_test_kapid_patch_SOURCES = tests/unit/test-kapid-patch.c tests/unit/kapid-cases.h
tests_unit_test_kapid_patch_LDADD = $(KAPID_CORE_LIBS)
tests_unit_test_kapid_apply_SOURCES = tests/unit/test-kapid-apply.c tests/unit/kapid-cases.h
tests_unit_test_kapid_apply_LDADD = $(KAPID_CORE_LIBS)
check_PROGRAMS += tests/unit/test-kapid-beside
tests_unit_test_kapid_beside_SOURCES = tests/unit/test-kapid-beside.c tests/unit/kapid-cases.h
tests_unit_test_kapid_beside_LDADD = $(KAPID_CORE_LIBS)
check_PROGRAMS += tests/unit/test-kapid-views
tests_unit_test_kapid_views_SOURCES = tests/unit/test-kapid-views.c tests/unit/kapid-cases.h
tests_unit_test_kapid_views_LDADD = $(KAPID_CORE_LIBS)
check_PROGRAMS += tests/unit/test-kapid-protobuf
tests_unit_test_kapid_protobuf_SOURCES = tests/unit/test-kapid-protobuf.c tests/unit/kapid-cases.h
tests_unit_test_kapid_protobuf_LDADD = $(KAPID_CORE_LIBS)
KAPID_RANDOM_PARTS = tests/unit/dice.h tests/unit/kapid-cases.h tests/unit/kapid-random.h tests/unit/random.h
check_PROGRAMS += tests/unit/test-kapid-random tests/unit/test-kapid-random-patch tests/unit/test-kapid-random-apply
tests_unit_test_kapid_random_SOURCES = tests/unit/test-kapid-random.c $(KAPID_RANDOM_PARTS)
tests_unit_test_kapid_random_LDADD = $(KAPID_CORE_LIBS)
tests_unit_test_kapid_random_patch_SOURCES = tests/unit/test-kapid-random-patch.c $(KAPID_RANDOM_PARTS)
tests_unit_test_kapid_random_patch_LDADD = $(KAPID_CORE_LIBS)
tests_unit_test_kapid_random_apply_SOURCES = tests/unit/test-kapid-random-apply.c $(KAPID_RANDOM_PARTS)
tests_unit_test_kapid_random_apply_LDADD = $(KAPID_CORE_LIBS)
check_PROGRAMS += tests/unit/test-kapid-shortcuts
tests_unit_test_kapid_shortcuts_SOURCES = tests/unit/test-kapid-shortcuts.c $(KAPID_RANDOM_PARTS)
tests_unit_test_kapid_shortcuts_LDADD = $(KAPID_CORE_LIBS)

check_PROGRAMS += tests/unit/test-kapid-pattern
tests_unit_test_kapid_pattern_SOURCES = tests/unit/test-kapid-pattern.c
tests_unit_test_kapid_pattern_LDADD = $(KAPID_CORE_LIBS)

# The Common Expression Language: pure.
libkapid_core_a_SOURCES += kapid/cel/cel.h kapid/cel/function.h kapid/cel/types.h kapid/cel/value.h \
	kapid/cel/arena.c kapid/cel/arena.h kapid/cel/check.c kapid/cel/collections.c kapid/cel/compare.c \
	kapid/cel/convert.c kapid/cel/cost.c kapid/cel/eval.c kapid/cel/function.c kapid/cel/internal.h \
	kapid/cel/lex.c kapid/cel/libraries.c kapid/cel/macros.c kapid/cel/optional.c kapid/cel/parse.c \
	kapid/cel/program.c kapid/cel/run.c kapid/cel/schema-types.c kapid/cel/standard.c \
	kapid/cel/time-text.c kapid/cel/time.c kapid/cel/time.h kapid/cel/types.c kapid/cel/unify.c \
	kapid/cel/unify.h kapid/cel/value.c \
	kapid/schema/rules-compile.c kapid/schema/rules-definition.c kapid/schema/rules-internal.h \
	kapid/schema/rules.c kapid/schema/rules.h
check_PROGRAMS += tests/unit/test-cel tests/unit/test-cel-random
tests_unit_test_cel_SOURCES = tests/unit/test-cel.c tests/unit/unit.h
tests_unit_test_cel_LDADD = $(KAPID_CORE_LIBS)
tests_unit_test_cel_random_SOURCES = tests/unit/test-cel-random.c tests/unit/dice.h tests/unit/random.h tests/unit/unit.h
tests_unit_test_cel_random_LDADD = $(KAPID_CORE_LIBS)
EXTRA_DIST += tests/unit/cel/cases.txt
check_PROGRAMS += tests/unit/test-kapid-rules
tests_unit_test_kapid_rules_SOURCES = tests/unit/test-kapid-rules.c tests/unit/kapid-cases.h
tests_unit_test_kapid_rules_LDADD = $(KAPID_CORE_LIBS)

# The I/O half: the store's client, the cache, requests and verbs.
noinst_LIBRARIES += libkapid_api.a
libkapid_api_a_SOURCES = \
	kapid/admission/admission.c kapid/admission/admission.h \
	kapid/admission/chain.c kapid/admission/chain.h kapid/admission/plugins.h \
	kapid/admission/default-class.c kapid/admission/default-class.h \
	kapid/admission/default-ingress-class.c \
	kapid/admission/certificate-approval.c \
	kapid/admission/certificate-request.c kapid/admission/certificate-request.h \
	kapid/admission/certificate-signing.c \
	kapid/admission/certificate-subject.c \
	kapid/admission/claim-resize.c \
	kapid/admission/default-storage-class.c \
	kapid/admission/definition-names.c \
	kapid/admission/address-pool.c \
	kapid/admission/gitsync.c \
	kapid/admission/limit-ranger.c \
	kapid/admission/namespace-lifecycle.c \
	kapid/admission/no-effect.c \
	kapid/admission/node-connection.c \
	kapid/admission/node-name.c \
	kapid/admission/node-restriction.c kapid/admission/node-restriction.h \
	kapid/admission/pod-security-namespace.c kapid/admission/pod-security-namespace.h \
	kapid/admission/pod-security-plugin.c \
	kapid/admission/priority.c kapid/admission/runtime-class.c \
	kapid/admission/quota-accounts.c kapid/admission/quota-accounts.h \
	kapid/admission/rbac.c \
	kapid/admission/resource-quota.c \
	kapid/admission/service-account.c \
	kapid/admission/service-addresses.c \
	kapid/admission/service-ips.c \
	kapid/admission/storage-in-use.c \
	kapid/admission/user-revocation.c \
	kapid/pipeline/admit.c kapid/pipeline/admit.h
# Extension API servers; what needs neither the network nor the caches is pure
libkapid_core_a_SOURCES += \
	kapid/aggregation/apiservice.c kapid/aggregation/apiservice.h \
	kapid/webhooks/service-port.c kapid/webhooks/service-port.h \
	kapid/aggregation/auth-config.c kapid/aggregation/auth-config.h \
	kapid/relay/forward.c kapid/relay/forward.h \
	kapid/wait-shares.c kapid/wait-shares.h \
	kapid/discovery/merge.c kapid/discovery/merge.h \
	kapid/discovery/merge-v2.c kapid/discovery/merge-v2.h
libkapid_api_a_SOURCES += \
	kapid/aggregation/aggregation.c kapid/aggregation/aggregation.h \
	kapid/auth/front-proxy.c kapid/auth/front-proxy.h \
	kapid/aggregation/internal.h \
	kapid/aggregation/pass-on.c kapid/aggregation/probe.c \
	kapid/aggregation/publish.c
# Requests that are passed on to other servers
libkapid_api_a_SOURCES += \
	kapid/relay/call.c kapid/relay/internal.h kapid/relay/relay.c kapid/relay/relay.h \
	kapid/relay/tunnel.c
# Proxies to pods, services and nodes; names and choices are pure
libkapid_core_a_SOURCES += \
	kapid/proxy/name.c kapid/proxy/name.h \
	kapid/proxy/place.c kapid/proxy/place.h
libkapid_api_a_SOURCES += \
	kapid/proxy/proxy.c kapid/proxy/proxy.h \
	kapid/streams/dial.c kapid/streams/dial.h \
	kapid/verbs/proxy.c
check_PROGRAMS += tests/unit/test-kapid-proxy
tests_unit_test_kapid_proxy_SOURCES = tests/unit/test-kapid-proxy.c tests/unit/kapid-cases.h tests/unit/unit.h
tests_unit_test_kapid_proxy_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test-kapid-aggregation
tests_unit_test_kapid_aggregation_SOURCES = tests/unit/test-kapid-aggregation.c tests/unit/kapid-cases.h tests/unit/unit.h
tests_unit_test_kapid_aggregation_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
# Admission webhooks; what needs neither the network nor the caches is pure
libkapid_core_a_SOURCES += \
	kapid/webhooks/conditions.c kapid/webhooks/conditions.h \
	kapid/webhooks/config.c kapid/webhooks/config.h \
	kapid/webhooks/match.c kapid/webhooks/match.h \
	kapid/webhooks/patched.c kapid/webhooks/patched.h \
	kapid/webhooks/review.c kapid/webhooks/review.h \
	kapid/webhooks/target.c kapid/webhooks/target.h
libkapid_api_a_SOURCES += \
	kapid/pipeline/ask.c kapid/pipeline/ask.h \
	kapid/webhooks/client.c kapid/webhooks/client.h \
	kapid/webhooks/outcome.c \
	kapid/webhooks/resolve.c kapid/webhooks/resolve.h \
	kapid/webhooks/round.c kapid/webhooks/round.h \
	kapid/webhooks/webhooks.c kapid/webhooks/webhooks.h
# Admission policies; what does not need the caches is pure
libkapid_core_a_SOURCES += \
	kapid/policies/applied.c kapid/policies/applied.h \
	kapid/policies/authorizer.c \
	kapid/policies/judge.c kapid/policies/judge.h \
	kapid/policies/language.c kapid/policies/language.h \
	kapid/policies/made.c kapid/policies/made.h \
	kapid/policies/mutation-types.c \
	kapid/policies/policy.c kapid/policies/policy.h \
	kapid/policies/program.c \
	kapid/policies/types.c kapid/policies/types.h \
	kapid/strategy/admissionpolicies.c kapid/strategy/admissionregistration.h
libkapid_api_a_SOURCES += \
	kapid/admission/admission-policies.c \
	kapid/policies/asking.c kapid/policies/asking.h \
	kapid/policies/figures.c kapid/policies/figures.h \
	kapid/policies/mutating.c \
	kapid/policies/params.c kapid/policies/params.h \
	kapid/policies/rights.c kapid/policies/rights.h \
	kapid/policies/set.c kapid/policies/set.h kapid/policies/set-internal.h \
	kapid/policies/store.c kapid/policies/store.h
check_PROGRAMS += tests/unit/test-kapid-policies
tests_unit_test_kapid_policies_SOURCES = tests/unit/test-kapid-policies.c tests/unit/unit.h \
	tests/unit/yaml-object.h
tests_unit_test_kapid_policies_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test-kapid-mutations
tests_unit_test_kapid_mutations_SOURCES = tests/unit/test-kapid-mutations.c tests/unit/unit.h \
	tests/unit/yaml-object.h
tests_unit_test_kapid_mutations_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test-kapid-webhooks
tests_unit_test_kapid_webhooks_SOURCES = tests/unit/test-kapid-webhooks.c tests/unit/kapid-cases.h tests/unit/unit.h
tests_unit_test_kapid_webhooks_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
# Conversion of custom resources by webhooks
libkapid_core_a_SOURCES += kapid/conversion/review.c kapid/conversion/review.h \
	kapid/conversion/made-forms.c kapid/conversion/made-forms.h
libkapid_api_a_SOURCES += \
	kapid/conversion/conversion.c kapid/conversion/conversion.h \
	kapid/verbs/converted.c kapid/verbs/converted.h
check_PROGRAMS += tests/unit/test-kapid-conversion
tests_unit_test_kapid_conversion_SOURCES = tests/unit/test-kapid-conversion.c tests/unit/kapid-cases.h
tests_unit_test_kapid_conversion_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
# Users of elsewhere, and the log of what was done
libkapid_api_a_SOURCES += \
	kapid/audit/audit.c kapid/audit/audit.h kapid/audit/policy.c kapid/audit/policy.h \
	kapid/audit/sink.c kapid/audit/sink.h
libkapid_api_a_SOURCES += \
	kapid/store/alloc.c kapid/store/alloc.h kapid/api.c kapid/api.h kapid/auth/authn.c kapid/auth/request-header.c kapid/auth/request-header.h kapid/auth/account-token.c kapid/auth/account-token.h \
	kapid/admission/service-account-secret.c \
	kapid/auth/authn.h kapid/auth/revoked.c kapid/auth/revoked.h kapid/auth/authz-node.c kapid/auth/authz-rbac.c kapid/auth/authz.c kapid/auth/authz.h \
	kapid/bootstrap-objects.h kapid/bootstrap.c kapid/bootstrap.h kapid/cache/internal.h kapid/cache/cache.c kapid/cache/cache.h kapid/cache/caches.c \
	kapid/store/compact.c kapid/store/compact.h kapid/store/store-format.c kapid/store/store-format.h kapid/kinds/crd-cleanup.c kapid/kinds/crd-cleanup.h kapid/kinds/crds.c kapid/kinds/crds.h kapid/verbs/create.c kapid/verbs/delete.c kapid/http/dispatch.c kapid/http/dispatch.h kapid/http/fairness.c kapid/http/fairness.h kapid/pipeline/forms.c kapid/pipeline/forms.h kapid/cache/freshness.c kapid/cache/followers.c kapid/verbs/get.c kapid/auth/impersonate.c kapid/verbs/token.c \
	kapid/cache/item.c kapid/cache/item.h kapid/cache/own.c kapid/auth/issuer.c kapid/auth/issuer.h kapid/auth/jwt.c kapid/auth/jwt.h kapid/auth/oidc.c kapid/auth/oidc.h kapid/auth/oidc-token.c kapid/auth/oidc-token.h kapid/auth/verified.c kapid/auth/verified.h kapid/verbs/list.c kapid/verbs/nodelog.c kapid/verbs/stream.c kapid/pipeline/write-object.c \
	kapid/http/paths.c kapid/http/paths.h kapid/http/protobuf.c kapid/http/protobuf.h kapid/http/request.c kapid/http/request.h kapid/http/timeout.c kapid/http/timeout.h kapid/verbs/reviews.c kapid/http/route.c \
	kapid/http/route.h kapid/http/handle.c kapid/store/store.c kapid/store/store.h kapid/verbs/binding.c kapid/verbs/budget.c kapid/verbs/budget.h \
	kapid/verbs/continue.c kapid/verbs/continue.h kapid/verbs/list-options.c kapid/verbs/list-options.h kapid/verbs/internal.h kapid/verbs/delete.h \
	kapid/verbs/delete-collection.c kapid/verbs/eviction.c kapid/verbs/selection.c \
	kapid/verbs/selection.h kapid/verbs/subresource-body.c kapid/verbs/subresource-body.h \
	kapid/pipeline/body.c kapid/pipeline/body.h kapid/pipeline/write-object.h kapid/http/handle.h \
	kapid/pipeline/turns.c kapid/pipeline/turns.h kapid/lookup.c kapid/presence.c kapid/presence.h kapid/neighbours.c kapid/neighbours.h kapid/verbs/update.c \
	kapid/usage.c kapid/usage.h kapid/verbs/metrics.c kapid/verbs/components.c kapid/verbs/components.h kapid/verbs/usage.c \
	kapid/auth/user.c kapid/auth/user.h kapid/verbs/verbs.c kapid/verbs/verbs.h kapid/verbs/watch.c kapid/verbs/watch.h kapid/pipeline/write.c \
	kapid/pipeline/write.h kapid/pipeline/write-ask.c kapid/pipeline/write-internal.h
# Encryption of stored values; all but the sweep and the answers is pure
libkapid_core_a_SOURCES += \
	kapid/crypt/config.c kapid/crypt/crypt.c kapid/crypt/crypt.h kapid/crypt/internal.h
libkapid_api_a_SOURCES += \
	kapid/cache/indexes.c kapid/cache/keys.c kapid/cache/unreadable.c kapid/cache/walk.c \
	kapid/crypt/answer.c kapid/crypt/answer.h kapid/crypt/sweep.c kapid/crypt/sweep.h
check_PROGRAMS += tests/unit/test-kapid-crypt
tests_unit_test_kapid_crypt_SOURCES = tests/unit/test-kapid-crypt.c tests/unit/unit.h
tests_unit_test_kapid_crypt_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
# Streams into pods; their framing is pure
libkapid_api_a_SOURCES += \
	kapid/streams/channels.c \
	kapid/streams/client.c kapid/streams/client.h kapid/streams/client-internal.h \
	kapid/streams/exit-status.c kapid/streams/exit-status.h \
	kapid/streams/negotiate.c kapid/streams/negotiate.h \
	kapid/streams/node-stream.c kapid/streams/node-stream.h \
	kapid/streams/node-target.c kapid/streams/node-target.h \
	kapid/streams/session.c kapid/streams/session.h \
	kapid/streams/spdy.c kapid/streams/spdy.h \
	kapid/streams/spdy-client.c
check_PROGRAMS += tests/unit/test-kapid-streams
tests_unit_test_kapid_streams_SOURCES = tests/unit/test-kapid-streams.c tests/unit/unit.h
tests_unit_test_kapid_streams_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
nodist_libkapid_api_a_SOURCES = kapid/bootstrap-objects.c
kapid/bootstrap-objects.c: lib/text-to-c$(EXEEXT) kapid/bootstrap.yaml
	$(AM_V_GEN)$(MKDIR_P) kapid && lib/text-to-c$(EXEEXT) kapid/bootstrap-objects.h \
	bootstrap_objects=$(srcdir)/kapid/bootstrap.yaml >$@.tmp && mv $@.tmp $@
CLEANFILES += kapid/bootstrap-objects.c
EXTRA_DIST += kapid/bootstrap.yaml
sbin_PROGRAMS += kapid/kapid
kapid_kapid_SOURCES = kapid/main.c
KAPID_LIBS = libkapid_api.a libkapid_core.a libproto.a libkeelson.a $(PCRE2_LIBS) $(PROTOBUF_C_LIBS) $(KEELSON_LIBS)
kapid_kapid_LDADD = $(KAPID_LIBS)
check_PROGRAMS += tests/unit/test-kapid-timeout
tests_unit_test_kapid_timeout_SOURCES = tests/unit/test-kapid-timeout.c tests/unit/unit.h
tests_unit_test_kapid_timeout_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test-kapid-fairness
tests_unit_test_kapid_fairness_SOURCES = tests/unit/test-kapid-fairness.c
tests_unit_test_kapid_fairness_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test-kapid-fields
tests_unit_test_kapid_fields_SOURCES = tests/unit/test-kapid-fields.c tests/unit/kapid-cases.h tests/unit/kapid-create.h
tests_unit_test_kapid_fields_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test-kapid-storage
tests_unit_test_kapid_storage_SOURCES = tests/unit/test-kapid-storage.c tests/unit/kapid-cases.h tests/unit/kapid-admission.h
tests_unit_test_kapid_storage_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test-kapid-more-kinds
tests_unit_test_kapid_more_kinds_SOURCES = tests/unit/test-kapid-more-kinds.c tests/unit/kapid-cases.h \
	tests/unit/kapid-admission.h tests/unit/kapid-create.h
tests_unit_test_kapid_more_kinds_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test-kapid-account-tokens
tests_unit_test_kapid_account_tokens_SOURCES = tests/unit/test-kapid-account-tokens.c \
	tests/unit/kapid-cases.h tests/unit/kapid-admission.h
tests_unit_test_kapid_account_tokens_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test-kapid-pods
tests_unit_test_kapid_pods_SOURCES = tests/unit/test-kapid-pods.c tests/unit/kapid-cases.h \
	tests/unit/kapid-create.h tests/unit/unit.h
tests_unit_test_kapid_pods_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test-kapid-autoscaling
tests_unit_test_kapid_autoscaling_SOURCES = tests/unit/test-kapid-autoscaling.c tests/unit/kapid-cases.h \
	tests/unit/kapid-create.h tests/unit/unit.h
tests_unit_test_kapid_autoscaling_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test-kapid-events
tests_unit_test_kapid_events_SOURCES = tests/unit/test-kapid-events.c tests/unit/kapid-cases.h \
	tests/unit/kapid-create.h tests/unit/unit.h
tests_unit_test_kapid_events_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test-kapid-networking
tests_unit_test_kapid_networking_SOURCES = tests/unit/test-kapid-networking.c tests/unit/kapid-cases.h \
	tests/unit/kapid-admission.h tests/unit/kapid-create.h
tests_unit_test_kapid_networking_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test-kapid-crd-rules
tests_unit_test_kapid_crd_rules_SOURCES = tests/unit/test-kapid-crd-rules.c tests/unit/kapid-cases.h
tests_unit_test_kapid_crd_rules_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test-kapid-crds
tests_unit_test_kapid_crds_SOURCES = tests/unit/test-kapid-crds.c tests/unit/kapid-cases.h
tests_unit_test_kapid_crds_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test-kapid-request tests/unit/test-kapid-cache
tests_unit_test_kapid_request_SOURCES = tests/unit/test-kapid-request.c
tests_unit_test_kapid_request_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
tests_unit_test_kapid_cache_SOURCES = tests/unit/test-kapid-cache.c
tests_unit_test_kapid_cache_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test-kapid-indexes
tests_unit_test_kapid_indexes_SOURCES = tests/unit/test-kapid-indexes.c tests/unit/dice.h tests/unit/random.h tests/unit/unit.h
tests_unit_test_kapid_indexes_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test-presence tests/unit/test-kapid-neighbours
tests_unit_test_kapid_neighbours_SOURCES = tests/unit/test-kapid-neighbours.c tests/unit/unit.h
tests_unit_test_kapid_neighbours_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
tests_unit_test_presence_SOURCES = tests/unit/test-presence.c tests/unit/unit.h
tests_unit_test_presence_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test-kapid-service-ips
tests_unit_test_kapid_service_ips_SOURCES = tests/unit/test-kapid-service-ips.c \
	tests/unit/kapid-admission.h tests/unit/kapid-cases.h
tests_unit_test_kapid_service_ips_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test-kapid-admission
tests_unit_test_kapid_admission_SOURCES = tests/unit/test-kapid-admission.c \
	tests/unit/kapid-admission.h tests/unit/kapid-cases.h
tests_unit_test_kapid_admission_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test-pod-security tests/unit/test-boundaries
tests_unit_test_pod_security_SOURCES = tests/unit/test-pod-security.c tests/unit/kapid-cases.h
tests_unit_test_pod_security_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
tests_unit_test_boundaries_SOURCES = tests/unit/test-boundaries.c tests/unit/kapid-cases.h
tests_unit_test_boundaries_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test-kapid-convert
tests_unit_test_kapid_convert_SOURCES = tests/unit/test-kapid-convert.c tests/unit/fake-kapid.c tests/unit/fake-kapid.h
tests_unit_test_kapid_convert_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test-kapid-writes
check_PROGRAMS += tests/unit/test-kapid-eviction
tests_unit_test_kapid_eviction_SOURCES = tests/unit/test-kapid-eviction.c tests/unit/unit.h
tests_unit_test_kapid_eviction_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
tests_unit_test_kapid_writes_SOURCES = tests/unit/test-kapid-writes.c tests/unit/fake-kapid.c tests/unit/fake-kapid.h
tests_unit_test_kapid_writes_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test-kapid-eviction-races
tests_unit_test_kapid_eviction_races_SOURCES = tests/unit/test-kapid-eviction-races.c tests/unit/fake-kapid.c tests/unit/fake-kapid.h tests/unit/unit.h
tests_unit_test_kapid_eviction_races_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test-kapid-quota
tests_unit_test_kapid_quota_SOURCES = tests/unit/test-kapid-quota.c tests/unit/fake-kapid.c tests/unit/fake-kapid.h
tests_unit_test_kapid_quota_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test-kapid-people tests/unit/test-kapid-audit
tests_unit_test_kapid_people_SOURCES = tests/unit/test-kapid-people.c tests/unit/unit.h
tests_unit_test_kapid_people_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)
tests_unit_test_kapid_audit_SOURCES = tests/unit/test-kapid-audit.c tests/unit/unit.h
tests_unit_test_kapid_audit_LDADD = $(KAPID_LIBS) $(CMOCKA_LIBS)

# Kubernetes' libraries of functions for expressions.
libkapid_core_a_SOURCES += kapid/cel/lib.h kapid/cel/lib.c \
	kapid/cel/lib-cidr.c kapid/cel/lib-format.c kapid/cel/lib-ip.c kapid/cel/lib-lists.c \
	kapid/cel/lib-lists-more.c kapid/cel/lib-ip.h kapid/cel/lib-quantity.c kapid/cel/lib-regex.c \
	kapid/cel/lib-semver.c kapid/cel/lib-sets.c kapid/cel/lib-string-format.c \
	kapid/cel/lib-strings.c kapid/cel/lib-url.c kapid/cel/lib-url-text.c kapid/cel/lib-url-text.h
check_PROGRAMS += tests/unit/test-cel-lib
tests_unit_test_cel_lib_SOURCES = tests/unit/test-cel-lib.c tests/unit/unit.h
tests_unit_test_cel_lib_LDADD = $(KAPID_CORE_LIBS)
EXTRA_DIST += tests/unit/cel/libraries.txt
