/* Answers in protobuf (docs/wire.md section 4): what goes around the messages of objects
 * (kapid/schema/protobuf.h). Lists are written as their items come: the head, which needs to know
 * their size, last. All texts are JSON of the server's own. Errors: -EINVAL: a text is no object of
 * the type, -ENOMEM. */
#pragma once

#include "kapid/kinds/kind.h"
#include "lib/buf.h"

#define PROTOBUF_MEDIA_TYPE "application/vnd.kubernetes.protobuf"
#define PROTOBUF_WATCH_MEDIA_TYPE PROTOBUF_MEDIA_TYPE ";stream=watch"

/* What a message is: the type that its envelope names, and its fields. Everything is borrowed. */
struct message_type {
        const char *group; /* "": apiVersion is the version alone */
        const char *version;
        const char *kind;
        const struct schema *schema;
};
/* Whether objects of that schema have a protobuf form: those of definitions have none. */
bool schema_has_protobuf(const struct schema *s);
bool kind_has_protobuf(const struct kind *k);
/* The kind's whole objects. */
struct message_type message_of_kind(const struct kind *k);
/* Status, and PartialObjectMetadata of that version of meta.k8s.io. */
struct message_type message_of_status(const struct kind_registry *registry);
struct message_type message_of_metadata(const struct kind_registry *registry, const char *version);

/* What to say after -EINVAL: 500 in p. path: of the item, "namespace/name". */
int encode_refused(struct problem *p, const struct kind *k, const char *path);

/* A whole answer. */
int encode_answer(struct buf *b, const struct message_type *t, const char *text, size_t n);
/* The same from the text of a list, as `kind`: its items are of that type. */
int encode_list(struct buf *b, const struct message_type *items, const char *list_kind,
                const char *text, size_t n);

/* A list in parts: items, then what stands before and behind all of them. */
int encode_item(struct buf *b, const struct message_type *t, const char *text, size_t n);
struct list_facts {
        uint64_t revision;
        const char *continue_token; /* NULL: it is whole */
        uint64_t remaining;         /* 0: not known */
};
int encode_list_head(struct buf *b, const struct message_type *items, const char *list_kind,
                const struct list_facts *facts, size_t items_size);
int encode_list_tail(struct buf *b);

/* An event of a watch: a frame. word: "ADDED"... */
int encode_event(struct buf *b, const char *word, const struct message_type *t, const char *text,
                size_t n);
