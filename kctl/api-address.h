/* The address under which users reach the API, whichever machine answers (--api-address): an
 * address that keepalived moves between the machines of the control plane, or a name that the
 * administrator keeps. It is in the certificates, in the configuration (kapid.yaml) and in the
 * kubeconfigs of users and nodes. */
#pragma once

#include "kctl/machine.h"

enum api_address { API_ADDRESS_FLOATING, API_ADDRESS_NAME };
/* The word that removes it. */
#define API_ADDRESS_NONE "none"

/* Which it is; -EINVAL with p: neither. Pure. */
int api_address_kind(const char *text, struct problem *p);
/* The number of keepalived's virtual router, 1 to 255: the same on every machine. Pure. */
unsigned api_address_router(const char *address);

/* Of a machine of the control plane. */
struct api_place {
        struct machine *m;
        const char *hostname;
        const char *address; /* its own */
        const char *kept;    /* its own before; or NULL */
        const char *api;     /* --api-address; NULL: none */
        uint16_t port;
};
/* The URL for users. Caller frees; NULL when out of memory. */
char *api_place_url(const struct api_place *a);

/* Whether m, whose own address is given, can hold the address; with --packages keepalived is
 * installed where it is missing. ret_interface (NULL for a name) is freed by the caller. Changes
 * nothing else. */
int api_address_check(struct kctl *k, struct machine *m, const char *own, const char *api,
                char **ret_interface, struct problem *p);
/* Certificate, configuration and administrator's kubeconfig of the machine follow. 1 when a
 * certificate was signed. */
int api_address_follow(const struct api_place *a, struct problem *p);
/* keepalived there holds the address, or no longer (interface NULL). It takes it when kapid is
 * ready. */
int api_address_float(const struct api_place *a, const char *interface, struct problem *p);
