/* Reading in blocks, for the stream reader. */
#pragma once
#include "io/file.h"

/* Descriptor of PATH opened for reading ("-": standard input), -1 on error. */
int pw__file_open (const char *path, GError **error);
/* Bytes read into BUFFER, 0 at the end, -1 on error. */
gssize pw__file_read_block (int fd, const char *path, void *buffer, gsize bytes, GError **error);
/* Standard input stays open. */
void pw__file_close (int fd);
