"""Cases of tests/clients/wire in tables: which zero values are kept, what a refusal's Status says, options and selectors. A row
is a check. They find the namespace of wire.py."""
import urllib.parse

from wireclient import a, case, Client, cm, CM, nobody, NS, Watch

APPS, BATCH = "/apis/apps/v1/namespaces/wire/", "/apis/batch/v1/namespaces/wire/"
NETWORK, RBAC = "/apis/networking.k8s.io/v1/namespaces/wire/", "/apis/rbac.authorization.k8s.io/v1/namespaces/wire/"


# a certificate request that can be read, of the name x
CSR = ("LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIRk1HNENBUUF3RERFS01BZ0dBMVVFQXd3QmVEQlpNQk1HQnlxR1NNNDlBZ0"
       "VHQ0NxR1NNNDlBd0VIQTBJQQpCUDhVLzRIYXBDR1ZqdkM3MDJKcmJHK0xteFY2QzdkVmt2aDhlK3MwVW10SUp6czRrcWZ4YXZiZHRzcXl2K1l0"
       "Ckx2Q0NGVVJUWXlYbkNNemcyUnZpSS9PZ0FEQUtCZ2dxaGtqT1BRUURBZ05IQURCRUFpQjBrSGdnM1JDdlJUdFkKbmlLVnNSOEpsRzZxY29UK2"
       "5RQjNuVGNaM0ZpN1NRSWdVNHQrK0JSRDIvYTJkTkV4S0x6OVRRdXdJYnk0VjgyOQpUa0YwUWVSekRxUT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUg"
       "UkVRVUVTVC0tLS0tCg==")


def row(text, check):
    check.__doc__ = text
    case(check)


# --- zero values: kept where Kubernetes' types hold a pointer or have no omitempty, else not ---
def container(**more):
    return {"name": "c", "image": "i", **more}


def template(**spec):
    return {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container()], **spec}}


