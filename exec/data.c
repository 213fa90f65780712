/* Mini-batches as functions of (seed, step, sample). */
#include "exec/data.h"

#include <string.h>

#include "exec/exec.h"
#include "exec/half.h"
#include "exec/random_private.h"
#include "io/file.h"

#define LICENCES "/usr/share/common-licenses"
#define N_NORMALS 65536 /* random values are drawn from this many, made once */

struct PwDataset {
  PwDataKind kind;
  const PwGraph *graph;
  uint64_t seed;
  uint8_t *text;
  gsize n_text;
  float *normals;
  int64_t input_vocabulary, target_vocabulary; /* where they are tokens */
  char *description;
};

static int64_t
input_vocabulary (const PwGraph *graph) {
  int64_t smallest = G_MAXINT64;
  for (int i = 0; i < graph->n_layers; i++) {
    const PwLayer *layer = &graph->layers[i];
    for (int k = 0; k < layer->n_inputs; k++)
      if (layer->inputs[k] == PW_GRAPH_INPUT && layer->attributes.vocabulary > 0)
        smallest = MIN (smallest, layer->attributes.vocabulary);
  }
  return smallest;
}

/* Classes of the loss: the last dimension of what it reads. */
static int64_t
target_vocabulary (const PwGraph *graph) {
  const PwLayer *last = &graph->layers[graph->n_layers - 1];
  if (!last->info.is_loss)
    return G_MAXINT64;
  int from = last->inputs[0];
  const PwShape *shape = from == PW_GRAPH_INPUT ? &graph->input : &graph->layers[from].info.output;
  return shape->n_dims > 0 ? shape->dims[shape->n_dims - 1] : 1;
}

/* ---- Text ---- */

static gboolean
append_file (GByteArray *text, const char *path, GError **error) {
  g_autofree char *contents = NULL;
  gsize n;
  if (!g_file_get_contents (path, &contents, &n, error))
    return FALSE;
  g_byte_array_append (text, (const guint8 *)contents, (guint)n);
  return TRUE;
}

static int
compare_names (gconstpointer a, gconstpointer b) {
  return strcmp (*(char *const *)a, *(char *const *)b);
}

/* The folder's regular files by name; the links in it would repeat some of them. */
static gboolean
append_licences (GByteArray *text, GError **error) {
  g_autoptr (GDir) dir = g_dir_open (LICENCES, 0, error);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  const char *name;
  if (!dir)
    return FALSE;
  while ((name = g_dir_read_name (dir))) {
    g_autofree char *path = g_build_filename (LICENCES, name, NULL);
    if (!g_file_test (path, G_FILE_TEST_IS_SYMLINK) && g_file_test (path, G_FILE_TEST_IS_REGULAR))
      g_ptr_array_add (names, g_steal_pointer (&path));
  }
  g_ptr_array_sort (names, compare_names);
  for (guint i = 0; i < names->len; i++)
    if (!append_file (text, g_ptr_array_index (names, i), error))
      return FALSE;
  return TRUE;
}

static gboolean
check_text (const PwDataset *dataset, const char *path, GError **error) {
  const PwGraph *graph = dataset->graph;
  gsize tokens = (gsize)graph->input.dims[0];
  if (dataset->n_text < tokens + 1) {
    g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_DATA,
                 "data: %s has %" G_GSIZE_FORMAT " bytes, a sample needs %" G_GSIZE_FORMAT, path,
                 dataset->n_text, tokens + 1);
    return FALSE;
  }
  int64_t vocabulary = MIN (dataset->input_vocabulary, dataset->target_vocabulary);
  for (gsize i = 0; i < dataset->n_text; i++)
    if (dataset->text[i] >= vocabulary) {
      g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_DATA,
                   "data: %s: byte %" G_GSIZE_FORMAT " is %d, outside the vocabulary of "
                   "%" G_GINT64_FORMAT,
                   path, i, dataset->text[i], vocabulary);
      return FALSE;
    }
  return TRUE;
}

static gboolean
takes_text (const PwGraph *graph) {
  return graph->input.dtype == PW_DTYPE_I32 && graph->input.n_dims == 1
         && (graph->target.dtype == PW_DTYPE_I32 && pw_shape_equal (&graph->input, &graph->target));
}

/* 1234567: "1,234,567". */
static char *
with_commas (gsize n) {
  g_autofree char *digits = g_strdup_printf ("%" G_GSIZE_FORMAT, n);
  GString *text = g_string_new (NULL);
  gsize length = strlen (digits);
  for (gsize i = 0; i < length; i++) {
    if (i > 0 && (length - i) % 3 == 0)
      g_string_append_c (text, ',');
    g_string_append_c (text, digits[i]);
  }
  return g_string_free (text, FALSE);
}

