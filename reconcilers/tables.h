/* The tables of kreconciled: its controllers, the kinds that they see and the indexes over these.
 * A new controller is a file of its own and a row here, with a row for each kind that no other
 * controller sees. */
#pragma once

/* clang-format off */

/* X(name): the controller name_controller, in a file of that name in one of the folders. (Two are
 * not in the list: collector.c runs the garbage collector on the owner graph, autoscaler.c
 * runs the autoscaler on a timer.) */
#define CONTROLLERS(X) \
        X(claimprotection) \
        X(clusterrole) \
        X(cronjob) \
        X(csr) \
        X(daemonset) \
        X(deployment) \
        X(descheduling) \
        X(disruption) \
        X(endpoints) \
        X(endpointslice) \
        X(endpointslicemirroring) \
        X(ephemeralclaim) \
        X(ingress) \
        X(job) \
        X(loadbalancer) \
        X(namespace) \
        X(node) \
        X(peerslice) \
        X(podcidr) \
        X(podgc) \
        X(replicaset) \
        X(replicationcontroller) \
        X(rootca) \
        X(serviceaccount) \
        X(statefulset) \
        X(ttl) \
        X(volume) \
        X(volumeclaim) \
        X(volumeprotection) \
        X(resourcequota)

/* X(NAME, kind id, namespace or NULL for all, field selector or NULL): WORLD_NAME, the part of the
 * kind that is watched. Two parts of one kind are two rows. */
#define WORLD_KINDS(X) \
        X(NAMESPACES, KIND_NAMESPACES, NULL, NULL) \
        X(NODES, KIND_NODES, NULL, NULL) \
        X(LEASES, KIND_LEASES, "kube-node-lease", NULL) \
        X(PODS, KIND_PODS, NULL, NULL) \
        X(SERVICES, KIND_SERVICES, NULL, NULL) \
        X(ENDPOINTS, KIND_ENDPOINTS, NULL, NULL) \
        X(ADDRESSPOOLS, KIND_ADDRESSPOOLS, NULL, NULL) \
        X(ENDPOINTSLICES, KIND_ENDPOINTSLICES, NULL, NULL) \
        X(NETWORKPOLICIES, KIND_NETWORKPOLICIES, NULL, NULL) \
        X(PEERSLICES, KIND_PEERSLICES, NULL, NULL) \
        X(SERVICEACCOUNTS, KIND_SERVICEACCOUNTS, NULL, NULL) \
        X(DEPLOYMENTS, KIND_DEPLOYMENTS, NULL, NULL) \
        X(REPLICASETS, KIND_REPLICASETS, NULL, NULL) \
        X(REPLICATIONCONTROLLERS, KIND_REPLICATIONCONTROLLERS, NULL, NULL) \
        X(STATEFULSETS, KIND_STATEFULSETS, NULL, NULL) \
        X(DAEMONSETS, KIND_DAEMONSETS, NULL, NULL) \
        X(REVISIONS, KIND_CONTROLLERREVISIONS, NULL, NULL) \
        X(JOBS, KIND_JOBS, NULL, NULL) \
        X(CRONJOBS, KIND_CRONJOBS, NULL, NULL) \
        X(AUTOSCALERS, KIND_HORIZONTALPODAUTOSCALERS, NULL, NULL) \
        X(BUDGETS, KIND_PODDISRUPTIONBUDGETS, NULL, NULL) \
        X(VOLUMES, KIND_PERSISTENTVOLUMES, NULL, NULL) \
        X(CLAIMS, KIND_PERSISTENTVOLUMECLAIMS, NULL, NULL) \
        X(CLASSES, KIND_STORAGECLASSES, NULL, NULL) \
        X(INGRESSES, KIND_INGRESSES, NULL, NULL) \
        X(INGRESSCLASSES, KIND_INGRESSCLASSES, NULL, NULL) \
        X(CSRS, KIND_CERTIFICATESIGNINGREQUESTS, NULL, NULL) \
        X(CLUSTERROLES, KIND_CLUSTERROLES, NULL, NULL) \
        X(DESCHEDULINGS, KIND_DESCHEDULINGS, NULL, NULL) \
        X(PRIORITYCLASSES, KIND_PRIORITYCLASSES, NULL, NULL) \
        X(RESOURCEQUOTAS, KIND_RESOURCEQUOTAS, NULL, NULL) \
        X(ROOT_CAS, KIND_CONFIGMAPS, NULL, "metadata.name=kube-root-ca.crt") \
        X(CIDR_RECORDS, KIND_CONFIGMAPS, "kube-system", "metadata.name=keelson-pod-cidrs")

