#include "tests/kernels/op_buffer.h"
#include <string.h>

#define GUARD 128
#define GUARD_BYTE 0xA5

static gsize
whole (const OpBuffer *buffer) {
  return GUARD + buffer->shift + buffer->bytes + GUARD;
}

static void
upload (OpBuffer *buffer, const guchar *image) {
  GError *error = NULL;
  buffer->backend->copy_from_host (buffer->stream, buffer->device, image, whole (buffer), &error);
  g_assert_no_error (error);
}

static guchar *
download (OpBuffer *buffer) {
  GError *error = NULL;
  guchar *image = g_malloc (whole (buffer));
  buffer->backend->copy_to_host (buffer->stream, image, buffer->device, whole (buffer), &error);
  g_assert_no_error (error);
  buffer->backend->stream_synchronize (buffer->stream, &error);
  g_assert_no_error (error);
  return image;
}

void
op_buffer_init (OpBuffer *buffer, PwOpContext *context, gsize bytes, gsize shift) {
  GError *error = NULL;
  *buffer = (OpBuffer){
    .backend = context->backend, .stream = context->stream, .bytes = bytes, .shift = shift
  };
  buffer->device = buffer->backend->alloc (buffer->stream, whole (buffer), &error);
  g_assert_no_error (error);
  g_autofree guchar *image = g_malloc (whole (buffer));
  memset (image, GUARD_BYTE, whole (buffer));
  upload (buffer, image);
}

void
op_buffer_clear (OpBuffer *buffer) {
  if (buffer->device != NULL)
    buffer->backend->free (buffer->stream, buffer->device);
  buffer->device = NULL;
}

void *
op_buffer_data (const OpBuffer *buffer) {
  return buffer->device + GUARD + buffer->shift;
}

void
op_buffer_write (OpBuffer *buffer, const void *contents) {
  g_autofree guchar *image = download (buffer);
  memcpy (image + GUARD + buffer->shift, contents, buffer->bytes);
  upload (buffer, image);
}

void
op_buffer_fill (OpBuffer *buffer, guchar byte) {
  g_autofree guchar *contents = g_malloc (MAX (buffer->bytes, 1));
  memset (contents, byte, buffer->bytes);
  op_buffer_write (buffer, contents);
}

void
op_buffer_read (OpBuffer *buffer, void *contents) {
  g_autofree guchar *image = download (buffer);
  gsize begin = GUARD + buffer->shift, end = begin + buffer->bytes;
  for (gsize i = 0; i < whole (buffer); i++)
    if (i < begin || i >= end)
      g_assert_cmphex (image[i], ==, GUARD_BYTE);
  if (contents != NULL)
    memcpy (contents, image + begin, buffer->bytes);
}