SELECTOR = {"matchLabels": {"a": "b"}}
BODIES = {
    NS + "/pods": {"spec": template()["spec"]},
    APPS + "deployments": {"spec": {"selector": SELECTOR, "template": template()}},
    APPS + "statefulsets": {"spec": {"serviceName": "s", "selector": SELECTOR, "template": template()}},
    APPS + "daemonsets": {"spec": {"selector": SELECTOR, "template": template()}},
    APPS + "replicasets": {"spec": {"selector": SELECTOR, "template": template()}},
    BATCH + "jobs": {"spec": {"template": template(restartPolicy="Never")}},
    BATCH + "cronjobs": {"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template(restartPolicy="Never")}}}},
    NS + "/services": {"spec": {"ports": [{"port": 80}]}},
    CM: {}, NS + "/secrets": {}, NS + "/serviceaccounts": {},
    NS + "/persistentvolumeclaims": {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}},
    "/apis/coordination.k8s.io/v1/namespaces/wire/leases": {"spec": {}},
    NETWORK + "networkpolicies": {"spec": {"podSelector": {}}},
    NETWORK + "ingresses": {"spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}},
    RBAC + "roles": {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
    RBAC + "rolebindings": {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}},
    "/apis/scheduling.k8s.io/v1/priorityclasses": {"value": 5},
    "/apis/storage.k8s.io/v1/storageclasses": {"provisioner": "x"},
    "/apis/storage.k8s.io/v1/csidrivers": {"spec": {}},
    "/apis/storage.k8s.io/v1/csinodes": {"spec": {"drivers": [{"name": "d", "nodeID": "n"}]}},
    "/apis/storage.k8s.io/v1/volumeattachments": {"spec": {"attacher": "d", "nodeName": "n", "source": {"persistentVolumeName": "v"}}},
    "/apis/node.k8s.io/v1/runtimeclasses": {"handler": "h"},
    "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas": {"spec": {"priorityLevelConfiguration": {"name": "l"}}},
    "/api/v1/nodes": {},
    "/api/v1/persistentvolumes": {"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}},
    "/apis/discovery.k8s.io/v1/namespaces/wire/endpointslices": {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}]},
}
POD, DEPLOYMENT, SERVICE = NS + "/pods", APPS + "deployments", NS + "/services"
C = "spec.containers.0."
GONE = object()
ZEROS = [
    *[(POD, "spec." + f, False, GONE) for f in ("hostNetwork", "hostPID", "hostIPC")],
    *[(POD, "spec." + f, "", GONE) for f in ("nodeName", "hostname", "subdomain")],
    *[(POD, "spec." + f, [], GONE) for f in ("imagePullSecrets", "hostAliases", "initContainers", "volumes", "readinessGates")],
    (POD, "spec.nodeSelector", {}, GONE), (POD, "spec.dnsPolicy", "", "ClusterFirst"), (POD, "spec.restartPolicy", "", "Always"),
    (POD, "spec.schedulerName", "", "default-scheduler"),
    *[(POD, C + f, False, GONE) for f in ("stdin", "stdinOnce", "tty")],
    *[(POD, C + f, [], GONE) for f in ("args", "command", "env", "envFrom", "ports", "volumeDevices")],
    (POD, C + "workingDir", "", GONE), (POD, C + "terminationMessagePath", "", "/dev/termination-log"),
    (POD, C + "terminationMessagePolicy", "", "File"), (POD, C + "env", [{"name": "A", "value": ""}], [{"name": "A"}]),
    (POD, C + "ports", [{"containerPort": 80, "hostPort": 0, "protocol": ""}], [{"containerPort": 80, "protocol": "TCP"}]),
    (POD, C + "readinessProbe", {"exec": {"command": ["x"]}, "initialDelaySeconds": 0, "periodSeconds": 0, "timeoutSeconds": 0},
     {"exec": {"command": ["x"]}, "failureThreshold": 3, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1}),
    (POD, C + "securityContext", {"privileged": False, "runAsUser": 0, "readOnlyRootFilesystem": False},
     {"privileged": False, "runAsUser": 0, "readOnlyRootFilesystem": False}),
    *[(POD, "spec." + f, False, False) for f in ("automountServiceAccountToken", "shareProcessNamespace", "enableServiceLinks")],
    (POD, "spec.terminationGracePeriodSeconds", 0, 0), (POD, "spec.securityContext", {}, {}), (POD, C + "resources", {}, {}),
    (DEPLOYMENT, "spec.paused", False, GONE), (DEPLOYMENT, "spec.minReadySeconds", 0, GONE), (DEPLOYMENT, "spec.replicas", 0, 0),
    (DEPLOYMENT, "spec.revisionHistoryLimit", 0, 0), (DEPLOYMENT, "spec.template.spec.hostNetwork", False, GONE),
    (DEPLOYMENT, "metadata.generation", 0, 1), (DEPLOYMENT, "spec.strategy", {}, None),
    (APPS + "statefulsets", "spec.podManagementPolicy", "", "OrderedReady"), (APPS + "statefulsets", "spec.minReadySeconds", 0, GONE),
    (APPS + "statefulsets", "spec.volumeClaimTemplates", [], GONE), (APPS + "statefulsets", "spec.replicas", 0, 0),
    (APPS + "daemonsets", "spec.minReadySeconds", 0, GONE), (APPS + "daemonsets", "spec.revisionHistoryLimit", 0, 0),
    (APPS + "replicasets", "spec.minReadySeconds", 0, GONE), (APPS + "replicasets", "spec.replicas", 0, 0),
    (BATCH + "jobs", "spec.suspend", False, False), (BATCH + "jobs", "spec.parallelism", 0, 0),
    (BATCH + "jobs", "spec.ttlSecondsAfterFinished", 0, 0), (BATCH + "jobs", "spec.backoffLimit", 0, 0),
    (BATCH + "cronjobs", "spec.concurrencyPolicy", "", "Allow"), (BATCH + "cronjobs", "spec.suspend", False, False),
    (BATCH + "cronjobs", "spec.successfulJobsHistoryLimit", 0, 0),
    (SERVICE, "spec.publishNotReadyAddresses", False, GONE), (SERVICE, "spec.selector", {}, GONE),
    (SERVICE, "spec.externalIPs", [], GONE), (SERVICE, "spec.type", "", "ClusterIP"), (SERVICE, "spec.sessionAffinity", "", "None"),
    (SERVICE, "spec.ports", [{"port": 80, "name": "", "nodePort": 0, "protocol": ""}], [{"port": 80, "protocol": "TCP", "targetPort": 80}]),
    (CM, "data", {}, GONE), (CM, "binaryData", {}, GONE), (CM, "immutable", False, False), (CM, "data", {"a": ""}, {"a": ""}),
    (NS + "/secrets", "data", {}, GONE), (NS + "/secrets", "type", "", "Opaque"), (NS + "/secrets", "immutable", False, False),
    (NS + "/serviceaccounts", "secrets", [], GONE), (NS + "/serviceaccounts", "imagePullSecrets", [], GONE),
    (NS + "/serviceaccounts", "automountServiceAccountToken", False, False),
    (NS + "/persistentvolumeclaims", "spec.volumeName", "", GONE), (NS + "/persistentvolumeclaims", "spec.storageClassName", "", ""),
    ("/apis/coordination.k8s.io/v1/namespaces/wire/leases", "spec.holderIdentity", "", ""),
    ("/apis/coordination.k8s.io/v1/namespaces/wire/leases", "spec.leaseTransitions", 0, 0),
    (NETWORK + "networkpolicies", "spec.ingress", [], GONE), (NETWORK + "networkpolicies", "spec.egress", [], GONE),
    (NETWORK + "networkpolicies", "spec.podSelector", {}, {}), (NETWORK + "networkpolicies", "spec.policyTypes", [], ["Ingress"]),
    (NETWORK + "ingresses", "spec.rules", [], GONE), (NETWORK + "ingresses", "spec.tls", [], GONE),
    (RBAC + "rolebindings", "subjects", [], GONE), (RBAC + "roles", "rules.0.resourceNames", [], GONE),
    ("/apis/scheduling.k8s.io/v1/priorityclasses", "globalDefault", False, GONE),
    ("/apis/scheduling.k8s.io/v1/priorityclasses", "value", 0, 0), ("/apis/scheduling.k8s.io/v1/priorityclasses", "description", "", GONE),
    ("/apis/storage.k8s.io/v1/storageclasses", "mountOptions", [], GONE), ("/apis/storage.k8s.io/v1/storageclasses", "parameters", {}, GONE),
    ("/apis/storage.k8s.io/v1/storageclasses", "allowVolumeExpansion", False, False),
    ("/apis/storage.k8s.io/v1/csidrivers", "spec.attachRequired", None, True), ("/apis/storage.k8s.io/v1/csidrivers", "spec.tokenRequests", [], GONE),
    ("/apis/storage.k8s.io/v1/csidrivers", "spec.podInfoOnMount", False, False), ("/apis/storage.k8s.io/v1/csinodes", "spec.drivers.0.topologyKeys", [], []),
    ("/apis/storage.k8s.io/v1/volumeattachments", "status", {"attached": True}, {"attached": False}),
    ("/apis/node.k8s.io/v1/runtimeclasses", "overhead", {"podFixed": {}}, {}), ("/apis/node.k8s.io/v1/runtimeclasses", "scheduling", {}, {}),
    ("/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas", "spec.matchingPrecedence", 0, 1000), ("/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas", "spec.rules", [], GONE),
    ("/api/v1/nodes", "spec.unschedulable", False, GONE), ("/api/v1/nodes", "spec.podCIDR", "", GONE), ("/api/v1/nodes", "spec.podCIDRs", [], GONE),
    ("/api/v1/persistentvolumes", "spec.mountOptions", [], GONE), ("/api/v1/persistentvolumes", "spec.storageClassName", "", GONE),
    ("/apis/discovery.k8s.io/v1/namespaces/wire/endpointslices", "endpoints.0.conditions", {"ready": False}, {"ready": False}),
    *[(CM, "metadata." + f, v, GONE) for f, v in (("labels", {}), ("annotations", {}), ("finalizers", []), ("ownerReferences", []), ("generateName", ""))],
]


