/* Which Ingresses kingressd serves, and the names that kingressd and kreconciled share. */
#pragma once

#include "lib/json.h"

#define INGRESS_CONTROLLER "keelson.dev/ingress"
/* The pods of kingressd are in kube-system and have the label app.kubernetes.io/name. */
#define INGRESS_POD_NAME "kingressd"

/* Whether the IngressClass is one of keelson's controller and the Ingress belongs to it: it names
 * the class (or, as before there were classes, in an annotation), or it names none and the class is
 * the default one. */
bool ingress_class_has(const json_t *class, const json_t *ingress);
