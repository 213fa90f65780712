#include "exec/checkpoint.h"
#include "exec/processes_private.h"
#include "io/file.h"

#include <jansson.h>
#include <stdlib.h>

#define LENGTH_BYTES 8
#define HEADER_BYTES_MAX (INT64_C (1) << 30)

GQuark
pw_checkpoint_error_quark (void) {
  return g_quark_from_static_string ("pw-checkpoint-error-quark");
}

/* ---- The tensors of an executor, in the order of the file ---- */

typedef struct {
  char *name;
  int layer, index;
  int slot; /* of the optimiser; -1: the parameter itself */
  const PwShape *shape;
  int64_t offset, bytes;
} Entry;

static void
entry_clear (gpointer data) {
  g_free (((Entry *)data)->name);
}

static void
add_entries (const PwGraph *graph, int slot, GArray *entries) {
  for (int l = 0; l < graph->n_layers; l++) {
    const PwLayer *layer = &graph->layers[l];
    for (int p = layer->shares_with >= 0 ? 1 : 0; p < layer->info.n_parameters; p++) {
      const PwLayerParameter *parameter = &layer->info.parameters[p];
      Entry entry = { .layer = l, .index = p, .slot = slot, .shape = &parameter->shape };
      entry.name = slot < 0
                       ? g_strdup_printf ("%s.%s", layer->name, parameter->name)
                       : g_strdup_printf ("optimizer.%d.%s.%s", slot, layer->name, parameter->name);
      entry.bytes = pw_shape_elements (&parameter->shape) * (int64_t)sizeof (float);
      if (entries->len > 0) {
        const Entry *last = &g_array_index (entries, Entry, entries->len - 1);
        entry.offset = last->offset + last->bytes;
      }
      g_array_append_val (entries, entry);
    }
  }
}

static GArray *
list_entries (const PwExec *exec) {
  GArray *entries = g_array_new (FALSE, FALSE, sizeof (Entry));
  g_array_set_clear_func (entries, entry_clear);
  int slots = exec->is_training ? pw__optimizer_slots (&exec->resolved->optimizer) : 0;
  for (int slot = -1; slot < slots; slot++)
    add_entries (exec->resolved->graph, slot, entries);
  return entries;
}

static json_t *
shape_to_json (const PwShape *shape) {
  json_t *dims = json_array ();
  for (int i = 0; i < shape->n_dims; i++)
    json_array_append_new (dims, json_integer (shape->dims[i]));
  return dims;
}

/* ---- Saving ---- */

/* All stages have had the same, those of other processes there. */
static int64_t
count_updates (const PwExec *exec) {
  for (int s = 0; s < exec->n_places; s++)
    if (pw__exec_has_rank (exec, exec->stages[s].rank))
      return exec->stages[s].n_updates;
  return 0;
}

/* Padded with spaces, so that the tensors begin on a multiple of 8 bytes. */
static char *
make_header (const PwExec *exec, const GArray *entries) {
  g_autofree char *updates = g_strdup_printf ("%" G_GINT64_FORMAT, count_updates (exec));
  g_autofree char *version = g_strdup_printf ("%d", PW_CHECKPOINT_VERSION);
  g_autofree char *steps = g_strdup_printf ("%" G_GINT64_FORMAT, exec->n_steps);
  json_t *header
      = json_pack ("{s:{s:s, s:s, s:s, s:s}}", "__metadata__", "pipewright_version", version,
                   "updates", updates, "steps", steps, "model", exec->resolved->graph->name);
  for (guint i = 0; i < entries->len; i++) {
    const Entry *entry = &g_array_index (entries, Entry, i);
    json_object_set_new (header, entry->name,
                         json_pack ("{s:s, s:o, s:[I, I]}", "dtype", "F32", "shape",
                                    shape_to_json (entry->shape), "data_offsets",
                                    (json_int_t)entry->offset,
                                    (json_int_t)(entry->offset + entry->bytes)));
  }
  char *text = json_dumps (header, JSON_COMPACT | JSON_PRESERVE_ORDER);
  json_decref (header);
  gsize length = strlen (text), padded = (length + 7) / 8 * 8;
  char *result = g_malloc (padded + 1);
  memset (result, ' ', padded);
  memcpy (result, text, length);
  result[padded] = 0;
  free (text); /* jansson's */
  return result;
}

static gboolean
get_values (PwExec *exec, const Entry *entry, float *values, GError **error) {
  return entry->slot < 0
             ? pw__exec_get_first (exec, entry->layer, entry->index, values, error)
             : pw__exec_get_state (exec, entry->layer, entry->index, entry->slot, values, error);
}

