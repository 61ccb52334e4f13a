/* What loading the libraries has touched: a large part of a small daemon's resident memory. */
#pragma once

/* Releases the pages of this process's program and libraries that nobody can have written to; they
 * are mapped again from the page cache where they are used. For the end of the start. */
void library_pages_release(void);
