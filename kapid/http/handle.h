/* The HTTP server's callbacks: a request's way through kapid. userdata: struct api. */
#pragma once

#include "lib/http-server.h"

/* Authenticates and authorizes, before the body is read. */
enum http_admission api_admit(struct http_request *http, void *userdata);
/* Carries out the request. */
void api_handle(struct http_request *http, void *userdata);
/* Refusals that the HTTP server makes on its own. */
void api_reject(struct http_request *http, int code, const char *why, void *userdata);