/* Of several processes the first has WRITER. What goes wrong there stays in *OWN until all ask. */
static gboolean
write_tensors (PwExec *exec, const GArray *entries, PwFileWriter *writer, GError **own,
               GError **error) {
  for (guint i = 0; i < entries->len; i++) {
    const Entry *entry = &g_array_index (entries, Entry, i);
    g_autofree float *values = g_malloc ((gsize)entry->bytes);
    if (!get_values (exec, entry, values, error))
      return FALSE;
    if (writer && !*own)
      pw_file_writer_write (writer, values, (gsize)entry->bytes, own);
    if (!exec->processes && *own)
      break;
  }
  return TRUE;
}

static PwFileWriter *
begin_file (const PwExec *exec, const GArray *entries, const char *path, GError **error) {
  g_autofree char *header = make_header (exec, entries);
  guint64 length = GUINT64_TO_LE ((guint64)strlen (header));
  g_autoptr (PwFileWriter) writer = pw_file_writer_open (path, error);
  if (!writer || !pw_file_writer_write (writer, &length, LENGTH_BYTES, error)
      || !pw_file_writer_write (writer, header, strlen (header), error))
    return NULL;
  return g_steal_pointer (&writer);
}

gboolean
pw_checkpoint_save (PwExec *exec, const char *path, GError **error) {
  g_autoptr (GArray) entries = list_entries (exec);
  GError *own = NULL;
  gboolean is_writer = pw__exec_has_rank (exec, 0);
  g_autoptr (PwFileWriter) writer = is_writer ? begin_file (exec, entries, path, &own) : NULL;
  if (!pw__processes_agree (exec, own, error))
    return FALSE;
  own = NULL;
  if (!write_tensors (exec, entries, writer, &own, error)) {
    g_clear_error (&own);
    return FALSE;
  }
  if (writer && !own)
    pw_file_writer_commit (g_steal_pointer (&writer), &own);
  return pw__processes_agree (exec, own, error);
}

/* ---- Loading ---- */

typedef struct {
  const char *path;
  char *text; /* the whole file */
  gsize bytes;
  json_t *header;
  const char *tensors;
  gsize tensor_bytes;
} File;

