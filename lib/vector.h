/* One growing array. A vector is any struct with the members `T *items; size_t count, allocated;`;
 * VECTOR(T) declares one, zeroed memory is the empty one. The macros below keep the type of the
 * items, grow geometrically, and evaluate each argument once. */
#pragma once

#include "lib/base.h"

#define VECTOR(type) \
        struct { \
                type *items; \
                size_t count, allocated; \
        }

/* Memory for `count` items of `size` bytes: `items` itself when *allocated says that they fit, else
 * larger memory with the same contents (`items` is freed then, and *allocated set). NULL when out
 * of memory or when the size overflows: `items` stays valid and unchanged. For the macros. */
void *vector_grown(void *items, size_t *allocated, size_t count, size_t size) _warn_unused_;

/* Makes room for `more` further items. 0 or -ENOMEM (nothing changed). */
#define vector_reserve(vector, more) \
        ({ \
                typeof(vector) _r = (vector); \
                size_t _more = (more); \
                void *_grown = _more > SIZE_MAX - _r->count \
                                               ? NULL \
                                               : vector_grown((void *)_r->items, &_r->allocated, \
                                                                 _r->count + _more, \
                                                                 sizeof(*_r->items)); \
                if (_grown) \
                        _r->items = _grown; \
                _grown || _more == 0 ? 0 : -ENOMEM; \
        })

/* Adds an item at the end. 0 or -ENOMEM; the caller keeps what it wanted to add then. */
#define vector_append(vector, item) \
        ({ \
                typeof(vector) _a = (vector); \
                int _result = vector_reserve(_a, 1); \
                if (_result >= 0) \
                        _a->items[_a->count++] = (item); \
                _result; \
        })

/* Adds an item before index `at` (at most count); the items from there on move up. 0 or -ENOMEM. */
#define vector_insert(vector, at, item) \
        ({ \
                typeof(vector) _i = (vector); \
                size_t _at = (at); \
                assert(_at <= _i->count); \
                int _result = vector_reserve(_i, 1); \
                if (_result >= 0) { \
                        memmove(_i->items + _at + 1, _i->items + _at, \
                                        (_i->count - _at) * sizeof(*_i->items)); \
                        _i->items[_at] = (item); \
                        _i->count++; \
                } \
                _result; \
        })

/* Takes the item at index `at` out, in order; what it owns is the caller's. */
#define vector_remove(vector, at) \
        ({ \
                typeof(vector) _d = (vector); \
                size_t _at = (at); \
                assert(_at < _d->count); \
                _d->count--; \
                memmove(_d->items + _at, _d->items + _at + 1, \
                                (_d->count - _at) * sizeof(*_d->items)); \
        })

/* The same without keeping the order: the last item takes the place. */
#define vector_remove_unordered(vector, at) \
        ({ \
                typeof(vector) _d = (vector); \
                size_t _at = (at); \
                assert(_at < _d->count); \
                _d->items[_at] = _d->items[--_d->count]; \
        })

/* Frees the array; what the items own goes before. The vector is empty after it. */
#define vector_done(vector) \
        ({ \
                typeof(vector) _f = (vector); \
                free((void *)_f->items); \
                _f->items = NULL; \
                _f->count = _f->allocated = 0; \
        })
