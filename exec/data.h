/* Training data: deterministic mini-batches, each a function of (seed, step) alone, so that a run on
 * any rank count or a resumed one sees the same samples. */
#pragma once
#include "models/graph.h"
#include "plans/plan.h"

typedef struct PwDataset PwDataset;
/* Text: tokens are bytes; inputs [T], targets the next bytes. Random: seeded normal inputs and
 * targets of the graph's shapes (tokens uniform). Fails if the text is shorter than a sample or has
 * bytes outside the vocabulary. */
PwDataset *pw_dataset_open (const PwDataPlan *data, const PwGraph *graph, int64_t seed,
                            GError **error);
void pw_dataset_free (PwDataset *dataset);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwDataset, pw_dataset_free)
/* INPUTS and TARGETS hold BATCH samples. */
void pw_dataset_fill (const PwDataset *dataset, int64_t step, int64_t batch, void *inputs,
                      void *targets);
const char *pw_dataset_describe (const PwDataset *dataset); /* "103,412 bytes of text" */
