"""What programs written with the Python client do; run by tests/clients/python with $KUBECONFIG set. Speaks TAP."""
import sys
import threading
import time

from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.rest import ApiException

config.load_kube_config()
core, apps = client.CoreV1Api(), client.AppsV1Api()
batch, custom = client.BatchV1Api(), client.CustomObjectsApi()
tests = failures = 0


def case(f):
    """Runs a case at once."""
    global tests, failures
    tests += 1
    text = f.__doc__.strip()
    try:
        f()
        print(f"ok {tests} - {text}", flush=True)
    except Exception as e:  # pylint: disable=broad-except
        failures += 1
        print(f"not ok {tests} - {text}")
        print("# " + f"{type(e).__name__}: {e}".replace("\n", "\n# ")[:900], flush=True)
    return f


def refused(code, f, *args, **named):
    try:
        f(*args, **named)
    except ApiException as e:
        assert e.status == code, f"{e.status} instead of {code}"
        return e
    raise AssertionError("it succeeded")


def config_map(name, **data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"l": name}), data=data)


@case
def objects():
    """create, read, replace, patch, delete"""
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name="py")))
    made = core.create_namespaced_config_map("py", config_map("a", k="1"))
    assert made.metadata.uid and made.data == {"k": "1"}
    refused(409, core.create_namespaced_config_map, "py", config_map("a"))
    made.data = {"k": "2"}
    new = core.replace_namespaced_config_map("a", "py", made)
    refused(409, core.replace_namespaced_config_map, "a", "py", made)
    assert new.metadata.resource_version != made.metadata.resource_version
    assert core.patch_namespaced_config_map("a", "py", {"data": {"x": "y"}}).data == {"k": "2", "x": "y"}
    status = core.delete_namespaced_config_map("a", "py", body=client.V1DeleteOptions())
    assert status.status == "Success"
    refused(404, core.read_namespaced_config_map, "a", "py")


@case
def lists():
    """lists with selectors and pages"""
    for i in range(5):
        core.create_namespaced_config_map("py", config_map(f"p{i}"))
    names, token = [], None
    while True:
        page = core.list_namespaced_config_map("py", limit=2, _continue=token)
        names += [o.metadata.name for o in page.items]
        token = page.metadata._continue
        if not token:
            break
    names = [n for n in names if n != "kube-root-ca.crt"]
    assert names == [f"p{i}" for i in range(5)], names
    found = core.list_config_map_for_all_namespaces(label_selector="l in (p1,p3)").items
    assert [o.metadata.name for o in found] == ["p1", "p3"]
    found = core.list_namespaced_config_map("py", field_selector="metadata.name=p2").items
    assert len(found) == 1


@case
def watches():
    """Watch().stream: the present objects, then changes; it ends with its timeout"""
    seen = []

    def change():
        time.sleep(0.5)
        core.patch_namespaced_config_map("p0", "py", {"data": {"z": "1"}})
        core.delete_namespaced_config_map("p4", "py")

    t = threading.Thread(target=change)
    t.start()
    for e in watch.Watch().stream(core.list_namespaced_config_map, "py", timeout_seconds=2):
        seen.append((e["type"], e["object"].metadata.name))
    t.join()
    seen = [x for x in seen if x[1] != "kube-root-ca.crt"]
    assert seen == [("ADDED", f"p{i}") for i in range(5)] + [("MODIFIED", "p0"), ("DELETED", "p4")], seen


def container():
    return client.V1Container(name="c", image="host", command=["sleep", "1"])


def replace_scale(replicas):
    """reads and replaces; once more when the controller has written the status in between"""
    end = time.time() + 20
    while True:
        scale = apps.read_namespaced_deployment_scale("web", "py")
        scale.spec.replicas = replicas
        try:
            return apps.replace_namespaced_deployment_scale("web", "py", scale)
        except ApiException as e:
            if e.status != 409 or time.time() > end:
                raise


@case
def workloads():
    """a Deployment: its ReplicaSet and pods are created, it scales, it is deleted with them"""
    labels = {"app": "web"}
    apps.create_namespaced_deployment("py", client.V1Deployment(
        metadata=client.V1ObjectMeta(name="web"), spec=client.V1DeploymentSpec(
            replicas=2, selector=client.V1LabelSelector(match_labels=labels),
            template=client.V1PodTemplateSpec(metadata=client.V1ObjectMeta(labels=labels),
                                              spec=client.V1PodSpec(containers=[container()])))))

    def count(n):
        end = time.time() + 20
        while len(core.list_namespaced_pod("py", label_selector="app=web").items) != n:
            assert time.time() < end, f"not {n} pods"
            time.sleep(0.05)

    count(2)
    scale = apps.patch_namespaced_deployment_scale("web", "py", {"spec": {"replicas": 3}})
    assert scale.spec.replicas == 3
    count(3)
    replace_scale(1)
    count(1)
    apps.delete_namespaced_deployment("web", "py", propagation_policy="Foreground")
    count(0)


