/* Readable forms for kctl describe. A form is a list of rows; a row is a title and a text with
 * places {path} or {path|default}. A row with a place that the object does not fill, and that has
 * no default, is left out. A kind gets a form by its rows in `forms`; every other kind is shown as
 * it is (describe.c). */
#include "kctl/describe-forms.h"

#include "lib/object.h"
#include "lib/plain.h"

enum { COLUMN = 22, DEPTH_MAX = 6, VALUE_SIZE_MAX = 400 };

struct row {
        const char *title;
        const char *text;  /* of the object; of each item where `each` is set */
        const char *each;  /* path of a list: a line for each item, below each other */
        const char *none;  /* what an empty or absent list shows; NULL: the row is left out */
        const char *inner; /* path of a list in the item: a line for each, after the item's own */
        const char *inner_text;
};

static const struct row deployment_rows[] = {
                {"Selector", "{spec.selector|<none>}"},
                {"Replicas", "{spec.replicas|1} desired | {status.updatedReplicas|0} updated | "
                             "{status.replicas|0} total | {status.availableReplicas|0} available | "
                             "{status.unavailableReplicas|0} unavailable"},
                {"Paused", "{spec.paused}"},
                {"StrategyType", "{spec.strategy.type}"},
                {"RollingUpdateStrategy", "{spec.strategy.rollingUpdate.maxUnavailable} max "
                                          "unavailable, {spec.strategy.rollingUpdate.maxSurge} max "
                                          "surge"},
                {"MinReadySeconds", "{spec.minReadySeconds|0}"},
                {"ProgressDeadline", "{spec.progressDeadlineSeconds} s"},
                {0},
};

static const struct row replicas_rows[] = {
                {"Controlled By", "{kind}/{name}", .each = "metadata.ownerReferences"},
                {"Selector", "{spec.selector|<none>}"},
                {"Replicas", "{status.replicas|0} current / {spec.replicas|1} desired"},
                {"Ready", "{status.readyReplicas|0} ready, {status.availableReplicas|0} available"},
                {0},
};

static const struct row statefulset_rows[] = {
                {"Selector", "{spec.selector|<none>}"},
                {"Service", "{spec.serviceName}"},
                {"Replicas", "{spec.replicas|1} desired | {status.replicas|0} total | "
                             "{status.readyReplicas|0} ready | {status.updatedReplicas|0} updated"},
                {"First Ordinal", "{spec.ordinals.start}"},
                {"Pod Management", "{spec.podManagementPolicy}"},
                {"Update Strategy", "{spec.updateStrategy.type}"},
                {"Partition", "{spec.updateStrategy.rollingUpdate.partition}"},
                {"Max Unavailable", "{spec.updateStrategy.rollingUpdate.maxUnavailable}"},
                {"Revisions", "{status.currentRevision} now, {status.updateRevision} wanted"},
                {"Claims", "{spec.persistentVolumeClaimRetentionPolicy.whenDeleted} when deleted, "
                           "{spec.persistentVolumeClaimRetentionPolicy.whenScaled} when scaled"},
                {"Volume Claims",
                                "{metadata.name}: {spec.resources.requests.storage|no size} of "
                                "class {spec.storageClassName|<default>}, {spec.accessModes|}",
                                .each = "spec.volumeClaimTemplates"},
                {0},
};

static const struct row daemonset_rows[] = {
                {"Selector", "{spec.selector|<none>}"},
                {"Node-Selector", "{spec.template.spec.nodeSelector|<none>}"},
                {"Desired", "{status.desiredNumberScheduled|0} nodes"},
                {"Scheduled", "{status.currentNumberScheduled|0} | "
                              "{status.updatedNumberScheduled|0} up-to-date | "
                              "{status.numberAvailable|0} available | {status.numberReady|0} ready | "
                              "{status.numberMisscheduled|0} misscheduled"},
                {"Update Strategy", "{spec.updateStrategy.type}"},
                {"Rolling Update",
                                "{spec.updateStrategy.rollingUpdate.maxUnavailable} max "
                                "unavailable, {spec.updateStrategy.rollingUpdate.maxSurge|0} max "
                                "surge"},
                {0},
};

