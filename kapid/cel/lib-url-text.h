/* URLs as Go's net/url reads them: what Kubernetes takes for one, and its parts. Pure. */
#pragma once

#include "kapid/cel/lib.h"

struct cel_url {
        struct cel_value scheme; /* in small letters */
        struct cel_value opaque; /* instead of all but query and fragment ("mailto:a@b") */
        struct cel_value user, password;
        bool has_user, has_password;
        struct cel_value host; /* with port, unescaped */
        struct cel_value path; /* escaped */
        struct cel_value query;
        bool has_query;
        struct cel_value fragment; /* escaped */
};

/* Parses an absolute URL or an absolute path. false with the error in *ret_error (Go's words). The
 * parts point into the text or the run's memory. */
bool cel_url_parse(struct cel_run *run, struct cel_value text, struct cel_url *ret,
                struct cel_value *ret_error);
/* A part of a query without its escapes ("+" is a blank); false when they are wrong, with no error
 * but that there is no memory. What is no UTF-8 is replaced. */
bool cel_url_unescape_query(struct cel_run *run, struct cel_value part, struct cel_value *ret);
/* ":80" or "" */
bool cel_url_is_port(struct cel_value text);
