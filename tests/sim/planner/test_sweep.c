#include "sim/planner/sweep.h"
#include <string.h>

static void
test_values (void) {
  static const struct {
    const char *text, *values;
    gboolean are_numbers;
  } cases[] = {
    { "m=4", "4", TRUE },
    { "m=2,4,8", "2,4,8", TRUE },
    { "m=4:64:x2", "4,8,16,32,64", TRUE },
    { "m=4:63:x2", "4,8,16,32", TRUE },
    { "m=64:4:x0.5", "64,32,16,8,4", TRUE },
    { "m=1:3", "1,2,3", TRUE },
    { "m=0:1:0.25", "0,0.25,0.5,0.75,1", TRUE },
    { "m=0.1:0.5:0.1", "0.1,0.2,0.3,0.4,0.5", TRUE },
    { "m=3:1:-1", "3,2,1", TRUE },
    { "s=1f1b,gpipe", "1f1b,gpipe", FALSE },
    { "b=1,2;2,1", "1,2|2,1", FALSE },
    { "a.b=x:y", "x:y", FALSE },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (PwSweepAxis) axis = pw_sweep_axis_parse (cases[i].text, &error);
    g_assert_no_error (error);
    g_autofree char *values = g_strjoinv (strchr (cases[i].text, ';') ? "|" : ",", axis->values);
    g_assert_cmpstr (values, ==, cases[i].values);
    g_assert_cmpint (axis->n, ==, (int)g_strv_length (axis->values));
    g_assert_cmpint (axis->numbers != NULL, ==, cases[i].are_numbers);
  }
}

static void
test_bad_values (void) {
  static const char *const cases[]
      = { "",         "m",        "=4",       "m=",        "m=,",    "m=1,,2",
          "m=4:2",    "m=1:2:0",  "m=1:2:-1", "m=1:2:3:4", "m=1:x2", "m=0:4:x2",
          "m=1:4:x1", "m=1:4:x0", "m=1::2",   "m=0:1e9" };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_null (pw_sweep_axis_parse (cases[i], &error));
    g_assert_error (error, PW_SWEEP_ERROR, PW_SWEEP_ERROR_AXIS);
  }
}

static GPtrArray *
axes_new (const char *const *texts) {
  GPtrArray *axes = g_ptr_array_new_with_free_func ((GDestroyNotify)pw_sweep_axis_free);
  for (int i = 0; texts[i]; i++)
    g_ptr_array_add (axes, pw_sweep_axis_parse (texts[i], NULL));
  return axes;
}

static void
test_grid (void) {
  static const char *const texts[] = { "a=1,2", "b=1:3", "c=5,6", NULL };
  g_autoptr (GPtrArray) axes = axes_new (texts);
  g_assert_cmpint (pw_sweep_points (axes, NULL), ==, 12);
  int64_t point = 0;
  for (int a = 0; a < 2; a++)
    for (int b = 0; b < 3; b++)
      for (int c = 0; c < 2; c++, point++) {
        g_assert_cmpint (pw_sweep_index (axes, point, 0), ==, a);
        g_assert_cmpint (pw_sweep_index (axes, point, 1), ==, b);
        g_assert_cmpint (pw_sweep_index (axes, point, 2), ==, c);
      }
  static const char *const large[] = { "a=1:5000", "b=1:5000", NULL };
  g_autoptr (GPtrArray) many = axes_new (large);
  g_autoptr (GError) error = NULL;
  g_assert_cmpint (pw_sweep_points (many, &error), ==, -1);
  g_assert_error (error, PW_SWEEP_ERROR, PW_SWEEP_ERROR_SIZE);
}

typedef struct {
  int *seen; /* [points] */
  int64_t *at_place;
} Seen;

static void
note (int64_t point, int64_t place, gpointer data) {
  Seen *seen = data;
  seen->seen[point]++;
  seen->at_place[place] = point;
}

/* Every point once, whatever the shards and threads. */
static void
test_shards (void) {
  for (int repeat = 0; repeat < 50; repeat++) {
    int64_t points = g_test_rand_int_range (1, 200);
    int shards = g_test_rand_int_range (1, 9);
    g_autofree int *seen = g_new0 (int, (gsize)points);
    int64_t total = 0;
    for (int number = 1; number <= shards; number++) {
      g_autofree int64_t *at_place = g_new0 (int64_t, (gsize)points);
      Seen note_of = { seen, at_place };
      PwSweepRun run = { .points = points,
                         .shard = { number, shards },
                         .threads = g_test_rand_int_range (1, 5),
                         .evaluate = note,
                         .data = &note_of };
      int64_t n = pw_sweep_shard_points (&run.shard, points);
      g_assert_cmpint (pw_sweep_run (&run), ==, n);
      for (int64_t i = 1; i < n; i++)
        g_assert_cmpint (at_place[i], >, at_place[i - 1]);
      total += n;
    }
    g_assert_cmpint (total, ==, points);
    for (int64_t i = 0; i < points; i++)
      g_assert_cmpint (seen[i], ==, 1);
  }
}

static void
test_bad_shards (void) {
  static const char *const cases[] = { "", "1", "0/2", "3/2", "1/2x", "a/b", "-1/2", "1/0" };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    PwSweepShard shard;
    g_autoptr (GError) error = NULL;
    g_assert_false (pw_sweep_shard_parse (cases[i], &shard, &error));
    g_assert_error (error, PW_SWEEP_ERROR, PW_SWEEP_ERROR_SHARD);
  }
}

static volatile int stop;

static void
stop_soon (int64_t point, int64_t place G_GNUC_UNUSED, gpointer data) {
  *(int *)data += 1;
  stop = point == 4;
}

static void
test_interrupt (void) {
  int n = 0;
  PwSweepRun run = { .points = 100,
                     .shard = { 1, 1 },
                     .threads = 1,
                     .evaluate = stop_soon,
                     .data = &n,
                     .interrupted = &stop };
  g_assert_cmpint (pw_sweep_run (&run), ==, 5);
  g_assert_cmpint (n, ==, 5);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/sim/planner/sweep/lists-and-ranges-become-values", test_values);
  g_test_add_func ("/sim/planner/sweep/what-is-no-axis-is-refused", test_bad_values);
  g_test_add_func ("/sim/planner/sweep/the-last-axis-changes-fastest", test_grid);
  g_test_add_func ("/sim/planner/sweep/shards-have-each-point-once", test_shards);
  g_test_add_func ("/sim/planner/sweep/what-is-no-shard-is-refused", test_bad_shards);
  g_test_add_func ("/sim/planner/sweep/an-interrupt-begins-no-further-point", test_interrupt);
  return g_test_run ();
}
