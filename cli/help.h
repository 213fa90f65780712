/* What `pipewright CMD --help` prints. */
#pragma once
#include "cli/command.h"

/* Options under a title; entries end with an empty one. */
typedef struct {
  const char *title;           /* NULL: those of the list before go on */
  const GOptionEntry *entries; /* NULL: none */
} PwOptionList;
void pw_help_print (const PwCommand *command, const PwOptionList *lists, gsize n_lists);
/* The option most like NAME ("--jsn"), NULL if none is. */
const char *pw_help_nearest (const char *name, const PwOptionList *lists, gsize n_lists);
