/* A JSON document as a stream of events (yajl), for files too large for a tree. The reader sees
 * each object of one top-level array ("traceEvents") as a flat list of scalar fields, nested
 * objects as "args.bytes"; everything outside that array is given to `other` the same way. A null
 * is left out, as if its key were absent. */
#pragma once
#include <glib.h>

typedef struct {
  const char *path;   /* "ts", "args.action", "args.list[2]"; valid during the call */
  const char *string; /* NUL-terminated for strings, else NULL */
  double number;      /* numbers and booleans (0, 1), else 0 */
} PwStreamField;

typedef struct {
  /* One element of the array, its fields in file order. LINE is where it ends. An element that is a
   * scalar has one field with the path "". */
  gboolean (*element) (const PwStreamField *fields, gsize n_fields, gsize line, gpointer data,
                       GError **error);
  /* One scalar outside the array; path from the root. NULL: ignored. */
  gboolean (*other) (const PwStreamField *field, gsize line, gpointer data, GError **error);
} PwStreamHandlers;

/* Reads PATH in blocks; memory does not grow with the file. ARRAY names the top-level key of the
 * array; a document whose root is that array itself is accepted too. Errors: PW_JSON_ERROR_SYNTAX
 * with file and line (a file cut short too), PW_JSON_ERROR_MISSING_KEY where there is no such
 * array, PW_FILE_ERROR_READ, or what a handler returned. */
gboolean pw_stream_read (const char *path, const char *array, const PwStreamHandlers *handlers,
                         gpointer data, GError **error);
