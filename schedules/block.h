/* Memory for arrays of megabytes that are written from end to end: the lists of a schedule, the
 * times of a simulation. Huge pages where the system has them; and a block that was freed is kept
 * for the next one of about its size, since a process that simulates one plan after another would
 * otherwise wait for the kernel to clear the same memory again and again, a fifth of its time. What
 * is kept the kernel may take back at any time (MADV_FREE), and it is a limited amount. */
#pragma once
#include <glib.h>

/* Not cleared, aligned to a cache line at least. Ends the program where memory is out. */
gpointer pw_block_new (gsize bytes);
void pw_block_free (gpointer block);