/* X(NAME, KIND of WORLD_KINDS, by): WORLD_NAME, an index by that function of world.c. by_owner: the
 * uid of the controlling owner, or "orphan/<namespace>" without one; by_node: spec.nodeName, "" for
 * pods on none; by_service: "namespace/service"; by_job: the same of a job that owns
 * them, whatever its uid; by_claim: "namespace/name" of a volume's claimRef;
 * by_free_class: the class of a volume without claimRef; by_volume_node: the node of a volume that
 * keelson made; by_volume: a claim's volume; by_waiting_class: the class of a claim without one;
 * by_first_pair: "namespace/key=value" of the first pair of a service's selector, for those that have
 * pods; by_balanced: "1" for services of type LoadBalancer, and those that were; by_target: what an
 * autoscaler scales; by_peer_label: "key=value", which every namespace has whose pods a network
 * policy selects as peers, "" when there is no such label, nothing when it selects only pods of its
 * own; by_selector: namespace and hash of the selector of a PeerSlice; by_ready: "1" for nodes that
 * are Ready. */
#define WORLD_INDEXES(X) \
        X(NODES_READY, NODES, by_ready) \
        X(PODS_BY_OWNER, PODS, by_owner) \
        X(PODS_BY_NODE, PODS, by_node) \
        X(PODS_BY_NS, PODS, by_ns) \
        X(PODS_BY_JOB, PODS, by_job) \
        X(SERVICES_BY_SELECTOR, SERVICES, by_first_pair) \
        X(SERVICES_BALANCED, SERVICES, by_balanced) \
        X(SLICES_BY_SERVICE, ENDPOINTSLICES, by_service) \
        X(POLICIES_BY_NS, NETWORKPOLICIES, by_ns) \
        X(POLICIES_BY_PEER_LABEL, NETWORKPOLICIES, by_peer_label) \
        X(PEERSLICES_BY_SELECTOR, PEERSLICES, by_selector) \
        X(DEPLOYMENTS_BY_NS, DEPLOYMENTS, by_ns) \
        X(REPLICASETS_BY_OWNER, REPLICASETS, by_owner) \
        X(REPLICASETS_BY_NS, REPLICASETS, by_ns) \
        X(REPLICATIONCONTROLLERS_BY_NS, REPLICATIONCONTROLLERS, by_ns) \
        X(STATEFULSETS_BY_NS, STATEFULSETS, by_ns) \
        X(DAEMONSETS_BY_NS, DAEMONSETS, by_ns) \
        X(REVISIONS_BY_OWNER, REVISIONS, by_owner) \
        X(JOBS_BY_NS, JOBS, by_ns) \
        X(JOBS_BY_OWNER, JOBS, by_owner) \
        X(BUDGETS_BY_NS, BUDGETS, by_ns) \
        X(VOLUMES_BY_CLAIM, VOLUMES, by_claim) \
        X(VOLUMES_FREE_BY_CLASS, VOLUMES, by_free_class) \
        X(VOLUMES_BY_NODE, VOLUMES, by_volume_node) \
        X(CLAIMS_BY_VOLUME, CLAIMS, by_volume) \
        X(CLAIMS_WAITING_BY_CLASS, CLAIMS, by_waiting_class) \
        X(AUTOSCALERS_BY_TARGET, AUTOSCALERS, by_target) \
        X(RESOURCEQUOTAS_BY_NS, RESOURCEQUOTAS, by_ns)

/* The same with an index of many values an object: by_label: "namespace/key=value" of each label. */
#define WORLD_INDEXES_OF_MANY(X) X(PODS_BY_LABEL, PODS, by_label)
