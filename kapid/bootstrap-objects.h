/* The namespaces, roles and bindings that every cluster has, as YAML: kapid/bootstrap.yaml, made into
 * a C string at build time. */
#pragma once

extern const char bootstrap_objects[];
