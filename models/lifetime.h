/* Which buffers one micro-batch of one stage needs, when each is born and when it dies. Declared
 * here once: exec allocates and frees by this table, sim sums it, so a predicted peak and a
 * measured one differ only by what time decides.
 *
 * A stage runs its layers in order for F. For B it walks them in reverse, I then W of each layer;
 * for split gradients it walks in reverse once for I and once for W.
 *
 *              F(a) F(b) F(c) | I(c) I(b) I(a) | W(c) W(b) W(a)
 *   output a    [=========================]                       read by I(b)
 *   output b         [===]                                        read by F(c) only
 *   grad b                       [================]               read by I(b), W(b)
 *
 * The rule of a step, which the footprint below follows to the byte:
 *
 *   F(l)  allocates output l and l's stashes; runs; frees what dies here. The first of two layers
 *         that may run at once (pw_graph_runs_with_next) may run with the second.
 *   I(l)  for each input of l whose gradient is made (needs_gradient of its layer and
 *         has_input_gradient of l), in order: the first contribution to a gradient allocates the
 *         buffer and ASSIGNS; each later one (what was received counts as first) gets a temporary
 *         of the same size. Runs; adds the temporaries; frees them and what dies here. An input
 *         that is read twice contributes twice.
 *   W(l)  runs; frees what dies here.
 *
 * Before the backward's first step (I's, where they are split) all received gradients are there;
 * the messages of one gradient, one from each stage that reads the output, are added into the one
 * from the last stage, last stage first, and only that one is kept. A sent buffer that dies in the
 * action that made it is freed at that action's end, when its message can be posted, and from then
 * on belongs to the message.
 *
 * A loss layer has no output buffer (its scalar is added to the step's loss) and no output
 * gradient; targets are no buffers of this table. In inference it does nothing, its input is the
 * result: the buffer dies at the loss's F. The result of a graph without a loss is sent to the
 * caller, and in training its gradient is received from the caller.
 *
 * Recomputation: chosen layers are run again, by R, before the backward. The first F frees what
 * they make as soon as nothing else in F reads it, and keeps of the rest what they or the gradients
 * read; R makes theirs anew, in order, and frees what only they read:
 *
 *              F(a) F(b) F(c) | R(b) | I(c) I(b) I(a)              b is run again
 *   output a    [====================]                              read by F(b) and R(b)
 *   output b         [===]      [===========]                       read by F(c), I(c)
 *
 * Of a whole stage that is the received inputs. A chosen loss is left to R. */
#pragma once
#include "models/graph.h"

typedef enum {
  PW_LIFETIMES_INFERENCE,
  PW_LIFETIMES_TRAINING,
  PW_LIFETIMES_FIRST /* the F of training before R: what dies after F is kept for R or later */
} PwLifetimesKind;

typedef enum { PW_PHASE_FORWARD, PW_PHASE_INPUT, PW_PHASE_WEIGHT } PwPhase;

/* A moment: the step of a layer in a phase; in a fused B, a layer's INPUT and WEIGHT are adjacent.
 */
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
  PwMoment born;        /* received: the stage's first F, or first I for gradients */
  PwMoment dies_fused;  /* freed after this step, where B does I and W of a layer together */
  PwMoment dies_split;  /* the same where I and W are actions of their own */
  gboolean is_received; /* comes from another stage (or the data loader): exists before `born` */
  gboolean is_sent;     /* another stage reads it: freed only when the send is done as well */
  int n_gradient_parts; /* GRADIENT: how many contributions are summed (readers of the output in
                           this stage, and one message from each other stage that reads it) */
  int n_received_parts; /* of these, messages */
  int dies_again; /* TRAINING, with layers that run again: freed by R after this one; -1: never */
} PwBuffer;

/* Buffers of layers [first, first + n). */
typedef struct {
  const PwGraph *graph;
  int first_layer, n_layers;
  int n_buffers;
  PwBuffer *buffers; /* ordered by (kind, layer, index) */
  PwLifetimesKind kind;
} PwLifetimes;
/* Stage STAGE of the cut into [bounds[s], bounds[s + 1]), layers. */
PwLifetimes *pw_lifetimes_new_stage (const PwGraph *graph, const int *bounds, int stages, int stage,
                                     gboolean training);
/* AGAIN[graph's layers]: those that R runs; NULL: none. */
PwLifetimes *pw_lifetimes_new_again (const PwGraph *graph, const int *bounds, int stages, int stage,
                                     PwLifetimesKind kind, const gboolean *again);
/* The same where all that follows the layers is one stage. */
PwLifetimes *pw_lifetimes_new (const PwGraph *graph, int first_layer, int n_layers,
                               gboolean training);
void pw_lifetimes_free (PwLifetimes *lifetimes);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwLifetimes, pw_lifetimes_free)
/* Index of a buffer, or -1. */
int pw_lifetimes_find (const PwLifetimes *lifetimes, PwBufferKind kind, int layer, int index);

/* Bytes per sample. A tensor that travels counts as received or sent, as a stash only while it is
 * kept for the backward. `peak` of an action: the largest sum alive inside it beyond what was alive
 * before it began (received tensors were). */
typedef struct {
  int64_t parameters; /* elements, of the whole stage (not per sample); shared ones held here too */
  int64_t stash_bytes;        /* alive between F and B, the received inputs excluded */
  int64_t input_bytes;        /* received inputs kept for the backward */
  int64_t kept_bytes;         /* alive between I and W of a split backward */
  int64_t received_bytes;     /* all received inputs, kept or not */
  int64_t output_held_bytes;  /* sent outputs that are no stash: until their sends are done */
  int64_t gradient_in_bytes;  /* received gradients, every message */
  int64_t gradient_out_bytes; /* sent gradients, until their sends are done */
  int64_t forward_peak_bytes;
  int64_t backward_peak_bytes;
  int64_t input_peak_bytes;
  int64_t weight_peak_bytes;
} PwFootprint;
void pw_lifetimes_footprint (const PwLifetimes *lifetimes, PwFootprint *footprint);

/* Of a micro-batch whose chosen layers are run again. All 0 of a stage that has none. */
typedef struct {
  int64_t first_peak_bytes;        /* inside F */
  int64_t first_stash_bytes;       /* alive between F and R, the received inputs excluded */
  int64_t first_input_bytes;       /* received inputs kept until then */
  int64_t first_output_held_bytes; /* sent outputs that F leaves to their sends */
  int64_t again_peak_bytes;        /* inside R, beyond what was alive before */
} PwAgainFootprint;
void pw_lifetimes_again_footprint (const PwGraph *graph, const int *bounds, int stages, int stage,
                                   const gboolean *again, PwAgainFootprint *footprint);