def at(v, path):
    for word in path.split("."):
        if isinstance(v, list):
            v = v[int(word)]
        elif not isinstance(v, dict) or word not in v:
            return GONE
        else:
            v = v[word]
    return v


def with_value(v, path, value):
    """A copy of v with the value at the path."""
    word, _, rest = path.partition(".")
    if isinstance(v, list):
        return [with_value(x, rest, value) if i == int(word) else x for i, x in enumerate(v)]
    return {**(v or {}), word: with_value((v or {}).get(word, {}), rest, value) if rest else value}


def zero_row(path, field, value, want):
    def check():
        body = with_value({"metadata": {"name": "zero"}, **BODIES[path]}, field, value)
        r = a.post(path + "?dryRun=All&fieldValidation=Strict", body)
        assert r.code == 201, r.text
        got = at(r.json, field)
        assert want is None and got is not GONE or got == want, got
    kept = "is not kept" if want is GONE else "is kept" if want == value else "gets its default"
    row(f"{path.split('/')[-1]}: {field} {value} {kept}", check)


for z in ZEROS:
    zero_row(*z)

# --- what Kubernetes refuses in built-in kinds, and what it takes: compared with a real API server ---
META = "metadata."
MAPS = {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b c"]}]}
WRONG = [  # path, field, value, the field of the cause, its reason
    (POD, C + "image", " i", "spec.containers[0].image", "Invalid"),
    (POD, C + "env", [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nothing"}}}], "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath", "Invalid"),
    (POD, C + "env", [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.phase"}}}], "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath", "NotSupported"),
    (POD, C + "env", [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.disk"}}}], "spec.containers[0].env[0].valueFrom.resourceFieldRef.resource", "NotSupported"),
    (POD, C + "env", [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "a/b"}}}], "spec.containers[0].env[0].valueFrom.secretKeyRef.key", "Invalid"),
    (POD, C + "env", [{"name": "a=b"}], "spec.containers[0].env[0].name", "Invalid"),
    (POD, C + "envFrom", [{}], "spec.containers[0].envFrom[0]", "Invalid"),
    (POD, C + "envFrom", [{"secretRef": {}}], "spec.containers[0].envFrom[0].secretRef.name", "Required"),
    (POD, C + "resources", {"limits": {"disk": "1"}}, "spec.containers[0].resources.limits[disk]", "Invalid"),
    (POD, C + "resources", {"requests": {"example.com/gpu": "1"}}, "spec.containers[0].resources.limits", "Required"),
    (POD, C + "securityContext", {"privileged": True, "allowPrivilegeEscalation": False}, "spec.containers[0].securityContext", "Invalid"),
    (POD, C + "securityContext", {"seccompProfile": {"type": "Localhost"}}, "spec.containers[0].securityContext.seccompProfile.localhostProfile", "Required"),
    (POD, C + "volumeMounts", [{"name": "none", "mountPath": "/x"}], "spec.containers[0].volumeMounts[0].name", "NotFound"),
    (POD, C + "readinessProbe", {"httpGet": {"port": 80, "httpHeaders": [{"name": "a b", "value": "c"}]}}, "spec.containers[0].readinessProbe.httpGet.httpHeaders", "Invalid"),
    (POD, "spec.volumes", [{"name": "v", "configMap": {}}], "spec.volumes[0].configMap.name", "Required"),
    (POD, "spec.volumes", [{"name": "v", "secret": {"secretName": "s", "items": [{"key": "k", "path": "../x"}]}}], "spec.volumes[0].secret.items[0].path", "Invalid"),
    (POD, "spec.volumes", [{"name": "v", "hostPath": {"path": "/a/../b"}}], "spec.volumes[0].hostPath.path", "Invalid"),
    (POD, "spec.volumes", [{"name": "v", "downwardAPI": {"items": [{"path": "p"}]}}], "spec.volumes[0].downwardAPI", "Required"),
    (POD, "spec.volumes", [{"name": "v", "projected": {"sources": [{"configMap": {"name": "a", "items": [{"key": "k", "path": "p"}]}},
                                                                   {"secret": {"name": "a", "items": [{"key": "k", "path": "p"}]}}]}}], "spec.volumes[0].projected", "Invalid"),
    (POD, "spec.volumes", [{"name": "v", "image": {"reference": "a", "pullPolicy": "Often"}}], "spec.volumes[0].image.pullPolicy", "NotSupported"),
    (POD, "spec.volumes", [{"name": "v", "rbd": {"monitors": ["a"]}}], "spec.volumes[0].rbd.image", "Required"),
    (POD, "spec.os", {"name": "plan9"}, "spec.os", "NotSupported"), (POD, "spec.hostnameOverride", "a_b", "spec.hostnameOverride", "Invalid"),
    (POD, "spec.resourceClaims", [{"name": "gpu"}], "spec.resourceClaims[0]", "Invalid"),
    (POD, C + "resources", {"claims": [{"name": "gpu"}]}, "spec.containers[0].resources.claims[0].name", "NotFound"),
    (POD, "spec.nodeSelector", {"a b": "c"}, "spec.nodeSelector", "Invalid"),
    (POD, "spec.hostAliases", [{"ip": "x", "hostnames": ["a"]}], "spec.hostAliases[0].ip", "Invalid"),
    (POD, "spec.readinessGates", [{"conditionType": "a b"}], "spec.readinessGates[0].conditionType", "Invalid"),
    (POD, "spec.securityContext", {"sysctls": [{"name": "A", "value": "1"}]}, "spec.securityContext.sysctls[0].name", "Invalid"),
    (POD, "spec.securityContext", {"supplementalGroups": [-1]}, "spec.securityContext.supplementalGroups[0]", "Invalid"),
    (POD, "spec.tolerations", [{"key": "a", "value": "b c"}], "spec.tolerations[0].operator", "Invalid"),
    (POD, "spec.affinity", {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "In"}]}]}}},
     "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values", "Required"),
    (POD, "spec.affinity", {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "a b"}]}},
     "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey", "Invalid"),
    (DEPLOYMENT, "spec.selector", {"matchLabels": {"a": "b"}, **MAPS}, "spec.selector.matchExpressions[0].values[0]", "Invalid"),
    (DEPLOYMENT, "spec.template.metadata.annotations", {"a b": "c"}, "spec.template.metadata.annotations", "Invalid"),
    (BATCH + "cronjobs", "spec.jobTemplate.spec.template.metadata.labels", {"a b": "c"}, "spec.jobTemplate.spec.template.metadata.labels", "Invalid"),
    (SERVICE, "spec", {"type": "ExternalName", "externalName": "a_b"}, "spec.externalName", "Invalid"),
    (SERVICE, "spec.ports", [{"port": 80, "appProtocol": "a b"}], "spec.ports[0].appProtocol", "Invalid"),
    (NS + "/endpoints", "subsets", [{"addresses": [{"ip": "x"}]}], "subsets[0].addresses[0].ip", "Invalid"),
    (NS + "/endpoints", "subsets", [{"ports": [{"port": 1}]}], "subsets[0]", "Required"),
    ("/apis/discovery.k8s.io/v1/namespaces/wire/endpointslices", "ports", [{"port": 1}, {"port": 2}], "ports[1].name", "Duplicate"),
    (CM, META + "finalizers", ["x"], "metadata.finalizers[0]", "Invalid"), (CM, META + "generateName", "A_", "metadata.generateName", "Invalid"),
    (NS + "/secrets", "type", "kubernetes.io/basic-auth", "data[username]", "Required"),
    ("/api/v1/namespaces", "spec", {"finalizers": ["x"]}, "spec.finalizers", "Invalid"),
    ("/api/v1/nodes", "status", {"capacity": {"cpu": "-1"}}, "status.capacity.cpu", "Invalid"),
    ("/api/v1/persistentvolumes", "spec.nodeAffinity", {}, "spec.nodeAffinity.required", "Required"),
    ("/apis/storage.k8s.io/v1/storageclasses", "allowedTopologies", [{"matchLabelExpressions": [{"key": "a", "values": []}]}], "allowedTopologies[0].matchLabelExpressions[0].values", "Required"),
    (APPS + "replicasets", "spec.selector", None, "spec.selector", "Required"),
    (NETWORK + "ingresses", "spec", {"defaultBackend": {"resource": {"kind": "", "name": "n"}}}, "spec.defaultBackend.resource.kind", "Required"),
    (RBAC + "rolebindings", "subjects", [{"kind": "User", "name": "u", "apiGroup": "x"}], "subjects[0].apiGroup", "NotSupported"),
    (RBAC + "rolebindings", "roleRef.apiGroup", "x", "roleRef.apiGroup", "NotSupported"),
    ("/apis/rbac.authorization.k8s.io/v1/clusterroles", "aggregationRule", {}, "aggregationRule.clusterRoleSelectors", "Required"),
    ("/apis/certificates.k8s.io/v1/certificatesigningrequests", "spec", {"signerName": "a.b/c", "request": CSR}, "spec.usages", "Required"),
    ("/apis/certificates.k8s.io/v1/certificatesigningrequests", "spec", {"signerName": "a.b/c", "request": "eA==", "usages": ["client auth"]}, "spec.request", "Invalid"),
]
RIGHT = [  # path, field, value, what is answered
    (NS + "/secrets", "data", {"a": "dg\n==\n"}, {"a": "dg=="}), (CM, "data", {"a": None}, {"a": ""}),
    (POD, C + "command", ["a", None], ["a", ""]), (RBAC + "rolebindings", "subjects", [{"kind": "ServiceAccount", "name": "s"}], [{"kind": "ServiceAccount", "name": "s"}]),
    ("/api/v1/nodes", "status", {"capacity": {"cpu": "1"}}, None), (DEPLOYMENT, "spec.template.metadata", {"labels": {"a": "b"}, "annotations": {}}, {"labels": {"a": "b"}}),
    (POD, "spec.os", {"name": "linux"}, {"name": "linux"}), (POD, "spec.hostnameOverride", "a.example", "a.example"),
    (POD, "spec.volumes", [{"name": "v", "image": {"reference": "a"}}], [{"name": "v", "image": {"reference": "a"}}]),
    (POD, "spec.resourceClaims", [{"name": "gpu", "resourceClaimTemplateName": "t"}], [{"name": "gpu", "resourceClaimTemplateName": "t"}]),
    (POD, C + "env", [{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "K"}}}],
     [{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "K", "optional": False}}}]),
    ("/api/v1/nodes", "status", {"features": {"supplementalGroupsPolicy": True}, "declaredFeatures": ["A"]}, None),
    (NS + "/limitranges", "spec", {}, {"limits": []}), ("/apis/scheduling.k8s.io/v1/priorityclasses", "value", None, 0),
]