static const struct row job_rows[] = {
                {"Controlled By", "{kind}/{name}", .each = "metadata.ownerReferences"},
                {"Selector", "{spec.selector|<none>}"},
                {"Parallelism", "{spec.parallelism|<unset>}"},
                {"Completions", "{spec.completions|<unset>}"},
                {"Completion Mode", "{spec.completionMode}"},
                {"Suspend", "{spec.suspend}"},
                {"Managed By", "{spec.managedBy}"},
                {"Backoff Limit", "{spec.backoffLimit}"},
                {"Limit Per Index", "{spec.backoffLimitPerIndex}, {spec.maxFailedIndexes|any} "
                                    "indexes may fail"},
                {"Active Deadline", "{spec.activeDeadlineSeconds} s"},
                {"TTL After Finished", "{spec.ttlSecondsAfterFinished} s"},
                {"Failure Policy", "{action}: {onExitCodes|}{onPodConditions|}",
                                .each = "spec.podFailurePolicy.rules"},
                {"Success Policy", "{.}", .each = "spec.successPolicy.rules"},
                {"Start Time", "{status.startTime}"},
                {"Completed At", "{status.completionTime}"},
                {"Pods Statuses", "{status.active|0} Active ({status.ready|0} Ready) / "
                                  "{status.succeeded|0} Succeeded / {status.failed|0} Failed"},
                {"Completed Indexes", "{status.completedIndexes}"},
                {"Failed Indexes", "{status.failedIndexes}"},
                {0},
};

static const struct row cronjob_rows[] = {
                {"Schedule", "{spec.schedule}"},
                {"Time Zone", "{spec.timeZone|<unset>}"},
                {"Concurrency Policy", "{spec.concurrencyPolicy}"},
                {"Suspend", "{spec.suspend|false}"},
                {"History Limits", "{spec.successfulJobsHistoryLimit|<unset>} successful, "
                                   "{spec.failedJobsHistoryLimit|<unset>} failed"},
                {"Starting Deadline", "{spec.startingDeadlineSeconds|<unset>} seconds"},
                {"Parallelism", "{spec.jobTemplate.spec.parallelism|<unset>}"},
                {"Completions", "{spec.jobTemplate.spec.completions|<unset>}"},
                {"Last Schedule Time", "{status.lastScheduleTime|<unset>}"},
                {"Last Successful Time", "{status.lastSuccessfulTime|<unset>}"},
                {"Active Jobs", "{name}", .each = "status.active", .none = "<none>"},
                {0},
};

static const struct row budget_rows[] = {
                {"Min available", "{spec.minAvailable}"},
                {"Max unavailable", "{spec.maxUnavailable}"},
                {"Selector", "{spec.selector|<none>}"},
                {"Unhealthy Pods", "{spec.unhealthyPodEvictionPolicy}"},
                {"Allowed disruptions", "{status.disruptionsAllowed|0}"},
                {"Current", "{status.currentHealthy|0}"},
                {"Desired", "{status.desiredHealthy|0}"},
                {"Total", "{status.expectedPods|0}"},
                {"Disrupted Pods", "{status.disruptedPods}"},
                {0},
};

static const struct row volume_rows[] = {
                {"Finalizers", "{metadata.finalizers}"},
                {"StorageClass", "{spec.storageClassName|}"},
                {"Status", "{status.phase|<unset>}"},
                {"Claim", "{spec.claimRef.namespace}/{spec.claimRef.name}"},
                {"Reclaim Policy", "{spec.persistentVolumeReclaimPolicy}"},
                {"Access Modes", "{spec.accessModes}"},
                {"VolumeMode", "{spec.volumeMode}"},
                {"Capacity", "{spec.capacity.storage}"},
                {"Mount Options", "{spec.mountOptions}"},
                {"Node Affinity", "{matchExpressions|}",
                                .each = "spec.nodeAffinity.required.nodeSelectorTerms"},
                {"Reason", "{status.reason}"},
                {"Message", "{status.message}"},
                {"Source", "local: {spec.local}"},
                {"Source", "nfs: {spec.nfs}"},
                {"Source", "hostPath: {spec.hostPath}"},
                {"Source", "csi: {spec.csi}"},
                {0},
};

static const struct row claim_rows[] = {
                {"StorageClass", "{spec.storageClassName|}"},
                {"Status", "{status.phase|<unset>}"},
                {"Volume", "{spec.volumeName|}"},
                {"Finalizers", "{metadata.finalizers}"},
                {"Requested", "{spec.resources.requests.storage}"},
                {"Capacity", "{status.capacity.storage|}"},
                {"Access Modes", "{spec.accessModes}"},
                {"VolumeMode", "{spec.volumeMode}"},
                {"Volume Selector", "{spec.selector}"},
                {"Data Source", "{spec.dataSourceRef}"},
                {0},
};