static void
file_clear (File *file) {
  g_free (file->text);
  json_decref (file->header);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (File, file_clear)

static gboolean
G_GNUC_PRINTF (4, 5)
    fail (const File *file, PwCheckpointError code, GError **error, const char *format, ...) {
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error (error, PW_CHECKPOINT_ERROR, (int)code, "%s: %s", file->path, message);
  return FALSE;
}

static gboolean
file_open (File *file, GError **error) {
  if (!pw_file_read (file->path, &file->text, &file->bytes, error))
    return FALSE;
  guint64 length = 0;
  if (file->bytes >= LENGTH_BYTES)
    memcpy (&length, file->text, LENGTH_BYTES);
  length = GUINT64_FROM_LE (length);
  if (length == 0 || length > HEADER_BYTES_MAX || length > file->bytes - LENGTH_BYTES)
    return fail (file, PW_CHECKPOINT_ERROR_FORMAT, error, "not a safetensors file, or cut short");
  json_error_t where;
  file->header = json_loadb (file->text + LENGTH_BYTES, length, JSON_REJECT_DUPLICATES, &where);
  if (!json_is_object (file->header))
    return fail (file, PW_CHECKPOINT_ERROR_FORMAT, error, "the header is not a JSON object: %s",
                 where.text);
  file->tensors = file->text + LENGTH_BYTES + length;
  file->tensor_bytes = file->bytes - LENGTH_BYTES - length;
  return TRUE;
}

static gboolean
read_count (const json_t *metadata, const char *key, int64_t *count) {
  const char *text = json_string_value (json_object_get (metadata, key));
  guint64 number = 0;
  if (!text || !g_ascii_string_to_unsigned (text, 10, 0, G_MAXINT64, &number, NULL))
    return FALSE;
  *count = (int64_t)number;
  return TRUE;
}

/* Without a number of steps: older, from when nothing hung on it. */
static gboolean
read_metadata (const File *file, int64_t *updates, int64_t *steps, GError **error) {
  const json_t *metadata = json_object_get (file->header, "__metadata__");
  const char *version = json_string_value (json_object_get (metadata, "pipewright_version"));
  guint64 number = 0;
  if (!version || !g_ascii_string_to_unsigned (version, 10, 1, G_MAXINT, &number, NULL)
      || !read_count (metadata, "updates", updates)
      || (json_object_get (metadata, "steps") && !read_count (metadata, "steps", steps)))
    return fail (file, PW_CHECKPOINT_ERROR_FORMAT, error, "not written by pipewright");
  if (number > PW_CHECKPOINT_VERSION)
    return fail (file, PW_CHECKPOINT_ERROR_FORMAT, error, "version %s is newer than %d", version,
                 PW_CHECKPOINT_VERSION);
  return TRUE;
}

/* Where ENTRY's values stand in the file; NULL if it is not as the executor needs it. */
static const char *
find_tensor (const File *file, const Entry *entry, GError **error) {
  const json_t *tensor = json_object_get (file->header, entry->name);
  if (!tensor) {
    fail (file, PW_CHECKPOINT_ERROR_MISMATCH, error, "has no %s", entry->name);
    return NULL;
  }
  json_t *shape = shape_to_json (entry->shape);
  const json_t *offsets = json_object_get (tensor, "data_offsets");
  json_int_t from = json_integer_value (json_array_get (offsets, 0));
  json_int_t to = json_integer_value (json_array_get (offsets, 1));
  const char *dtype = json_string_value (json_object_get (tensor, "dtype"));
  gboolean fits = g_strcmp0 (dtype, "F32") == 0 && to - from == entry->bytes
                  && json_equal (shape, json_object_get (tensor, "shape"));
  json_decref (shape);
  if (!fits) {
    PwShape fp32 = *entry->shape;
    fp32.dtype = PW_DTYPE_F32;
    g_autofree char *wanted = pw_shape_to_string (&fp32);
    fail (file, PW_CHECKPOINT_ERROR_MISMATCH, error, "%s is not %s", entry->name, wanted);
    return NULL;
  }
  if (from < 0 || (guint64)to > file->tensor_bytes) {
    fail (file, PW_CHECKPOINT_ERROR_FORMAT, error, "cut short at %s", entry->name);
    return NULL;
  }
  return file->tensors + from;
}

static gboolean
check_nothing_else (const File *file, const GArray *entries, GError **error) {
  if (json_object_size (file->header) == entries->len + 1)
    return TRUE;
  g_autoptr (GHashTable) known = g_hash_table_new (g_str_hash, g_str_equal);
  g_hash_table_add (known, (gpointer) "__metadata__");
  for (guint i = 0; i < entries->len; i++)
    g_hash_table_add (known, g_array_index (entries, Entry, i).name);
  for (void *at = json_object_iter (file->header); at;
       at = json_object_iter_next (file->header, at))
    if (!g_hash_table_contains (known, json_object_iter_key (at)))
      return fail (file, PW_CHECKPOINT_ERROR_MISMATCH, error,
                   "%s is not of this model and optimiser", json_object_iter_key (at));
  return TRUE;
}

static gboolean
set_tensor (PwExec *exec, const Entry *entry, const char *from, GError **error) {
  g_autofree float *values = g_memdup2 (from, (gsize)entry->bytes); /* aligned */
  return entry->slot < 0
             ? pw_exec_set_parameter (exec, entry->layer, entry->index, values, error)
             : pw__exec_set_state (exec, entry->layer, entry->index, entry->slot, values, error);
}

static gboolean
find_tensors (const File *file, const GArray *entries, const char **from, GError **error) {
  for (guint i = 0; i < entries->len; i++)
    if (!(from[i] = find_tensor (file, &g_array_index (entries, Entry, i), error)))
      return FALSE;
  return check_nothing_else (file, entries, error);
}

/* Every process reads the file, and keeps what is its stages'. */
gboolean
pw_checkpoint_load (PwExec *exec, const char *path, GError **error) {
  g_auto (File) file = { .path = path };
  int64_t updates = 0, steps = -1;
  GError *own = NULL;
  g_autoptr (GArray) entries = list_entries (exec);
  g_autofree const char **from = g_new0 (const char *, entries->len + 1);
  if (file_open (&file, &own) && read_metadata (&file, &updates, &steps, &own))
    find_tensors (&file, entries, from, &own);
  if (!pw__processes_agree (exec, own, error))
    return FALSE;
  for (guint i = 0; i < entries->len; i++)
    if (!set_tensor (exec, &g_array_index (entries, Entry, i), from[i], error))
      return FALSE;
  for (int s = 0; s < exec->n_places; s++)
    exec->stages[s].n_updates = updates;
  exec->n_steps = steps >= 0 ? steps : updates;
  return TRUE;
}