def wrong_row(path, field, value, cause, reason):
    def check():
        body = with_value({"metadata": {"name": "wrong", "labels": {"pod-security.kubernetes.io/enforce": "privileged"}}, **BODIES.get(path, {})}, field, value)
        r = a.post(path + "?dryRun=All", body)
        assert r.code == 422 and r.json["reason"] == "Invalid", r.text
        assert any(c["field"] == cause and c["reason"] == "FieldValue" + reason for c in r.json["details"]["causes"]), r.text
    row(f"{path.split('/')[-1]}: {cause} {reason}", check)


def right_row(path, field, value, want):
    def check():
        r = a.post(path + "?dryRun=All", with_value({"metadata": {"name": "right"}, **BODIES.get(path, {})}, field, value))
        assert r.code == 201, r.text
        assert want is None or at(r.json, field) == want, r.text
    row(f"{path.split('/')[-1]}: {field} {value} is taken", check)


for w in WRONG:
    wrong_row(*w)
for w in RIGHT:
    right_row(*w)


def unread_row(path, field, value, text):
    def check():
        r = a.post(path + "?dryRun=All", with_value({"metadata": {"name": "unread"}, **BODIES.get(path, {})}, field, value))
        assert r.code == 400 and r.json["reason"] == "BadRequest" and text in r.text, r.text
    row(f"{path.split('/')[-1]}: {field} {value} is none of its type", check)


