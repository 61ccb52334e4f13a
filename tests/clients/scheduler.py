"""A scheduler of its own make: pods whose schedulerName is "by-name" go to the ready node whose name comes first in the
alphabet. Everything a scheduler must do is here: watch, choose, bind, say so. Run by tests/clients/scheduler; ends after
as many pods as its argument says."""
import datetime
import sys

from kubernetes import client, config, watch
from kubernetes.client.rest import ApiException

NAME = "by-name"
config.load_kube_config()
core = client.CoreV1Api()


def ready_nodes():
    for node in core.list_node().items:
        if node.spec.unschedulable:
            continue
        if any(c.type == "Ready" and c.status == "True" for c in node.status.conditions or []):
            yield node.metadata.name


def bind(pod, node):
    body = client.V1Binding(metadata=client.V1ObjectMeta(name=pod.metadata.name, uid=pod.metadata.uid),
                            target=client.V1ObjectReference(api_version="v1", kind="Node", name=node))
    try:
        core.create_namespaced_binding(pod.metadata.namespace, body, _preload_content=False)
    except ApiException as e:
        if e.status != 409:  # somebody else was faster: fine
            raise


def event(pod, node):
    now = datetime.datetime.now(datetime.timezone.utc)
    core.create_namespaced_event(pod.metadata.namespace, client.CoreV1Event(
        metadata=client.V1ObjectMeta(generate_name=pod.metadata.name + "."), type="Normal", reason="Scheduled",
        message=f"{NAME} chose {node}", first_timestamp=now, last_timestamp=now, count=1,
        source=client.V1EventSource(component=NAME),
        involved_object=client.V1ObjectReference(api_version="v1", kind="Pod", name=pod.metadata.name,
                                                 namespace=pod.metadata.namespace, uid=pod.metadata.uid)))


left = int(sys.argv[1])
waiting = f"spec.nodeName=,spec.schedulerName={NAME},status.phase=Pending"
for change in watch.Watch().stream(core.list_pod_for_all_namespaces, field_selector=waiting, timeout_seconds=60):
    nodes = sorted(ready_nodes())
    if change["type"] != "ADDED" or not nodes:
        continue
    bind(change["object"], nodes[0])
    event(change["object"], nodes[0])
    left -= 1
    if left == 0:
        break
sys.exit(left > 0)