SELECTOR = {"matchLabels": {"app": "x"}}
TEMPLATE = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "host"}]}}
JOB_TEMPLATE = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "host"}]}}
# the typed API, its name for the kind, in a namespace, the object, what a patch changes and where it is seen, what it may do
TYPED = (
    ("AppsV1Api", "stateful_set", True, {"spec": {"replicas": 0, "serviceName": "s", "selector": SELECTOR, "template": TEMPLATE}},
     {"spec": {"minReadySeconds": 5}}, "spec.min_ready_seconds", ("status", "scale")),
    ("AppsV1Api", "daemon_set", True, {"spec": {"selector": SELECTOR, "template": TEMPLATE}},
     {"spec": {"minReadySeconds": 5}}, "spec.min_ready_seconds", ("status",)),
    ("AppsV1Api", "replica_set", True, {"spec": {"replicas": 0, "selector": SELECTOR, "template": TEMPLATE}},
     {"spec": {"minReadySeconds": 5}}, "spec.min_ready_seconds", ("status", "scale")),
    ("CoreV1Api", "replication_controller", True, {"spec": {"replicas": 0, "selector": {"app": "x"}, "template": TEMPLATE}},
     {"spec": {"minReadySeconds": 5}}, "spec.min_ready_seconds", ("status", "scale")),
    ("BatchV1Api", "job", True, {"spec": {"suspend": True, "template": JOB_TEMPLATE}},
     {"spec": {"parallelism": 5}}, "spec.parallelism", ("status",)),
    ("BatchV1Api", "cron_job", True, {"spec": {"suspend": True, "schedule": "@daily", "jobTemplate": {"spec": {"template": JOB_TEMPLATE}}}},
     {"spec": {"startingDeadlineSeconds": 5}}, "spec.starting_deadline_seconds", ("status",)),
    ("PolicyV1Api", "pod_disruption_budget", True, {"spec": {"minAvailable": 1, "selector": SELECTOR}},
     {"spec": {"minAvailable": 5}}, "spec.min_available", ("status",)),
    ("NetworkingV1Api", "ingress", True, {"spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}},
     {"spec": {"defaultBackend": {"service": {"port": {"number": 5}}}}}, "spec.default_backend.service.port.number", ("status",)),
    ("NetworkingV1Api", "network_policy", True, {"spec": {"podSelector": {}}},
     {"spec": {"egress": [{"ports": [{"port": 5}]}]}}, "spec.egress.0.ports.0.port", ()),
    ("CoreV1Api", "resource_quota", True, {"spec": {"hard": {"pods": "99"}}},
     {"spec": {"hard": {"pods": 5}}}, "spec.hard.pods", ("status",)),
    ("CoreV1Api", "limit_range", True, {"spec": {"limits": [{"type": "Pod", "max": {"cpu": "4"}}]}},
     {"spec": {"limits": [{"type": "Pod", "max": {"cpu": "5"}}]}}, "spec.limits.0.max.cpu", ()),
    ("CoreV1Api", "persistent_volume", False, {"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
                                                        "storageClassName": "py", "hostPath": {"path": "/srv/py"}}},
     {"spec": {"capacity": {"storage": "5"}}}, "spec.capacity.storage", ("status",)),
    ("StorageV1Api", "storage_class", False, {"provisioner": "example.org/p", "metadata": {}},
     {"allowVolumeExpansion": True}, "allow_volume_expansion", ()),
    ("SchedulingV1Api", "priority_class", False, {"value": 4}, {"description": "5"}, "description", ()),
    ("AutoscalingV1Api", "horizontal_pod_autoscaler", True,
     {"spec": {"maxReplicas": 9, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "none"}}},
     {"spec": {"maxReplicas": 5}}, "spec.max_replicas", ("status",)),
)


def at(value, path):
    for step in path.split("."):
        value = value[int(step)] if isinstance(value, list) else value.get(step) if isinstance(value, dict) else getattr(value, step)
    return value


