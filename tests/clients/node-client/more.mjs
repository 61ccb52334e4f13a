// Lists, watches, selectors, patches, custom objects and refusals as programs on Kubernetes' client for Node.js meet them; called by
// kinds.mjs, whose namespace it uses.
export async function more({ k8s, config, core, apps, objects, test, equal, within, refused }) {
    const ns = { namespace: 'js' };
    const names = (list) => list.items.map((o) => o.metadata.name);
    const watcher = new k8s.Watch(config);
    const maps = '/api/v1/namespaces/js/configmaps';
    for (let i = 0; i < 7; i++)
        await core.createNamespacedConfigMap({ ...ns, body: { metadata: { name: `m${i}`, labels: { odd: String(i % 2), set: 'more' } }, data: { i: String(i) } } });
    const all = ['m0', 'm1', 'm2', 'm3', 'm4', 'm5', 'm6'];

    await test('a list in pages', async () => {
        const found = [];
        for (let token; ;) {
            const page = await core.listNamespacedConfigMap({ ...ns, limit: 3, labelSelector: 'set=more', _continue: token });
            found.push(names(page));
            token = page.metadata._continue;
            if (!token) break;
        }
        equal(found, [all.slice(0, 3), all.slice(3, 6), all.slice(6)]);
    });
    for (const [selector, want] of [['odd=1', ['m1', 'm3', 'm5']], ['odd!=1,set', ['m0', 'm2', 'm4', 'm6']], ['odd in (0),set=more', ['m0', 'm2', 'm4', 'm6']],
        ['set notin (more),odd', []], ['!set,odd', []]])
        await test(`the label selector ${selector}`, async () =>
            equal(names(await core.listNamespacedConfigMap({ ...ns, labelSelector: selector })), want));
    await test('a field selector', async () => equal(names(await core.listNamespacedConfigMap({ ...ns, fieldSelector: 'metadata.name=m3' })), ['m3']));
    await test('a list of all namespaces', async () =>
        equal(names(await core.listConfigMapForAllNamespaces({ labelSelector: 'set=more' })), all));

    for (const [type, body, want] of [
        [k8s.PatchStrategy.JsonPatch, [{ op: 'replace', path: '/data/i', value: 'x' }], 'x'],
        [k8s.PatchStrategy.MergePatch, { data: { i: 'y' } }, 'y'],
        [k8s.PatchStrategy.StrategicMergePatch, { data: { i: 'z' } }, 'z'],
    ])
        await test(`a patch of a ConfigMap as ${type}`, async () => equal((await core.patchNamespacedConfigMap({ ...ns, name: 'm0', body },
            k8s.setHeaderOptions('Content-Type', type))).data, { i: want }));
    const applied = (value, manager, force) => core.patchNamespacedConfigMap({ ...ns, name: 'applied', fieldManager: manager, force,
        body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'applied' }, data: { a: value } } },
    k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.ServerSideApply));
    await test('apply creates', async () => equal((await applied('1', 'one')).data, { a: '1' }));
    await test('apply of the same writes nothing', async () => {
        const before = await core.readNamespacedConfigMap({ ...ns, name: 'applied' });
        equal((await applied('1', 'one')).metadata.resourceVersion, before.metadata.resourceVersion);
    });
    await test('apply of another manager is in conflict', async () => refused(409, () => applied('2', 'two')));
    await test('unless it is forced', async () => equal((await applied('2', 'two', true)).data, { a: '2' }));

    await test('a watch shows what comes, changes and goes, from a resourceVersion on', async () => {
        const list = await core.listNamespacedConfigMap({ ...ns });
        const seen = [];
        const controller = await watcher.watch(maps, { resourceVersion: list.metadata.resourceVersion, labelSelector: 'watched' },
            (type, o) => seen.push(`${type} ${o.metadata.name}`), () => {});
        await core.createNamespacedConfigMap({ ...ns, body: { metadata: { name: 'w', labels: { watched: 'yes' } } } });
        await core.patchNamespacedConfigMap({ ...ns, name: 'w', body: { data: { a: 'b' } } }, k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.MergePatch));
        await core.deleteNamespacedConfigMap({ ...ns, name: 'w' });
        await within(30, 'three events', () => seen.length >= 3);
        controller.abort();
        equal(seen, ['ADDED w', 'MODIFIED w', 'DELETED w']);
    });
    await test('a watch that ends by timeoutSeconds ends without an error', async () => {
        let end = 'not yet';
        await watcher.watch(maps, { timeoutSeconds: 1 }, () => {}, (e) => { end = e ?? null; });
        await within(30, 'the end', () => end !== 'not yet');
        equal(end === null || /premature|abort/i.test(String(end)) === false, true);
    });
    await test('an informer with a selector keeps what matches', async () => {
        const informer = k8s.makeInformer(config, maps, () => core.listNamespacedConfigMap({ ...ns, labelSelector: 'odd=1' }), 'odd=1');
        await informer.start();
        await within(30, 'three objects', () => informer.list('js').length === 3);
        await core.patchNamespacedConfigMap({ ...ns, name: 'm1', body: { metadata: { labels: { odd: '0' } } } },
            k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.MergePatch));
        await within(30, 'two objects', () => informer.list('js').length === 2);
        equal(informer.list('js').map((o) => o.metadata.name).sort(), ['m3', 'm5']);
        await informer.stop();
    });

    const details = async (f) => {
        try {
            await f();
        } catch (e) {
            const s = typeof e.body === 'string' ? JSON.parse(e.body) : e.body;
            return [s.reason, s.details?.name, s.details?.kind];
        }
        throw new Error('it succeeded');
    };
    await test('a refusal has the reason and details: a taken name', async () =>
        equal(await details(() => core.createNamespacedConfigMap({ ...ns, body: { metadata: { name: 'm2' } } })), ['AlreadyExists', 'm2', 'configmaps']));
    await test('no such object', async () => equal(await details(() => core.readNamespacedConfigMap({ ...ns, name: 'none' })), ['NotFound', 'none', 'configmaps']));
    await test('an invalid name', async () =>
        equal(await details(() => core.createNamespacedConfigMap({ ...ns, body: { metadata: { name: 'N_' } } })), ['Invalid', 'N_', 'ConfigMap']));
    await test('dryRun stores nothing', async () => {
        await core.createNamespacedConfigMap({ ...ns, dryRun: 'All', body: { metadata: { name: 'dry' } } });
        await refused(404, () => core.readNamespacedConfigMap({ ...ns, name: 'dry' }));
    });
    await test('the log of a pod without a node is refused', async () => {
        await core.createNamespacedPod({ ...ns, body: { metadata: { name: 'waits' }, spec: { schedulerName: 'nobody', containers: [{ name: 'c', image: 'i' }] } } });
        await refused(400, () => core.readNamespacedPodLog({ ...ns, name: 'waits' }));
    });
    await test('exec into it is refused as well', async () => {
        let failed = false;
        await new k8s.Exec(config).exec('js', 'waits', 'c', ['ls'], null, null, null, false).catch(() => { failed = true; });
        equal(failed, true);
    });
    await test('a deployment is scaled by its scale', async () => {
        await apps.createNamespacedDeployment({ ...ns, body: { metadata: { name: 'web' }, spec: { replicas: 0, selector: { matchLabels: { a: 'web' } },
            template: { metadata: { labels: { a: 'web' } }, spec: { schedulerName: 'nobody', containers: [{ name: 'c', image: 'i' }] } } } } });
        await apps.patchNamespacedDeploymentScale({ ...ns, name: 'web', body: { spec: { replicas: 1 } } },
            k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.MergePatch));
        equal((await apps.readNamespacedDeployment({ ...ns, name: 'web' })).spec.replicas, 1);
    });

    const extensions = config.makeApiClient(k8s.ApiextensionsV1Api);
    const custom = config.makeApiClient(k8s.CustomObjectsApi);
    const gadgets = { group: 'js.example.com', version: 'v1', namespace: 'js', plural: 'gadgets' };
    await test('a definition is made and established', async () => {
        await extensions.createCustomResourceDefinition({ body: { metadata: { name: 'gadgets.js.example.com' }, spec: { group: gadgets.group, scope: 'Namespaced',
            names: { plural: 'gadgets', singular: 'gadget', kind: 'Gadget', listKind: 'GadgetList' }, versions: [{ name: 'v1', served: true, storage: true,
                subresources: { status: {} }, schema: { openAPIV3Schema: { type: 'object', properties: { spec: { type: 'object', properties: {
                    size: { type: 'integer', _default: 3, minimum: 1 } } }, status: { type: 'object', properties: { ready: { type: 'boolean' } } } } } } }] } } });
        let conditions = [];
        for (const end = Date.now() + 30000; !conditions.some((c) => c.type === 'Established' && c.status === 'True') && Date.now() < end;)
            conditions = (await extensions.readCustomResourceDefinition({ name: 'gadgets.js.example.com' })).status?.conditions ?? [];
        equal(conditions.some((c) => c.type === 'Established' && c.status === 'True'), true);
    });
    const gadget = (name, spec) => ({ apiVersion: 'js.example.com/v1', kind: 'Gadget', metadata: { name }, spec });
    await test('a custom object gets its defaults', async () =>
        equal((await custom.createNamespacedCustomObject({ ...gadgets, body: gadget('g', {}) })).spec, { size: 3 }));
    await test('and is validated', async () => refused(422, () => custom.createNamespacedCustomObject({ ...gadgets, body: gadget('bad', { size: 0 }) })));
    await test('its status is written apart', async () => {
        await custom.patchNamespacedCustomObjectStatus({ ...gadgets, name: 'g', body: { spec: { size: 9 }, status: { ready: true } } },
            k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.MergePatch));
        const g = await custom.getNamespacedCustomObject({ ...gadgets, name: 'g' });
        equal([g.spec, g.status], [{ size: 3 }, { ready: true }]);
    });
    await test('it is listed and deleted', async () => {
        equal(names(await custom.listNamespacedCustomObject(gadgets)), ['g']);
        await custom.deleteNamespacedCustomObject({ ...gadgets, name: 'g' });
        equal(names(await custom.listNamespacedCustomObject(gadgets)), []);
        await extensions.deleteCustomResourceDefinition({ name: 'gadgets.js.example.com' });
    });
    const reviews = config.makeApiClient(k8s.AuthorizationV1Api);
    await test('a review of what the user may do', async () => equal((await reviews.createSelfSubjectAccessReview({ body: { spec: { resourceAttributes: {
        verb: 'delete', resource: 'pods', namespace: 'js' } } } })).status.allowed, true));
    await test('the version of the server', async () =>
        equal(/^v?\d+$/.test((await config.makeApiClient(k8s.VersionApi).getCode()).major), true));
    await test('a collection is deleted by its labels', async () => {
        await core.deleteCollectionNamespacedConfigMap({ ...ns, labelSelector: 'set=more' });
        equal(names(await core.listNamespacedConfigMap({ ...ns, labelSelector: 'set=more' })), []);
    });
}
