/* The admission plugins in the order in which they are asked (docs/admission.md; a test compares
 * the two). First the plugins about existence and about users, then those about contents, in the
 * order of Kubernetes where it has the plugin.
 *
 * Webhooks have their places after CustomResourceDefinitionNames (the mutating ones, then the
 * validating ones). ResourceQuota is last: it counts only what all the others let in. */
#pragma once

#include "kapid/admission/admission.h"

/* X(name, identifier of the struct admission_plugin in its file) */
#define ADMISSION_PLUGINS(X) \
        X("NamespaceLifecycle", admission_namespace_lifecycle) \
        X("ServiceAccount", admission_service_account) \
        X("ServiceAccountToken", admission_service_account_secret) \
        X("NodeConnectionRestriction", admission_node_connection) \
        X("NodeRestriction", admission_node_restriction) \
        X("LimitRanger", admission_limit_ranger) \
        X("PodSecurity", admission_pod_security) \
        X("PodNodeNameRestriction", admission_node_name) \
        X("Priority", admission_priority) \
        X("DefaultStorageClass", admission_default_storage_class) \
        X("StorageObjectInUseProtection", admission_storage_in_use) \
        X("PersistentVolumeClaimResize", admission_claim_resize) \
        X("RuntimeClass", admission_runtime_class) \
        X("ServiceIPAllocation", admission_service_ips) \
        X("ServiceAddressRestriction", admission_service_addresses) \
        X("AddressPoolOverlap", admission_address_pool) \
        X("GitSyncImpersonation", admission_gitsync) \
        X("RBACEscalationPrevention", admission_rbac) \
        X("CertificateApproval", admission_certificate_approval) \
        X("CertificateSigning", admission_certificate_signing) \
        X("CertificateSubjectRestriction", admission_certificate_subject) \
        X("UserRevocation", admission_user_revocation) \
        X("DefaultIngressClass", admission_default_ingress_class) \
        X("CustomResourceDefinitionNames", admission_definition_names) \
        X("AdmissionPolicies", admission_admission_policies) \
        X("FieldsWithoutEffect", admission_no_effect) \
        X("ResourceQuota", admission_resource_quota)

#define ADMISSION_PLUGIN_DECLARE(name, plugin) extern const struct admission_plugin plugin;
ADMISSION_PLUGINS(ADMISSION_PLUGIN_DECLARE)

/* For --help: each name with a blank before it. */
#define ADMISSION_PLUGIN_WORD(name, plugin) " " name
#define ADMISSION_PLUGIN_WORDS ADMISSION_PLUGINS(ADMISSION_PLUGIN_WORD)