for u in [(DEPLOYMENT, "spec.replicas", 1.0, "cannot unmarshal number 1.0 into field spec.replicas of type int32"),
          (SERVICE, "spec.ports.0.targetPort", 80.0, "of type IntOrString"), (CM, "data", {"a": 1}, "number into field data.a of type string")]:
    unread_row(*u)


def wide_number():
    r = a.post(SERVICE + "?dryRun=All", with_value({"metadata": {"name": "wide"}, **BODIES[SERVICE]}, "spec.ports.0.targetPort", 2 ** 31))
    assert r.code == 400 and "int32" in r.text, r.text


def node_amounts():
    r = a.post("/api/v1/nodes?dryRun=All", {"metadata": {"name": "amounts"}, "status": {"capacity": {"cpu": "1"}}})
    assert r.code == 201 and r.json["status"]["allocatable"] == {"cpu": "1"}, r.text


def empty_watch():
    w = Watch(CM + "?watch=&timeoutSeconds=1")
    assert w.code == 200 and all(e["type"] == "ADDED" for e in w.all())


row("an integer beyond 32 bits is none of an IntOrString", wide_number)
row("what a node can give is what it has, unless it says otherwise", node_amounts)
row("?watch= is a watch", empty_watch)

# --- statuses: the counters of Kubernetes' types that have no omitempty are there, others only when they count ---
STATUSES = [
    (DEPLOYMENT, {}, ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas", "observedGeneration"], ["collisionCount"]),
    (APPS + "replicasets", {"replicas": 0}, ["readyReplicas", "availableReplicas", "fullyLabeledReplicas"], ["replicas"]),
    (APPS + "statefulsets", {"replicas": 0, "availableReplicas": 0}, ["readyReplicas", "currentReplicas", "updatedReplicas"],
     ["replicas", "availableReplicas"]),
    (APPS + "daemonsets", {"currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0},
     ["updatedNumberScheduled", "numberAvailable", "numberUnavailable"],
     ["currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"]),
    (BATCH + "jobs", {}, ["active", "succeeded", "failed"], ["ready", "terminating"]),
]


def status_rows(path, first, dropped, kept):
    kind = path.split("/")[-1]

    def check_first():
        got = a.post(path + "?dryRun=All", {"metadata": {"name": "first"}, **BODIES[path]}).json
        assert got["status"] == first, got["status"]
    row(f"{kind}: a new one has the status {first}", check_first)

    def check(field, present):
        body = with_value({"metadata": {"name": "counted"}, **BODIES[path]}, "spec.suspend" if kind == "jobs" else "spec.minReadySeconds",
                          True if kind == "jobs" else 1)
        if kind in ("deployments", "replicasets", "statefulsets"):
            body = with_value(body, "spec.replicas", 0)
        if a.get(path + "/counted").code == 404:
            assert a.post(path, body).code == 201
        full = {f: 0 for f in dropped + kept}
        r = a.ask("PATCH", path + "/counted/status?dryRun=All", {"status": full}, Content_Type="application/merge-patch+json")
        assert r.code == 200, r.text
        assert (field in r.json["status"]) == present, r.json["status"]
    for f in dropped:
        row(f"{kind}: status.{f} 0 is not kept", lambda f=f: check(f, False))
    for f in kept:
        row(f"{kind}: status.{f} 0 is kept", lambda f=f: check(f, True))


for s in STATUSES:
    status_rows(*s)
for path, want in ((BATCH + "cronjobs", {}), (NETWORK + "ingresses", {"loadBalancer": {}}), (SERVICE, {"loadBalancer": {}}),
                   ("/apis/certificates.k8s.io/v1/certificatesigningrequests", {}), (NS + "/replicationcontrollers", {"replicas": 0})):
    def new_status(path=path, want=want):
        body = BODIES.get(path) or {"spec": {"replicas": 0, "template": template()} if "replication" in path else
                                    {"signerName": "a.example/b", "request": CSR, "usages": ["client auth"]}}
        r = a.post(path + "?dryRun=All", {"metadata": {"name": "first"}, **body})
        assert r.code == 201 and r.json["status"] == want, r.text
    row(f"{path.split('/')[-1]}: a new one has the status {want}", new_status)


def node_status():
    got = a.post("/api/v1/nodes?dryRun=All", {"metadata": {"name": "first"}}).json["status"]
    assert got["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 0}} and got["nodeInfo"]["kubeletVersion"] == "", got
    given = {"capacity": {"cpu": "4"}, "conditions": [{"type": "Ready", "status": "True"}]}
    assert a.post("/api/v1/nodes?dryRun=All", {"metadata": {"name": "first"}, "status": given}).json["status"] == {**given, "allocatable": given["capacity"]}


row("nodes: a new one has a status, its creator's where it gives one", node_status)

# --- refusals: code, reason, details; the keys in the reference server's order ---
DEP = {"metadata": {"name": "details"}, **with_value(BODIES[DEPLOYMENT], "spec.replicas", 0)}
a.post(CM, cm("details"))
a.post(DEPLOYMENT, DEP)
ann = {"Impersonate_User": "ann"}
cms, deps = {"kind": "configmaps"}, {"group": "apps", "kind": "deployments"}


def named(who, name="details"):
    return {"name": name, **who}


def put(path, body, **meta):
    return a.put(path, {**body, "metadata": {"name": "details", **meta}})


REFUSALS = [
    ("a name that is taken", lambda: a.post(CM, cm("details")), 409, "AlreadyExists", named(cms)),
    ("a name that is taken, in a group", lambda: a.post(DEPLOYMENT, DEP), 409, "AlreadyExists", named(deps)),
    ("a namespace that is there", lambda: a.post("/api/v1/namespaces", {"metadata": {"name": "wire"}}), 409, "AlreadyExists",
     {"name": "wire", "kind": "namespaces"}),
    ("a name that is none", lambda: a.get(CM + "/none"), 404, "NotFound", named(cms, "none")),
    ("a name that is none, in a group", lambda: a.get(DEPLOYMENT + "/none"), 404, "NotFound", named(deps, "none")),
    ("its status", lambda: a.get(DEPLOYMENT + "/none/status"), 404, "NotFound", named(deps, "none")),
    ("its scale", lambda: a.get(DEPLOYMENT + "/none/scale"), 404, "NotFound", named(deps, "none")),
    ("a patch of none", lambda: a.merge(CM + "/none", {}), 404, "NotFound", named(cms, "none")),
    ("a deletion of none", lambda: a.delete(CM + "/none"), 404, "NotFound", named(cms, "none")),
    ("a PUT of none", lambda: a.put(CM + "/none", cm("none")), 404, "NotFound", named(cms, "none")),
    ("the log of none", lambda: a.get(POD + "/none/log"), 404, "NotFound", {"name": "none", "kind": "pods"}),
    ("an eviction of none", lambda: a.post(POD + "/none/eviction", {"metadata": {"name": "none"}}), 404, "NotFound", {"name": "none", "kind": "pods"}),
    ("a token of none", lambda: a.post(NS + "/serviceaccounts/none/token", {"spec": {}}), 404, "NotFound", {"name": "none", "kind": "serviceaccounts"}),
    ("an object in a namespace that is none", lambda: a.post("/api/v1/namespaces/none/configmaps", cm("x")), 404, "NotFound",
     {"name": "none", "kind": "namespaces"}),
    ("another version", lambda: put(CM + "/details", {}, resourceVersion="1"), 409, "Conflict", named(cms)),
    ("another version, in a group", lambda: put(DEPLOYMENT + "/details", DEP, resourceVersion="1"), 409, "Conflict", named(deps)),
    ("another uid", lambda: put(CM + "/details", {}, uid="x"), 409, "Conflict", named(cms)),
    ("a deletion of another uid", lambda: a.delete(CM + "/details", {"preconditions": {"uid": "x"}}), 409, "Conflict", {"name": "details", "kind": "ConfigMap"}),
    ("a deletion of another version", lambda: a.delete(CM + "/details", {"preconditions": {"resourceVersion": "1"}}), 409, "Conflict", {"name": "details", "kind": "ConfigMap"}),
    ("no right to list", lambda: a.get(CM, **ann), 403, "Forbidden", cms),
    ("no right to get", lambda: a.get(DEPLOYMENT + "/details", **ann), 403, "Forbidden", named(deps)),
    ("no right to a subresource", lambda: a.get(DEPLOYMENT + "/details/status", **ann), 403, "Forbidden", named(deps)),
    ("no right in the cluster", lambda: a.get("/api/v1/nodes/x", **ann), 403, "Forbidden", {"name": "x", "kind": "nodes"}),
    ("nobody", lambda: Client(nobody).get(CM), 401, "Unauthorized", None),
    ("a body that is none", lambda: a.post(CM, "{"), 400, "BadRequest", None),
    ("a body of another kind", lambda: a.post(CM, {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "x"}}), 400, "BadRequest", None),
    ("a body of another namespace", lambda: a.post(CM, {"metadata": {"name": "x", "namespace": "default"}}), 400, "BadRequest", None),
    ("a body of another name", lambda: a.put(CM + "/details", cm("two")), 400, "BadRequest", None),
    ("a field that is none, asked strictly", lambda: a.post(CM + "?fieldValidation=Strict", {"metadata": {"name": "x"}, "dat": 1}), 400, "BadRequest", None),
    ("a patch that is none", lambda: a.merge(CM + "/details", "{x"), 400, "BadRequest", None),
    ("a form that is not served", lambda: a.get(CM, Accept="image/png"), 406, "NotAcceptable", None),
    ("a form that is not taken", lambda: a.post(CM, "x", Content_Type="text/plain"), 415, "UnsupportedMediaType", None),
    ("a patch of a form that is not taken", lambda: a.ask("PATCH", CM + "/details", "{}", Content_Type="text/plain"), 415, "UnsupportedMediaType", None),
    ("a method that is none", lambda: a.post(CM + "/details", {}), 405, "MethodNotAllowed", cms),
    ("a method that the collection has not", lambda: a.put(CM, {}), 405, "MethodNotAllowed", cms),
    ("a continue token that is none", lambda: a.get(CM + "?continue=x"), 400, "BadRequest", None),
    ("a future version", lambda: a.get(CM + "?resourceVersion=99999999"), 504, "Timeout",
     {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}], "retryAfterSeconds": 1}),
]


