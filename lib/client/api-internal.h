/* Shared by the files of lib/client/; private to them. */
#pragma once

#include "lib/client/api.h"

struct recorder;

sd_event *api_client_event(const struct api_client *c);
/* The part of the user agent before '/'. */
const char *api_client_manager(const struct api_client *c);
/* NULL: none was set. */
const char *api_client_host(const struct api_client *c);
/* Headers that every request carries (on behalf of whom it is), ended by a NULL name; NULL: none.
 */
const struct http_header *api_client_headers(const struct api_client *c);
/* Maps an answer on an error as api.h says, p filled; 0 for 2xx. */
int api_result_error(const struct http_result *result, struct problem *p);

/* Events about objects (events.c). */
struct recorder *recorder_new(void);
struct recorder *recorder_free(struct recorder *r);
struct recorder *api_client_recorder(const struct api_client *c);