static const struct row ingress_rows[] = {
                {"Address", "{ip|}{hostname|}", .each = "status.loadBalancer.ingress", .none = ""},
                {"Ingress Class", "{spec.ingressClassName|<none>}"},
                {"Default backend", "{spec.defaultBackend.service.name}:"
                                    "{spec.defaultBackend.service.port.name|}"
                                    "{spec.defaultBackend.service.port.number|}"},
                {"Default backend", "{spec.defaultBackend.resource}"},
                {"TLS", "{secretName|SNI routes} terminates {hosts|every host}",
                                .each = "spec.tls"},
                {"Rules", "{host|*}", .each = "spec.rules", .none = "<none>", .inner = "http.paths",
                                .inner_text = "{path|/}   {backend.service.name|}"
                                              "{backend.resource|}:{backend.service.port.name|}"
                                              "{backend.service.port.number|} ({pathType})"},
                {0},
};

static const struct row container_rows[] = {
                {"Image", "{image|}"},
                {"Ports", "{containerPort}/{protocol|TCP} {name|}", .each = "ports"},
                {"Command", "{command}"},
                {"Args", "{args}"},
                {"Restart Policy", "{restartPolicy}"},
                {"Limits", "{resources.limits}"},
                {"Requests", "{resources.requests}"},
                {"Liveness", "{livenessProbe}"},
                {"Readiness", "{readinessProbe}"},
                {"Startup", "{startupProbe}"},
                {"Environment From", "{.}", .each = "envFrom"},
                {"Environment", "{name}: {value|}{valueFrom|}", .each = "env", .none = "<none>"},
                {"Mounts", "{mountPath} from {name}", .each = "volumeMounts", .none = "<none>"},
                {0},
};

static const struct row pod_rows[] = {
                {"Service Account", "{serviceAccountName}"},
                {"Priority Class", "{priorityClassName}"},
                {"Host Network", "{hostNetwork}"},
                {"Volumes", "{.}", .each = "volumes", .none = "<none>"},
                {"Node-Selectors", "{nodeSelector|<none>}"},
                {"Affinity", "{affinity}"},
                {"Topology Spread", "{.}", .each = "topologySpreadConstraints"},
                {"Tolerations", "{key|every taint} {operator|Equal} {value|} {effect|}",
                                .each = "tolerations", .none = "<none>"},
                {0},
};

static const struct form {
        const char *group, *kind;
        const struct row *rows;
        const char *template; /* path of the pod template; NULL: none */
} forms[] = {
                {"apps", "Deployment", deployment_rows, "spec.template"},
                {"apps", "ReplicaSet", replicas_rows, "spec.template"},
                {"", "ReplicationController", replicas_rows, "spec.template"},
                {"apps", "StatefulSet", statefulset_rows, "spec.template"},
                {"apps", "DaemonSet", daemonset_rows, "spec.template"},
                {"batch", "Job", job_rows, "spec.template"},
                {"batch", "CronJob", cronjob_rows, "spec.jobTemplate.spec.template"},
                {"policy", "PodDisruptionBudget", budget_rows, NULL},
                {"", "PersistentVolume", volume_rows, NULL},
                {"", "PersistentVolumeClaim", claim_rows, NULL},
                {"networking.k8s.io", "Ingress", ingress_rows, NULL},
};

static void put_value(struct buf *b, const json_t *v, unsigned depth);

/* key=value,key=value: labels, amounts and the like. */
static void put_members(struct buf *b, const json_t *o, unsigned depth) {
        const char *key;
        json_t *v;
        bool first = true;

        json_object_each (o, key, v) {
                buf_printf(b, "%s%s=", first ? "" : ",", key);
                put_value(b, v, depth + 1);
                first = false;
        }
}

/* "a=b,c in (d,e)": matchLabels, then the expressions. */
static void put_selector(struct buf *b, const json_t *selector) {
        const json_t *labels = json_object_get(selector, "matchLabels"),
                     *list = json_object_get(selector, "matchExpressions"), *e;
        bool some = json_object_size(labels) > 0;
        size_t i;

        if (!some && json_array_size(list) == 0)
                buf_append_str(b, "<none>");
        put_members(b, labels, DEPTH_MAX - 1);
        json_array_foreach (list, i, e) {
                if (some || i > 0)
                        buf_append_char(b, ',');
                put_value(b, e, DEPTH_MAX - 1);
        }
}

