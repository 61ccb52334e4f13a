"""Nodes without machines: argv[1] of them, named fake-1 and so on. Their pods become ready at once, those of the image
`bad` run and never do, those of the image `fail` fail, those of the image `done` succeed; deleted pods are gone at once.
$KUBECONFIG says where. Runs until it is killed."""
import sys
import threading
import time
from datetime import datetime, timezone

from kubernetes import client, config, watch
from kubernetes.client.rest import ApiException

config.load_kube_config()
core, coordination = client.CoreV1Api(), client.CoordinationV1Api()
names = [f"fake-{i + 1}" for i in range(int(sys.argv[1]))]


def now():
    return datetime.now(timezone.utc)


def beat(name):
    lease = {"metadata": {"name": name}, "spec": {"holderIdentity": name, "leaseDurationSeconds": 40,
                                                  "renewTime": now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")}}
    try:
        coordination.patch_namespaced_lease(name, "kube-node-lease", lease)
    except ApiException as e:
        if e.status != 404:
            raise
        coordination.create_namespaced_lease("kube-node-lease", lease)


def join(name):
    room = {"cpu": "64", "memory": "64Gi", "pods": "200"}
    core.create_node({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}})
    core.patch_node_status(name, {"status": {"capacity": room, "allocatable": room, "conditions": [
        {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastTransitionTime": now().isoformat(),
         "lastHeartbeatTime": now().isoformat()}]}})


def beats():
    while True:
        for name in names:
            beat(name)
        time.sleep(5)


def status_of(pod):
    spec = pod.spec.containers[0]
    phase = {"fail": "Failed", "done": "Succeeded"}.get(spec.image, "Running")
    ready = phase == "Running" and spec.image != "bad"
    ended = {"exitCode": int(phase == "Failed"), "finishedAt": now().isoformat()}
    state = {"running": {"startedAt": now().isoformat()}} if phase == "Running" else {"terminated": ended}
    return {"status": {"phase": phase, "podIP": "10.9.9.9", "conditions": [
        {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": now().isoformat()}],
        "containerStatuses": [{"name": spec.name, "image": spec.image, "imageID": "", "ready": ready,
                               "restartCount": 0, "state": state}]}}


def treat(pod):
    where = pod.metadata.name, pod.metadata.namespace
    if pod.spec.node_name not in names:
        return
    if pod.metadata.deletion_timestamp:
        core.delete_namespaced_pod(*where, grace_period_seconds=0,
                                   body={"preconditions": {"uid": pod.metadata.uid}})
    elif pod.status.phase == "Pending":
        core.patch_namespaced_pod_status(*where, status_of(pod))


for n in names:
    beat(n)
    join(n)
threading.Thread(target=beats, daemon=True).start()
print("ready", flush=True)
while True:
    for event in watch.Watch().stream(core.list_pod_for_all_namespaces, timeout_seconds=60):
        try:
            if event["type"] != "DELETED":
                treat(event["object"])
        except ApiException as e:
            if e.status not in (404, 409):
                print(e, flush=True)
