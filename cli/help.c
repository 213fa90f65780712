#include "cli/help.h"
#include "io/json.h"
#include <stdio.h>
#include <string.h>

#define WIDTH 96

static gboolean
is_visible (const GOptionEntry *entry) {
  return (entry->flags & G_OPTION_FLAG_HIDDEN) == 0;
}

/* "-o, --output=FILE" */
static char *
format_names (const GOptionEntry *entry) {
  g_autofree char *letter
      = entry->short_name ? g_strdup_printf ("-%c, ", entry->short_name) : g_strdup ("    ");
  return g_strdup_printf ("%s--%s%s%s", letter, entry->long_name, entry->arg_description ? "=" : "",
                          entry->arg_description ? entry->arg_description : "");
}

/* TEXT in lines of at most WIDTH, all but the first beginning at column INDENT. */
static void
print_wrapped (const char *text, int indent) {
  g_auto (GStrv) words = g_strsplit (text, " ", -1);
  int column = indent;
  for (int i = 0; words[i]; i++) {
    int length = (int)strlen (words[i]);
    if (column > indent && column + 1 + length > WIDTH) {
      printf ("\n%*s", indent, "");
      column = indent;
    }
    column += printf ("%s%s", column > indent ? " " : "", words[i]);
  }
  printf ("\n");
}

static void
print_list (const PwOptionList *list, int width) {
  if (list->title)
    printf ("\n%s\n", list->title);
  for (const GOptionEntry *entry = list->entries; entry && entry->long_name; entry++) {
    if (!is_visible (entry))
      continue;
    g_autofree char *names = format_names (entry);
    printf ("  %-*s  ", width, names);
    print_wrapped (entry->description, width + 4);
  }
}

void
pw_help_print (const PwCommand *command, const PwOptionList *lists, gsize n_lists) {
  printf ("Usage:\n  pipewright %s [OPTIONS]%s%s\n\n%s\n", command->name,
          command->arguments ? " " : "", command->arguments ? command->arguments : "",
          command->details ? command->details : command->summary);
  int width = 0;
  for (gsize i = 0; i < n_lists; i++)
    for (const GOptionEntry *entry = lists[i].entries; entry && entry->long_name; entry++) {
      g_autofree char *names = format_names (entry);
      if (is_visible (entry))
        width = MAX (width, (int)strlen (names));
    }
  for (gsize i = 0; i < n_lists; i++)
    print_list (&lists[i], width);
  printf ("\nExample:\n%s\n", command->example);
}

const char *
pw_help_nearest (const char *name, const PwOptionList *lists, gsize n_lists) {
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  for (gsize i = 0; i < n_lists; i++)
    for (const GOptionEntry *entry = lists[i].entries; entry && entry->long_name; entry++)
      if (is_visible (entry))
        g_ptr_array_add (names, (gpointer)entry->long_name);
  g_ptr_array_add (names, NULL);
  g_autofree char *word = g_strndup (name, strcspn (name, "="));
  return pw_json_nearest (word + strspn (word, "-"), (const char *const *)names->pdata);
}
