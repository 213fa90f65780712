/* Data and initial values: functions of their keys, nothing else. */
#include "exec_case.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

static ExecCase *
gpt_case (int seed) {
  g_autofree char *members = g_strdup_printf (
      "'model': {'name': 'gpt', 'blocks': 2, 'width': 16, 'heads': 2, 'tokens': 8, "
      "'vocabulary': 128}, 'ranks': 2, 'batch': 4, 'schedule': {'name': 'gpipe', "
      "'microbatches': 2}, 'seed': %d, 'data': 'random'",
      seed);
  return exec_case_new (members, NULL);
}

static PwDataset *
open_file (ExecCase *c, const char *contents, GError **error) {
  g_autofree char *path = NULL;
  int file = g_file_open_tmp ("pw-data-XXXXXX", &path, NULL);
  g_assert_true (g_file_set_contents (path, contents, -1, NULL));
  g_close (file, NULL);
  PwDataPlan plan = { .kind = PW_DATA_TEXT, .path = path };
  PwDataset *dataset = pw_dataset_open (&plan, c->resolved->graph, 3, error);
  g_unlink (path);
  return dataset;
}

static void
targets_follow_inputs (void) {
  g_autoptr (GError) error = NULL;
  g_autoptr (ExecCase) c = gpt_case (1);
  const char *text = "The quick brown fox jumps over the lazy dog.";
  g_autoptr (PwDataset) dataset = open_file (c, text, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (pw_dataset_describe (dataset), ==, "44 bytes of text");
  int32_t in[2][4 * 8], out[2][4 * 8];
  for (int step = 0; step < 50; step++) {
    for (int again = 0; again < 2; again++)
      pw_dataset_fill (dataset, step, 4, in[again], out[again]);
    g_assert_cmpint (memcmp (in[0], in[1], sizeof in[0]), ==, 0);
    for (int b = 0; b < 4; b++) {
      char sample[10];
      for (int t = 0; t < 8; t++) {
        sample[t] = (char)in[0][b * 8 + t];
        sample[t + 1] = (char)out[0][b * 8 + t];
        if (t < 7)
          g_assert_cmpint (out[0][b * 8 + t], ==, in[0][b * 8 + t + 1]);
      }
      sample[9] = 0;
      g_assert_nonnull (strstr (text, sample));
    }
  }
}

static void
bad_texts (void) {
  static const struct {
    const char *text, *message;
  } cases[] = {
    { "12345678", "has 8 bytes, a sample needs 9" },
    { "abcdefghijk\xc3\xa4", "byte 11 is 195, outside the vocabulary of 128" },
  };
  g_autoptr (ExecCase) c = gpt_case (1);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_null (open_file (c, cases[i].text, &error));
    g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_DATA);
    g_assert_nonnull (strstr (error->message, cases[i].message));
  }
  g_autoptr (GError) error = NULL;
  g_autoptr (ExecCase) mlp = exec_case_new (
      "'model': 'mlp', 'ranks': 1, 'batch': 2, 'schedule': {'name': 'gpipe', 'microbatches': 1}, "
      "'data': 'random'",
      NULL);
  g_assert_null (open_file (mlp, "some text that is long enough", &error));
  g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_DATA);
}

static void
random_values (void) {
  g_autoptr (ExecCase) c = exec_case_new (
      "'model': {'name': 'mlp', 'input': 100, 'width': 8, 'depth': 1, 'output': 50}, 'ranks': 1, "
      "'batch': 64, 'schedule': {'name': 'gpipe', 'microbatches': 1}, 'data': 'random'",
      NULL);
  g_autofree float *first = NULL;
  for (int step = 0; step < 2; step++) {
    exec_case_batch (c, step);
    const float *x = c->inputs;
    double sum = 0, squares = 0;
    for (int i = 0; i < 6400; i++) {
      sum += (double)x[i];
      squares += (double)x[i] * (double)x[i];
    }
    g_assert_cmpfloat (fabs (sum / 6400), <, 0.06);
    g_assert_cmpfloat (fabs (squares / 6400 - 1), <, 0.08);
    if (step == 0)
      first = g_memdup2 (x, 6400 * sizeof (float));
    else
      g_assert_cmpint (memcmp (first, x, 6400 * sizeof (float)), !=, 0);
  }
  /* A longer batch starts with the same samples. */
  float inputs[200], targets[100];
  pw_dataset_fill (c->dataset, 0, 2, inputs, targets);
  g_assert_cmpint (memcmp (inputs, first, sizeof inputs), ==, 0);
}

static float *
parameter_of (ExecCase *c, const char *layer, int64_t *n) {
  g_autoptr (GError) error = NULL;
  const PwGraph *graph = c->resolved->graph;
  g_autoptr (PwExec) exec = pw_exec_new (c->resolved, NULL, &error);
  g_assert_no_error (error);
  for (int l = 0; l < graph->n_layers; l++)
    if (g_str_equal (graph->layers[l].name, layer)) {
      *n = pw_shape_elements (&graph->layers[l].info.parameters[0].shape);
      float *values = g_new (float, (gsize)*n);
      pw_exec_get_parameter (exec, l, 0, values, &error);
      g_assert_no_error (error);
      return values;
    }
  g_assert_not_reached ();
}

static void
initial_values (void) {
  g_autoptr (ExecCase) one = gpt_case (1);
  g_autoptr (ExecCase) two = gpt_case (2);
  int64_t n;
  g_autofree float *a = parameter_of (one, "block0.fc1", &n);
  g_autofree float *b = parameter_of (one, "block1.fc1", &n);
  g_autofree float *c = parameter_of (two, "block0.fc1", &n);
  g_autofree float *gain = parameter_of (one, "block1.ln1", &n);
  g_assert_cmpfloat ((double)gain[n - 1], ==, 1);
  n = 16 * 64;
  double squares = 0;
  int equal = 0;
  for (int64_t i = 0; i < n; i++) {
    squares += (double)a[i] * (double)a[i];
    equal += (a[i] == b[i]) + (a[i] == c[i]);
  }
  g_assert_cmpint (equal, <, 5);
  g_assert_cmpfloat (fabs (sqrt (squares / (double)n) - 0.02), <, 0.002);
}

static void
licences (void) {
  g_autoptr (GError) error = NULL;
  g_autoptr (ExecCase) c = exec_case_new (
      "'model': 'gpt', 'ranks': 1, 'batch': 1, 'schedule': {'name': 'gpipe', 'microbatches': 1}, "
      "'data': 'random'",
      NULL);
  if (!g_file_test ("/usr/share/common-licenses", G_FILE_TEST_IS_DIR)) {
    g_test_skip ("no licence texts here");
    return;
  }
  PwDataPlan plan = { .kind = PW_DATA_TEXT };
  g_autoptr (PwDataset) dataset = pw_dataset_open (&plan, c->resolved->graph, 3, &error);
  g_assert_no_error (error);
  g_assert_true (g_str_has_suffix (pw_dataset_describe (dataset), " bytes of text"));
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/exec/data/targets-are-the-next-bytes", targets_follow_inputs);
  g_test_add_func ("/exec/data/bad-texts-are-refused", bad_texts);
  g_test_add_func ("/exec/data/random-values-are-normal-and-repeat", random_values);
  g_test_add_func ("/exec/data/initial-values-follow-seed-and-name", initial_values);
  g_test_add_func ("/exec/data/licence-texts-are-the-default", licences);
  return g_test_run ();
}
