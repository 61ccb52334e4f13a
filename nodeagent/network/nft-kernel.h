/* The kernel's side of the table `inet keelson`: what is in it, and commits of elements. Blocks:
 * call it on a worker thread. */
#pragma once

#include "lib/map.h"
#include "nodeagent/network/nft-elements.h"

/* What is in the table beside its elements. Zero-initialise. */
struct nft_kernel {
        struct map *chains; /* name -> its number of rules (unsigned *) */
        struct map *sets;   /* names of sets and maps; values are not used */
};

/* Reads the chains and sets. 0, also when there is no table; a negative errno. */
int nft_kernel_read(struct nft_kernel *k);
void nft_kernel_done(struct nft_kernel *k);
/* Calls func for each element of a map or set; stops at its first error and returns it. 0, also
 * when the kernel has no such set. */
int nft_kernel_elements(const char *collection, model_element_func func, void *userdata);
/* Commits a closed batch. -EAGAIN: something else was committed meanwhile; else the kernel's error
 * for the first change that it refuses: nothing of the batch is done then. */
int nft_kernel_commit(const struct nft_batch *b);
