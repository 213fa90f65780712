/* Training by PyTorch (tests/golden/gpt/make.py) is met to 1e-4, with its initial parameters and
 * its tokens, under every optimiser, cut in two. */
#include "exec_case.h"

#include <string.h>

#define FOLDER PW_SOURCE_DIR "/tests/golden/gpt/"

typedef struct {
  int blocks, width, heads, tokens, vocabulary, batch, steps;
  char *bytes;
} Golden;

static ExecCase *
make_case (const Golden *golden, char **fields) {
  g_autofree char *members = g_strdup_printf (
      "'model': {'name': 'gpt', 'blocks': %d, 'width': %d, 'heads': %d, 'tokens': %d, "
      "'vocabulary': %d}, 'ranks': 2, 'schedule': {'name': '1f1b', 'microbatches': 3}, "
      "'batch': %d, 'optimizer': {'name': '%s', 'learning_rate': %s, 'momentum': %s, "
      "'weight_decay': %s}, 'data': 'random'",
      golden->blocks, golden->width, golden->heads, golden->tokens, golden->vocabulary,
      golden->batch, fields[0], fields[1], fields[2], fields[3]);
  return exec_case_new (members, NULL);
}

/* Returns what comes after the parameters. */
static const char *
set_parameters (PwExec *exec, const PwGraph *graph, const char *at) {
  g_autoptr (GError) error = NULL;
  for (int l = 0; l < graph->n_layers; l++)
    for (int p = 0; p < graph->layers[l].info.n_parameters; p++) {
      gsize bytes = (gsize)pw_shape_bytes (&graph->layers[l].info.parameters[p].shape);
      g_autofree float *values = g_memdup2 (at, bytes);
      pw_exec_set_parameter (exec, l, p, values, &error);
      g_assert_no_error (error);
      at += bytes;
    }
  return at;
}

static void
fill (const Golden *golden, const int32_t *samples, int step, int32_t *in, int32_t *out) {
  int length = golden->tokens + 1;
  for (int b = 0; b < golden->batch; b++)
    for (int t = 0; t < golden->tokens; t++) {
      const int32_t *sample = samples + (step * golden->batch + b) * length;
      in[b * golden->tokens + t] = sample[t];
      out[b * golden->tokens + t] = sample[t + 1];
    }
}

static void
compare (const Golden *golden, char **fields) {
  g_autoptr (GError) error = NULL;
  g_autoptr (ExecCase) c = make_case (golden, fields);
  g_autoptr (PwExec) exec = pw_exec_new (c->resolved, NULL, &error);
  g_assert_no_error (error);
  int program = pw_exec_add (exec, c->resolved->lowered, &error);
  g_assert_no_error (error);
  const char *rest = set_parameters (exec, c->resolved->graph, golden->bytes);
  gsize n = (gsize)(golden->steps * golden->batch * (golden->tokens + 1));
  g_autofree int32_t *samples = g_memdup2 (rest, n * sizeof (int32_t));
  for (int s = 0; s < golden->steps; s++) {
    PwExecBatch batch = { .inputs = c->inputs, .targets = c->targets };
    PwExecStep step;
    fill (golden, samples, s, c->inputs, c->targets);
    pw_exec_run (exec, program, &batch, &step, &error);
    g_assert_no_error (error);
    double expected = g_ascii_strtod (fields[4 + s], NULL);
    g_test_message ("%s, step %d: %.7f, PyTorch %.7f", fields[0], s, step.loss, expected);
    g_assert_cmpfloat_with_epsilon (step.loss, expected, 1e-4);
  }
}

static void
pytorch (void) {
  g_autofree char *text = NULL;
  Golden golden = { 0 };
  gsize n;
  g_assert_true (g_file_get_contents (FOLDER "gpt.txt", &text, NULL, NULL));
  g_assert_true (g_file_get_contents (FOLDER "gpt.bin", &golden.bytes, &n, NULL));
  g_auto (GStrv) lines = g_strsplit (g_strchomp (text), "\n", -1);
  int *sizes[] = { &golden.blocks,     &golden.width, &golden.heads, &golden.tokens,
                   &golden.vocabulary, &golden.batch, &golden.steps };
  g_auto (GStrv) numbers = g_strsplit (lines[0], " ", -1);
  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    *sizes[i] = atoi (numbers[i]);
  for (int i = 1; lines[i]; i++) {
    g_auto (GStrv) fields = g_strsplit (lines[i], " ", -1);
    compare (&golden, fields);
  }
  g_free (golden.bytes);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/exec/golden/gpt-losses-are-those-of-pytorch", pytorch);
  return g_test_run ();
}
