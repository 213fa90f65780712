#include "tests/device/planted/planted.h"

#include <string.h>

static const PlantedCase *
find (const char *name) {
  const PlantedCase *tables[] = { planted_kernel_cases, planted_stream_cases, planted_product_cases,
                                  planted_nccl_cases, planted_graph_cases };
  for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
    for (const PlantedCase *row = tables[i]; row->name; row++)
      if (!strcmp (row->name, name))
        return row;
  return NULL;
}

int
main (int n_arguments, char **arguments) {
  const PlantedCase *row = n_arguments > 1 ? find (arguments[1]) : NULL;
  if (!row) {
    fprintf (stderr, "usage: planted CASE [SEEDS]\n");
    return 2;
  }
  int seeds = n_arguments > 2 ? atoi (arguments[2]) : 1, wrong = 0;
  for (int seed = 1; seed <= seeds; seed++) {
    pw_fake_set_seed ((uint64_t)seed);
    wrong += row->run (row->name) != 0;
  }
  printf ("%s: wrong for %d of %d seeds\n", row->name, wrong, seeds);
  return wrong ? 1 : 0;
}