def try_kind(api, kind, namespaced, body, change, path, parts):
    """create, twice, read, patch, replace, an old replace, a list, its parts, delete"""
    api = getattr(client, api)()
    where = ("py",) if namespaced else ()
    middle = "_namespaced_" if namespaced else "_"

    def call(verb, *args, part="", **named):
        return getattr(api, verb + middle + kind + part)(*args, **named)

    body = {**body, "metadata": {"name": "py-x", "labels": {"l": kind}}}
    call("create", *where, body, dry_run="All")
    refused(404, call, "read", "py-x", *where)
    made = call("create", *where, body)
    refused(409, call, "create", *where, body)
    call("patch", "py-x", *where, change)
    got = call("read", "py-x", *where)
    assert str(at(got, path)) in ("5", "True"), at(got, path)
    made.metadata.labels = {"l": "old"}
    refused(409, call, "replace", "py-x", *where, made)
    if "status" in parts:
        assert call("read", "py-x", *where, part="_status").metadata.uid == made.metadata.uid
    if "scale" in parts:
        assert call("patch", "py-x", *where, {"spec": {"replicas": 0}}, part="_scale").kind == "Scale"
    assert [o.metadata.name for o in call("list", *where, label_selector="l=" + kind).items] == ["py-x"]
    call("delete_collection", *where, label_selector="l=" + kind)


@case
def typed():
    """every kind of workload, network, storage and policy by its typed API"""
    wrong = []
    for row in TYPED:
        try:
            try_kind(*row)
        except Exception as e:  # pylint: disable=broad-except
            wrong.append(f"{row[1]}: {type(e).__name__}: {e}")
    assert not wrong, "\n".join(wrong)


@case
def eviction():
    """a pod is evicted"""
    core.create_namespaced_pod("py", {"metadata": {"name": "ev", "labels": {"app": "ev"}}, "spec": TEMPLATE["spec"]})
    body = client.V1Eviction(metadata=client.V1ObjectMeta(name="ev", namespace="py"))
    core.create_namespaced_pod_eviction("ev", "py", body)
    refused(404, core.read_namespaced_pod, "ev", "py")


@case
def invalid():
    """a refusal names the field"""
    e = refused(422, core.create_namespaced_pod, "py", client.V1Pod(
        metadata=client.V1ObjectMeta(name="x"), spec=client.V1PodSpec(
            containers=[container()], restart_policy="Sometimes")))
    assert "spec.restartPolicy" in e.body, e.body


@case
def dynamic_client():
    """the dynamic client finds kinds by discovery, custom ones too"""
    d = dynamic.DynamicClient(client.ApiClient())
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
           "metadata": {"name": "gears.py.example"}, "spec": {
               "group": "py.example", "scope": "Namespaced", "names": {"plural": "gears", "kind": "Gear"},
               "versions": [{"name": "v1", "served": True, "storage": True, "schema": {
                   "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}
    d.resources.get(api_version="apiextensions.k8s.io/v1", kind="CustomResourceDefinition").create(body=crd)
    d = dynamic.DynamicClient(client.ApiClient())
    gears = d.resources.get(api_version="py.example/v1", kind="Gear")
    body = {"apiVersion": "py.example/v1", "kind": "Gear", "metadata": {"name": "g"}, "teeth": 12}
    gears.create(body=body, namespace="py")
    assert gears.get(name="g", namespace="py").teeth == 12
    assert custom.get_namespaced_custom_object("py.example", "v1", "py", "gears", "g")["teeth"] == 12
    gears.patch(name="g", namespace="py", body={"teeth": 13}, content_type="application/merge-patch+json")
    assert [g.teeth for g in gears.get(namespace="py").items] == [13]
    gears.delete(name="g", namespace="py")


@case
def from_dict():
    """utils.create_from_dict"""
    utils.create_from_dict(client.ApiClient(), {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "py"},
        "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}})
    assert core.read_namespaced_service("s", "py").spec.cluster_ip.startswith("10.96.")


@case
def access():
    """access reviews"""
    r = client.AuthorizationV1Api().create_self_subject_access_review(client.V1SelfSubjectAccessReview(
        spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=client.V1ResourceAttributes(
            verb="get", resource="pods"))))
    assert r.status.allowed is True
    assert client.VersionApi().get_code().git_version.startswith("v1.")
    groups = {g.name for g in client.ApisApi().get_api_versions().groups}
    assert {"apps", "batch", "keelson.dev"} <= groups


@case
def goes():
    """the namespace is deleted"""
    core.delete_namespace("py")
    end = time.time() + 20
    while True:
        try:
            core.read_namespace("py")
        except ApiException as e:
            assert e.status == 404
            break
        assert time.time() < end
        time.sleep(0.05)


print(f"1..{tests}")
sys.exit(failures > 0)
