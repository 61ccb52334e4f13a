/* The built-in kinds' documents as one JSON array; the definition is made at build time. */
#pragma once

#include <stddef.h>

extern const char kind_documents[];
extern const size_t kind_documents_size;
