/* The backend that lies in a module: when it is loaded, and what is said where it cannot be used.
 */
#include "program.h"
#include <glib/gstdio.h>
#include <string.h>
#include <sys/wait.h>

/* PROGRAM with NAME=VALUE in its environment (NULL: none), in the scratch folder. */
static Outcome
run (const char *program, const char *arguments, const char *name, const char *value) {
  g_autofree char *line = g_strdup_printf ("%s %s", program, arguments);
  g_auto (GStrv) argv = NULL;
  g_auto (GStrv) environment = g_get_environ ();
  g_autoptr (GError) error = NULL;
  g_assert_true (g_shell_parse_argv (line, NULL, &argv, &error));
  if (name)
    environment = g_environ_setenv (environment, name, value, TRUE);
  Outcome outcome = { 0 };
  int status;
  g_spawn_sync (scratch_folder (), argv, environment, G_SPAWN_DEFAULT, NULL, NULL, &outcome.out,
                &outcome.err, &status, &error);
  g_assert_no_error (error);
  g_assert_true (WIFEXITED (status));
  outcome.status = WEXITSTATUS (status);
  return outcome;
}

/* The program alone in a prefix of its own, as if installed there. */
static char *
copy_program (void) {
  g_autofree char *folder = g_build_filename (scratch_folder (), "bin", NULL);
  g_autofree char *program = g_build_filename (folder, "pipewright", NULL);
  g_autofree char *bytes = NULL;
  gsize length;
  g_autoptr (GError) error = NULL;
  g_assert_cmpint (g_mkdir_with_parents (folder, 0755), ==, 0);
  g_assert_true (g_file_get_contents (PW_PROGRAM, &bytes, &length, &error));
  g_assert_true (g_file_set_contents_full (program, bytes, (gssize)length, G_FILE_SET_CONTENTS_NONE,
                                           0755, &error));
  return g_steal_pointer (&program);
}

static void
check_refusal (const Outcome *outcome, const char *message) {
  g_test_message ("%s", outcome->err);
  g_assert_cmpint (outcome->status, ==, 3);
  g_assert_cmpstr (outcome->out, ==, "");
  g_assert_true (g_str_has_prefix (outcome->err, "pipewright: "));
  g_assert_true (strchr (outcome->err, '\n') == outcome->err + strlen (outcome->err) - 1);
  g_assert_nonnull (strstr (outcome->err, message));
}

static const char *const running[] = {
  "run examples/mlp-tiny.json --backend cuda",
  "profile examples/mlp-tiny.json --backend cuda",
  "validate examples/mlp-tiny.json --backend cuda",
};

static void
test_missing (void) {
  g_autofree char *program = copy_program ();
  for (gsize i = 0; i < G_N_ELEMENTS (running); i++) {
    g_auto (Outcome) outcome = run (program, running[i], NULL, NULL);
    check_refusal (&outcome, "this build has no CUDA backend");
  }
}

static void
test_broken (void) {
  g_autofree char *program = copy_program ();
  g_autofree char *folder = g_build_filename (scratch_folder (), PW_LIBDIR, "pipewright", NULL);
  g_autofree char *file = g_build_filename (folder, "pipewright-cuda.so", NULL);
  g_assert_cmpint (g_mkdir_with_parents (folder, 0755), ==, 0);
  g_assert_true (g_file_set_contents (file, "no module", -1, NULL));
  g_auto (Outcome) outcome = run (program, running[0], NULL, NULL);
  check_refusal (&outcome, "the CUDA backend cannot be loaded: ");
  g_remove (file);
}

/* No device is visible, whether there is one or not. */
static void
test_no_device (void) {
#ifdef PW_HAVE_CUDA_MODULE
  for (gsize i = 0; i < G_N_ELEMENTS (running); i++) {
    g_auto (Outcome) outcome = run (PW_PROGRAM, running[i], "CUDA_VISIBLE_DEVICES", "");
    check_refusal (&outcome, "cuda: this machine has no ");
  }
#else
  g_test_skip ("this build has no CUDA module");
#endif
}

/* The loader says what it opens. */
static void
test_loaded_on_request (void) {
  static const struct {
    const char *arguments;
    gboolean is_loaded;
  } cases[] = {
    { "--version", FALSE },
    { "--help", FALSE },
    { "simulate examples/mlp-tiny.json --backend cuda", FALSE },
    { "run examples/mlp-tiny.json --steps 1", FALSE },
#ifdef PW_HAVE_CUDA_MODULE
    { "run examples/mlp-tiny.json --backend cuda", TRUE },
#endif
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_auto (Outcome) outcome = run (PW_PROGRAM, cases[i].arguments, "LD_DEBUG", "files");
    g_test_message ("%s", cases[i].arguments);
    g_assert_nonnull (strstr (outcome.err, "libglib-2.0"));
    g_assert_cmpint (strstr (outcome.err, "pipewright-cuda.so") != NULL, ==, cases[i].is_loaded);
    g_assert_cmpint (strstr (outcome.err, "libcublasLt") != NULL, ==, cases[i].is_loaded);
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cli/cuda/is-loaded-only-on-request", test_loaded_on_request);
  g_test_add_func ("/cli/cuda/a-build-without-it-says-so", test_missing);
  g_test_add_func ("/cli/cuda/a-module-that-cannot-be-loaded-says-why", test_broken);
  g_test_add_func ("/cli/cuda/a-machine-without-a-device-says-so", test_no_device);
  int status = g_test_run ();
  scratch_remove ();
  return status;
}
