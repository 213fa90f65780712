/* Plans with random damage: whatever it is, the answer is a plan or an error, and nothing breaks.
 */
#include <glib/gstdio.h>
#include <string.h>

#include "plans/resolve.h"

static const char *const seeds[] = {
  "{\"model\": {\"name\": \"gpt\", \"blocks\": 4, \"width\": 8, \"heads\": 2, \"tokens\": 4, "
  "\"vocabulary\": 16}, \"hardware\": {\"like\": \"h200\", \"efficiency\": 0.4}, \"ranks\": 2, "
  "\"partition\": {\"balance\": [2, 2], \"ends\": \"kept\"}, \"schedule\": {\"name\": \"1f1b\", "
  "\"microbatches\": 4}, \"batch\": 8, \"optimizer\": {\"name\": \"sgd\", \"momentum\": 0.5}}",
  "{\"model\": {\"layers\": [{\"type\": \"linear\", \"in\": 4, \"out\": 4, \"repeat\": 6}], "
  "\"loss\": \"mse\"}, \"ranks\": 3, \"partition\": {\"method\": \"memory\"}, \"schedule\": "
  "{\"name\": \"gpipe\", \"reverse\": true}, \"recompute\": \"stage\", \"p2p_policy\": "
  "\"rendezvous\", \"memory_limit\": \"1GiB\", \"data\": {\"text\": \"x\"}}",
};

static const char *const pieces[]
    = { "{",        "}",       "[",           "]",           ",",         ":",    "\"",
        "0",        "-1",      "1e9",         "1.5",         "null",      "true", "\\u0000",
        "\"name\"", "\"csv\"", "\"balance\"", "\"counted\"", "\"ranks\"", "9",    "\xff" };

static void
damage (GString *text) {
  gsize at = (gsize)g_test_rand_int_range (0, (gint32)text->len);
  const char *piece = pieces[g_test_rand_int_range (0, G_N_ELEMENTS (pieces))];
  gssize length = g_test_rand_int_range (1, 20);
  switch (g_test_rand_int_range (0, 4)) {
  case 0:
    g_string_erase (text, (gssize)at, MIN (length, (gssize)(text->len - at)));
    break;
  case 1:
    g_string_insert (text, (gssize)at, piece);
    break;
  case 2:
    text->str[at] = (char)g_test_rand_int_range (1, 256);
    break;
  default:
    g_string_insert_len (text, (gssize)at, text->str, MIN (length, (gssize)text->len));
  }
  if (text->len == 0)
    g_string_append (text, "{}");
}

/* One digit changed gives sizes that are legal and absurd; those are for other tests. */
static gboolean
is_small (const PwPlan *plan) {
  return plan->ranks <= 100 && plan->params.microbatches <= 1000 && plan->params.chunks <= 100
         && plan->params.waves <= 100 && plan->params.pieces <= 100;
}

static void
try_text (const char *text) {
  g_autoptr (GError) error = NULL;
  g_autoptr (PwPlan) plan = pw_plan_parse ("plan.json", text, &error);
  g_assert_true ((plan == NULL) == (error != NULL));
  if (plan == NULL || !is_small (plan))
    return;
  g_autoptr (PwResolvedPlan) resolved = pw_plan_resolve (plan, NULL, &error);
  g_assert_true ((resolved == NULL) == (error != NULL));
}

static void
test_damage (void) {
  for (int round = 0; round < 4000; round++) {
    g_autoptr (GString) text = g_string_new (seeds[round % (int)G_N_ELEMENTS (seeds)]);
    for (int n = g_test_rand_int_range (1, 4); n > 0; n--)
      damage (text);
    try_text (text->str);
  }
}

/* Any bytes as the value of any option. */
static void
test_overrides (void) {
  gsize n;
  const PwPlanOverride *rows = pw_plan_overrides (&n);
  for (int round = 0; round < 4000; round++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (PwPlan) plan = pw_plan_parse ("plan.json", seeds[0], NULL);
    g_autoptr (GString) value = g_string_new (NULL);
    for (int k = g_test_rand_int_range (0, 4); k > 0; k--)
      g_string_append (value, pieces[g_test_rand_int_range (0, G_N_ELEMENTS (pieces))]);
    const PwPlanOverride *row = &rows[g_test_rand_int_range (0, (gint32)n)];
    gboolean ok = pw_plan_override (plan, row->name, value->str, &error);
    g_assert_true (ok == (error == NULL));
    if (!ok || !is_small (plan))
      continue;
    g_autoptr (PwResolvedPlan) resolved = pw_plan_resolve (plan, NULL, &error);
    g_assert_true ((resolved == NULL) == (error != NULL));
  }
}

/* The cost file's reader hands lists from struct to struct; none may be lost or freed twice. */
static void
test_costs (void) {
  static const char seed[] = "{\"version\": 1, \"model\": \"m\", \"link\": {\"bandwidth\": 1}, "
                             "\"tables\": [{\"samples\": 1, \"layers\": [{\"layer\": \"a\", "
                             "\"forward_s\": 1, \"input_s\": 1, \"weight_s\": 1}]}, {\"samples\": "
                             "2, \"layers\": [{\"layer\": \"a\", \"forward_s\": 1, \"input_s\": 1, "
                             "\"weight_s\": 1}]}]}";
  g_autofree char *folder = g_dir_make_tmp ("pw-fuzz-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "costs.json", NULL);
  for (int round = 0; round < 1000; round++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (GString) text = g_string_new (seed);
    damage (text);
    g_assert_true (
        g_file_set_contents_full (path, text->str, -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    g_autoptr (PwLayerCosts) costs = pw_layer_costs_load (path, NULL, &error);
    g_assert_true ((costs == NULL) == (error != NULL));
  }
  g_remove (path);
  g_rmdir (folder);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/plans/fuzz/damaged-plans-are-plans-or-errors", test_damage);
  g_test_add_func ("/plans/fuzz/any-option-value-is-applied-or-refused", test_overrides);
  g_test_add_func ("/plans/fuzz/damaged-costs-are-costs-or-errors", test_costs);
  return g_test_run ();
}
