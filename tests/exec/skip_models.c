#include "skip_models.h"

#define WIDTH 6

static void
append_linear (GString *text, const char *name, int in) {
  g_string_append_printf (text, "%s{'type': 'linear', 'in': %d, 'out': %d, 'name': '%s'}",
                          text->str[text->len - 1] == '[' ? "" : ", ", in, WIDTH, name);
}

/* Joins A and B to WIDTH features under NAME. */
static void
append_join (GString *text, const char *type, const char *name, const char *a, const char *b) {
  gboolean widens = g_str_equal (type, "concat");
  g_string_append_printf (text, ", {'type': '%s', 'from': ['%s', '%s'], 'name': '%s%s'}", type, a,
                          b, name, widens ? "-wide" : "");
  if (widens)
    append_linear (text, name, 2 * WIDTH);
}

char *
skip_model_new (const char *type, int n_blocks, const int *distances, int n_distances) {
  GString *text = g_string_new ("{'layers': [");
  for (int i = 0; i < n_blocks; i++) {
    int distance = distances[i % n_distances];
    g_autofree char *linear = g_strdup_printf ("l%d", i);
    g_autofree char *gelu = g_strdup_printf ("g%d", i);
    g_autofree char *join = g_strdup_printf ("j%d", i);
    g_autofree char *earlier = g_strdup_printf ("l%d", i - distance);
    append_linear (text, linear, WIDTH);
    g_string_append_printf (text, ", {'type': 'gelu', 'name': '%s'}", gelu);
    if (distance > 0 && distance <= i)
      append_join (text, type, join, gelu, earlier);
  }
  g_string_append (text, "], 'loss': 'mse'}");
  return g_string_free (text, FALSE);
}

/* The one before is always read, or its output might stay unread. */
char *
skip_model_new_random (int n_entries) {
  static const char *const types[] = { "add", "concat" };
  GString *text = g_string_new ("{'layers': [");
  append_linear (text, "e0", WIDTH);
  for (int i = 1; i < n_entries; i++) {
    g_autofree char *name = g_strdup_printf ("e%d", i);
    g_autofree char *before = g_strdup_printf ("e%d", i - 1);
    g_autofree char *earlier = g_strdup_printf ("e%d", g_test_rand_int_range (0, i));
    gboolean swaps = g_test_rand_bit ();
    switch (g_test_rand_int_range (0, 5)) {
    case 0:
      append_linear (text, name, WIDTH);
      break;
    case 1:
      g_string_append_printf (text, ", {'type': 'gelu', 'name': '%s'}", name);
      break;
    case 2:
      g_string_append_printf (text, ", {'type': 'layernorm', 'features': %d, 'name': '%s'}", WIDTH,
                              name);
      break;
    default:
      append_join (text, types[g_test_rand_int_range (0, 2)], name, swaps ? earlier : before,
                   swaps ? before : earlier);
      break;
    }
  }
  g_string_append (text, "], 'loss': 'mse'}");
  return g_string_free (text, FALSE);
}
