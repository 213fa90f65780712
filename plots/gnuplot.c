#include "plots/gnuplot_private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

gboolean
pw__plot_format (const char *output, PwPlotFormat *format, GError **error) {
  static const char *const endings[] = {
    [PW__PLOT_SVG] = ".svg",
    [PW__PLOT_PNG] = ".png",
    [PW__PLOT_PDF] = ".pdf",
  };
  *format = PW__PLOT_TEXT;
  if (output == NULL)
    return TRUE;
  for (gsize i = 0; i < G_N_ELEMENTS (endings); i++)
    if (g_str_has_suffix (output, endings[i])) {
      *format = (PwPlotFormat)i;
      return TRUE;
    }
  g_set_error (error, PW_PLOT_ERROR, PW_PLOT_ERROR_FORMAT,
               "%s: the name of a picture ends in .svg, .png or .pdf", output);
  return FALSE;
}

char *
pw__gnuplot_quote (const char *text) {
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  GString *quoted = g_string_new ("'");
  for (const char *c = valid; *c != '\0'; c++) {
    if (*c == '\'')
      g_string_append (quoted, "''");
    else
      g_string_append_c (quoted, (guchar)*c < 0x20 || *c == 0x7f ? ' ' : *c);
  }
  g_string_append_c (quoted, '\'');
  return g_string_free (quoted, FALSE);
}

/* For the one label that is set in enhanced mode, to be bold. */
static char *
escape_enhanced (const char *text) {
  GString *escaped = g_string_new (NULL);
  for (const char *c = text; *c != '\0'; c++) {
    if (strchr ("\\{}^_@&~", *c) != NULL)
      g_string_append_c (escaped, '\\');
    g_string_append_c (escaped, *c);
  }
  return g_string_free (escaped, FALSE);
}

char *
pw__gnuplot_colour (PwColour colour) {
  return g_strdup_printf ("'#%02x%02x%02x'", colour.red, colour.green, colour.blue);
}

void
pw__gnuplot_add (PwGnuplot *plot, const char *format, ...) {
  va_list arguments;
  va_start (arguments, format);
  g_string_append_vprintf (plot->script, format, arguments);
  va_end (arguments);
}

void
pw__gnuplot_add_number (GString *to, double value) {
  char number[G_ASCII_DTOSTR_BUF_SIZE];
  g_string_append (to, g_ascii_formatd (number, sizeof number, "%.7g", value));
}

double
pw__gnuplot_points (const PwGnuplot *plot, int pixels) {
  return plot->format == PW__PLOT_SVG ? pixels : pixels * 0.75;
}

static void
add_fraction (PwGnuplot *plot, const char *before, double value) {
  g_string_append (plot->script, before);
  pw__gnuplot_add_number (plot->script, value);
}

void
pw__gnuplot_add_label (PwGnuplot *plot, PwPlotLabel style, double x, double y, const char *text) {
  g_autofree char *escaped = escape_enhanced (text);
  g_autofree char *bold = g_strdup_printf ("{/:Bold %s}", escaped);
  gboolean is_title = style == PW__LABEL_TITLE;
  g_autofree char *quoted = pw__gnuplot_quote (is_title ? bold : text);
  add_fraction (plot, "set label at screen ", x / plot->width);
  add_fraction (plot, ",", 1 - y / plot->height);
  pw__gnuplot_add (plot, " %s %s front font ',", quoted,
                   style == PW__LABEL_AXIS ? "center" : "left");
  pw__gnuplot_add_number (plot->script, pw__gnuplot_points (plot, is_title ? 15 : 12));
  pw__gnuplot_add (plot, "' tc rgb '%s' %s\n",
                   style == PW__LABEL_SUBTITLE ? PW__COLOUR_FAINT : PW__COLOUR_TEXT,
                   is_title ? "enhanced" : "noenhanced");
}

void
pw__gnuplot_add_margins (PwGnuplot *plot, int left, int right, int top, int bottom) {
  add_fraction (plot, "set lmargin at screen ", (double)left / plot->width);
  add_fraction (plot, "\nset rmargin at screen ", (double)right / plot->width);
  add_fraction (plot, "\nset tmargin at screen ", 1 - (double)top / plot->height);
  add_fraction (plot, "\nset bmargin at screen ", 1 - (double)bottom / plot->height);
  g_string_append_c (plot->script, '\n');
}

static gboolean
fail_system (GError **error, const char *path, const char *what) {
  g_set_error (error, PW_PLOT_ERROR, PW_PLOT_ERROR_GNUPLOT, "%s: cannot be %s: %s", path, what,
               g_strerror (errno));
  return FALSE;
}

const char *
pw__gnuplot_add_file (PwGnuplot *plot, const void *data, gsize bytes, GError **error) {
  g_autofree char *path = NULL;
  int fd = g_file_open_tmp ("pipewright-XXXXXX", &path, error);
  if (fd < 0)
    return NULL;
  close (fd);
  const char *name = path;
  g_ptr_array_add (plot->files, g_steal_pointer (&path));
  return g_file_set_contents (name, data, (gssize)bytes, error) ? name : NULL;
}

