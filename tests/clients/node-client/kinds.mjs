// What programs written with Kubernetes' client for Node.js do with each kind; run by tests/clients/node with $KUBECONFIG set.
// Speaks TAP.
import * as k8s from '@kubernetes/client-node';
import { more } from './more.mjs';

const config = new k8s.KubeConfig();
config.loadFromDefault();
const objects = k8s.KubernetesObjectApi.makeApiClient(config);
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);
let tests = 0;
let failures = 0;

async function test(text, f) {
    tests++;
    try {
        await f();
        console.log(`ok ${tests} - ${text}`);
    } catch (e) {
        failures++;
        console.log(`not ok ${tests} - ${text}`);
        console.log(`# ${String(e.body ?? e.stack ?? e).slice(0, 600).replaceAll('\n', '\n# ')}`);
    }
}

function equal(got, want) {
    if (JSON.stringify(got) !== JSON.stringify(want))
        throw new Error(`got ${JSON.stringify(got)} instead of ${JSON.stringify(want)}`);
}

async function within(seconds, what, f) {
    for (const end = Date.now() + seconds * 1000; ; await new Promise((done) => setTimeout(done, 50))) {
        if (f()) return;
        if (Date.now() > end) throw new Error(`not within ${seconds} s: ${what}`);
    }
}

async function refused(code, f) {
    try {
        await f();
    } catch (e) {
        equal(e.code, code);
        return;
    }
    throw new Error('it succeeded');
}

