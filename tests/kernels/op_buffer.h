/* Device memory with guard zones on both sides, looked at whenever the contents are read. */
#pragma once
#include "kernels/kernels.h"

typedef struct {
  const PwBackend *backend;
  PwStream *stream;
  guchar *device; /* guard, shift, contents, guard */
  gsize bytes, shift;
} OpBuffer;

/* SHIFT bytes beyond the 64-byte alignment. */
void op_buffer_init (OpBuffer *, PwOpContext *, gsize bytes, gsize shift);
void op_buffer_clear (OpBuffer *);
void *op_buffer_data (const OpBuffer *);
void op_buffer_write (OpBuffer *, const void *contents);
void op_buffer_fill (OpBuffer *, guchar byte);
/* Fails the test if a guard zone was touched; contents may be NULL. */
void op_buffer_read (OpBuffer *, void *contents);