static void
add_terminal (PwGnuplot *plot) {
  int width = plot->width, height = plot->height;
  switch (plot->format) {
  case PW__PLOT_SVG:
    pw__gnuplot_add (plot,
                     "set terminal svg size %d,%d font 'sans-serif,12' "
                     "background rgb 'white'\n",
                     width, height);
    break;
  case PW__PLOT_PNG:
    pw__gnuplot_add (plot, "set terminal pngcairo size %d,%d font 'Sans,9'\n", width, height);
    break;
  case PW__PLOT_PDF:
    pw__gnuplot_add (plot,
                     "set terminal pdfcairo size %d/96.0,%d/96.0 fontscale 0.75 font 'Sans,9'\n",
                     width, height);
    break;
  case PW__PLOT_TEXT:
    pw__gnuplot_add (plot, "set terminal dumb size %d,%d noenhanced\n", width, height);
    break;
  }
}

gboolean
pw__gnuplot_init (PwGnuplot *plot, const char *output, int width, int height, GError **error) {
  *plot = (PwGnuplot){ .output = output, .width = width, .height = height };
  if (!pw__plot_format (output, &plot->format, error))
    return FALSE;
  plot->script = g_string_new ("set encoding utf8\n");
  plot->files = g_ptr_array_new ();
  plot->temporary = output != NULL ? g_strdup_printf ("%s.XXXXXX", output)
                                   : g_build_filename (g_get_tmp_dir (), "pipewright-XXXXXX", NULL);
  int fd = g_mkstemp_full (plot->temporary, O_RDWR, 0666);
  if (fd < 0) {
    fail_system (error, output != NULL ? output : plot->temporary, "written");
    g_clear_pointer (&plot->temporary, g_free);
    pw__gnuplot_clear (plot);
    return FALSE;
  }
  close (fd);
  g_autofree char *quoted = pw__gnuplot_quote (plot->temporary);
  add_terminal (plot);
  pw__gnuplot_add (plot, "set output %s\n", quoted);
  return TRUE;
}

void
pw__gnuplot_clear (PwGnuplot *plot) {
  if (plot->script != NULL)
    g_string_free (plot->script, TRUE);
  if (plot->temporary != NULL)
    g_unlink (plot->temporary);
  g_free (plot->temporary);
  for (guint i = 0; plot->files != NULL && i < plot->files->len; i++) {
    g_unlink (plot->files->pdata[i]);
    g_free (plot->files->pdata[i]);
  }
  if (plot->files != NULL)
    g_ptr_array_unref (plot->files);
  *plot = (PwGnuplot){ 0 };
}

/* gnuplot shows the offending line with a caret first; the words come last. */
static void
fail_gnuplot (const char *words, GError **error) {
  g_auto (GStrv) lines = g_strsplit (words, "\n", -1);
  const char *last = "no message";
  for (gsize i = 0; lines[i] != NULL; i++)
    if (*g_strstrip (lines[i]) != '\0')
      last = lines[i];
  g_set_error (error, PW_PLOT_ERROR, PW_PLOT_ERROR_GNUPLOT, "gnuplot failed: %s", last);
}

static gboolean
spawn (const char *script, GError **error) {
  const char *arguments[] = { "gnuplot", "-d", script, NULL }; /* -d: none of the user's settings */
  g_autofree char *words = NULL;
  g_autoptr (GError) problem = NULL;
  int status = 0;
  if (!g_spawn_sync (NULL, (char **)arguments, NULL,
                     G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL, &words,
                     &status, &problem)) {
    gboolean is_missing = g_error_matches (problem, G_SPAWN_ERROR, G_SPAWN_ERROR_NOENT);
    g_set_error (error, PW_PLOT_ERROR, PW_PLOT_ERROR_GNUPLOT, "%s",
                 is_missing ? "gnuplot is not installed, and pictures are drawn with it"
                            : problem->message);
    return FALSE;
  }
  if (status == 0)
    return TRUE;
  fail_gnuplot (words, error);
  return FALSE;
}

/* gnuplot pads every line, and begins with a form feed and empty lines. */
static gboolean
read_text (const char *path, char **text, GError **error) {
  g_autofree char *padded = NULL;
  if (!g_file_get_contents (path, &padded, NULL, error))
    return FALSE;
  g_auto (GStrv) lines = g_strsplit (padded, "\n", -1);
  GString *all = g_string_new (NULL);
  for (gsize i = 0; lines[i] != NULL; i++) {
    g_strchomp (lines[i]);
    if (*lines[i] != '\0' || all->len > 0)
      g_string_append_printf (all, "%s\n", lines[i]);
  }
  while (g_str_has_suffix (all->str, "\n\n"))
    g_string_truncate (all, all->len - 1);
  *text = g_string_free (all, FALSE);
  return TRUE;
}

gboolean
pw__gnuplot_run (PwGnuplot *plot, char **text, GError **error) {
  g_string_append (plot->script, "unset output\n");
  const char *script = pw__gnuplot_add_file (plot, plot->script->str, plot->script->len, error);
  if (script == NULL || !spawn (script, error))
    return FALSE;
  if (plot->output == NULL)
    return read_text (plot->temporary, text, error);
  if (g_rename (plot->temporary, plot->output) != 0)
    return fail_system (error, plot->output, "written");
  g_clear_pointer (&plot->temporary, g_free);
  return TRUE;
}
