"""A node without a machine, fake-1, that reports what its pods use. argv[1]: a file of lines "APP CPU_MILLI MEMORY_MI", the
use of each pod with the label app=APP; pods of other apps are not reported. Pods become ready at once, as if they had been
for ten minutes. Reports every half second. $KUBECONFIG says where. Runs until it is killed."""
import sys
import threading
import time
from datetime import datetime, timedelta, timezone

from kubernetes import client, config
from kubernetes.client.rest import ApiException

NODE = "fake-1"
config.load_kube_config()
core, coordination = client.CoreV1Api(), client.CoordinationV1Api()


def stamp(minutes=0):
    return (datetime.now(timezone.utc) - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def beat():
    lease = {"metadata": {"name": NODE}, "spec": {"holderIdentity": NODE, "leaseDurationSeconds": 40,
                                                  "renewTime": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}}
    try:
        coordination.patch_namespaced_lease(NODE, "kube-node-lease", lease)
    except ApiException as e:
        if e.status != 404:
            raise
        coordination.create_namespaced_lease("kube-node-lease", lease)


def join():
    room = {"cpu": "8", "memory": "16Gi", "pods": "200"}
    core.create_node({"metadata": {"name": NODE, "labels": {"kubernetes.io/hostname": NODE, "zone": "a"}}})
    core.patch_node_status(NODE, {"status": {"capacity": room, "allocatable": room, "conditions": [
        {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastTransitionTime": stamp(),
         "lastHeartbeatTime": stamp()}]}})


def beats():
    while True:
        beat()
        time.sleep(5)


def start(pod):
    states = [{"name": c.name, "image": c.image, "imageID": "", "ready": True, "restartCount": 0,
               "state": {"running": {"startedAt": stamp(10)}}} for c in pod.spec.containers]
    core.patch_namespaced_pod_status(pod.metadata.name, pod.metadata.namespace, {"status": {
        "phase": "Running", "podIP": "10.9.9.9", "startTime": stamp(10), "containerStatuses": states,
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": stamp(9)}]}})


def treat(pod):
    try:
        if pod.metadata.deletion_timestamp:
            core.delete_namespaced_pod(pod.metadata.name, pod.metadata.namespace, grace_period_seconds=0,
                                       body={"preconditions": {"uid": pod.metadata.uid}})
        elif pod.status.phase == "Pending":
            start(pod)
    except ApiException as e:
        if e.status not in (404, 409):
            raise


def load():
    with open(sys.argv[1], encoding="ascii") as f:
        return {app: (int(cpu), int(memory)) for app, cpu, memory in (line.split() for line in f if line.strip())}


def usage_of(pod, use):
    cpu, memory = use
    n = len(pod.spec.containers)
    return {"namespace": pod.metadata.namespace, "name": pod.metadata.name, "uid": pod.metadata.uid, "containers": [
        {"name": c.name, "cpuNanocores": cpu * 1000000 // n, "memoryBytes": memory * 1048576 // n}
        for c in pod.spec.containers]}


def report(pods, uses):
    rows = [usage_of(p, uses[p.metadata.labels["app"]]) for p in pods
            if (p.metadata.labels or {}).get("app") in uses and p.status.phase == "Running"]
    body = {"apiVersion": "keelson.dev/v1", "kind": "NodeUsage", "metadata": {"name": NODE},
            "windowMilliseconds": 15000, "cpuNanocores": 2000000000, "memoryBytes": 4 << 30, "pods": rows}
    core.api_client.call_api(f"/api/v1/nodes/{NODE}/usage", "PUT", body=body, auth_settings=["BearerToken"],
                             header_params={"Content-Type": "application/json", "Accept": "application/json"})


beat()
join()
threading.Thread(target=beats, daemon=True).start()
print("ready", flush=True)
while True:
    mine = core.list_pod_for_all_namespaces(field_selector=f"spec.nodeName={NODE}").items
    for one in mine:
        treat(one)
    report(mine, load())
    time.sleep(0.5)