static gboolean
open_text (PwDataset *dataset, const char *path, GError **error) {
  if (!takes_text (dataset->graph)) {
    g_autofree char *shape = pw_shape_to_string (&dataset->graph->input);
    g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_DATA,
                 "data: text is for models that read and predict tokens; %s reads %s: use "
                 "\"random\"",
                 dataset->graph->name, shape);
    return FALSE;
  }
  g_autoptr (GByteArray) text = g_byte_array_new ();
  if (!(path ? append_file (text, path, error) : append_licences (text, error))) {
    g_prefix_error (error, "data: ");
    return FALSE;
  }
  dataset->n_text = text->len;
  dataset->text = g_byte_array_free (g_steal_pointer (&text), FALSE);
  g_autofree char *size = with_commas (dataset->n_text);
  dataset->description = g_strdup_printf ("%s bytes of text", size);
  return check_text (dataset, path ? path : LICENCES, error);
}

/* ---- Random ---- */

static void
open_random (PwDataset *dataset) {
  dataset->normals = g_new (float, N_NORMALS);
  for (int i = 0; i < N_NORMALS; i += 2) {
    double pair[2];
    pw__random_normal_pair (dataset->seed, (uint64_t)i, pair);
    dataset->normals[i] = (float)pair[0];
    dataset->normals[i + 1] = (float)pair[1];
  }
  dataset->description = g_strdup ("random values");
}

/* Inputs are stream 0, targets stream 1. */
static uint64_t
sample_stream (const PwDataset *dataset, int64_t step, int64_t sample, uint64_t which) {
  uint64_t at = pw__random_mix (dataset->seed ^ (which << 63));
  return pw__random_mix (pw__random_mix (at ^ (uint64_t)step) ^ (uint64_t)sample);
}

static void
fill_random (const PwDataset *dataset, uint64_t stream, const PwShape *shape, int64_t vocabulary,
             void *to) {
  int64_t n = pw_shape_elements (shape);
  if (shape->dtype == PW_DTYPE_I32) {
    int32_t *tokens = to;
    uint64_t range = (uint64_t)MIN (vocabulary, G_MAXINT32);
    for (int64_t i = 0; i < n; i++)
      tokens[i] = (int32_t)(pw__random_bits (stream, (uint64_t)i) % range);
    return;
  }
  const gsize bytes = (gsize)pw_dtype_bytes (shape->dtype);
  for (int64_t i = 0; i < n; i++) {
    const float *value = &dataset->normals[pw__random_bits (stream, (uint64_t)i) % N_NORMALS];
    pw__floats_to (shape->dtype, value, 1, (char *)to + (gsize)i * bytes);
  }
}

/* ---- */

PwDataset *
pw_dataset_open (const PwDataPlan *data, const PwGraph *graph, int64_t seed, GError **error) {
  g_autoptr (PwDataset) dataset = g_new0 (PwDataset, 1);
  dataset->kind = data->kind;
  dataset->graph = graph;
  dataset->seed = pw__random_mix ((uint64_t)seed);
  dataset->input_vocabulary = input_vocabulary (graph);
  dataset->target_vocabulary = target_vocabulary (graph);
  if (data->kind == PW_DATA_TEXT && !open_text (dataset, data->path, error))
    return NULL;
  if (data->kind == PW_DATA_RANDOM)
    open_random (dataset);
  return g_steal_pointer (&dataset);
}

void
pw_dataset_free (PwDataset *dataset) {
  if (!dataset)
    return;
  g_free (dataset->text);
  g_free (dataset->normals);
  g_free (dataset->description);
  g_free (dataset);
}

void
pw_dataset_fill (const PwDataset *dataset, int64_t step, int64_t batch, void *inputs,
                 void *targets) {
  const PwShape *input = &dataset->graph->input;
  const PwShape *target = &dataset->graph->target;
  for (int64_t b = 0; b < batch; b++) {
    char *x = (char *)inputs + b * pw_shape_bytes (input);
    char *y = (char *)targets + b * pw_shape_bytes (target);
    uint64_t stream = sample_stream (dataset, step, b, 0);
    if (dataset->kind == PW_DATA_RANDOM) {
      fill_random (dataset, stream, input, dataset->input_vocabulary, x);
      fill_random (dataset, sample_stream (dataset, step, b, 1), target, dataset->target_vocabulary,
                   y);
      continue;
    }
    int64_t tokens = input->dims[0];
    uint64_t places = dataset->n_text - (gsize)tokens;
    const uint8_t *from = dataset->text + pw__random_bits (stream, 0) % places;
    int32_t *in = (int32_t *)(void *)x;
    int32_t *out = (int32_t *)(void *)y;
    for (int64_t t = 0; t < tokens; t++) {
      in[t] = from[t];
      out[t] = from[t + 1];
    }
  }
}

const char *
pw_dataset_describe (const PwDataset *dataset) {
  return dataset->description;
}