/* Requirements of selectors: "zone in (a,b)", "!old", "gpu". */
static bool put_requirement(struct buf *b, const json_t *o) {
        const char *key = json_str(o, "key"), *operator= json_str(o, "operator");
        const json_t *values = json_object_get(o, "values"), *v;
        size_t i;

        if (!key || !operator|| json_object_get(o, "effect"))
                return false;
        if (streq(operator, "Exists") || streq(operator, "DoesNotExist")) {
                buf_printf(b, "%s%s", *operator== 'D' ? "!" : "", key);
                return true;
        }
        buf_printf(b, "%s %s (", key,
                        streq(operator, "In")      ? "in"
                        : streq(operator, "NotIn") ? "notin"
                                                   :
                                                   operator);
        json_array_foreach (values, i, v)
                buf_printf(b, "%s%s", i > 0 ? "," : "", strempty(json_string_value(v)));
        buf_append_char(b, ')');
        return true;
}

static void put_value(struct buf *b, const json_t *v, unsigned depth) {
        const json_t *item;
        size_t i;

        if (depth > DEPTH_MAX)
                buf_append_str(b, "...");
        else if (json_is_string(v))
                buf_append_str(b, json_string_value(v));
        else if (json_is_array(v)) {
                json_array_foreach (v, i, item) {
                        buf_append_str(b, i > 0 ? ", " : "");
                        put_value(b, item, depth + 1);
                }
        } else if (!json_is_object(v)) {
                _cleanup_free_ char *text = json_text(v);

                buf_append_str(b, strempty(text));
        } else if (json_object_get(v, "matchLabels") || json_object_get(v, "matchExpressions"))
                put_selector(b, v);
        else if (!put_requirement(b, v)) {
                buf_append_str(b, depth > 0 ? "(" : "");
                put_members(b, v, depth);
                buf_append_str(b, depth > 0 ? ")" : "");
        }
}

static bool is_empty(const json_t *v) {
        return !v || json_is_null(v) || (json_is_object(v) && json_object_size(v) == 0) ||
               (json_is_array(v) && json_array_size(v) == 0) ||
               (json_is_string(v) && json_string_length(v) == 0);
}

/* Fills the places of a text. 1, or 0 when one of them is empty and has no default. */
static int fill(struct buf *b, const char *text, const json_t *o) {
        for (const char *open; (open = strchr(text, '{')); text = strchr(open, '}') + 1) {
                size_t n = strcspn(open + 1, "|}");
                const char *after = open + 1 + n, *end = strchr(open, '}');
                _cleanup_free_ char *path = strndup(open + 1, n);
                const json_t *v = !path ? NULL : streq(path, ".") ? o : json_at(o, path);

                if (!path)
                        return -ENOMEM;
                buf_append(b, text, (size_t)(open - text));
                if (!is_empty(v))
                        put_value(b, v, 0);
                else if (*after == '|')
                        buf_append(b, after + 1, (size_t)(end - after - 1));
                else
                        return 0;
        }
        buf_append_str(b, text);
        return b->failed ? -ENOMEM : 1;
}

/* A line with what the object says, made safe and cut where it is long. */
static int put_line(struct buf *b, unsigned indent, const char *text) {
        size_t n = strlen(text);
        _cleanup_free_ char *shown = plain_copy(text, MIN(n, (size_t)VALUE_SIZE_MAX), PLAIN_LINE);

        if (!shown)
                return -ENOMEM;
        for (size_t end = strlen(shown); end > 0 && shown[end - 1] == ' '; end--)
                shown[end - 1] = 0;
        return buf_printf(b, "%*s%s%s\n", *shown ? (int)indent : 0, "", shown,
                        n > VALUE_SIZE_MAX ? "..." : "");
}

static void put_title(struct buf *b, unsigned indent, const char *title) {
        size_t used = indent + strlen(title) + 1;

        buf_printf(b, "%*s%s:%*s", (int)indent, "", title, used < COLUMN ? (int)(COLUMN - used) : 1,
                        "");
}

static int put_inner(struct buf *b, const struct row *row, const json_t *item, unsigned column) {
        const json_t *v;
        size_t i;

        json_array_foreach (row->inner ? json_at(item, row->inner) : NULL, i, v) {
                _cleanup_buf_ struct buf line = {0};
                int r = fill(&line, row->inner_text, v);

                if (r > 0)
                        r = put_line(b, column + 2, strempty(line.data));
                if (r < 0)
                        return r;
        }
        return 0;
}