def refusal_row(text, ask, code, reason, details):
    def check():
        r = ask()
        s = r.json
        assert (r.code, s["code"], s["reason"], s.get("details")) == (code, code, reason, details), r.text
        order = ["kind", "apiVersion", "metadata", "status", "message", "reason", "details", "code"]
        assert list(s) == [k for k in order if k in s], list(s)
        detail_order = ["name", "group", "kind", "uid", "causes", "retryAfterSeconds"]
        assert list(details or {}) == [k for k in detail_order if k in (s.get("details") or {})], s
    row(f"the details of {reason}: {text}", check)


for r in REFUSALS:
    refusal_row(*r)

# --- what is invalid: whose details ---
def owned(owners):
    return {"metadata": {"name": "owned", "ownerReferences": owners}}


INVALID = [
    ("a name", lambda: a.post(CM, cm("X_")), "ConfigMap", "", "X_", "metadata.name"),
    ("no name", lambda: a.post(CM, {"metadata": {}}), "ConfigMap", "", None, "metadata.name"),
    ("a kind of a group", lambda: a.post(DEPLOYMENT, {**DEP, "spec": {**DEP["spec"], "replicas": -1}, "metadata": {"name": "minus"}}), "Deployment",
     "apps", "minus", "spec.replicas"),
    ("a scale", lambda: a.merge(DEPLOYMENT + "/details/scale", {"spec": {"replicas": -1}}), "Scale", "autoscaling", "details", "spec.replicas"),
    ("dryRun of a create", lambda: a.post(CM + "?dryRun=x", cm("x")), "CreateOptions", "meta.k8s.io", None, "dryRun"),
    ("dryRun of an update", lambda: a.put(CM + "/details?dryRun=x", cm("details")), "UpdateOptions", "meta.k8s.io", None, "dryRun"),
    ("dryRun of a patch", lambda: a.merge(CM + "/details?dryRun=x", {}), "PatchOptions", "meta.k8s.io", None, "dryRun"),
    ("an empty dryRun, which must not write", lambda: a.post(CM + "?dryRun=", cm("details-empty")), "CreateOptions", "meta.k8s.io", None, "dryRun"),
    ("an empty dryRun of a deletion", lambda: a.delete(CM + "/details?dryRun="), "DeleteOptions", "meta.k8s.io", None, "dryRun"),
    ("an apply without a manager", lambda: a.apply(CM + "/details", cm("details")), "PatchOptions", "meta.k8s.io", None, "fieldManager"),
    ("an Event as owner", lambda: a.post(CM, owned([{"apiVersion": "v1", "kind": "Event", "name": "e", "uid": "u"}])),
     "ConfigMap", "", "owned", "metadata.ownerReferences"),
    ("an owner of no version", lambda: a.post(CM, owned([{"apiVersion": "a/b/c", "kind": "K", "name": "e", "uid": "u"}])),
     "ConfigMap", "", "owned", "metadata.ownerReferences.apiVersion"),
    ("dryRun of a deletion", lambda: a.delete(CM + "/details?dryRun=x"), "DeleteOptions", "meta.k8s.io", None, "dryRun"),
    ("dryRun in a deletion's body", lambda: a.delete(CM + "/details", {"dryRun": ["x"]}), "DeleteOptions", "meta.k8s.io", None, "dryRun"),
    ("fieldValidation of a create", lambda: a.post(CM + "?fieldValidation=x", cm("x")), "CreateOptions", "meta.k8s.io", None, "fieldValidation"),
    ("fieldValidation of a patch", lambda: a.merge(CM + "/details?fieldValidation=x", {}), "PatchOptions", "meta.k8s.io", None, "fieldValidation"),
    ("a long fieldManager", lambda: a.post(CM + "?fieldManager=" + "m" * 129, cm("x")), "CreateOptions", "meta.k8s.io", None, "fieldManager"),
    ("a fieldManager that cannot be printed", lambda: a.merge(CM + "/details?fieldManager=a%01", {"data": {"a": "b"}}), "PatchOptions", "meta.k8s.io",
     None, "fieldManager"),
    ("force without apply", lambda: a.merge(CM + "/details?force=true", {}), "PatchOptions", "meta.k8s.io", None, "force"),
    ("propagationPolicy", lambda: a.delete(CM + "/details", {"propagationPolicy": "x"}), "DeleteOptions", "meta.k8s.io", None, "propagationPolicy"),
    ("propagationPolicy in the query", lambda: a.delete(CM + "/details?propagationPolicy=x"), "DeleteOptions", "meta.k8s.io", None, "propagationPolicy"),
    ("two ways to say what becomes of dependents", lambda: a.delete(CM + "/details", {"propagationPolicy": "Orphan", "orphanDependents": True}),
     "DeleteOptions", "meta.k8s.io", None, "propagationPolicy"),
    ("resourceVersionMatch alone", lambda: a.get(CM + "?resourceVersionMatch=Exact"), "ListOptions", "meta.k8s.io", None, "resourceVersionMatch"),
    ("another resourceVersionMatch", lambda: a.get(CM + "?resourceVersion=1&resourceVersionMatch=x"), "ListOptions", "meta.k8s.io", None,
     "resourceVersionMatch"),
    ("sendInitialEvents of a list", lambda: a.get(CM + "?sendInitialEvents=true"), "ListOptions", "meta.k8s.io", None, "sendInitialEvents"),
]


