#include "cli/command.h"
#include "cli/output.h"
#include "plots/plot.h"
#include "traces/chrome.h"
#include <stdio.h>

typedef struct {
  char *output, *term, *title, *iteration;
  gboolean memory, messages;
  int width, height;
} Options;

static gboolean
check_options (const Options *options, GError **error) {
  if (options->term && !g_str_equal (options->term, "dumb"))
    return pw_usage_fail (error, "--term: \"%s\" is not dumb", options->term);
  if (!options->output == !options->term)
    return pw_usage_fail (error, "a plot needs -o FILE.svg (.png, .pdf) or --term dumb");
  if (options->width < 0 || options->height < 0 || options->width > 20000
      || options->height > 20000)
    return pw_input_fail (error, "--%s: %d is not within 0 and 20000",
                          options->width < 0 || options->width > 20000 ? "width" : "height",
                          options->width < 0 || options->width > 20000 ? options->width
                                                                       : options->height);
  return pw_output_check ("-o", options->output, error);
}

static gboolean
read_iteration (const char *text, int *iteration, GError **error) {
  *iteration = -1;
  if (!text)
    return TRUE;
  if (g_str_equal (text, "all")) {
    *iteration = -2;
    return TRUE;
  }
  gint64 number;
  if (!g_ascii_string_to_signed (text, 10, 0, G_MAXINT, &number, NULL))
    return pw_input_fail (error, "--iteration: \"%s\" is neither a number nor all", text);
  *iteration = (int)number;
  return TRUE;
}

static gboolean
plot (const PwCall *call, const Options *options, GError **error) {
  PwPlotOptions plot_options = { .output = options->output,
                                 .title = options->title,
                                 .memory = options->memory,
                                 .messages = options->messages,
                                 .width = options->width,
                                 .height = options->height };
  if (!check_options (options, error)
      || !read_iteration (options->iteration, &plot_options.iteration, error))
    return FALSE;
  g_autoptr (PwTrace) first = pw_trace_read (call->argv[0], error);
  if (!first)
    return FALSE;
  g_autoptr (PwTrace) second = NULL;
  if (call->n_arguments > 1 && !(second = pw_trace_read (call->argv[1], error)))
    return FALSE;
  const PwTrace *traces[] = { first, second };
  g_autofree char *text = NULL;
  if (!pw_plot_timeline (traces, call->n_arguments, &plot_options, &text, error))
    return FALSE;
  if (text)
    fputs (text, stdout);
  return TRUE;
}

static int
run (PwCall *call, GError **error) {
  Options options = { 0 };
  GOptionEntry entries[] = {
    { "output", 'o', 0, G_OPTION_ARG_FILENAME, &options.output, "picture: .svg, .png or .pdf",
      "FILE" },
    { "term", 0, 0, G_OPTION_ARG_STRING, &options.term, "draw in the terminal instead", "dumb" },
    { "memory", 0, 0, G_OPTION_ARG_NONE, &options.memory, "memory over time below the timeline",
      NULL },
    { "messages", 0, 0, G_OPTION_ARG_NONE, &options.messages, "also draw transfers", NULL },
    { "iteration", 0, 0, G_OPTION_ARG_STRING, &options.iteration,
      "which to draw; default: the median one", "N|all" },
    { "title", 0, 0, G_OPTION_ARG_STRING, &options.title, "default: made from the traces", "TEXT" },
    { "width", 0, 0, G_OPTION_ARG_INT, &options.width, "pixels; default: by the content", "N" },
    { "height", 0, 0, G_OPTION_ARG_INT, &options.height, "pixels; default: by the content", "N" },
    G_OPTION_ENTRY_NULL
  };
  if (pw_call_parse (call, entries, error))
    plot (call, &options, error);
  g_free (options.output);
  g_free (options.term);
  g_free (options.title);
  g_free (options.iteration);
  return PW_EXIT_DONE;
}

const PwCommand pw_command_plot = {
  .name = "plot",
  .arguments = "TRACE [TRACE]",
  .min_arguments = 1,
  .max_arguments = 2,
  .summary = "draws traces: timeline, memory, simulated above measured",
  .details
  = "Draws a row per rank and a box per action. Two traces stand one above the other on one\n"
    "axis of time.",
  .example = "  pipewright plot simulated.json measured.json -o both.svg\n"
             "    the prediction above the measurement",
  .run = run,
};
