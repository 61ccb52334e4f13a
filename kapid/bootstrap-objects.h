/* The namespaces, roles and bindings that every cluster has; YAML. */
#pragma once

extern const char bootstrap_objects[];
