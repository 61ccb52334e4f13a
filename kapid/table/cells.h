/* Cells that a JSONPath cannot express: functions that a column of a kind's document names with
 * x-keelson-cell. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

/* The cell of an object; a new reference, NULL when out of memory. */
typedef json_t *(*cell_func)(const json_t *object, uint64_t now_us);
/* NULL: there is no cell of this name. ret_reads: the paths that it reads (lib/json-part.h); NULL:
 * it may read the whole object. */
cell_func cells_find(const char *name, const char **ret_reads);
/* "3d4h" since an RFC 3339 time; "<unknown>" without one. */
json_t *cells_age(const char *since, uint64_t now_us);
/* Names, or images, of a pod's containers, joined by commas. */
json_t *cells_containers(const json_t *pod_spec, const char *field);
/* A LabelSelector as text; "<none>" without one. */
json_t *cells_selector(const json_t *selector);

/* Pods have a file of their own, cells-pod.c. */
json_t *cells_pod_gates(const json_t *pod, uint64_t now_us);
json_t *cells_pod_ready(const json_t *pod, uint64_t now_us);
json_t *cells_pod_restarts(const json_t *pod, uint64_t now_us);
json_t *cells_pod_status(const json_t *pod, uint64_t now_us);

/* CronJobs likewise, cells-cronjob.c. */
json_t *cells_cronjob_active(const json_t *cronjob, uint64_t now_us);
json_t *cells_cronjob_containers(const json_t *cronjob, uint64_t now_us);
json_t *cells_cronjob_images(const json_t *cronjob, uint64_t now_us);
json_t *cells_cronjob_last_schedule(const json_t *cronjob, uint64_t now_us);
json_t *cells_cronjob_selector(const json_t *cronjob, uint64_t now_us);
json_t *cells_cronjob_suspend(const json_t *cronjob, uint64_t now_us);

/* Volumes, claims, storage classes, and what CSI drivers write: cells-storage.c. */
json_t *cells_claim_capacity(const json_t *claim, uint64_t now_us);
json_t *cells_claim_modes(const json_t *claim, uint64_t now_us);
json_t *cells_csidriver_modes(const json_t *driver, uint64_t now_us);
json_t *cells_csidriver_tokens(const json_t *driver, uint64_t now_us);
json_t *cells_csinode_drivers(const json_t *node, uint64_t now_us);
json_t *cells_storage_class(const json_t *volume_or_claim, uint64_t now_us);
json_t *cells_storage_class_name(const json_t *storage_class, uint64_t now_us);
json_t *cells_volume_claim(const json_t *volume, uint64_t now_us);
json_t *cells_volume_modes(const json_t *volume, uint64_t now_us);
json_t *cells_volume_phase(const json_t *volume_or_claim, uint64_t now_us);

/* APIServices, cells-apiservice.c. */
json_t *cells_apiservice_available(const json_t *apiservice, uint64_t now_us);
json_t *cells_apiservice_service(const json_t *apiservice, uint64_t now_us);

/* HorizontalPodAutoscalers, cells-autoscaling.c. */
json_t *cells_hpa_reference(const json_t *hpa, uint64_t now_us);
json_t *cells_hpa_targets(const json_t *hpa, uint64_t now_us);

/* metrics.k8s.io, cells-metrics.c. */
json_t *cells_metrics_cpu(const json_t *pod, uint64_t now_us);
json_t *cells_metrics_memory(const json_t *pod, uint64_t now_us);

/* Ingresses, NetworkPolicies and ServiceCIDRs, cells-networking.c. */
json_t *cells_ingress_addresses(const json_t *ingress, uint64_t now_us);
json_t *cells_ingress_hosts(const json_t *ingress, uint64_t now_us);
json_t *cells_ingress_ports(const json_t *ingress, uint64_t now_us);
json_t *cells_ingressclass_parameters(const json_t *ingress_class, uint64_t now_us);
json_t *cells_policy_selector(const json_t *policy, uint64_t now_us);
json_t *cells_servicecidr_ranges(const json_t *ranges, uint64_t now_us);
