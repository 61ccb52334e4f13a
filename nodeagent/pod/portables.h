/* The images of portable services that pods have attached (annotation unit.keelson.dev/portable).
 * A file for each pod in PORTABLES_DIR names its image: it is there before the image is attached,
 * and goes when it is detached, so that none stays behind whenever the agent ends. */
#pragma once

#include "nodeagent/agent.h"

#define PORTABLES_DIR AGENT_RUN_DIR "/portable"

struct pod;
struct portables;

int portables_new(struct portables **ret, struct agent *agent);
struct portables *portables_free(struct portables *s);
DEFINE_CLEANUP(struct portables *, portables_free);
/* The image of a pod: 1 when it is attached, or the pod has none; 0: not yet, the pod is woken;
 * -EAGAIN with p: it failed, and is tried again. */
int portables_prepare(struct pod *pod, struct problem *p);
/* The pod's units have ended: its image is detached. */
void portables_leave(struct portables *s, const char *uid);
/* The same for the images of all pods that are no longer here. */
void portables_sweep(struct portables *s);
