/* Device code means on the host what CUDA says, and what the rewriting does not understand is an
 * error with its line. */
#include "tests/device/test_shim.h"

#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>

#include "tests/device/fake/fake.h"

enum { n_out = 512, n_seeds = 5 };

static void
run (TestShimKernel kernel, int *out) {
  cudaStream_t stream;
  int *data;
  g_assert_cmpint (cudaStreamCreateWithFlags (&stream, cudaStreamNonBlocking), ==, cudaSuccess);
  g_assert_cmpint (cudaMalloc ((void **)&data, n_out * sizeof *out), ==, cudaSuccess);
  g_assert_cmpint (cudaMemsetAsync (data, 0, n_out * sizeof *out, stream), ==, cudaSuccess);
  g_assert_cmpint (test_shim_launch (kernel, data, stream), ==, cudaSuccess);
  g_assert_cmpint (cudaMemcpyAsync (out, data, n_out * sizeof *out, cudaMemcpyDeviceToHost, stream),
                   ==, cudaSuccess);
  g_assert_cmpint (cudaStreamSynchronize (stream), ==, cudaSuccess);
  g_assert_cmpint (cudaFree (data), ==, cudaSuccess);
  g_assert_cmpint (cudaStreamDestroy (stream), ==, cudaSuccess);
}

static void
check_shuffles (const int *out) {
  for (int lane = 0; lane < 32; lane++) {
    g_assert_cmpint (out[lane], ==, 5);
    g_assert_cmpint (out[32 + lane], ==, lane / 8 * 8 + 1);
    g_assert_cmpint (out[64 + lane], ==, lane ^ 3);
    g_assert_cmpint (out[96 + lane], ==, lane % 16 < 12 ? lane + 4 : lane);
    g_assert_cmpint (out[128 + lane], ==, lane % 16 >= 4 ? lane - 4 : lane);
    g_assert_cmpint (out[160 + lane], ==, lane ^ 16);
    g_assert_cmpint (out[192 + lane], ==, 0x49249249);
    g_assert_cmpint (out[224 + lane], ==, 1);
    g_assert_cmpint (out[256 + lane], ==, lane < 16 ? 0 : lane ^ 1);
  }
}

static void
check_barriers (const int *out) {
  for (int i = 0; i < 64; i++) {
    g_assert_cmpint (out[i], ==, 7 + 2 * (63 - i));
    g_assert_cmpint (out[64 + i], ==, 13);
    g_assert_cmpint (out[128 + i], ==, 1 + 2);
  }
}

static void
check_atomics (const int *out) {
  float n;
  memcpy (&n, &out[5], sizeof n);
  g_assert_cmpint (out[0], ==, 4 * 127 * 64);
  g_assert_cmpint (out[1], ==, 127);
  g_assert_cmpint (out[2], ==, -127);
  g_assert_cmpint (out[3], ==, 0xffff);
  g_assert_cmpint (out[4], >, 0);
  g_assert_cmpfloat (n, ==, 512);
}

static void
check_last_block (const int *out) {
  g_assert_cmpint (out[0], ==, 15);
}

static void
check_types (const int *out) {
  g_assert_cmpint (out[0], ==, 225);
  g_assert_cmpint (out[1], ==, 3 + 30 + 200);
  g_assert_cmpint (out[2], ==, 8 + 3100);
  g_assert_cmpint (out[3], ==, 23);
  g_assert_true (out[4] == 1 || out[4] == 2);
}

static void
check_many_masks (const int *out) {
  for (int i = 0; i < 32; i++)
    g_assert_cmpint (out[i], ==, MAX (7 - i / 4, 0));
}

static const struct {
  const char *name;
  TestShimKernel kernel;
  void (*check) (const int *out);
} kernels[] = {
  { "shuffles", TEST_SHIM_SHUFFLES, check_shuffles },
  { "barriers-and-shared-memory", TEST_SHIM_BARRIERS, check_barriers },
  { "atomics", TEST_SHIM_ATOMICS, check_atomics },
  { "fences-round-a-counter", TEST_SHIM_LAST_BLOCK, check_last_block },
  { "bf16", TEST_SHIM_BF16, check_types },
  { "half", TEST_SHIM_HALF, check_types },
  { "many-masks", TEST_SHIM_MANY_MASKS, check_many_masks },
};

