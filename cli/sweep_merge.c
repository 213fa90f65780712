#include "cli/output.h"
#include "cli/sweep_private.h"
#include "io/file.h"
#include <stdio.h>
#include <string.h>

/* The lines of all files, by point. */
typedef struct {
  char *header, *id;
  const char *first; /* file */
  int64_t points;
  GPtrArray *lines;    /* [points] owned, NULL: missing */
  const char **origin; /* [points] file */
} Merge;

static gboolean
start (Merge *merge, const char *file, const char *header, const char *id, int64_t points,
       GError **error) {
  if (points < 1 || points > 10000000)
    return pw_input_fail (error, "%s:2: %" G_GINT64_FORMAT " points are none of a sweep", file,
                          points);
  merge->header = g_strdup (header);
  merge->id = g_strdup (id);
  merge->first = file;
  merge->points = points;
  merge->lines = g_ptr_array_new_full ((guint)points, g_free);
  g_ptr_array_set_size (merge->lines, (int)points);
  merge->origin = g_new0 (const char *, (gsize)points);
  return TRUE;
}

/* Commas outside quotes. */
static int
count_commas (const char *line) {
  int n = 0;
  gboolean is_quoted = FALSE;
  for (; *line; line++) {
    is_quoted ^= *line == '"';
    n += *line == ',' && !is_quoted;
  }
  return is_quoted ? -1 : n;
}

/* "id,point,points,...". */
static gboolean
take_line (Merge *merge, const char *file, int number, const char *header, const char *line,
           GError **error) {
  char id[16];
  long long point, points;
  int end = 0;
  if (sscanf (line, "%12[0-9a-f],%lld,%lld,%n", id, &point, &points, &end) != 3 || end == 0
      || count_commas (line) != count_commas (header))
    return pw_input_fail (error, "%s:%d: not a row of a sweep", file, number);
  if (!merge->lines && !start (merge, file, header, id, points, error))
    return FALSE;
  if (!g_str_equal (id, merge->id) || points != merge->points
      || !g_str_equal (header, merge->header))
    return pw_input_fail (error, "%s:%d: of another sweep than %s", file, number, merge->first);
  if (point < 0 || point >= points)
    return pw_input_fail (error, "%s:%d: there is no point %lld", file, number, point);
  if (merge->lines->pdata[point])
    return pw_input_fail (error, "%s:%d: point %lld stands in %s, too", file, number, point,
                          merge->origin[point]);
  merge->lines->pdata[point] = g_strdup (line);
  merge->origin[point] = file;
  return TRUE;
}

static gboolean
take_file (Merge *merge, const char *file, GError **error) {
  g_autofree char *text = NULL;
  gsize bytes;
  if (!pw_file_read (file, &text, &bytes, error))
    return FALSE;
  if (!g_str_has_prefix (text, "sweep,point,points,"))
    return pw_input_fail (error, "%s:1: not the CSV of a sweep", file);
  if (text[bytes - 1] != '\n')
    return pw_input_fail (error, "%s: cut off in its last line", file);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  for (int i = 1; lines[i] && *lines[i]; i++)
    if (!take_line (merge, file, i + 1, lines[0], lines[i], error))
      return FALSE;
  return TRUE;
}

static gboolean
check_complete (const Merge *merge, GError **error) {
  int64_t missing = 0, first = -1;
  for (int64_t i = merge->points - 1; i >= 0; i--)
    if (!merge->lines->pdata[i]) {
      missing++;
      first = i;
    }
  if (missing == 0)
    return TRUE;
  return pw_input_fail (error,
                        "%" G_GINT64_FORMAT " of %" G_GINT64_FORMAT
                        " points are missing, the first is %" G_GINT64_FORMAT,
                        missing, merge->points, first);
}

typedef struct {
  char *output, *plot, *x, *y;
  gboolean pareto;
} Options;

static gboolean
draw (const Merge *merge, const Options *options, GError **error) {
  PwSweep sweep = { .axes = g_ptr_array_new_with_free_func ((GDestroyNotify)pw_sweep_axis_free) };
  gboolean good
      = pw__sweep_read (&sweep, merge->header, merge->lines, error)
        && (options->pareto || pw__sweep_check_plot (&sweep, options->x, options->y, error))
        && pw__sweep_plot (&sweep, options->plot, options->x, options->y, options->pareto, error);
  pw__sweep_clear (&sweep);
  return good;
}

static gboolean
write_rows (const Merge *merge, const char *output, GError **error) {
  g_autoptr (GString) text = g_string_new (merge->header);
  for (int64_t i = 0; i < merge->points; i++)
    g_string_append_printf (text, "\n%s", (const char *)merge->lines->pdata[i]);
  g_string_append_c (text, '\n');
  return pw_output_text (output, text->str, error);
}

/* A picture alone leaves standard output alone. */
static gboolean
merge_files (char **files, const Options *options, GError **error) {
  Merge merge = { 0 };
  gboolean good = pw_output_check ("--output", options->output, error)
                  && pw_output_check ("--plot", options->plot, error);
  for (int i = 0; good && files[i]; i++)
    good = take_file (&merge, files[i], error);
  if (good && !merge.lines)
    good = pw_input_fail (error, "%s: no rows", files[0]);
  good = good && check_complete (&merge, error) && (!options->plot || draw (&merge, options, error))
         && ((options->plot && !options->output) || write_rows (&merge, options->output, error));
  g_free (merge.header);
  g_free (merge.id);
  if (merge.lines)
    g_ptr_array_unref (merge.lines);
  g_free (merge.origin);
  return good;
}

static gboolean
check_options (const Options *options, GError **error) {
  if (options->pareto && !options->plot)
    return pw_usage_fail (error, "--pareto is for --plot");
  if ((options->x || options->y) && (!options->plot || options->pareto))
    return pw_usage_fail (error, "--%s is for --plot without --pareto", options->x ? "x" : "y");
  return TRUE;
}

static int
run (PwCall *call, GError **error) {
  Options options = { 0 };
  GOptionEntry entries[]
      = { { "output", 'o', 0, G_OPTION_ARG_FILENAME, &options.output, "default: standard output",
            "FILE.csv" },
          { "plot", 0, 0, G_OPTION_ARG_FILENAME, &options.plot,
            "draw the whole sweep as sweep --plot does; alone, no CSV is written", "FILE" },
          { "x", 0, 0, G_OPTION_ARG_STRING, &options.x, "default: the first number varied",
            "NAME" },
          { "y", 0, 0, G_OPTION_ARG_STRING, &options.y, PW_SWEEP_FIGURES, "FIGURE" },
          { "pareto", 0, 0, G_OPTION_ARG_NONE, &options.pareto,
            "draw what nothing else beats in time and memory", NULL },
          G_OPTION_ENTRY_NULL };
  if (pw_call_parse (call, entries, error) && check_options (&options, error))
    merge_files (call->argv, &options, error);
  g_free (options.output);
  g_free (options.plot);
  g_free (options.x);
  g_free (options.y);
  return PW_EXIT_DONE;
}

const PwCommand pw_command_sweep_merge = {
  .name = "sweep merge",
  .arguments = "FILE.csv...",
  .min_arguments = 1,
  .max_arguments = 100000,
  .summary = "joins the shards of a sweep",
  .details
  = "Joins the CSV files that sweep --shard wrote into that of the whole sweep, the same\n"
    "bytes as without shards. Refused: files of different sweeps, points that are missing\n"
    "or there twice.",
  .example = "  pipewright sweep merge part-*.csv -o all.csv",
  .run = run,
};
