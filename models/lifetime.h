/* Which buffers one micro-batch of one stage needs, when each is born and when it dies. Declared
 * here once: exec allocates and frees by this table, sim sums it, so a predicted peak and a measured
 * one differ only by what time decides.
 *
 * A stage runs its layers in order for F. For B it walks them in reverse, I then W of each layer;
 * for split gradients it walks in reverse once for I and once for W. Before a layer's step its
 * output (F) or its inputs' gradients (I) are allocated; after the step, what nobody will read
 * again is freed.
 *
 *              F(a) F(b) F(c) | I(c) I(b) I(a) | W(c) W(b) W(a)
 *   output a    [=========================]                       read by I(b)
 *   output b         [===]                                        read by F(c) only
 *   grad b                       [================]               read by I(b), W(b)
 */
#pragma once
#include "models/graph.h"

typedef enum { PW_PHASE_FORWARD, PW_PHASE_INPUT, PW_PHASE_WEIGHT } PwPhase;

/* A moment: the step of a layer in a phase; in a fused B, INPUT and WEIGHT of a layer are adjacent. */
typedef struct {
  PwPhase phase;
  int layer;
} PwMoment;

typedef enum {
  PW_BUFFER_OUTPUT,  /* a layer's output, or the received output of another stage's layer */
  PW_BUFFER_STASH,   /* PwLayerInfo.stashes[index] */
  PW_BUFFER_GRADIENT /* gradient of a layer's output */
} PwBufferKind;

typedef struct {
  PwBufferKind kind;
  int layer; /* whose output, stash or gradient; PW_GRAPH_INPUT: the sample itself */
  int index; /* STASH: which */
  int64_t bytes_per_sample;
  PwMoment born;
  PwMoment dies_fused; /* freed after this step, where B does I and W of a layer together */
  PwMoment dies_split; /* the same where I and W are actions of their own */
  gboolean is_received; /* comes from another stage (or the data loader): exists before `born` */
  gboolean is_sent;     /* another stage reads it: freed only when the send is done as well */
  int n_gradient_parts; /* GRADIENT: how many contributions are summed (readers of the output,
                           messages from other stages included) */
} PwBuffer;

/* Buffers of layers [first, first + n). */
typedef struct {
  const PwGraph *graph;
  int first_layer, n_layers;
  int n_buffers;
  PwBuffer *buffers; /* ordered by (kind, layer, index) */
  gboolean training;
} PwLifetimes;
PwLifetimes *pw_lifetimes_new (const PwGraph *graph, int first_layer, int n_layers,
                               gboolean training);
void pw_lifetimes_free (PwLifetimes *lifetimes);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwLifetimes, pw_lifetimes_free)
/* Index of a buffer, or -1. */
int pw_lifetimes_find (const PwLifetimes *lifetimes, PwBufferKind kind, int layer, int index);

/* Bytes per sample. `peak` of a phase: the largest sum alive inside it beyond what was alive before
 * it began; a boundary tensor counts as received or sent, not as stash. */
typedef struct {
  int64_t parameters;         /* elements, of the whole stage (not per sample) */
  int64_t stash_bytes;        /* alive between F and B, the received inputs excluded */
  int64_t input_bytes;        /* received inputs kept for the backward */
  int64_t kept_bytes;         /* alive between I and W of a split backward */
  int64_t forward_peak_bytes; /* over all alive before F (the received input included there) */
  int64_t backward_peak_bytes;
  int64_t input_peak_bytes;
  int64_t weight_peak_bytes;
} PwFootprint;
void pw_lifetimes_footprint (const PwLifetimes *lifetimes, PwFootprint *footprint);
