/* The verbs: each answers its request, now or after the store has. One file each. */
#pragma once

#include "kapid/http/request.h"

/* Runs the verb of a routed request. */
void verb_run(struct request *request);

void verb_get(struct request *request);
void verb_list(struct request *request);
void verb_watch(struct request *request);
void verb_create(struct request *request);
void verb_update(struct request *request);
void verb_patch(struct request *request);
void verb_delete(struct request *request);
void verb_delete_collection(struct request *request);
/* Kinds that are answered and not stored: reviews. */
void verb_review(struct request *request);
/* ... and metrics.k8s.io, made from what agents report. */
void verb_metrics(struct request *request);
/* ... and ComponentStatuses, made from what kapid knows about the control plane. */
void verb_components(struct request *request);

/* Subresources that are more than a part of the object. */
void verb_binding(struct request *request);
/* The older form: a Binding created in its namespace, with the pod's name. */
void verb_create_binding(struct request *request);
void verb_eviction(struct request *request);
void verb_token(struct request *request);
void verb_log(struct request *request);
/* exec, attach and portforward. */
void verb_stream(struct request *request);
/* Passes on to a pod, a service or a node what is below it. */
void verb_proxy(struct request *request);
void verb_usage(struct request *request);