static void
test_kernel (gconstpointer data) {
  int out[n_out];
  for (uint64_t seed = 0; seed < n_seeds; seed++) {
    pw_fake_set_seed (seed);
    run (kernels[GPOINTER_TO_INT (data)].kernel, out);
    kernels[GPOINTER_TO_INT (data)].check (out);
  }
}

/* Returns what rewrite.py says of SOURCE, or what it made of it. */
static char *
rewrite (const char *source, gboolean *understood) {
  g_autofree char *folder = g_dir_make_tmp ("pw-shim-XXXXXX", NULL);
  g_autofree char *in = g_build_filename (folder, "a.cu", NULL);
  g_autofree char *out = g_build_filename (folder, "a.cpp", NULL);
  const char *arguments[]
      = { PW_PYTHON, PW_SOURCE_DIR "/tests/device/shim/rewrite.py", in, out, NULL };
  g_autofree char *message = NULL;
  char *result = NULL;
  int status;
  g_assert_true (g_file_set_contents (in, source, -1, NULL));
  g_assert_true (g_spawn_sync (NULL, (char **)arguments, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL,
                               &message, &status, NULL));
  *understood = g_spawn_check_wait_status (status, NULL);
  if (*understood)
    g_assert_true (g_file_get_contents (out, &result, NULL, NULL));
  else
    result = g_steal_pointer (&message);
  g_remove (in);
  g_remove (out);
  g_rmdir (folder);
  return result;
}

static void
test_rewriting (void) {
  static const struct {
    const char *source, *expected;
    gboolean understood;
  } rows[] = {
    { "void f () {\n  k<<<g, b>>> (x);\n}", "pw_shim::configure (\"k\", k, g, b) (x);", TRUE },
    { "void f () { ns::k<A<int>, 3><<<g, b, 0, s>>>(x); }",
      "pw_shim::configure (\"ns::k<A<int>, 3>\", ns::k<A<int>, 3>, g, b, 0, s)(x);", TRUE },
    { "void f () { k<<<g,\n   b>>> (x);\n} // line 3", "\n} // line 3", TRUE },
    { "// k<<<1, 2>>> (x)\nconst char *s = \"<<<\";",
      "// k<<<1, 2>>> (x)\nconst char *s = \"<<<\";", TRUE },
    { "void f () { __shared__ float a[2][3]; }", "typedef float pw_type_of_a[2][3];", TRUE },
    { "void f () { extern __shared__ float4 a[]; }",
      "float4 *a = (float4 *)pw_shim_dynamic_shared ();", TRUE },
    { "\n\nvoid f () { <<<g, b>>> (x); }", "a.cu:3: not understood: a launch without a kernel",
      FALSE },
    { "\nvoid f () { k<<<g, b> > > (x); }", "a.cu:2: not understood: <<< without >>>", FALSE },
    { "\n__shared__ float a[3];", "a.cu:2: not understood: __shared__ outside a function", FALSE },
    { "void f () {\n  __shared__ float (*a)[3];\n}", "a.cu:2: not understood: __shared__", FALSE },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    gboolean understood;
    g_autofree char *result = rewrite (rows[i].source, &understood);
    g_test_message ("%s\n-> %s", rows[i].source, result);
    g_assert_cmpint (understood, ==, rows[i].understood);
    g_assert_nonnull (strstr (result, rows[i].expected));
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (kernels); i++) {
    g_autofree char *path = g_strconcat ("/device/shim/", kernels[i].name, NULL);
    g_test_add_data_func (path, GINT_TO_POINTER (i), test_kernel);
  }
  g_test_add_func ("/device/shim/the-rewriting-understands-or-refuses", test_rewriting);
  return g_test_run ();
}