const pod = { metadata: { labels: { app: 'x' } }, spec: { containers: [{ name: 'c', image: 'host' }] } };
const job = { metadata: pod.metadata, spec: { ...pod.spec, restartPolicy: 'Never' } };
const selector = { matchLabels: { app: 'x' } };
// version, kind, plural, in a namespace, the rest of an object
const kinds = [
    ['apps/v1', 'StatefulSet', 'statefulsets', true, { spec: { replicas: 0, serviceName: 's', selector, template: pod } }],
    ['apps/v1', 'DaemonSet', 'daemonsets', true, { spec: { selector, template: pod } }],
    ['apps/v1', 'Deployment', 'deployments', true, { spec: { replicas: 0, selector, template: pod } }],
    ['apps/v1', 'ReplicaSet', 'replicasets', true, { spec: { replicas: 0, selector, template: pod } }],
    ['apps/v1', 'ControllerRevision', 'controllerrevisions', true, { revision: 1, data: {} }],
    ['v1', 'ReplicationController', 'replicationcontrollers', true, { spec: { replicas: 0, selector: { app: 'x' }, template: pod } }],
    ['batch/v1', 'Job', 'jobs', true, { spec: { suspend: true, template: job } }],
    ['batch/v1', 'CronJob', 'cronjobs', true, { spec: { suspend: true, schedule: '@daily', jobTemplate: { spec: { template: job } } } }],
    ['policy/v1', 'PodDisruptionBudget', 'poddisruptionbudgets', true, { spec: { maxUnavailable: 1, selector } }],
    ['v1', 'ResourceQuota', 'resourcequotas', true, { spec: { hard: { pods: '100' } } }],
    ['v1', 'LimitRange', 'limitranges', true, { spec: { limits: [{ type: 'Pod', max: { cpu: '8' } }] } }],
    ['networking.k8s.io/v1', 'Ingress', 'ingresses', true, { spec: { defaultBackend: { service: { name: 's', port: { number: 80 } } } } }],
    ['networking.k8s.io/v1', 'NetworkPolicy', 'networkpolicies', true, { spec: { podSelector: {} } }],
    ['networking.k8s.io/v1', 'IngressClass', 'ingressclasses', false, { spec: { controller: 'example.org/c' } }],
    ['v1', 'PersistentVolumeClaim', 'persistentvolumeclaims', true, { spec: { accessModes: ['ReadWriteOnce'], storageClassName: 'none', resources: { requests: { storage: '1Gi' } } } }],
    ['v1', 'PersistentVolume', 'persistentvolumes', false, { spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], hostPath: { path: '/srv/x' }, storageClassName: 'other' } }],
    ['storage.k8s.io/v1', 'StorageClass', 'storageclasses', false, { provisioner: 'example.org/p' }],
    ['v1', 'PodTemplate', 'podtemplates', true, { template: pod }],
    ['node.k8s.io/v1', 'RuntimeClass', 'runtimeclasses', false, { handler: 'h' }],
    ['storage.k8s.io/v1', 'CSIDriver', 'csidrivers', false, { spec: { attachRequired: false } }],
    ['storage.k8s.io/v1', 'CSINode', 'csinodes', false, { spec: { drivers: [{ name: 'd', nodeID: 'n' }] } }],
    ['storage.k8s.io/v1', 'CSIStorageCapacity', 'csistoragecapacities', true, { storageClassName: 'c' }],
    ['storage.k8s.io/v1', 'VolumeAttachment', 'volumeattachments', false, { spec: { attacher: 'd', nodeName: 'n', source: { persistentVolumeName: 'v' } } }],
    ['storage.k8s.io/v1', 'VolumeAttributesClass', 'volumeattributesclasses', false, { driverName: 'd', parameters: { a: 'b' } }],
    ['networking.k8s.io/v1', 'ServiceCIDR', 'servicecidrs', false, { spec: { cidrs: ['10.250.0.0/24'] } }],
    ['flowcontrol.apiserver.k8s.io/v1', 'PriorityLevelConfiguration', 'prioritylevelconfigurations', false, { spec: { type: 'Limited', limited: { limitResponse: { type: 'Reject' } } } }],
    ['flowcontrol.apiserver.k8s.io/v1', 'FlowSchema', 'flowschemas', false, { spec: { priorityLevelConfiguration: { name: 'l' } } }],
    ['scheduling.k8s.io/v1', 'PriorityClass', 'priorityclasses', false, { value: 7 }],
    ['coordination.k8s.io/v1', 'Lease', 'leases', true, { spec: { holderIdentity: 'me' } }],
    ['autoscaling/v2', 'HorizontalPodAutoscaler', 'horizontalpodautoscalers', true, { spec: { maxReplicas: 2, scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd' } } }],
];

// An informer sees the object come, change and go, beside what create, read, replace and three kinds of patch answer.
async function kind(apiVersion, name, plural, namespaced, rest) {
    const metadata = { name: `js-${plural}`, labels: { l: 'one' }, ...(namespaced ? { namespace: 'js' } : {}) };
    const path = `/${apiVersion === 'v1' ? 'api' : 'apis'}/${apiVersion}${namespaced ? '/namespaces/js' : ''}/${plural}`;
    const seen = { add: 0, update: 0, delete: 0 };
    const informer = k8s.makeInformer(config, path, () => objects.list(apiVersion, name, namespaced ? 'js' : undefined));
    for (const event of Object.keys(seen))
        informer.on(event, (o) => { if (o.metadata.name === metadata.name) seen[event]++; });
    await informer.start();
    const ref = { apiVersion, kind: name, metadata };
    await objects.create({ ...ref, ...rest }, undefined, 'All');
    await refused(404, () => objects.read(ref));
    const made = await objects.create({ ...ref, ...rest });
    equal([made.kind, made.metadata.name], [name, metadata.name]);
    await refused(409, () => objects.create({ ...ref, ...rest }));
    await within(10, 'the informer sees it', () => seen.add === 1);
    const note = (text) => ({ ...ref, metadata: { ...metadata, annotations: { [text]: 'yes' } } });
    for (const strategy of [k8s.PatchStrategy.MergePatch, k8s.PatchStrategy.StrategicMergePatch])
        await objects.patch(note(strategy.replace(/.*\/|\+.*/g, '')), undefined, undefined, undefined, undefined, strategy);
    await objects.patch({ ...note('apply'), ...rest }, undefined, undefined, 'me', true, k8s.PatchStrategy.ServerSideApply);
    const read = await objects.read(ref);
    equal(Object.keys(read.metadata.annotations).filter((k) => /^(merge-patch|strategic-merge-patch|apply)$/.test(k)).sort(),
        ['apply', 'merge-patch', 'strategic-merge-patch']);
    await within(10, 'the informer sees changes', () => seen.update >= 3);
    await refused(409, () => objects.replace({ ...made, metadata: { ...made.metadata, labels: { l: 'two' } } }));
    await objects.delete(ref, undefined, undefined, 0, undefined, 'Background');
    await within(10, 'the informer sees its end', () => seen.delete === 1);
    await informer.stop();
}

await core.createNamespace({ body: { metadata: { name: 'js' } } });
for (const row of kinds) {
    const [group, version] = row[0].includes('/') ? row[0].split('/') : ['', row[0]];
    const served = group === '' || (await config.makeApiClient(k8s.ApisApi).getAPIVersions()).groups
        .some((g) => g.name === group && g.versions.some((v) => v.version === version));
    if (served)
        await test(`${row[1]}: create, read, patches, apply, replace, delete, informer`, () => kind(...row));
    else
        console.log(`ok ${++tests} - ${row[1]} # SKIP ${row[0]} is not served`);
}
await test('a scale is read, patched and seen in the object', async () => {
    await objects.create({ apiVersion: 'apps/v1', kind: 'StatefulSet', metadata: { name: 's', namespace: 'js' }, ...kinds[0][4] });
    const scale = await apps.readNamespacedStatefulSetScale({ name: 's', namespace: 'js' });
    equal([scale.kind, scale.spec.replicas ?? 0], ['Scale', 0]);
    scale.spec.replicas = 1;
    delete scale.metadata.resourceVersion; // the controller may have written the status in between
    await apps.replaceNamespacedStatefulSetScale({ name: 's', namespace: 'js', body: scale });
    equal((await apps.readNamespacedStatefulSet({ name: 's', namespace: 'js' })).spec.replicas, 1);
});
await test('a pod is evicted', async () => {
    await core.createNamespacedPod({ namespace: 'js', body: { metadata: { name: 'p' }, spec: pod.spec } });
    await core.createNamespacedPodEviction({ name: 'p', namespace: 'js', body: { metadata: { name: 'p', namespace: 'js' } } });
    await refused(404, () => core.readNamespacedPod({ name: 'p', namespace: 'js' }));
});
await more({ k8s, config, core, apps, objects, test, equal, within, refused });
console.log(`1..${tests}`);
process.exit(failures > 0 ? 1 : 0);
