/* The settings file for registries (docs/images.md): mirrors, registries that speak plain HTTP,
 * certificates of own CAs. Pure but for reading the certificates. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

#define IMAGE_SETTINGS_FILE "/etc/keelson/registries.yaml"
enum { IMAGE_SETTINGS_SIZE_MAX = 1 << 20, IMAGE_MIRRORS_MAX = 16 };

/* Reads the file's text; "" is valid. *ret: a new reference to the document, checked:
 *
 *      {"registries": [{"match": "docker.io", "mirrors": [URL], "onlyMirrors": bool, "http": bool,
 *                       "ca": path of a file, "skipVerify": bool}]}
 *
 * -EINVAL with p, which names the line and the remedy. */
int image_settings_parse(const char *text, size_t n, json_t **ret, struct problem *p);

/* Replaces the files that "ca" names by their texts ("caText"), because the process that uses them
 * cannot read files. -EINVAL and errno with p, which names the file. Not pure. */
int image_settings_read_cas(json_t *settings, struct problem *p);

/* A place from which the image may be fetched. All strings are owned. */
struct image_endpoint {
        char *url;        /* "https://mirror.lan:5000" */
        char *host;       /* "mirror.lan:5000", for credentials */
        char *repository; /* there: below the path of the mirror's URL */
        char *ca_pem;     /* NULL: the machine's CAs */
        bool is_mirror;
        bool skip_verify; /* the certificate is not checked */
};
struct image_endpoints {
        struct image_endpoint *items;
        size_t count, allocated;
};
void image_endpoints_done(struct image_endpoints *e);
#define _cleanup_image_endpoints_ _cleanup_(image_endpoints_done)

/* Where to ask for registry/repository, in order: the mirrors of the entry with the longest
 * matching `match`, then the registry itself (not with `onlyMirrors`). docker.io is
 * registry-1.docker.io. localhost, 127.0.0.0/8 and [::1] are asked by plain HTTP unless an entry
 * says `http: false`. settings: of image_settings_parse(), or NULL. 0, -ENOMEM. */
int image_endpoints_of(const json_t *settings, const char *registry, const char *repository,
                struct image_endpoints *ret);
/* The certificates (PEM; NULL: the machine's CAs) that servers of this host are checked with, and
 * whether they are checked: for token services and redirects. Borrowed. */
const char *image_settings_ca(const json_t *settings, const char *host, bool *ret_skip_verify);