def invalid_row(text, ask, kind, group, name, field):
    def check():
        r = ask()
        s = r.json
        assert r.code == 422 and s["reason"] == "Invalid", r.text
        d = s["details"]
        assert (d["kind"], d.get("group", ""), d.get("name")) == (kind, group, name), d
        assert d["causes"][0]["field"] == field, d
        lead = f'{kind}{"." if group else ""}{group} "{name or ""}" is invalid: '
        assert s["message"].startswith(lead), s["message"]
    row(f"the details of Invalid: {text}", check)


for i in INVALID:
    invalid_row(*i)


def generated():
    d = a.post(CM, {"metadata": {"generateName": "X_"}}).json
    assert d["details"]["name"].startswith("X_") and f'"{d["details"]["name"]}" is invalid' in d["message"], d


row("the details of Invalid: a name that the server made", generated)


def orphans():
    a.post(CM, cm("orphans"))
    r = a.delete(CM + "/orphans?orphanDependents=true")
    assert r.json["metadata"].get("finalizers") == ["orphan"], r.text


row("a deletion whose query says that dependents stay leaves them", orphans)


def paged_deletion():
    for i in range(3):
        a.post(CM, {"metadata": {"name": f"paged-{i}", "labels": {"paged": "yes"}}})
    path = CM + "?labelSelector=paged%3Dyes"
    first = a.delete(path + "&limit=2").json
    assert len(first["items"]) == 2 and first["metadata"]["continue"], first
    left = a.get(path).json["items"]
    assert [i["metadata"]["name"] for i in left] == ["paged-2"], left
    last = a.delete(path + "&limit=2&continue=" + urllib.parse.quote(first["metadata"]["continue"])).json
    assert len(last["items"]) == 1 and "continue" not in last["metadata"], last
    assert a.get(path).json["items"] == []
    assert a.delete(path + "&limit=x").code == 400 and a.delete(path + "&continue=x").code == 400


