/* A saved state goes on bit for bit on any cut and schedule; a damaged file changes nothing. */
#include "exec/checkpoint.h"
#include "exec_case.h"
#include <glib/gstdio.h>
#include <string.h>

#define BATCH "'batch': 8, 'seed': 3, 'data': 'random', "
/* Which draws by the step. */
#define WITH_DROPOUT                                                                               \
  "{'name': 'gpt', 'blocks': 4, 'width': 16, 'heads': 2, 'tokens': 8, 'vocabulary': 32, "          \
  "'dropout': 0.1}"
#define ADAM "'optimizer': {'name': 'adamw', 'learning_rate': 0.01}, "

typedef struct {
  ExecCase *c;
  PwExec *exec;
} Run;

static Run
start (const char *model, const char *members) {
  g_autoptr (GError) error = NULL;
  g_autofree char *text = g_strdup_printf (BATCH "'model': %s, %s", model, members);
  Run run = { .c = exec_case_new (text, NULL) };
  run.exec = pw_exec_new (run.c->resolved, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (pw_exec_add (run.exec, run.c->resolved->lowered, &error), ==, 0);
  return run;
}

static void
finish (Run run) {
  pw_exec_free (run.exec);
  exec_case_free (run.c);
}

static char *
temporary_path (void) {
  g_autofree char *folder = g_dir_make_tmp ("checkpoint.XXXXXX", NULL);
  return g_build_filename (folder, "state.safetensors", NULL);
}

static void
remove_file (const char *path) {
  g_autofree char *folder = g_path_get_dirname (path);
  g_unlink (path);
  g_assert_cmpint (g_rmdir (folder), ==, 0); /* nothing else was left */
}

static void
train (Run run, int64_t first, int64_t n, double *losses) {
  g_autoptr (GError) error = NULL;
  for (int64_t step = first; step < first + n; step++) {
    PwExecBatch batch = exec_case_batch (run.c, step);
    PwExecStep result;
    pw_exec_run (run.exec, 0, &batch, &result, &error);
    g_assert_no_error (error);
    losses[step] = result.loss;
  }
}

/* Six steps without a break equal three, a save, a load elsewhere and three more. */
static void
test_resume (gconstpointer data) {
  static const char *const cuts[] = {
    "'ranks': 1, 'schedule': {'name': 'naive', 'microbatches': 4}",
    "'ranks': 2, 'schedule': {'name': 'gpipe', 'microbatches': 4}",
    "'ranks': 4, 'schedule': {'name': '1f1b', 'microbatches': 4}",
  };
  const char *optimizer = data;
  g_autoptr (GError) error = NULL;
  double whole[6], parts[6];
  g_autofree char *path = temporary_path ();
  for (gsize i = 0; i < G_N_ELEMENTS (cuts); i++) {
    g_autofree char *from = g_strconcat (optimizer, cuts[i], NULL);
    g_autofree char *to = g_strconcat (optimizer, cuts[(i + 1) % G_N_ELEMENTS (cuts)], NULL);
    Run a = start (WITH_DROPOUT, from);
    train (a, 0, 3, whole);
    g_assert_true (pw_checkpoint_save (a.exec, path, &error));
    train (a, 3, 3, whole);

    Run b = start (WITH_DROPOUT, to);
    pw_checkpoint_load (b.exec, path, &error);
    g_assert_no_error (error);
    train (b, 3, 3, parts);
    for (int step = 3; step < 6; step++)
      g_assert_cmpfloat (whole[step], ==, parts[step]);
    g_autofree char *hash_a = pw_exec_parameters_sha256 (a.exec, NULL);
    g_autofree char *hash_b = pw_exec_parameters_sha256 (b.exec, NULL);
    g_assert_cmpstr (hash_a, ==, hash_b);
    finish (a);
    finish (b);
  }
  remove_file (path);
}

/* Cut anywhere, or with a byte of the header changed, it is refused or harmless; nothing changes.
 */
static void
test_damage (void) {
  g_autoptr (GError) error = NULL;
  g_autofree char *path = temporary_path ();
  Run run = start (PW_TEST_MLP, ADAM "'ranks': 2");
  g_assert_true (pw_checkpoint_save (run.exec, path, &error));
  g_autofree char *before = pw_exec_parameters_sha256 (run.exec, NULL);
  g_autofree char *text = NULL;
  gsize bytes;
  g_assert_true (g_file_get_contents (path, &text, &bytes, NULL));
  double losses[1];
  train (run, 0, 1, losses);
  g_autofree char *trained = pw_exec_parameters_sha256 (run.exec, NULL);

  for (int i = 0; i < 200; i++) {
    gsize length = i < 20 ? (gsize)i : (gsize)g_test_rand_int_range (0, (gint32)bytes);
    g_assert_true (g_file_set_contents (path, text, (gssize)length, NULL));
    g_assert_false (pw_checkpoint_load (run.exec, path, &error));
    g_assert_nonnull (strstr (error->message, path));
    g_clear_error (&error);
    g_autofree char *now = pw_exec_parameters_sha256 (run.exec, NULL);
    g_assert_cmpstr (now, ==, trained);
  }
  g_assert_true (g_file_set_contents (path, text, (gssize)bytes, NULL));
  g_assert_true (pw_checkpoint_load (run.exec, path, &error));
  g_autofree char *restored = pw_exec_parameters_sha256 (run.exec, NULL);
  g_assert_cmpstr (restored, ==, before);
  finish (run);
  remove_file (path);
}

static void
test_mismatch (void) {
  static const struct {
    const char *model, *members, *message;
  } cases[] = {
    { PW_TEST_GPT, ADAM "'ranks': 1", "has no" },
    { "{'name': 'mlp', 'input': 9, 'width': 13, 'depth': 5, 'output': 7}", ADAM "'ranks': 1",
      "is not [13, 9]" },
    { "{'name': 'mlp', 'input': 9, 'width': 12, 'depth': 4, 'output': 7}", ADAM "'ranks': 1", "" },
    { PW_TEST_MLP, "'optimizer': 'sgd', 'ranks': 1", "optimizer.0." },
  };
  g_autofree char *path = temporary_path ();
  Run saved = start (PW_TEST_MLP, ADAM "'ranks': 2");
  g_assert_true (pw_checkpoint_save (saved.exec, path, NULL));
  finish (saved);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    Run run = start (cases[i].model, cases[i].members);
    g_autofree char *before = pw_exec_parameters_sha256 (run.exec, NULL);
    g_assert_false (pw_checkpoint_load (run.exec, path, &error));
    g_assert_error (error, PW_CHECKPOINT_ERROR, PW_CHECKPOINT_ERROR_MISMATCH);
    if (!strstr (error->message, cases[i].message))
      g_error ("case %zu: %s", i, error->message);
    g_autofree char *after = pw_exec_parameters_sha256 (run.exec, NULL);
    g_assert_cmpstr (before, ==, after);
    finish (run);
  }
  remove_file (path);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/exec/checkpoint/resumes-bit-for-bit-elsewhere/adamw", ADAM, test_resume);
  g_test_add_data_func ("/exec/checkpoint/resumes-bit-for-bit-elsewhere/sgd",
                        "'optimizer': {'name': 'sgd', 'learning_rate': 0.1, 'momentum': 0.9}, ",
                        test_resume);
  g_test_add_func ("/exec/checkpoint/damaged-files-change-nothing", test_damage);
  g_test_add_func ("/exec/checkpoint/other-models-are-refused-by-tensor", test_mismatch);
  return g_test_run ();
}
