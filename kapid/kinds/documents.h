/* The built-in kinds' documents (kapid/kinds/ *.yaml) as one JSON array; the definition is made at
 * build time by kinds-to-c.
 *
 * A document is a CustomResourceDefinition, or `kind: Definitions` with schemas that others name by
 * `$ref: core.v1.PodSpec`. Beside what a CustomResourceDefinition may say, ours say:
 *   - in a version, x-keelson: verbs (all when absent), stored (false: answered and forgotten),
 *     updateCreates (PUT makes a missing object), ownNameColumn (no Name column first), group (of
 *     the version, where it is not the document's), subresources (name, verbs, and the group,
 *     version, kind and schema of the body where it is another kind), empty (the structs and
 *     required lists that an object of Kubernetes' types has before anyone wrote a field; an empty
 *     spec and status when absent), initialStatus (the status of a new object: of kinds whose
 *     status is a struct in Kubernetes' types, which JSON never omits, with the counters that have
 *     no omitempty), old (true: kapid serves it only where --runtime-config names it; its columns,
 *     subresources, empty and initialStatus are the first version's);
 *   - for the kind as a whole, spec.x-keelson: the facts of the catalogue that all programs use
 *     (lib/client/kinds.h, made by kinds-to-c --facts). All may be absent:
 *       applyRank       order of applying, lower first: 0 namespaces, 1 CRDs, 2 and 3 what pods
 *                       name, 4 and 5 RBAC, 6 configuration, 7 services, 8 workloads, 9 jobs; 10
 *                       when absent. Up to 1, the rest is checked only after they are applied;
 *       podTemplate     path of the pod that it runs; "" for a pod itself;
 *       health          when an object is healthy: observed (path of the observed generation),
 *                       failed and ready (rules: {condition, reason, path, value, text}), otherwise
 *                       (what to say when no rule of ready holds), replicas (paths: wanted,
 *                       updated, current, available, and heldBack: the number that stays as it
 *                       was; manual: a rule for "people replace the pods");
 *       rollout         its changes are rolled out in steps (kctl rollout): paused (path),
 *                       revisions (plural of the kind that keeps them), revisionAnnotation or
 *                       revisionPath (where the revision's number is), templatePath (of the pod
 *                       template in a revision, where it is not the object's), hashLabel;
 *       followsOthers   objects are records about others and keep no namespace from being pruned;
 *       inEachNamespace names of objects that the control plane makes in every namespace;
 *       confidential    contents are neither shown nor hashed without a salt;
 *   - on a column, x-keelson-cell: the function that makes its cells (kapid/table/cells.c), or,
 * with a jsonPath, x-keelson-absent: the cell where the path finds nothing;
 *   - on a field, x-protobuf: its number, or [outer, inner] below an inlined message ([outer,
 *     inner, number] below one in another);
 *     x-kubernetes-patch-strategy and -merge-key as in Kubernetes' own documents;
 *   - on a definition, x-keelson-omits: the fields whose zero value (0, false, "", [], {}) is not
 *     kept: those that Kubernetes' own types tag with omitempty and hold by value;
 *   - on a field, x-keelson-no-effect: it is accepted without effect; the text says why. As
 *     {value, text}: only that value has no effect; as {except, text}: values that begin with one
 *     of the words of except have one. See lib/no-effect.h;
 *   - formats of our own for names: dns1123-label, qualified-name... (schema.h), quantity,
 * micro-time. Rules that a schema can't express are in kapid/strategy/. */
#pragma once

#include <stddef.h>

extern const char kind_documents[];
extern const size_t kind_documents_size;