row("a deletion of a collection with a limit deletes no more, and says where to go on", paged_deletion)


def bad_timeout():
    assert a.get(CM + "?timeoutSeconds=x").code == 400


row("a list whose timeoutSeconds is no number is refused", bad_timeout)


def storage_hash():
    found = {r["name"]: r.get("storageVersionHash") for r in a.get("/apis/apps/v1").json["resources"]}
    assert found["deployments"] == "8aSe+NMegvE=" and found["deployments/scale"] is None, found


row("discovery has the hash of the version in which objects are stored, as Kubernetes computes it", storage_hash)

# --- success ---
for path, body, want in ((CM, cm("gone"), {"name": "gone", "kind": "configmaps"}),
                         (RBAC + "roles", {"metadata": {"name": "gone"}, "rules": []},
                          {"name": "gone", "group": "rbac.authorization.k8s.io", "kind": "roles"})):
    def success(path=path, body=body, want=want):
        uid = a.post(path, body).json["metadata"]["uid"]
        s = a.delete(path + "/gone").json
        assert list(s) == ["kind", "apiVersion", "metadata", "status", "details"] and s["status"] == "Success", s
        assert list(s["details"].items()) == list({**want, "uid": uid}.items()), s
    row(f"a deletion of {want['kind']} says what is gone", success)

# --- selectors and options of lists ---
BAD_LABELS = ["a-", "a=-x", "!/a", "a/", "/a", "a" * 64, "a,", "a/b/c", "a/b/c=d", "x/y/z in (1)", "!a/b/c", "a//b", "=b", "a=b=c",
              "a in (", "a in (b", "a>b", "a<1.5", "a b", "(a)", "a!b", "!a=b", "!!a", ",", "a=b,,c=d", "a" * 254 + "/b", "\u00e9=1",
              "a=\u00e9", "a in (b c)", "a notin b", "a=b,a/b/c", "A-b-", "a=" + "v" * 64, "-a", "a.b-/c", "a/-b"]
GOOD_LABELS = ["a", "!a", "a=", "a==", "a!=", "a=b", "a==b", "a!=b", "a in (b)", "a in (b,c)", "a notin (b)", "a in ()", "a>1", "a<1", "",
               " ", "a = b", "a.b/c=d", "A_b.c=1", "a.b/" + "c" * 63, "a=b,!c", "a , b", "in", "notin=in", "a in (in)", "a=" + "v" * 63]
for s in BAD_LABELS:
    def bad_labels(s=s):
        r = a.get(CM + "?labelSelector=" + urllib.parse.quote(s, safe=""))
        assert r.code == 400 and r.json["reason"] == "BadRequest" and "unable to parse requirement" in r.json["message"], r.text
        assert a.delete(CM + "?dryRun=All&labelSelector=" + urllib.parse.quote(s, safe="")).code == 400
    row(f"the label selector {s[:40]!r} is refused, in lists and deletions", bad_labels)
for s in GOOD_LABELS:
    def good_labels(s=s):
        r = a.get(CM + "?labelSelector=" + urllib.parse.quote(s, safe=""))
        assert r.code == 200, r.text
        watch = Watch(CM + "?watch=1&timeoutSeconds=1&labelSelector=" + urllib.parse.quote(s, safe=""))
        assert watch.code == 200
        watch.close()
    row(f"the label selector {s[:40]!r} is taken, in lists and watches", good_labels)
for s in ("metadata.name", "metadata.name>a", "metadata.name=a=b", "metadata.name=a\\", "foo=bar", "spec.nodeName=x", "metadata.labels.a=b",
          "metadata.uid=x", ",", "data.a=b"):
    def bad_fields(s=s):
        assert a.get(CM + "?fieldSelector=" + urllib.parse.quote(s, safe="")).code == 400
    row(f"the field selector {s!r} is refused", bad_fields)
for s, count in (("metadata.name=details", 1), ("metadata.name==details", 1), ("metadata.name=details,", 1), ("metadata.name=none", 0),
                 ("metadata.name=details,metadata.namespace=wire", 1), ("metadata.name=details,metadata.namespace!=wire", 0),
                 ("metadata.namespace=other", 0), ("metadata.name=a\\,b", 0)):
    def good_fields(s=s, count=count):
        assert len(a.get(CM + "?fieldSelector=" + urllib.parse.quote(s, safe="")).json["items"]) == count
    row(f"the field selector {s!r} selects {count}", good_fields)
for s, code in (("limit=-1", 200), ("limit=0", 200), ("limit=-9223372036854775808", 200), ("limit=x", 400), ("limit=9223372036854775808", 400),
                ("limit=1.5", 400), ("resourceVersion=-1", 400), ("resourceVersion=x", 400), ("resourceVersion=0", 200), ("continue=x", 400),
                ("continue=x&resourceVersion=5", 400), ("labelSelector=", 200), ("fieldSelector=", 200), ("timeout=x", 400), ("timeout=5s", 200),
                ("unknown=1", 200), ("pretty=x", 200), ("watch=false", 200), ("watch=0", 200)):
    def listed(s=s, code=code):
        r = a.get(CM + "?" + s)
        assert r.code == code, r.text
        if s.startswith("limit=-") or s == "limit=0":
            assert "continue" not in r.json["metadata"] and len(r.json["items"]) > 1
    row(f"a list with {s} is answered with {code}", listed)
a.delete(CM + "/details")
a.delete(DEPLOYMENT + "/details")
for path in (p for p, *_ in STATUSES):
    a.delete(path + "/counted")