static int put_list(struct buf *b, const struct row *row, const json_t *list, unsigned indent) {
        const json_t *item;
        size_t i, lines = 0;
        int r;

        json_array_foreach (list, i, item) {
                _cleanup_buf_ struct buf line = {0};

                r = fill(&line, row->text, item);
                if (r < 0)
                        return r;
                if (r == 0)
                        continue;
                if (lines++ == 0)
                        put_title(b, indent, row->title);
                r = put_line(b, lines == 1 ? 0 : COLUMN, strempty(line.data));
                if (r < 0)
                        return r;
                r = put_inner(b, row, item, COLUMN);
                if (r < 0)
                        return r;
        }
        if (lines > 0 || !row->none)
                return 0;
        put_title(b, indent, row->title);
        return put_line(b, 0, row->none);
}

static int put_rows(struct buf *b, const struct row *rows, const json_t *o, unsigned indent) {
        int r;

        for (; rows->title; rows++) {
                _cleanup_buf_ struct buf line = {0};

                if (rows->each) {
                        r = put_list(b, rows, json_at(o, rows->each), indent);
                        if (r < 0)
                                return r;
                        continue;
                }
                r = fill(&line, rows->text, o);
                if (r < 0)
                        return r;
                if (r == 0)
                        continue;
                put_title(b, indent, rows->title);
                r = put_line(b, 0, strempty(line.data));
                if (r < 0)
                        return r;
        }
        return 0;
}

static int put_containers(struct buf *b, const char *title, const json_t *list) {
        const json_t *c;
        size_t i;
        int r;

        if (json_array_size(list) > 0)
                buf_printf(b, "  %s:\n", title);
        json_array_foreach (list, i, c) {
                _cleanup_free_ char *name = strformat("%s:", json_str_or(c, "name", ""));

                r = name ? put_line(b, 4, name) : -ENOMEM;
                if (r < 0)
                        return r;
                r = put_rows(b, container_rows, c, 6);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int put_template(struct buf *b, const json_t *template) {
        static const struct row labels[] = {
                        {"Labels", "{metadata.labels|<none>}"},
                        {"Annotations", "{metadata.annotations}"},
                        {0},
        };
        const json_t *spec = json_object_get(template, "spec");
        int r;

        buf_append_str(b, "Pod Template:\n");
        r = put_rows(b, labels, template, 2);
        if (r < 0)
                return r;
        r = put_containers(b, "Init Containers", json_object_get(spec, "initContainers"));
        if (r < 0)
                return r;
        r = put_containers(b, "Containers", json_object_get(spec, "containers"));
        return r < 0 ? r : put_rows(b, pod_rows, spec, 2);
}

int describe_form(const json_t *o, struct buf *b) {
        char group[OBJECT_GROUP_SIZE], version[OBJECT_VERSION_SIZE];
        int r = object_split_api_version(object_api_version(o), group, version);

        for (size_t i = 0; r >= 0 && i < ELEMENTS(forms); i++) {
                const struct form *f = &forms[i];

                if (!streq(f->group, group) || !streq(f->kind, object_kind(o)))
                        continue;
                r = put_rows(b, f->rows, o, 0);
                if (r < 0)
                        return r;
                r = f->template ? put_template(b, json_at(o, f->template)) : 0;
                if (r < 0)
                        return r;
                return b->failed ? -ENOMEM : 1;
        }
        return 0;
}

char *describe_pod_counts(const json_t *pods, const char *uid) {
        static const char *const phases[] = {"Running", "Pending", "Succeeded", "Failed"};
        size_t counts[ELEMENTS(phases)] = {0}, i;
        const json_t *pod;

        json_array_foreach (pods, i, pod) {
                if (!streq(json_str_or(object_controller_ref(pod), "uid", ""), uid))
                        continue;
                for (size_t p = 0; p < ELEMENTS(phases); p++)
                        counts[p] += streq(json_str_or(pod, "status.phase", ""), phases[p]);
        }
        return strformat("%zu Running / %zu Waiting / %zu Succeeded / %zu Failed", counts[0],
                        counts[1], counts[2], counts[3]);
}

bool describe_pod_uses_claim(const json_t *pod, const char *claim) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(pod, "spec.volumes"), i, v) {
                _cleanup_free_ char *ephemeral =
                                strformat("%s-%s", object_name(pod), json_str_or(v, "name", ""));

                if (streq(json_str_or(v, "persistentVolumeClaim.claimName", ""), claim) ||
                                (json_object_get(v, "ephemeral") &&
                                                streq(strempty(ephemeral), claim)))
                        return true;
        }
        return false;
}
